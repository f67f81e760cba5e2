"""Tensors of files that `torch.save` wrote, read without PyTorch.

Such a file is a pickle with tensors beside it. A pickle names functions to
call, so a foreign one could run any code. The reader here knows the names of a
dict and of tensors, which are functions of this file, and refuses all others;
so no function of PyTorch or of the file's author runs.
"""

import collections
import io
import pickle
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from kdjax.models.pytorch.error import WeightsError

_DTYPES = {
  'FloatStorage': np.dtype(np.float32),
  'DoubleStorage': np.dtype(np.float64),
  'HalfStorage': np.dtype(np.float16),
  'BFloat16Storage': np.dtype(ml_dtypes.bfloat16),
  'LongStorage': np.dtype(np.int64),
  'IntStorage': np.dtype(np.int32),
  'ShortStorage': np.dtype(np.int16),
  'CharStorage': np.dtype(np.int8),
  'ByteStorage': np.dtype(np.uint8),
  'BoolStorage': np.dtype(np.bool_),
}
# The first object of the format before PyTorch 1.6.
_OLD_MAGIC = 0x1950A86A20F9469CFC6C


class _Storage:
  """The numbers of one or several tensors, in one row."""

  def __init__(self, dtype: np.dtype, values: np.ndarray | None):
    self.dtype = dtype
    self.values = values  # None until the old format's end is read


class _Tensor(NamedTuple):
  """A view of a storage."""

  storage: _Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]

  def array(self) -> np.ndarray:
    """Returns a copy of the tensor, within the bounds of its storage."""
    values = self.storage.values
    if values is None:
      raise WeightsError('a tensor has no numbers')
    if min((self.offset, *self.shape, *self.strides)) < 0:
      raise WeightsError('a tensor has a negative size, stride or offset')
    size = int(np.prod(self.shape))
    steps = zip(self.shape, self.strides, strict=True)
    last = self.offset + sum((n - 1) * step for n, step in steps)
    if size and last >= len(values):
      raise WeightsError('a tensor goes beyond its numbers')
    if not size:
      return np.zeros(self.shape, values.dtype)
    return np.lib.stride_tricks.as_strided(
      values[self.offset :],
      self.shape,
      [step * values.itemsize for step in self.strides],
    ).copy()


def _rebuild_tensor(storage, offset, shape, strides, *_: Any) -> _Tensor:
  return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: _Tensor, *_: Any) -> _Tensor:
  return tensor


# All that a file of weights may name.
_KNOWN: dict[tuple[str, str], Any] = {
  ('collections', 'OrderedDict'): collections.OrderedDict,
  ('torch', 'Size'): tuple,
  ('torch._utils', '_rebuild_tensor_v2'): _rebuild_tensor,
  ('torch._utils', '_rebuild_parameter'): _rebuild_parameter,
  **{('torch', name): dtype for name, dtype in _DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
  """Knows `_KNOWN` and nothing else."""

  def __init__(self, file: BinaryIO, storage: Callable[..., _Storage]):
    super().__init__(file)
    self._storage = storage

  def find_class(self, module: str, name: str) -> Any:
    """Returns a known name, or raises WeightsError."""
    if (module, name) not in _KNOWN:
      raise WeightsError(
        f'holds {module}.{name}, which is no tensor and is not loaded; save '
        'the state_dict of the network alone'
      )
    return _KNOWN[module, name]

  def persistent_load(self, pid: Any) -> _Storage:
    """Returns the storage that a tensor names."""
    if not isinstance(pid, tuple) or pid[0] != 'storage' or len(pid) < 5:
      raise WeightsError('holds a reference that is no storage')
    return self._storage(*pid[1:])


def read(path: str) -> Any:
  """Reads what `torch.save` wrote: nested dicts, with NumPy arrays as leaves.

  Args:
    path: A zip archive (PyTorch 1.6 or later) or a file of the older format.

  Raises:
    WeightsError: if the file is no such file, is cut short, or holds more than
      numbers, texts and tensors.
  """
  try:
    if zipfile.is_zipfile(path):
      return _arrays(_read_zip(path))
    with open(path, 'rb') as file:
      if file.read(2) == b'PK':  # how a zip archive begins
        raise WeightsError('is cut short')
      file.seek(0)
      return _arrays(_read_old(file))
  except WeightsError:
    raise
  # A foreign file may break the reader at any place.
  except Exception as error:
    raise WeightsError(
      f'is no file of torch.save, or is damaged ({type(error).__name__})'
    ) from error


def _read_zip(path: str) -> Any:
  with zipfile.ZipFile(path) as archive:
    names = archive.namelist()
    (pickled,) = (name for name in names if name.endswith('/data.pkl'))
    folder = pickled.removesuffix('data.pkl')
    order = f'{folder}byteorder'
    if order in names and archive.read(order) != b'little':
      raise WeightsError('is big-endian; only little-endian files are read')

    def storage(dtype, key, location, count, *_) -> _Storage:
      del location
      values = np.frombuffer(archive.read(f'{folder}data/{key}'), dtype)
      if len(values) != count:
        raise WeightsError(f'storage {key} is cut short')
      return _Storage(dtype, values)

    return _Unpickler(io.BytesIO(archive.read(pickled)), storage).load()


def _read_old(file: BinaryIO) -> Any:
  storages: dict[str, _Storage] = {}

  def storage(dtype, key, location, count, view=None) -> _Storage:
    del location, count
    if view is not None:
      raise WeightsError('holds a view of a storage, which is not supported')
    return storages.setdefault(key, _Storage(dtype, None))

  magic, _, _, found, keys = (
    _Unpickler(file, storage).load() for _ in range(5)
  )
  if magic != _OLD_MAGIC:
    raise WeightsError('is no file of torch.save')
  for key in keys:
    count = int.from_bytes(file.read(8), 'little')
    kept = storages[key]
    numbers = file.read(count * kept.dtype.itemsize)
    kept.values = np.frombuffer(numbers, kept.dtype)
    if len(kept.values) != count:
      raise WeightsError(f'storage {key} is cut short')
  return found


def _arrays(found: Any) -> Any:
  if isinstance(found, _Tensor):
    return found.array()
  if isinstance(found, dict):
    return {name: _arrays(value) for name, value in found.items()}
  return found
