"""The flag files of papers: they parse, fit their networks, and are listed."""

import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
import small_experiments
from absl import flags

from experiments import common, distill, wiring
from kdjax import data, methods, recipes
from kdjax.options import OptionError
from kdjax.training import Budget

assert distill  # defines the flags
_ROOT = pathlib.Path(__file__).parents[2]
_PAPERS = pathlib.Path('experiments/flagfiles/papers')


def _files(pattern):
  return sorted(
    str(path.relative_to(_ROOT)) for path in (_ROOT / _PAPERS).glob(pattern)
  )


def _named(files):
  """Parameters whose identifiers are the names of the files."""
  return [pytest.param(x, id=pathlib.Path(x).stem) for x in files]


_PAIRS = _files('cifar100/pairs/*')
_METHODS = _files('cifar100/methods/*')
_PAIR = str(_PAPERS / 'cifar100/pairs/resnet56b_resnet20b.flags')
# Pairs in which every form of teacher and student occurs. The other pairs have
# more blocks of the same forms.
_EVERY_FORM = (
  'wrn40_2_wrn16_2',
  'vgg13_mobilenetv2_half',
  'resnet50_small_vgg8',
  'resnet32x4_shufflenetv1',
  'resnet32x4_shufflenetv2',
)
# SimKD needs a teacher whose classifier reads the mean of the last stage.
_NOT_OF_WIDE_RESNETS = {'simkd'}


def _dataset(name, classes, side, examples, **more):
  """Black images, which take no room, and labels in turn."""

  def read(indices):
    count = len(indices)
    found = {
      'image': np.broadcast_to(np.uint8(0), (count, side, side, 3)),
      'label': np.int32(indices % classes),
    }
    if more:  # a canvas that the images fill
      found['size'] = np.full((count, 2), side, np.int32)
    return found

  train, test = data.Source(read, examples), data.Source(read, 16)
  statistics = (125.0, 123.0, 114.0), (63.0, 62.0, 67.0)
  shape = (side, side, 3)
  return data.Dataset(name, classes, shape, train, test, *statistics, **more)


def _load(name, data_dir, *, image_size=None, canvas=None):
  del data_dir, canvas
  if name == 'imagenet2012':
    return _dataset(name, 1000, 64, 4096, image_size=image_size)
  return _dataset(name, {'cifar10': 10, 'cifar100': 100}[name], 32, 50_000)


@pytest.fixture
def made_up(monkeypatch):
  """Data sets of the shapes of CIFAR and ImageNet."""
  monkeypatch.setattr(data, 'load', _load)
  monkeypatch.chdir(_ROOT)


def _asked(*files, **changes):
  """The options of flag files."""
  try:
    common.FLAGS(['distill', *(f'--flagfile={file}' for file in files)])
    return common.asked(*wiring.DISTILLATION, changes=changes)
  finally:
    for name in flags.FLAGS:
      flags.FLAGS[name].unparse()  # back to its default


def _wire(*files, **changes):
  devices = jax.local_devices()[:1]
  return wiring.wire(_asked(*files, **changes), devices)


def test_the_protocol_of_cifar100_is_the_papers(made_up):
  wired = _wire(_PAIR, str(_PAPERS / 'cifar100/methods/kd.flags'))
  budget, experiment = wired.experiment.budget, wired.experiment
  assert (wired.teacher_model.name, wired.student.name) == (
    'resnet56b',
    'resnet20b',
  )
  assert (experiment.epochs, experiment.steps_per_epoch) == (240, 782)
  assert [240 * part for part in budget.all_milestones] == [150, 180, 210]
  assert (budget.learning_rate, budget.weight_decay) == (0.05, 5e-4)
  assert experiment.task.views.name == 'crop4_flip'
  assert budget.seeds == 5
  asked = wired.given[methods.Options]
  assert (asked.method, asked.temperature, asked.alpha) == ('kd', 4.0, 0.1)


@pytest.mark.parametrize('file', _named(_PAIRS))
def test_pairs(monkeypatch, file):
  monkeypatch.chdir(_ROOT)
  asked = _asked(file)
  networks = asked[wiring.models.Options]
  assert f'{networks.teacher}_{networks.student}' == pathlib.Path(file).stem
  small = networks.student.startswith(('mobilenet', 'shufflenet'))
  assert asked[Budget].learning_rate == (0.01 if small else 0.05)


