"""What is wrong with a request, in one line."""

from typing import Any


class SettingsError(ValueError):
  """A setting out of range: its name, its value, and what is allowed."""

  def __init__(self, name: str, value: Any, allowed: str):
    super().__init__(f'{name}={value}: {allowed}')
