"""Students that start from trained networks."""

import io

import jax
import numpy as np
import pytest
import small_experiments
from rich import console

from kdjax import models, recipes, reports
from kdjax.options import OptionError


def _assert_equal(one, other):
  jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(scope='module')
def pretrained_dir(wire, teacher_dir, tmp_path_factory):
  """The workdir of two trained students."""
  workdir = tmp_path_factory.mktemp('pretrained')
  wired = wire(teacher_checkpoint=str(teacher_dir))
  small_experiments.distil(wired, workdir, scratch=False)
  return workdir


@pytest.fixture(scope='module')
def still(wire, teacher_dir, pretrained_dir, tmp_path_factory):
  """A distillation from there whose updates are too small for float32."""
  wired = wire(
    teacher_checkpoint=str(teacher_dir),
    student_checkpoint=str(pretrained_dir / 'distilled'),
    learning_rate=1e-30,
    weight_decay=0.0,
    epochs=1,
  )
  result = small_experiments.distil(wired, tmp_path_factory.mktemp('still'))
  return wired, result


def test_every_seed_and_its_control_start_from_a_network(still, pretrained_dir):
  networks = recipes.load(pretrained_dir / 'distilled')
  assert len(networks) == 2
  _, result = still
  for place, network in enumerate(networks):
    for fitted in (result.scratch, result.distilled):
      _assert_equal(fitted.network(place).variables, network.variables)
  kernels = [x.variables.params['head']['kernel'] for x in networks]
  assert not np.array_equal(*kernels)


def test_the_report_says_so(still):
  _, result = still
  summary, output = recipes.summarise(result, 1.0), io.StringIO()
  assert summary['start'] == 'pretrained'
  reports.print_summary(summary, console.Console(file=output, width=200))
  assert 'starts from pretrained networks' in output.getvalue()
  comparison = recipes.compare({'distilled': result}, 1.0)
  assert comparison['start'] == 'pretrained'
  plain = result._replace(pretrained=False)
  assert 'start' not in recipes.summarise(plain, 1.0)


def test_training_goes_on_from_there(still, wire, teacher_dir, tmp_path):
  """The first seed alone, as an object, ends below where it began."""
  wired, result = still
  task = wire(teacher_checkpoint=str(teacher_dir), seeds=1, epochs=8)
  experiment = task.experiment._replace(workdir=tmp_path)
  start = wired.start[0]
  after = recipes.train_scratch(experiment, wired.student, start)
  new = recipes.train_scratch(
    experiment._replace(workdir=tmp_path / 'new'), wired.student
  )
  before = float(result.scratch.measures['loss'][0])
  assert after.measures['loss'][0] < before
  assert after.measures['loss'][0] < new.measures['loss'][0]


def test_more_seeds_than_networks_are_refused(wire, still):
  wired, _ = still
  experiment = wire(seeds=3).experiment
  with pytest.raises(OptionError, match=r'^seeds=3: must be at most 2, '):
    recipes.train_scratch(experiment, wired.student, wired.start)
  with pytest.raises(OptionError, match=r'^seeds=3: must be at most 1, '):
    recipes.train_scratch(experiment, wired.student, wired.start[0])


def test_another_student_is_refused(wire, still):
  wired, _ = still
  other = wire(student='mlp_teacher')
  with pytest.raises(OptionError, match=r'^start=mlp_student: .*kernel') as e:
    recipes.train_scratch(other.experiment, other.student, wired.start)
  assert '\n' not in str(e.value)


def test_a_method_that_rebuilds_the_student_is_refused_before_training(
  wire, still, teacher_dir
):
  wired, _ = still
  simkd = wire(method='simkd', teacher_checkpoint=str(teacher_dir))
  with pytest.raises(OptionError, match=r'^start=mlp_student: .*this method'):
    small_experiments.check(simkd._replace(start=wired.start))


def test_a_checkpoint_brings_its_statistics(wire, still, pretrained_dir):
  """Also where batch norms are synchronised, which needs another module."""
  where = str(pretrained_dir / 'distilled')
  for sync in (False, True):
    wired = wire(student_checkpoint=where, sync_batch_norm=sync)
    assert wired.student is wired.start[0].model
    assert wired.student.note['mean'] == still[0].student.note['mean']


def test_another_network_is_refused(wire, pretrained_dir):
  where = str(pretrained_dir / 'distilled')
  assert 'cnn_student' in models.names()
  with pytest.raises(OptionError, match=r'^student_checkpoint=.*cnn_student'):
    wire(student='cnn_student', student_checkpoint=where)
