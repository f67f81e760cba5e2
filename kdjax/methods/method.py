"""The type of methods: terms beside the labels, in one stage or two."""

import inspect
from collections.abc import Callable
from typing import NamedTuple

from kdjax.methods.pair import Pair, Terms
from kdjax.models import Model
from kdjax.transforms import LossTransform

# Arguments of factories that say which positions, examples or answers there
# are, not how to teach.
_NO_HYPERPARAMETERS = (
  *('mask', 'ignore', 'examples'),
  *('student_logits', 'teacher_logits'),
)
# How many classes a teacher answers with; no argument of a function of terms.
_TOP_K = inspect.Parameter(
  'k', inspect.Parameter.KEYWORD_ONLY, default=5, annotation=int
)

Parameters = dict[str, inspect.Parameter]


class Named(NamedTuple):
  """One method of the table: what a name stands for.

  Attributes:
    terms: `(pair, **hyperparameters) -> Terms`.
    labels: Weight of the labels beside the terms; None for `alpha`.
    first: Terms of a first stage without labels, or None.
    reuses_classifier: Whether the student answers with the teacher's
      classifier, through a projector.
    takes_top_k: Whether the teacher answers with its best classes.
  """

  terms: Callable[..., Terms]
  labels: float | None = 1.0
  first: Callable[..., Terms] | None = None
  reuses_classifier: bool = False
  takes_top_k: bool = False

  def hyperparameters(self) -> Parameters:
    """The hyperparameters of `terms` and `first` together, by name."""
    found = hyperparameters_of(self.terms)
    if self.first:
      found = hyperparameters_of(self.first) | found
    return found | ({'k': _TOP_K} if self.takes_top_k else {})

  def own(self) -> frozenset[str]:
    """Names of those that are no arguments of a transform's factory."""
    functions = (self.terms, self.first)
    names = {n for f in functions if f for n in f.__kwdefaults__ or {}}
    return frozenset(names | ({'k'} if self.takes_top_k else set()))


class Stage(NamedTuple):
  """One part of a student's training.

  Attributes:
    name: Name of its run: `hint` or `distilled`.
    loss: What the student minimises.
    epochs: How long it trains.
    freeze_unreached: Leave alone the parameters that the loss does not reach.
  """

  name: str
  loss: LossTransform
  epochs: int
  freeze_unreached: bool = False


class Method(NamedTuple):
  """A way to teach, ready to be bound to a student and its teacher.

  Attributes:
    name: Names it in reports.
    stages: `Pair -> stages`, whose epochs add up to the pair's.
    teacher: The teacher with the outputs that the method reads.
    student: `(student, teacher, teacher_params, batch, axis_name) -> Model`,
      the student as the method trains it.
  """

  name: str
  stages: Callable[[Pair], tuple[Stage, ...]]
  teacher: Callable[[Model], Model] = lambda model: model
  student: Callable[..., Model] = lambda student, *_: student


def of_loss(loss: LossTransform, name: str = 'loss') -> Method:
  """The method of minimising one loss in one stage."""
  return Method(name, lambda pair: (Stage('distilled', loss, pair.epochs),))


def passes(*factories: Callable) -> Callable[[Callable], Callable]:
  """Marks terms that hand `**given` on to these factories of transforms."""

  def mark(terms: Callable) -> Callable:
    terms.factories = factories  # type: ignore[attr-defined]
    return terms

  return mark


def hyperparameters_of(terms: Callable) -> Parameters:
  """The keywords of terms: their own, and those of their factories."""
  functions = (terms, *getattr(terms, 'factories', ()))
  found: Parameters = {}
  for function in functions:
    for name, parameter in inspect.signature(function).parameters.items():
      if parameter.kind is parameter.KEYWORD_ONLY:
        found.setdefault(name, parameter)
  return {n: found[n] for n in found if n not in _NO_HYPERPARAMETERS}
