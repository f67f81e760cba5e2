"""Data: TFDS data sets, random access, orders, augmentation inside XLA.

The first access to `load` imports tensorflow-datasets, because training on
arrays does not need it.
"""

from typing import TYPE_CHECKING, Any

from kdjax.data.arrays import DataError, Source, from_arrays, from_mapping
from kdjax.data.dataset import Dataset, statistics
from kdjax.data.order import (
  epoch_order,
  example_keys,
  sequential_order,
  transfer_subset,
)
from kdjax.data.stream import batches
from kdjax.data.views import (
  Views,
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
  'crop_flip_views',
  'crop_views',
  'epoch_order',
  'example_keys',
  'flip_views',
  'from_arrays',
  'from_mapping',
  'identity_view',
  'load',
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
