"""A method: what is minimised, beside the labels, and in which stages."""

from collections.abc import Callable
from typing import NamedTuple

from kdjax.recipes.methods.choice import Choice, Terms
from kdjax.transforms import LossTransform


class Method(NamedTuple):
  """One way to teach.

  Attributes:
    terms: From what is chosen to named, weighted terms.
    labels: Weight of the labels beside them; None for `settings.alpha`.
    first: Terms of a first stage without labels, or None.
    reuses_classifier: Whether the student answers with the teacher's
      classifier, through a projector.
    takes_top_k: Whether the teacher answers with its best classes.
  """

  terms: Callable[[Choice], Terms]
  labels: float | None = 1.0
  first: Callable[[Choice], Terms] | None = None
  reuses_classifier: bool = False
  takes_top_k: bool = False


class Stage(NamedTuple):
  """One part of a student's training.

  Attributes:
    name: Of its run: `hint` or `distilled`.
    loss: What is minimised.
    epochs: How long.
    freeze_unreached: Leave alone what the loss does not reach.
  """

  name: str
  loss: LossTransform
  epochs: int
  freeze_unreached: bool = False
