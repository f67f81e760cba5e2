"""Methods on what the networks compute inside, with their papers' weights."""

from typing import Any

import jax
import jax.numpy as jnp

from kdjax import transforms
from kdjax.recipes.errors import SettingsError
from kdjax.recipes.methods.choice import Choice, Terms, before_relu
from kdjax.recipes.methods.method import Method
from kdjax.recipes.methods.response import soft_targets


def _hint_stage(choice: Choice) -> Terms:
  """Romero et al. 2015, the first stage: the hint alone.

  The mean of squares: it is the paper's half squared norm up to a constant,
  and its gradient does not grow with the layer, so one learning rate fits.
  """
  term = transforms.hint(**choice.hint_layers(), mean_squared=True)
  weight = choice.settings.hint_weight
  return {'hint': (1.0 if weight is None else weight, term)}


def _one_stage_hint(choice: Choice) -> Terms:
  """Hints as benchmark codebases train them: beside the labels, weight 100."""
  term = transforms.hint(
    **choice.hint_layers(), mean_squared=True, batch_norm=True
  )
  weight = choice.settings.hint_weight
  return {'hint': (100.0 if weight is None else weight, term)}


def _attention(choice: Choice) -> Terms:
  """Zagoruyko and Komodakis 2017."""
  return {'at': (1000.0, transforms.attention(**choice.stage_pairs()))}


def _selectivity(choice: Choice) -> Terms:
  """Huang and Wang 2017, the polynomial kernel."""
  term = transforms.neuron_selectivity(**choice.last_stages())
  return {'nst': (50.0, term)}


def _linear_selectivity(choice: Choice) -> Terms:
  term = transforms.linear_neuron_selectivity(**choice.last_stages())
  return {'nst': (100.0, term)}


def _gaussian_selectivity(choice: Choice) -> Terms:
  term = transforms.gaussian_neuron_selectivity(**choice.last_stages())
  return {'nst': (100.0, term)}


def _flow(choice: Choice) -> Terms:
  """Yim et al. 2017: a first stage of the FSP matrices alone."""
  pairs = choice.stage_pairs()
  if len(pairs['student']) < 2:
    raise SettingsError('method', 'fsp', 'needs networks of two stages or more')
  return {'fsp': (50.0, transforms.fsp(**pairs))}


