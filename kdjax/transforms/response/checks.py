"""Checks of hyperparameters, where a transform is built."""

import operator


def check_fraction(name: str, value: float) -> None:
  """Raises ValueError unless a hyperparameter is from 0 to 1."""
  if not 0 <= value <= 1:
    raise ValueError(f'{name} must be from 0 to 1, got {value}.')


def check_not_negative(name: str, value: float) -> None:
  """Raises ValueError unless a hyperparameter is 0 or above."""
  if not value >= 0:
    raise ValueError(f'{name} must not be negative, got {value}.')


def check_count(name: str, value: int) -> None:
  """Raises ValueError unless a hyperparameter is an integer of 1 or more."""
  try:
    counts = operator.index(value) >= 1
  except TypeError:
    counts = False
  if not counts:
    raise ValueError(f'{name} must be an integer of at least 1, got {value!r}.')
