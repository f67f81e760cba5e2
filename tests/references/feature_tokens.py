"""Losses on token features and self-attention, as loops over examples."""

import math

import numpy as np


def softmax(values):
  top = max(values)
  exponentials = [math.exp(v - top) for v in values]
  return [e / sum(exponentials) for e in exponentials]


def divergence(p_scores, q_scores):
  """KL of two softmax distributions; a score of -inf is probability 0."""
  p, q = softmax(p_scores), softmax(q_scores)
  return sum(
    x * (math.log(x) - math.log(y)) for x, y in zip(p, q, strict=True) if x > 0
  )


def attention_distribution(s, t, mask):
  losses = []
  for e in range(s.shape[0]):
    tokens = [i for i in range(s.shape[2]) if mask[e, i]]
    terms = []
    for head in range(s.shape[1]):
      for i in tokens:
        row_s = [s[e, head, i, j] for j in tokens]
        row_t = [t[e, head, i, j] for j in tokens]
        terms.append(divergence(row_t, row_s))
    losses.append(sum(terms) / len(terms) if terms else 0.0)
  return np.array(losses)


def scores(x, y, heads):
  batch, tokens, dim = x.shape
  size = dim // heads
  out = np.zeros((batch, heads, tokens, tokens))
  for e in range(batch):
    for head in range(heads):
      for i in range(tokens):
        for j in range(tokens):
          for k in range(head * size, (head + 1) * size):
            out[e, head, i, j] += x[e, i, k] * y[e, j, k] / math.sqrt(size)
  return out


def relation(s, t, heads, mask):
  return attention_distribution(scores(s, s, heads), scores(t, t, heads), mask)


def minilm(s, t, heads, mask):
  attention = attention_distribution(
    scores(s[0], s[1], heads), scores(t[0], t[1], heads), mask
  )
  return attention + relation(s[2], t[2], heads, mask)


def attention_matrix(s, t, mask):
  losses = []
  for e in range(s.shape[0]):
    tokens = [i for i in range(s.shape[2]) if mask[e, i]]
    terms = [
      (s[e, head, i, j] - t[e, head, i, j]) ** 2
      for head in range(s.shape[1])
      for i in tokens
      for j in tokens
    ]
    losses.append(sum(terms) / len(terms) if terms else 0.0)
  return np.array(losses)


def generation(s, t, hidden, ratio):
  losses = []
  for e in range(s.shape[0]):
    total = 0.0
    for i in range(s.shape[1]):
      if hidden[e, i]:
        total += sum(
          (x - y) ** 2 for x, y in zip(s[e, i], t[e, i], strict=True)
        )
    losses.append(total / ratio)
  return np.array(losses)
