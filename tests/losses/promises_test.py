"""What every loss promises, over all of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import losses as cases

from kdjax import losses

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

ALL = list(cases.CASES)
_NUMBERS = [(name, x) for name, c in cases.CASES.items() for x in c.numbers]
_PER_EXAMPLE = [
  (name, x) for name, c in cases.CASES.items() for x in c.per_example
]
_LABELLED = [name for name, c in cases.CASES.items() if c.labels is not None]
_POSITIONS = [name for name, c in cases.CASES.items() if c.positions]


def _call(name, *arguments, **keywords):
  """What the loss returns; of CRD without its new memory."""
  keywords = dict(cases.CASES[name].keywords) | keywords
  result = getattr(losses, name)(*arguments, **keywords)
  return result[0] if isinstance(result, tuple) else result


def _with(arguments, place, value):
  return (*arguments[:place], value, *arguments[place + 1 :])


def _student(name, arguments):
  return [arguments[i] for i in cases.CASES[name].student]


def _of_student(name, arguments, **keywords):
  """The scalar loss as a function of what the student makes."""

  def value(student):
    given = list(arguments)
    for place, x in zip(cases.CASES[name].student, student, strict=True):
      given[place] = x
    return cases.value(name, *given, **keywords)

  return value


def _double(tree):
  return jax.tree.map(
    lambda x: np.float64(x) if x.dtype == np.float32 else x, tree
  )


def _close(actual, expected, tolerance=1e-5):
  for a, b in zip(
    jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True
  ):
    size = np.abs(b).max() if np.size(b) else 0
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * size)


@pytest.mark.parametrize('bad', [np.nan, np.inf])
@pytest.mark.parametrize('name', ALL)
def test_a_diverged_student_shows(name, bad):
  arguments = cases.draw(name)
  call = jax.jit(lambda *x: _call(name, *x))
  for place in cases.CASES[name].student:
    leaves, tree = jax.tree.flatten(arguments[place])
    for i, leaf in enumerate(leaves):
      broken = leaf.copy()
      broken.reshape(-1)[-1] = bad
      changed = jax.tree.unflatten(
        tree, [*leaves[:i], broken, *leaves[i + 1 :]]
      )
      result = call(*_with(arguments, place, changed))
      assert not np.isfinite(np.ravel(result)[-1])


@pytest.mark.parametrize('name', ALL)
def test_an_empty_batch_is_zero_or_nothing(name):
  arguments = cases.draw(name, batch=0)
  result, slopes = jax.jit(
    lambda *x: (
      _call(name, *x),
      jax.grad(_of_student(name, x))(_student(name, x))
      if cases.CASES[name].scalar
      else (),
    )
  )(*arguments)
  assert result.size == 0 or (result == 0).all()
  assert result.ndim == 0 if cases.CASES[name].scalar else result.shape[0] == 0
  assert all((x == 0).all() for x in jax.tree.leaves(slopes))


@pytest.mark.parametrize('name', ALL)
def test_derivatives_nest(name):
  arguments = cases.draw(name)
  student = _student(name, arguments)
  value = _of_student(name, arguments)
  expected = jax.jit(jax.grad(value))(student)

  def scanned(student):
    def step(total, _):
      return total + jax.checkpoint(value)(student) / 2, None

    return jax.lax.scan(step, jnp.zeros(()), None, length=2)[0]

  forms = {
    'grad of jit': jax.jit(value),
    'checkpoint': jax.checkpoint(value),
    'scan': scanned,
    'cond': lambda x: jax.lax.cond(len(x) > 0, value, lambda _: 0.0, x),
    'map': lambda x: jax.lax.map(lambda _: value(x), jnp.arange(2)).mean(),
  }
  total, slopes = jax.jit(
    jax.value_and_grad(lambda x: sum(form(x) for form in forms.values()))
  )(student)
  _close(total, len(forms) * jax.jit(value)(student))
  _close(slopes, jax.tree.map(lambda x: len(forms) * x, expected))


# By definition no gradient flows through their weights, or through a target.
_STOPPED = {
  'weighted_soft_label_loss',
  'adaptive_kl_loss',
  'interpolated_target_loss',
  'linear_adaptive_kl_loss',
  'linear_interpolated_target_loss',
}


@pytest.mark.parametrize('name', [x for x in ALL if x not in _STOPPED])
def test_first_and_second_derivative_are_finite_differences(name):
  step = 1e-6
  with jax.enable_x64(True):
    arguments = _double(cases.draw(name, batch=6))
    student = _student(name, arguments)
    rng = np.random.default_rng(3)
    direction = jax.tree.map(lambda x: rng.normal(size=x.shape), student)
    value = _of_student(name, arguments)

    def along(x):
      slopes = jax.grad(value)(x)
      return sum(
        jnp.vdot(a, b)
        for a, b in zip(
          jax.tree.leaves(slopes), jax.tree.leaves(direction), strict=True
        )
      )

    value_of, along_of = jax.jit(value), jax.jit(along)
    first, second = jax.jit(jax.value_and_grad(along))(student)

    def moved(by):
      return jax.tree.map(lambda x, d: x + by * d, student, direction)

    numeric = (value_of(moved(step)) - value_of(moved(-step))) / (2 * step)
    np.testing.assert_allclose(first, numeric, rtol=1e-6, atol=1e-9)
    twice = sum(
      np.vdot(a, b)
      for a, b in zip(
        jax.tree.leaves(second), jax.tree.leaves(direction), strict=True
      )
    )
    numeric = (along_of(moved(step)) - along_of(moved(-step))) / (2 * step)
    np.testing.assert_allclose(twice, numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(('name', 'number'), _NUMBERS)
def test_a_hyperparameter_may_be_any_kind_of_number(name, number):
  arguments, value = cases.draw(name), cases.CASES[name].numbers[number]
  expected = jax.jit(lambda *x: _call(name, *x, **{number: value}))(*arguments)
  result = _call(name, *arguments, **{number: np.float32(value)})
  _close(result, expected)

  def mean(x):
    return _call(name, *arguments, **{number: x}).mean()

  result, slope = jax.jit(jax.value_and_grad(mean))(jnp.float32(value))
  _close(result, expected.mean())
  with jax.enable_x64(True):
    arguments = _double(arguments)
    step = 1e-6
    numeric = (mean(value + step) - mean(value - step)) / (2 * step)
  np.testing.assert_allclose(slope, numeric, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(('name', 'number'), _PER_EXAMPLE)
@pytest.mark.parametrize('column', [False, True])
def test_a_hyperparameter_may_be_one_of_each_example(name, number, column):
  case, arguments = cases.CASES[name], cases.draw(name)
  value = case.numbers[number]
  values = np.linspace(0.9 * value, value, cases.BATCH, dtype=np.float32)
  given = jnp.asarray(values[:, None] if column else values)
  result = jax.jit(lambda x: _call(name, *arguments, **{number: x}))(given)
  one = jax.jit(lambda x, *given: _call(name, *given, **{number: x}))
  places = range(len(arguments))

  def of(i):
    """Example `i` alone."""
    rows = [
      jax.tree.map(lambda x: x[i : i + 1], arguments[place])
      if place in case.batched
      else arguments[place]
      for place in places
    ]
    return np.ravel(one(values[i], *rows))[0]

  loop = [of(i) for i in range(cases.BATCH)]
  _close(result, np.mean(loop) if case.scalar else np.array(loop))


@pytest.mark.parametrize(('name', 'number'), _NUMBERS)
def test_other_hyperparameters_are_refused_by_name(name, number):
  arguments = cases.draw(name)
  for bad in (-1.0, np.nan, 'four', True, np.ones(3, np.float32), [1.0]):
    with pytest.raises(losses.RefusedError) as error:
      _call(name, *arguments, **{number: bad})
    assert str(error.value).startswith(f'{name}: {number} must be ')
  # The momentum of a memory is not of the loss of this step.
  if number != 'momentum':
    result = _call(name, *arguments, **{number: jnp.float32(-1.0)})
    assert np.isnan(result).all()


@pytest.mark.parametrize('name', ALL)
def test_shapes_that_do_not_fit_are_refused_by_name(name):
  arguments = cases.draw(name)
  first = jax.tree.leaves(arguments[0])[0]
  longer = jax.tree.map(lambda x: np.concatenate([x, x]), arguments[0])
  with pytest.raises(losses.RefusedError) as error:
    _call(name, longer, *arguments[1:])
  message = str(error.value)
  assert message.startswith(f'{name}: ')
  assert '\n' not in message
  assert str(2 * len(first)) in message
  integers = jax.tree.map(lambda x: x.astype(np.int32), arguments[0])
  with pytest.raises(losses.RefusedError) as error:
    _call(name, integers, *arguments[1:])
  assert str(error.value).startswith(f'{name}: ')


_MASKS = {'-inf': -np.inf, '-1e9': -1e9, 'lowest': np.finfo(np.float32).min}
_CLASSES = [
  name
  for name, case in cases.CASES.items()
  if case.classes and 'attention' not in name
]
_WHO = {
  'both': lambda mask: (mask, mask),
  'student': lambda mask: (mask, 0.3),
  'teacher': lambda mask: (0.3, mask),
  'two kinds': lambda mask: (-np.inf, mask),
}


def _beside(x, value):
  """One class more, of which all logits are this."""
  column = np.full((*x.shape[:-1], 1), value, np.float32)
  return np.concatenate([x, column], axis=-1)


@pytest.mark.parametrize('who', _WHO)
@pytest.mark.parametrize('mask', _MASKS)
@pytest.mark.parametrize('name', _CLASSES)
def test_a_masked_class_is_as_if_it_were_not_there(name, mask, who):
  case, arguments = cases.CASES[name], cases.draw(name)
  logits = _WHO[who](_MASKS[mask])
  if len(case.classes) == 1 and logits[0] == 0.3:
    logits = logits[::-1]
  masked = list(arguments)
  for place, value in zip(case.classes, logits, strict=False):
    masked[place] = _beside(arguments[place], value)
  numbers = {k: jnp.float32(v) for k, v in case.numbers.items()}

  def slopes(given):
    def mean(numbers, *logits):
      changed = list(given)
      for place, x in zip(case.classes, logits, strict=True):
        changed[place] = x
      return _call(name, *changed, **numbers).mean()

    places = range(len(case.classes) + 1)
    return jax.jit(jax.value_and_grad(mean, argnums=tuple(places)))(
      numbers, *(given[place] for place in case.classes)
    )

  value, (by_numbers, *by_logits) = slopes(masked)
  right, (right_numbers, *right_logits) = slopes(arguments)
  _close(value, right)
  _close(by_numbers, right_numbers, 1e-4)
  for found, expected in zip(by_logits, right_logits, strict=True):
    np.testing.assert_array_equal(found[..., -1], 0)
    _close(found[..., :-1], expected, 1e-4)


@pytest.mark.parametrize('label', [-100, -1, cases.CLASSES, 255])
@pytest.mark.parametrize('name', _LABELLED)
def test_a_label_outside_the_classes_is_nan_or_ignored(name, label):
  arguments, place = cases.draw(name), cases.CASES[name].labels
  labels = arguments[place].copy()
  labels[3] = label
  changed = _with(arguments, place, labels)
  call = jax.jit(functools.partial(_call, name), static_argnames='ignore')
  right = np.array(call(*arguments))
  result = np.array(call(*changed))
  assert np.isnan(result[3])
  np.testing.assert_array_equal(np.delete(result, 3), np.delete(right, 3))
  ignored = call(*changed, ignore=label)
  assert ignored[3] == 0
  np.testing.assert_array_equal(np.delete(ignored, 3), np.delete(right, 3))
  # What is ignored may hold anything.
  broken = changed[0].copy()
  broken[3] = np.nan
  slope = jax.grad(lambda x: _call(name, x, *changed[1:], ignore=label).mean())(
    broken
  )
  assert np.isfinite(slope).all()
  np.testing.assert_array_equal(slope[3], 0)


@pytest.mark.parametrize('padding', [np.nan, -np.inf])
@pytest.mark.parametrize('name', _POSITIONS)
def test_masked_tokens_cost_nothing(name, padding):
  case = cases.CASES[name]
  whole = cases.draw(name, batch=6)
  mask = np.array([[1, 1, 0], [1, 0, 0]], bool)
  flat = np.array(_call(name, *whole))
  tokens = [
    x.reshape(2, 3, *x.shape[1:]) if i in case.batched else x
    for i, x in enumerate(whole)
  ]
  for i in case.batched:
    if tokens[i].dtype == np.float32:
      tokens[i] = np.where(mask[..., None], tokens[i], np.float32(padding))

  def call(x):
    return _call(name, x, *tokens[1:], mask=mask)

  result = np.array(jax.jit(call)(tokens[0]))
  np.testing.assert_array_equal(result[~mask], 0)
  _close(result[mask], flat.reshape(2, 3)[mask])
  slope = jax.jit(jax.grad(lambda x: call(x).sum()))(tokens[0])
  assert np.isfinite(slope).all()
  np.testing.assert_array_equal(slope[~mask], 0)
  assert np.abs(slope[mask]).max() > 0


# Cross-entropies, of which the divergence is only a part, cannot be negative
# and do not cancel.
_DIVERGENCES = [
  name
  for name, case in cases.CASES.items()
  if 'temperature' in case.numbers
  and case.classes == (0, 1)
  and name not in ('normalised_loss', 'weighted_soft_label_loss', 'dist_loss')
] + ['channel_wise_loss', 'teacher_free_loss']


@pytest.mark.parametrize('near', [None, 1e-2, 1e-4])
@pytest.mark.parametrize('temperature', [0.5, 1.0, 100.0, 1e4])
@pytest.mark.parametrize('name', _DIVERGENCES)
def test_float32_is_right_at_any_temperature_and_near_agreement(
  name, temperature, near
):
  arguments = list(cases.draw(name))
  if near and 1 in cases.CASES[name].batched and name != 'teacher_free_loss':
    arguments[0] = (arguments[1] + near * arguments[0]).astype(np.float32)
  call = jax.jit(lambda *x: _call(name, *x, temperature=temperature))
  found = np.array(call(*arguments))
  with jax.enable_x64(True):
    right = np.array(call(*_double(arguments)))
  assert (found >= 0).all()
  np.testing.assert_allclose(found, right, rtol=1e-5)
