"""Distillation of CIFAR's ResNets in PyTorch, the data on the device.

As fast as the usual means make it: channels last, tuned kernels, a fused
optimizer, no work on the host but launching; images are padded once, and a
batch is cropped and mirrored by one gather.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.pytorch import networks, response, steps

_PADDING = 4


def augmented(
  padded: Tensor, index: Tensor, mean: Tensor, std: Tensor
) -> Tensor:
  """Random windows of padded uint8 images, mirrored at random, normalised.

  Args:
    padded: `[examples, height + 8, width + 8, channels]`.
    index: Which examples, `[batch]`.
    mean: `[channels]`.
    std: `[channels]`.

  Returns:
    Float32 `[batch, channels, height, width]`, channels last in memory.
  """
  batch, device = len(index), padded.device
  side = padded.shape[1] - 2 * _PADDING
  corner = torch.randint(2 * _PADDING + 1, (2, batch, 1), device=device)
  places = torch.arange(side, device=device)
  mirrored = torch.rand(batch, 1, device=device) < 0.5
  rows = corner[0] + places
  columns = corner[1] + torch.where(mirrored, side - 1 - places, places)
  images = padded[index[:, None, None], rows[:, :, None], columns[:, None, :]]
  return ((images.float() - mean) / std).permute(0, 3, 1, 2)


def objective(
  student: nn.Module, images: Tensor, targets: Tensor, label: Tensor
) -> Tensor:
  """A tenth cross-entropy, nine tenths soft targets of temperature 4."""
  logits = student(images)
  soft = response.soft_target_loss(logits, targets, temperature=4.0)
  return 0.1 * F.cross_entropy(logits, label) + 0.9 * soft


class Loop:
  """An epoch of distillation, students in a loop, one teacher pass for all.

  Attributes:
    sizes: Parameters of teacher and student.
    steps: Of an epoch.
  """

  def __init__(
    self,
    examples: Mapping[str, np.ndarray],
    statistics: Sequence[Sequence[float]],
    depths: tuple[int, int],
    *,
    batch: int,
    seeds: int,
    precision: str,
    mode: str,
    device: torch.device,
  ):
    """Sets up networks, optimizers and data.

    Args:
      examples: `image`, uint8 `[examples, h, w, 3]`, and `label`.
      statistics: Mean and standard deviation of the channels.
      depths: Of teacher and student.
      batch: Images a step.
      seeds: Students.
      precision: `float32` or `bfloat16` (by autocast).
      mode: See `steps.compiled`.
      device: Where everything lies.
    """
    steps.allow_tf32()
    border = [0, 0] + 4 * [_PADDING]
    self._images = F.pad(torch.tensor(examples['image']), border).to(device)
    self._labels = torch.tensor(examples['label']).long().to(device)
    self._device, self._mode, self._batch = device, mode, batch
    self._bfloat16 = precision == 'bfloat16'
    teacher, *students = [
      _channels_last(networks.ResNet(depth).to(device))
      for depth in (depths[0], *[depths[1]] * seeds)
    ]
    self._students = [(x.train(), _optimizer(x, device)) for x in students]
    self._teacher = steps.compiled(teacher.eval(), mode)
    self._objective = steps.compiled(objective, mode)
    mean, std = (torch.tensor(x, device=device) for x in statistics)
    self._augmented = functools.partial(
      steps.compiled(augmented, mode), mean=mean, std=std
    )
    self.sizes = tuple(
      sum(x.numel() for x in network.parameters())
      for network in (teacher, students[0])
    )
    self.steps = len(self._labels) // batch

  def epoch(self) -> None:
    """Launches an epoch in random order."""
    order = torch.randperm(len(self._labels), device=self._device)
    for index in order[: self.steps * self._batch].split(self._batch):
      self._step(index)

  def _step(self, index: Tensor) -> None:
    if self._mode == 'reduce-overhead':
      torch.compiler.cudagraph_mark_step_begin()
    images, label = self._augmented(self._images, index), self._labels[index]
    with torch.no_grad(), self._autocast():
      targets = self._teacher(images)
    for student, optimizer in self._students:
      with self._autocast():
        loss = self._objective(student, images, targets, label)
      optimizer.zero_grad()
      loss.backward()
      optimizer.step()

  def _autocast(self) -> Any:
    return torch.autocast(
      self._device.type, torch.bfloat16, enabled=self._bfloat16
    )


def _channels_last(network: nn.Module) -> nn.Module:
  to: Any = network.to  # whose annotations leave `memory_format` out
  return to(memory_format=torch.channels_last)


def _optimizer(
  student: nn.Module, device: torch.device
) -> torch.optim.Optimizer:
  return torch.optim.SGD(
    student.parameters(),
    0.05,
    momentum=0.9,
    weight_decay=5e-4,
    nesterov=True,
    fused=device.type == 'cuda',
  )
