import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import relation as reference

from kdjax.losses.relation import similarity

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


@pytest.mark.parametrize('examples', [1, 5])
def test_is_the_papers_formula_of_maps_of_any_size(examples):
  rng = np.random.default_rng(examples)
  student = rng.normal(size=(examples, 2, 3, 2))
  teacher = rng.normal(size=(examples, 4, 5))
  with jax.enable_x64(True):
    loss = jax.jit(similarity.similarity_preserving_loss)(
      jnp.asarray(student), jnp.asarray(teacher)
    )
  expected = reference.similarity_preserving_loss(student, teacher)
  np.testing.assert_allclose(loss, expected, rtol=1e-9, atol=1e-15)


def test_hand_computed():
  # The student finds the two alike, the teacher finds them unrelated.
  student = jnp.array([[1.0, 0.0], [2.0, 0.0]])
  teacher = jnp.array([[3.0, 0.0], [0.0, 1.0]])
  # Similarities [[1, 2], [2, 4]] / sqrt(5), / sqrt(20), against the identity.
  a, b = 1 / 5**0.5, 2 / 5**0.5
  expected = ((a - 1) ** 2 + b**2 + a**2 + (b - 1) ** 2) / 4
  loss = similarity.similarity_preserving_loss(student, teacher)
  np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_one_by_one_and_constant_maps():
  ones = jnp.ones((3, 1, 1, 4))
  loss, gradient = jax.jit(
    jax.value_and_grad(similarity.similarity_preserving_loss)
  )(ones, jnp.zeros((3, 2, 2, 5)))
  np.testing.assert_allclose(loss, 1 / 3, rtol=1e-6)
  assert np.isfinite(gradient).all()
