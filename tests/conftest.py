"""Suite-wide settings: simulated devices, strict promotion, reference data."""

import os

# Read when the backend starts, so it must be set before jax is imported.
os.environ['XLA_FLAGS'] = ' '.join(
  [
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=8',
    # Most of the suite's time is compilation; what is tested is small. LLVM
    # takes half as long over code that XLA has not first put through MLIR, and
    # splitting so little of it over threads costs more than it gains.
    '--xla_backend_optimization_level=0',
    '--xla_cpu_use_fusion_emitters=false',
    '--xla_cpu_parallel_codegen_split_count=1',
  ]
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax

jax.config.update('jax_numpy_dtype_promotion', 'strict')
jax.config.update('jax_numpy_rank_promotion', 'raise')
