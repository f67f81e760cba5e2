"""Every notebook runs from top to bottom, as a reader would run it."""

import os
import pathlib

import nbclient
import nbformat
import pytest

_ROOT = pathlib.Path(__file__).parents[1]
_NOTEBOOKS = sorted((_ROOT / 'colabs').glob('*.ipynb'))
_WEIGHTS = pathlib.Path(
  os.environ.get('TFDS_DATA_DIR', ''),
  '..',
  'weights',
  'resnet20_cifar10.safetensors',
).absolute()


def _code(notebook):
  return [
    line
    for cell in notebook.cells
    if cell.cell_type == 'code'
    for line in cell.source.splitlines()
    if line.strip()
  ]


@pytest.mark.parametrize('path', _NOTEBOOKS, ids=lambda path: path.stem)
# The kernel's own threads and sockets are not ours to close.
@pytest.mark.filterwarnings('default')
def test_notebook_runs(path, monkeypatch):
  if path.stem == 'pytorch_teacher' and not _WEIGHTS.exists():
    pytest.skip('weights/ is not beside TFDS_DATA_DIR.')
  monkeypatch.setenv('KDJAX_WEIGHTS', str(_WEIGHTS))
  monkeypatch.setenv('XLA_FLAGS', '')  # One device, as a newcomer has it.
  notebook = nbformat.read(path, as_version=4)
  client = nbclient.NotebookClient(
    notebook, timeout=300, resources={'metadata': {'path': str(_ROOT)}}
  )
  client.execute()
  assert all(not cell.get('outputs') for cell in nbformat.read(path, 4).cells)


def test_networks_of_ones_own_take_thirty_lines():
  notebook = nbformat.read(_ROOT / 'colabs' / 'your_own.ipynb', as_version=4)
  assert len(_code(notebook)) <= 30
