"""Golden cases by the PyTorch losses: of other shapes, or the published ones.

```bash
# Recompute the published file.
python -m benchmarks.reference_losses --check
# Write a file of the same keys and other shapes, and hold kdjax against it.
python -m benchmarks.reference_losses --output=/tmp/own.npz --seed=3
KDJAX_REFERENCE_LOSSES=/tmp/own.npz pytest tests/reference_losses_test.py
```
"""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
import torch
from absl import app, flags

from benchmarks.reference_cases import CASES, KINKS, Tensors
from benchmarks.reference_inputs import Inputs, draw

PUBLISHED = (
  pathlib.Path(__file__).parents[1] / 'tests' / 'data' / 'reference_losses.npz'
)

# A rounding error must not decide on which side of a kink a number lies.
_LEAST_DISTANCE_TO_KINK = 1e-6
_ATTEMPTS = 100

_TOLERANCES = {'loss': 1e-9, 'grad': 1e-7, 'after': 1e-9}

_OUTPUT = flags.DEFINE_string('output', None, 'The .npz to write.')
_SEED = flags.DEFINE_integer(
  'seed', 0, 'Of the shapes and the inputs.', lower_bound=0
)
_CHECK = flags.DEFINE_boolean('check', False, 'Recompute the published file.')


def evaluate(case: str, inputs: Inputs) -> Inputs:
  """`loss`, `grad/<name>` of the student's arrays, and `after/<name>`."""
  student, teacher, extra = _tensors(inputs)
  for x in student.values():
    x.requires_grad_()
  result = CASES[case](student, teacher, extra)
  loss, after = result if isinstance(result, tuple) else (result, {})
  gradients = torch.autograd.grad(loss, list(student.values()))
  return {
    'loss': loss.detach().numpy(),
    **{
      f'grad/{name}': gradient.numpy()
      for name, gradient in zip(student, gradients, strict=True)
    },
    **{f'after/{name}': x.detach().numpy() for name, x in after.items()},
  }


def distance_to_kink(case: str, inputs: Inputs) -> float:
  """How near the inputs are to where the loss is not smooth."""
  kinks = KINKS[case](*_tensors(inputs)) if case in KINKS else []
  return min((x.abs().min().item() for x in kinks), default=float('inf'))


def generate(seed: int) -> Inputs:
  """All cases of a seed, keys and dtypes as in the published file."""
  arrays = {}
  for case in CASES:
    inputs = _draw_off_kinks(case, seed)
    for key, array in {**inputs, **evaluate(case, inputs)}.items():
      if not np.isfinite(array).all():
        raise ValueError(f'{case}/{key} of seed {seed} is not finite.')
      arrays[f'{case}/{key}'] = array
  return arrays


def errors(arrays: Inputs) -> dict[str, float]:
  """Of every key that is computed, its error relative to the largest entry."""
  found = {}
  for case in CASES:
    given = {
      key.removeprefix(f'{case}/'): array
      for key, array in arrays.items()
      if key.startswith(f'{case}/')
    }
    inputs = {
      key: x
      for key, x in given.items()
      if key.startswith(('student/', 'teacher/', 'extra/'))
    }
    computed = evaluate(case, inputs)
    if computed.keys() | inputs.keys() != given.keys():
      raise ValueError(f'unexpected keys of {case}: {sorted(given)}.')
    for key, array in computed.items():
      error = np.abs(array - given[key]).max() / np.abs(given[key]).max()
      found[f'{case}/{key}'] = float(error)
  return found


def _tensors(inputs: Inputs) -> tuple[Tensors, Tensors, Tensors]:
  """The arrays by group and name."""
  student, teacher, extra = (
    {
      key.removeprefix(group): torch.tensor(x)
      for key, x in inputs.items()
      if key.startswith(group)
    }
    for group in ('student/', 'teacher/', 'extra/')
  )
  return student, teacher, extra


def _draw_off_kinks(case: str, seed: int) -> Inputs:
  for attempt in range(_ATTEMPTS):
    inputs = draw(case, seed, attempt)
    if distance_to_kink(case, inputs) > _LEAST_DISTANCE_TO_KINK:
      return inputs
  raise ValueError(f'no inputs of {case} off its kinks for seed {seed}.')


def _check() -> int:
  """Prints how the published file is met; returns what is wrong."""
  with np.load(PUBLISHED) as file:
    arrays = {key: file[key] for key in file.files}
  wrong, found = 0, errors(arrays)
  for key, error in found.items():
    kind = key.split('/')[1]
    agrees = error <= _TOLERANCES[kind]
    wrong += not agrees
    print(f'{"ok" if agrees else "DIFFERS":8}{error:.1e}  {key}')
  unknown = {key.split('/')[0] for key in arrays} - set(CASES)
  if unknown:
    print(f'cases that are not known: {sorted(unknown)}')
  print(f'{len(found) - wrong} of {len(found)} arrays of {len(CASES)} cases')
  return wrong + len(unknown)


def main(argv: Sequence[str]) -> int:
  """Checks the published file, writes another, or both."""
  if len(argv) > 1 or not (_CHECK.value or _OUTPUT.value):
    raise app.UsageError('give --check, or --output=PATH [--seed=N].')
  if _CHECK.value and _check():
    return 1
  if _OUTPUT.value:
    arrays = generate(_SEED.value)
    with open(os.path.expanduser(_OUTPUT.value), 'wb') as file:
      np.savez(file, allow_pickle=False, **arrays)
    print(f'{len(arrays)} arrays in {_OUTPUT.value}')
  return 0


if __name__ == '__main__':
  app.run(main)
