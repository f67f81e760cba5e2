"""The cost of a network: estimated from shapes, or measured when trained."""

from kdjax.deploy.cost import Cost, Estimate, estimate, measure

__all__ = ['Cost', 'Estimate', 'estimate', 'measure']


def __dir__() -> list[str]:
  return sorted(__all__)
