"""Files of named tensors: safetensors, and what `torch.save` wrote."""

import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
from safetensors import numpy as safe

from kdjax.models.pytorch import pickled
from kdjax.models.pytorch.error import WeightsError

SUFFIXES = ('.safetensors', '.pth', '.pt', '.bin')

# The entry of a safetensors file's metadata that holds a network's note.
_NOTE = 'kdjax'
# Names under which training scripts keep the weights, best first.
_WRAPPERS = ('model_ema', 'state_dict', 'model', 'net')


def is_weights(path: str | pathlib.Path) -> bool:
  """Returns whether a path names a file of weights, by its ending.

  >>> is_weights('resnet56.safetensors'), is_weights('runs/teacher')
  (True, False)
  """
  return pathlib.Path(path).suffix in SUFFIXES


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
  """Reads the tensors of a file by name.

  A prefix `module.`, which `DataParallel` adds, is left out, and so are the
  counters `num_batches_tracked`.

  Args:
    path: `.safetensors`, or `.pth`, `.pt` or `.bin` with weights only. No code
      in the file is run.

  Raises:
    WeightsError: if there is no such file, it is damaged, or it holds more than
      weights.
  """
  path = pathlib.Path(path)
  _check(path)
  try:
    if path.suffix == '.safetensors':
      found: Any = _read_safe(path)
    else:
      found = pickled.read(str(path))
  except WeightsError as error:
    raise WeightsError(f'{str(path)!r} {error}.') from error
  found = _unwrapped(path, found)
  if all(name.startswith('module.') for name in found):
    found = {name.removeprefix('module.'): x for name, x in found.items()}
  return {
    name: x
    for name, x in found.items()
    if not name.endswith('num_batches_tracked')
  }


def read_torch_note(path: str | pathlib.Path) -> dict[str, Any]:
  """Returns the note that `write` stored; `{}` for other files.

  Raises:
    WeightsError: if there is no such file, or it is damaged.
  """
  path = pathlib.Path(path)
  _check(path)
  if path.suffix != '.safetensors':
    return {}
  try:
    with safetensors.safe_open(str(path), 'np') as file:
      return json.loads((file.metadata() or {}).get(_NOTE, '{}'))
  except (safetensors.SafetensorError, ValueError, OSError) as error:
    raise WeightsError(
      f'{str(path)!r} is no safetensors file, or is damaged ({error}).'
    ) from error


def write(
  path: str | pathlib.Path,
  tensors: Mapping[str, np.ndarray],
  note: Mapping[str, Any],
) -> None:
  """Writes a safetensors file; it appears only when it is complete.

  Args:
    path: The file; its ending must be `.safetensors`.
    tensors: Arrays by name.
    note: JSON that describes the network; `read_torch_note` returns it.

  Raises:
    WeightsError: if the ending differs, or the file cannot be written.
  """
  path = pathlib.Path(path)
  if path.suffix != '.safetensors':
    raise WeightsError(f'{str(path)!r} must end in .safetensors.')
  whole = {name: np.ascontiguousarray(x) for name, x in tensors.items()}
  data = safe.save(whole, {'format': 'pt', _NOTE: json.dumps(note)})
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix='.writing-')
    try:
      with os.fdopen(handle, 'wb') as file:
        file.write(data)
      os.chmod(scratch, 0o644)  # mkstemp lets nobody else read it
      os.replace(scratch, path)
    except BaseException:
      os.unlink(scratch)
      raise
  except OSError as error:
    raise WeightsError(
      f'{str(path)!r} cannot be written ({error.strerror}).'
    ) from error


def _check(path: pathlib.Path) -> None:
  if path.suffix not in SUFFIXES:
    raise WeightsError(
      f'{str(path)!r} must end in one of {", ".join(SUFFIXES)}.'
    )
  if not path.is_file():
    raise WeightsError(f'there is no file {str(path)!r}.')


def _read_safe(path: pathlib.Path) -> dict[str, np.ndarray]:
  try:
    return safe.load_file(path)
  except (safetensors.SafetensorError, ValueError, KeyError, OSError) as error:
    raise WeightsError(
      f'is no safetensors file, or is damaged ({error})'
    ) from error


def _unwrapped(path: pathlib.Path, found: Any) -> dict[str, np.ndarray]:
  """The tensors of a state_dict, also within a training checkpoint."""
  for name in _WRAPPERS:
    if isinstance(found, dict) and isinstance(found.get(name), dict):
      found = found[name]
  if not isinstance(found, dict) or not all(
    isinstance(x, np.ndarray) for x in found.values()
  ):
    raise WeightsError(
      f'{str(path)!r} holds no state_dict: a dict of tensors by name, alone or '
      f'under one of {", ".join(_WRAPPERS)}.'
    )
  return found
