r"""Writes a saved model as a file for PyTorch.

python -m experiments.export --checkpoint=runs/NAME/distilled \
      --output=student.safetensors

`load_state_dict(safetensors.torch.load_file('student.safetensors'))` reads it
into the PyTorch network of the same architecture.
"""

from collections.abc import Sequence

from absl import app, flags

from experiments import common
from kdjax import recipes

FORMATS = ('safetensors',)

common.define_own_flag(
  'Export', 'checkpoint', None, 'A directory of saved models.'
)
common.define_own_flag('Export', 'output', None, 'The file to write.')
common.define_own_flag(
  'Export', 'format', FORMATS[0], f'One of {", ".join(FORMATS)}.'
)
common.define_own_flag(
  'Export', 'place', 0, 'Which of the saved seeds; 0 is the first.'
)
common.define_own_flag(
  'Export',
  'names',
  None,
  'Whose names the tensors get: torchvision, timm, ... or kdjax. Default: '
  'those usual for the architecture.',
)
flags.mark_flags_as_required(['checkpoint', 'output'])
flags.register_validator(
  'format', lambda x: x in FORMATS, f'must be one of {", ".join(FORMATS)}'
)


def main(argv: Sequence[str]) -> None:
  """Writes the file and prints its name."""
  del argv
  flag = common.FLAGS
  network = recipes.export(
    flag.checkpoint, flag.output, place=flag.place, library=flag.names
  )
  print(f'{network.name} written to {flag.output}')


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
