"""Methods on what the networks compute inside, with their papers' weights."""

from typing import Any

import jax
import jax.numpy as jnp

from kdjax import transforms
from kdjax.methods.method import Named, passes
from kdjax.methods.pair import Pair, Terms, with_taps
from kdjax.methods.response import soft_targets
from kdjax.options import OptionError


@passes(transforms.hint)
def _hint_stage(pair: Pair, *, weight: float = 1.0, **given: Any) -> Terms:
  """Romero et al. 2015, the first stage: the hint alone.

  The mean of squares: it is the paper's half squared norm up to a constant,
  and its gradient does not grow with the layer, so one learning rate fits.
  """
  given = {'mean_squared': True} | with_taps(pair.middle_stages, given)
  return {'hint': (weight, transforms.hint(**given))}


@passes(transforms.hint)
def _one_stage_hint(
  pair: Pair, *, weight: float = 100.0, **given: Any
) -> Terms:
  """Hints as benchmark codebases train them: beside the labels, weight 100."""
  fixed = {'mean_squared': True, 'batch_norm': True}
  given = fixed | with_taps(pair.middle_stages, given)
  return {'hint': (weight, transforms.hint(**given))}


@passes(transforms.attention)
def _attention(pair: Pair, **given: Any) -> Terms:
  """Zagoruyko and Komodakis 2017."""
  term = transforms.attention(**with_taps(pair.stage_pairs, given))
  return {'at': (1000.0, term)}


@passes(transforms.neuron_selectivity)
def _selectivity(pair: Pair, **given: Any) -> Terms:
  """Huang and Wang 2017, the polynomial kernel."""
  term = transforms.neuron_selectivity(**with_taps(pair.last_stages, given))
  return {'nst': (50.0, term)}


@passes(transforms.linear_neuron_selectivity)
def _linear_selectivity(pair: Pair, **given: Any) -> Terms:
  term = transforms.linear_neuron_selectivity(
    **with_taps(pair.last_stages, given)
  )
  return {'nst': (100.0, term)}


@passes(transforms.gaussian_neuron_selectivity)
def _gaussian_selectivity(pair: Pair, **given: Any) -> Terms:
  term = transforms.gaussian_neuron_selectivity(
    **with_taps(pair.last_stages, given)
  )
  return {'nst': (100.0, term)}


@passes(transforms.fsp)
def _flow(pair: Pair, **given: Any) -> Terms:
  """Yim et al. 2017: a first stage of the FSP matrices alone."""
  given = with_taps(pair.stage_pairs, given)
  taps = given['student']
  if isinstance(taps, str) or len(taps) < 2:
    raise OptionError('method', 'fsp', 'needs networks of two stages or more')
  return {'fsp': (50.0, transforms.fsp(**given))}


