"""Methods that read a network's parameters find those that they mean."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import methods, models, training, transforms
from kdjax.options import OptionError

_BATCH = {'image': jax.ShapeDtypeStruct((4, 32, 32, 3), jnp.float32)}


def _traced(name):
  model = models.create(name, classes=10)
  variables = jax.eval_shape(model.init, jax.random.key(0), _BATCH)
  outputs, _ = jax.eval_shape(model.apply, variables, _BATCH)
  return model, variables.params, outputs


def _margins(teacher, marked=None):
  """OFD's margins; all scales are 1 but those of a marked norm, 2."""
  _, params, outputs = _traced(teacher)

  def values(path, leaf):
    path = '/'.join(part.key for part in path)
    value = 2.0 if path == f'{marked}/scale' else path.endswith('scale')
    return np.full(leaf.shape, value, np.float32)

  pair = methods.Pair(
    student=outputs,
    teacher=outputs,
    teacher_params=jax.tree_util.tree_map_with_path(values, params),
    examples=4,
    labels=lambda: np.zeros(4, np.int32),
    epochs=1,
    steps_per_epoch=1,
    names=('student', teacher),
  )
  called = transforms.overhaul
  with mock.patch.object(transforms, 'overhaul', wraps=called) as overhaul:
    methods.named('ofd').stages(pair)
  return overhaul.call_args.kwargs['margins']


@pytest.mark.parametrize(
  ('teacher', 'norm'),
  [
    ('wrn16_1', 'stage2/norm'),  # it opens the first block of stage 3
    ('vgg8', 'stage2/layer1/norm'),
    ('mobilenetv2_half', 'stage2/block3/layer3/norm'),
  ],
)
def test_margins_of_the_overhaul(teacher, norm):
  for tap, margin in _margins(teacher, norm).items():
    # The mean of a half normal distribution is sqrt(2 / pi) deviations.
    scale = 2.0 if tap == 'stage2/preactivation' else 1.0
    np.testing.assert_allclose(margin, -scale * np.sqrt(2 / np.pi), rtol=1e-5)


@pytest.mark.parametrize('name', ['shufflenetv2', 'convnext_tiny'])
def test_no_margins_of_other_norms(name):
  # Of half the channels; of a layer norm that opens the stage.
  with pytest.raises(OptionError, match=f'method=ofd: needs .* {name} does'):
    _margins(name)


@pytest.mark.parametrize(
  'name', ['wrn16_1', 'mobilenetv2_half', 'convnext_tiny']
)
def test_no_classifier_of_another_map_is_reused(name):
  model, params, _ = _traced(name)
  student = models.create('resnet8b', classes=10)
  with pytest.raises(OptionError, match=f'method=simkd: needs .* {name} does'):
    methods.reuse_classifier(student, model, params, _BATCH, training.AXIS)
