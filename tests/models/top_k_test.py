"""A network's best classes, beside its other outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import models

_MODEL = models.from_linen(models.MLP((7,), 5))
_IMAGES = np.random.default_rng(0).normal(size=(6, 2, 2, 3)).astype(np.float32)


def test_the_best_by_hand():
  model = models.with_top_k(_MODEL, 3, temperature=4.0)
  variables = model.init(jax.random.key(0), {'image': _IMAGES})
  outputs, state = jax.jit(model.apply)(variables, {'image': _IMAGES})
  plain, plain_state = _MODEL.apply(variables, {'image': _IMAGES})
  softened = np.float64(plain['logits']) / 4
  for i, row in enumerate(softened):
    log_probs = row - np.log(np.exp(row).sum())
    best = sorted(range(5), key=lambda c, row=log_probs: -row[c])[:3]
    assert outputs['top_k_indices'][i].tolist() == best
    np.testing.assert_allclose(
      outputs['top_k_log_probs'][i], log_probs[best], rtol=1e-5
    )
  assert outputs['top_k_log_probs'].dtype == jnp.float32
  assert outputs.keys() - plain.keys() == {'top_k_indices', 'top_k_log_probs'}
  np.testing.assert_allclose(outputs['logits'], plain['logits'], rtol=1e-6)
  assert state == plain_state


@pytest.mark.parametrize(
  ('k', 'temperature', 'words'),
  [(0, 1.0, 'k must be positive, got 0'), (2, 0.0, 'temperature must be')],
)
def test_arguments(k, temperature, words):
  with pytest.raises(ValueError, match=words):
    models.with_top_k(_MODEL, k, temperature=temperature)


def test_more_than_there_are():
  model = models.with_top_k(_MODEL, 6)
  variables = model.init(jax.random.key(0), {'image': _IMAGES})
  with pytest.raises(ValueError, match='at most the 5 classes, got 6'):
    model.apply(variables, {'image': _IMAGES})
