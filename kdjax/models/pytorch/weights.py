"""Trained variables from files of PyTorch, and back."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from kdjax.models.model import Model, ModelVariables
from kdjax.models.network import Network
from kdjax.models.pytorch import files, naming
from kdjax.models.pytorch.error import WeightsError
from kdjax.models.pytorch.names import namings
from kdjax.models.pytorch.naming import Line, Naming

# Name of an array of a Linen layer -> its name in PyTorch.
_LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}
# Rank of a kernel -> the order of PyTorch's axes that gives ours: [out, in] and
# [out, in, height, width] become [in, out] and [height, width, in, out].
_ORDER = {2: (1, 0), 4: (2, 3, 1, 0)}
# The image size matters only to networks with trained positions.
_IMAGE = {'image': jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32)}

# Collection, path of the module and name of an array.
_Path = tuple[str, ...]


class _Place(NamedTuple):
  """Where an array of a network lies in a file.

  Attributes:
    name: Name of the tensor.
    shape: Shape of the array here.
    is_kernel: Whether PyTorch orders its axes in another way.
    line: Says whether it is a part of the tensor.
  """

  name: str
  shape: tuple[int, ...]
  is_kernel: bool
  line: Line

  @property
  def order(self) -> tuple[int, ...]:
    """The order of PyTorch's axes that gives the array's."""
    usual = tuple(range(len(self.shape)))
    return _ORDER.get(len(self.shape), usual) if self.is_kernel else usual

  @property
  def torch_shape(self) -> tuple[int, ...]:
    """Shape of the tensor."""
    shape = [self.shape[axis] for axis in np.argsort(self.order)]
    if self.line.part is not None:
      shape[0] *= 3
    return (*shape, *(1,) * self.line.ones)

  def from_torch(self, tensor: np.ndarray) -> np.ndarray:
    """Returns the array, float32."""
    if self.line.part is not None:
      tensor = np.split(tensor, 3)[self.line.part]
    tensor = tensor.reshape(tensor.shape[: len(self.shape)])
    return np.ascontiguousarray(tensor.transpose(self.order), np.float32)

  def to_torch(self, array: Any) -> np.ndarray:
    """Returns the tensor, or its part."""
    array = np.asarray(array).transpose(np.argsort(self.order))
    return array.reshape(*array.shape, *(1,) * self.line.ones)


def load_torch(
  path: str | pathlib.Path, model: Model, batch: Any = None
) -> Network:
  """Loads weights that PyTorch trained into a network of the zoo.

  ```python
  model = models.create('resnet56', classes=10)
  model = models.normalised(model, *models.IMAGENET)
  teacher = models.load_torch('resnet56.safetensors', model)
  ```

  The names of the tensors may be those of torchvision, of timm, of the usual
  repositories of CIFAR networks, or of `save_torch`.

  Args:
    path: `.safetensors`, or `.pth`, `.pt` or `.bin` that holds a `state_dict`.
      No code in the file is run.
    model: A network of `models.create`, which may be `normalised`.
    batch: Shapes and dtypes of a batch, as arrays or `jax.ShapeDtypeStruct`;
      by default of an image of 224 x 224 x 3. Only networks with trained
      positions depend on the size.

  Returns:
    The network, with float32 variables.

  Raises:
    WeightsError: if there is no such file, it is damaged, or it is of another
      network. The message lists every missing tensor, every tensor too many and
      every wrong shape; nothing is loaded in part.
  """
  tensors = files.read(path)
  template = jax.eval_shape(model.init, jax.random.key(0), batch or _IMAGE)
  fits = [(known, _places(known, template)) for known in namings(model.name)]
  named, places = min(fits, key=lambda fit: len(_missing(fit[1], tensors)))
  tensors = {
    name: x
    for name, x in tensors.items()
    if not name.startswith(named.left_out)
  }
  _check(path, model, places, tensors)
  arrays = {
    place_of: place.from_torch(tensors[place.name])
    for place_of, place in places.items()
  }
  nested = unflatten_dict(arrays)
  return Network(model, ModelVariables(nested.pop('params', {}), nested))


def save_torch(
  path: str | pathlib.Path,
  network: Network,
  *,
  library: str | None = None,
  note: Mapping[str, Any] | None = None,
) -> None:
  """Writes a network's weights for PyTorch.

  `torch_network.load_state_dict(safetensors.torch.load_file(path))` reads them.
  The file also holds the model's note: architecture, classes, statistics of its
  images. So kdjax loads the file without being told what it is.

  Args:
    path: The file, `.safetensors`. It appears only when it is complete.
    network: A network of `models.create`.
    library: Whose names the tensors get: `torchvision`, `timm`, ... or `kdjax`,
      the paths of this library; by default the usual one of the network.
    note: More JSON to keep in the file.

  Raises:
    WeightsError: if the library has no such network, or the file cannot be
      written.
  """
  known = {n.origin: n for n in namings(network.name)}
  if library is not None and library not in known:
    raise WeightsError(
      f'library must be one of {", ".join(known)} for {network.name}, got '
      f'{library!r}.'
    )
  chosen = known[library or next(iter(known))]
  arrays = _flat(network.variables)
  parts: dict[str, dict[int, np.ndarray]] = {}
  for path_of, place in _places(chosen, network.variables).items():
    part = place.to_torch(arrays[path_of])
    parts.setdefault(place.name, {})[place.line.part or 0] = part
  tensors = {
    name: np.concatenate([found[i] for i in sorted(found)])
    if len(found) > 1
    else found[0]
    for name, found in parts.items()
  }
  files.write(path, tensors, {**network.model.note, **(note or {})})


def _flat(variables: ModelVariables) -> dict[_Path, Any]:
  return flatten_dict({'params': variables.params, **variables.state})


def _places(named: Naming, variables: ModelVariables) -> dict[_Path, _Place]:
  """Returns the place of every array under a library's names."""
  arrays = _flat(variables)
  numbers = naming.block_numbers('/'.join(path[1:]) for path in arrays)
  places = {}
  for path, array in arrays.items():
    *module, leaf = path[1:]
    known = leaf in _LEAVES
    where = '/'.join(module if known else path[1:])
    line = named.find(where, numbers)
    name = f'{line.theirs}.{_LEAVES[leaf]}' if known else line.theirs
    places[path] = _Place(name, array.shape, leaf == 'kernel', line)
  return places


def _missing(
  places: Mapping[_Path, _Place], tensors: Mapping[str, np.ndarray]
) -> set[str]:
  return {place.name for place in places.values()} - set(tensors)


def _check(
  path: str | pathlib.Path,
  model: Model,
  places: Mapping[_Path, _Place],
  tensors: Mapping[str, np.ndarray],
) -> None:
  """Raises WeightsError unless the file has exactly the network's tensors."""
  shapes = {place.name: place.torch_shape for place in places.values()}
  faults = {
    'lacks': sorted(_missing(places, tensors)),
    'also has': sorted(set(tensors) - set(shapes)),
    'has with another shape': [
      f'{name} {list(tensors[name].shape)} in place of {list(shape)}'
      for name, shape in sorted(shapes.items())
      if name in tensors and tensors[name].shape != shape
    ],
  }
  found = [
    f'{word} {", ".join(which)}' for word, which in faults.items() if which
  ]
  if found:
    raise WeightsError(
      f'{str(path)!r} holds another network than {model.name}: it '
      f'{"; it ".join(found)}.'
    )
