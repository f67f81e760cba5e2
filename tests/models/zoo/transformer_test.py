import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import vit as reference

from kdjax.models.zoo import transformer

_POINTS = np.linspace(-10, 10, 2001, dtype=np.float32)


@pytest.mark.parametrize('jit', [False, True])
def test_gelu_agrees_with_the_error_function(jit):
  gelu = jax.jit(transformer.gelu) if jit else transformer.gelu
  found = gelu(_POINTS)
  assert found.dtype == jnp.float32
  expected = reference.gelu(np.float64(_POINTS))
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_gelu_of_bfloat16_is_rounded_once():
  rough = jnp.asarray(_POINTS, jnp.bfloat16)
  found = jax.jit(transformer.gelu)(rough)
  assert found.dtype == jnp.bfloat16
  exact = transformer.gelu(rough.astype(jnp.float32))
  # Eight bits, of which half the last is lost.
  np.testing.assert_allclose(
    found.astype(jnp.float32), exact, rtol=2**-8, atol=1e-6
  )
