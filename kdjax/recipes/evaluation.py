"""Saved models on a test set."""

import pathlib
from typing import Any

from kdjax import checkpoint, data
from kdjax.recipes import networks, programs
from kdjax.recipes.settings import Settings


def evaluate(
  directory: str | pathlib.Path,
  *,
  dataset: str | None = None,
  data_dir: str | None = None,
) -> list[dict[str, Any]]:
  """Accuracy and cross-entropy of every model that a run has saved.

  Args:
    directory: `workdir/teacher`, `workdir/distilled`, ...
    dataset: Where to test; by default what the models were trained on.
    data_dir: Where TFDS keeps data sets.

  Returns:
    A dict per model: `model, dataset, seed, accuracy, loss, examples`.

  Raises:
    CheckpointError: if there is no model, or it does not fit the data.
    DataError: if the data set is not there.
  """
  note = checkpoint.read_note(directory)
  loaded = data.load(dataset or note['dataset'], data_dir)
  # The pixels must look as they did in training, wherever they come from.
  loaded = loaded._replace(mean=tuple(note['mean']), std=tuple(note['std']))
  settings = Settings(precision=note['precision'])
  architecture = {
    'name': note['model'],
    'classifier_of': note.get('classifier_of'),
  }
  stacked = networks.load_variables(settings, loaded, directory, **architecture)
  model = networks.make_model(settings, loaded, **architecture)
  values = programs.evaluate_models(settings, loaded, model, stacked)
  return [
    {
      'model': note['model'],
      'dataset': loaded.name,
      'seed': seed,
      'accuracy': float(values['accuracy'][i]),
      'loss': float(values['loss'][i]),
      'examples': len(loaded.test),
    }
    for i, seed in enumerate(note['seeds'])
  ]
