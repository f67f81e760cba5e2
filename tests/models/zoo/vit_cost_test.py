import jax
import jax.numpy as jnp
import pytest

from kdjax import models


def _products(depth, tokens, width, classes):
  """Operations of a forward pass to the logits, dense layers and attention."""
  layer = 2 * tokens * 12 * width**2 + 2 * 2 * tokens**2 * width
  # The last one: keys and values of all tokens, the rest of the class token.
  last = 2 * (2 * tokens + 10) * width**2 + 2 * 2 * tokens * width
  return (depth - 1) * layer + last + 2 * width * classes


@pytest.mark.parametrize(('gradient', 'passes'), [(False, 1), (True, 3)])
def test_patches_of_the_last_layer_cost_nothing_unread(gradient, passes):
  model = models.from_linen(models.ViT(2, 128, 4, 10, patch=2))
  images = jax.ShapeDtypeStruct((4, 16, 16, 1), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), {'image': images})
  expected = 4 * passes * _products(2, 65, 128, 10)

  def operations(*names):
    def total(params, variables, images):
      outputs, _ = model.apply(
        variables._replace(params=params), {'image': images}
      )
      return sum(jnp.sum(outputs[name] ** 2) for name in names)

    function = jax.jit(jax.grad(total) if gradient else total)
    lowered = function.lower(variables.params, variables, images)
    return lowered.compile().cost_analysis()['flops']

  # The rest is the patches' embedding, norms, GELU and softmax.
  assert expected < operations('logits') < 1.05 * expected
  assert operations('logits', 'stage3') > 1.3 * expected
