"""Training, with checkpoints, and the final model on disk."""

import math
import pathlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kdjax import checkpoint, training
from kdjax.models import ModelVariables
from kdjax.recipes import programs
from kdjax.recipes.run import Context, Run
from kdjax.training import loop


class Trained(NamedTuple):
  """The end of a run.

  Attributes:
    variables: Stacked, one model per seed.
    accuracy: Fraction of the test set after the last epoch, `[seeds]`.
    steps: Steps taken in this process.
    seconds: Time they took, evaluation and checkpoints included.
  """

  variables: ModelVariables
  accuracy: np.ndarray
  steps: int
  seconds: float


def train(context: Context, run: Run) -> Trained:
  """Trains, resuming from the run's last checkpoint if there is one.

  Raises:
    DivergenceError: if the loss stops being finite.
    Interrupted: if `context.stop` noted a signal; a checkpoint was saved.
  """
  optimizer = programs.optimizer_of(context, run)
  states = programs.initial_states(context, run, optimizer)
  directory = context.workdir / 'checkpoints' / run.name
  done = checkpoint.latest_step(directory) or 0
  if done:
    states = checkpoint.restore(directory, states)
  states = training.replicate(states)
  run_epoch = programs.epoch_program(context, run, optimizer, states)
  evaluate = programs.evaluation(
    context.settings, context.dataset, run.model, states.model
  )
  context.observer.start(run.name, run.epochs, done)
  begun, accuracy = time.perf_counter(), None

  def after_epoch(epoch, states, metrics):
    nonlocal accuracy
    test = evaluate(states.model)
    accuracy = test['accuracy']
    means = programs.epoch_means(
      metrics, len(run.source), context.settings.batch_size
    )
    context.observer.epoch(run.name, epoch, run.seeds, means, test)
    _save_if_due(context, run, directory, epoch, states)

  states = loop.fit(
    states,
    lambda states, epoch: run_epoch(states, epoch + run.epoch_offset),
    first_epoch=done,
    epochs=run.epochs,
    after_epoch=after_epoch,
  )
  seconds = time.perf_counter() - begun
  if accuracy is None:
    accuracy = evaluate(states.model)['accuracy']
  note = describe(
    context, run.architecture, run.seeds, accuracy, run.classifier_of
  )
  checkpoint.save(context.workdir / run.name, run.epochs, states.model, note)
  steps_per_epoch = math.ceil(len(run.source) / context.settings.batch_size)
  steps = (run.epochs - done) * steps_per_epoch
  return Trained(states.model, accuracy, steps, seconds)


def describe(
  context: Context,
  architecture: str,
  seeds: Sequence[int],
  accuracy: np.ndarray,
  classifier_of: str | None = None,
) -> dict[str, Any]:
  """The note of a saved model: what is needed to load and to trust it."""
  return {
    'model': architecture,
    'classifier_of': classifier_of,
    'dataset': context.dataset.name,
    'classes': context.dataset.classes,
    'image_shape': list(context.dataset.image_shape),
    'mean': list(context.dataset.mean),
    'std': list(context.dataset.std),
    'precision': context.settings.precision,
    'seeds': list(seeds),
    'accuracy': [float(value) for value in accuracy],
  }


def _save_if_due(
  context: Context,
  run: Run,
  directory: pathlib.Path,
  epoch: int,
  states: training.TrainState,
) -> None:
  """Saves every few epochs, after the last, and when asked to stop."""
  every = context.settings.checkpoint_every or max(1, run.epochs // 10)
  signal_number = context.stop.number if context.stop else None
  if signal_number or epoch % every == 0 or epoch == run.epochs:
    checkpoint.save(directory, epoch, states, {'run': run.name})
  if signal_number:
    raise loop.Interrupted(
      signal_number,
      f'stopped after epoch {epoch} of {run.epochs} of the {run.name} run; '
      f'continue with --resume --workdir={context.workdir}',
    )
