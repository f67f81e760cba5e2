"""Files of PyTorch, which `tests/data/pytorch` has from PyTorch 2.13.

`torch.save({'conv.weight': torch.arange(24.).reshape(2, 3, 2, 2), ...})` made
`zip.pth`, and the same with `_use_new_zipfile_serialization=False`, in a
training checkpoint and under `DataParallel`, made `old.pth`. `module.pth` holds
`torch.nn.Linear(1, 1)` itself, not its weights.
"""

import io
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from kdjax import models
from kdjax.models.pytorch import files

_DATA = pathlib.Path(__file__).parents[2] / 'data' / 'pytorch'


@pytest.mark.parametrize('name', ['zip.pth', 'old.pth'])
def test_reads_every_tensor_of_torch_save(name):
  found = files.read(_DATA / name)
  assert set(found) == {'conv.weight', 'conv.bias', 'head.weight'}
  kernel = np.arange(24.0, dtype=np.float32).reshape(2, 3, 2, 2)
  np.testing.assert_array_equal(found['conv.weight'], kernel)
  # bfloat16, as float32 here.
  np.testing.assert_array_equal(np.float32(found['conv.bias']), [1.5, -2.0])
  # A transposed view of the middle of a larger tensor.
  np.testing.assert_array_equal(found['head.weight'], [[1, 6], [2, 7], [3, 8]])
  assert found['head.weight'].dtype == np.float64


def test_refuses_a_whole_module():
  with pytest.raises(
    models.WeightsError, match=r'holds torch\.nn\.modules\.linear\.Linear, '
  ):
    files.read(_DATA / 'module.pth')


class _Trap:
  """Writes a file when it is unpickled."""

  def __init__(self, place):
    self.place = place

  def __reduce__(self):
    return pathlib.Path.write_text, (pathlib.Path(self.place), 'caught')


@pytest.mark.parametrize('zipped', [True, False])
def test_runs_no_code_of_a_file(tmp_path, zipped):
  caught, path = tmp_path / 'caught', tmp_path / 'trap.pth'
  data = pickle.dumps({'weight': _Trap(caught)}, protocol=2)
  if zipped:
    with zipfile.ZipFile(path, 'w') as archive:
      archive.writestr('archive/data.pkl', data)
  else:
    path.write_bytes(data)
  # The trap works where nothing refuses it.
  pickle.load(io.BytesIO(data))
  assert caught.read_text() == 'caught'
  caught.unlink()
  with pytest.raises(models.WeightsError, match='which is no tensor'):
    files.read(path)
  assert not caught.exists()


def _storage(shape, strides, count):
  """A file of one tensor whose shape may go beyond its numbers."""

  # The opcodes that torch.save writes.
  text = (
    b'\x80\x02}U\x01wctorch._utils\n_rebuild_tensor_v2\n(('
    b'U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK%ctQK\x00(' % count
  )
  text += b''.join(b'K%c' % n for n in shape) + b't('
  text += b''.join(b'K%c' % n for n in strides) + b't\x89}tRs.'
  file = io.BytesIO()
  with zipfile.ZipFile(file, 'w') as archive:
    archive.writestr('archive/data.pkl', text)
    archive.writestr('archive/data/0', np.arange(4.0, dtype='<f4').tobytes())
  return file.getvalue()


def test_refuses_a_tensor_beyond_its_numbers(tmp_path):
  path = tmp_path / 'w.pth'
  path.write_bytes(_storage((2, 2), (2, 1), 4))
  np.testing.assert_array_equal(files.read(path)['w'], [[0, 1], [2, 3]])
  path.write_bytes(_storage((2, 2), (3, 1), 4))
  with pytest.raises(models.WeightsError, match='goes beyond its numbers'):
    files.read(path)
  path.write_bytes(_storage((2, 2), (2, 1), 5))
  with pytest.raises(models.WeightsError, match='storage 0 is cut short'):
    files.read(path)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_names_a_damaged_file(tmp_path, suffix):
  path = tmp_path / f'weights{suffix}'
  if suffix == '.pth':
    path.write_bytes((_DATA / 'zip.pth').read_bytes()[:700])
  else:
    files.write(path, {'w': np.zeros(9)}, {})
    path.write_bytes(path.read_bytes()[:-3])
  with pytest.raises(models.WeightsError, match=f"weights{suffix}' is "):
    files.read(path)


@pytest.mark.parametrize(
  ('name', 'message'),
  [
    ('absent.pth', 'there is no file'),
    ('weights.h5', 'must end in one of .safetensors, .pth'),
  ],
)
def test_names_an_unfit_path(tmp_path, name, message):
  with pytest.raises(models.WeightsError, match=message):
    files.read(tmp_path / name)


def test_keeps_the_note_beside_the_tensors(tmp_path):
  path = tmp_path / 'new' / 'weights.safetensors'
  note = {'model': 'resnet8', 'mean': [1.5], 'übung': True}
  files.write(path, {'w': np.ones((2, 3), np.float32).T}, note)
  assert models.read_torch_note(path) == note
  np.testing.assert_array_equal(files.read(path)['w'], np.ones((3, 2)))
  assert list(path.parent.iterdir()) == [path]


def test_leaves_an_older_file_where_writing_fails(tmp_path, monkeypatch):
  path = tmp_path / 'weights.safetensors'
  files.write(path, {'w': np.ones(1)}, {})

  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(files.os, 'replace', full)
  with pytest.raises(models.WeightsError, match='No space left on device'):
    files.write(path, {'w': np.zeros(1)}, {})
  assert files.read(path)['w'] == 1
  assert list(tmp_path.iterdir()) == [path]
