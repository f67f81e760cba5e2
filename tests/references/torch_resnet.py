"""CIFAR ResNets in PyTorch with the names of their published weights."""

import torch
from torch import nn
from torch.nn import functional


def create(name):
  """`resnet20` and the like with random weights and 1000 classes."""
  return ResNet(int(name.removeprefix('resnet')), 1000)


class Block(nn.Module):
  """Two convolutions beside a shortcut without parameters (option A)."""

  def __init__(self, inputs, width, stride):
    super().__init__()
    self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
    self.bn1 = nn.BatchNorm2d(width)
    self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
    self.bn2 = nn.BatchNorm2d(width)
    self.more = width - inputs

  def forward(self, x):
    y = torch.relu(self.bn1(self.conv1(x)))
    y = self.bn2(self.conv2(y))
    if self.more:
      half = self.more // 2
      x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
    return torch.relu(x + y)


class ResNet(nn.Module):
  """6n + 2 layers, as in akamaster/pytorch_resnet_cifar10."""

  def __init__(self, depth, classes):
    super().__init__()
    self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
    self.bn1 = nn.BatchNorm2d(16)
    inputs = 16
    for stage, width in enumerate((16, 32, 64), start=1):
      blocks = []
      for _ in range((depth - 2) // 6):
        blocks.append(Block(inputs, width, 1 if inputs == width else 2))
        inputs = width
      setattr(self, f'layer{stage}', nn.Sequential(*blocks))
    self.linear = nn.Linear(64, classes)

  def forward(self, x):
    x = torch.relu(self.bn1(self.conv1(x)))
    x = self.layer3(self.layer2(self.layer1(x)))
    return self.linear(x.mean((2, 3)))
