"""Random inputs of the golden cases: the published keys, other shapes.

Every size comes from the seed. What a case ties (the student's channels after
a regressor, say) is tied here; what it does not is drawn apart: sides, channels
and embeddings of the teacher, and which of two maps is the larger.
"""

from collections.abc import Callable

import numpy as np

Inputs = dict[str, np.ndarray]


def draw(case: str, seed: int, attempt: int = 0) -> Inputs:
  """Inputs of a case as `student/<name>`, `teacher/<name>`, `extra/<name>`."""
  number = sorted(_DRAWS).index(case)
  return _DRAWS[case](np.random.default_rng([seed, number, attempt]))


def _between(rng: np.random.Generator, low: int, high: int) -> int:
  return int(rng.integers(low, high + 1))


def _logits(rng, *, labels=False) -> Inputs:
  shape = _between(rng, 3, 9), _between(rng, 3, 17)
  inputs = {
    'student/logits': rng.normal(size=shape) * 3,
    'teacher/logits': rng.normal(size=shape) * 3,
  }
  if labels:
    inputs['extra/labels'] = rng.integers(0, shape[1], shape[0])
  return inputs


def _labelled(rng) -> Inputs:
  return _logits(rng, labels=True)


def _equal_maps(rng, *, names=('f',)) -> Inputs:
  batch, inputs = _between(rng, 2, 7), {}
  for name in names:
    size = (_between(rng, 2, 9), _between(rng, 2, 9), _between(rng, 2, 7))
    for network in ('student', 'teacher'):
      inputs[f'{network}/{name}'] = rng.normal(size=(batch, *size))
  return inputs


def _two_stages(rng) -> Inputs:
  return _equal_maps(rng, names=('f0', 'f1'))


def _two_sizes(rng, *, equal) -> list[tuple[int, int]]:
  """A size and another that covers it, in any order."""
  height, width = _between(rng, 2, 5), _between(rng, 2, 5)
  if equal:
    return [(height, width)] * 2
  larger = height + _between(rng, 1, 4), width + _between(rng, 1, 4)
  sizes = [(height, width), larger]
  return sizes[::-1] if rng.random() < 0.5 else sizes


def _maps(rng, *, equal_sizes=True) -> Inputs:
  """Maps whose channels differ."""
  batch, channels = _between(rng, 2, 7), _between(rng, 2, 6)
  teacher_channels = channels + _between(rng, 1, 5)
  sizes = _two_sizes(rng, equal=equal_sizes)
  return {
    'student/f': rng.normal(size=(batch, *sizes[0], channels)),
    'teacher/f': rng.normal(size=(batch, *sizes[1], teacher_channels)),
  }


def _maps_of_two_sizes(rng) -> Inputs:
  return _maps(rng, equal_sizes=False)


def _maps_of_any_size(rng) -> Inputs:
  return _maps(rng, equal_sizes=rng.random() < 0.5)


def _fsp(rng) -> Inputs:
  batch, inputs = _between(rng, 2, 7), {}
  channels = _between(rng, 2, 6), _between(rng, 2, 6)
  for network in ('student', 'teacher'):
    sizes = _two_sizes(rng, equal=rng.random() < 0.3)
    for name, size, c in zip(('bottom', 'top'), sizes, channels, strict=True):
      inputs[f'{network}/{name}'] = rng.normal(size=(batch, *size, c))
  return inputs


def _overhaul(rng) -> Inputs:
  inputs = _equal_maps(rng)
  channels = inputs['student/f'].shape[-1]
  return {**inputs, 'extra/margin': -rng.uniform(0.2, 1.5, channels)}


def _vid(rng) -> Inputs:
  inputs = _maps_of_any_size(rng)
  widths = [
    inputs['student/f'].shape[-1],
    *[_between(rng, 2, 9)] * 2,
    inputs['teacher/f'].shape[-1],
  ]
  kernels = {
    f'extra/w{i}': rng.normal(size=(widths[i], widths[i + 1]))
    / widths[i] ** 0.5
    for i in range(3)
  }
  return {**inputs, **kernels}


def _embeddings(rng, *, equal=False, batch=3, scale=1.0) -> Inputs:
  batch, dim = _between(rng, batch, 9), _between(rng, 3, 12)
  teacher_dim = dim if equal else dim + _between(rng, 1, 9)
  return {
    'student/e': rng.normal(size=(batch, dim)) * scale,
    'teacher/e': rng.normal(size=(batch, teacher_dim)) * scale,
  }


def _equal_embeddings(rng) -> Inputs:
  return _embeddings(rng, equal=True)


def _small_embeddings(rng) -> Inputs:
  return _embeddings(rng, scale=0.4)


def _duplicates(rng) -> Inputs:
  inputs = _embeddings(rng, batch=6)
  inputs['student/e'][1] = inputs['student/e'][0]
  inputs['teacher/e'][3] = inputs['teacher/e'][2]
  return inputs


def _crd(rng) -> Inputs:
  inputs = _embeddings(rng)
  batch, student_dim = inputs['student/e'].shape
  teacher_dim = inputs['teacher/e'].shape[1]
  dim, examples = _between(rng, 4, 24), _between(rng, 20, 160)
  negatives = _between(rng, 4, 40)
  index = rng.permutation(examples)[:batch]  # No example twice.
  sample_index = rng.integers(0, examples, (batch, 1 + negatives))
  sample_index[:, 0] = index

  def uniform(*shape):
    return rng.uniform(-1, 1, shape) / shape[-1] ** 0.5

  return {
    **inputs,
    'extra/memory_student': uniform(examples, dim),
    'extra/memory_teacher': uniform(examples, dim),
    'extra/index': index,
    'extra/sample_index': sample_index,
    'extra/w_student': uniform(student_dim, dim),
    'extra/b_student': uniform(dim),
    'extra/w_teacher': uniform(teacher_dim, dim),
    'extra/b_teacher': uniform(dim),
  }


_DRAWS: dict[str, Callable[[np.random.Generator], Inputs]] = {
  'soft_target_T1': _logits,
  'soft_target_T4': _logits,
  'soft_target_T20': _logits,
  'dkd_a1_b8_T4': _labelled,
  'dist_T1': _logits,
  'dist_T4_tau2': _logits,
  'logit_standardization_T2': _logits,
  'wsld_T2': _labelled,
  'skd_direction': _logits,
  'hint_mse': _equal_maps,
  'attention_transfer': _maps,
  'attention_transfer_pooled': _maps_of_two_sizes,
  'factor_transfer': _maps_of_any_size,
  'nst_poly': _maps_of_any_size,
  'fsp': _fsp,
  'activation_boundary': _two_stages,
  'overhaul_margin': _overhaul,
  'hierarchical_context': _two_stages,
  'channel_wise_T2': _equal_maps,
  'pearson_feature': _equal_maps,
  'inter_channel_correlation': _equal_maps,
  'vid': _vid,
  'rkd_distance': _embeddings,
  'rkd_angle': _embeddings,
  'rkd_25_50': _embeddings,
  'rkd_distance_duplicates': _duplicates,
  'similarity_preserving': _maps_of_any_size,
  'correlation_congruence': _equal_embeddings,
  'correlation_congruence_gaussian': _small_embeddings,
  'pkt': _embeddings,
  'crd': _crd,
}
