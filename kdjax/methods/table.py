"""Methods by name, and several of them as one."""

import ast
import dataclasses
import difflib
import functools
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from kdjax import models, options, transforms
from kdjax.methods import feature, relation, response, reused
from kdjax.methods.method import Method, Named, Stage, hyperparameters_of
from kdjax.methods.pair import Pair, Terms, Weight
from kdjax.models import Model
from kdjax.options import OptionError

_METHODS: dict[str, Named] = {
  **response.METHODS,
  **feature.METHODS,
  **relation.METHODS,
}
NAMES = tuple(_METHODS)

# Flags for what papers call by one name: the methods and arguments they set.
_SHORT = {
  'hint_student': (('fitnets', 'hint'), 'student'),
  'hint_teacher': (('fitnets', 'hint'), 'teacher'),
  'hint_weight': (('fitnets', 'hint'), 'weight'),
  'distance_weight': (('rkd',), 'distance_weight'),
  'angle_weight': (('rkd',), 'angle_weight'),
  'top_k': (('kd_top_k',), 'k'),
}

# Rules of a method's own arguments; a transform's factory checks its own.
_RULES = {
  'alpha': options.FRACTION,
  'temperature': options.POSITIVE,
  **dict.fromkeys(
    ('weight', 'distance_weight', 'angle_weight'), options.NOT_NEGATIVE
  ),
  **dict.fromkeys(
    ('k', 'ramp_epochs', 'curriculum_steps', 'steps'), options.AT_LEAST_ONE
  ),
}
_KINDS = {
  bool: 'True or False',
  int: 'an integer',
  float: 'a number',
  str: 'a name',
  Sequence[str]: 'several with +',
  type(None): 'None',
}
_CONSTANTS = {'true': True, 'false': False, 'none': None}

Given = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
  """Method."""

  method: str = options.option(
    'kd', f'One or several of {", ".join(NAMES)}, with commas.'
  )
  temperature: float = options.option(
    4.0, 'Softens the soft targets; above 0.', options.POSITIVE
  )
  alpha: float = options.option(
    0.1,
    'Weight of the labels, 0 to 1; soft targets get 1 - alpha.',
    options.FRACTION,
  )
  set: str = options.option(
    '',
    'Other hyperparameters, METHOD.NAME=VALUE with commas, as in '
    'dkd.beta=2,crd.negatives=4096; several layers of a network with +, as in '
    'at.student=stage1+stage2. A wrong name lists those of the method.',
  )
  weights: str = options.option(
    '',
    "Weights of terms in place of the method's own, NAME=VALUE with commas, as "
    'in dkd=2,labels=0.5; metrics.jsonl has the names. A weight that grows '
    'grows to the value.',
  )
  hint_student: str | None = options.option(
    None, "The student's guided layer, a tap. Default: its middle stage."
  )
  hint_teacher: str | None = options.option(
    None, "The teacher's hint layer, a tap. Default: its middle stage."
  )
  hint_weight: float | None = options.option(
    None,
    'Weight of the hint. Default: 1 for fitnets, 100 for hint.',
    options.NOT_NEGATIVE,
  )
  hint_epochs: int | None = options.option(
    None,
    'Epochs of the first stage of fitnets, fsp and ab, part of the epochs. '
    'Default: a quarter of them.',
    options.AT_LEAST_ONE,
  )
  distance_weight: float | None = options.option(
    None,
    'Weight of the relational distances. Default: 25.',
    options.NOT_NEGATIVE,
  )
  angle_weight: float | None = options.option(
    None, 'Weight of the relational angles. Default: 50.', options.NOT_NEGATIVE
  )
  top_k: int | None = options.option(
    None,
    "How many of the teacher's classes kd_top_k takes; the rest are one. "
    'Default: 5.',
    options.AT_LEAST_ONE,
  )

  def __post_init__(self) -> None:
    """Raises OptionError also for a wrong name or weight."""
    super().__post_init__()
    make(self)


