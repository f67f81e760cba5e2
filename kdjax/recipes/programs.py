"""The programs of a run: its states, its epoch, its evaluation."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from kdjax import data, training
from kdjax.models import Model, ModelVariables
from kdjax.recipes import reads
from kdjax.recipes.run import Context, Run
from kdjax.recipes.settings import Settings

# Larger training sets are streamed: they would crowd the device's memory.
_LARGEST_RESIDENT_BYTES = 4 * 2**30
_EVALUATION_BATCH = 512

_VIEWS = {
  'none': data.identity_view(),
  'shift': data.crop_views(padding=1),
  'pad_crop_flip': data.crop_flip_views(padding=4),
}


def views_of(settings: Settings) -> data.Views:
  """The views of an example that the augmentation draws from."""
  return _VIEWS[settings.augmentation]


def batch_shapes(
  dataset: data.Dataset, examples: int = 2
) -> dict[str, jax.ShapeDtypeStruct]:
  """Shapes and dtypes of a batch, for `init` and `jax.eval_shape`."""
  kinds: dict[str, tuple[tuple[int, ...], Any]] = {
    'image': (dataset.image_shape, jnp.uint8),
    'label': ((), jnp.int32),
    'index': ((), jnp.int32),
    'weight': ((), jnp.float32),
  }
  return {
    name: jax.ShapeDtypeStruct((examples, *shape), dtype)
    for name, (shape, dtype) in kinds.items()
  }


def optimizer_of(context: Context, run: Run) -> optax.GradientTransformation:
  """The optimizer and schedule of a run."""
  settings = context.settings
  steps_per_epoch = math.ceil(len(run.source) / settings.batch_size)
  optimizer = training.make_optimizer(
    settings.optimizer,
    training.make_schedule(
      settings.schedule, settings.learning_rate, run.epochs * steps_per_epoch
    ),
    weight_decay=settings.weight_decay,
    clip_norm=settings.clip_norm,
  )
  if run.freeze_unreached:
    return training.freeze_unreached(optimizer)
  return optimizer


def initial_states(
  context: Context, run: Run, optimizer: optax.GradientTransformation
) -> training.TrainState:
  """The run's students before their first step, stacked."""
  batch = batch_shapes(context.dataset)
  teacher_outputs = {}
  if run.teacher is not None:
    teacher_outputs, _ = jax.eval_shape(
      run.teacher.apply, run.teacher_variables, batch
    )
  states = training.init_students(
    run.seeds, run.model, run.loss, optimizer, batch, teacher_outputs
  )
  return states if run.start is None else states._replace(model=run.start)


def over_students(stacked: ModelVariables) -> Callable:
  """How to run several students in one program.

  A vmapped convolution with one kernel per student is a grouped convolution,
  which has no fast kernel. Vision transformers, which have a kernel too, were
  measured to be faster unrolled on CPU, by 1.07 to 1.13.
  """
  return training.unrolled if _kernels(stacked) else training.vmapped


def _kernels(stacked: Any) -> list[jax.Array]:
  """The convolutions' kernels, `[students, height, width, in, out]`."""
  return [leaf for leaf in jax.tree.leaves(stacked) if leaf.ndim == 5]


def _slow_in_loops(states: training.TrainState) -> bool:
  """Whether XLA:CPU takes far longer for a step inside a loop.

  The gradients of convolutions do, those of a loss's connectors too. The only
  one of a vision transformer is a matrix product, and its step faster inside.
  """
  kernels = _kernels((states.model, states.loss))
  return jax.default_backend() == 'cpu' and len(kernels) > 1


def streams(
  settings: Settings, dataset: data.Dataset, source: data.Source
) -> bool:
  """Whether a source is fed from the host."""
  size = len(source) * math.prod(dataset.image_shape)
  return settings.stream or size > _LARGEST_RESIDENT_BYTES


def epoch_program(
  context: Context,
  run: Run,
  optimizer: optax.GradientTransformation,
  states: training.TrainState,
) -> training.Epoch:
  """The run's epoch: as one program where that is fast, or streamed."""
  settings, dataset = context.settings, context.dataset
  views = views_of(settings)
  more: dict[str, Any] = {}
  if streams(settings, dataset, run.source):
    make = training.streaming_epoch
  elif _slow_in_loops(states):
    make = training.stepped_epoch
  else:
    make = training.resident_epoch
    more['ahead'] = _ahead(settings, dataset, run)
  apart = run.cached or more.get('ahead')
  train_step = training.make_train_step(
    run.model,
    run.loss,
    optimizer,
    teacher=None if apart else run.teacher,
    axis_name=training.AXIS,
    over_students=over_students(states.model),
    measures={'accuracy': training.accuracy},
  )
  return make(
    train_step,
    None if run.cached else run.teacher_variables,
    run.source,
    views.augment,
    key=run.key,
    batch_size=settings.batch_size,
    cached=run.cached,
    **more,
  )


def _ahead(
  settings: Settings, dataset: data.Dataset, run: Run
) -> training.Ahead | None:
  """The teacher of a run, if it is to answer several batches in one pass."""
  if run.teacher is None or run.cached or settings.teacher_batches == 1:
    return None
  batch = batch_shapes(dataset, settings.batch_size)
  read = reads.of_teacher([run.loss], run.model, run.teacher, batch)
  if not read:
    return None
  return training.Ahead(run.teacher, tuple(read), settings.teacher_batches)


def evaluation(
  settings: Settings,
  dataset: data.Dataset,
  model: Model,
  stacked: ModelVariables,
) -> training.Evaluation:
  """The evaluation of stacked models on the test set."""
  make = (
    training.streaming_evaluation
    if streams(settings, dataset, dataset.test)
    else training.resident_evaluation
  )
  eval_step = training.make_eval_step(model, axis_name=training.AXIS)
  return make(
    over_students(stacked)(eval_step),
    dataset.test,
    batch_size=_EVALUATION_BATCH,
  )


def epoch_means(
  metrics: dict[str, np.ndarray], examples: int, batch_size: int
) -> dict[str, np.ndarray]:
  """Means over an epoch's examples: the last batch may hold fewer."""
  steps = len(metrics['loss'])
  counts = np.full(steps, batch_size)
  counts[-1] = examples - (steps - 1) * batch_size
  return {
    name: np.average(np.float64(values), axis=0, weights=counts)
    for name, values in metrics.items()
  }


def evaluate_models(
  settings: Settings,
  dataset: data.Dataset,
  model: Model,
  variables: ModelVariables,
) -> dict[str, np.ndarray]:
  """`accuracy` and `loss` on the test set of stacked models, `[models]`."""
  run = evaluation(settings, dataset, model, variables)
  return run(training.replicate(variables))
