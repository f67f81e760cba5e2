"""Small trained networks that bring the student's features to the teacher's.

They are part of a loss and compute in float32 at least, as losses do.
"""

from kdjax.transforms.connectors.factors import Paraphraser, Translator
from kdjax.transforms.connectors.generators import (
  MaskedGenerator,
  TokenAlignment,
  TokenGenerator,
)
from kdjax.transforms.connectors.layers import (
  BatchNorm,
  Convolution,
  Dense,
  TransposedConvolution,
)
from kdjax.transforms.connectors.projection import (
  BoundaryConnector,
  NormalisedProjection,
  Projection,
)
from kdjax.transforms.connectors.regressor import Regressor
from kdjax.transforms.connectors.review import AttentionFusion, ReviewFusion
from kdjax.transforms.connectors.simkd import SimKDProjector
from kdjax.transforms.connectors.variational import VariationalRegressor

__all__ = [
  'AttentionFusion',
  'BatchNorm',
  'BoundaryConnector',
  'Convolution',
  'Dense',
  'MaskedGenerator',
  'NormalisedProjection',
  'Paraphraser',
  'Projection',
  'Regressor',
  'ReviewFusion',
  'SimKDProjector',
  'TokenAlignment',
  'TokenGenerator',
  'Translator',
  'TransposedConvolution',
  'VariationalRegressor',
]


def __dir__() -> list[str]:
  return sorted(__all__)
