"""The networks of this room by name, for command lines."""

from typing import Any

import chex
import jax.numpy as jnp
from flax import linen as nn

from kdjax.models.adapters import from_linen
from kdjax.models.model import Model
from kdjax.models.zoo.convnet import ConvNet
from kdjax.models.zoo.convnext import ConvNeXt
from kdjax.models.zoo.googlenet import GoogLeNet
from kdjax.models.zoo.imagenet_resnet import ImageNetResNet
from kdjax.models.zoo.mlp import MLP
from kdjax.models.zoo.mobilenet_v1 import MobileNetV1
from kdjax.models.zoo.mobilenet_v2 import MobileNetV2
from kdjax.models.zoo.resnet import ResNet
from kdjax.models.zoo.shufflenet import GroupBlock, ShuffleNet, SplitBlock
from kdjax.models.zoo.vgg import VGG
from kdjax.models.zoo.vit import ViT
from kdjax.models.zoo.wide_resnet import WideResNet


def create(
  name: str,
  *,
  classes: int,
  dtype: chex.ArrayDType = jnp.float32,
  axis_name: str | None = None,
) -> Model:
  """Makes one of the networks listed by `names`.

  Args:
    name: Name of the network.
    classes: Number of logits.
    dtype: Dtype of the computation; parameters, statistics, logits are float32.
    axis_name: Mapped axis over which batch norm averages its statistics when
      training; without an axis each device normalises its own examples.

  Returns:
    The model.

  Raises:
    ValueError: if there is no network of this name, or no class.
  """
  if name not in _FACTORIES:
    raise ValueError(f'name must be one of {", ".join(names())}, got {name!r}.')
  if classes < 1:
    raise ValueError(f'classes must be positive, got {classes}.')
  model = from_linen(_FACTORIES[name](classes, dtype, axis_name))
  precision = jnp.dtype(dtype).name
  note = {'model': name, 'classes': classes, 'precision': precision}
  return model._replace(note=note)


def names() -> tuple[str, ...]:
  """Returns the names for `create`, in the order of a table."""
  return tuple(_FACTORIES)


def _normed(network: type[nn.Module], **settings: Any):
  """Networks that have batch norm, and so an `axis_name`."""

  def make(classes, dtype, axis_name) -> nn.Module:
    return network(
      classes=classes, dtype=dtype, axis_name=axis_name, **settings
    )

  return make


def _plain(network: type[nn.Module], **settings: Any):
  """Networks without batch norm."""

  def make(classes, dtype, axis_name) -> nn.Module:
    del axis_name
    return network(classes=classes, dtype=dtype, **settings)

  return make


def _mlp(*features: int):
  return _plain(MLP, features=features)


def _convnet(widths: tuple[int, ...], convolutions: tuple[int, ...]):
  return _normed(ConvNet, widths=widths, convolutions=convolutions)


def _resnet(depth: int):
  return _normed(ResNet, depth=depth)


def _resnet_b(depth: int, wide: bool = False):
  """RepDistiller's, with projections; 4 times as wide after the stem."""
  widths = {'stem_width': 32, 'widths': (64, 128, 256)} if wide else {}
  return _normed(ResNet, depth=depth, projection=True, **widths)


def _wide_resnet(depth: int, widen: int):
  return _normed(WideResNet, depth=depth, widen=widen)


def _vgg(*convolutions: int):
  return _normed(VGG, convolutions=convolutions)


def _vit(depth: int, width: int, heads: int, **more: Any):
  return _plain(ViT, depth=depth, width=width, heads=heads, **more)


def _imagenet_resnet(depth: int):
  return _normed(ImageNetResNet, depth=depth)


_FACTORIES = {
  'mlp_teacher': _mlp(512, 512),
  'mlp_assistant': _mlp(64),
  'mlp_student': _mlp(16),
  'cnn_teacher': _convnet((64, 128, 256), (2, 2, 2)),
  'cnn_student': _convnet((16, 48, 96), (1, 1, 1)),
  # Both have the same number of heads, so that losses can compare attention.
  'vit_teacher': _vit(6, 192, 4),
  'vit_student': _vit(3, 64, 4),
  'vit_student_distilled': _vit(3, 64, 4, distillation_token=True),
  'resnet8': _resnet(8),
  'resnet14': _resnet(14),
  'resnet20': _resnet(20),
  'resnet32': _resnet(32),
  'resnet44': _resnet(44),
  'resnet56': _resnet(56),
  'resnet110': _resnet(110),
  # The networks of RepDistiller's tables for CIFAR-100.
  'resnet8b': _resnet_b(8),
  'resnet14b': _resnet_b(14),
  'resnet20b': _resnet_b(20),
  'resnet32b': _resnet_b(32),
  'resnet44b': _resnet_b(44),
  'resnet56b': _resnet_b(56),
  'resnet110b': _resnet_b(110),
  'resnet8x4': _resnet_b(8, wide=True),
  'resnet32x4': _resnet_b(32, wide=True),
  'resnet50_small': _normed(ImageNetResNet, depth=50, small_images=True),
  'wrn16_1': _wide_resnet(16, 1),
  'wrn16_2': _wide_resnet(16, 2),
  'wrn40_1': _wide_resnet(40, 1),
  'wrn40_2': _wide_resnet(40, 2),
  'vgg8': _vgg(1, 1, 1, 1, 1),
  'vgg11': _vgg(1, 1, 2, 2, 2),
  'vgg13': _vgg(2, 2, 2, 2, 2),
  'vgg16': _vgg(2, 2, 3, 3, 3),
  'vgg19': _vgg(2, 2, 4, 4, 4),
  'mobilenetv2_half': _normed(
    MobileNetV2,
    multiplier=0.5,
    divisor=1,
    first_stride=1,
    expand=True,
    activation=nn.relu,
    dropout=0.0,
  ),
  'shufflenetv1': _normed(ShuffleNet, block=GroupBlock, widths=(240, 480, 960)),
  'shufflenetv2': _normed(
    ShuffleNet, block=SplitBlock, widths=(116, 232, 464), features=1024
  ),
  # For images of ImageNet's size.
  'resnet18': _imagenet_resnet(18),
  'resnet34': _imagenet_resnet(34),
  'resnet50': _imagenet_resnet(50),
  'resnet101': _imagenet_resnet(101),
  'resnet152': _imagenet_resnet(152),
  'mobilenetv1': _normed(MobileNetV1),
  'mobilenetv2': _normed(MobileNetV2),
  'googlenet': _normed(GoogLeNet),
  'convnext_tiny': _plain(
    ConvNeXt, blocks=(3, 3, 9, 3), widths=(96, 192, 384, 768)
  ),
  'deit_tiny': _vit(12, 192, 3, patch=16),
  'deit_small': _vit(12, 384, 6, patch=16),
  'deit_base': _vit(12, 768, 12, patch=16),
  'deit_tiny_distilled': _vit(12, 192, 3, patch=16, distillation_token=True),
  'deit_small_distilled': _vit(12, 384, 6, patch=16, distillation_token=True),
  'deit_base_distilled': _vit(12, 768, 12, patch=16, distillation_token=True),
}
