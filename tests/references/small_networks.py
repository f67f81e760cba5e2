"""The networks of RepDistiller's CIFAR-100 tables in PyTorch, from its code.

Every network maps images `[batch, channels, h, w]` to features by name:
`stem`, `stageN`, their pre-activations `stem/preactivation`,
`stageN/preactivation`, `embedding` and `logits`.
"""

import torch
from torch import nn
from torch.nn import functional


def _conv(inputs, width, kernel=3, stride=1, groups=1, bias=False):
  border = kernel // 2
  return nn.Conv2d(
    inputs, width, kernel, stride, border, groups=groups, bias=bias
  )


def _conv_norm(*shape, **settings):
  conv = _conv(*shape, **settings)
  return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels))


class Block(nn.Module):
  """Two 3x3 convolutions and a shortcut of option B."""

  def __init__(self, inputs, width, stride):
    super().__init__()
    self.first = _conv_norm(inputs, width, 3, stride)
    self.second = _conv_norm(width, width)
    self.shortcut = None
    if stride > 1 or inputs != width:
      self.shortcut = _conv_norm(inputs, width, 1, stride)

  def forward(self, x):
    y = self.second(torch.relu(self.first(x)))
    return y + (x if self.shortcut is None else self.shortcut(x))


class Bottleneck(nn.Module):
  """1x1, 3x3 and 1x1 convolution, the last four times as wide."""

  def __init__(self, inputs, width, stride):
    super().__init__()
    self.first = _conv_norm(inputs, width // 4, 1)
    self.second = _conv_norm(width // 4, width // 4, 3, stride)
    self.third = _conv_norm(width // 4, width, 1)
    self.shortcut = None
    if stride > 1 or inputs != width:
      self.shortcut = _conv_norm(inputs, width, 1, stride)

  def forward(self, x):
    y = torch.relu(self.second(torch.relu(self.first(x))))
    y = self.third(y)
    return y + (x if self.shortcut is None else self.shortcut(x))


class GroupBlock(nn.Module):
  """Block of ShuffleNet V1 with three groups."""

  def __init__(self, inputs, width, stride):
    super().__init__()
    self.stride = stride
    self.groups = 1 if inputs == 24 else 3
    width -= inputs if stride == 2 else 0
    inner = int(width / 4)
    self.first = _conv_norm(inputs, inner, 1, groups=self.groups)
    self.second = _conv_norm(inner, inner, 3, stride, groups=inner)
    self.third = _conv_norm(inner, width, 1, groups=3)

  def forward(self, x):
    y = nn.ChannelShuffle(self.groups)(torch.relu(self.first(x)))
    y = self.third(torch.relu(self.second(y)))
    if self.stride == 1:
      return y + x
    return torch.cat([y, functional.avg_pool2d(x, 3, stride=2, padding=1)], 1)


class SplitBlock(nn.Module):
  """Block of ShuffleNet V2; its halves are not yet interleaved."""

  def __init__(self, inputs, width, stride):
    super().__init__()
    half = width // 2
    self.left = None
    if stride == 2:
      self.left = nn.Sequential(
        _conv_norm(inputs, inputs, 3, 2, groups=inputs),
        _conv_norm(inputs, half, 1),
      )
    self.first = _conv_norm(inputs if stride == 2 else half, half, 1)
    self.second = _conv_norm(half, half, 3, stride, groups=half)
    self.third = _conv_norm(half, half, 1)

  def forward(self, x):
    left, right = (x, x) if self.left else x.chunk(2, 1)
    if self.left:
      left = self.left(left)
    right = self.second(torch.relu(self.first(right)))
    return torch.cat([left, self.third(right)], 1)


class Residual(nn.Module):
  """ResNets and ShuffleNets: stages of blocks, a ReLU after every block."""

  def __init__(
    self, block, stem, widths, blocks, classes, *, kernel=3, strides, last=None
  ):
    super().__init__()
    self.stem = _conv_norm(3, stem, kernel)
    self.stages, inputs = nn.ModuleList(), stem
    for width, count, stride in zip(widths, blocks, strides, strict=True):
      stage = nn.ModuleList()
      for i in range(count):
        stage.append(block(inputs, width, 1 if i else stride))
        inputs = width
      self.stages.append(stage)
    self.last = _conv_norm(inputs, last, 1) if last else None
    self.head = nn.Linear(last or inputs, classes)
    shuffles = block is SplitBlock
    self.order = nn.ChannelShuffle(2) if shuffles else nn.Identity()

  def forward(self, x):
    taps = {'stem/preactivation': self.stem(x)}
    taps['stem'] = x = torch.relu(taps['stem/preactivation'])
    for number, stage in enumerate(self.stages, start=1):
      for block in stage:
        total = self.order(block(x))
        x = torch.relu(total)
      taps[f'stage{number}/preactivation'], taps[f'stage{number}'] = total, x
    if self.last:
      x = torch.relu(self.last(x))
    taps['embedding'] = x.mean((2, 3))
    return taps | {'logits': self.head(taps['embedding'])}


class WideBlock(nn.Module):
  """Pre-activation block, with its first batch norm."""

  def __init__(self, inputs, width, stride):
    super().__init__()
    self.norm = nn.BatchNorm2d(inputs)
    self.first = _conv_norm(inputs, width, 3, stride)
    self.second = _conv(width, width)
    self.shortcut = None
    if inputs != width:
      self.shortcut = _conv(inputs, width, 1, stride)

  def forward(self, x):
    self.normalised = self.norm(x)
    active = torch.relu(self.normalised)
    y = self.second(torch.relu(self.first(active)))
    return y + (self.shortcut(active) if self.shortcut else x)


class WideResNet(nn.Module):
  """Features are sums, pre-activations their batch norms."""

  def __init__(self, depth, widen, classes):
    super().__init__()
    self.stem, inputs = _conv(3, 16), 16
    self.stages = nn.ModuleList()
    for width, stride in ((16, 1), (32, 2), (64, 2)):
      stage = nn.ModuleList()
      for i in range((depth - 4) // 6):
        stage.append(WideBlock(inputs, widen * width, 1 if i else stride))
        inputs = widen * width
      self.stages.append(stage)
    self.norm = nn.BatchNorm2d(inputs)
    self.head = nn.Linear(inputs, classes)

  def forward(self, x):
    taps, before = {'stem': self.stem(x)}, 'stem'
    x = taps['stem']
    for number, stage in enumerate(self.stages, start=1):
      for block in stage:
        x = block(x)
      taps[f'{before}/preactivation'] = stage[0].normalised
      before = f'stage{number}'
      taps[before] = x
    taps[f'{before}/preactivation'] = x = self.norm(x)
    taps['embedding'] = torch.relu(x).mean((2, 3))
    return taps | {'logits': self.head(taps['embedding'])}


class VGG(nn.Module):
  """Five groups of convolutions with biases; images of 32 or 64 pixels."""

  def __init__(self, convolutions, widths, classes):
    super().__init__()
    self.groups, inputs = nn.ModuleList(), 3
    for width, count in zip(widths, convolutions, strict=True):
      group = nn.ModuleList()
      for _ in range(count):
        group.append(_conv_norm(inputs, width, bias=True))
        inputs = width
      self.groups.append(group)
    self.head = nn.Linear(inputs, classes)

  def forward(self, x):
    taps, large = {}, x.shape[2] == 64
    for number, group in enumerate(self.groups):
      if number in (1, 2, 3) or (number == 4 and large):
        x = functional.max_pool2d(x, 2)
      for layer in group:
        total = layer(x)
        x = torch.relu(total)
      name = f'stage{number}' if number else 'stem'
      taps[f'{name}/preactivation'], taps[name] = total, x
    taps['embedding'] = functional.adaptive_avg_pool2d(x, 1).flatten(1)
    return taps | {'logits': self.head(taps['embedding'])}


class InvertedResidual(nn.Module):
  """Expansion, depthwise and linear convolution."""

  def __init__(self, inputs, width, stride, expansion, expand, activation):
    super().__init__()
    inner = inputs * expansion
    self.activation = activation
    self.first = _conv_norm(inputs, inner, 1) if expand else None
    self.second = _conv_norm(inner, inner, 3, stride, groups=inner)
    self.third = _conv_norm(inner, width, 1)
    self.adds = stride == 1 and inputs == width

  def forward(self, x):
    y = self.activation(self.first(x)) if self.first else x
    y = self.third(self.activation(self.second(y)))
    return x + y if self.adds else y


class MobileNetV2(nn.Module):
  """RepDistiller's with `small`, otherwise torchvision's; no dropout."""

  ROWS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
  )

  def __init__(self, classes, small):
    super().__init__()
    multiplier = 0.5 if small else 1.0
    self.activation = torch.relu if small else functional.relu6
    inputs = int(32 * multiplier)
    self.stem = _conv_norm(3, inputs, 3, 2)
    self.rows = nn.ModuleList()
    for expansion, channels, count, stride in self.ROWS:
      row, width = nn.ModuleList(), int(channels * multiplier)
      stride = 1 if small and channels == 24 else stride
      expand = small or expansion > 1
      for i in range(count):
        shape = inputs, width, 1 if i else stride, expansion, expand
        row.append(InvertedResidual(*shape, self.activation))
        inputs = width
      self.rows.append(row)
    self.last = _conv_norm(inputs, 1280, 1)
    self.head = nn.Linear(1280, classes)

  def forward(self, x):
    taps = {'stem/preactivation': self.stem(x)}
    taps['stem'] = x = self.activation(taps['stem/preactivation'])
    ends = {1: 'stage1', 2: 'stage2', 4: 'stage3', 6: 'stage4'}
    for number, row in enumerate(self.rows):
      for block in row:
        x = block(x)
      if number in ends:
        taps[ends[number]] = taps[f'{ends[number]}/preactivation'] = x
    x = self.activation(self.last(x))
    taps['embedding'] = x.mean((2, 3))
    return taps | {'logits': self.head(taps['embedding'])}


def _resnet(depth, classes, *, wide=False):
  stem, widths = (32, (64, 128, 256)) if wide else (16, (16, 32, 64))
  blocks = [(depth - 2) // 6] * 3
  return Residual(Block, stem, widths, blocks, classes, strides=(1, 2, 2))


def create(name, classes):
  """The network of this name in the zoo."""
  shuffle = {'kernel': 1, 'strides': (2, 2, 2)}
  match name.rstrip('b'), name:
    case _, 'resnet8x4' | 'resnet32x4':
      return _resnet(int(name[6:-2]), classes, wide=True)
    case _, 'resnet50_small':
      widths, blocks = (256, 512, 1024, 2048), (3, 4, 6, 3)
      strides = (1, 2, 2, 2)
      return Residual(Bottleneck, 64, widths, blocks, classes, strides=strides)
    case short, _ if short.startswith('resnet'):
      return _resnet(int(short[6:]), classes)
    case _, 'shufflenetv1':
      widths = (240, 480, 960)
      return Residual(GroupBlock, 24, widths, (4, 8, 4), classes, **shuffle)
    case _, 'shufflenetv2':
      widths, last = (116, 232, 464), 1024
      return Residual(
        SplitBlock, 24, widths, (4, 8, 4), classes, **shuffle, last=last
      )
    case _, 'mobilenetv2' | 'mobilenetv2_half':
      return MobileNetV2(classes, small=name.endswith('_half'))
    case _, name if name.startswith('wrn'):
      depth, widen = name[3:].split('_')
      return WideResNet(int(depth), int(widen), classes)
    case _, name if name.startswith('vgg'):
      counts = {8: '11111', 11: '11222', 13: '22222', 16: '22333', 19: '22444'}
      convolutions = [int(digit) for digit in counts[int(name[3:])]]
      return VGG(convolutions, (64, 128, 256, 512, 512), classes)
  raise ValueError(name)
