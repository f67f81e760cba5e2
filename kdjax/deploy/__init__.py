"""The cost of a trained network."""

from kdjax.deploy.cost import Cost, measure

__all__ = ['Cost', 'measure']


def __dir__() -> list[str]:
  return sorted(__all__)
