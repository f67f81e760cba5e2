"""Whose outputs a directory holds, so that stale ones are refused."""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
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


def check(directory: str | pathlib.Path, fields: Mapping[str, Any]) -> None:
  """Raises unless a directory is free, or holds what `fields` describe.

  Args:
    directory: Of a cache.
    fields: What outputs depend on, as JSON: the teacher's and the data's
      checksum, the preprocessing, ...

  Raises:
    CacheError: if it holds something else; names the first field that differs.
  """
  directory = pathlib.Path(directory)
  path = directory / _FILE
  if not path.exists():
    if directory.is_dir() and any(directory.iterdir()):
      raise CacheError(
        f"{str(directory)!r} is no cache of a teacher's outputs and not empty"
      )
    return
  try:
    found = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise CacheError(f'{str(path)!r} is damaged: {error}') from error
  wanted = json.loads(json.dumps(dict(fields)))
  for name in sorted(found.keys() | wanted.keys()):
    if found.get(name) != wanted.get(name):
      raise CacheError(
        f'{str(directory)!r} is stale, or of another teacher: its {name} is '
        f'{found.get(name)!r}, not {wanted.get(name)!r}; remove it or name '
        'another directory'
      )


def claim(directory: str | pathlib.Path, fields: Mapping[str, Any]) -> None:
  """`check`, and notes what a new directory is going to hold.

  Raises:
    CacheError: as `check`.
  """
  check(directory, fields)
  directory = pathlib.Path(directory)
  directory.mkdir(parents=True, exist_ok=True)
  partial = directory / f'{_FILE}.{os.getpid()}'
  partial.write_text(
    json.dumps(dict(fields), indent=2) + '\n', encoding='utf-8'
  )
  partial.replace(directory / _FILE)
