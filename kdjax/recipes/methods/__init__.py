"""Methods by name: which terms a student minimises, and in which stages.

A method is a function of what is chosen to named, weighted terms; the terms of
several methods add up.
"""

import jax.numpy as jnp

from kdjax import transforms
from kdjax.recipes.errors import SettingsError
from kdjax.recipes.methods import feature, relation, response
from kdjax.recipes.methods.choice import Choice, Terms, Weight
from kdjax.recipes.methods.method import Method, Stage

__all__ = ['NAMES', 'Choice', 'Method', 'Stage', 'check_names', 'stages']

_METHODS: dict[str, Method] = {
  **response.METHODS,
  **feature.METHODS,
  **relation.METHODS,
}

NAMES = tuple(_METHODS)


def check_names(names: tuple[str, ...]) -> None:
  """Raises SettingsError for a method that is unknown or named twice."""
  for name in names:
    if name not in _METHODS:
      raise SettingsError('method', name, f'must be one of {", ".join(NAMES)}')
  if len(set(names)) < len(names):
    raise SettingsError('method', ','.join(names), 'names a method twice')


def has_first_stage(names: tuple[str, ...]) -> bool:
  """Whether one of the methods begins with a stage of its own."""
  return any(_METHODS[name].first for name in names)


def reuses_classifier(names: tuple[str, ...]) -> bool:
  """Whether the student answers with the teacher's classifier."""
  return any(_METHODS[name].reuses_classifier for name in names)


def takes_top_k(names: tuple[str, ...]) -> bool:
  """Whether the teacher answers with its best classes."""
  return any(_METHODS[name].takes_top_k for name in names)


def stages(choice: Choice) -> list[Stage]:
  """The stages of distillation by `choice.settings.methods`.

  Their epochs add up to `settings.epochs`, the budget of the student trained
  from scratch. The labels have the least of the weights that the methods give
  them.

  Raises:
    SettingsError: if a method needs what the networks do not have.
  """
  settings = choice.settings
  chosen = [_METHODS[name] for name in settings.methods]
  weights = [
    settings.alpha if method.labels is None else method.labels
    for method in chosen
  ]
  terms: Terms = {'labels': (min(weights), transforms.labels())}
  first: Terms = {}
  for method in chosen:
    terms |= method.terms(choice)
    first |= method.first(choice) if method.first else {}
  terms, first = _reweighted(settings.term_weights, terms, first)
  loss = transforms.weighted_sum(**terms)
  if not first:
    return [Stage('distilled', loss, settings.epochs)]
  return [
    Stage(
      'hint',
      transforms.weighted_sum(**first),
      settings.hint_epochs,
      freeze_unreached=True,
    ),
    Stage('distilled', loss, settings.epochs - settings.hint_epochs),
  ]


def _reweighted(weights: dict[str, float], *stages: Terms) -> list[Terms]:
  """The terms of every stage with the weights that were asked for.

  Raises:
    SettingsError: if no stage has such a term.
  """
  known = {name: None for terms in stages for name in terms}
  for name in weights:
    if name not in known:
      raise SettingsError('weights', name, f'must name {", ".join(known)}')
  return [
    {
      name: (_rescaled(weight, weights.get(name)), term)
      for name, (weight, term) in terms.items()
    }
    for terms in stages
  ]


def _rescaled(weight: Weight, wanted: float | None) -> Weight:
  """The weight that is wanted; a schedule ends with it and keeps its form."""
  if wanted is None or not callable(weight):
    return weight if wanted is None else wanted
  last = float(weight(jnp.float32(jnp.inf)))
  return lambda step: weight(step) * (wanted / last)
