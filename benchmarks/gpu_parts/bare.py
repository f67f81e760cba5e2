"""`kdjax.training` where tensorflow-datasets is not installed.

A GPU machine usually has it not, and the benchmark's images are synthetic. Only
`kdjax.data.load` needs it; it is left out if it cannot be imported.
"""

import sys
import types

try:
  from kdjax import data, training
except ModuleNotFoundError as error:
  if error.name != 'tensorflow_datasets':
    raise
  _MODULE = 'kdjax.data.tfds_source'
  sys.modules[_MODULE] = types.ModuleType(_MODULE)
  vars(sys.modules[_MODULE])['load'] = None
  from kdjax import data, training

__all__ = ['data', 'training']