def _factors(choice: Choice) -> Terms:
  """Kim et al. 2018: the paraphraser learns for a quarter of the epochs."""
  epochs = max(1, choice.settings.epochs // 4)
  term = transforms.factor_transfer(
    **choice.last_stages(),
    paraphraser_steps=epochs * choice.steps_per_epoch,
  )
  return {'ft': (200.0, term)}


def _boundaries(choice: Choice) -> Terms:
  """Heo et al. 2019a: a first stage of the activation boundaries alone."""
  term = transforms.activation_boundary(**_before_relus(choice))
  return {'ab': (0.003, term)}


def _before_relus(choice: Choice) -> dict[str, Any]:
  pairs = choice.stage_pairs()
  return {
    'student': before_relu(choice.student, pairs['student']),
    'teacher': before_relu(choice.teacher, pairs['teacher']),
  }


def _overhaul(choice: Choice) -> Terms:
  """Heo et al. 2019b: margins from the teacher's last batch norms."""
  pairs = _before_relus(choice)
  margins = {}
  for tap in pairs['teacher']:
    stage = choice.teacher_params.get(tap.split('/')[0], {})
    norm = _last_norm(stage)
    if norm is None:
      raise SettingsError(
        'method',
        'ofd',
        f'needs a batch norm before {tap}, which the teacher '
        f'{choice.settings.teacher} does not have',
      )
    margins[tap] = _margin(norm)
  term = transforms.overhaul(**pairs, margins=margins)
  return {'ofd': (1e-3, term)}


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


def _review(choice: Choice) -> Terms:
  """Chen et al. 2021; the weight grows over 20 epochs."""
  pairs = choice.stage_pairs()
  term = transforms.review(
    student=(*pairs['student'], 'embedding'),
    teacher=(*before_relu(choice.teacher, pairs['teacher']), 'embedding'),
  )
  return {'review': (choice.ramp(1.0), term)}


def _channel_wise(choice: Choice) -> Terms:
  """Shu et al. 2021, the weight for features."""
  return {'cwd': (50.0, transforms.channel_wise(**choice.last_stages()))}


def _pearson(choice: Choice) -> Terms:
  """Cao et al. 2022; the weight is of a detector's pyramid levels."""
  term = transforms.pearson_feature(**choice.last_stages())
  return {'pkd': (10.0, term)}


def _inter_channel(choice: Choice) -> Terms:
  """Liu et al. 2021."""
  term = transforms.inter_channel(**choice.last_stages())
  return {'ickd': (2.5, term)}


def _variational(choice: Choice) -> Terms:
  """Ahn et al. 2019."""
  term = transforms.variational_information(**choice.stage_pairs())
  return {'vid': (1.0, term)}


def _masked_generative(choice: Choice) -> Terms:
  """Yang et al. 2022, the weight for classification."""
  term = transforms.masked_generative(**choice.last_stages())
  return {'mgd': (7e-5, term)}


def _vitkd(choice: Choice) -> Terms:
  """Yang et al. 2024: the first two blocks and the last."""
  blocks = choice.blocks('vitkd')
  taps: dict[str, Any] = {
    name: (*found[:2], found[-1]) for name, found in blocks.items()
  }
  return {'vitkd': (1.0, transforms.vitkd(**taps))}


def _simkd(choice: Choice) -> Terms:
  """Chen et al. 2022: features alone, the classifier is the teacher's."""
  teacher = choice.last_stages()['teacher']
  return {'simkd': (1.0, transforms.simkd(teacher=teacher))}


def _last_block(choice: Choice, method: str) -> dict[str, Any]:
  blocks = choice.blocks(method, '/query')
  return {
    name: tuple(
      taps[-1].replace('query', part) for part in ('query', 'key', 'value')
    )
    for name, taps in blocks.items()
  }


def _minilm(choice: Choice) -> Terms:
  """Wang et al. 2020: queries and keys, and values, of the last block."""
  taps = _last_block(choice, 'minilm')
  scores = choice.blocks('minilm', '/scores')
  heads = choice.teacher[scores['teacher'][-1]].shape[1]
  term = transforms.self_attention_relations(**taps, heads=heads)
  return {'minilm': (1.0, term)}


def _minilmv2(choice: Choice) -> Terms:
  """Wang et al. 2021: as many relation heads as the teacher has heads."""
  scores = choice.blocks('minilmv2', '/scores')
  heads = choice.teacher[scores['teacher'][-1]].shape[1]
  term = transforms.self_attention_relations_v2(
    **_last_block(choice, 'minilmv2'), relation_heads=heads
  )
  return {'minilmv2': (1.0, term)}


def _attention_matrices(choice: Choice) -> Terms:
  """Jiao et al. 2020 (TinyBERT), every student block."""
  taps = choice.blocks('attention_matrices', '/scores')
  return {'scores': (1.0, transforms.attention_matrices(**taps))}


def _nothing(choice: Choice) -> Terms:
  return {}


METHODS = {
  'hint': Method(_one_stage_hint),
  'fitnets': Method(soft_targets, labels=None, first=_hint_stage),
  'at': Method(_attention),
  'nst': Method(_selectivity),
  'nst_linear': Method(_linear_selectivity),
  'nst_gaussian': Method(_gaussian_selectivity),
  'fsp': Method(_nothing, first=_flow),
  'ft': Method(_factors),
  'ab': Method(_nothing, first=_boundaries),
  'ofd': Method(_overhaul),
  'review': Method(_review),
  'cwd': Method(_channel_wise),
  'pkd': Method(_pearson),
  'ickd': Method(_inter_channel),
  'vid': Method(_variational),
  'mgd': Method(_masked_generative),
  'vitkd': Method(_vitkd),
  'simkd': Method(_simkd, labels=0.0, reuses_classifier=True),
  'minilm': Method(_minilm),
  'minilmv2': Method(_minilmv2),
  'attention_matrices': Method(_attention_matrices),
}
