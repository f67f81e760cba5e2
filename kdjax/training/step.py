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
from kdjax.training.accumulation import Due
from kdjax.training.state import (
  AveragedState,
  TrainState,
  averaged,
  trainable,
)
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
  ema: float = 0.0,
  due: Due | None = None,
) -> Callable:
  """Builds the step that holds teacher, student and loss in one program.

  Args:
    student: The network that trains.
    loss: The loss that the student minimises.
    optimizer: Optimizer of `trainable(model, loss)`.
    teacher: The teacher. It runs once per batch in inference mode, on exactly
      the batch of the student, without gradients. None for training from
      labels, or from teacher outputs in `batch['teacher']`, by name.
    axis_name: The mapped axis over which `jax.pmap` or `jax.shard_map`, with or
      without `check_vma`, splits the batch. `loss` then becomes the loss of the
      global batch (`transforms.on_axis`), and gradients, metrics and states are
      averaged over the axis. None for one device, and under `jax.jit` with
      sharded arrays.
    over_students: None for a state of one student, `vmapped` or `unrolled`
      for stacked states, which then share one teacher pass.
    measures: Functions `(outputs, batch) -> one number per example` by name,
      such as `tasks.correct`; the step averages them for the student.
    ema: Decay of the moving average in an `AveragedState`; not read for a
      `TrainState`.
    due: The steps after which the average moves; all by default.

  Returns:
    `train_step(state, teacher_variables, batch) -> (state, metrics)`. `batch`
    needs the arrays that the networks, the loss and the measures read; these
    need not include labels. Metrics are scalars (one per student if stacked):
    `loss`, `gradient_norm`, the measures, and the metrics of the loss.
  """
  if axis_name is not None:
    loss = on_axis(loss, axis_name)
  parts = _Parts(
    student, loss, optimizer, axis_name, dict(measures or {}), ema, due
  )
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
  """The parts of a step; all static."""

  student: Model
  loss: LossTransform
  optimizer: optax.GradientTransformation
  axis_name: str | None
  measures: Mapping[str, PerExample]
  ema: float
  due: Due | None


def _student_step(parts: _Parts, state, teacher_outputs, batch):
  """One update of one student, given the teacher's outputs."""
  params = trainable(state.model, state.loss)
  gradients, (model_state, loss_state, metrics) = jax.grad(
    _objective(parts, state, teacher_outputs, batch), has_aux=True
  )(params)
  axis = _Axis(parts.axis_name, bool(placement.varying_axes(batch)))
  gradients, metrics = axis.mean((gradients, metrics))
  model_state, loss_state = axis.mean_state(
    (model_state, loss_state), (state.model.state, state.loss.state)
  )
  metrics['gradient_norm'] = optax.tree.norm(gradients)
  updates, opt_state = parts.optimizer.update(
    gradients, state.opt_state, params
  )
  params = optax.apply_updates(params, updates)
  state = state._replace(
    step=state.step + 1,
    model=ModelVariables(params['model'], model_state),
    loss=LossVariables(params['loss'], loss_state),
    opt_state=opt_state,
  )
  return _moved(state, parts.ema, parts.due), metrics


def _objective(parts: _Parts, state, teacher_outputs, batch) -> Callable:
  """Returns the loss as a function of the trainable parameters."""
  key = jax.random.fold_in(jax.random.key(state.seed), state.step)
  if parts.axis_name is not None:
    # Devices hold different examples, which need different dropout masks.
    key = jax.random.fold_in(key, jax.lax.axis_index(parts.axis_name))

  def objective(params):
    variables = ModelVariables(params['model'], state.model.state)
    outputs, model_state = parts.student.apply(
      variables, batch, train=True, key=key
    )
    value, loss_state, metrics = parts.loss.apply(
      LossVariables(params['loss'], state.loss.state),
      outputs,
      teacher_outputs,
      batch,
      state.step,
    )
    measured = {
      name: batch_mean(measure(outputs, batch), batch)
      for name, measure in parts.measures.items()
    }
    metrics = {'loss': value, **measured, **metrics}
    return value, (model_state, loss_state, metrics)

  return objective


def _moved(
  state: TrainState | AveragedState, ema: float, due: Due | None
) -> TrainState | AveragedState:
  """Moves the average of a state that has one."""
  if not isinstance(state, AveragedState):
    return state
  new = averaged(state.average, state.model, ema)
  if due is not None:
    now = due(state.step)
    new = jax.tree.map(lambda x, y: jnp.where(now, x, y), new, state.average)
  return state._replace(average=new)


class _Axis(NamedTuple):
  """The mapped axis of a step.

  Attributes:
    name: Name of the axis; None for no axis.
    tracked: Whether JAX tracks which arrays vary over the axis. JAX then sums
      the gradients itself, and arrays that do not vary are the same on all
      devices.
  """

  name: str | None
  tracked: bool

  def mean(self, tree: Any) -> Any:
    """Averages over devices; integers (counters, keys) are equal on them."""
    return jax.tree.map(self._mean, tree)

  def mean_state(self, new: Any, old: Any) -> Any:
    """Adds the mean change over devices to the old state.

    The mean of equal numbers is not always that number, because an all-reduce
    rounds. Without this form, arrays that no device changes (a frozen
    classifier, a memory's other rows) would drift step by step.
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
  """Builds the step that sums up the measures of a model.

  Args:
    model: Any model; runs in inference mode.
    measures: Measures by name, for instance of a task.
    axis_name: The mapped axis over which the batch is split, or None.

  Returns:
    `eval_step(variables, batch) -> sums` by name, over the examples whose
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