@passes(transforms.factor_transfer)
def _factors(pair: Pair, **given: Any) -> Terms:
  """Kim et al. 2018: the paraphraser learns for a quarter of the epochs."""
  steps = max(1, pair.epochs // 4) * pair.steps_per_epoch
  fixed = {'paraphraser_steps': steps}
  given = fixed | with_taps(pair.last_stages, given)
  return {'ft': (200.0, transforms.factor_transfer(**given))}


@passes(transforms.activation_boundary)
def _boundaries(pair: Pair, **given: Any) -> Terms:
  """Heo et al. 2019a: a first stage of the activation boundaries alone."""
  term = transforms.activation_boundary(**with_taps(pair.before_relus, given))
  return {'ab': (0.003, term)}


def _overhaul(pair: Pair) -> Terms:
  """Heo et al. 2019b: margins from the teacher's last batch norms."""
  pairs = pair.before_relus()
  margins = {}
  for tap in pairs['teacher']:
    stage = pair.teacher_params.get(tap.split('/')[0], {})
    norm = _last_norm(stage) or {}
    scale = norm.get('scale')
    if scale is None or scale.shape != pair.teacher[tap].shape[-1:]:
      raise OptionError(
        'method',
        'ofd',
        f'needs a batch norm of all channels before {tap}, which the teacher '
        f'{pair.names[1]} does not have',
      )
    margins[tap] = _margin(norm)
  return {'ofd': (1e-3, transforms.overhaul(**pairs, margins=margins))}


def _last_norm(stage: dict) -> dict | None:
  """Parameters of the batch norm that a stage's last layer ends with."""
  if 'norm' in stage:
    return stage['norm']
  for kind in ('block', 'layer'):
    numbers = [int(k[5:]) for k in stage if k[:5] == kind and k[5:].isdigit()]
    if numbers:
      return _last_norm(stage[f'{kind}{max(numbers)}'])
  return None


def _margin(norm: dict) -> jax.Array:
  """The margin; zeros while only the shapes of the parameters are known."""
  scale = norm['scale']
  if isinstance(scale, jax.ShapeDtypeStruct):
    return jnp.zeros(scale.shape, scale.dtype)
  margins = transforms.overhaul_margins({'norm': norm}, {'': 'norm'})
  return margins['']


@passes(transforms.review)
def _review(pair: Pair, *, ramp_epochs: int = 20, **given: Any) -> Terms:
  """Chen et al. 2021; the weight grows over 20 epochs."""

  def usual() -> dict[str, Any]:
    return {
      'student': (*pair.stage_pairs()['student'], 'embedding'),
      'teacher': (*pair.before_relus()['teacher'], 'embedding'),
    }

  term = transforms.review(**with_taps(usual, given))
  return {'review': (pair.ramp(1.0, ramp_epochs), term)}


@passes(transforms.channel_wise)
def _channel_wise(pair: Pair, **given: Any) -> Terms:
  """Shu et al. 2021, the weight for features."""
  term = transforms.channel_wise(**with_taps(pair.last_stages, given))
  return {'cwd': (50.0, term)}


@passes(transforms.pearson_feature)
def _pearson(pair: Pair, **given: Any) -> Terms:
  """Cao et al. 2022; the weight is of a detector's pyramid levels."""
  term = transforms.pearson_feature(**with_taps(pair.last_stages, given))
  return {'pkd': (10.0, term)}


@passes(transforms.inter_channel)
def _inter_channel(pair: Pair, **given: Any) -> Terms:
  """Liu et al. 2021."""
  term = transforms.inter_channel(**with_taps(pair.last_stages, given))
  return {'ickd': (2.5, term)}


@passes(transforms.variational_information)
def _variational(pair: Pair, **given: Any) -> Terms:
  """Ahn et al. 2019."""
  term = transforms.variational_information(
    **with_taps(pair.stage_pairs, given)
  )
  return {'vid': (1.0, term)}


@passes(transforms.masked_generative)
def _masked_generative(pair: Pair, **given: Any) -> Terms:
  """Yang et al. 2022, the weight for classification."""
  term = transforms.masked_generative(**with_taps(pair.last_stages, given))
  return {'mgd': (7e-5, term)}


@passes(transforms.vitkd)
def _vitkd(pair: Pair, **given: Any) -> Terms:
  """Yang et al. 2024: the first two blocks and the last."""
  blocks = pair.blocks('vitkd')
  taps: dict[str, Any] = {
    name: (*found[:2], found[-1]) for name, found in blocks.items()
  }
  return {'vitkd': (1.0, transforms.vitkd(**(taps | given)))}


@passes(transforms.simkd)
def _simkd(pair: Pair, **given: Any) -> Terms:
  """Chen et al. 2022: features alone, the classifier is the teacher's."""
  fixed = {'teacher': pair.last_stages()['teacher']}
  return {'simkd': (1.0, transforms.simkd(**(fixed | given)))}


def _last_block(pair: Pair, method: str) -> dict[str, Any]:
  blocks = pair.blocks(method, '/query')
  return {
    name: tuple(
      taps[-1].replace('query', part) for part in ('query', 'key', 'value')
    )
    for name, taps in blocks.items()
  }


def _teacher_heads(pair: Pair, method: str) -> int:
  scores = pair.blocks(method, '/scores')
  return pair.teacher[scores['teacher'][-1]].shape[1]


@passes(transforms.self_attention_relations)
def _minilm(pair: Pair, **given: Any) -> Terms:
  """Wang et al. 2020: queries and keys, and values, of the last block."""
  fixed = {
    **_last_block(pair, 'minilm'),
    'heads': _teacher_heads(pair, 'minilm'),
  }
  term = transforms.self_attention_relations(**(fixed | given))
  return {'minilm': (1.0, term)}


@passes(transforms.self_attention_relations_v2)
def _minilmv2(pair: Pair, **given: Any) -> Terms:
  """Wang et al. 2021: as many relation heads as the teacher has heads."""
  fixed = {
    **_last_block(pair, 'minilmv2'),
    'relation_heads': _teacher_heads(pair, 'minilmv2'),
  }
  term = transforms.self_attention_relations_v2(**(fixed | given))
  return {'minilmv2': (1.0, term)}


@passes(transforms.attention_matrices)
def _attention_matrices(pair: Pair, **given: Any) -> Terms:
  """Jiao et al. 2020 (TinyBERT), every student block."""
  taps = pair.blocks('attention_matrices', '/scores')
  term = transforms.attention_matrices(**(taps | given))
  return {'scores': (1.0, term)}


def _nothing(pair: Pair) -> Terms:
  return {}


METHODS = {
  'hint': Named(_one_stage_hint),
  'fitnets': Named(soft_targets, labels=None, first=_hint_stage),
  'at': Named(_attention),
  'nst': Named(_selectivity),
  'nst_linear': Named(_linear_selectivity),
  'nst_gaussian': Named(_gaussian_selectivity),
  'fsp': Named(_nothing, first=_flow),
  'ft': Named(_factors),
  'ab': Named(_nothing, first=_boundaries),
  'ofd': Named(_overhaul),
  'review': Named(_review),
  'cwd': Named(_channel_wise),
  'pkd': Named(_pearson),
  'ickd': Named(_inter_channel),
  'vid': Named(_variational),
  'mgd': Named(_masked_generative),
  'vitkd': Named(_vitkd),
  'simkd': Named(_simkd, labels=0.0, reuses_classifier=True),
  'minilm': Named(_minilm),
  'minilmv2': Named(_minilmv2),
  'attention_matrices': Named(_attention_matrices),
}
