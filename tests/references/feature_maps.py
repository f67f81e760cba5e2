"""Losses on feature maps `[batch, height, width, channels]`, as loops."""

import math

import numpy as np

from references.feature_tokens import softmax


def average_pool(x, height, width):
  batch, rows, columns, channels = x.shape
  out = np.zeros((batch, height, width, channels))
  for y in range(height):
    for z in range(width):
      top, bottom = (
        math.floor(y * rows / height),
        math.ceil((y + 1) * rows / height),
      )
      left, right = (
        math.floor(z * columns / width),
        math.ceil((z + 1) * columns / width),
      )
      out[:, y, z] = x[:, top:bottom, left:right].mean(axis=(1, 2))
  return out


def common_size(s, t):
  height = min(s.shape[1], t.shape[1])
  width = min(s.shape[2], t.shape[2])
  return average_pool(s, height, width), average_pool(t, height, width)


def unit(vector):
  length = math.sqrt(sum(v * v for v in vector))
  return [v / length if length > 1e-12 else 0.0 for v in vector]


def attention_map(f, p):
  """One example `[height, width, channels]` to a list over positions."""
  energies = []
  for row in f:
    for position in row:
      energies.append(sum(abs(c) ** p for c in position))
  return unit(energies)


def attention_transfer(s, t, p=2.0, unsquared_norm=False):
  s, t = common_size(s, t)
  losses = []
  for a, b in zip(s, t, strict=True):
    squares = [
      (x - y) ** 2
      for x, y in zip(attention_map(a, p), attention_map(b, p), strict=True)
    ]
    if unsquared_norm:
      losses.append(math.sqrt(sum(squares)))
    else:
      losses.append(sum(squares) / len(squares))
  return np.array(losses)


def factor_transfer(s, t, p1=2.0, p2=1.0, whole_factors=False):
  s, t = common_size(s, t)
  losses = []
  for a, b in zip(s, t, strict=True):
    if whole_factors:
      q, r = unit(a.ravel()), unit(b.ravel())
    else:
      q, r = attention_map(a, p1), attention_map(b, p1)
    terms = [abs(x - y) ** p2 for x, y in zip(q, r, strict=True)]
    losses.append(sum(terms) / len(terms))
  return np.array(losses)


def selectivities(f):
  """The channels of one example as unit vectors over positions."""
  return [unit(f[:, :, c].ravel()) for c in range(f.shape[-1])]


def dot(x, y):
  return sum(a * b for a, b in zip(x, y, strict=True))


def squared_distance(x, y):
  return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))


def mmd(s, t, kernel):
  def mean(xs, ys):
    return sum(kernel(x, y) for x in xs for y in ys) / (len(xs) * len(ys))

  return mean(t, t) + mean(s, s) - 2 * mean(s, t)


def neuron_selectivity(s, t, make_kernel):
  """`make_kernel(student_channels, teacher_channels)` gives the kernel."""
  s, t = common_size(s, t)
  losses = []
  for a, b in zip(s, t, strict=True):
    xs, ys = selectivities(a), selectivities(b)
    losses.append(mmd(xs, ys, make_kernel(xs, ys)))
  return np.array(losses)


def linear_kernel(xs, ys):
  del xs, ys
  return dot


def polynomial_kernel(degree, offset):
  return lambda xs, ys: lambda x, y: (dot(x, y) + offset) ** degree


def gaussian_kernel(variance=None):
  def make(xs, ys):
    sigma2 = variance
    if sigma2 is None:
      pairs = [squared_distance(x, y) for x in xs for y in ys]
      sigma2 = sum(pairs) / len(pairs)
    return lambda x, y: math.exp(-squared_distance(x, y) / (2 * sigma2))

  return make


def fsp(student, teacher, summed=False):
  def matrix(bottom, top):
    bottom, top = common_size(bottom, top)
    n, height, width, m = bottom.shape
    out = np.zeros((n, m, top.shape[-1]))
    for e in range(n):
      for i in range(m):
        for j in range(top.shape[-1]):
          for y in range(height):
            for z in range(width):
              out[e, i, j] += bottom[e, y, z, i] * top[e, y, z, j]
    return out / (height * width)

  squares = (matrix(*student) - matrix(*teacher)) ** 2
  total = squares.sum(axis=(1, 2))
  return total if summed else total / (squares.shape[1] * squares.shape[2])


def activation_boundary(s, t, margin=1.0):
  losses = []
  for a, b in zip(s, t, strict=True):
    total = 0.0
    for x, y in zip(a.ravel(), b.ravel(), strict=True):
      if y > 0 and x < margin:
        total += (margin - x) ** 2
      if y <= 0 and x > -margin:
        total += (margin + x) ** 2
    losses.append(total)
  return np.array(losses)


def overhaul(s, t, margin):
  s, t = common_size(s, t)
  losses = []
  for a, b in zip(s, t, strict=True):
    total = 0.0
    for index in np.ndindex(a.shape):
      x, y, m = a[index], b[index], margin[index[-1]]
      if y > 0:
        total += (x - y) ** 2
      elif y > m:
        total += (x - y) ** 2 if x > y else 0.0
      else:
        total += (x - m) ** 2 if x > m else 0.0
    losses.append(total)
  return np.array(losses)


def hierarchical_context(s, t, levels=(4, 2, 1)):
  losses = []
  for e in range(s.shape[0]):
    a, b = s[e : e + 1], t[e : e + 1]
    loss, weight, total = ((a - b) ** 2).mean(), 1.0, 1.0
    for level in levels:
      if level >= s.shape[1]:
        continue
      weight /= 2
      pooled = average_pool(a, level, level) - average_pool(b, level, level)
      loss += weight * (pooled**2).mean()
      total += weight
    losses.append(loss / total)
  return np.array(losses)


def channel_wise(s, t, temperature):
  losses = []
  for a, b in zip(s, t, strict=True):
    total = 0.0
    for c in range(a.shape[-1]):
      q = softmax(list(a[:, :, c].ravel() / temperature))
      p = softmax(list(b[:, :, c].ravel() / temperature))
      total += sum(
        x * (math.log(x) - math.log(y)) for x, y in zip(p, q, strict=True)
      )
    losses.append(temperature**2 * total / a.shape[-1])
  return np.array(losses)


def pearson_feature(s, t):
  def standardise(x):
    return (x - x.mean()) / (x.std(ddof=1) + 1e-6)

  total = 0.0
  for c in range(s.shape[-1]):
    total += ((standardise(s[..., c]) - standardise(t[..., c])) ** 2).sum()
  return total / s.size / 2


def inter_channel(s, t):
  def correlations(f):
    channels = [f[:, :, c].ravel() for c in range(f.shape[-1])]
    return [unit([dot(x, y) for y in channels]) for x in channels]

  losses = []
  for a, b in zip(s, t, strict=True):
    difference = np.array(correlations(a)) - np.array(correlations(b))
    losses.append((difference**2).sum() / a.shape[-1])
  return np.array(losses)


def variational_information(mean, t, log_scale, eps):
  losses = []
  for m, y in zip(mean, t, strict=True):
    terms = []
    for index in np.ndindex(m.shape):
      v = math.log(1 + math.exp(log_scale[index[-1]])) + eps
      terms.append(0.5 * ((m[index] - y[index]) ** 2 / v + math.log(v)))
    losses.append(sum(terms) / len(terms))
  return np.array(losses)


def sum_of_squares(s, t):
  return np.array(
    [
      sum((x - y) ** 2 for x, y in zip(a.ravel(), b.ravel(), strict=True))
      for a, b in zip(s, t, strict=True)
    ]
  )
