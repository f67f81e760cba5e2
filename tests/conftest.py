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

jax.config.update('jax_numpy_dtype_promotion', 'strict')
jax.config.update('jax_numpy_rank_promotion', 'raise')
