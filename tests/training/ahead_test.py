"""A teacher that answers several batches at once changes no result."""

import epoch_cases as cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import models, training
from kdjax.training import ahead as ahead_module

_STEPS = 3  # of an epoch: two windows of 2 are one step too many


class _Counted(cases.Setup):
  """Notes how many images the teacher is shown in a pass."""

  def ahead(self, batches):
    self.passes = []

    def noted(variables, batch, **kwargs):
      self.passes.append(batch['image'].shape[0])
      return self.teacher.apply(variables, batch, **kwargs)

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
  setup, live, batches, devices, shown, monkeypatch
):
  monkeypatch.setattr(ahead_module, '_LARGEST_WASTE', 0.5)
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


@pytest.mark.parametrize(
  ('batches', 'steps', 'window'),
  [
    (2, 4, 2),
    (2, 3, 1),
    (2, 39, 2),
    (8, 9, 3),
    (8, 20, 7),
    (8, 3, 3),
    (3, 1, 1),
  ],
)
def test_few_steps_are_computed_in_vain(batches, steps, window):
  shown, computed = [], []

  def apply(variables, batch, **kwargs):
    shown.append(batch['image'].shape[0])
    return {'logits': batch['image']}, {}

  def step(states, teacher_variables, batch):
    jax.debug.callback(lambda: computed.append(1))
    return states + 1, batch['teacher']['logits']

  ahead = training.Ahead(models.Model(None, apply), ('logits',), batches)

  @jax.jit
  def epoch(states):
    scanned = ahead_module.windows(
      step, ahead, None, lambda number: {'image': jnp.full(1, number)}, steps
    )
    states, metrics = jax.lax.scan(scanned.run, states, scanned.firsts)
    return states, ahead_module.of_steps(metrics, steps)

  states, metrics = epoch(jnp.zeros((), jnp.int32))
  assert shown == [window]
  assert states == steps
  assert metrics.ravel().tolist() == list(range(steps))
  jax.effects_barrier()
  assert steps <= len(computed) <= max(steps, 1.05 * steps)
  assert len(computed) % window == 0


@pytest.mark.parametrize(
  ('ahead', 'cached', 'message'),
  [
    (('logits', 0), None, 'of one batch or more.*batches=0'),
    (('logits', 2), object(), 'without cached'),
  ],
)
def test_what_cannot_be_meant(setup, ahead, cached, message):
  names, batches = ahead
  with pytest.raises(ValueError, match=message):
    training.resident_epoch(
      setup.step(live=False),
      setup.variables,
      cases.source(),
      cases.prepare,
      key=jax.random.key(0),
      batch_size=cases.BATCH,
      cached=cached,
      ahead=training.Ahead(setup.teacher, (names,), batches),
    )


def test_outputs_that_there_are_not(setup):
  ahead = training.Ahead(setup.teacher, ('logits', 'nosuch'), 2)
  with pytest.raises(ValueError, match=r"'logits'.*got \['nosuch'\]"):
    cases.two_epochs(setup, 'resident', 1, ahead=ahead)


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
