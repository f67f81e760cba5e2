"""Terms that own nothing: what they read, own and report."""

import jax
import jax.numpy as jnp
import pytest

from kdjax import transforms


def test_stateless_owns_nothing_and_checks_its_names():
  term = transforms.stateless(
    lambda student, teacher, batch: jnp.sum(student['a'] * teacher['b']),
    student=('a',),
    teacher=('b',),
  )
  a, b = {'a': jnp.ones(3), 'z': jnp.ones(1)}, {'b': jnp.full(3, 2.0)}
  variables = term.init(jax.random.key(0), a, b)
  assert variables == transforms.LossVariables({}, {})
  value, state, metrics = term.apply(variables, a, b, {}, jnp.int32(0))
  assert value == 6
  assert state == metrics == {}
  with pytest.raises(
    transforms.UnknownTapError,
    match=r"^student has no output 'a'; it has b, c\.$",
  ):
    term.init(jax.random.key(0), {'c': a['a'], 'b': a['a']}, b)
  with pytest.raises(ValueError, match=r"^teacher has no output 'b'; it has a"):
    term.init(jax.random.key(0), a, a)
