"""XLA's flags for programs that are compiled more than they are run."""

import importlib.metadata


def _little_optimised() -> str:
  flags = [
    '--xla_backend_optimization_level=0',
    # Splitting so little code over threads costs more than it gains.
    '--xla_cpu_parallel_codegen_split_count=1',
  ]
  version = importlib.metadata.version('jaxlib').split('.')
  if tuple(map(int, version[:2])) < (0, 11):
    # LLVM takes half as long over what was not first put through MLIR. Later
    # versions know of no such flag, and end at flags that they do not know.
    flags.append('--xla_cpu_use_fusion_emitters=false')
  return ' '.join(flags)


LITTLE_OPTIMISED = _little_optimised()
