"""What a step costs, against sums done by hand."""

import jax
import pytest

from kdjax import data, recipes
from kdjax.options import OptionError

_TEACHER = 64 * 512 + 512 * 512 + 512 * 10  # products of an example


@pytest.fixture(scope='module')
def costs(wire):
  """What `cost` says of a step on some of the devices; of one seed."""

  def costs(devices=1, **changes):
    usual = {'teacher': 'mlp_teacher', 'student': 'mlp_student', 'seeds': 1}
    wired = wire(**{**usual, 'epochs': None, **changes})
    experiment = wired.experiment._replace(
      devices=jax.local_devices()[:devices]
    )
    return recipes.costs(
      experiment, wired.student, wired.teacher_model, wired.method
    )

  return costs


@pytest.fixture(scope='module')
def single(costs):
  """Of one seed, on one device."""
  return costs()


def test_the_teachers_forward_pass_by_hand(single):
  assert single.teacher.flops == pytest.approx(2 * _TEACHER * 64, rel=0.05)
  parameters = _TEACHER + 512 + 512 + 10
  assert single.teacher.parameter_bytes == 4 * parameters
  # The parameters and the images, and at least one hidden layer.
  least = 4 * (parameters + 64 * 64 + 64 * 512)
  assert least < single.teacher.peak_bytes < 2 * least


def test_a_students_step_is_three_forward_passes(costs):
  # Less the gradient in the images, which nobody wants; a wide student, beside
  # whose products activations, loss and update are little.
  step = costs(student='mlp_teacher').student.flops
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


def test_several_students_share_one_teacher(costs, single):
  several = costs(seeds=5)
  assert (single.seeds, several.seeds) == (1, 5)
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


def test_twice_the_batch_and_twice_the_devices(costs, single):
  alone = costs(batch_size=128).teacher
  assert alone.flops == pytest.approx(2 * single.teacher.flops, rel=0.01)
  shared = costs(devices=2, batch_size=128)
  assert shared.teacher == single.teacher  # what is said is of one device


def test_two_stages_have_two_losses(costs):
  found = costs(method='fitnets')
  assert list(found.losses) == list(found.programs) == ['hint', 'distilled']
  # The regressor from 16 features to 512: forward, and two gradients.
  products = 2 * 64 * 3 * 16 * 512
  assert found.losses['hint'].flops == pytest.approx(products, rel=0.2)
  assert found.losses['hint'].parameter_bytes == 4 * (16 * 512 + 512)
  # A hint stage needs the teacher only up to the hint.
  assert found.programs['hint'].flops < found.teacher.flops


def test_labels_are_not_read(wire):
  """One example is read, for the shapes of a batch."""
  wired = wire(method='crd')
  task = wired.experiment.task
  train = data.Source(_one_of(task.train), len(task.train))
  found = recipes.costs(
    wired.experiment._replace(
      task=task._replace(train=train), devices=jax.local_devices()[:1]
    ),
    wired.student,
    wired.teacher_model,
    wired.method,
  )
  assert found.losses['distilled'].flops > 0


def _one_of(source):
  def read(indices):
    assert len(indices) == 1, f'reads {len(indices)} examples'
    return source.fetch(indices)

  return read


@pytest.mark.parametrize(
  ('changes', 'devices', 'words'),
  [
    ({'batch_size': 64}, 3, ['batch_size=64: ', '3 devices']),
    ({'method': 'hint', 'student': 'cnn_student'}, 1, ['method=hint: ']),
    ({'method': 'kd_top_k', 'top_k': 11}, 1, ['top_k=11: ', '10 classes']),
  ],
)
def test_what_cannot_be_costed(costs, changes, devices, words):
  with pytest.raises(OptionError) as caught:
    costs(devices, **changes)
  message = str(caught.value)
  assert message.startswith(words[0])
  assert all(word in message for word in words)
  assert '\n' not in message


def test_the_batch_need_not_fit_the_devices_left_out(costs):
  assert costs(devices=3, batch_size=3).teacher.flops > 0
