"""Data sets of image files in class folders."""

import functools
import math
import os
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kdjax.data import pictures
from kdjax.data.arrays import DataError, Examples, Source
from kdjax.data.canvases import drawn, fitting, image_size_for
from kdjax.data.dataset import Dataset, statistics
from kdjax.data.order import held_out

# All files of a data set up to this size are decoded when it is opened. A
# broken file of a larger one may be found later.
_FEW = 20_000
_TESTS = ('test', 'val', 'validation')
_NAMED = 3  # Broken files or classes that a message names.
# Images of up to this size together stay in memory after the check.
_KEPT_BYTES = 2**30
BROKEN = ('refuse', 'skip')

_Decoded = dict[str, np.ndarray]  # Images by path.


class _Files(NamedTuple):
  """The files of a split, and their classes by name."""

  paths: list[str]
  names: list[str]

  def only(self, good: Sequence[bool] | np.ndarray) -> '_Files':
    kept = [i for i, is_good in enumerate(good) if is_good]
    return _Files([self.paths[i] for i in kept], [self.names[i] for i in kept])


class _Listing:
  """Reads folders, and counts what it leaves out."""

  def __init__(self) -> None:
    self.ignored = self.nested = 0
    self._suffixes = pictures.extensions()

  def classes(self, root: str) -> dict[str, list[str]]:
    """Returns the paths of the images in class folders, all in order of name.

    Two folders whose names are the same text in different Unicode forms, as
    from macOS and Linux, are one class.
    """
    found: dict[str, list[str]] = {}
    for entry in _entries(root):
      if entry.name.startswith('.') or not entry.is_dir():
        self.ignored += 1
        continue
      found.setdefault(_text(entry), []).extend(self._images(entry.path))
    return {name: sorted(found[name], key=_key) for name in sorted(found)}

  def _images(self, folder: str) -> list[str]:
    found = []
    for entry in _entries(folder):
      suffix = os.path.splitext(entry.name)[1].lower()
      if entry.is_dir():
        self.nested += 1
      elif entry.name.startswith('.') or suffix not in self._suffixes:
        self.ignored += 1
      else:
        found.append(entry.path)
    return found

  def remarks(self) -> list[str]:
    """Returns a line for each kind of entry that was left out."""
    found = []
    if self.ignored:
      found.append(f'Ignored {_count(self.ignored, "file")}: hidden, no image.')
    if self.nested:
      found.append(
        f'Ignored {_count(self.nested, "folder")} within class folders.'
      )
    return found


def folder(
  path: str,
  *,
  test_fraction: float | None = None,
  image_size: int | None = None,
  canvas: int | None = None,
  broken: str = 'refuse',
) -> Dataset:
  """Opens images in class folders.

  The folders are `PATH/train/CLASS` and `PATH/test/CLASS` (or `val`, or
  `validation`), or `PATH/CLASS` with `test_fraction`. Classes are numbered in
  the order of their names. Hidden files, files that are no images, and folders
  within class folders are ignored and counted.

  Images of one size stay as they are. Images of unequal size become canvases,
  see `kdjax.data.canvases`.

  Up to 20,000 files are all decoded once, so broken files are known before any
  training. Of more files only the headers are read; a file whose pixels turn
  out to be broken later raises DataError.

  Args:
    path: The folder.
    test_fraction: Share of the images of every class that are for tests, if
      there is no test folder. The draw depends only on the names of the files.
    image_size: Side of the images that networks see. Default: None for images
      of one size; otherwise the median shorter side, rounded down to a multiple
      of 32 within 32 and 224.
    canvas: Longest side of a stored image; larger images are reduced. Default:
      twice `image_size`.
    broken: `refuse` or `skip` files that Pillow cannot read.

  Returns:
    The data set: RGB images; `remarks` says what was left out.

  Raises:
    DataError: if the folders are not as described, a class of the training set
      has no image, there is one class only, a test class is unknown, or a file
      is broken. Messages have one line.
    ValueError: if an argument is out of range.
  """
  if broken not in BROKEN:
    raise ValueError(f'broken must be one of {", ".join(BROKEN)}, got {broken}')
  root, listing = os.path.expanduser(path), _Listing()
  train, test, classes = _splits(path, root, listing, test_fraction)
  whole = _Files(train.paths + test.paths, train.names + test.names)
  sizes, errors = _sizes(whole.paths)
  if image_size is None and len(set(sizes) - {None}) > 1:
    known = [sizes[i] for i in range(len(train.paths))]
    image_size = image_size_for([size for size in known if size])
  limit = canvas or (2 * image_size if image_size else None)
  decoded: _Decoded = {}
  if len(whole.paths) <= _FEW:
    decoded = _decoded(whole.paths, sizes, errors, limit)
  if errors and broken == 'refuse':
    raise DataError(_broken(path, errors))
  good = [name not in errors for name in whole.paths]
  count = len(train.paths)
  train, test = train.only(good[:count]), test.only(good[count:])
  remarks = listing.remarks() + _check(path, classes, train, test)
  if errors:
    remarks.insert(0, f'Skipped {_count(len(errors), "broken file")}.')
  kept = zip(sizes, good, strict=True)
  form = fitting([size for size, is_good in kept if size and is_good], limit)
  decode = functools.partial(_decode, decoded, limit)
  sources = [_source(x, classes, decode, form) for x in (train, test)]
  mean, std = statistics(sources[0])
  return Dataset(
    f'folder:{path}',
    len(classes),
    form[0],
    sources[0],
    sources[1],
    mean,
    std,
    class_names=tuple(classes),
    image_size=image_size,
    remarks=tuple(remarks),
  )


