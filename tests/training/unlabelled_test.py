"""A transfer set without labels: students learn from the teacher alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from kdjax import data, models, training, transforms

_EXAMPLES, _BATCH, _CLASSES = 20, 8, 3


def _normal(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _linear(params, image):
  flat = image.reshape(image.shape[0], -1).astype(jnp.float32) / 255
  return jnp.matmul(flat, params, precision=jax.lax.Precision.HIGHEST)


def _source():
  image = np.random.default_rng(0).integers(0, 255, (_EXAMPLES, 2, 2, 1))
  kept = {'image': image.astype(np.uint8)}
  return data.Source(lambda _: None, _EXAMPLES, kept)


@pytest.mark.parametrize(
  'form',
  [training.resident_epoch, training.stepped_epoch, training.streaming_epoch],
)
def test_the_teacher_alone_teaches(form):
  start, teacher = _normal(1, 4, _CLASSES), _normal(2, 4, _CLASSES)
  student = models.from_function(_linear, start)
  loss, optimizer = transforms.soft_targets(temperature=1.0), optax.sgd(0.5)
  batch = {'image': jax.ShapeDtypeStruct((_BATCH, 2, 2, 1), jnp.uint8)}
  outputs = {'logits': jax.ShapeDtypeStruct((_BATCH, _CLASSES), jnp.float32)}
  states = training.replicate(
    training.init_state(0, student, loss, optimizer, batch, outputs)
  )
  step = training.make_train_step(
    student,
    loss,
    optimizer,
    teacher=models.from_function(_linear, teacher),
    axis_name=training.AXIS,
  )
  run = form(
    step,
    models.ModelVariables(teacher, {}),
    _source(),
    data.identity_view().augment,
    key=jax.random.key(0),
    batch_size=_BATCH,
  )
  found = []
  for epoch in range(30):
    states, metrics = run(states, epoch)
    found.append(jax.device_get(metrics)['loss'].mean())
  assert found[-1] < 0.2 * found[0]
  assert set(metrics) == {'loss', 'gradient_norm'}
