"""The mean answer of several networks, against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kdjax import models
from kdjax.models import Network

_RANDOM = np.random.default_rng(0)
_BATCH = {
  'image': jnp.asarray(_RANDOM.normal(size=(6, 8, 8, 2)), jnp.float32),
  'label': jnp.zeros(6, jnp.int32),
}
_CLASSES = 5


def _perceptron(width=7):
  return models.from_linen(models.MLP((width,), _CLASSES))


def _convnet():
  return models.from_linen(models.ConvNet((3, 4), (1, 1), _CLASSES))


def _trained(model, seed):
  """A network whose members disagree."""
  variables = model.init(jax.random.key(seed), _BATCH)
  params = jax.tree.map(lambda x: 3 * x, variables.params)
  return Network(model, variables._replace(params=params))


def _logits(network):
  return np.float64(network.model.apply(network.variables, _BATCH)[0]['logits'])


def _probs(logits):
  exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
  return exponents / exponents.sum(axis=-1, keepdims=True)


def _answer(network, *, jit=False):
  apply = jax.jit(network.model.apply) if jit else network.model.apply
  outputs, state = apply(network.variables, _BATCH)
  assert set(outputs) == {'logits'}
  assert outputs['logits'].dtype == jnp.float32
  jax.tree.map(np.testing.assert_array_equal, state, network.variables.state)
  return outputs['logits']


def _members(kind):
  if kind == 'one model':
    model = _perceptron()
    return [_trained(model, seed) for seed in range(3)]
  if kind == 'one architecture, made anew':
    return [_trained(_perceptron(), seed) for seed in range(3)]
  if kind == 'convolutions':
    model = _convnet()
    return [_trained(model, seed) for seed in range(3)]
  if kind == 'state':
    model = models.create('resnet8', classes=_CLASSES)
    return [_trained(model, seed) for seed in range(2)]
  return [
    _trained(_perceptron(7), 0),
    _trained(_convnet(), 1),
    _trained(models.normalised(_perceptron(3), (1.0, 2.0), (3.0, 0.5)), 2),
  ]


_KINDS = (
  'one model',
  'one architecture, made anew',
  'convolutions',
  'state',
  'different architectures',
)


@pytest.mark.parametrize('jit', [False, True])
@pytest.mark.parametrize('kind', _KINDS)
def test_the_mean_of_probabilities(kind, jit):
  members = _members(kind)
  together = models.ensemble(members)
  logits = _answer(together, jit=jit)
  each = np.stack([_probs(_logits(member)) for member in members])
  assert np.ptp(each, axis=0).max() > 0.2  # they do disagree
  np.testing.assert_allclose(
    np.exp(np.float64(logits)), each.mean(axis=0), rtol=1e-4, atol=1e-7
  )
  # They are log probabilities: softened or not, nothing is lost.
  np.testing.assert_allclose(np.exp(np.float64(logits)).sum(axis=1), 1, 1e-5)


@pytest.mark.parametrize('jit', [False, True])
@pytest.mark.parametrize('kind', _KINDS)
def test_the_mean_of_logits(kind, jit):
  members = _members(kind)
  logits = _answer(models.ensemble(members, of_logits=True), jit=jit)
  expected = np.mean([_logits(member) for member in members], axis=0)
  np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('of_logits', [False, True])
@pytest.mark.parametrize('make', [_perceptron, _convnet])
def test_stacked_is_side_by_side(make, of_logits):
  """Networks of one model are stacked, those of equal models are not."""
  model = make()
  seeds = range(3)
  stacked = models.ensemble(
    [_trained(model, seed) for seed in seeds], of_logits=of_logits
  )
  apart = models.ensemble(
    [_trained(make(), seed) for seed in seeds], of_logits=of_logits
  )
  assert jax.tree.structure(stacked.variables) != jax.tree.structure(
    apart.variables
  )
  for leaf in jax.tree.leaves(stacked.variables):
    assert leaf.shape[0] == 3
  np.testing.assert_allclose(
    _answer(stacked), _answer(apart), rtol=1e-5, atol=1e-5
  )


def test_convolutions_stay_single():
  """A vmapped convolution would be a grouped one, which is slow."""
  members = _members('convolutions')
  together = models.ensemble(members)
  program = str(
    jax.make_jaxpr(together.model.apply)(together.variables, _BATCH)
  )
  single = members[0]
  alone = str(jax.make_jaxpr(single.model.apply)(single.variables, _BATCH))
  count = alone.count('conv_general_dilated[')
  assert count > 0
  assert program.count('conv_general_dilated[') == 3 * count
  assert program.count('feature_group_count=1\n') == 3 * count
  assert program.count('batch_group_count=1\n') == 3 * count


def test_stacked_products_are_one():
  members = _members('one model')
  together = models.ensemble(members)
  program = str(
    jax.make_jaxpr(together.model.apply)(together.variables, _BATCH)
  )
  single = members[0]
  alone = str(jax.make_jaxpr(single.model.apply)(single.variables, _BATCH))
  assert program.count('dot_general[') == alone.count('dot_general[')


@pytest.mark.parametrize('make', [_perceptron, _convnet])
def test_a_single_member_answers_as_it_does_alone(make):
  member = _trained(make(), 0)
  expected = _logits(member)
  logits = _answer(models.ensemble([member], of_logits=True))
  np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
  # The mean of probabilities knows logits up to a constant.
  logits = np.float64(_answer(models.ensemble([member])))
  np.testing.assert_allclose(
    _probs(logits), _probs(expected), rtol=1e-5, atol=1e-7
  )


def test_a_model_of_fresh_members():
  """`init` draws every member, in the form that trained ones take."""
  for one in (_perceptron(), _convnet()):
    for members in ([one, one], [one, _perceptron(4)]):
      model = models.ensemble_model(members)
      variables = model.init(jax.random.key(0), _BATCH)
      trained = models.ensemble([_trained(m, 0) for m in members])
      assert jax.tree.structure(variables) == jax.tree.structure(
        trained.variables
      )
      outputs, _ = model.apply(variables, _BATCH)
      assert outputs['logits'].shape == (6, _CLASSES)
  one = _perceptron()
  kernel = models.ensemble_model([one, one]).init(jax.random.key(0), _BATCH)
  first, second = kernel.params['head']['kernel']
  assert not np.array_equal(first, second)


def test_the_note_counts_the_members():
  small, large = (
    models.create(name, classes=_CLASSES)
    for name in ('mlp_student', 'mlp_teacher')
  )
  together = models.ensemble(
    [_trained(small, 0), _trained(large, 1), _trained(small, 2)],
    of_logits=True,
  )
  assert together.name == '3 x mlp_student+mlp_teacher'
  assert together.model.note['of_logits'] is True
  assert together.measures == {}


def test_padding_stays_where_it_is():
  together = models.ensemble(_members('one model'))
  image = _BATCH['image'].at[2].set(jnp.nan)
  outputs, _ = together.model.apply(
    together.variables, {**_BATCH, 'image': image}
  )
  expected = np.delete(_answer(together), 2, axis=0)
  np.testing.assert_allclose(
    np.delete(outputs['logits'], 2, axis=0), expected, rtol=1e-5
  )


def test_certain_members_leave_no_infinity():
  """A member that excludes a class does not exclude it for all."""

  def fixed(params, image):
    return jnp.broadcast_to(params, (image.shape[0], 3))

  certain = jnp.float32([200.0, -200.0, 0.0])
  unsure = jnp.zeros(3)
  together = models.ensemble(
    [
      Network(models.from_function(fixed, logits), models.ModelVariables(x, {}))
      for logits, x in ((certain, certain), (unsure, unsure))
    ]
  )
  logits = np.float64(_answer(together))
  np.testing.assert_allclose(np.exp(logits[0]), [2 / 3, 1 / 6, 1 / 6], 1e-5)
  both = models.ensemble(
    [
      Network(
        models.from_function(fixed, certain), models.ModelVariables(x, {})
      )
      for x in (certain, certain)
    ]
  )
  np.testing.assert_allclose(_answer(both)[0], [0, -400, -200], rtol=1e-5)


def test_it_does_not_train():
  together = models.ensemble(_members('one model'))
  with pytest.raises(ValueError, match='train must be False'):
    together.model.apply(together.variables, _BATCH, train=True)


def test_no_members():
  with pytest.raises(ValueError, match='at least one model, got none'):
    models.ensemble([])
  with pytest.raises(ValueError, match='at least one model, got none'):
    models.ensemble_model(())
