"""Hard targets against numbers by hand and NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np

from kdjax import losses


def test_by_hand():
  teacher = np.array([[1.0, 3.0, 2.0], [0.0, -1.0, -2.0]])
  student = np.log(np.array([[0.5, 0.2, 0.3], [0.9, 0.05, 0.05]]))
  with jax.enable_x64(True):
    found = losses.hard_target_loss(student, teacher)
  np.testing.assert_allclose(found, -np.log([0.2, 0.9]), rtol=1e-12)


def test_value_and_gradients_are_those_of_numpy():
  rng = np.random.default_rng(0)
  student, teacher = rng.normal(scale=3.0, size=(2, 7, 5))
  q = np.exp(student) / np.exp(student).sum(1, keepdims=True)
  best = [int(max(range(5), key=row.__getitem__)) for row in teacher]
  by_hand = [-np.log(q[i, k]) for i, k in enumerate(best)]

  def value(student, teacher):
    return jnp.sum(losses.hard_target_loss(student, teacher))

  with jax.enable_x64(True):
    found = losses.hard_target_loss(student, teacher)
    slopes = jax.grad(value, (0, 1))(student, teacher)
  np.testing.assert_allclose(found, by_hand, rtol=1e-12)
  np.testing.assert_allclose(slopes[0], q - np.eye(5)[best], atol=1e-12)
  np.testing.assert_array_equal(slopes[1], 0.0)


def test_of_equal_classes_it_is_the_first():
  student = np.array([[1.0, 2.0, 4.0]], np.float32)
  teacher = np.array([[0.0, 7.0, 7.0]], np.float32)
  expected = np.log(np.exp(student).sum()) - 2.0
  found = losses.hard_target_loss(student, teacher)
  np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_the_best_class_of_those_that_both_have():
  student = np.array([[1.0, -np.inf, 4.0]], np.float32)
  teacher = np.array([[0.0, 9.0, -1.0]], np.float32)
  expected = np.log(np.exp(1.0) + np.exp(4.0)) - 1.0
  found = losses.hard_target_loss(student, teacher)
  np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_a_broken_teacher_shows():
  student = np.zeros((3, 2), np.float32)
  teacher = np.float32([[0.0, np.nan], [-np.inf, -np.inf], [0.0, np.inf]])
  found = np.asarray(losses.hard_target_loss(student, teacher))
  assert np.isnan(found[:2]).all()
  np.testing.assert_allclose(found[2], np.log(2), rtol=1e-6)


def test_sure_students_keep_their_digits():
  student = np.array([[30.0, 0.0]], np.float32)
  found = losses.hard_target_loss(student, student)
  np.testing.assert_allclose(found, [np.exp(-30.0)], rtol=1e-5)
