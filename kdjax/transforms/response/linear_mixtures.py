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
  """The chunked `skew_kl`."""
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
  """The chunked `skew_reverse_kl`."""
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
  """The chunked `alpha_beta`."""
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
  """The chunked `adaptive_kl`."""
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
  """The chunked `interpolated_targets`."""
  return of_heads(
    losses.linear_interpolated_target_loss,
    (student, teacher),
    (mask, vocabulary, chunk),
    progress=progress,
    temperature=temperature,
  )