@pytest.fixture(scope='module')
def small_pair():
  """Its shapes are found once for all methods."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(data, 'load', _load)
    patch.chdir(_ROOT)
    # Fewer blocks take less time to trace.
    return _wire(_PAIR, teacher='resnet14b', student='resnet8b')


def _check(wired, *files):
  """Checks the method of flag files on networks that are there."""
  asked = _asked(*files)
  experiment = wired.experiment._replace(budget=asked[Budget])
  method = methods.make(asked[methods.Options])
  recipes.check(experiment, wired.student, wired.teacher_model, method)


@pytest.mark.parametrize('file', _named(_METHODS))
def test_methods_fit_a_pair(made_up, small_pair, file):
  _check(small_pair, _PAIR, file)


@pytest.mark.thorough
@pytest.mark.parametrize('pair', _EVERY_FORM)
def test_pairs_fit_all_methods(made_up, pair):
  file = str(_PAPERS / f'cifar100/pairs/{pair}.flags')
  wired = _wire(file)
  for method in _METHODS:
    name = pathlib.Path(method).stem
    if name in _NOT_OF_WIDE_RESNETS and wired.teacher_model.name == 'wrn40_2':
      with pytest.raises(OptionError, match='method=simkd: '):
        _check(wired, file, method)
    else:
      _check(wired, file, method)


@pytest.mark.parametrize('file', _named(_files('imagenet/pairs/*')))
def test_pairs_of_imagenet(monkeypatch, file):
  monkeypatch.chdir(_ROOT)
  asked = _asked(file)
  networks, budget = asked[wiring.models.Options], asked[Budget]
  assert f'{networks.teacher}_{networks.student}' == pathlib.Path(file).stem
  assert [100 * part for part in budget.all_milestones] == [30, 60, 90]
  assert (budget.epochs, budget.batch_size) == (100, 512)


@pytest.mark.parametrize('file', _named(_files('imagenet/methods/*')))
def test_methods_fit_a_pair_of_imagenet(made_up, file):
  pair = str(_PAPERS / 'imagenet/pairs/resnet34_resnet18.flags')
  wired = _wire(pair, file, teacher='resnet18', image_size=32)
  small_experiments.check(wired)


@pytest.mark.parametrize(
  'file',
  _named(x for x in _files('student_project/*') if 'protocol' not in x),
)
def test_rows_of_the_student_project(made_up, file):
  changes = {}
  if 'resnet' in pathlib.Path(file).stem:
    changes = {'teacher': 'resnet14', 'student': 'resnet8'}
  small_experiments.check(_wire(file, **changes))


@pytest.mark.thorough
@pytest.mark.parametrize(
  ('files', 'changes'),
  [
    (('cifar100/pairs/resnet32x4_resnet8x4', 'cifar100/methods/kd'), {}),
    (
      ('imagenet/pairs/resnet34_resnet18', 'imagenet/methods/patient'),
      {'image_size': 32, 'warmup_epochs': 0.5},
    ),
  ],
  ids=['cifar100', 'imagenet'],
)
def test_two_steps(made_up, tmp_path, files, changes):
  tiny = {
    **dict.fromkeys(('teacher', 'student'), 'resnet8b'),
    **dict.fromkeys(('epochs', 'teacher_epochs', 'seeds'), 1),
    **{'batch_size': 8, 'transfer_examples': 16, 'teacher_examples': 16},
    'transfer': 'proportional',
  }
  names = [str(_PAPERS / f'{file}.flags') for file in files]
  wired = _wire(*names, **tiny, **changes)
  experiment = wired.experiment._replace(workdir=tmp_path)
  assert experiment.steps_per_epoch == 2
  teacher = wired.taught(experiment)
  result = recipes.distil(experiment, wired.student, teacher, wired.method)
  summary = recipes.summarise(result, seconds=0.0)
  assert np.isfinite(summary['measures']['loss']['distilled']['loss']).all()


@pytest.mark.thorough
@pytest.mark.parametrize('setting', ['cifar100', 'imagenet'])
def test_teachers_are_for_train_teacher(setting, tmp_path):
  command = [sys.executable, '-m', 'experiments.train_teacher']
  file, empty = _PAPERS / setting / 'teachers.flags', tmp_path / 'none'
  found = subprocess.run(
    [*command, f'--flagfile={file}', f'--data_dir={empty}'],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  # All flags are known; only the data are missing.
  assert found.returncode == 2
  assert found.stderr.startswith('error: --dataset='), found.stderr


def test_the_page_lists_all_files():
  text = (_ROOT / 'docs' / 'papers.md').read_text(encoding='utf-8')
  known = [f'`{pathlib.Path(file).stem}`' for file in _files('**/*.flags')]
  assert [name for name in known if name not in text] == []
