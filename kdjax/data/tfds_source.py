"""Data sets of TensorFlow Datasets, read without TensorFlow.

Preparing most data sets needs TensorFlow and the internet; a user does it once,
elsewhere: `tfds build NAME --file_format=array_record`. Reading needs neither.
The only exception is `digits`, which `load` prepares on first use.
"""

import contextlib
import difflib
import io
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from kdjax.data import dataset, digits, prepared
from kdjax.data.arrays import DataError

_NAME = re.compile(r'\w+(/[\w.\-]+)?(:\d+\.\d+\.\d+)?')
_ANYONE_WRITES = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_UNREADABLE = (AssertionError, ImportError, KeyError, OSError, ValueError)

# TFDS recommends OpenCV on the first image that Pillow decodes.
logging.getLogger('absl').addFilter(
  lambda record: not str(record.msg).startswith('OpenCV is not installed')
)


class Digits(  # type: ignore[call-arg]
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """Prepares scikit-learn's digits like any other TFDS data set."""

  VERSION = tfds.core.Version('1.0.0')

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='1,797 handwritten digits of 8 x 8 pixels within 0..16.',
      homepage='https://doi.org/10.24432/C50P49',
      # TensorFlow would encode an Image as PNG.
      features=tfds.features.FeaturesDict(
        {
          'image': tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
          'label': tfds.features.ClassLabel(num_classes=10),
        }
      ),
      supervised_keys=('image', 'label'),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    del dl_manager
    return {
      split: self._generate_examples(**examples)
      for split, examples in digits.digits_arrays().items()
    }

  def _generate_examples(self, image: np.ndarray, label: np.ndarray) -> Any:
    for row in range(len(label)):
      yield row, {'image': image[row], 'label': int(label[row])}


def load(
  name: str,
  data_dir: str | None = None,
  *,
  image_size: int | None = None,
  canvas: int | None = None,
) -> dataset.Dataset:
  """Opens a data set of TFDS that has been prepared as ArrayRecord.

  The function decodes only the images that the statistics need, and does not
  use the internet. It prepares `digits` if the files are missing: in
  `data_dir`, else in the first writable folder of `TFDS_DATA_DIR` and
  `~/tensorflow_datasets`.

  Args:
    name: TFDS name: `'cifar10'`, `'imagenet_resized/64x64'`, `'mnist:3.0.1'`.
    data_dir: The folder that holds the data sets; by default `TFDS_DATA_DIR`,
      then `~/tensorflow_datasets`.
    image_size: Side of the images that networks see. Default: None for images
      of one size; otherwise the median shorter side of 64 images, rounded down
      to a multiple of 32 within 32 and 224.
    canvas: Longest side of a stored image of unequal size, see
      `kdjax.data.canvases`; larger images are reduced. Default: twice
      `image_size`.

  Returns:
    The data set. Its features are `image` (uint8) and `label` (a class). Images
    of unequal size are on canvases, upright as their EXIF data say.

  Raises:
    DataError: if the data set is unknown, not prepared, incomplete, of another
      format than ArrayRecord, or without `image` and `label`; or if `digits`
      cannot be written. Messages have one line.
  """
  if not _NAME.fullmatch(name):
    raise DataError(f"name must be 'NAME[/CONFIG][:VERSION]', got {name!r}.")
  roots = _roots(data_dir)
  builder = _find(name, roots)
  if builder is None and name in ('digits', f'digits:{Digits.VERSION}'):
    builder = _prepare_digits(roots)
  if builder is None:
    raise DataError(_absence(name, roots))
  return prepared.open_prepared(
    name,
    builder,
    tfds.decode.SkipDecoding(),
    image_size=image_size,
    canvas=canvas,
  )


def _roots(data_dir: str | None) -> list[str]:
  """Lists the folders to look in, best first."""
  if data_dir:
    return [os.path.expanduser(data_dir)]
  home = os.path.join('~', 'tensorflow_datasets')
  roots = [os.environ.get('TFDS_DATA_DIR') or home, home]
  return list(dict.fromkeys(map(os.path.expanduser, roots)))


def _find(name: str, roots: list[str]) -> Any:
  """Returns a builder over the prepared files, or None."""
  for root in roots:
    try:
      return tfds.core.read_only_builder.builder_from_files(name, data_dir=root)
    except (tfds.core.DatasetNotFoundError, NotADirectoryError):
      continue
    except _UNREADABLE as error:
      reason = prepared.first_line(error)
      raise DataError(f'Cannot read {name!r} in {root}: {reason}') from error
  return None


def _absence(name: str, roots: list[str]) -> str:
  """Returns a message: why the files are missing, and how to get them."""
  base = re.split('[/:]', name)[0]
  known = tfds.list_builders(with_community_datasets=False)
  if base in known:
    return (
      f'{name!r} is not prepared in {" or ".join(roots)}; on a machine with'
      f' TensorFlow and a network run `tfds build {name}'
      f' --file_format={prepared.FORMAT} --data_dir={roots[0]}`.'
    )
  close = ', '.join(difflib.get_close_matches(base, [*known, 'digits']))
  return (
    f'Unknown data set {name!r}'
    + (f'; close matches: {close}' if close else '')
    + '; tensorflow_datasets.list_builders() lists all.'
  )


def _prepare_digits(roots: list[str]) -> Any:
  """Writes digits to the first writable folder."""
  reasons = []
  for root in roots:
    try:
      _write_digits(root)
    except OSError as error:
      reasons.append(f'{root} ({error.strerror or prepared.first_line(error)})')
    else:
      return _find('digits', [root])
  raise DataError(f"Cannot write 'digits' to {' or '.join(reasons)}.")


def _write_digits(root: str) -> None:
  """Prepares digits in a folder of its own and moves it into place.

  Renaming is atomic, so nobody sees partial files. If two processes do this at
  once, the second finds the same files in place.
  """
  if '://' in root:
    raise OSError('not a local folder')
  os.makedirs(root, exist_ok=True)
  # Root may write anywhere, but a folder that is read-only for everybody must
  # stay unchanged.
  if not os.stat(root).st_mode & _ANYONE_WRITES:
    raise OSError('marked read-only')
  with (
    tempfile.TemporaryDirectory(prefix='.digits-', dir=root) as scratch,
    _quiet(),
  ):
    builder = Digits(data_dir=scratch, file_format=prepared.FORMAT)
    builder.download_and_prepare()
    place = os.path.join(root, os.path.relpath(builder.data_dir, scratch))
    os.makedirs(os.path.dirname(place), exist_ok=True)
    try:
      os.rename(builder.data_dir, place)
    except OSError:
      if _find('digits', [root]) is None:
        raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Silences TFDS' banners and progress bars."""
  # stderr is not redirected: absl would attach the root logger to it for good.
  tfds.display_progress_bar(enable=False)
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    tfds.display_progress_bar(enable=True)
