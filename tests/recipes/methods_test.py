"""Which terms a method has, with which weights, in which stages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import recipes, training
from kdjax.recipes import methods

_STUDENT = {'stage1': (4, 6), 'embedding': (4, 6), 'logits': (4, 3)}
_TEACHER = {
  'stage1': (4, 8),
  'stage2': (4, 7),
  'stage3': (4, 5),
  'embedding': (4, 5),
  'logits': (4, 3),
}


def _stages(**settings):
  resolved = recipes.Settings(
    **{'epochs': 8, 'hint_epochs': 3, **settings}
  ).resolved(1200)
  return methods.stages(
    methods.Choice(
      settings=resolved,
      student=_STUDENT,
      teacher=_TEACHER,
      teacher_params={},
      labels=np.arange(120) % 3,
      steps_per_epoch=2,
    )
  )


def _outputs(shapes, seed):
  random = np.random.default_rng(seed)
  return {
    name: jnp.asarray(random.normal(size=shape), jnp.float32)
    for name, shape in shapes.items()
  }


def _terms(stage):
  """The loss and its terms on random outputs, and what it owns."""
  student, teacher = _outputs(_STUDENT, 0), _outputs(_TEACHER, 1)
  variables = stage.loss.init(jax.random.key(0), student, teacher)
  batch = {'label': jnp.arange(4) % 3, 'weight': jnp.ones(4)}

  def apply(student, teacher, batch):
    value, _, metrics = stage.loss.apply(
      variables, student, teacher, batch, jnp.int32(0)
    )
    return value, metrics

  # The relational terms gather over the devices; here there is one.
  value, metrics = jax.vmap(apply, axis_name=training.AXIS)(
    *jax.tree.map(lambda x: x[None], (student, teacher, batch))
  )
  metrics = {name: float(term[0]) for name, term in metrics.items()}
  return float(value[0]), metrics, variables


@pytest.mark.parametrize(
  ('settings', 'weights'),
  [
    ({'method': 'kd'}, {'labels': 0.1, 'soft': 0.9}),
    ({'method': 'kd', 'alpha': 0.25}, {'labels': 0.25, 'soft': 0.75}),
    (
      {'method': 'rkd'},
      {'labels': 1.0, 'distance': 25.0, 'angle': 50.0},
    ),
    (
      {'method': 'rkd', 'distance_weight': 2.0, 'angle_weight': 3.0},
      {'labels': 1.0, 'distance': 2.0, 'angle': 3.0},
    ),
    (
      {'method': 'kd,rkd'},
      {'labels': 0.1, 'soft': 0.9, 'distance': 25.0, 'angle': 50.0},
    ),
    (
      {'method': 'kd,rkd', 'weights': 'angle=3, labels=0.5'},
      {'labels': 0.5, 'soft': 0.9, 'distance': 25.0, 'angle': 3.0},
    ),
    ({'method': 'hint'}, {'labels': 1.0, 'hint': 100.0}),
    ({'method': 'hint', 'hint_weight': 0.0}, {'labels': 1.0, 'hint': 0.0}),
    (
      {'method': 'hint,kd', 'hint_weight': 7.0},
      {'labels': 0.1, 'soft': 0.9, 'hint': 7.0},
    ),
  ],
)
def test_weights_of_one_stage(settings, weights):
  (stage,) = _stages(**settings)
  assert (stage.name, stage.epochs) == ('distilled', 8)
  assert not stage.freeze_unreached
  value, terms, _ = _terms(stage)
  assert set(terms) == set(weights)
  # All differ from zero and from one another, so no weight can hide.
  assert len({round(abs(term), 4) for term in terms.values()} - {0.0}) == len(
    weights
  )
  total = sum(weights[name] * terms[name] for name in weights)
  np.testing.assert_allclose(value, total, rtol=1e-5)


@pytest.mark.parametrize(('weight', 'expected'), [(None, 1.0), (4.0, 4.0)])
def test_fitnets_has_two_stages(weight, expected):
  hint, distilled = _stages(method='fitnets', hint_weight=weight)
  assert (hint.name, hint.epochs, hint.freeze_unreached) == ('hint', 3, True)
  assert (distilled.name, distilled.epochs) == ('distilled', 5)
  assert not distilled.freeze_unreached
  value, terms, _ = _terms(hint)
  assert set(terms) == {'hint'}
  np.testing.assert_allclose(value, expected * terms['hint'], rtol=1e-5)
  value, terms, _ = _terms(distilled)
  assert set(terms) == {'labels', 'soft'}
  np.testing.assert_allclose(
    value, 0.1 * terms['labels'] + 0.9 * terms['soft'], rtol=1e-5
  )


def test_fitnets_with_rkd_relates_in_its_second_stage_only():
  hint, distilled = _stages(method='fitnets,rkd')
  assert set(_terms(hint)[1]) == {'hint'}
  assert set(_terms(distilled)[1]) == {'labels', 'soft', 'distance', 'angle'}


def test_the_hint_is_the_teachers_middle_stage():
  hint, _ = _stages(method='fitnets')
  _, _, variables = _terms(hint)
  kernels = [x.shape for x in jax.tree.leaves(variables.params) if x.ndim == 2]
  assert kernels == [(6, 7)]  # from the student's stage1 to stage2 of three


def test_the_taps_can_be_chosen():
  hint, _ = _stages(
    method='fitnets', hint_student='logits', hint_teacher='stage3'
  )
  _, _, variables = _terms(hint)
  kernels = [x.shape for x in jax.tree.leaves(variables.params) if x.ndim == 2]
  assert kernels == [(3, 5)]


def test_the_temperature_reaches_the_soft_targets():
  student, teacher = _outputs(_STUDENT, 0), _outputs(_TEACHER, 1)

  def softened(outputs, t):
    logits = np.float64(outputs['logits']) / t
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

  for temperature in (1.0, 4.0):
    (stage,) = _stages(method='kd', temperature=temperature)
    log_p = softened(teacher, temperature)
    log_q = softened(student, temperature)
    divergence = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()
    np.testing.assert_allclose(
      _terms(stage)[1]['soft'], temperature**2 * divergence, rtol=1e-4
    )


@pytest.mark.parametrize(
  ('step', 'weight'), [(0, 0.0), (20, 1.0), (40, 2.0), (400, 2.0)]
)
def test_a_weight_that_grows_grows_to_what_is_asked_for(step, weight):
  # Twenty epochs of two steps.
  (stage,) = _stages(method='dkd', weights='dkd=2')
  student, teacher = _outputs(_STUDENT, 0), _outputs(_TEACHER, 1)
  variables = stage.loss.init(jax.random.key(0), student, teacher)
  batch = {'label': jnp.arange(4) % 3, 'weight': jnp.ones(4)}
  value, _, terms = stage.loss.apply(
    variables, student, teacher, batch, jnp.int32(step)
  )
  expected = float(terms['labels']) + weight * float(terms['dkd'])
  assert float(value) == pytest.approx(expected, rel=1e-5)
