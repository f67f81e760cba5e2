"""What a step costs, against sums done by hand."""

import dataclasses

import pytest

from kdjax import data, recipes
from kdjax.recipes import cost

_TEACHER = 64 * 512 + 512 * 512 + 512 * 10  # products of an example


@pytest.fixture(scope='module')
def settings(digits_dir):
  return recipes.Settings(
    data_dir=digits_dir, teacher='mlp_teacher', student='mlp_student', seeds=1
  )


@pytest.fixture(scope='module')
def single(settings):
  """Of one seed, on one device."""
  return cost.step_costs(settings, devices=1)


def test_the_teachers_forward_pass_by_hand(single):
  assert single.teacher.flops == pytest.approx(2 * _TEACHER * 64, rel=0.05)
  parameters = _TEACHER + 512 + 512 + 10
  assert single.teacher.parameter_bytes == 4 * parameters
  # The parameters and the images, and at least one hidden layer.
  least = 4 * (parameters + 64 * 64 + 64 * 512)
  assert least < single.teacher.peak_bytes < 2 * least


def test_a_students_step_is_three_forward_passes(settings):
  # Less the gradient in the images, which nobody wants; a wide student, beside
  # whose products activations, loss and update are little.
  wide = dataclasses.replace(settings, student='mlp_teacher')
  step = cost.step_costs(wide, devices=1).student.flops
  products = 2 * 64 * (3 * _TEACHER - 64 * 512)
  assert step == pytest.approx(products, rel=0.05)


def test_the_loss_is_little_and_owns_nothing(single):
  assert list(single.losses) == ['distilled']
  loss = single.losses['distilled']
  assert 0 < loss.flops < 100 * 64 * 10
  # The logits of both networks and the gradient of one, not all their taps.
  assert 3 * 4 * 64 * 10 < loss.peak_bytes < 10 * 4 * 64 * 10
  assert loss.parameter_bytes == 0


def test_the_one_program_holds_its_parts(single):
  program = single.programs['distilled']
  assert program.flops >= single.teacher.flops + single.student.flops
  assert single.share('distilled') == pytest.approx(1, abs=0.02)
  assert program.parameter_bytes == (
    single.teacher.parameter_bytes + single.student.parameter_bytes
  )


def test_several_students_share_one_teacher(settings, single):
  several = cost.step_costs(dataclasses.replace(settings, seeds=5), devices=1)
  one, five = single.programs['distilled'], several.programs['distilled']
  more = five.flops - one.flops
  assert 3 * single.student.flops < more < 5 * single.student.flops
  assert more < 0.1 * single.teacher.flops  # the teacher runs once
  assert five.peak_bytes > one.peak_bytes
  # What is said of parts does not depend on how many there are.
  assert several.student == single.student
  assert several.losses == single.losses
  assert five.parameter_bytes == (
    single.teacher.parameter_bytes + 5 * single.student.parameter_bytes
  )


def test_twice_the_batch_and_twice_the_devices(settings, single):
  double = dataclasses.replace(settings, batch_size=128)
  alone = cost.step_costs(double, devices=1).teacher
  assert alone.flops == pytest.approx(2 * single.teacher.flops, rel=0.01)
  shared = cost.step_costs(double, devices=2)
  assert shared.devices == 2
  assert shared.teacher == single.teacher  # what is said is of one device


def test_two_stages_have_two_losses(settings):
  fitnets = dataclasses.replace(settings, method='fitnets')
  costs = cost.step_costs(fitnets, devices=1)
  assert list(costs.losses) == list(costs.programs) == ['hint', 'distilled']
  # The regressor from 16 features to 512: forward, and two gradients.
  products = 2 * 64 * 3 * 16 * 512
  assert costs.losses['hint'].flops == pytest.approx(products, rel=0.2)
  assert costs.losses['hint'].parameter_bytes == 4 * (16 * 512 + 512)
  # A hint stage needs the teacher only up to the hint.
  assert costs.programs['hint'].flops < costs.teacher.flops


def test_labels_are_not_read(settings, monkeypatch):
  loaded = data.load('digits', settings.data_dir)
  closed = loaded._replace(train=data.Source(_refuse, len(loaded.train)))
  monkeypatch.setattr(data, 'load', lambda *_: closed)
  crd = dataclasses.replace(settings, method='crd')
  assert cost.step_costs(crd, devices=1).losses['distilled'].flops > 0


def _refuse(indices):
  raise AssertionError(f'reads {len(indices)} examples')


@pytest.mark.parametrize(
  ('changes', 'devices', 'words'),
  [
    ({}, 9, ['devices=9: ', 'within 1 and 8', 'cpu']),
    ({}, 0, ['devices=0: ', 'within 1 and 8']),
    ({'batch_size': 64}, 3, ['batch_size=64: ', '3 devices']),
    ({'dataset': 'digitz'}, 1, ['dataset=digitz: ', 'digits']),
    ({'method': 'hint', 'student': 'cnn_student'}, 1, ['method=hint: ']),
  ],
)
def test_what_cannot_be_costed(settings, changes, devices, words):
  with pytest.raises(recipes.SettingsError) as caught:
    cost.step_costs(dataclasses.replace(settings, **changes), devices)
  message = str(caught.value)
  assert message.startswith(words[0])
  assert all(word in message for word in words)
  assert '\n' not in message


def test_the_batch_need_not_fit_the_devices_left_out(settings):
  odd = dataclasses.replace(settings, batch_size=3)
  assert cost.step_costs(odd, devices=3).devices == 3
