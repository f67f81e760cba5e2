"""Methods: named, weighted terms with their papers' hyperparameters.

`named('dkd', set='dkd.beta=2')` makes one; `of_loss` makes one of a loss of
your own.
"""

from kdjax.methods.method import Method, Stage, of_loss
from kdjax.methods.pair import Pair
from kdjax.methods.reused import reuse_classifier
from kdjax.methods.table import NAMES, Options, make, named

__all__ = [
  'NAMES',
  'Method',
  'Options',
  'Pair',
  'Stage',
  'make',
  'named',
  'of_loss',
  'reuse_classifier',
]


def __dir__() -> list[str]:
  return sorted(__all__)
