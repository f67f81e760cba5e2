import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import relation as reference

from kdjax.losses.relation import probabilistic

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


@pytest.mark.parametrize(('examples', 'scale'), [(1, 1.0), (5, 1.0), (5, 1e-6)])
def test_is_the_formula(examples, scale):
  rng = np.random.default_rng(examples)
  student = scale * rng.normal(size=(examples, 3))
  teacher = rng.normal(size=(examples, 4))
  with jax.enable_x64(True):
    loss = jax.jit(probabilistic.probabilistic_transfer_loss)(
      jnp.asarray(student), jnp.asarray(teacher)
    )
  expected = reference.probabilistic_transfer_loss(student, teacher)
  np.testing.assert_allclose(loss, expected, rtol=1e-9, atol=1e-15)


with_gradient = jax.jit(
  jax.value_and_grad(probabilistic.probabilistic_transfer_loss)
)


@pytest.mark.parametrize('size', [1e-3, 1.0, 1e4])
def test_opposite_examples(size):
  """The logarithm of a probability that is all epsilon, in float32 too."""
  student = size * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], np.float32)
  teacher = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], np.float32)
  value, gradient = with_gradient(jnp.asarray(student), jnp.asarray(teacher))
  expected = reference.probabilistic_transfer_loss(student, teacher)
  np.testing.assert_allclose(value, expected, rtol=1e-5)
  assert np.isfinite(gradient).all()


def test_zero_row_has_no_gradient_of_its_own():
  student = jnp.array([[0.0, 0.0], [1.0, 2.0], [3.0, -1.0]])
  teacher = jnp.array([[1.0, 0.0], [1.0, 2.0], [2.0, -1.0]])
  _, gradient = with_gradient(student, teacher)
  np.testing.assert_array_equal(gradient[0], 0)
