"""Suite-wide settings: simulated devices, strict promotion, reference data."""

import os

import compiling

# Read when the backend starts, so it must be set before jax is imported.
os.environ['XLA_FLAGS'] = ' '.join(
  [
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=8',
    compiling.LITTLE_OPTIMISED,
  ]
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax
import pytest
from jax.extend import backend

jax.config.update('jax_numpy_dtype_promotion', 'strict')
jax.config.update('jax_numpy_rank_promotion', 'raise')

# XLA takes 1.4 MB on CPUs for a program as small as x + 1, and about 4 MB for a
# training step.
_MOST_PROGRAMS = 250


@pytest.fixture(autouse=True)
def few_programs():
  """Makes JAX forget its programs when they are many, as it keeps nearly all.

  A worker that kept them would end with three thousand, in 4 to 6 GB.
  """
  yield
  if len(backend.get_backend().live_executables()) > _MOST_PROGRAMS:
    jax.clear_caches()
