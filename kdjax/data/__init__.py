"""Data: sets of TFDS, folders and arrays, orders, augmentation inside XLA.

The first access to `load` imports tensorflow-datasets, because training on
arrays does not need it.
"""

from typing import TYPE_CHECKING, Any

from kdjax.data.arrays import DataError, Source, from_arrays, from_mapping
from kdjax.data.canvases import read_images
from kdjax.data.dataset import Dataset, class_counts, statistics
from kdjax.data.folders import folder
from kdjax.data.mixing import mixed
from kdjax.data.npz import load_arrays, of_arrays
from kdjax.data.order import (
  epoch_order,
  example_keys,
  held_out,
  proportional_subset,
  sequential_order,
  transfer_subset,
)
from kdjax.data.random_views import (
  colour_jitter_views,
  random_resized_crop_views,
)
from kdjax.data.stream import batches
from kdjax.data.views import (
  Views,
  chain_views,
  crop_flip_views,
  crop_views,
  flip_views,
  identity_view,
)

if TYPE_CHECKING:
  from kdjax.data.tfds_source import load

__all__ = [
  'DataError',
  'Dataset',
  'Source',
  'Views',
  'batches',
  'chain_views',
  'class_counts',
  'colour_jitter_views',
  'crop_flip_views',
  'crop_views',
  'epoch_order',
  'example_keys',
  'flip_views',
  'folder',
  'from_arrays',
  'from_mapping',
  'held_out',
  'identity_view',
  'load',
  'load_arrays',
  'mixed',
  'of_arrays',
  'proportional_subset',
  'random_resized_crop_views',
  'read_images',
  'sequential_order',
  'statistics',
  'transfer_subset',
]


def __getattr__(name: str) -> Any:
  if name == 'load':
    from kdjax.data.tfds_source import load

    return load
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
  return sorted(__all__)
