"""Whose outputs a directory holds, so that stale ones are refused."""

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
  """A cache of something else, or one that is damaged; one line."""


def fingerprint(tree: Any) -> str:
  """A checksum of a tree of arrays: names, shapes, dtypes and every byte.

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
  """Raises unless a directory is free, or holds what `fields` describe.

  Args:
    directory: Of a cache.
    fields: What outputs depend on, as JSON: the teacher's and the data's
      checksum, the preprocessing, ...
    ignore: Fields of the directory that are not known yet.

  Raises:
    CacheError: if it holds something else, and names the first field that
      differs; or if nothing can be written there.
  """
  directory = pathlib.Path(directory)
  _check_place(directory)
  path = directory / _FILE
  if not path.is_file():
    others = directory.iterdir() if directory.is_dir() else ()
    # What begins with the note's name was left by a claim that was killed.
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
  """`check`, and notes what a new directory is going to hold.

  Raises:
    CacheError: as `check`; of two that claim at once the second is checked
      against the first.
  """
  check(directory, fields)
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  text = json.dumps(dict(fields), indent=2) + '\n'
  create(directory / _FILE, text.encode())
  check(directory, fields)


def create(path: pathlib.Path, content: bytes = b'', size: int = 0) -> None:
  """Makes a whole file at once, unless another process has made it.

  Args:
    path: Where.
    content: What it holds.
    size: To which it is then extended with zeros, sparsely if possible.
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
  """Lets one process at a time open storages; the directory is made."""
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
