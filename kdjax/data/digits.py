"""Scikit-learn's handwritten digits: real images that need no download."""

import numpy as np

TRAIN = 1200
_SEED = 0


def digits_order(examples: int) -> np.ndarray:
  """Shuffles the file's rows with a permutation that never changes.

  The rows of one writer follow each other. A split in file order would put
  writers into the test set who are absent from training, so the test would not
  measure generalisation to new images of the same distribution. `RandomState`
  is the NumPy generator whose stream is frozen.

  Args:
    examples: Number of rows, 1,797.

  Returns:
    Row numbers `[examples]`: the first `TRAIN` are for training, the rest for
    tests.
  """
  return np.random.RandomState(_SEED).permutation(examples)


def digits_arrays() -> dict[str, dict[str, np.ndarray]]:
  """Reads the 1,797 digits from scikit-learn's own copy.

  Returns:
    `{'train': 1,200 examples, 'test': 597}`, each
    `{'image': uint8 [n, 8, 8, 1] within 0..16, 'label': int32 [n]}`.

  References:
    Alpaydin and Kaynak, `Optical Recognition of Handwritten Digits
    <https://doi.org/10.24432/C50P49>`_, 1998.
  """
  import sklearn.datasets  # Slow to import, and needed only once.

  file = sklearn.datasets.load_digits()
  order = digits_order(len(file.target))
  image = file.images.astype(np.uint8)[order][..., None]
  label = file.target.astype(np.int32)[order]
  return {
    'train': {'image': image[:TRAIN], 'label': label[:TRAIN]},
    'test': {'image': image[TRAIN:], 'label': label[TRAIN:]},
  }
