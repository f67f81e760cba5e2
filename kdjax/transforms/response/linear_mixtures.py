"""Transforms of mixtures and weighted divergences for large vocabularies.

All read what `linear_soft_targets` reads, and take its arguments besides.
"""

from kdjax import losses
from kdjax.losses import contract
from kdjax.losses.response.skew import SKEW
from kdjax.transforms import base
from kdjax.transforms.numbers import Number, accepts
from kdjax.transforms.response.linear import of_heads


@accepts(skew=SKEW, temperature=contract.POSITIVE)
def linear_skew_kl(
  *,
  student: str = 'hidden',
  teacher: str = 'hidden',
  skew: Number = 0.1,
  temperature: Number = 1.0,
  mask: str | None = None,
  vocabulary: int | None = None,
  chunk: int = 1024,
) -> base.LossTransform:
  """The chunked `skew_kl`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> value(linear_skew_kl(), teacher | {'head': head[::-1]}, teacher)
  0.2174
  """
  return of_heads(
    losses.linear_skew_kl_loss,
    (student, teacher),
    (mask, vocabulary, chunk),
    skew=skew,
    temperature=temperature,
  )


@accepts(skew=SKEW, temperature=contract.POSITIVE)
def linear_skew_reverse_kl(
  *,
  student: str = 'hidden',
  teacher: str = 'hidden',
  skew: Number = 0.1,
  temperature: Number = 1.0,
  mask: str | None = None,
  vocabulary: int | None = None,
  chunk: int = 1024,
) -> base.LossTransform:
  """The chunked `skew_reverse_kl`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> value(linear_skew_reverse_kl(), teacher | {'head': 0 * head}, teacher)
  0.0563
  """
  return of_heads(
    losses.linear_skew_reverse_kl_loss,
    (student, teacher),
    (mask, vocabulary, chunk),
    skew=skew,
    temperature=temperature,
  )


@accepts(
  alpha=contract.FINITE, beta=contract.FINITE, temperature=contract.POSITIVE
)
def linear_alpha_beta(
  *,
  student: str = 'hidden',
  teacher: str = 'hidden',
  alpha: Number = 0.2,
  beta: Number = 0.7,
  temperature: Number = 1.0,
  mask: str | None = None,
  vocabulary: int | None = None,
  chunk: int = 1024,
) -> base.LossTransform:
  """The chunked `alpha_beta`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> term = linear_alpha_beta(alpha=0.5, beta=0.0)
  >>> value(term, teacher | {'head': head[::-1]}, teacher)
  0.4763
  """
  return of_heads(
    losses.linear_alpha_beta_loss,
    (student, teacher),
    (mask, vocabulary, chunk),
    alpha=alpha,
    beta=beta,
    temperature=temperature,
  )


@accepts(head_share=contract.FRACTION, temperature=contract.POSITIVE)
def linear_adaptive_kl(
  *,
  student: str = 'hidden',
  teacher: str = 'hidden',
  head_share: Number = 0.5,
  temperature: Number = 1.0,
  mask: str | None = None,
  vocabulary: int | None = None,
  chunk: int = 1024,
) -> base.LossTransform:
  """The chunked `adaptive_kl`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> value(linear_adaptive_kl(), teacher | {'head': head[::-1]}, teacher)
  0.2749
  """
  return of_heads(
    losses.linear_adaptive_kl_loss,
    (student, teacher),
    (mask, vocabulary, chunk),
    head_share=head_share,
    temperature=temperature,
  )


@accepts(progress=contract.FRACTION, temperature=contract.POSITIVE)
def linear_interpolated_targets(
  *,
  student: str = 'hidden',
  teacher: str = 'hidden',
  progress: Number,
  temperature: Number = 1.0,
  mask: str | None = None,
  vocabulary: int | None = None,
  chunk: int = 1024,
) -> base.LossTransform:
  """The chunked `interpolated_targets`.

  >>> head = jnp.log(jnp.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]))
  >>> teacher = {'hidden': jnp.eye(2), 'head': head}
  >>> term = linear_interpolated_targets(progress=0.4)
  >>> value(term, teacher | {'head': head[::-1]}, teacher)
  0.0443
  """
  return of_heads(
    losses.linear_interpolated_target_loss,
    (student, teacher),
    (mask, vocabulary, chunk),
    progress=progress,
    temperature=temperature,
  )
