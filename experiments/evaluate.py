"""Evaluates saved models on the test set of their data set.

python -m experiments.evaluate --checkpoint=runs/NAME/distilled
"""

import json
from collections.abc import Sequence

from absl import app, flags

from experiments import common
from kdjax import recipes, tasks

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
common.define_flags(
  tasks.Options, without=('dataset', 'transfer_examples', 'augmentation')
)
flags.mark_flag_as_required('checkpoint')


def main(argv: Sequence[str]) -> None:
  """Prints a line of JSON per model."""
  del argv
  flag = common.FLAGS
  directory, note = recipes.read_note(flag.checkpoint)
  _, task = tasks.load(
    tasks.Options(
      dataset=flag.dataset or note['dataset'],
      data_dir=flag.data_dir,
      measures=flag.measures,
    )
  )
  for result in recipes.evaluate(directory, task):
    print(json.dumps(result))


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
