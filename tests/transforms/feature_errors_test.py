"""What the factories of feature losses refuse, and how they say so."""

import jax
import numpy as np
import pytest

from kdjax import transforms

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough

_PAIR = {'student': 'a', 'teacher': 'a'}
_QKV = {'student': tuple('qkv'), 'teacher': tuple('qkv')}


@pytest.mark.parametrize(
  ('make', 'arguments', 'message'),
  [
    ('attention', {'student': ('a', 'b'), 'teacher': 'a'}, 'as many taps'),
    ('attention', {'student': (), 'teacher': ()}, 'student must name'),
    ('attention', {**_PAIR, 'p': 0.5}, 'p must be 1 or above, got 0.5'),
    ('neuron_selectivity', {**_PAIR, 'degree': 0}, 'degree .* got 0'),
    ('neuron_selectivity', {**_PAIR, 'offset': -1}, 'offset .* got -1'),
    ('gaussian_neuron_selectivity', {**_PAIR, 'variance': 0}, 'variance .* 0'),
    ('fsp', _PAIR, "two taps or more, got 'a'"),
    ('channel_wise', {**_PAIR, 'temperature': 0.0}, 'temperature .* 0.0'),
    ('activation_boundary', {**_PAIR, 'margin': -1}, 'margin .* got -1'),
    ('overhaul', {**_PAIR, 'margins': {'b': 0}}, "margins .*'a', .* b"),
    ('review', {**_PAIR, 'levels': (0,)}, r'levels .* got \(0,\)'),
    ('review', {**_PAIR, 'width': 0}, 'width must be an integer of 1 or more'),
    ('variational_information', {**_PAIR, 'eps': 0.0}, 'eps must be above 0'),
    ('variational_information', {**_PAIR, 'variance': 0}, 'variance .* got 0'),
    ('masked_generative', {**_PAIR, 'ratio': 1.0}, 'ratio .* got 1.0'),
    ('vitkd', _PAIR, 'two taps or more'),
    ('vitkd', {**_QKV, 'ratio': 0.0}, 'ratio .* got 0.0'),
    ('vitkd', {**_QKV, 'mimic_weight': -1}, 'mimic_weight .* got -1'),
    ('factor_transfer', {**_PAIR, 'paraphraser_steps': -1}, 'steps .* got -1'),
    (
      'factor_transfer',
      {**_PAIR, 'paraphraser_steps': 1, 'rate': 0},
      'rate must be above 0, got 0',
    ),
    ('self_attention_relations', {**_QKV, 'heads': 0}, 'heads .* got 0'),
    ('self_attention_relations', {**_PAIR, 'heads': 1}, 'queries, keys'),
    (
      'self_attention_relations_v2',
      {**_QKV, 'relation_heads': 2, 'weights': (1, 1)},
      'weights must be three',
    ),
  ],
)
def test_wrong_hyperparameters(make, arguments, message):
  with pytest.raises(ValueError, match=message):
    getattr(transforms, make)(**arguments)


@pytest.mark.parametrize(
  ('term', 'student', 'teacher', 'message'),
  [
    (transforms.attention(**_PAIR), (2, 2, 3), (7, 3), "'a' must be a map"),
    (transforms.channel_wise(**_PAIR), (2, 2, 3), (3, 2, 3), 'the same size'),
    (transforms.activation_boundary(**_PAIR), (2, 2, 3), (5, 5, 3), 'half as'),
    (
      transforms.overhaul(**_PAIR, margins={'a': np.zeros(2)}),
      (2, 2, 3),
      (2, 2, 3),
      r'margins must hold \(3,\)',
    ),
    (transforms.masked_generative(**_PAIR), (2, 2, 3), (3, 2, 3), 'same size'),
    (
      transforms.vitkd(student=tuple('aa'), teacher=tuple('aa')),
      (5, 3),
      (5, 3),
      'square',
    ),
    (
      transforms.vitkd(student=tuple('aa'), teacher=tuple('aa')),
      (4, 3),
      (9, 3),
      'same grid',
    ),
    (
      transforms.simkd(**_PAIR),
      (2, 2, 3),
      (2, 2, 4),
      'same number of channels',
    ),
    (
      transforms.factor_transfer(**_PAIR, paraphraser_steps=1, rate=0.1),
      (2, 2, 3),
      (2, 2, 3),
      'rate must leave',
    ),
    (
      transforms.self_attention_relations(
        student=tuple('aaa'), teacher=tuple('aaa'), heads=2
      ),
      (5, 3),
      (5, 4),
      "heads must divide the 3 dimensions of 'a', got 2",
    ),
    (
      transforms.attention_matrices(**_PAIR),
      (2, 3, 3),
      (4, 3, 3),
      'same heads',
    ),
    (
      transforms.attention(student='b', teacher='a'),
      (3,),
      (3,),
      "'b'; it has a",
    ),
    (transforms.review(student='a', teacher='b'), (3,), (3,), "'b'; it has a"),
  ],
)
def test_taps_that_do_not_fit(term, student, teacher, message):
  outputs = [
    {'a': jax.ShapeDtypeStruct((4, *shape), np.float32)}
    for shape in (student, teacher)
  ]
  with pytest.raises(ValueError, match=message):
    term.init(jax.random.key(0), *outputs)
