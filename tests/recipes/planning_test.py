"""What can be checked before training is, in one line."""

import jax
import numpy as np
import pytest
import small_experiments

from kdjax import recipes, transforms
from kdjax.options import OptionError


def _refused(wired, *words):
  with pytest.raises(OptionError) as caught:
    small_experiments.check(wired)
  message = str(caught.value)
  assert '\n' not in message
  for word in words:
    assert word in message
  return message


def test_the_devices_divide_the_batch(wire):
  message = _refused(wire(batch_size=12), '8 devices')
  assert message.startswith('batch_size=12: ')


@pytest.mark.parametrize('network', ['student', 'teacher'])
def test_unknown_taps_list_the_known(wire, network):
  name = f'hint_{network}'
  wired = wire(method='fitnets', **{name: 'stage9'})
  message = _refused(wired, 'stage1', 'logits')
  assert message.startswith(f'{name}=stage9: ')


@pytest.mark.parametrize('network', ['student', 'teacher'])
def test_unknown_taps_among_set_hyperparameters(wire, network):
  wired = wire(method='hint', set=f'hint.{network}=stage9')
  message = _refused(wired, 'stage1', 'logits')
  assert message.startswith(f'set=hint.{network}=stage9: stage9 must be one of')


def test_taps_of_different_rank_do_not_fit(wire):
  wired = wire(method='hint', student='cnn_student')
  assert _refused(wired, 'rank').startswith('method=hint: ')


@pytest.mark.parametrize(('epochs', 'hint_epochs'), [(1, None), (4, 4), (4, 9)])
def test_the_hint_stage_leaves_an_epoch(wire, epochs, hint_epochs):
  asked = {'epochs': epochs, 'hint_epochs': hint_epochs}
  message = _refused(wire(method='fitnets', **asked), f'epochs={epochs}')
  assert message.startswith(f'hint_epochs={hint_epochs or 1}: ')
  small_experiments.check(wire(**asked))  # soft targets have no such stage


def test_the_best_must_be_among_the_classes(wire):
  message = _refused(wire(method='kd_top_k', top_k=11), '10 classes')
  assert message.startswith('top_k=11: ')


def _plan(wired, method):
  return recipes.plan(
    wired.experiment, wired.student, wired.teacher_model, method
  )


@pytest.mark.parametrize(
  ('method', 'kept'),
  [
    ('kd', {'logits'}),
    ('kd,kd_top_k', {'logits', 'top_k_indices', 'top_k_log_probs'}),
    ('rkd', {'embedding'}),
    ('fitnets', {'logits', 'stage1'}),
    ('label_smoothing', set()),
  ],
)
def test_the_teachers_outputs_that_the_stages_read(wire, method, kept):
  wired = wire(method=method)
  planned = _plan(wired, wired.method)
  assert set(planned.kept) == kept
  outputs = jax.eval_shape(
    planned.teacher.apply,
    jax.eval_shape(planned.teacher.init, jax.random.key(0), wired.task.batch()),
    wired.task.batch(64),
  )[0]
  for name, shape in planned.kept.items():
    assert (shape.shape, shape.dtype) == (
      outputs[name].shape,
      outputs[name].dtype,
    )


def test_a_loss_of_ones_own_is_a_method_of_one_stage(wire):
  wired, loss = wire(epochs=3), transforms.soft_targets(temperature=2.0)
  planned = _plan(wired, loss)
  (stage,) = planned.stages
  assert (stage.name, stage.epochs) == ('distilled', 3)
  assert stage.loss is loss
  assert planned.student is wired.student
  assert planned.teacher is wired.teacher_model
  assert set(planned.kept) == {'logits'}


def test_methods_that_need_labels_get_those_of_the_transfer_set(wire):
  """Contrastive negatives are of other classes: crd asks for the labels."""
  wired, asked = wire(method='crd'), []

  def labels():
    asked.append(True)
    return np.arange(120, dtype=np.int32) % 10

  recipes.plan(
    wired.experiment,
    wired.student,
    wired.teacher_model,
    wired.method,
    labels=labels,
  )
  assert asked
  asked.clear()
  recipes.plan(
    wired.experiment,
    wired.student,
    wired.teacher_model,
    wire(method='kd').method,
    labels=labels,
  )
  assert not asked
