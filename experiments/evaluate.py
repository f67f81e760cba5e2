"""Evaluates saved models on the test set of their data set.

python -m experiments.evaluate --checkpoint=runs/NAME/distilled
"""

import json
from collections.abc import Sequence

from absl import app, flags

from experiments import common
from kdjax import recipes, tasks

# Options that decide how networks train, or what they remember themselves.
_TRAINING = (
  *('transfer_examples', 'transfer', 'augmentation', 'mixup', 'cutmix'),
  *('class_weights', 'validation_fraction', 'image_size', 'canvas'),
)

common.define_own_flag(
  'Networks',
  'checkpoint',
  None,
  'A directory of saved models: teacher, scratch or distilled of a workdir.',
)
common.define_own_flag(
  'Data',
  'dataset',
  None,
  'Another data set than the one the models learned from.',
)
common.define_flags(tasks.Options, without={'dataset', *_TRAINING})
flags.mark_flag_as_required('checkpoint')


def main(argv: Sequence[str]) -> None:
  """Prints a line of JSON per model."""
  del argv
  flag = common.FLAGS
  directory, note = recipes.read_note(flag.checkpoint)
  task = recipes.open_test(
    note,
    dataset=flag.dataset or note['dataset'],
    data_dir=flag.data_dir,
    test_fraction=flag.test_fraction,
    broken_images=flag.broken_images,
    measures=flag.measures,
  )
  for result in recipes.evaluate(directory, task):
    print(json.dumps(result))


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
