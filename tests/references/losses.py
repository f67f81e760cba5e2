"""The losses as loops, written from the formulas of the papers."""

import math

import numpy as np


def soft_targets(student, teacher, temperature=1.0):
  """`t^2 KL(teacher || student)` per row; Hinton et al. 2015, section 2."""
  values = []
  for s, t in zip(_rows(student), _rows(teacher), strict=True):
    q, p = _softened(s, temperature), _softened(t, temperature)
    terms = [a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0]
    values.append(temperature**2 * math.fsum(terms))
  return np.array(values).reshape(np.shape(student)[:-1])


def cross_entropy(logits, labels):
  """`-log softmax(logits)[label]` per row."""
  return np.array(
    [
      -math.log(_softened(row, 1.0)[label])
      for row, label in zip(_rows(logits), labels, strict=True)
    ]
  )


def half_squared_norm(student, teacher):
  """`1/2 ||teacher - student||^2` per example; FitNets, equation 3."""
  return np.array(
    [
      math.fsum((b - a) ** 2 for a, b in zip(s.ravel(), t.ravel(), strict=True))
      / 2
      for s, t in zip(_double(student), _double(teacher), strict=True)
    ]
  )


def mean_squared_error(student, teacher):
  """Mean over the elements of each example."""
  return 2 * half_squared_norm(student, teacher) / np.size(student[0])


def relational_distance(student, teacher):
  """RKD-D, equations 5 to 8; coincident rows are 1e-6 apart, as published."""
  student, teacher = _distances(student), _distances(teacher)
  n = len(student)
  total = math.fsum(
    _smooth_l1(student[i, j] - teacher[i, j])
    for i in range(n)
    for j in range(n)
  )
  return total / n**2


def relational_angle(student, teacher):
  """RKD-A, equations 9 to 12; a corner on the vertex counts as cosine 0."""
  student, teacher = _double(student), _double(teacher)
  n = len(student)
  total = math.fsum(
    _smooth_l1(_cosine(student, i, j, k) - _cosine(teacher, i, j, k))
    for i in range(n)
    for j in range(n)
    for k in range(n)
  )
  return total / n**3


def slope(function, x, step=1e-5):
  """Gradient of a scalar function by central differences."""
  x = _double(x)
  result = np.zeros_like(x)
  for index in np.ndindex(x.shape):
    shift = np.zeros_like(x)
    shift[index] = step
    result[index] = (function(x + shift) - function(x - shift)) / (2 * step)
  return result


def _double(x):
  return np.asarray(x, np.float64)


def _rows(x):
  return _double(x).reshape(-1, np.shape(x)[-1])


def _softened(logits, temperature):
  largest = max(logits)
  powers = [math.exp((x - largest) / temperature) for x in logits]
  return [x / math.fsum(powers) for x in powers]


def _smooth_l1(x):
  return x * x / 2 if abs(x) <= 1 else abs(x) - 0.5


def _length(x):
  return math.sqrt(math.fsum(v * v for v in x))


def _distances(x):
  x = _double(x)
  n = len(x)
  distances = np.zeros((n, n))
  for i in range(n):
    for j in range(n):
      if i != j:
        distances[i, j] = max(_length(x[i] - x[j]), 1e-6)
  if n < 2:
    return distances
  return distances / (distances.sum() / (n * (n - 1)))


def _cosine(x, i, j, k):
  towards_i, towards_k = x[i] - x[j], x[k] - x[j]
  product = _length(towards_i) * _length(towards_k)
  if product == 0:
    return 0.0
  return math.fsum(a * b for a, b in zip(towards_i, towards_k, strict=True)) / (
    product
  )
