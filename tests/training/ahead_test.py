"""A teacher that answers several batches at once changes no result."""

import epoch_cases as cases
import jax
import numpy as np
import pytest

from kdjax import models, training

_STEPS = 3  # of an epoch: windows of 2 leave one over, of 8 do not fill


class _Counted(cases.Setup):
  """Notes how many images the teacher is shown in a pass."""

  def ahead(self, batches):
    self.passes = []

    def noted(variables, images, **kwargs):
      self.passes.append(images.shape[0])
      return self.teacher.apply(variables, images, **kwargs)

    teacher = self.teacher._replace(apply=noted)
    return training.Ahead(teacher, ('embedding', 'logits'), batches)


@pytest.fixture(scope='module')
def setup():
  return _Counted()


@pytest.fixture(scope='module')
def live(setup):
  return cases.two_epochs(setup, 'resident', 1)


@pytest.mark.parametrize(
  ('batches', 'devices', 'shown'),
  [(2, 1, 32), (2, 8, 4), (3, 2, 24), (8, 1, 48)],
)
def test_results_are_those_of_a_live_teacher(
  setup, live, batches, devices, shown
):
  ahead = setup.ahead(batches)
  result = cases.two_epochs(setup, 'resident', devices, ahead=ahead)
  assert setup.passes == [shown]  # traced once, with as many images
  assert result.traces == 1
  assert all(result.deleted)
  assert np.all(result.states.step == 2 * _STEPS)
  cases.assert_close(result.states, live.states)
  cases.assert_close(result.metrics, live.metrics)
  states = training.replicate(setup.states, jax.local_devices()[:devices])
  with jax.transfer_guard('disallow'):
    jax.block_until_ready(result.run(states, 0))


@pytest.mark.parametrize('batches', [1, 2, 4])
def test_the_teacher_sees_what_the_student_sees(recorded, batches):
  """A teacher that returns its images, a step that returns its batch."""
  pixels = models.from_function(
    lambda params, inputs: {'logits': inputs[..., 0, 0], 'pixels': inputs}, {}
  )

  def look(states, teacher_variables, batch):
    assert teacher_variables is None
    assert set(batch['teacher']) == {'pixels'}
    return {'steps': states['steps'] + 1}, dict(batch)

  run = training.resident_epoch(
    look,
    models.ModelVariables({}, {}),
    cases.source(),
    cases.prepare,
    key=jax.random.key(cases.KEY),
    batch_size=cases.BATCH,
    devices=jax.local_devices()[:1],
    ahead=training.Ahead(pixels, ('pixels',), batches),
  )
  for epoch in range(2):
    states = training.replicate({'steps': 0}, jax.local_devices()[:1])
    states, batches_seen = run(states, epoch)
    assert states['steps'] == _STEPS
    seen = jax.device_get(batches_seen)
    teacher = seen.pop('teacher')
    np.testing.assert_array_equal(teacher['pixels'], seen['image'])
    jax.tree.map(np.testing.assert_array_equal, seen, recorded[epoch])
