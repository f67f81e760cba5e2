"""The relation losses again, from the papers: NumPy, float64, loops."""

import math

import numpy as np


def _inner(x, y):
  return sum(float(a) * float(b) for a, b in zip(x, y, strict=True))


def _length(x):
  return math.sqrt(_inner(x, x))


def _unit(x):
  length = _length(x)
  return [float(a) / length if length else 0.0 for a in x]


def _squared_distance(x, y):
  return sum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True))


def _flat(x):
  return [np.asarray(row, np.float64).ravel() for row in x]


def similarity_preserving_loss(student, teacher):
  def similarities(x):
    x = _flat(x)
    return [_unit([_inner(a, b) for b in x]) for a in x]

  n, s, t = len(student), similarities(student), similarities(teacher)
  return (
    sum((s[i][j] - t[i][j]) ** 2 for i in range(n) for j in range(n)) / n**2
  )


def correlation_congruence_loss(student, teacher):
  n, total = len(student), 0.0
  for i in range(n - 1):
    for d in range(len(student[0])):
      here = abs(float(student[i][d]) - float(teacher[i][d]))
      after = abs(float(student[i + 1][d]) - float(teacher[i + 1][d]))
      total += here * after
  return total / max(n - 1, 1)


def kernel_correlation_congruence_loss(
  student, teacher, gamma=0.4, max_p=2, normalise=True, squared=True
):
  def kernel(x, y):
    if normalise:
      x, y = _unit(x), _unit(y)
    return sum(
      math.exp(-2 * gamma)
      * (2 * gamma) ** p
      / math.factorial(p)
      * _inner(x, y) ** p
      for p in range(max_p + 1)
    )

  n, total = len(student), 0.0
  for i in range(n):
    for j in range(n):
      s, t = kernel(student[i], student[j]), kernel(teacher[i], teacher[j])
      total += (s - t) ** 2
  return (total if squared else math.sqrt(total)) / n**2


def probabilistic_transfer_loss(student, teacher, eps=1e-7):
  def neighbours(x):
    x = [[float(a) / (_length(row) + eps) for a in row] for row in x]
    kernel = [[(_inner(a, b) + 1) / 2 for b in x] for a in x]
    return [[k / sum(row) for k in row] for row in kernel]

  n, q, p = len(student), neighbours(student), neighbours(teacher)
  total = 0.0
  for i in range(n):
    for j in range(n):
      total += p[i][j] * math.log((p[i][j] + eps) / (q[i][j] + eps))
  return total / n**2


def in_batch_contrastive_loss(
  student, teacher, temperature=0.07, symmetric=False
):
  def one_way(queries, keys):
    n, total = len(queries), 0.0
    for i in range(n):
      scores = [
        _inner(_unit(queries[i]), _unit(keys[j])) / temperature
        for j in range(n)
      ]
      top = max(scores)
      log_total = top + math.log(sum(math.exp(s - top) for s in scores))
      total += log_total - scores[i]
    return total / n

  loss = one_way(student, teacher)
  return (loss + one_way(teacher, student)) / 2 if symmetric else loss


def contrastive_representation_loss(
  student,
  teacher,
  memory_student,
  memory_teacher,
  z,
  index,
  sample_index,
  temperature=0.07,
  momentum=0.5,
  eps=1e-7,
):
  """Loss, both memories and both constants; `z` is None in the first step."""
  n, m, examples = len(student), len(sample_index[0]) - 1, len(memory_student)
  new_z, loss = [], 0.0
  for side, (anchors, bank) in enumerate(
    [(student, memory_teacher), (teacher, memory_student)]
  ):
    scores = [
      [math.exp(_inner(anchors[i], bank[j]) / temperature) for j in row]
      for i, row in enumerate(sample_index)
    ]
    if z is None:
      new_z.append(sum(map(sum, scores)) / (n * (m + 1)) * examples)
    else:
      new_z.append(z[side])
    for row in scores:
      x = [score / new_z[side] for score in row]
      noise = m / examples
      loss -= math.log(x[0] / (x[0] + noise + eps)) / n
      for j in range(1, m + 1):
        loss -= math.log(noise / (x[j] + noise + eps)) / n
  banks = []
  for old, embeddings in ((memory_student, student), (memory_teacher, teacher)):
    bank = np.array(old, np.float64)
    for i in range(n):
      mixed = [
        momentum * float(a) + (1 - momentum) * float(b)
        for a, b in zip(old[index[i]], embeddings[i], strict=True)
      ]
      bank[index[i]] = _unit(mixed)
    banks.append(bank)
  return loss, banks[0], banks[1], new_z


