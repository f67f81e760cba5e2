r"""Prints the classes of images, as a saved model sees them.

python -m experiments.predict --checkpoint=runs/NAME/distilled cat.jpg dog.png
python -m experiments.predict --checkpoint=student.safetensors --top=3 *.jpg
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl import app, flags
from rich import box, console, table

from experiments import common
from kdjax import recipes
from kdjax.options import OptionError

common.define_own_flag(
  'Prediction',
  'checkpoint',
  None,
  'A directory of saved models, or a .safetensors file that export wrote.',
)
common.define_own_flag(
  'Prediction', 'place', 0, 'Which of the saved seeds; 0 is the first.'
)
common.define_own_flag(
  'Prediction',
  'top',
  1,
  'How many classes to print, the most probable first.',
  lower_bound=1,
)
flags.mark_flag_as_required('checkpoint')


def main(argv: Sequence[str]) -> None:
  """Prints a row per image: its file, and classes with probabilities."""
  flag, files = common.FLAGS, argv[1:]
  if not files:
    common.fail('needs at least one image file')
  directory, note = recipes.read_note(flag.checkpoint)
  networks = recipes.load(directory)
  if not 0 <= flag.place < len(networks):
    raise OptionError(
      'place', flag.place, f'must be within 0 and {len(networks) - 1}'
    )
  shape = note['batch']['image']['shape']
  _check(note)
  found = recipes.predict(networks[flag.place], files, shape=shape)
  names = note.get('class_names') or [str(i) for i in range(found.shape[-1])]
  console.Console(soft_wrap=True).print(_table(files, found, names, flag.top))


def _check(note: dict[str, Any]) -> None:
  """Raises OptionError for networks whose pixels are not those of files."""
  if note.get('dataset') == 'digits':
    raise OptionError(
      'checkpoint',
      common.FLAGS.checkpoint,
      'must hold a model of image files; pixels of the digits go from 0 to 16',
    )


def _table(
  files: Sequence[str], found: np.ndarray, names: Sequence[str], top: int
) -> table.Table:
  rows = table.Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
  rows.add_column('image', overflow='fold')
  rows.add_column('class')
  rows.add_column('probability', justify='right')
  _, best = jax.lax.top_k(found, min(top, found.shape[-1]))
  for file, probabilities, classes in zip(files, found, best, strict=True):
    for rank, place in enumerate(classes):
      rows.add_row(
        '' if rank else file, names[place], f'{probabilities[place]:.4f}'
      )
  return rows


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=lambda argv: common.parse(argv, arguments=True))
