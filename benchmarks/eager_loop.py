"""Steps of distillation a second, beside a PyTorch eager loop.

python -m benchmarks.eager_loop

Soft targets and labels, SGD with momentum and weight decay, batches that lie in
memory, float32. Both loops run the teacher once per batch for all students. A
count of parameters that differs stops the benchmark. Needs the extra
`benchmarks` (PyTorch, on CPU).
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks import one_program, side_by_side

_REPEATS = flags.DEFINE_integer('loops', 3, 'Runs of each.', lower_bound=1)
_JOBS = flags.DEFINE_list(
  'jobs', 'mlp:5,mlp:1,vit:1,resnet:1', 'PAIR:SEEDS, see one_program.'
)
_STEPS = {'mlp': 100, 'vit': 10, 'resnet': 3}
_BATCH = 64


def ours(pair: str, seeds: int, steps: int) -> tuple[Callable, int]:
  """The loop as recipes run it, and the parameters of a student.

  One program of all steps, or, for the convolutions of residual networks on
  CPU, one program per step.
  """
  names = 'one' if seeds == 1 else 'vmapped' if pair == 'mlp' else 'unrolled'
  step, arguments = one_program.programs(pair, _BATCH, seeds)[names]
  states, variables, batch = arguments
  size = sum(x.size for x in jax.tree.leaves(states.model.params)) // seeds
  if pair == 'resnet':
    compiled = jax.jit(step).lower(*arguments).compile()

    def run():
      now = states
      for _ in range(steps):
        now, _ = compiled(now, variables, batch)
      return jax.block_until_ready(now)

    return run, size
  batches = jax.tree.map(lambda x: jnp.stack([x] * steps), batch)

  def epoch(states, variables, batches):
    return jax.lax.scan(
      lambda now, batch: step(now, variables, batch), states, batches
    )

  compiled = jax.jit(epoch).lower(states, variables, batches).compile()
  return lambda: jax.block_until_ready(
    compiled(states, variables, batches)
  ), size


def theirs(pair: str, seeds: int, steps: int) -> tuple[Callable, int]:
  """The PyTorch loop, and the parameters of a student."""
  import torch
  from torch.nn import functional

  from benchmarks.pytorch import networks, response

  batch = one_program.batch(_BATCH, one_program.NETWORKS[pair][2])
  image = torch.tensor(np.asarray(batch['image'])).permute(0, 3, 1, 2)
  label = torch.tensor(np.asarray(batch['label'])).long()
  teacher = networks.pair(pair)[0].eval()
  students = [networks.pair(pair)[1].train() for _ in range(seeds)]
  optimizers = [
    torch.optim.SGD(x.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    for x in students
  ]

  def run():
    for _ in range(steps):
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


def main(argv: Sequence[str]) -> None:
  """Prints the table."""
  del argv
  torch_version = side_by_side.torch_version()
  rows = []
  for job in _JOBS.value:
    pair, seeds = job.split(':')
    steps = _STEPS[pair]
    loops, sizes = {}, set()
    for name, make in (('ours', ours), ('theirs', theirs)):
      loops[name], size = make(pair, int(seeds), steps)
      sizes.add(size)
    if len(sizes) > 1:
      raise ValueError(f'{pair}: students of {sizes} parameters')
    found = side_by_side.medians(loops, _REPEATS.value)
    rates = [steps / found[name] for name in ('theirs', 'ours')]
    rows.append(
      [
        ' to '.join(one_program.NETWORKS[pair][:2]),
        seeds,
        *(f'{rate:.1f}' for rate in rates),
        f'{rates[1] / rates[0]:.2f}',
      ]
    )
  print(side_by_side.environment(torch=torch_version))
  print(f'batch {_BATCH}, steps a second')
  header = ['pair', 'seeds', 'PyTorch eager', 'kdjax', 'ratio']
  print(side_by_side.markdown(header, rows))


if __name__ == '__main__':
  app.run(main)
