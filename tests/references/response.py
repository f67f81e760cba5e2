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


def skew_kl(p_rows, q_rows, skew, temperature):
  """KL from the first predictions to their mixture with the second."""
  losses = []
  for p_row, q_row in zip(p_rows, q_rows, strict=True):
    p, q = softmax(p_row / temperature), softmax(q_row / temperature)
    losses.append(
      sum(
        a * math.log(a / (skew * a + (1 - skew) * b))
        for a, b in zip(p, q, strict=True)
      )
    )
  return np.array(losses)


def _alpha_beta_term(p, q, a, b):
  """What a class adds, by the formula or its limit."""
  s = a + b
  if a == 0 and b == 0:
    return math.log(p / q) ** 2 / 2
  if a == 0:
    return _alpha_beta_term(q, p, b, a)
  if b == 0:
    return (a * p**a * math.log(p / q) - p**a + q**a) / a**2
  if s == 0:
    return (a * math.log(q / p) + (p / q) ** a - 1) / a**2
  return -(p**a * q**b - a / s * p**s - b / s * q**s) / (a * b)


def alpha_beta(student, teacher, alpha, beta, temperature):
  losses = []
  for s, t in zip(student, teacher, strict=True):
    p, q = softmax(t / temperature), softmax(s / temperature)
    losses.append(
      sum(
        _alpha_beta_term(x, y, alpha, beta) for x, y in zip(p, q, strict=True)
      )
    )
  return np.array(losses)


def interpolated_target(student, teacher, progress, temperature, fixed=None):
  """`fixed` is the student in the target, by default the same one."""
  losses = []
  fixed = student if fixed is None else fixed
  for s, t, f in zip(student, teacher, fixed, strict=True):
    target = [
      (1 - progress) * x + progress * y for x, y in zip(f, t, strict=True)
    ]
    losses.append(kl(target, s, temperature))
  return np.array(losses)


def adaptive_weights(s, t, head_share, temperature):
  """Weights of forward and reverse KL of one example."""
  p, q = softmax(t / temperature), softmax(s / temperature)
  mass, head, tail = 0.0, 0.0, 0.0
  for k in sorted(range(len(p)), key=lambda k: -p[k]):
    if mass < head_share:
      head += abs(p[k] - q[k])
    else:
      tail += abs(p[k] - q[k])
    mass += p[k]
  return head / (head + tail), tail / (head + tail)


def adaptive_kl(student, teacher, head_share, temperature):
  losses = []
  for s, t in zip(student, teacher, strict=True):
    forward, reverse = adaptive_weights(s, t, head_share, temperature)
    losses.append(
      forward * kl(t, s, temperature) + reverse * kl(s, t, temperature)
    )
  return np.array(losses)


def sampled_soft_target(student, indices, weights, temperature):
  losses = []
  for s, drawn, own in zip(student, indices, weights, strict=True):
    log_q = log_softmax(s / temperature)
    total = sum(w * log_q[k] for k, w in zip(drawn, own, strict=True))
    losses.append(-(temperature**2) * total)
  return np.array(losses)
