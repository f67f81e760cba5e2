"""The networks of this room by name, for command lines."""

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
from kdjax.models.zoo.resnet import ResNet
from kdjax.models.zoo.vit import ViT


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


def _mlp(*features: int):
  def make(classes, dtype, axis_name) -> nn.Module:
    del axis_name  # has no batch norm
    return MLP(features, classes, dtype=dtype)

  return make


def _convnet(widths: tuple[int, ...], convolutions: tuple[int, ...]):
  def make(classes, dtype, axis_name) -> nn.Module:
    return ConvNet(
      widths, convolutions, classes, dtype=dtype, axis_name=axis_name
    )

  return make


def _resnet(depth: int):
  def make(classes, dtype, axis_name) -> nn.Module:
    return ResNet(depth, classes, dtype=dtype, axis_name=axis_name)

  return make


def _vit(depth: int, width: int, heads: int, **more):
  def make(classes, dtype, axis_name) -> nn.Module:
    del axis_name  # has no batch norm
    return ViT(depth, width, heads, classes, dtype=dtype, **more)

  return make


def _imagenet_resnet(depth: int):
  def make(classes, dtype, axis_name) -> nn.Module:
    return ImageNetResNet(depth, classes, dtype=dtype, axis_name=axis_name)

  return make


def _convnext(blocks: tuple[int, ...], widths: tuple[int, ...]):
  def make(classes, dtype, axis_name) -> nn.Module:
    del axis_name  # has no batch norm
    return ConvNeXt(blocks, widths, classes, dtype=dtype)

  return make


def _mobilenet_v1(classes, dtype, axis_name) -> nn.Module:
  return MobileNetV1(classes, dtype=dtype, axis_name=axis_name)


def _googlenet(classes, dtype, axis_name) -> nn.Module:
  return GoogLeNet(classes, dtype=dtype, axis_name=axis_name)


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
  # For ImageNet.
  'resnet18': _imagenet_resnet(18),
  'resnet34': _imagenet_resnet(34),
  'resnet50': _imagenet_resnet(50),
  'resnet101': _imagenet_resnet(101),
  'resnet152': _imagenet_resnet(152),
  'mobilenetv1': _mobilenet_v1,
  'googlenet': _googlenet,
  'convnext_tiny': _convnext((3, 3, 9, 3), (96, 192, 384, 768)),
  'deit_tiny': _vit(12, 192, 3, patch=16),
  'deit_small': _vit(12, 384, 6, patch=16),
  'deit_base': _vit(12, 768, 12, patch=16),
  'deit_tiny_distilled': _vit(12, 192, 3, patch=16, distillation_token=True),
  'deit_small_distilled': _vit(12, 384, 6, patch=16, distillation_token=True),
  'deit_base_distilled': _vit(12, 768, 12, patch=16, distillation_token=True),
}
