"""The networks that kdjax ships, in Linen.

`create('resnet20', classes=10)` makes any of them by name. `docs/models.md`
lists their taps.
"""

from kdjax.models.zoo.convnet import ConvNet
from kdjax.models.zoo.convnext import ConvNeXt
from kdjax.models.zoo.googlenet import GoogLeNet
from kdjax.models.zoo.imagenet_resnet import ImageNetResNet
from kdjax.models.zoo.mlp import MLP
from kdjax.models.zoo.mobilenet_v1 import MobileNetV1
from kdjax.models.zoo.mobilenet_v2 import MobileNetV2
from kdjax.models.zoo.registry import create, names
from kdjax.models.zoo.resnet import ResNet
from kdjax.models.zoo.shufflenet import GroupBlock, ShuffleNet, SplitBlock
from kdjax.models.zoo.vgg import VGG
from kdjax.models.zoo.vit import ViT
from kdjax.models.zoo.wide_resnet import WideResNet

__all__ = [
  'MLP',
  'VGG',
  'ConvNeXt',
  'ConvNet',
  'GoogLeNet',
  'GroupBlock',
  'ImageNetResNet',
  'MobileNetV1',
  'MobileNetV2',
  'ResNet',
  'ShuffleNet',
  'SplitBlock',
  'ViT',
  'WideResNet',
  'create',
  'names',
]


def __dir__() -> list[str]:
  return sorted(__all__)
