"""Factories of divergences with constant parts, schedules and draws."""

import jax
import numpy as np
import pytest
from references import response as reference

from kdjax import transforms
from kdjax.transforms import LossVariables

_RNG = np.random.default_rng(0)
STUDENT = 2 * _RNG.normal(size=(6, 5))
TEACHER = 2 * _RNG.normal(size=(6, 5))


def _outputs():
  return {'logits': np.float32(STUDENT)}, {'logits': np.float32(TEACHER)}


_KEPT = np.float32([1.5, 1.5, 0, 1.5, 1.5, 0])


@pytest.mark.parametrize(
  ('term', 'loops'),
  [
    (
      transforms.interpolated_targets(progress=lambda step: 0.1 * step),
      lambda s, t: reference.interpolated_target(s, t, 0.4, 1.0),
    ),
    (
      transforms.adaptive_kl(temperature=2.0),
      lambda s, t: reference.adaptive_kl(s, t, 0.5, 2.0),
    ),
  ],
)
def test_factories_with_constant_parts(term, loops):
  student, teacher = _outputs()
  assert term.init(jax.random.key(0), student, teacher) == ({}, {})
  value, _, _ = term.apply(
    LossVariables(), student, teacher, {'weight': _KEPT}, np.int32(4)
  )
  keep = _KEPT > 0
  expected = loops(STUDENT[keep], TEACHER[keep]).mean()
  assert value == pytest.approx(expected, rel=1e-5)


def test_adaptive_targets_move_as_the_authors_code_says():
  settings = {'steps': 20, 'rate': 0.05, 'momentum': 0.9}
  term = transforms.adaptive_interpolated_targets(**settings)
  student, teacher = _outputs()
  state = term.init(jax.random.key(0), student, teacher).state
  t, trend, previous = 0.4, 0.0, None
  apply = jax.jit(term.apply)
  for step in range(24):
    student = {'logits': student['logits'] * np.float32(0.97)}
    t = max(t, 0.4 + 0.6 * min(step / 20, 1))
    value, state, metrics = apply(
      LossVariables(state=state), student, teacher, {}, np.int32(step)
    )
    loss = reference.interpolated_target(
      np.float64(student['logits']), TEACHER, t, 1.0
    ).mean()
    assert value == pytest.approx(loss, rel=1e-4)
    assert metrics['progress'] == pytest.approx(t, rel=1e-5)
    if previous is not None:
      trend = 0.9 * trend + 0.1 * (previous - loss) / previous
      t = min(1.0, t + 0.05 / (1 + np.exp(-trend)) * (1 - t))
    previous = loss
    assert state['progress'] == pytest.approx(t, rel=1e-4)
  assert t == 1


def test_adaptive_targets_see_the_loss_of_the_global_batch():
  term = transforms.adaptive_interpolated_targets(steps=20)
  student, teacher = _outputs()
  batch = {'weight': _KEPT}
  variables = term.init(jax.random.key(0), student, teacher)
  one = term.apply(variables, student, teacher, batch, np.int32(1))
  split = jax.tree.map(
    lambda x: x.reshape(2, 3, *x.shape[1:]), (student, teacher, batch)
  )
  two = jax.pmap(
    lambda s, t, b: transforms.on_axis(term, 'batch').apply(
      variables, s, t, b, np.int32(1)
    ),
    axis_name='batch',
  )(*split)
  for expected, found in zip(
    jax.tree.leaves(one), jax.tree.leaves(two), strict=True
  ):
    np.testing.assert_allclose(found, [expected] * 2, rtol=1e-6)


def test_sampled_factory_draws_by_index_and_step():
  term = transforms.sampled_soft_targets(samples=3, temperature=2.0)
  student, teacher = _outputs()
  variables = term.init(jax.random.key(0), student, teacher)
  index = np.int32([4, 2, 7, 0, 1, 9])

  def value(order, step):
    batch = {'index': index[order], 'weight': _KEPT[order]}
    outputs = ({'logits': x['logits'][order]} for x in (student, teacher))
    return term.apply(variables, *outputs, batch, step)[0]

  first = value(np.arange(6), np.int32(0))
  assert value(np.array([3, 0, 5, 1, 4, 2]), np.int32(0)) == pytest.approx(
    first
  )
  assert value(np.arange(6), np.int32(1)) != first
  mean = jax.vmap(lambda step: value(np.arange(6), step))(
    np.arange(3000, dtype=np.int32)
  ).mean()
  expected = [
    4 * reference.soft_cross_entropy(t / 2, s / 2)
    for s, t, w in zip(STUDENT, TEACHER, _KEPT, strict=True)
    if w
  ]
  assert mean == pytest.approx(np.mean(expected), rel=0.02)


@pytest.mark.parametrize(
  ('chunked', 'whole'),
  [
    (transforms.linear_skew_kl, transforms.skew_kl),
    (transforms.linear_skew_reverse_kl, transforms.skew_reverse_kl),
    (transforms.linear_alpha_beta, transforms.alpha_beta),
    (transforms.linear_adaptive_kl, transforms.adaptive_kl),
    (
      lambda **more: transforms.linear_interpolated_targets(
        progress=lambda step: 0.1 * step, **more
      ),
      lambda **more: transforms.interpolated_targets(
        progress=lambda step: 0.1 * step, **more
      ),
    ),
  ],
)
def test_chunked_factories_are_the_whole_ones(chunked, whole):
  """With the identity for a head, whose hidden states are the logits."""
  logits = _outputs()
  heads = [
    {'hidden': x['logits'], 'head': np.eye(5, dtype=np.float32)} for x in logits
  ]
  found, expected = (
    term.apply(LossVariables(), *outputs, {'weight': _KEPT}, np.int32(4))[0]
    for term, outputs in (
      (chunked(temperature=2.0, chunk=2), heads),
      (whole(temperature=2.0), logits),
    )
  )
  assert expected > 0.01
  np.testing.assert_allclose(found, expected, rtol=1e-5)