def _entries(root: str) -> list[os.DirEntry]:
  try:
    with os.scandir(root) as entries:
      return sorted(entries, key=lambda x: _key(x.name))
  except OSError as error:
    raise DataError(f'Cannot read {root!r}: {error.strerror}.') from error


def _key(path: str) -> tuple[str, str]:
  """Orders names in the same way on all file systems."""
  name = os.path.basename(path)
  return unicodedata.normalize('NFC', name), name


def _text(entry: os.DirEntry) -> str:
  return unicodedata.normalize('NFC', entry.name)


def _splits(
  path: str, root: str, listing: _Listing, fraction: float | None
) -> tuple[_Files, _Files, list[str]]:
  """Returns training files, test files, and the names of the classes."""
  if not os.path.isdir(root):
    raise DataError(f'{path!r} is no folder.')
  inside = {entry.name for entry in _entries(root) if entry.is_dir()}
  # A class may be called 'train': it then holds images, not folders.
  split = 'train' in inside and any(
    entry.is_dir() for entry in _entries(os.path.join(root, 'train'))
  )
  tests = [name for name in _TESTS if name in inside] if split else []
  if fraction is None and not tests:
    missing = 'test folder' if split else 'train and test folders'
    raise DataError(
      f'{path!r} has no {missing}; state the share of the images that are for '
      'tests: test_fraction, such as 0.2.'
    )
  if fraction is not None and tests:
    raise DataError(
      f'{path!r} has the folder {tests[0]!r}, so test_fraction must not be '
      f'given, got {fraction}.'
    )
  train = listing.classes(os.path.join(root, 'train') if split else root)
  if tests:
    test = listing.classes(os.path.join(root, tests[0]))
    return _files(train), _files(test), list(train)
  whole = _files(train)
  labels = np.unique(np.array(whole.names, dtype=str), return_inverse=True)[1]
  is_test = held_out(labels, fraction or 0)
  return whole.only(~is_test), whole.only(is_test), list(train)


def _files(classes: dict[str, list[str]]) -> _Files:
  pairs = [(path, name) for name, paths in classes.items() for path in paths]
  return _Files([path for path, _ in pairs], [name for _, name in pairs])


