"""Prints the shipped networks and what they cost; compiles and runs none.

python -m experiments.models
python -m experiments.models --names=resnet50,mobilenetv2 --image_size=224
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from absl import app
from rich import box, console, table

from experiments import common
from kdjax import deploy, models
from kdjax.options import OptionError

common.define_own_flag(
  'Networks', 'names', '', 'Some of the networks, with commas. Default: all.'
)
common.define_own_flag(
  'Images', 'image_size', 32, 'Height and width in pixels.', lower_bound=1
)
common.define_own_flag(
  'Images', 'channels', 3, 'Number of channels.', lower_bound=1
)
common.define_own_flag(
  'Images', 'classes', 10, 'Number of logits.', lower_bound=1
)

_CAPTION = (
  'MB: of float32 variables, batch statistics included. MFLOPs: of one '
  "image's forward pass before the compiler optimises it; a product and its "
  'sum are two.'
)


def main(argv: Sequence[str]) -> None:
  """Prints the table that the flags describe."""
  del argv
  flag = common.FLAGS
  size = flag.image_size
  shape = (1, size, size, flag.channels)
  batch = {'image': jax.ShapeDtypeStruct(shape, jnp.float32)}
  rows = table.Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
  rows.add_column('', no_wrap=True)
  for heading in ('parameters', 'MB', 'MFLOPs'):
    rows.add_column(heading, justify='right', no_wrap=True)
  notes = []
  for name in _names(flag.names):
    try:
      cost = deploy.estimate(models.create(name, classes=flag.classes), batch)
    except ValueError as error:  # no network for such images
      rows.add_row(name, '-', '-', '-')
      notes.append(f'{name}: {error}')
    else:
      rows.add_row(name, *_cells(cost))
  output = console.Console()
  output.print(
    f'Networks for {size}x{size}x{flag.channels} images of {flag.classes} '
    'classes'
  )
  output.print(rows)
  for note in [*notes, _CAPTION]:
    output.print(note, markup=False)


def _names(asked: str) -> Sequence[str]:
  """The names in --names, checked; all without it."""
  if not asked:
    return models.names()
  found = [name.strip() for name in asked.split(',')]
  for name in found:
    if name not in models.names():
      allowed = f'must be one of {", ".join(models.names())}'
      raise OptionError('names', name, allowed)
  return found


def _cells(cost: deploy.Estimate) -> tuple[str, ...]:
  numbers = (cost.bytes / 1e6, cost.flops_per_example / 1e6)
  return f'{cost.parameters:,}', *(
    f'{x:,.0f}' if x >= 999.5 else f'{x:.3g}' for x in numbers
  )


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
