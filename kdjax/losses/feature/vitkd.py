"""ViTKD: shallow layers of a transformer are mimicked, deep ones generated."""

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract, numerics
from kdjax.losses.feature.hints import hint_loss


@contract.promises('example')
def vitkd_mimicking_loss(student: chex.Array, teacher: chex.Array) -> jax.Array:
  """Squared distance of the shallow layers' tokens, after their linear layers.

  `sum (align(student) - teacher)^2` over layers, tokens and dimensions; the
  paper's layers are the first two, its weight 3e-5.

  Time and memory `O(N T D)`.

  >>> print(vitkd_mimicking_loss(jnp.zeros((1, 4, 3)), jnp.ones((1, 4, 3))))
  [12.]

  Args:
    student: Aligned tokens, shape `[batch, tokens, dim]` of one layer or
      `[batch, layers, tokens, dim]`.
    teacher: Same shape as `student`.

  Returns:
    Loss per example, shape `[batch]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Yang et al., `ViTKD: Practical Guidelines for ViT Feature Knowledge
    Distillation <https://arxiv.org/abs/2209.02432>`_, 2022, section 3.
  """
  return 2 * hint_loss(student, teacher)


@contract.promises('example', ratio=contract.SHARE)
def vitkd_generation_loss(
  student: chex.Array,
  teacher: chex.Array,
  hidden: chex.Array,
  *,
  ratio: chex.Numeric = 0.5,
) -> jax.Array:
  """Squared distance of the deep layer's hidden tokens from the teacher's.

  `sum (generator(...) - teacher)^2 / ratio` over the tokens that were hidden
  from the generator. Weight 3e-6. The division by `ratio` is that of the
  authors' code.

  Time and memory `O(N T D)`.

  >>> hidden = jnp.array([[True, True, False, False]])
  >>> teacher = jnp.ones((1, 4, 3))
  >>> print(vitkd_generation_loss(jnp.zeros((1, 4, 3)), teacher, hidden))
  [12.]

  Args:
    student: Generated tokens of the last layer, shape `[batch, tokens, dim]`.
    teacher: Same shape as `student`.
    hidden: Shape `[batch, tokens]`, nonzero for hidden tokens, see
      `random_hidden_tokens`.
    ratio: Share of tokens that were hidden, in (0, 1].

  Returns:
    Loss per example, shape `[batch]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Yang et al., `ViTKD: Practical Guidelines for ViT Feature Knowledge
    Distillation <https://arxiv.org/abs/2209.02432>`_, 2022, section 3.
  """
  chex.assert_rank([student, teacher], 3)
  chex.assert_equal_shape([student, teacher])
  chex.assert_shape(hidden, student.shape[:2])
  chex.assert_type([student, teacher], float)
  difference = numerics.at_least_float32(student) - numerics.at_least_float32(
    teacher
  )
  # Tokens that were not hidden cost nothing, unless the generator diverged.
  read = jnp.asarray(hidden).astype(bool)[..., None] | ~jnp.isfinite(student)
  difference = jnp.where(read, difference, 0)
  return jnp.sum(jnp.square(difference), axis=(1, 2)) / ratio


def random_hidden_tokens(
  key: chex.PRNGKey, shape: tuple[int, int], *, ratio: float = 0.5
) -> jax.Array:
  """Hides the same number of tokens, at random, of each example.

  >>> print(random_hidden_tokens(jax.random.key(0), (2, 4)).sum(axis=-1))
  [2 2]

  Args:
    key: Random key.
    shape: `(batch, tokens)`.
    ratio: Share of hidden tokens, in (0, 1]. `int(tokens * (1 - ratio))` are
      kept, as in the authors' code.

  Returns:
    Booleans of that shape, true for hidden tokens. The generator's input is
    `jnp.where(hidden[..., None], mask_token, student)`.
  """
  order = jnp.argsort(jax.random.uniform(key, shape), axis=-1)
  # The rank of each token in the random order.
  return jnp.argsort(order, axis=-1) >= int(shape[1] * (1 - ratio))
