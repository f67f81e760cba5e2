"""Factories of transforms that only bind one loss to named outputs."""

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

from kdjax.losses import contract
from kdjax.transforms import base, numbers

# Keywords of losses that say which positions count, not how to teach.
_POSITIONS = ('mask', 'ignore')

Factory = Callable[..., base.LossTransform]


def bound(
  bind: Factory, loss: Callable, **defaults: Any
) -> Callable[[Callable], Factory]:
  """Makes a stub the factory of `bind(loss, ...)`.

  The stub gives the name, the summary and the example. The factory's keywords
  are the hyperparameters of the loss and the keywords of `bind`; so are its
  documentation, errors and references.

  Args:
    bind: `of_logits`, `of_embeddings` or `of_heads`.
    loss: The loss.
    **defaults: Defaults other than those of the loss.
  """

  def decorate(stub: Callable) -> Factory:
    signature = _signature(bind, loss, defaults)

    @functools.wraps(stub)
    def factory(**given: Any) -> base.LossTransform:
      try:
        arguments = signature.bind(**given)
      except TypeError as error:
        raise TypeError(f'{stub.__name__}: {error}') from error
      arguments.apply_defaults()
      try:
        return bind(loss, **arguments.arguments)
      except contract.RefusedError as error:
        raise contract.RefusedError(stub.__name__, error.text) from error

    factory.__signature__ = signature  # type: ignore[attr-defined]
    if stub.__doc__:  # none under python -OO
      factory.__doc__ = _documentation(stub, bind, loss, signature)
    return factory

  return decorate


def keywords(function: Callable) -> dict[str, inspect.Parameter]:
  """The keyword-only parameters of a function, by name."""
  return {
    name: parameter
    for name, parameter in inspect.signature(function).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
  }


def arrays(loss: Callable) -> tuple[str, ...]:
  """The names of the arrays that a loss takes by position."""
  return tuple(
    name
    for name, parameter in inspect.signature(loss).parameters.items()
    if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
  )


def with_numbers(
  make: Callable[[dict[str, Any]], base.LossTransform],
  loss: Callable,
  values: dict[str, Any],
) -> base.LossTransform:
  """`make(values)` with hyperparameters as the loss allows them.

  Args:
    make: From hyperparameters, numbers or arrays, to a transform.
    loss: Under `contract.promises`, or a loss of one's own, whose numbers
      nobody checks.
    values: Hyperparameters: numbers, schedules, or `Learned`.
  """
  promise = getattr(loss, 'promise', None)
  known = promise.kinds if promise else {}
  own = keywords(loss)
  kinds = {
    name: known.get(name)
    for name, value in values.items()
    # None is a number only where it is the default.
    if value is not None or (name in own and own[name].default is not None)
  }
  return numbers.built(make, values, kinds, loss.__name__)


def _signature(
  bind: Factory, loss: Callable, defaults: dict[str, Any]
) -> inspect.Signature:
  binding = keywords(bind)
  kinds = loss.promise.kinds  # type: ignore[attr-defined]
  found = []
  for name, parameter in keywords(loss).items():
    if name in _POSITIONS or name in binding:
      continue
    parameter = parameter.replace(default=defaults.get(name, parameter.default))
    if name in kinds and not kinds[name].static:
      parameter = parameter.replace(annotation=numbers.Number)
    found.append(parameter)
  taken = {*keywords(loss), *arrays(loss)}
  found += [
    parameter.replace(default=defaults.get(name, parameter.default))
    for name, parameter in binding.items()
    # Not the name of a teacher's output where the loss reads labels alone.
    if name not in ('ignore', 'teacher_logits') or name in taken
  ]
  return inspect.Signature(found, return_annotation=base.LossTransform)


def _documentation(
  stub: Callable, bind: Factory, loss: Callable, signature: inspect.Signature
) -> str:
  """The stub's text with the sections of its binding and of its loss."""
  own, of_bind, of_loss = (_sections(f) for f in (stub, bind, loss))
  texts = _entries(of_loss.get('Args', '')) | _entries(of_bind['Args'])
  arguments = '\n'.join(
    texts.get(name, f'  {name}: As for `kdjax.losses.{loss.__name__}`.')
    for name in signature.parameters
  )
  parts = [own[''], f'Args:\n{arguments}', f'Raises:\n{of_bind["Raises"]}']
  if 'References' in of_loss:
    parts.append(f'References:\n{of_loss["References"]}')
  return '\n\n'.join(parts)


def _sections(function: Callable) -> dict[str, str]:
  """A docstring in Google style by the names of its sections; '' is first."""
  parts = re.split(
    r'\n(Args|Returns|Raises|References):\n', inspect.getdoc(function) or ''
  )
  found = dict(zip(parts[1::2], parts[2::2], strict=True))
  return {'': parts[0].strip()} | {k: v.rstrip() for k, v in found.items()}


def _entries(section: str) -> dict[str, str]:
  """The paragraphs of `Args` by the name of the argument."""
  paragraphs = re.split(r'\n(?=  \S)', section)
  return {text.split(':')[0].strip(): text for text in paragraphs}
