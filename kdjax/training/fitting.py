"""The training loop with checkpoints, and the saving of final models."""

import pathlib
import time
from typing import NamedTuple

import jax
import numpy as np

import kdjax  # The first access to `kdjax.checkpoint` loads orbax.
from kdjax.models import Model, ModelVariables, Network
from kdjax.tasks import note_of_batch
from kdjax.training import build, parallel, processes
from kdjax.training.ending import Interrupted, check_finite
from kdjax.training.experiment import Experiment, Run
from kdjax.training.state import AveragedState, TrainState, result


class Fitted(NamedTuple):
  """The result of a run.

  Attributes:
    model: The trained model.
    variables: Stacked variables, one set per seed.
    measures: Measures on the test set after the last epoch, `[seeds]` each.
    steps: Number of steps in this process.
    seconds: Seconds for these steps, evaluation and checkpoints included.
    task: Name of the task of the measures.
  """

  model: Model
  variables: ModelVariables
  measures: dict[str, np.ndarray]
  steps: int = 0
  seconds: float = 0.0
  task: str = ''

  def network(self, place: int = 0) -> Network:
    """Returns one of the trained networks, the first by default."""
    return Network(
      self.model,
      jax.tree.map(lambda x: x[place], self.variables),
      {name: float(values[place]) for name, values in self.measures.items()},
      self.task,
    )


def fit(experiment: Experiment, run: Run) -> Fitted:
  """Trains a run from the start or from its last checkpoint.

  Every recipe uses this loop. It saves models in `workdir/<name of the run>`
  and training states in `workdir/checkpoints`. With `budget.ema` the moving
  average of a student is evaluated, saved and returned.

  Raises:
    DivergenceError: if the loss stops being finite.
    Interrupted: if `experiment.stop` noted a signal; a checkpoint was saved.
  """
  name = experiment.prefix + run.name
  directory = experiment.workdir / 'checkpoints' / name
  states = build.initial_states(experiment, run)
  done = kdjax.checkpoint.latest_step(directory) or 0
  if done:
    states = kdjax.checkpoint.restore(directory, states)
  states = parallel.replicate(states, experiment.devices)
  run_epoch = build.epoch(experiment, run, states)
  evaluate = build.evaluation(experiment, run.student, states.model)
  examples, budget = len(experiment.task.train), experiment.budget
  experiment.observer.start(name, run.epochs, done)
  begun, test = time.perf_counter(), None
  for epoch in range(done, run.epochs):
    states, metrics = run_epoch(states, run.epochs_before + epoch)
    metrics = jax.device_get(metrics)
    check_finite(metrics, epoch)
    test = evaluate(result(states))
    means = build.epoch_means(metrics, examples, budget.batch_size)
    experiment.observer.epoch(name, epoch + 1, budget.all_seeds, means, test)
    _save_if_due(experiment, run, directory, epoch + 1, states)
  seconds = time.perf_counter() - begun
  if test is None:
    test = evaluate(result(states))
  steps = (run.epochs - done) * experiment.steps_per_epoch
  task = experiment.task.name
  fitted = Fitted(run.student, result(states), test, steps, seconds, task)
  save(experiment, run.name, fitted, budget.all_seeds, run.epochs)
  return fitted


def save(
  experiment: Experiment,
  name: str,
  fitted: Fitted,
  seeds: tuple[int, ...],
  step: int = 0,
) -> None:
  """Saves trained models with a note that describes them.

  Args:
    experiment: Gives the workdir and the task.
    name: Name of the run, and of the directory within the workdir.
    fitted: The models.
    seeds: One seed per model.
    step: Number of the checkpoint.
  """
  note = {
    **fitted.model.note,
    'dataset': experiment.task.name,
    'class_names': list(experiment.task.class_names),
    'opening': dict(experiment.task.opening),
    'batch': note_of_batch(experiment.task.batch()),
    'seeds': list(seeds),
    'measures': {
      name: [float(value) for value in values]
      for name, values in fitted.measures.items()
    },
  }
  directory = experiment.workdir / (experiment.prefix + name)
  kdjax.checkpoint.save(directory, step, fitted.variables, note)


def _save_if_due(
  experiment: Experiment,
  run: Run,
  directory: pathlib.Path,
  epoch: int,
  states: TrainState | AveragedState,
) -> None:
  """Saves every few epochs, after the last epoch, and on a stop signal."""
  every = experiment.budget.checkpoint_every or max(1, run.epochs // 10)
  signal_number = processes.agreed(
    (experiment.stop.number or 0) if experiment.stop else 0
  )
  if signal_number or epoch % every == 0 or epoch == run.epochs:
    kdjax.checkpoint.save(directory, epoch, states, {'run': directory.name})
  if signal_number:
    raise Interrupted(
      signal_number,
      f'stopped after epoch {epoch} of {run.epochs} of the '
      f'{experiment.prefix}{run.name} run; '
      f'continue with --resume --workdir={experiment.workdir}',
    )
