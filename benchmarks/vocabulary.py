"""Soft targets between two heads: chunked, whole, and PyTorch.

python -m benchmarks.vocabulary

Value and gradients of the student's hidden states and head, float32. All must
agree before a time is printed. Needs the extra `benchmarks` (PyTorch, on CPU).
"""

import functools
from collections.abc import Sequence

import jax
from absl import app, flags

from benchmarks import side_by_side, vocabulary_forms
from kdjax import losses

_REPEATS = flags.DEFINE_integer('repeats', 5, 'Runs of each.', lower_bound=1)
_TOKENS = flags.DEFINE_integer('tokens', 2048, 'Tokens.', lower_bound=1)
_VOCABULARY = flags.DEFINE_integer('vocabulary', 16384, 'Classes.')
_CHUNKS = (128, 512, 1024)


def main(argv: Sequence[str]) -> None:
  """Prints the table."""
  del argv
  torch_version = side_by_side.torch_version()
  inputs = vocabulary_forms.arrays(_TOKENS.value, _VOCABULARY.value)
  forms = {'whole logits': vocabulary_forms.whole} | {
    f'chunks of {chunk}': functools.partial(
      losses.linear_soft_target_loss, chunk=chunk
    )
    for chunk in _CHUNKS
  }
  steps, memory = (
    {'PyTorch': vocabulary_forms.pytorch_step(inputs)},
    {'PyTorch': ''},
  )
  for name, form in forms.items():
    compiled = (
      jax.jit(jax.value_and_grad(form, argnums=(0, 1))).lower(*inputs).compile()
    )
    steps[name] = functools.partial(_run, compiled, inputs)
    memory[name] = f'{side_by_side.temporary_bytes(compiled) / 1e6:.1f}'
  expected = steps['PyTorch']()
  for name, step in steps.items():
    vocabulary_forms.check(name, step(), expected)
  seconds = side_by_side.medians(steps, _REPEATS.value)
  print(side_by_side.environment(torch=torch_version))
  dims = vocabulary_forms.DIMS
  print(f'{_TOKENS.value} tokens, vocabulary {_VOCABULARY.value}, dims {dims}')
  reference = seconds['whole logits']
  print(
    side_by_side.markdown(
      ['form', 'ms', 'of whole logits', 'temporary MB'],
      [
        [name, f'{1e3 * s:.0f}', f'{s / reference:.2f}', memory[name]]
        for name, s in seconds.items()
      ],
    )
  )


def _run(compiled, inputs):
  return jax.block_until_ready(compiled(*inputs))


if __name__ == '__main__':
  app.run(main)
