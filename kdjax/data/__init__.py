"""Data: sets of TFDS, random access, orders, augmentation inside XLA."""

from kdjax.data.arrays import DataError, Source, from_arrays
from kdjax.data.augment import (
  example_keys,
  flip,
  identity,
  normalise,
  pad_crop,
  pad_crop_flip,
  shift,
)
from kdjax.data.dataset import Dataset, statistics
from kdjax.data.order import epoch_order, sequential_order, transfer_subset
from kdjax.data.stream import batches
from kdjax.data.tfds_source import load
from kdjax.data.views import (
  Views,
  crop_flip_views,
  crop_views,
  flip_views,
  identity_view,
)

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
  'flip',
  'flip_views',
  'from_arrays',
  'identity',
  'identity_view',
  'load',
  'normalise',
  'pad_crop',
  'pad_crop_flip',
  'sequential_order',
  'shift',
  'statistics',
  'transfer_subset',
]
