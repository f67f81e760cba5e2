"""Steps of distillation a second, beside a PyTorch eager loop.

python -m benchmarks.eager_loop

Soft targets and labels, SGD with momentum and weight decay, data that lies in
memory, float32. Ours are epochs as the recipes run them, shuffled, on a CPU of
one device and of one per core (`--devices` of the binaries); theirs takes the
examples in order. In both the teacher looks at every batch once, for all
students. A count of parameters that differs stops the benchmark. Needs the
extra `benchmarks` (PyTorch, on CPU).
"""

import math
import os
from collections.abc import Callable, Sequence

import jax
import numpy as np
from absl import app, flags

from benchmarks import epoch_jobs, one_program, side_by_side
from kdjax import transforms

_REPEATS = flags.DEFINE_integer('loops', 5, 'Runs of each.', lower_bound=1)
_JOBS = flags.DEFINE_list(
  'jobs', 'mlp:5,mlp:1,vit:1,resnet:1', 'PAIR:SEEDS, see one_program.'
)
_STEPS = {'mlp': 100, 'vit': 10, 'resnet': 4}


def job(pair: str, seeds: int) -> epoch_jobs.Job:
  """Labels and soft targets."""
  loss = transforms.weighted_sum(
    labels=(0.1, transforms.labels()),
    soft=(0.9, transforms.soft_targets(temperature=4.0)),
  )
  return epoch_jobs.job(pair, loss, epoch_jobs.BATCH * _STEPS[pair], seeds)


def theirs(job: epoch_jobs.Job, seeds: int) -> tuple[Callable[[], None], int]:
  """The PyTorch loop, and the parameters of a student."""
  import torch
  from torch.nn import functional

  from benchmarks.pytorch import networks, response

  examples = job.source.arrays()
  pixels = examples['image'].astype(np.float32)
  images = torch.tensor((pixels - epoch_jobs.MEAN) / epoch_jobs.STD)
  images = images.permute(0, 3, 1, 2).split(epoch_jobs.BATCH)
  labels = torch.tensor(examples['label']).long().split(epoch_jobs.BATCH)
  teacher = networks.pair(job.pair)[0].eval()
  students = [networks.pair(job.pair)[1].train() for _ in range(seeds)]
  optimizers = [
    torch.optim.SGD(x.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    for x in students
  ]

  def run():
    for image, label in zip(images, labels, strict=True):
      with torch.no_grad():
        targets = teacher(image)
      for student, optimizer in zip(students, optimizers, strict=True):
        logits = student(image)
        soft = response.soft_target_loss(logits, targets, temperature=4.0)
        loss = 0.1 * functional.cross_entropy(logits, label) + 0.9 * soft.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

  return run, sum(x.numel() for x in students[0].parameters())


def row(pair: str, seeds: int, counts: Sequence[int]) -> list[str]:
  """Rates of a job and their ratios to PyTorch's."""
  ours = job(pair, seeds)
  loop, size = theirs(ours, seeds)
  own = sum(x.size for x in jax.tree.leaves(ours.states.model.params)) // seeds
  if own != size:
    raise ValueError(f'{pair}: students of {own} and {size} parameters')
  timed = {'PyTorch': loop}
  for count in counts:
    devices = jax.local_devices()[:count]
    timed[str(count)] = epoch_jobs.epoch(ours, devices=devices)
  found = side_by_side.medians(timed, _REPEATS.value)
  eager, *rates = (_STEPS[pair] / seconds for seconds in found.values())
  names = ' to '.join(one_program.NETWORKS[pair][:2])
  own_rates = [f'{rate:.1f} ({rate / eager:.2f})' for rate in rates]
  return [names, str(seeds), f'{eager:.1f}', *own_rates]


def main(argv: Sequence[str]) -> None:
  """Prints the table."""
  del argv
  torch_version = side_by_side.torch_version()
  # As many as cores, or as divide the batch.
  most = math.gcd(epoch_jobs.BATCH, os.cpu_count() or 1)
  jax.config.update('jax_num_cpu_devices', most)
  counts = sorted({1, most})
  rows = []
  for name in _JOBS.value:
    pair, seeds = name.split(':')
    rows.append(row(pair, int(seeds), counts))
  print(side_by_side.environment(torch=torch_version))
  print(f'batch {epoch_jobs.BATCH}, steps a second (times PyTorch)')
  header = ['pair', 'seeds', 'PyTorch eager']
  header += [f'kdjax, {count} device(s)' for count in counts]
  print(side_by_side.markdown(header, rows))


if __name__ == '__main__':
  app.run(main)
