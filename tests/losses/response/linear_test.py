"""Losses between two heads against the same losses of whole logits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import response as reference

from kdjax import losses

_TOKENS, _VOCABULARY = 11, 7


def _arrays(seed, dtype=np.float64):
  rng = np.random.default_rng(seed)
  shapes = (_TOKENS, 4), (4, _VOCABULARY), (_TOKENS, 3), (3, _VOCABULARY)
  return [rng.normal(size=shape).astype(dtype) for shape in shapes]


def _by_hand(kind, temperature, mask, arrays):
  """The mean over the tokens that count, in NumPy."""
  hidden, head, teacher_hidden, teacher_head = arrays
  student = hidden @ head / temperature
  teacher = teacher_hidden @ teacher_head / temperature
  values = []
  for s, t, counts in zip(student, teacher, mask, strict=True):
    if not counts:
      continue
    if kind == 'soft':
      value = temperature**2 * reference.kl(t, s)
    elif kind == 'reverse':
      value = reference.kl(s, t)
    else:
      value = reference.generalised_jensen_shannon([s], [t], 0.3, 1.0)[0]
    values.append(value)
  return np.mean(values)


_KINDS = {
  'soft': (losses.linear_soft_target_loss, {}),
  'reverse': (losses.linear_reverse_kl_loss, {}),
  'between': (losses.linear_generalised_jensen_shannon_loss, {'beta': 0.3}),
}
_MASKS = {
  'all': np.ones(_TOKENS),
  'some': np.arange(_TOKENS) % 3,
  'one': np.arange(_TOKENS) == 9,
}


def _whole(kind, temperature, mask, *arrays):
  """The usual form: all logits at once."""
  student, teacher = arrays[0] @ arrays[1], arrays[2] @ arrays[3]
  loss = {
    'soft': losses.soft_target_loss,
    'reverse': losses.reverse_kl_loss,
    'between': functools.partial(
      losses.generalised_jensen_shannon_loss, beta=0.3
    ),
  }[kind]
  values = loss(student, teacher, temperature=temperature)
  return jnp.sum(jnp.where(mask > 0, values, 0)) / int(np.sum(mask > 0))


@functools.cache
def _usual_gradients(kind, masked):
  """The same for any chunk."""
  whole = functools.partial(_whole, kind, 1.5, _MASKS[masked])
  return jax.jit(jax.grad(whole, argnums=(0, 1, 2, 3)))(*_arrays(1))


@pytest.mark.parametrize('kind', _KINDS)
@pytest.mark.parametrize('masked', _MASKS)
@pytest.mark.parametrize('chunk', [1, 4, 64])
def test_value_and_gradients(kind, masked, chunk):
  loss, options = _KINDS[kind]
  mask, arrays = _MASKS[masked], _arrays(1)
  with jax.enable_x64(True):
    value, slopes = jax.value_and_grad(
      functools.partial(
        loss, temperature=1.5, mask=mask, chunk=chunk, **options
      ),
      argnums=(0, 1, 2, 3),
    )(*arrays)
    usual = _usual_gradients(kind, masked)
  expected = _by_hand(kind, 1.5, mask, arrays)
  np.testing.assert_allclose(value, expected, rtol=1e-9)
  for slope, wanted in zip(slopes, usual, strict=True):
    np.testing.assert_allclose(slope, wanted, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize('side', [0, 1, 2, 3])
def test_one_gradient_alone(side):
  arrays = _arrays(2, np.float32)
  loss = functools.partial(losses.linear_soft_target_loss, chunk=4)
  alone = jax.jit(jax.grad(loss, argnums=side))(*arrays)
  every = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))(*arrays)[side]
  np.testing.assert_allclose(alone, every, rtol=1e-5, atol=1e-7)


def test_masked_tokens_are_not_read():
  arrays = _arrays(3, np.float32)
  mask = np.arange(_TOKENS) < 8
  spoilt = [x.copy() for x in arrays]
  for hidden in (spoilt[0], spoilt[2]):
    hidden[8:] = np.nan
  loss = jax.value_and_grad(
    functools.partial(losses.linear_soft_target_loss, mask=mask, chunk=3),
    argnums=(0, 1),
  )
  result, expected = loss(*spoilt), loss(*arrays)
  jax.tree.map(np.testing.assert_array_equal, result, expected)
  assert not np.any(result[1][0][8:])


def test_nothing_counts():
  loss = functools.partial(
    losses.linear_soft_target_loss, mask=np.zeros(_TOKENS), chunk=4
  )
  value, slopes = jax.value_and_grad(loss, argnums=(0, 1))(
    *_arrays(4, np.float32)
  )
  assert value == 0
  assert not any(np.any(slope) for slope in slopes)


def test_leading_axes_are_tokens():
  arrays = _arrays(5, np.float32)
  loss = losses.linear_soft_target_loss
  flat = loss(arrays[0][:10], arrays[1], arrays[2][:10], arrays[3])
  shaped = loss(
    arrays[0][:10].reshape(2, 5, 4),
    arrays[1],
    arrays[2][:10].reshape(2, 5, 3),
    arrays[3],
    mask=np.ones((2, 5)),
  )
  np.testing.assert_allclose(shaped, flat, rtol=1e-6)


def test_bfloat16_accumulates_in_float32():
  arrays = [jnp.asarray(x, jnp.bfloat16) for x in _arrays(6)]
  exact = [np.asarray(x, np.float32) for x in arrays]
  loss = jax.value_and_grad(losses.linear_soft_target_loss, argnums=(0, 1))
  (value, slopes), (wanted, wanted_slopes) = loss(*arrays), loss(*exact)
  assert value.dtype == jnp.float32
  np.testing.assert_allclose(value, wanted, rtol=1e-5)
  for slope, expected in zip(slopes, wanted_slopes, strict=True):
    assert slope.dtype == jnp.bfloat16
    size = np.abs(expected).max()
    np.testing.assert_allclose(
      np.float32(slope), expected, rtol=0.02, atol=0.02 * size
    )


def test_seeds_in_one_program():
  arrays = _arrays(7, np.float32)
  hidden = np.stack([arrays[0], 2 * arrays[0]])

  def slope(hidden):
    return jax.grad(functools.partial(losses.linear_soft_target_loss, chunk=4))(
      hidden, *arrays[1:]
    )

  together = jax.vmap(slope)(hidden)
  apart = np.stack([slope(x) for x in hidden])
  np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-7)


def test_memory_is_that_of_a_chunk():
  tokens, vocabulary, dim = 16384, 131072, 8
  x = [
    jax.ShapeDtypeStruct(shape, np.float32)
    for shape in ((tokens, dim), (dim, vocabulary)) * 2
  ]

  def temporary_bytes(loss):
    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1))).lower(*x)
    return compiled.compile().memory_analysis().temp_size_in_bytes

  whole = temporary_bytes(
    functools.partial(_whole, 'soft', 1.0, np.ones(tokens))
  )
  ours = temporary_bytes(
    functools.partial(losses.linear_soft_target_loss, chunk=256)
  )
  # The usual form holds the logits at least; so the measure sees them.
  assert whole > 4 * tokens * vocabulary
  assert ours < whole / 16


@pytest.mark.parametrize(
  'shapes',
  [
    ((5, 4), (3, 7), (5, 3), (3, 7)),
    ((5, 4), (4, 7), (6, 3), (3, 7)),
    ((5, 4), (4, 7), (5, 3), (3, 8)),
  ],
)
def test_shapes_that_do_not_fit(shapes):
  with pytest.raises(losses.RefusedError):
    losses.linear_soft_target_loss(*(np.ones(x, np.float32) for x in shapes))
