"""Losses on logits as plain loops over one example, class and position."""

import math

import numpy as np


def log_softmax(row):
  highest = max(float(x) for x in row)
  total = 0.0
  for x in row:
    total += math.exp(float(x) - highest)
  return [float(x) - highest - math.log(total) for x in row]


def softmax(row):
  return [math.exp(x) for x in log_softmax(row)]


def kl(p_row, q_row, temperature=1.0):
  """KL between the softened softmaxes of two rows of logits."""
  log_p = log_softmax([x / temperature for x in p_row])
  log_q = log_softmax([x / temperature for x in q_row])
  total = 0.0
  for a, b in zip(log_p, log_q, strict=True):
    total += math.exp(a) * (a - b)
  return total


def soft_cross_entropy(p_row, q_row):
  """Cross-entropy of softmax(q_row) under softmax(p_row)."""
  total = 0.0
  for p, log_q in zip(softmax(p_row), log_softmax(q_row), strict=True):
    total -= p * log_q
  return total


def _without(row, label):
  return [float(x) for k, x in enumerate(row) if k != label]


def decoupled_parts(student, teacher, labels, temperature):
  target, non_target = [], []
  for s, t, y in zip(student, teacher, labels, strict=True):
    p, q = softmax(t / temperature)[y], softmax(s / temperature)[y]
    binary = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    target.append(temperature**2 * binary)
    rest = kl(_without(t, y), _without(s, y), temperature)
    non_target.append(temperature**2 * rest)
  return np.array(target), np.array(non_target)


def weighted_soft_label(student, teacher, labels, temperature):
  losses = []
  for s, t, y in zip(student, teacher, labels, strict=True):
    student_hard = -log_softmax(s)[y]
    teacher_hard = -log_softmax(t)[y]
    weight = 1 - math.exp(-student_hard / (teacher_hard + 1e-7))
    soft = soft_cross_entropy(t / temperature, s / temperature)
    losses.append(weight * temperature**2 * soft)
  return np.array(losses)


def normalised(student, teacher, labels, gamma, temperature):
  losses = []
  for s, t, y in zip(student, teacher, labels, strict=True):
    loss = -softmax(t)[y] * log_softmax(s)[y]
    others_t = [x / temperature for x in _without(t, y)]
    others_s = [x / temperature for x in _without(s, y)]
    loss += gamma * temperature**2 * soft_cross_entropy(others_t, others_s)
    losses.append(loss)
  return np.array(losses)


def generalised_jensen_shannon(student, teacher, beta, temperature):
  losses = []
  for s, t in zip(student, teacher, strict=True):
    p, q = softmax(t / temperature), softmax(s / temperature)
    loss = 0.0
    for a, b in zip(p, q, strict=True):
      m = beta * a + (1 - beta) * b
      loss += beta * a * math.log(a / m) + (1 - beta) * b * math.log(b / m)
    losses.append(loss)
  return np.array(losses)


def standardise(logits):
  rows = []
  for row in logits:
    classes = len(row)
    mean = sum(float(x) for x in row) / classes
    variance = sum((float(x) - mean) ** 2 for x in row) / (classes - 1)
    rows.append([(float(x) - mean) / (variance**0.5 + 1e-7) for x in row])
  return np.array(rows)


def _pearson(a, b):
  mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
  products = squares_a = squares_b = 0.0
  for x, y in zip(a, b, strict=True):
    products += (x - mean_a) * (y - mean_b)
    squares_a += (x - mean_a) ** 2
    squares_b += (y - mean_b) ** 2
  return products / (squares_a**0.5 * squares_b**0.5 + 1e-8)


def dist(student, teacher, inter_weight, intra_weight, temperature):
  """Without the code's factor of temperature squared."""
  s = [softmax(row / temperature) for row in student]
  t = [softmax(row / temperature) for row in teacher]
  batch, classes = len(s), len(s[0])
  inter = sum(_pearson(s[i], t[i]) for i in range(batch)) / batch
  intra = 0.0
  for k in range(classes):
    intra += _pearson([r[k] for r in s], [r[k] for r in t]) / classes
  return inter_weight * (1 - inter) + intra_weight * (1 - intra)


def _cosine(a, b):
  product = sum(x * y for x, y in zip(a, b, strict=True))
  norm_a = sum(x * x for x in a) ** 0.5
  norm_b = sum(x * x for x in b) ** 0.5
  return product / (norm_a * norm_b)


def streamlined_direction(student, teacher, tikhonov, divide_by_classes):
  batch = len(student)
  scale_s = len(student[0]) if divide_by_classes else 1
  scale_t = len(teacher[0]) if divide_by_classes else 1
  difference = np.zeros((batch, batch))
  for i in range(batch):
    for j in range(batch):
      difference[i, j] = _cosine(student[i], student[j]) / scale_s
      difference[i, j] -= _cosine(teacher[i], teacher[j]) / scale_t
  covariance = np.zeros((batch, batch))
  for i in range(batch):
    for j in range(batch):
      mean_i, mean_j = difference[:, i].mean(), difference[:, j].mean()
      for k in range(batch):
        covariance[i, j] += (
          (difference[k, i] - mean_i)
          * (difference[k, j] - mean_j)
          / (batch - 1)
        )
    covariance[i, i] += tikhonov
  inverse = np.linalg.inv(covariance)
  total = 0.0
  for row in difference:
    total += (row @ inverse @ row) ** 0.5
  return total / batch


def label_smoothing(student, labels, smoothing, over_other_classes):
  losses = []
  for s, y in zip(student, labels, strict=True):
    classes, loss = len(s), 0.0
    for k, log_q in enumerate(log_softmax(s)):
      if over_other_classes:
        weight = 1 - smoothing if k == y else smoothing / (classes - 1)
      else:
        weight = (1 - smoothing) * (k == y) + smoothing / classes
      loss -= weight * log_q
    losses.append(loss)
  return np.array(losses)


def teacher_free(
  student,
  labels,
  temperature,
  confidence,
  student_temperature=1.0,
  soften_probabilities=True,
):
  losses = []
  for s, y in zip(student, labels, strict=True):
    classes = len(s)
    scores = []
    for k in range(classes):
      u = confidence if k == y else (1 - confidence) / (classes - 1)
      scores.append((u if soften_probabilities else math.log(u)) / temperature)
    losses.append(kl(scores, [x / student_temperature for x in s]))
  return np.array(losses)


def dense_soft_target(student, teacher, mask, temperature):
  losses = []
  for s, t, keep in zip(student, teacher, mask, strict=True):
    total, count = 0.0, 0
    for position in np.ndindex(keep.shape):
      if keep[position]:
        total += temperature**2 * kl(t[position], s[position], temperature)
        count += 1
    losses.append(total / count if count else 0.0)
  return np.array(losses)
