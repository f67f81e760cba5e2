"""The pure train and eval steps: no devices, no loop, no I/O."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from kdjax.losses import placement
from kdjax.models import Model, ModelVariables
from kdjax.tasks.measures import Measure, PerExample
from kdjax.training.state import TrainState, trainable
from kdjax.transforms import LossTransform, LossVariables, on_axis
from kdjax.transforms.base import batch_mean


def make_train_step(
  student: Model,
  loss: LossTransform,
  optimizer: optax.GradientTransformation,
  *,
  teacher: Model | None = None,
  axis_name: str | None = None,
  over_students: Callable[[Callable], Callable] | None = None,
  measures: Mapping[str, PerExample] | None = None,
) -> Callable:
  """Builds the step that holds teacher, student and loss in one program.

  Args:
    student: The network that trains.
    loss: What it minimises.
    optimizer: Over `trainable(model, loss)`.
    teacher: Runs once a batch in inference mode, on exactly the batch that
      the student sees, without gradients. None for training from labels, or
      from outputs that come with the batch, in `batch['teacher']` by name.
    axis_name: The mapped axis the batch is split over, by `jax.pmap` or
      `jax.shard_map`, with `check_vma` or without: `loss` becomes that of the
      global batch (`transforms.on_axis`); gradients, metrics and states are
      averaged over the axis. None for one device, and under `jax.jit` with
      sharded arrays.
    over_students: None for a state of one student, `vmapped` or `unrolled`
      for stacked states, which then share one teacher pass.
    measures: By name `(outputs, batch) -> one number per example`, of the
      student, to be averaged; such as `tasks.correct`.

  Returns:
    `train_step(state, teacher_variables, batch) -> (state, metrics)`. `batch`
    needs what the networks, the loss and the measures read, labels or not.
    Metrics are scalars (one per student if stacked): `loss`, `gradient_norm`,
    the measures, and what the loss reports.
  """
  if axis_name is not None:
    loss = on_axis(loss, axis_name)
  parts = _Parts(student, loss, optimizer, axis_name, dict(measures or {}))
  student_step = functools.partial(_student_step, parts)
  step_all = over_students(student_step) if over_students else student_step

  def train_step(state: TrainState, teacher_variables: Any, batch: Mapping):
    batch = dict(batch)
    outputs = batch.pop('teacher', {})
    if teacher is not None:
      outputs, _ = teacher.apply(teacher_variables, batch)
      outputs = jax.lax.stop_gradient(outputs)
    return step_all(state, outputs, batch)

  return train_step


class _Parts(NamedTuple):
  """What a step is made of; all static."""

  student: Model
  loss: LossTransform
  optimizer: optax.GradientTransformation
  axis_name: str | None
  measures: Mapping[str, PerExample]


def _student_step(parts: _Parts, state, teacher_outputs, batch):
  """One update of one student, given the teacher's outputs."""
  student, loss, optimizer, axis_name, measures = parts
  key = jax.random.fold_in(jax.random.key(state.seed), state.step)
  if axis_name is not None:
    # Devices hold different examples, which want different dropout masks.
    key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))

  def objective(params):
    variables = ModelVariables(params['model'], state.model.state)
    outputs, model_state = student.apply(variables, batch, train=True, key=key)
    value, loss_state, metrics = loss.apply(
      LossVariables(params['loss'], state.loss.state),
      outputs,
      teacher_outputs,
      batch,
      state.step,
    )
    measured = {
      name: batch_mean(measure(outputs, batch), batch)
      for name, measure in measures.items()
    }
    metrics = {'loss': value, **measured, **metrics}
    return value, (model_state, loss_state, metrics)

  params = trainable(state.model, state.loss)
  gradients, (model_state, loss_state, metrics) = jax.grad(
    objective, has_aux=True
  )(params)
  axis = _Axis(axis_name, bool(placement.varying_axes(batch)))
  gradients, metrics = axis.mean((gradients, metrics))
  model_state, loss_state = axis.mean_state(
    (model_state, loss_state), (state.model.state, state.loss.state)
  )
  metrics['gradient_norm'] = optax.tree.norm(gradients)
  updates, opt_state = optimizer.update(gradients, state.opt_state, params)
  params = optax.apply_updates(params, updates)
  state = TrainState(
    step=state.step + 1,
    seed=state.seed,
    model=ModelVariables(params['model'], model_state),
    loss=LossVariables(params['loss'], loss_state),
    opt_state=opt_state,
  )
  return state, metrics


class _Axis(NamedTuple):
  """The mapped axis of a step.

  Attributes:
    name: None for no axis.
    tracked: Whether JAX tracks what varies over it. Gradients are summed
      already then, and what does not vary is the same on all devices.
  """

  name: str | None
  tracked: bool

  def mean(self, tree: Any) -> Any:
    """Mean over devices; integers (counters, keys) are equal on all of them."""
    return jax.tree.map(self._mean, tree)

  def mean_state(self, new: Any, old: Any) -> Any:
    """The old state and the mean over devices of its change.

    The mean of equal numbers is not always that number: an all-reduce rounds.
    So what no device changes (a frozen classifier, a memory's other rows) would
    drift, step by step.
    """

    def one(new, old):
      if not jnp.issubdtype(new.dtype, jnp.inexact):
        return self._mean(new)
      base = jnp.where(jnp.isfinite(old), old, 0)
      return base + self._mean(new - base)

    return new if self.name is None else jax.tree.map(one, new, old)

  def _mean(self, x: jax.Array) -> jax.Array:
    varies = self.name in placement.varying_axes(x)
    if self.name is None or (self.tracked and not varies):
      return x
    if jnp.issubdtype(x.dtype, jnp.inexact):
      return jax.lax.pmean(x, self.name)
    return jax.lax.pmax(x, self.name) if varies else x


def make_eval_step(
  model: Model,
  measures: Mapping[str, Measure],
  *,
  axis_name: str | None = None,
) -> Callable:
  """Builds the step that sums up what is measured of a model.

  Args:
    model: Any model; runs in inference mode.
    measures: By name, such as a task's.
    axis_name: The mapped axis the batch is split over, or None.

  Returns:
    `eval_step(variables, batch) -> sums`, by name, over the examples whose
    `batch['weight']` is above zero.
  """

  def eval_step(variables: ModelVariables, batch: Mapping):
    outputs, _ = model.apply(variables, batch)
    real = batch['weight'] > 0
    sums = {
      name: measure.sums(outputs, batch, real)
      for name, measure in measures.items()
    }
    return jax.lax.psum(sums, axis_name) if axis_name else sums

  return eval_step
