"""The cost of a step, from the compiler; no program runs.

The step is the same as in `fit`. XLA counts the body of a loop once, however
often it runs, so a loss with a loop costs more than the result says.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from kdjax.models import Model, ModelVariables
from kdjax.training import build, parallel, reads
from kdjax.training.experiment import Experiment, Run
from kdjax.training.state import TrainState
from kdjax.transforms import LossTransform, LossVariables, on_axis


class ProgramCost(NamedTuple):
  """XLA's analysis of a compiled program, for each device.

  Attributes:
    flops: Floating point operations; the body of a loop counts once.
    bytes_accessed: Bytes that all instructions read and write; the body of a
      loop counts once.
    peak_bytes: Most bytes of memory in use, arguments and results included.
    parameter_bytes: Bytes of the parameters, which every device holds.
  """

  flops: float
  bytes_accessed: float
  peak_bytes: int
  parameter_bytes: int


class StepCosts(NamedTuple):
  """The costs of a run's step, as parts and as a whole.

  Attributes:
    teacher: The teacher's forward pass in inference mode; None without one.
    loss: The loss of one student: its value and its gradients with respect to
      the student's outputs and the loss's own parameters.
    program: The whole step: the teacher's pass, all students and the loss.
  """

  teacher: ProgramCost | None
  loss: ProgramCost
  program: ProgramCost


def lower(experiment: Experiment, run: Run) -> StepCosts:
  """Compiles the step of a run and its parts, without running them.

  Args:
    experiment: The experiment of the run.
    run: The run; a teacher's variables may be shapes.

  Raises:
    RuntimeError: if the backend has no cost analysis.
  """
  states = _states(experiment, run)
  batch = _batch(experiment)
  return StepCosts(
    teacher=None if run.teacher is None else _teacher(experiment, run, batch),
    loss=_loss(experiment, run, states, batch),
    program=_program(experiment, run, states, batch),
  )


def lower_student(experiment: Experiment, run: Run) -> ProgramCost:
  """Compiles the step of one student with a loss that needs no teacher."""
  state = _first(_states(experiment, run))
  step = build.train_step(experiment, run, None, None)
  arguments = (state, (), _batch(experiment))
  return _cost(experiment, step, arguments, state.model.params, donate=True)


def _states(experiment: Experiment, run: Run) -> TrainState:
  return jax.eval_shape(lambda: build.initial_states(experiment, run))


def _program(
  experiment: Experiment, run: Run, states: TrainState, batch: Any
) -> ProgramCost:
  model, variables = run.teacher[:2] if run.teacher else (None, None)
  over_students = build.over_students(states.model)
  step = build.train_step(experiment, run, over_students, model)
  params = [states.model.params, states.loss.params]
  params += [variables.params] if variables else []
  arguments = (states, variables, batch)
  return _cost(experiment, step, arguments, params, donate=True)


def _teacher(experiment: Experiment, run: Run, batch: Any) -> ProgramCost:
  assert run.teacher is not None
  model, variables = run.teacher[:2]

  def forward(variables, shared, batch):
    del shared
    outputs, _ = model.apply(variables, batch)
    return outputs.get('logits', outputs)

  return _cost(experiment, forward, (variables, (), batch), variables.params)


def _loss(
  experiment: Experiment, run: Run, states: TrainState, batch: Any
) -> ProgramCost:
  variables, shard = _first(states.loss), _first(batch)
  count = parallel.device_count(experiment.devices)
  model = jax.eval_shape(run.student.init, jax.random.key(0), shard)
  teacher: dict = {}
  if run.teacher is not None:
    teacher = _outputs(run.teacher.model, run.teacher.variables, shard, count)
  given = (_outputs(run.student, model, shard, count), teacher, batch)
  # Outputs that the loss ignores would only add zero gradients.
  needed = reads.read_by(run.loss, variables, given, experiment.devices)
  arguments = (variables, jax.ShapeDtypeStruct((), jnp.int32), needed)
  function = _value_and_gradients(on_axis(run.loss, parallel.AXIS))
  return _cost(experiment, function, arguments, variables.params)


def _value_and_gradients(loss: LossTransform) -> Callable:
  """Returns a function that computes a loss and its two gradients."""

  def run(variables, step, given):
    student, teacher, batch = given

    def objective(params, student):
      own = LossVariables(params, variables.state)
      value, *rest = loss.apply(own, student, teacher, batch, step)
      return value, rest

    both = jax.value_and_grad(objective, argnums=(0, 1), has_aux=True)
    return both(variables.params, student)

  return run


def _first(stacked: Any) -> Any:
  """Returns the shapes of one student, or of one device's share."""
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), stacked
  )


def _batch(experiment: Experiment) -> dict[str, Any]:
  """Returns the shapes of a step's batch, split over the devices."""
  count = parallel.device_count(experiment.devices)
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      (count, x.shape[0] // count, *x.shape[1:]), x.dtype
    ),
    experiment.task.batch(experiment.budget.batch_size),
  )


def _outputs(
  model: Model, variables: ModelVariables, shard: Mapping, count: int
) -> dict[str, Any]:
  """Returns the shapes of a network's outputs, split over the devices."""
  outputs, _ = jax.eval_shape(model.apply, variables, shard)
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), outputs
  )


def _cost(
  experiment: Experiment,
  function: Callable,
  arguments: tuple,
  params: Any,
  *,
  donate: bool = False,
) -> ProgramCost:
  """Compiles `function(replicated, shared, shard)` and returns its cost."""
  # One device needs `spread` too: losses and batch norms name its axis.
  program: Any = parallel.spread(function, experiment.devices, donate=donate)
  compiled = program.lower(*arguments).compile()
  analysis, memory = compiled.cost_analysis(), compiled.memory_analysis()
  if analysis is None or memory is None:
    raise RuntimeError(f'{jax.default_backend()} has no cost analysis.')
  return ProgramCost(
    flops=analysis.get('flops', 0.0),
    bytes_accessed=analysis.get('bytes accessed', 0.0),
    # `peak_memory_in_bytes` leaves out the temporaries on CPU.
    peak_bytes=memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    + memory.temp_size_in_bytes
    - memory.alias_size_in_bytes,
    parameter_bytes=sum(
      x.size * x.dtype.itemsize for x in jax.tree.leaves(params)
    ),
  )
