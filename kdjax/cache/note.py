"""Notes that describe cached outputs, so that stale outputs are refused."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import numpy as np

_FILE = 'note.json'


class CacheError(ValueError):
  """A cache is damaged or holds other outputs; the message is one line."""


def fingerprint(tree: Any) -> str:
  """Returns a checksum of a tree: names, shapes, dtypes and all bytes.

  Returns:
    The first 16 hexadecimal digits of a SHA-256.
  """
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
    array = np.ascontiguousarray(jax.device_get(leaf))
    digest.update(jax.tree_util.keystr(path).encode())
    digest.update(f'{array.shape}{array.dtype.name}'.encode())
    digest.update(array.tobytes())
  return digest.hexdigest()[:16]


def check(
  directory: str | pathlib.Path,
  fields: Mapping[str, Any],
  *,
  ignore: Collection[str] = (),
) -> None:
  """Raises unless a directory is free, or holds the outputs of `fields`.

  Args:
    directory: Directory of a cache.
    fields: Everything the outputs depend on, as JSON: the checksums of the
      teacher and the data, the preprocessing, ...
    ignore: Names of fields whose values are not known yet.

  Raises:
    CacheError: if the directory holds other outputs, with the first field that
      differs; or if the directory is not writable.
  """
  directory = pathlib.Path(directory)
  _check_place(directory)
  path = directory / _FILE
  if not path.is_file():
    others = directory.iterdir() if directory.is_dir() else ()
    # A killed claim leaves a file whose name begins with the note's name.
    if any(not other.name.startswith(f'{_FILE}.') for other in others):
      raise CacheError(
        f"{str(directory)!r} is no cache of a teacher's outputs and not empty"
      )
    return
  found, wanted = _read(path), json.loads(json.dumps(dict(fields)))
  for name in sorted((found.keys() | wanted.keys()) - set(ignore)):
    if found.get(name) != wanted.get(name):
      raise CacheError(
        f'{str(directory)!r} is stale, or of another teacher: its {name} is '
        f'{found.get(name)!r}, not {wanted.get(name)!r}; remove it or name '
        'another directory'
      )


def claim(directory: str | pathlib.Path, fields: Mapping[str, Any]) -> None:
  """Checks a directory like `check`, and writes the note of a new directory.

  Raises:
    CacheError: as `check`; if two processes claim at once, the second is
      checked against the note of the first.
  """
  check(directory, fields)
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  text = json.dumps(dict(fields), indent=2) + '\n'
  create(directory / _FILE, text.encode())
  check(directory, fields)


def create(path: pathlib.Path, content: bytes = b'', size: int = 0) -> None:
  """Creates a complete file at once, unless the file exists already.

  Args:
    path: Path of the file.
    content: Content of the file.
    size: Size in bytes to which zeros extend the file, sparsely if possible.
  """
  partial = path.with_name(f'{path.name}.{os.getpid()}')
  try:
    with open(partial, 'wb') as file:
      file.write(content)
      file.truncate(max(size, len(content)))
    with contextlib.suppress(FileExistsError):
      os.link(partial, path)
  finally:
    partial.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(directory: pathlib.Path) -> Iterator[None]:
  """Lets one process at a time open storages; creates the directory."""
  directory.mkdir(parents=True, exist_ok=True)
  with open(directory / f'{_FILE}.lock', 'wb') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


def _check_place(directory: pathlib.Path) -> None:
  place = directory.absolute()
  while not place.exists() and place != place.parent:
    place = place.parent
  if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
    raise CacheError(f'{str(place)!r} is no directory that can be written to')


def _read(path: pathlib.Path) -> dict[str, Any]:
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise CacheError(f'{str(path)!r} is damaged: {error}') from error
  if not isinstance(found, dict):
    raise CacheError(f'{str(path)!r} is damaged: it holds no fields')
  return found
