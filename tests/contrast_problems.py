"""Embeddings, memory and samples for contrastive representation."""

import jax.numpy as jnp
import numpy as np

from kdjax.losses.relation import contrastive_representation as crd


def unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def problem(seed, *, batch=4, dim=3, examples=30, negatives=5):
  """Student, teacher, banks, index and sample_index, in float64."""
  rng = np.random.default_rng(seed)
  student, teacher = unit(rng.normal(size=(2, batch, dim)))
  banks = rng.normal(size=(2, examples, dim)) / dim**0.5
  index = rng.permutation(examples)[:batch]
  others = rng.integers(0, examples, (batch, negatives))
  chosen = np.concatenate([index[:, None], others], axis=1)
  return student, teacher, banks, index, chosen


def memory_of(banks, log_z=(-np.inf, -np.inf)):
  return crd.ContrastMemory(*map(jnp.asarray, (*banks, np.asarray(log_z))))
