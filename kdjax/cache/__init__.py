"""Storages for rows of numbers that are computed once."""

from kdjax.cache.array_store import ArrayStore
from kdjax.cache.device import DeviceStorage
from kdjax.cache.memory_map import MemoryMap
from kdjax.cache.note import CacheError, check, claim, fingerprint
from kdjax.cache.storage import Storage

__all__ = [
  'ArrayStore',
  'CacheError',
  'DeviceStorage',
  'MemoryMap',
  'Storage',
  'check',
  'claim',
  'fingerprint',
]


def __dir__() -> list[str]:
  return sorted(__all__)
