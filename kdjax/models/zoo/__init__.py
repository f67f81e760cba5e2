"""The networks that kdjax ships, in Linen.

`create('resnet20', classes=10)` makes any of them by name. `docs/models.md`
lists their taps.
"""

from kdjax.models.zoo.convnet import ConvNet
from kdjax.models.zoo.mlp import MLP
from kdjax.models.zoo.registry import create, names
from kdjax.models.zoo.resnet import ResNet
from kdjax.models.zoo.vit import ViT

__all__ = ['MLP', 'ConvNet', 'ResNet', 'ViT', 'create', 'names']


def __dir__() -> list[str]:
  return sorted(__all__)
