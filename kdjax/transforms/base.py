"""The type of loss transforms, and functions that their factories share."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from kdjax.losses import placement

Outputs = Mapping[str, jax.Array]


class LossVariables(NamedTuple):
  """Parameters and state that a loss owns.

  Attributes:
    params: Trained with the student by one optimizer: regressors, connectors,
      variances, learned temperatures. `{}` where there are none.
    state: Carried from step to step and not trained: memories, batch
      statistics. `{}` where there is none.
  """

  params: Any = {}  # noqa: RUF012 (never mutated)
  state: Any = {}  # noqa: RUF012


class LossTransform(NamedTuple):
  """A loss bound to named outputs of student and teacher.

  Attributes:
    init: `(key, student, teacher) -> LossVariables`. `student` and `teacher`
      map names (`logits` and the taps) to arrays; only their shapes and
      dtypes are read, so outputs of `jax.eval_shape` will do.
    apply: `(variables, student, teacher, batch, step) -> (value, state,
      metrics)`: a scalar to minimise, the new state and a dict of
      scalars to watch. `batch` maps `label`, `index` and `weight`, each
      `[batch]`, to what the step was given; `step` is an int32 scalar.
    on_axis: `axis_name -> LossTransform`: the loss of the global batch, where
      the batch is split over a mapped axis; see `transforms.on_axis`. None
      stands for gathering all that `apply` reads, which is always right.

  `batch['weight']` is each example's share of the batch: mean 1 over the
  global batch, 0 for padding. A batch without it counts every example alike.
  """

  init: Callable[..., LossVariables]
  apply: Callable[..., tuple[jax.Array, Any, dict[str, jax.Array]]]
  on_axis: Callable[[str], 'LossTransform'] | None = None


def on_any_mesh(apply: Callable) -> Callable:
  """`apply` of a transform, also for arrays on a mesh with explicit axes."""

  def placed(variables, student, teacher, batch, step):
    return placement.with_arrays(
      lambda arguments: apply(*arguments),
      (variables, student, teacher, batch, step),
      lambda _: PartitionSpec(),
      aligned=False,
    )

  return placed


class UnknownTapError(ValueError):
  """A loss names an output that its network does not have."""

  def __init__(self, name: str, network: str, known: tuple[str, ...]):
    super().__init__(
      f'{network} has no output {name!r}; it has {", ".join(known)}.'
    )
    self.name, self.network, self.known = name, network, known


def check_name(name: str, outputs: Outputs, network: str) -> None:
  """Raises UnknownTapError, which lists the names there are."""
  if name not in outputs:
    raise UnknownTapError(name, network, tuple(sorted(outputs)))


def batch_mean(
  losses: chex.Array,
  batch: Mapping,
  valid: chex.Array | None = None,
  axis_name: str | None = None,
) -> jax.Array:
  """Mean of per-example losses over the real examples of the batch.

  On one of several devices this is the device's share, whose mean over the
  devices is the mean over the global batch, however the padding falls.

  Args:
    losses: Shape `[batch, ...]`; further axes are averaged over.
    batch: With or without `weight`, shape `[batch]`.
    valid: Booleans of the shape of `losses`: the mean is over these positions
      of the global batch. None for all.
    axis_name: Mapped axis that the positions are counted over; None for a
      whole batch.
  """
  weight = batch.get('weight')
  if valid is None:
    losses = losses.reshape(losses.shape[0], -1).mean(axis=-1)
    if weight is None:
      return jnp.mean(losses)
    # Not a bare product: padding may hold NaN, and 0 * NaN is NaN.
    share = jnp.where(weight > 0, losses * weight.astype(losses.dtype), 0)
    return jnp.mean(share)
  shares = valid.astype(losses.dtype)
  if weight is not None:
    weight = weight.astype(losses.dtype)
    shares *= weight.reshape(-1, *(1,) * (losses.ndim - 1))
  total = jnp.sum(jnp.where(shares > 0, losses * shares, 0))
  count = jnp.sum(shares)
  if axis_name is not None:
    # The device's share: times their number, for the mean over the devices.
    count = jax.lax.pmean(count, axis_name)
  return total / jnp.where(count > 0, count, 1)


def check_same_classes(
  student: Outputs,
  teacher: Outputs,
  names: tuple[str, str] = ('logits', 'logits'),
) -> None:
  """Raises ValueError unless both networks have the same classes.

  Args:
    student: Outputs of the student.
    teacher: Outputs of the teacher.
    names: Names of the student's and the teacher's logits.
  """
  check_name(names[0], student, 'student')
  check_name(names[1], teacher, 'teacher')
  classes = student[names[0]].shape[-1], teacher[names[1]].shape[-1]
  if classes[0] != classes[1]:
    raise ValueError(
      'student and teacher must have the same number of classes, got '
      f'{classes[0]} and {classes[1]}.'
    )


def without_padding(x: chex.Array, batch: Mapping) -> jax.Array:
  """A tap with zeros for padding, which may hold NaN.

  A connector would hand it on: the loss of padding is left out, but 0 * NaN in
  the gradient of a kernel is NaN.
  """
  weight = batch.get('weight')
  if weight is None:
    return x
  return jnp.where((weight > 0).reshape(-1, *(1,) * (x.ndim - 1)), x, 0)
