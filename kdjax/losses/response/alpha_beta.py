"""The alpha-beta divergence, right in all of its limits.

With `u = log p`, `v = log q` and `s = a + b`, a class adds
`(v - u)**2 * exp[s u, a u + b v, s v]`, where `exp[x, y, z]` is the divided
difference of the exponential: the mean of `exp` over the triangle of the three,
halved. It is positive and smooth for all `a` and `b`. At `a = 0`, `b = 0` and
`a + b = 0` two of the three coincide, and where student and teacher agree all
do; there the quotients of the usual formula are 0 / 0.
"""

import math

import chex
import jax
import jax.numpy as jnp

from kdjax.losses import contract
from kdjax.losses.response import log_space, mixtures

# Up to this size divided differences are summed as a series: the quotients
# would lose a digit and their derivatives two.
_SERIES = 0.5

# `exp` of this is below the largest float32.
_HIGHEST = 80.0


@contract.promises(
  'position',
  alpha=contract.each(contract.FINITE),
  beta=contract.each(contract.FINITE),
  temperature=contract.each(contract.POSITIVE),
)
def alpha_beta_loss(
  student_logits: chex.Array,
  teacher_logits: chex.Array,
  *,
  alpha: chex.Numeric = 0.2,
  beta: chex.Numeric = 0.7,
  temperature: chex.Numeric = 1.0,
  mask: chex.Array | None = None,
) -> jax.Array:
  """Divergence with a weight for hard and one for confident classes (ABKD).

  With `P` the teacher's, `Q` the student's prediction, `a = alpha`, `b = beta`:
  `-1/(a b) sum (P**a Q**b - a/(a+b) P**(a+b) - b/(a+b) Q**(a+b))`. It is
  `KL(P || Q)` at `a, b = 1, 0`, `KL(Q || P)` at `0, 1`, and four times the
  squared Hellinger distance `sum (sqrt P - sqrt Q)**2 / 2` at `0.5, 0.5`.

  Where the formula divides by 0 the loss is its limit:
  - `b = 0`: `1/a**2 sum (P**a log(P**a / Q**a) - P**a + Q**a)`; `a = 0` alike
    with `b` and the two exchanged;
  - `a + b = 0`: `1/a**2 sum (log(Q**a / P**a) + P**a / Q**a - 1)`;
  - both 0: `1/2 sum (log P - log Q)**2`.
  (The authors' code has `1/a` for `1/a**2` in the first two, so that it jumps
  there unless `a` is 1.) It is smooth in `alpha` and `beta`, also there.

  Never negative, and accurate to the last digits however alike the predictions
  are. A sum `a + b` below 0 weighs the least likely classes most, and may be
  inf. A class that either network masks is left out of both. Time and memory
  `O(N C)`.

  >>> logits = jnp.log(jnp.array([[0.5, 0.3, 0.2]]))
  >>> loss = alpha_beta_loss(logits[:, ::-1], logits, alpha=0.5, beta=0.0)
  >>> print(f'{loss[0]:.4f}')
  0.4763

  Args:
    student_logits: Unnormalised log probabilities, shape `[..., classes]`.
    teacher_logits: Same shape as `student_logits`.
    alpha: Smaller, to concentrate on classes of large error. Finite, of either
      sign. One number, or one of each example; may be traced.
    beta: Larger, to concentrate on classes of which the student is confident.
      Likewise. The defaults are those reported for language models; for
      CIFAR-100 the authors' README has 0.8 and 0.3, weight 32.
    temperature: Softens both distributions; higher is softer. Above 0. One
      number, or one of each example.
    mask: Shape `[...]`, zero for positions that cost nothing and may hold NaN,
      or None.

  Returns:
    Loss per position, shape `[...]`, float32 at least.

  Raises:
    RefusedError: if shapes or dtypes do not fit or a hyperparameter is out of
      range.

  References:
    Wang et al., `ABKD: Pursuing a Proper Allocation of the Probability Mass in
    Knowledge Distillation via alpha-beta-Divergence
    <https://arxiv.org/abs/2505.04560>`_, 2025.
    Cichocki et al., `Generalized Alpha-Beta Divergences and Their Application
    to Robust Nonnegative Matrix Factorization
    <https://doi.org/10.3390/e13010134>`_, 2011: the limits.
  """
  chex.assert_equal_shape([student_logits, teacher_logits])
  valid = log_space.counted(mask, student_logits.shape[:-1])
  student, teacher, keep = log_space.pair(student_logits, teacher_logits, valid)
  found = mixtures.predictions(teacher, student, keep, temperature)
  a, b = contract.over_classes(alpha), contract.over_classes(beta)
  # The power of the larger is known to more digits.
  larger = jnp.maximum(found.log_p, found.log_q)
  losses = mixtures.summed(_terms(larger, found.log_ratio, a, b), keep)
  return log_space.of_positions(losses, valid)


@mixtures.with_slopes
def _terms(
  larger: chex.Array, log_ratio: chex.Array, a: chex.Numeric, b: chex.Numeric
) -> jax.Array:
  """The term of each class, from the logarithm of its larger probability."""
  gap = -jnp.abs(log_ratio)
  mixed = jnp.where(log_ratio < 0, b, a) * gap
  own = (a + b) * gap
  # The three points relative to that power are 0, `mixed` and `own`.
  low, high = _ordered(mixed, own)
  rest, top = _ordered(high, jnp.zeros_like(high))
  bottom, middle = _ordered(low, rest)
  power = (a + b) * larger + top
  # 0 * inf is 0 here: the two agree in a class whose power overflows.
  power = jnp.where(gap == 0, jnp.minimum(power, _HIGHEST), power)
  divided = jnp.exp(power) * _second(top - middle, top - bottom)
  # Not `gap**2`: the derivative of its size is 0 at agreement.
  return divided * log_ratio**2


def _ordered(x: chex.Array, y: chex.Array) -> tuple[jax.Array, jax.Array]:
  """The smaller and the larger.

  Where they are equal each has its own derivative, and that of a function of
  both is right; `minimum` and `maximum` would mix the two.
  """
  swap = x > y
  return jnp.where(swap, y, x), jnp.where(swap, x, y)


def _first(x: chex.Array) -> jax.Array:
  """`exp[0, -x] = (1 - exp(-x)) / x`, for `x >= 0`; 1 at 0."""
  close = x < _SERIES
  near, far = jnp.where(close, x, 0), jnp.where(close, 1, x)
  series = jnp.zeros_like(near)
  for n in range(_last(x), -1, -1):
    series = 1 / math.factorial(n + 1) - near * series
  return jnp.where(close, series, -jnp.expm1(-far) / far)


def _second(x: chex.Array, y: chex.Array) -> jax.Array:
  """`exp[0, -x, -y]`, for `0 <= x <= y`; 1/2 where all coincide."""
  close = y < _SERIES
  near_x, near_y = jnp.where(close, x, 0), jnp.where(close, y, 0)
  # The sum of all products of n factors -x and -y, over (n + 2)!.
  products = power = jnp.ones_like(near_x)
  series = products / 2
  for n in range(1, _last(x) + 1):
    power = -near_y * power
    products = power - near_x * products
    series += products / math.factorial(n + 2)
  far_x, far_y = jnp.where(close, 0, x), jnp.where(close, 1, y)
  quotient = _first(far_x) - jnp.exp(-far_x) * _first(far_y - far_x)
  return jnp.where(close, series, quotient / far_y)


def _last(x: chex.Array) -> int:
  """The last power that the dtype can tell from zero."""
  return 8 if x.dtype.itemsize < 8 else 15
