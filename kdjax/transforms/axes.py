"""Loss transforms on a mapped axis: means, gathered batches, batch norms.

On an axis that `jax.pmap` or `jax.shard_map` maps over, each device sees its
own examples. `on_axis` makes of a transform the loss of the global batch: the
same value on every device, and gradients whose mean over the devices
(`jax.lax.pmean`) is that of one device, whether `shard_map` tracks what varies
(`check_vma`) or not.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from kdjax.losses import placement
from kdjax.transforms import base

# From the name of a mapped axis, or None, to a transform's init and apply.
Build = Callable[[str | None], tuple[Callable, Callable]]


def on_axis(term: base.LossTransform, axis_name: str) -> base.LossTransform:
  """The loss of the global batch, on a mapped axis; `make_train_step` calls it.

  Terms of single examples are averaged over the axis; terms that couple the
  examples gather them, and so does a transform that does not say what it is
  (`LossTransform(init, apply)`), which is right for either; batch norms inside
  of losses take their statistics over the axis.

  >>> term = on_axis(regression_targets(), 'batch')
  >>> def loss(student, teacher):
  ...   outputs = {'prediction': student}, {'prediction': teacher}
  ...   return term.apply(LossVariables(), *outputs, {}, 0)[0]
  >>> student, teacher = jnp.zeros((2, 1)), jnp.array([[1.0], [3.0]])
  >>> print(jax.vmap(loss, axis_name='batch')(student, teacher))
  [5. 5.]

  Args:
    term: Any transform.
    axis_name: The axis that `jax.pmap` or `jax.shard_map` maps over. `apply`
      must run inside of it.
  """
  if term.on_axis is None:
    return across_devices(term, axis_name)
  return term.on_axis(axis_name)


def across_devices(
  term: base.LossTransform, axis_name: str = 'batch'
) -> base.LossTransform:
  """Makes a loss see the global batch, by gathering what it reads.

  What `on_axis` does to terms that couple examples. Every device computes the
  loss of the global batch: the same value on each. Without tracking of what
  varies, the gradient of that value with respect to one device's outputs
  arrives from every device, the number of devices times too large; the mean
  over the devices, which a data parallel step takes of its gradients anyway,
  makes it right.

  >>> term = across_devices(linear_cka(), 'batch')
  >>> def loss(student, teacher):
  ...   outputs = {'embedding': student}, {'embedding': teacher}
  ...   return term.apply(LossVariables(), *outputs, {}, 0)[0]
  >>> student = jnp.array([[[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
  >>> found = jax.vmap(loss, axis_name='batch')(student, student[..., :1])
  >>> [round(x, 4) for x in found.tolist()]
  [0.2094, 0.2094, 0.2094]

  Args:
    term: Any transform.
    axis_name: The axis that `jax.pmap` or `jax.shard_map` maps over. `apply`
      must run inside of it.
  """

  def apply(variables, student, teacher, batch, step):
    result = term.apply(
      variables,
      _Gathered(student, axis_name),
      _Gathered(teacher, axis_name),
      _Gathered(batch, axis_name),
      step,
    )
    return _equal_everywhere(result, axis_name)

  return on_this_axis(term.init, apply, axis_name)


def coupled(init: Callable, apply: Callable) -> base.LossTransform:
  """A transform that couples the examples of a batch."""
  term = base.LossTransform(init, base.on_any_mesh(apply))
  return term._replace(on_axis=lambda axis: across_devices(term, axis))


def per_example(init: Callable, apply: Callable) -> base.LossTransform:
  """A transform whose value is a mean over examples, as `base.batch_mean`."""
  return synchronised(lambda axis_name: (init, apply))


def synchronised(build: Build) -> base.LossTransform:
  """A transform whose examples meet in sums over the batch only.

  Args:
    build: From the name of a mapped axis, or None for a whole batch, to `init`
      and `apply`. On an axis the value of `apply` is the device's share, whose
      mean over the axis is the loss.
  """
  init, apply = build(None)

  def on_axis(axis_name):
    init, apply = build(axis_name)
    apply = base.on_any_mesh(apply)

    def averaged(variables, student, teacher, batch, step):
      value, state, metrics = apply(variables, student, teacher, batch, step)
      value, metrics = jax.tree.map(
        lambda x: mean_over(x, axis_name), (value, metrics)
      )
      return value, state, metrics

    return on_this_axis(init, averaged, axis_name)

  return base.LossTransform(init, base.on_any_mesh(apply), on_axis)


def mean_over(x: jax.Array, axis_name: str) -> jax.Array:
  """Mean over a mapped axis, whose gradient is each device's own share.

  Where JAX tracks what varies, that is `jax.lax.pmean`. Elsewhere the gradient
  of `pmean` would send the slope around once more, to come back as it was.
  """
  if axis_name in placement.varying_axes(x):
    return jax.lax.pmean(x, axis_name)
  own = jax.lax.stop_gradient(x)
  return jax.lax.pmean(own, axis_name) + (x - own)


def on_this_axis(
  init: Callable, apply: Callable, axis_name: str
) -> base.LossTransform:
  """A transform that is on its axis already."""
  term = base.LossTransform(init, apply)

  def again(name):
    if name != axis_name:
      raise ValueError(
        f'axis_name must be {axis_name!r}, which the loss is made for, got '
        f'{name!r}.'
      )
    return term._replace(on_axis=again)

  return term._replace(on_axis=again)


def _equal_everywhere(tree: Any, axis_name: str) -> Any:
  """Tells JAX, where it tracks what varies, that devices agree on values."""

  def told(x):
    if axis_name not in placement.varying_axes(x):
      return x
    inexact = jnp.issubdtype(x.dtype, jnp.inexact)
    reduce = jax.lax.pmean if inexact else jax.lax.pmax
    return reduce(x, axis_name)

  return jax.tree.map(told, tree)


class _Gathered(Mapping):
  """Outputs of all devices; an entry travels only if it is read."""

  def __init__(self, outputs: base.Outputs, axis_name: str):
    self._outputs, self._axis_name = outputs, axis_name

  def __getitem__(self, name: str) -> jax.Array:
    return jax.lax.all_gather(self._outputs[name], self._axis_name, tiled=True)

  def __contains__(self, name: object) -> bool:
    return name in self._outputs

  def __iter__(self) -> Iterator[str]:
    return iter(self._outputs)

  def __len__(self) -> int:
    return len(self._outputs)
