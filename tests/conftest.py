"""Suite-wide settings: simulated devices, strict promotion, reference data."""

import os

# Read when the backend starts, so it must be set before jax is imported.
os.environ['XLA_FLAGS'] = ' '.join(
  [
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=8',
    # Most of the suite's time is compilation; what is tested is small.
    '--xla_backend_optimization_level=0',
  ]
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax

jax.config.update('jax_numpy_dtype_promotion', 'strict')
jax.config.update('jax_numpy_rank_promotion', 'raise')
