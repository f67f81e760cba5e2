"""Feature losses without connectors."""

from kdjax import transforms
from kdjax.losses.feature import attention as attention_losses
from kdjax.losses.feature import attention_matrices as matrix_losses
from kdjax.losses.feature import attention_relations as relation_losses
from kdjax.losses.feature import neuron_selectivity as selectivity_losses
from kdjax.losses.feature import simkd as simkd_losses

_QKV = ('q', 'k', 'v')

# name: (transform, student's shapes, teacher's shapes, by hand, has state);
# by hand: `(params, student, teacher) -> losses`.
CASES = {
  'attention': (
    transforms.attention(student=('a', 'b'), teacher=('a', 'b'), p=1.5),
    {'a': (4, 4, 3), 'b': (2, 2, 4)},
    {'a': (2, 2, 5), 'b': (2, 2, 4)},
    lambda _, s, t: sum(
      attention_losses.attention_transfer_loss(s[n], t[n], p=1.5) for n in 'ab'
    ),
    False,
  ),
  'polynomial': (
    transforms.neuron_selectivity(
      student='a', teacher='a', degree=3, offset=0.5
    ),
    {'a': (4, 4, 3)},
    {'a': (2, 2, 5)},
    lambda _, s, t: selectivity_losses.polynomial_neuron_selectivity_loss(
      s['a'], t['a'], degree=3, offset=0.5
    ),
    False,
  ),
  'linear': (
    transforms.linear_neuron_selectivity(student='a', teacher='a'),
    {'a': (2, 2, 3)},
    {'a': (2, 2, 5)},
    lambda _, s, t: selectivity_losses.linear_neuron_selectivity_loss(
      s['a'], t['a']
    ),
    False,
  ),
  'gaussian': (
    transforms.gaussian_neuron_selectivity(
      student='a', teacher='a', variance=0.3
    ),
    {'a': (2, 2, 3)},
    {'a': (2, 2, 5)},
    lambda _, s, t: selectivity_losses.gaussian_neuron_selectivity_loss(
      s['a'], t['a'], variance=0.3
    ),
    False,
  ),
  'minilm': (
    transforms.self_attention_relations(student=_QKV, teacher=_QKV, heads=2),
    {name: (3, 4) for name in _QKV},
    {name: (3, 2, 3) for name in _QKV},
    lambda _, s, t: relation_losses.minilm_loss(
      [s[n] for n in _QKV],
      [t[n].reshape(-1, 3, 6) for n in _QKV],
      heads=2,
    ),
    False,
  ),
  'minilmv2': (
    transforms.self_attention_relations_v2(
      student=_QKV, teacher=_QKV, relation_heads=2, weights=(1.0, 0.5, 2.0)
    ),
    {name: (3, 4) for name in _QKV},
    {name: (3, 6) for name in _QKV},
    lambda _, s, t: relation_losses.minilmv2_loss(
      [s[n] for n in _QKV],
      [t[n] for n in _QKV],
      relation_heads=2,
      weights=(1.0, 0.5, 2.0),
    ),
    False,
  ),
  'matrices': (
    transforms.attention_matrices(student=('a', 'b'), teacher=('b', 'c')),
    {'a': (2, 3, 3), 'b': (2, 3, 3)},
    {'b': (2, 3, 3), 'c': (2, 3, 3)},
    lambda _, s, t: (
      matrix_losses.attention_matrix_loss(s['a'], t['b'])
      + matrix_losses.attention_matrix_loss(s['b'], t['c'])
    ),
    False,
  ),
  'simkd': (
    transforms.simkd(teacher='a'),
    {'projected': (2, 2, 4)},
    {'a': (4, 4, 4)},
    lambda _, s, t: simkd_losses.simkd_loss(s['projected'], t['a']),
    False,
  ),
}
