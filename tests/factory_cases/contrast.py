"""A padded batch for relations that own something, and one jitted step."""

import functools

import jax
import numpy as np

from kdjax.transforms import LossVariables, contrast

WEIGHT = np.float32([6 / 4, 0, 6 / 4, 6 / 4, 6 / 4, 0])
KEEP = WEIGHT > 0
LABELS = np.arange(12) % 3
INDEX = np.int32([3, 0, 7, 8, 1, 0])
BATCH = {
  'index': INDEX,
  'label': np.int32(LABELS[INDEX]),
  'weight': WEIGHT,
}
crd = functools.partial(
  contrast.contrastive_representation,
  examples=12,
  negatives=5,
  dim=3,
  temperature=0.5,
)


def normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def taps(width=5, padding=np.nan):
  student, teacher = normal(0, 6, 2, 2, 1), normal(1, 6, width)
  student[~KEEP] = teacher[~KEEP] = padding
  return {'embedding': student}, {'embedding': teacher}


def shapes(tree):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def init(term, student, teacher):
  return term.init(jax.random.key(3), shapes(student), shapes(teacher))


@functools.cache
def _program(term):
  def value(params, student, state, teacher, batch, step):
    value, state, metrics = term.apply(
      LossVariables(params, state), student, teacher, batch, step
    )
    assert metrics == {}
    return value, state

  return jax.jit(jax.value_and_grad(value, argnums=(0, 1), has_aux=True))


def apply(term, variables, student, teacher, batch=BATCH, step=0):
  """Value, gradients of params and of the student, and new state."""
  params, state = variables
  (value, state), slopes = _program(term)(
    params, student, state, teacher, batch, np.int32(step)
  )
  return value, slopes, state


def embedded(params, side, outputs):
  """What the dense layer of one side makes of the real rows, in NumPy."""
  x = np.float64(outputs['embedding'][KEEP].reshape(KEEP.sum(), -1))
  if side not in params:
    return x
  return x @ np.float64(params[side]['kernel']) + np.float64(
    params[side]['bias']
  )
