"""Evaluates saved models on the test set of their data set.

python -m experiments.evaluate --checkpoint=runs/NAME/distilled
"""

import json
from collections.abc import Sequence

from absl import flags

from experiments import common
from kdjax import recipes

_CHECKPOINT = flags.DEFINE_string(
  'checkpoint',
  None,
  'A directory of saved models: teacher, scratch or distilled of a workdir.',
  required=True,
)
_DATASET = flags.DEFINE_string(
  'dataset', None, 'Another data set than the one the models saw.'
)
_DATA_DIR = flags.DEFINE_string(
  'data_dir', None, 'Where TFDS keeps data sets. Default: TFDS_DATA_DIR.'
)


def main(argv: Sequence[str]) -> None:
  """Prints a line of JSON per model."""
  del argv
  results = recipes.evaluate(
    _CHECKPOINT.value, dataset=_DATASET.value, data_dir=_DATA_DIR.value
  )
  for result in results:
    print(json.dumps(result))


if __name__ == '__main__':
  common.run(main)
