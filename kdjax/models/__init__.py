"""Networks, and `Model`, the common interface of all networks.

`create('resnet20', classes=10)` makes a network of this room. `from_linen`,
`from_nnx` and `from_function` make a `Model` of any other network.
`reuse_classifier` joins a student and its teacher's classifier. `with_top_k`
adds the best classes to the outputs of a model, and `with_head` adds its head.
`normalised` makes a model that normalises its own images, `resized` one that
resizes them. A `Network` is a model with trained variables; `ensemble` makes
one network of several. `load_torch` and `save_torch` convert networks from and
for PyTorch.
"""

from kdjax.models.adapters import from_function, from_linen, from_nnx
from kdjax.models.beside import beside
from kdjax.models.ensemble import ensemble, ensemble_model
from kdjax.models.head import with_head
from kdjax.models.model import (
  Batch,
  Model,
  ModelVariables,
  middle_stage,
  taps,
)
from kdjax.models.network import Network
from kdjax.models.normalised import IMAGENET, normalised
from kdjax.models.options import Options, shares
from kdjax.models.pytorch import (
  WeightsError,
  is_weights,
  load_torch,
  read_torch_note,
  save_torch,
)
from kdjax.models.resized import at_own_size, resized
from kdjax.models.reused import reuse_classifier
from kdjax.models.top_k import with_top_k
from kdjax.models.zoo import MLP, ConvNet, ResNet, ViT, create, names

__all__ = [
  'IMAGENET',
  'MLP',
  'Batch',
  'ConvNet',
  'Model',
  'ModelVariables',
  'Network',
  'Options',
  'ResNet',
  'ViT',
  'WeightsError',
  'at_own_size',
  'beside',
  'create',
  'ensemble',
  'ensemble_model',
  'from_function',
  'from_linen',
  'from_nnx',
  'is_weights',
  'load_torch',
  'middle_stage',
  'names',
  'normalised',
  'read_torch_note',
  'resized',
  'reuse_classifier',
  'save_torch',
  'shares',
  'taps',
  'with_head',
  'with_top_k',
]


def __dir__() -> list[str]:
  return sorted(__all__)