def _check(
  path: str, classes: list[str], train: _Files, test: _Files
) -> list[str]:
  """Checks the classes; returns a line on classes without test images."""
  if len(classes) < 2:
    found = f'only {classes[0]!r}' if classes else 'none'
    raise DataError(f'{path!r} must have two or more classes, it has {found}.')
  empty = [name for name in classes if name not in set(train.names)]
  if empty:
    raise DataError(
      f'{path!r} has no readable training image of {_some(empty)}.'
    )
  unknown = sorted(set(test.names) - set(classes))
  if unknown:
    raise DataError(
      f'{path!r} has test images of classes that training does not have: '
      f'{_some(unknown)}.'
    )
  if not test.names:
    raise DataError(f'{path!r} has no test image.')
  absent = [name for name in classes if name not in set(test.names)]
  return [f'No test image of {_some(absent)}.'] if absent else []


def _sizes(
  paths: list[str],
) -> tuple[list[pictures.Size | None], dict[str, str]]:
  """Returns the size of every image, None for a broken one, and the errors."""
  found = list(pictures.in_threads(_tried(pictures.read_size), paths))
  sizes = [None if isinstance(x, str) else x for x in found]
  errors = {
    path: x for path, x in zip(paths, found, strict=True) if isinstance(x, str)
  }
  return sizes, errors


def _decoded(
  paths: list[str],
  sizes: list[pictures.Size | None],
  errors: dict[str, str],
  limit: int | None,
) -> _Decoded:
  """Decodes all images once.

  Args:
    paths: The files.
    sizes: Their sizes; None for files in `errors`.
    errors: Receives further errors, by path.
    limit: Longest side of an image.

  Returns:
    The images by path if they are small enough to keep, otherwise `{}`.
  """
  areas = (math.prod(pictures.reduced(x, limit)) for x in sizes if x)
  keep = 3 * sum(areas) <= _KEPT_BYTES
  rest = [path for path in paths if path not in errors]

  def decode(path: str) -> np.ndarray | None:
    pixels = pictures.decode(path, limit)
    return pixels if keep else None

  kept = {}
  found = pictures.in_threads(_tried(decode), rest)
  for path, result in zip(rest, found, strict=True):
    if isinstance(result, str):
      errors[path] = result
    elif result is not None:
      kept[path] = result
  return kept


def _tried(function: Callable) -> Callable:
  """Returns the function with its error as text in place of the result."""

  def tried(path: str) -> Any:
    try:
      return function(path)
    # Pillow raises errors of many types for broken files.
    except Exception as error:
      return _reason(error)

  return tried


def _source(
  files: _Files,
  classes: list[str],
  decode: Callable[[str], np.ndarray],
  form: tuple[tuple[int, int, int], bool],
) -> Source:
  """Returns the examples of a split; `form` is the result of `fitting`."""
  numbers = {name: i for i, name in enumerate(classes)}
  labels = np.array([numbers[name] for name in files.names], np.int32)

  def read(indices: np.ndarray) -> Examples:
    chosen = [files.paths[i] for i in indices]
    pixels = pictures.in_threads(decode, chosen)
    return drawn(pixels, form[0], labels[indices], form[1])

  return Source(read, len(labels), labels=lambda: labels)


def _decode(decoded: _Decoded, limit: int | None, path: str) -> np.ndarray:
  if path in decoded:
    return decoded[path]
  try:
    return pictures.decode(path, limit)
  # Pillow raises errors of many types for broken files.
  except Exception as error:
    raise DataError(f'Cannot read {path!r}: {_reason(error)}.') from error


def _reason(error: Exception) -> str:
  return ' '.join(str(error).split()) or type(error).__name__


def _broken(path: str, errors: dict[str, str]) -> str:
  """Returns one line that names the first broken files."""
  shown = [
    f'{os.path.relpath(name, os.path.expanduser(path))} ({reason})'
    for name, reason in list(sorted(errors.items()))[:_NAMED]
  ]
  more = len(errors) - len(shown)
  return (
    f'{path!r} has {_count(len(errors), "broken file")}: {"; ".join(shown)}'
    + (f'; and {more} more' if more else '')
    + '. Mend or remove them, or skip them with broken_images=skip.'
  )


def _some(names: list[str]) -> str:
  shown = ', '.join(map(repr, names[:_NAMED]))
  more = len(names) - _NAMED
  return f'{shown} and {more} more' if more > 0 else shown


def _count(count: int, noun: str) -> str:
  return f'{count:,} {noun}{"" if count == 1 else "s"}'