def _hsic(k, m):
  """Trace of `K H M H`, with `H = I - 1 / n`, element by element."""
  n = len(k)

  def centre(x):
    y = np.zeros((n, n))
    for i in range(n):
      for j in range(n):
        y[i, j] = (
          x[i][j]
          - sum(x[i]) / n
          - sum(x[a][j] for a in range(n)) / n
          + sum(map(sum, x)) / n**2
        )
    return y

  k, m = centre(k), centre(m)
  return sum(k[i, j] * m[i, j] for i in range(n) for j in range(n))


def _cka(k, m):
  return _hsic(k, m) / math.sqrt(_hsic(k, k) * _hsic(m, m))


def linear_cka(student, teacher):
  x, y = _flat(student), _flat(teacher)
  return _cka(
    [[_inner(a, b) for b in x] for a in x],
    [[_inner(a, b) for b in y] for a in y],
  )


def rbf_cka(student, teacher, bandwidth=1.0):
  def kernel(x):
    x = _flat(x)
    squared = [[_squared_distance(a, b) for b in x] for a in x]
    width = 2 * bandwidth**2 * np.median(squared)
    return [[math.exp(-d / width) for d in row] for row in squared]

  return _cka(kernel(student), kernel(teacher))


def instance_vertex_loss(student, teacher):
  squares = [
    (float(a) - float(b)) ** 2
    for x, y in zip(_flat(student), _flat(teacher), strict=True)
    for a, b in zip(x, y, strict=True)
  ]
  return sum(squares) / len(squares)


def instance_edge_loss(student, teacher):
  def adjacency(x):
    x = _flat(x)
    squared = [[_squared_distance(a, b) for b in x] for a in x]
    largest = max(map(max, squared))
    return [[d / largest for d in row] for row in squared]

  n, s, t = len(student), adjacency(student), adjacency(teacher)
  return sum((s[i][j] - t[i][j]) ** 2 for i in range(n) for j in range(n)) / (
    n * n
  )


def instance_transformation_loss(student, teacher):
  def pooled(x, channels):
    x = np.asarray(x, np.float64)
    x = x.reshape(-1, x.shape[-1]).mean(axis=0)
    group = len(x) // channels
    return [
      sum(x[c * group + g] for g in range(group)) / group
      for c in range(channels)
    ]

  def moved(earlier, later):
    channels = min(np.shape(earlier)[-1], np.shape(later)[-1])
    squared = [
      _squared_distance(pooled(a, channels), pooled(b, channels))
      for a, b in zip(earlier, later, strict=True)
    ]
    return [d / max(squared) for d in squared]

  s, t = moved(*student), moved(*teacher)
  return sum((a - b) ** 2 for a, b in zip(s, t, strict=True)) / len(s)


def instance_relation_graph_loss(
  student_logits, teacher_logits, student_layers, teacher_layers
):
  s, t = student_layers, teacher_layers
  edges = [instance_edge_loss(a, b) for a, b in zip(s, t, strict=True)]
  moves = [
    instance_transformation_loss((s[i], s[i + 1]), (t[i], t[i + 1]))
    for i in range(len(s) - 1)
  ]
  return (
    0.1 * instance_vertex_loss(student_logits, teacher_logits)
    + 5 * sum(edges) / len(edges)
    + (5 * sum(moves) / len(moves) if moves else 0)
  )
