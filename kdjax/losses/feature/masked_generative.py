"""Masked generation: the teacher's features from the student's masked ones."""

from collections.abc import Sequence

import chex
import jax

from kdjax.losses import contract
from kdjax.losses.feature.hints import hint_loss


def random_mask(
  key: chex.PRNGKey, shape: Sequence[int], *, ratio: chex.Numeric = 0.5
) -> jax.Array:
  """A mask that hides each entry with probability `ratio`.

  >>> mask = random_mask(jax.random.key(0), (2, 1, 1, 8), ratio=0.25)
  >>> mask.shape, mask.dtype
  ((2, 1, 1, 8), dtype('bool'))

  Args:
    key: Random key.
    shape: Shape of the mask, with 1 where entries are hidden together:
      `[batch, height, width, 1]` hides positions (detection and segmentation),
      `[batch, 1, 1, channels]` hides channels (the authors' classification).
    ratio: Share of hidden entries, in [0, 1).

  Returns:
    Booleans of that shape, true for what is kept:
    `jax.numpy.where(mask, features, 0)` goes into the generator.
  """
  return jax.random.uniform(key, shape) >= ratio


@contract.promises('example')
def masked_generative_loss(
  student: chex.Array, teacher: chex.Array
) -> jax.Array:
  """Squared distance of the generated features from the teacher's (MGD).

  `sum (teacher - generator(mask * align(student)))^2` over the features, all
  of them, hidden or not. Connector, mask and generator have been applied. The
  weights (7e-5 for classification, 2e-5 for dense prediction) are for the sum.

  Time and memory `O(N H W C)`.

  >>> teacher = jnp.ones((1, 2, 2, 3))
  >>> print(masked_generative_loss(0 * teacher, teacher))
  [12.]

  Args:
    student: Generated features, shape `[batch, ...]`.
    teacher: Same shape as `student`.

  Returns:
    Loss per example, shape `[batch]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Yang et al., `Masked Generative Distillation
    <https://arxiv.org/abs/2205.01529>`_, 2022, section 3.
  """
  return 2 * hint_loss(student, teacher)
