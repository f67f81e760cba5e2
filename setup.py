"""Packaging of kdjax."""

import pathlib
import re

import setuptools

_ROOT = pathlib.Path(__file__).parent
_VERSION = re.search(
  r"__version__ = '(.+)'", (_ROOT / 'kdjax' / '__init__.py').read_text()
).group(1)

_TEST = [
  'hypothesis',
  'ipykernel',
  'mypy',
  'nbclient',  # maintained by Jupyter; runs the notebooks of colabs/
  'pytest',
  'pytest-xdist',
  'ruff',
]

setuptools.setup(
  name='kdjax',
  version=_VERSION,
  description='Functional knowledge distillation in JAX and Flax.',
  long_description=(_ROOT / 'README.md').read_text(),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  packages=setuptools.find_packages(include=['kdjax', 'kdjax.*']),
  package_data={'kdjax': ['py.typed']},
  python_requires='>=3.11',
  install_requires=[
    'absl-py',
    'chex',
    'flax>=0.12',
    # tensorflow-datasets imports it but does not ask for it.
    'importlib_resources',
    # pmap is jit(shard_map), and types say what varies over mapped axes.
    'jax>=0.10',
    'matplotlib',
    'ml_dtypes',  # bfloat16 in files of PyTorch; jax needs it too
    'optax',
    'orbax-checkpoint',
    'Pillow',  # tensorflow-datasets decodes images with it.
    'rich',
    'safetensors',  # Hugging Face's; the format of published weights
    'scikit-learn',  # for its bundled digits
    'tensorflow-datasets',
    'tensorstore',  # orbax needs it too
  ],
  extras_require={
    'test': _TEST,
    # A CPU build; others bring gigabytes of CUDA. torchvision and timm hold the
    # networks whose weights kdjax reads.
    'benchmarks': ['torch==2.13.0', 'torchvision==0.28.0', 'timm'],
    'cuda': ['jax[cuda13]'],
    'tpu': ['jax[tpu]'],
    'export': [],
    'docs': [],
  },
  classifiers=[
    'License :: OSI Approved :: Apache Software License',
    'Programming Language :: Python :: 3.11',
    'Programming Language :: Python :: 3.12',
    'Topic :: Scientific/Engineering :: Artificial Intelligence',
  ],
)
