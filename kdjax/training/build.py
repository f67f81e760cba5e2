"""The programs of a run: its states, step, epoch and evaluation.

Training, the teacher's cache and the cost report all build programs here.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from kdjax import tasks
from kdjax.models import Model, ModelVariables, Network
from kdjax.training import accumulation, parallel, reads
from kdjax.training.ahead import Ahead
from kdjax.training.epoch_parts import Epoch
from kdjax.training.epochs import resident_epoch, stepped_epoch
from kdjax.training.evaluation import (
  Evaluation,
  resident_evaluation,
  streaming_evaluation,
)
from kdjax.training.experiment import Experiment, Run
from kdjax.training.optimizers import (
  freeze_unreached,
  make_optimizer,
  make_schedule,
)
from kdjax.training.state import (
  AveragedState,
  TrainState,
  init_students,
  with_average,
)
from kdjax.training.step import make_eval_step, make_train_step
from kdjax.training.streaming import streaming_epoch
from kdjax.training.students import unrolled, vmapped
from kdjax.transforms import LossTransform

# Larger training sets are streamed, as they would fill the device's memory.
_LARGEST_RESIDENT_BYTES = 4 * 2**30
_EVALUATION_BATCH = 512


def schedule(experiment: Experiment, run: Run) -> Callable:
  """Returns the learning rate by the number of updates of a run.

  An update takes the rate of the first of its steps.
  """
  budget, steps_per_epoch = experiment.budget, experiment.steps_per_epoch
  budget.check_warmup(run.name, run.epochs)
  rate = make_schedule(
    budget.schedule,
    budget.learning_rate,
    run.epochs * steps_per_epoch,
    warmup_steps=budget.warmup_steps(steps_per_epoch),
    milestones=budget.all_milestones,
  )
  batches = budget.accumulate
  return rate if batches == 1 else lambda count: rate(count * batches)


def updates(experiment: Experiment, run: Run) -> accumulation.Due | None:
  """Returns the steps of a run that make an update; None for every step."""
  batches = experiment.budget.accumulate
  steps = run.epochs * experiment.steps_per_epoch
  return None if batches == 1 else accumulation.updates_every(batches, steps)


def optimizer(experiment: Experiment, run: Run) -> optax.GradientTransformation:
  """Returns the optimizer of a run, with its schedule."""
  budget = experiment.budget
  made = make_optimizer(
    budget.optimizer,
    schedule(experiment, run),
    weight_decay=budget.weight_decay,
    clip_norm=budget.clip_norm,
  )
  if run.freeze_unreached:
    made = freeze_unreached(made)
  due = updates(experiment, run)
  return accumulation.accumulated(made, due) if due else made


def initial_states(
  experiment: Experiment, run: Run
) -> TrainState | AveragedState:
  """Returns the stacked states of the students before their first step."""
  batch = experiment.task.batch()
  teacher_outputs = {}
  if run.teacher is not None:
    teacher_outputs, _ = jax.eval_shape(
      run.teacher.model.apply, run.teacher.variables, batch
    )
  states = init_students(
    experiment.budget.all_seeds,
    run.student,
    run.loss,
    optimizer(experiment, run),
    batch,
    teacher_outputs,
  )
  if run.start is not None:
    # The first epoch donates its states, but the caller keeps `run.start`.
    states = states._replace(model=jax.tree.map(jnp.copy, run.start))
  return with_average(states) if experiment.budget.ema else states


def train_step(
  experiment: Experiment,
  run: Run,
  over_students: Callable | None,
  teacher: Model | None,
) -> Callable:
  """Returns the train step of a run.

  Args:
    experiment: Gives the optimizer and the measures of training.
    run: Gives the student and its loss.
    over_students: Result of `over_students`; None for one student.
    teacher: The teacher that runs in the step; None without a teacher, or if
      the teacher's outputs come with the batch.
  """
  measures = experiment.task.measures
  return make_train_step(
    run.student,
    run.loss,
    optimizer(experiment, run),
    teacher=teacher,
    axis_name=parallel.AXIS,
    over_students=over_students,
    measures={name: m.each for name, m in measures.items() if m.each},
    ema=experiment.budget.ema,
    due=updates(experiment, run),
  )


def over_students(stacked: ModelVariables) -> Callable:
  """Returns the faster way to run several students in one program.

  A vmapped convolution with one kernel per student is a grouped convolution,
  which has no fast implementation. Vision transformers have a convolution
  kernel too; in measurements on CPU they ran 1.07 to 1.13 times faster
  unrolled.
  """
  return unrolled if _kernels(stacked) else vmapped


def _kernels(stacked: Any) -> list[jax.Array]:
  """Returns the convolutions' kernels, `[students, height, width, in, out]`."""
  return [leaf for leaf in jax.tree.leaves(stacked) if leaf.ndim == 5]


