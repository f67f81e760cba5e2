"""The shipped networks in plain PyTorch, of the same sizes."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class MLP(nn.Sequential):
  """Dense layers with ReLUs between, on flattened images `[n, c, h, w]`."""

  def __init__(self, inputs: int, *widths: int):
    layers: list[nn.Module] = [nn.Flatten()]
    for i, (a, b) in enumerate(
      zip((inputs, *widths[:-1]), widths, strict=True), start=1
    ):
      layers.append(nn.Linear(a, b))
      if i < len(widths):
        layers.append(nn.ReLU())
    super().__init__(*layers)


class ViT(nn.Module):
  """Pre-norm vision transformer that answers from its class token."""

  def __init__(self, depth: int, width: int, heads: int, side: int, patch: int):
    super().__init__()
    tokens = 1 + (side // patch) ** 2
    self.patches = nn.Conv2d(1, width, patch, stride=patch)
    self.token = nn.Parameter(torch.zeros(1, 1, width))
    self.positions = nn.Parameter(0.02 * torch.randn(1, tokens, width))
    layer = nn.TransformerEncoderLayer(
      width, heads, 4 * width, 0.0, 'gelu', batch_first=True, norm_first=True
    )
    self.layers = nn.TransformerEncoder(
      layer, depth, nn.LayerNorm(width), enable_nested_tensor=False
    )
    self.head = nn.Linear(width, 10)

  def forward(self, x: Tensor) -> Tensor:
    """Maps `[n, 1, side, side]` to logits `[n, 10]`."""
    x = self.patches(x).flatten(2).transpose(1, 2)
    x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
    return self.head(self.layers(x + self.positions)[:, 0])


class Block(nn.Module):
  """Residual block of two convolutions, a padded shortcut (option A)."""

  def __init__(self, inputs: int, width: int, stride: int):
    super().__init__()
    self.first = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
    self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
    self.norms = nn.ModuleList([nn.BatchNorm2d(width) for _ in range(2)])
    self.extra, self.stride = width - inputs, stride

  def forward(self, x: Tensor) -> Tensor:
    """Maps `[n, inputs, h, w]` to `[n, width, h / stride, w / stride]`."""
    y = F.relu(self.norms[0](self.first(x)))
    y = self.norms[1](self.second(y))
    if self.extra:
      half = self.extra // 2
      x = F.pad(x[:, :, :: self.stride, :: self.stride], [0] * 4 + [half] * 2)
    return F.relu(x + y)


class ResNet(nn.Sequential):
  """Residual network for 32x32 images of three channels, ten classes."""

  def __init__(self, depth: int):
    layers = [
      nn.Conv2d(3, 16, 3, 1, 1, bias=False),
      nn.BatchNorm2d(16),
      nn.ReLU(),
    ]
    inputs = 16
    for i, width in enumerate((16, 32, 64)):
      for j in range((depth - 2) // 6):
        layers.append(Block(inputs, width, 2 if i and not j else 1))
        inputs = width
    pool = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
    super().__init__(*layers, *pool)


def pair(name: str) -> tuple[nn.Module, nn.Module]:
  """Teacher and student: `mlp`, `vit` or `resnet`."""
  if name == 'mlp':
    return MLP(64, 512, 512, 10), MLP(64, 16, 10)
  if name == 'vit':
    return ViT(6, 192, 4, 8, 2), ViT(3, 64, 4, 8, 2)
  return ResNet(20), ResNet(8)