def make(asked: Options) -> Method:
  """The methods that are asked for, as one: their terms add up.

  The labels have the least of the weights that the methods give them.

  Args:
    asked: Names and hyperparameters.

  Raises:
    OptionError: if there is no such method or hyperparameter. The method
      itself raises it when it is bound to a pair of networks that it does not
      fit.
  """
  names = tuple(name.strip() for name in asked.method.split(','))
  for name in names:
    if name not in _METHODS:
      raise OptionError('method', name, f'must be one of {", ".join(NAMES)}')
  if len(set(names)) < len(names):
    raise OptionError('method', ','.join(names), 'names a method twice')
  given = _given(asked, names)
  weights = _weights(asked.weights)

  def stages(pair: Pair) -> tuple[Stage, ...]:
    try:
      found = _stages(asked, given, weights, pair)
      for stage in found:
        _check_fit(stage.loss, pair)
      return found
    except transforms.UnknownTapError as error:
      raise _unknown_tap(asked, error) from error
    except OptionError:
      raise
    except ValueError as error:
      raise _refused(asked, error) from error

  def teacher(model: Model) -> Model:
    for name in names:
      if _METHODS[name].takes_top_k:
        model = _with_top_k(asked, given[name], model)
    return model

  def student(model: Model, *teacher_and_batch: Any) -> Model:
    for name in names:
      if _METHODS[name].reuses_classifier:
        model = reused.reuse_classifier(model, *teacher_and_batch)
    return model

  return Method(','.join(names), stages, teacher, student)


def named(method: str, **changes: Any) -> Method:
  """The method of that name, with its paper's hyperparameters or others.

  Args:
    method: One or several of `NAMES`, with commas.
    **changes: Other fields of `methods.Options`: `temperature`, `alpha`,
      `set='dkd.beta=2'`, ...

  Raises:
    OptionError: if there is no such method or hyperparameter.
  """
  return make(Options(method=method, **changes))


def _check_fit(loss: transforms.LossTransform, pair: Pair) -> None:
  """Raises ValueError unless the loss finds its taps, in shapes that fit."""
  init = functools.partial(loss.init, jax.random.key(0))
  jax.eval_shape(init, dict(pair.student), dict(pair.teacher))


def _unknown_tap(
  asked: Options, error: transforms.UnknownTapError
) -> OptionError:
  """The error of a layer that is not there, by the flag that names it."""
  known = f'must be one of {", ".join(error.known)}'
  flag = f'hint_{error.network}'
  if getattr(asked, flag, None) == error.name:
    return OptionError(flag, error.name, known)
  if error.name in asked.set:
    return OptionError('set', asked.set, f'{error.name} {known}')
  return OptionError(
    'method', asked.method, f'the {error.network} has no {error.name}; {known}'
  )


def _refused(asked: Options, error: ValueError) -> OptionError:
  """The error of a hyperparameter out of range, by the flag that names it."""
  text = getattr(error, 'text', str(error))
  argument = text.partition(' ')[0]
  for part in filter(None, asked.set.split(',')):
    if part.partition('=')[0].partition('.')[2].strip() == argument:
      return OptionError('set', part.strip(), text.rstrip('.'))
  return OptionError('method', asked.method, str(error))