def _slow_in_loops(states: TrainState) -> bool:
  """Returns whether XLA:CPU takes far longer for a step inside a loop.

  The gradients of convolutions take longer there, also in a loss's connectors.
  The only convolution of a vision transformer is a matrix product, which is
  faster inside a loop.
  """
  kernels = _kernels((states.model, states.loss))
  return jax.default_backend() == 'cpu' and len(kernels) > 1


def streams(experiment: Experiment, source: Any) -> bool:
  """Returns whether batches of a source come from the host."""
  example = sum(
    math.prod(x.shape[1:]) * x.dtype.itemsize
    for x in experiment.task.batch().values()
  )
  return (
    experiment.budget.stream or len(source) * example > _LARGEST_RESIDENT_BYTES
  )


def epoch(experiment: Experiment, run: Run, states: TrainState) -> Epoch:
  """Returns the run's epoch: streamed, step by step, or as one program."""
  source, devices = experiment.task.train, experiment.devices
  more: dict[str, Any] = {}
  if streams(experiment, source):
    make = streaming_epoch
  elif _slow_in_loops(states):
    make = stepped_epoch
  else:
    make = resident_epoch
    more['ahead'] = _ahead(experiment, run)
  teacher = run.teacher
  apart = run.cached is not None or more.get('ahead') is not None
  step = train_step(
    experiment,
    run,
    over_students(states.model),
    None if apart or teacher is None else teacher.model,
  )
  return make(
    step,
    None if run.cached or teacher is None else teacher.variables,
    source,
    experiment.task.views.augment,
    key=run.key,
    batch_size=experiment.budget.batch_size,
    devices=devices,
    cached=run.cached,
    **more,
  )


def _ahead(experiment: Experiment, run: Run) -> Ahead | None:
  """Returns the run's teacher if it answers several batches in one pass."""
  batches = experiment.teacher_options.batches
  if run.teacher is None or run.cached or batches == 1:
    return None
  read = teacher_outputs_read(
    experiment, [run.loss], run.student, run.teacher.model
  )
  return Ahead(run.teacher.model, tuple(read), batches) if read else None


def teacher_outputs_read(
  experiment: Experiment,
  losses: Iterable[LossTransform],
  student: Model,
  teacher: Model,
) -> dict[str, jax.ShapeDtypeStruct]:
  """Returns the shapes of the teacher's outputs that any loss reads."""
  batch = experiment.task.augmented(experiment.budget.batch_size)
  return reads.of_teacher(losses, student, teacher, batch)


def evaluation(
  experiment: Experiment, model: Model, stacked: ModelVariables
) -> Evaluation:
  """Returns the evaluation of stacked models on the test set."""
  task, devices = experiment.task, experiment.devices
  make = (
    streaming_evaluation
    if streams(experiment, task.test)
    else resident_evaluation
  )
  step = make_eval_step(model, task.measures, axis_name=parallel.AXIS)
  sums = make(
    over_students(stacked)(step),
    task.test,
    batch_size=_EVALUATION_BATCH,
    devices=devices,
  )
  return lambda variables: tasks.values(task.measures, sums(variables))


def evaluate(
  experiment: Experiment, model: Model, stacked: ModelVariables
) -> dict[str, np.ndarray]:
  """Returns the measures of stacked models on the test set, `[models]` each."""
  run = evaluation(experiment, model, stacked)
  return run(parallel.replicate(stacked, experiment.devices))


def evaluate_network(experiment: Experiment, network: Network) -> Network:
  """Returns the network with its measures on the task's test set."""
  stacked = jax.tree.map(lambda x: x[None], network.variables)
  found = evaluate(experiment, network.model, stacked)
  measures = {name: float(values[0]) for name, values in found.items()}
  return network._replace(measures=measures, task=experiment.task.name)


def is_measured(experiment: Experiment, network: Network) -> bool:
  """Returns whether the network has all measures of the experiment's task."""
  known = {name.partition('/')[0] for name in network.measures}
  same = network.task == experiment.task.name
  return same and known >= set(experiment.task.measures)


def epoch_means(
  metrics: Mapping[str, np.ndarray], examples: int, batch_size: int
) -> dict[str, np.ndarray]:
  """Averages metrics over an epoch's examples; the last batch may be short."""
  steps = len(metrics['loss'])
  counts = np.full(steps, batch_size)
  counts[-1] = examples - (steps - 1) * batch_size
  return {
    name: np.average(np.float64(values), axis=0, weights=counts)
    for name, values in metrics.items()
  }
