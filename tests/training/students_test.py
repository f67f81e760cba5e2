"""Several students in one program are the students one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import models, tasks, training, transforms

_SHAPES = {'image': jax.ShapeDtypeStruct((6, 4, 4, 1), jnp.float32)}
_SEEDS = (3, 0, 11)


def _batch(seed):
  random = np.random.default_rng(seed)
  return {
    'image': jnp.asarray(random.normal(size=(6, 4, 4, 1)), jnp.float32),
    'label': jnp.asarray(random.integers(0, 3, 6), jnp.int32),
    'weight': jnp.asarray([1.5, 1.5, 0, 1.5, 1.5, 0], jnp.float32),
    'index': jnp.arange(6),
  }


def _loss():
  return transforms.weighted_sum(
    labels=(0.1, transforms.labels()),
    soft=(0.9, transforms.soft_targets(temperature=4.0)),
    hint=(1.0, transforms.hint(student='stage1', teacher='stage1')),
  )


@pytest.fixture(scope='module')
def setup():
  student = models.from_linen(models.MLP((8,), 3))
  teacher = models.from_linen(models.MLP((12,), 3))
  variables = jax.jit(teacher.init)(jax.random.key(5), _batch(0))
  outputs, _ = jax.eval_shape(teacher.apply, variables, _SHAPES)
  optimizer = training.make_optimizer('sgd', 0.05, weight_decay=1e-3)
  arguments = (student, _loss(), optimizer, _SHAPES, outputs)
  return student, teacher, variables, optimizer, arguments


def _row(tree, i):
  return jax.tree.map(lambda x: x[i], tree)


def _assert_close(one, other):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6),
    one,
    other,
  )


def _three_steps(step, states, variables):
  history = []
  for i in range(3):
    states, metrics = step(states, variables, _batch(i))
    history.append(metrics)
  return states, history


@pytest.fixture(scope='module')
def stacked(setup):
  return training.init_students(_SEEDS, *setup[-1])


@pytest.fixture(scope='module')
def starts(setup):
  """Each student's start, all by itself."""
  init = jax.jit(lambda seed: training.init_state(seed, *setup[-1]))
  return [init(seed) for seed in _SEEDS]


@pytest.fixture(scope='module')
def singles(setup, starts):
  student, teacher, variables, optimizer, _ = setup
  step = training.make_train_step(
    student,
    _loss(),
    optimizer,
    teacher=teacher,
    measures={'accuracy': tasks.correct},
  )
  step = jax.jit(step)
  return [_three_steps(step, state, variables) for state in starts]


@pytest.mark.parametrize('over', [training.vmapped, training.unrolled])
def test_stacked_students_equal_single_ones(setup, stacked, singles, over):
  student, teacher, variables, optimizer, _ = setup
  calls = []

  def counted(*args, **kwargs):
    calls.append(args)
    return teacher.apply(*args, **kwargs)

  step = training.make_train_step(
    student,
    _loss(),
    optimizer,
    teacher=teacher._replace(apply=counted),
    over_students=over,
    measures={'accuracy': tasks.correct},
  )
  states, history = _three_steps(jax.jit(step), stacked, variables)
  assert len(calls) == 1  # one pass for all students, one trace for all steps
  for i, (single, single_history) in enumerate(singles):
    _assert_close(_row(states, i), single)
    _assert_close(_row(history, i), single_history)
  weights = states.model.params['head']['kernel']
  assert not np.allclose(weights[0], weights[1], atol=1e-2)


def test_a_students_start_does_not_depend_on_company(setup, stacked, starts):
  arguments = setup[-1]
  alone = training.init_students([_SEEDS[2]], *arguments)
  jax.tree.map(np.testing.assert_array_equal, _row(stacked, 2), _row(alone, 0))
  for i, start in enumerate(starts):
    _assert_close(_row(stacked, i), start)
  np.testing.assert_array_equal(stacked.seed, _SEEDS)
  np.testing.assert_array_equal(stacked.step, 0)
  kernels = stacked.model.params['head']['kernel']
  assert not np.allclose(kernels[0], kernels[1], atol=1e-2)


def test_students_of_one_seed_start_alike_whatever_the_loss(setup, stacked):
  student, _, _, optimizer, _ = setup
  plain = training.init_students(
    _SEEDS[:1], student, transforms.labels(), optimizer, _SHAPES, {}
  )
  jax.tree.map(
    np.testing.assert_array_equal, _row(stacked, 0).model, _row(plain, 0).model
  )
  assert jax.tree.leaves(stacked.loss.params)
  assert not jax.tree.leaves(plain.loss)
  # The optimizer holds the momentum of the loss's parameters, too.
  assert len(jax.tree.leaves(stacked.opt_state)) > len(
    jax.tree.leaves(plain.opt_state)
  )


def test_the_losss_parameters_train(starts, singles):
  before = starts[0].loss.params['hint']
  after = singles[0][0].loss.params['hint']
  for old, new in zip(
    jax.tree.leaves(before), jax.tree.leaves(after), strict=True
  ):
    assert not np.array_equal(old, new)


@pytest.mark.parametrize('over', [training.vmapped, training.unrolled])
def test_over_students_shares_the_other_arguments(over):
  def function(tree, factor):
    return {'total': tree['x'].sum() * factor}

  stacked = {'x': jnp.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])}
  result = over(function)(stacked, jnp.asarray(10.0))
  np.testing.assert_allclose(result['total'], [30.0, 70.0, 110.0])
