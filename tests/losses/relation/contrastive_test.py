import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import relation as reference

from kdjax.losses.relation import contrastive

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


@pytest.mark.parametrize('symmetric', [False, True])
@pytest.mark.parametrize(('examples', 'temperature'), [(5, 0.5)])
def test_is_the_formula(examples, temperature, symmetric):
  rng = np.random.default_rng(examples)
  student, teacher = rng.normal(size=(2, examples, 3))
  options = {'temperature': temperature, 'symmetric': symmetric}
  with jax.enable_x64(True):
    loss = jax.jit(
      functools.partial(contrastive.in_batch_contrastive_loss, **options)
    )(jnp.asarray(student), jnp.asarray(teacher))
  expected = reference.in_batch_contrastive_loss(student, teacher, **options)
  np.testing.assert_allclose(loss, expected, rtol=1e-9, atol=1e-15)


def test_symmetric_form_is_symmetric_and_padded():
  rng = np.random.default_rng(0)
  student, teacher = np.float32(rng.normal(size=(2, 5, 3)))
  loss = jax.jit(
    contrastive.in_batch_contrastive_loss, static_argnames='symmetric'
  )
  there = loss(student[:3], teacher[:3], symmetric=True)
  np.testing.assert_allclose(
    loss(teacher[:3], student[:3], symmetric=True), there, rtol=1e-6
  )
  student[3:] = np.nan
  mask = np.float32(np.arange(5) < 3)
  np.testing.assert_allclose(
    loss(student, teacher, symmetric=True, mask=mask), there, rtol=1e-6
  )


def test_examples_that_are_all_alike_leave_a_guess():
  ones = jnp.ones((4, 2))
  loss = contrastive.in_batch_contrastive_loss(ones, ones)
  np.testing.assert_allclose(loss, math.log(4), rtol=1e-6)


def test_smaller_where_each_finds_its_own():
  own = jnp.eye(4)
  loss = contrastive.in_batch_contrastive_loss
  assert loss(own, own) < 1e-4 < 10 < loss(jnp.roll(own, 1, axis=0), own)
