"""A small student and its teacher, as methods are bound to them."""

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import methods, training, transforms

STUDENT = {'stage1': (4, 6), 'embedding': (4, 6), 'logits': (4, 3)}
TEACHER = {
  'stage1': (4, 8),
  'stage2': (4, 7),
  'stage3': (4, 5),
  'embedding': (4, 5),
  'logits': (4, 3),
}


def shapes(outputs):
  return {
    name: jax.ShapeDtypeStruct(shape, jnp.float32)
    for name, shape in outputs.items()
  }


def pair(**changes):
  """Eight epochs of two steps, on 120 examples of three classes."""
  usual = {
    'student': shapes(STUDENT),
    'teacher': shapes(TEACHER),
    'teacher_params': {},
    'examples': 120,
    'labels': lambda: np.arange(120, dtype=np.int32) % 3,
    'epochs': 8,
    'steps_per_epoch': 2,
  }
  return methods.Pair(**{**usual, **changes})


def outputs(shapes, seed):
  random = np.random.default_rng(seed)
  return {
    name: jnp.asarray(random.normal(size=shape), jnp.float32)
    for name, shape in shapes.items()
  }


def student_outputs():
  return outputs(STUDENT, 0)


def teacher_outputs():
  """With the five, or all three, best classes at temperature 4."""
  found = outputs(TEACHER, 1)
  log_probs = jax.nn.log_softmax(found['logits'] / 4)
  best, indices = jax.lax.top_k(log_probs, 3)
  return {**found, 'top_k_log_probs': best, 'top_k_indices': indices}


def terms(stage, step=0):
  """The loss and its terms on random outputs, and what it owns."""
  student, teacher = student_outputs(), teacher_outputs()
  variables = stage.loss.init(jax.random.key(0), student, teacher)
  batch = {'label': jnp.arange(4) % 3, 'weight': jnp.ones(4)}
  # As in a step: of the global batch, which one device has whole here.
  loss = transforms.on_axis(stage.loss, training.AXIS)

  def apply(student, teacher, batch):
    value, _, metrics = loss.apply(
      variables, student, teacher, batch, jnp.int32(step)
    )
    return value, metrics

  value, metrics = jax.vmap(apply, axis_name=training.AXIS)(
    *jax.tree.map(lambda x: x[None], (student, teacher, batch))
  )
  metrics = {name: float(term[0]) for name, term in metrics.items()}
  return float(value[0]), metrics, variables
