"""The pure train and eval steps: no devices, no loop, no I/O."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from kdjax.losses.numerics import at_least_float32
from kdjax.models import Model, ModelVariables
from kdjax.training.state import TrainState, trainable
from kdjax.transforms import LossTransform, LossVariables


def make_train_step(
  student: Model,
  loss: LossTransform,
  optimizer: optax.GradientTransformation,
  *,
  teacher: Model | None = None,
  axis_name: str | None = None,
  over_students: Callable[[Callable], Callable] | None = None,
) -> Callable:
  """Builds the step that holds teacher, student and loss in one program.

  Args:
    student: The network that trains.
    loss: What it minimises.
    optimizer: Over `trainable(model, loss)`.
    teacher: Runs once a batch in inference mode, on exactly the images that
      the student sees, without gradients. None for training from labels, or
      from outputs that come with the batch, in `batch['teacher']` by name.
    axis_name: The mapped axis the batch is split over; gradients, metrics and
      states are averaged over it. None for one device.
    over_students: None for a state of one student, `vmapped` or `unrolled`
      for stacked states, which then share one teacher pass.

  Returns:
    `train_step(state, teacher_variables, batch) -> (state, metrics)`. Metrics
    are scalars (one per student if stacked): `loss`, `accuracy`,
    `gradient_norm`, and what the loss reports.
  """

  def student_step(state, teacher_outputs, batch):
    return _student_step(
      student, loss, optimizer, axis_name, state, teacher_outputs, batch
    )

  step_all = over_students(student_step) if over_students else student_step

  def train_step(state: TrainState, teacher_variables: Any, batch: Mapping):
    batch = dict(batch)
    outputs = batch.pop('teacher', {})
    if teacher is not None:
      outputs, _ = teacher.apply(teacher_variables, batch['image'])
      outputs = jax.lax.stop_gradient(outputs)
    return step_all(state, outputs, batch)

  return train_step


def _student_step(
  student, loss, optimizer, axis_name, state, teacher_outputs, batch
):
  """One update of one student, given the teacher's outputs."""
  key = jax.random.fold_in(jax.random.key(state.seed), state.step)
  if axis_name is not None:
    # Devices hold different examples, which want different dropout masks.
    key = jax.random.fold_in(key, jax.lax.axis_index(axis_name))

  def objective(params):
    variables = ModelVariables(params['model'], state.model.state)
    outputs, model_state = student.apply(
      variables, batch['image'], train=True, key=key
    )
    value, loss_state, metrics = loss.apply(
      LossVariables(params['loss'], state.loss.state),
      outputs,
      teacher_outputs,
      batch,
      state.step,
    )
    metrics = {
      'loss': value,
      'accuracy': _accuracy(outputs['logits'], batch),
      **metrics,
    }
    return value, (model_state, loss_state, metrics)

  params = trainable(state.model, state.loss)
  gradients, (model_state, loss_state, metrics) = jax.grad(
    objective, has_aux=True
  )(params)
  gradients, metrics = _mean_over(axis_name, (gradients, metrics))
  model_state, loss_state = _mean_state(
    axis_name, (model_state, loss_state), (state.model.state, state.loss.state)
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


def _mean_over(axis_name: str | None, tree: Any) -> Any:
  """Mean over devices; integers (counters, keys) are equal on all of them."""
  if axis_name is None:
    return tree
  return jax.tree.map(
    lambda x: (
      jax.lax.pmean(x, axis_name) if jnp.issubdtype(x.dtype, jnp.inexact) else x
    ),
    tree,
  )


def _mean_state(axis_name: str | None, new: Any, old: Any) -> Any:
  """The old state and the mean over devices of its change.

  The mean of equal numbers is not always that number: an all-reduce rounds. So
  what no device changes (a frozen classifier, a memory's other rows) would
  drift, step by step.
  """
  if axis_name is None:
    return new

  def one(new, old):
    if not jnp.issubdtype(new.dtype, jnp.inexact):
      return new
    base = jnp.where(jnp.isfinite(old), old, 0)
    return base + jax.lax.pmean(new - base, axis_name)

  return jax.tree.map(one, new, old)


def _accuracy(logits: jax.Array, batch: Mapping) -> jax.Array:
  """Fraction of the batch's real examples that are predicted right."""
  correct = jnp.argmax(logits, axis=-1) == batch['label']
  return jnp.mean(correct.astype(jnp.float32) * batch['weight'])


def make_eval_step(model: Model, *, axis_name: str | None = None) -> Callable:
  """Builds the step that counts what a model gets right.

  Args:
    model: Any model; runs in inference mode.
    axis_name: The mapped axis the batch is split over, or None.

  Returns:
    `eval_step(variables, batch) -> sums`: over the examples of weight above
    zero, the sums `correct`, `loss` (cross-entropy, nats) and `examples`.
  """

  def eval_step(variables: ModelVariables, batch: Mapping):
    outputs, _ = model.apply(variables, batch['image'])
    logits, label = at_least_float32(outputs['logits']), batch['label']
    real = batch['weight'] > 0
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(
      logits, label
    )
    sums = {
      'correct': jnp.sum(real & (jnp.argmax(logits, axis=-1) == label)),
      'loss': jnp.sum(jnp.where(real, losses, 0)),
      'examples': jnp.sum(real),
    }
    return jax.lax.psum(sums, axis_name) if axis_name else sums

  return eval_step
