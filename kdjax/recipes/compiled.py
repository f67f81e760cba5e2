"""The programs that a step of distillation consists of, compiled, not run."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from kdjax import training
from kdjax.recipes import methods, networks, programs, reads
from kdjax.recipes.run import Context, Experiment, Run
from kdjax.training import parallel
from kdjax.transforms import LossTransform, LossVariables, on_axis

Devices = Sequence[jax.Device]


class ProgramCost(NamedTuple):
  """What XLA says of a compiled program, on each device.

  Attributes:
    flops: Floating point operations; the body of a loop counts once.
    bytes_accessed: Read and written by all instructions; likewise.
    peak_bytes: Of memory at once, arguments and results included.
    parameter_bytes: Of the parameters, which every device holds.
  """

  flops: float
  bytes_accessed: float
  peak_bytes: int
  parameter_bytes: int


class _Nobody:
  """Observes nothing: no run starts."""

  def start(self, *args: Any, **kwargs: Any) -> None: ...

  def epoch(self, *args: Any, **kwargs: Any) -> None: ...


def run_of(experiment: Experiment, stage: methods.Stage) -> Run:
  """The run of a stage, with the shapes of the teacher's variables."""
  settings, dataset, source = experiment
  assert source is not None
  teacher = networks.teaching_model(settings, dataset)
  batch = programs.batch_shapes(dataset)
  return Run(
    name=stage.name,
    architecture=settings.student,
    model=networks.distilled_model(settings, dataset),
    loss=stage.loss,
    source=source,
    key=jax.random.key(settings.data_seed),
    epochs=stage.epochs,
    seeds=tuple(range(settings.seed, settings.seed + settings.seeds)),
    teacher=teacher,
    teacher_variables=jax.eval_shape(teacher.init, jax.random.key(0), batch),
    freeze_unreached=stage.freeze_unreached,
  )


def _states(
  experiment: Experiment, run: Run
) -> tuple[optax.GradientTransformation, training.TrainState]:
  """The optimizer, and shapes of the stacked states that it updates."""
  context = Context(
    experiment.settings, experiment.dataset, pathlib.Path(), _Nobody()
  )
  optimizer = programs.optimizer_of(context, run)
  states = jax.eval_shape(
    lambda: programs.initial_states(context, run, optimizer)
  )
  return optimizer, states


def _first(stacked: Any) -> Any:
  """Shapes of one student, or of one device's share."""
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), stacked
  )


def _batch(experiment: Experiment, devices: Devices) -> dict[str, Any]:
  """Shapes of a batch, split over the devices, as a step takes it."""
  settings, dataset, _ = experiment
  shapes = programs.batch_shapes(dataset, settings.batch_size)
  count = len(devices)
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      (count, x.shape[0] // count, *x.shape[1:]), x.dtype
    ),
    shapes,
  )


def teacher_cost(
  experiment: Experiment, devices: Devices, run: Run
) -> ProgramCost:
  """The teacher's forward pass in inference mode."""
  teacher, variables = run.teacher, run.teacher_variables
  assert teacher is not None

  def forward(variables, shared, batch):
    del shared
    return teacher.apply(variables, batch)[0]['logits']

  arguments = (variables, (), _batch(experiment, devices))
  return _cost(forward, devices, arguments, variables.params)


def student_cost(
  experiment: Experiment, devices: Devices, run: Run
) -> ProgramCost:
  """The step of one student by the run's loss, which needs no teacher."""
  optimizer, states = _states(experiment, run)
  state = _first(states)
  step = training.make_train_step(
    run.model,
    run.loss,
    optimizer,
    axis_name=training.AXIS,
    measures={'accuracy': training.accuracy},
  )
  arguments = (state, (), _batch(experiment, devices))
  return _cost(step, devices, arguments, state.model.params, donate=True)


def program_cost(
  experiment: Experiment, devices: Devices, run: Run
) -> ProgramCost:
  """The whole step: the teacher, all students, the loss."""
  optimizer, states = _states(experiment, run)
  step = training.make_train_step(
    run.model,
    run.loss,
    optimizer,
    teacher=run.teacher,
    axis_name=training.AXIS,
    over_students=programs.over_students(states.model),
    measures={'accuracy': training.accuracy},
  )
  teacher = run.teacher_variables
  arguments = (states, teacher, _batch(experiment, devices))
  params = (states.model.params, states.loss.params, teacher.params)
  return _cost(step, devices, arguments, params, donate=True)


def loss_cost(
  experiment: Experiment, devices: Devices, run: Run
) -> ProgramCost:
  """The loss of one student, with gradients, of the outputs that it reads."""
  variables = _first(_states(experiment, run)[1].loss)
  batch = _batch(experiment, devices)
  shard = _first(batch)
  model = jax.eval_shape(run.model.init, jax.random.key(0), shard)
  given = (
    _outputs(run.model, model, shard, devices),
    _outputs(run.teacher, run.teacher_variables, shard, devices),
    batch,
  )
  # Outputs the loss ignores would only add zero gradients.
  needed = reads.read_by(run.loss, variables, given, devices)
  step = jax.ShapeDtypeStruct((), jnp.int32)
  arguments = (variables, step, needed)
  loss = on_axis(run.loss, training.AXIS)
  return _cost(_value_and_gradients(loss), devices, arguments, variables.params)


def _value_and_gradients(loss: LossTransform) -> Callable:
  """A loss and its gradients in its own parameters and the student."""

  def run(variables, step, given):
    student, teacher, batch = given

    def objective(params, student):
      own = LossVariables(params, variables.state)
      value, *rest = loss.apply(own, student, teacher, batch, step)
      return value, rest

    both = jax.value_and_grad(objective, argnums=(0, 1), has_aux=True)
    return both(variables.params, student)

  return run


def _outputs(
  model: Any, variables: Any, batch: dict[str, Any], devices: Devices
) -> dict[str, Any]:
  """Shapes of a network's outputs, split over the devices."""
  outputs, _ = jax.eval_shape(model.apply, variables, batch)
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((len(devices), *x.shape), x.dtype), outputs
  )


def _cost(
  function: Callable,
  devices: Devices,
  arguments: tuple,
  params: Any,
  *,
  donate: bool = False,
) -> ProgramCost:
  """Compiles `function(replicated, shared, shard)` and asks what it costs."""
  # Spread even over one device: losses and batch norms name its axis.
  program: Any = parallel.spread(function, devices, donate=donate)
  compiled = program.lower(*arguments).compile()
  analysis, memory = compiled.cost_analysis(), compiled.memory_analysis()
  if analysis is None or memory is None:
    raise RuntimeError(f'{devices[0].platform} has no cost analysis.')
  return ProgramCost(
    flops=analysis.get('flops', 0.0),
    bytes_accessed=analysis.get('bytes accessed', 0.0),
    # Not `peak_memory_in_bytes`: on CPU it leaves the temporaries out.
    peak_bytes=memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    + memory.temp_size_in_bytes
    - memory.alias_size_in_bytes,
    parameter_bytes=sum(
      x.size * x.dtype.itemsize for x in jax.tree.leaves(params)
    ),
  )