def _stages(
  asked: Options, given: Given, weights: Mapping[str, float], pair: Pair
) -> tuple[Stage, ...]:
  labels = []
  hard = transforms.labels(class_weights=pair.class_weights)
  terms: Terms = {'labels': (0.0, hard)}
  first: Terms = {}
  for name, own in given.items():
    method = _METHODS[name]
    labels.append(
      own.get('alpha', asked.alpha) if method.labels is None else method.labels
    )
    terms |= method.terms(pair, **_accepted(method.terms, own, asked))
    if method.first:
      first |= method.first(pair, **_accepted(method.first, own, asked))
  terms['labels'] = min(labels), hard
  terms, first = _reweighted(weights, terms, first)
  loss = transforms.weighted_sum(**terms)
  if not first:
    return (Stage('distilled', loss, pair.epochs),)
  epochs = asked.hint_epochs or max(1, pair.epochs // 4)
  if epochs >= pair.epochs:
    raise OptionError(
      'hint_epochs', epochs, f'must be below epochs={pair.epochs}'
    )
  hint = transforms.weighted_sum(**first)
  return (
    Stage('hint', hint, epochs, freeze_unreached=True),
    Stage('distilled', loss, pair.epochs - epochs),
  )


def _accepted(
  terms: Any, own: Mapping[str, Any], asked: Options
) -> dict[str, Any]:
  """Keyword arguments for terms: what is given, and what all methods share."""
  shared = {
    name: getattr(asked, name)
    for name in ('temperature', 'alpha')
    if name in (terms.__kwdefaults__ or {})
  }
  known = hyperparameters_of(terms)
  return shared | {name: own[name] for name in own if name in known}


def _with_top_k(asked: Options, own: Mapping[str, Any], model: Model) -> Model:
  k, classes = own.get('k', 5), model.note.get('classes')
  if classes and k > classes:
    raise OptionError('top_k', k, f'must be at most the {classes} classes')
  temperature = own.get('temperature', asked.temperature)
  return models.with_top_k(model, k, temperature=temperature)


def _given(asked: Options, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
  """Hyperparameters by method, from `--set` and from the short flags."""
  given: dict[str, dict[str, Any]] = {name: {} for name in names}
  for flag, (methods, argument) in _SHORT.items():
    value = getattr(asked, flag)
    for name in methods:
      if value is not None and name in given:
        given[name][argument] = value
  for part in filter(None, asked.set.split(',')):
    name, dot, rest = part.partition('.')
    argument, sign, text = rest.partition('=')
    name, argument, text = name.strip(), argument.strip(), text.strip()
    if not (dot and sign and argument and text):
      raise OptionError('set', part, 'must be METHOD.NAME=VALUE')
    if name not in given:
      raise OptionError(
        'set', part, f'must begin with one of --method, {", ".join(names)}'
      )
    given[name][argument] = _argument(part, argument, text, _METHODS[name])
  return given


def _argument(part: str, argument: str, text: str, method: Named) -> Any:
  """The value of one of the method's hyperparameters.

  Raises:
    OptionError: if there is none of that name, or the value is of another kind
      or out of range.
  """
  known = method.hyperparameters()
  if argument not in known:
    near = difflib.get_close_matches(argument, known, n=1, cutoff=0.4)
    hint = f'did you mean {near[0]}? ' if near else ''
    names = ', '.join(known) or 'no hyperparameters'
    name = part.partition('.')[0].strip()
    raise OptionError('set', part, f'{hint}{name} has {names}')
  value, annotation = _value(text), known[argument].annotation
  several = typing.get_origin(annotation) is Sequence
  if several and not isinstance(value, tuple):
    value = (value,)
  if not several and annotation is not Any:
    _check_kind(part, value, annotation)
  rule = _RULES.get(argument) if argument in method.own() else None
  if rule and value is not None and not rule.good(value):
    raise OptionError('set', part, rule.allowed)
  return value


def _check_kind(part: str, value: Any, annotation: Any) -> None:
  """Raises OptionError for a value of none of the annotation's types."""
  kinds = typing.get_args(annotation) or (annotation,)
  if Any in kinds or type(value) in kinds:
    return
  if float in kinds and type(value) is int:
    return
  if Sequence[str] in kinds and isinstance(value, tuple):
    return
  words = [_KINDS[kind] for kind in kinds if kind in _KINDS]
  raise OptionError('set', part, f'must be {" or ".join(words)}')


def _value(text: str) -> Any:
  """A number, a boolean or None; otherwise a name, or several with `+`."""
  if text.lower() in _CONSTANTS:
    return _CONSTANTS[text.lower()]
  try:
    return ast.literal_eval(text)
  except (ValueError, SyntaxError):
    parts = text.split('+')
    return parts[0] if len(parts) == 1 else tuple(map(_value, parts))


def _weights(text: str) -> dict[str, float]:
  """`--weights` by name of the term."""
  found = {}
  for part in filter(None, text.split(',')):
    name, _, number = part.partition('=')
    try:
      found[name.strip()] = weight = float(number)
    except ValueError:
      weight = -1.0
    if not 0 <= weight < float('inf'):
      raise OptionError(
        'weights', part, 'must be NAME=VALUE, the value 0 or more, finite'
      )
  return found


def _reweighted(weights: Mapping[str, float], *stages: Terms) -> list[Terms]:
  """The terms of every stage with the weights that were asked for."""
  known = {name: None for terms in stages for name in terms}
  for name in weights:
    if name not in known:
      raise OptionError('weights', name, f'must name {", ".join(known)}')
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
