"""Methods on what the networks answer, with their papers' weights.

`temperature` and `alpha` among a function's own arguments are those that all
methods share; what a method's paper sets for itself is handed on in `given`.
"""

from typing import Any

from kdjax import transforms
from kdjax.methods.method import Named, passes
from kdjax.methods.pair import Pair, Terms
from kdjax.transforms import LossTransform


@passes(transforms.soft_targets)
def soft_targets(
  pair: Pair, *, alpha: float = 0.1, temperature: float = 4.0, **given: Any
) -> Terms:
  """Hinton et al. 2015."""
  term = transforms.soft_targets(temperature=temperature, **given)
  return {'soft': (1 - alpha, term)}


@passes(transforms.curriculum_soft_targets)
def _curriculum(
  pair: Pair,
  *,
  alpha: float = 0.1,
  curriculum_steps: int | None = None,
  **given: Any,
) -> Terms:
  """Li et al. 2023: the temperature trains against the student.

  The curriculum takes 10 of 240 epochs, and that share of a shorter run.
  """
  if curriculum_steps is None:
    steps = round(pair.epochs * pair.steps_per_epoch * 10 / 240)
    curriculum_steps = max(1, steps)
  term = transforms.curriculum_soft_targets(
    curriculum_steps=curriculum_steps, **given
  )
  return {'ctkd': (1 - alpha, term)}


@passes(transforms.top_k_soft_targets)
def _top_k(
  pair: Pair, *, alpha: float = 0.1, temperature: float = 4.0, **given: Any
) -> Terms:
  """`soft_targets` from the teacher's best classes."""
  term = transforms.top_k_soft_targets(temperature=temperature, **given)
  return {'top_k': (1 - alpha, term)}


@passes(transforms.decoupled)
def _decoupled(
  pair: Pair, *, temperature: float = 4.0, ramp_epochs: int = 20, **given: Any
) -> Terms:
  """Zhao et al. 2022; the weight grows over 20 epochs."""
  term = transforms.decoupled(temperature=temperature, **given)
  return {'dkd': (pair.ramp(1.0, ramp_epochs), term)}


@passes(transforms.dist)
def _dist(pair: Pair, *, temperature: float = 4.0, **given: Any) -> Terms:
  """Huang et al. 2022; both parts with weight 2, at temperature 4."""
  weights = {'inter_weight': 2.0, 'intra_weight': 2.0}
  term = transforms.dist(temperature=temperature, **(weights | given))
  return {'dist': (1.0, term)}


@passes(transforms.standardised_soft_targets)
def _standardised(pair: Pair, **given: Any) -> Terms:
  """Sun et al. 2024: temperature 2 and weight 9 of their own."""
  return {'ls': (9.0, transforms.standardised_soft_targets(**given))}


@passes(transforms.weighted_soft_labels)
def _weighted(pair: Pair, **given: Any) -> Terms:
  """Zhou et al. 2021: temperature 2, weight 2.5."""
  return {'wsld': (2.5, transforms.weighted_soft_labels(**given))}


@passes(transforms.normalised_soft_targets)
def _normalised(pair: Pair, **given: Any) -> Terms:
  """Yang et al. 2023."""
  return {'nkd': (1.0, transforms.normalised_soft_targets(**given))}


@passes(transforms.direction)
def _direction(pair: Pair, *, temperature: float = 4.0, **given: Any) -> Terms:
  """The streamlined direction term beside soft targets, half each."""
  soft = transforms.soft_targets(temperature=temperature)
  return {
    'direction': (0.5, transforms.direction(**given)),
    'skd_soft': (0.5, soft),
  }


@passes(transforms.generalised_jensen_shannon)
def _jensen_shannon(pair: Pair, **given: Any) -> Terms:
  """Agarwal et al. 2024, in place of the labels."""
  return {'gkd': (1.0, transforms.generalised_jensen_shannon(**given))}


@passes(transforms.forward_kl)
def _forward(pair: Pair, **given: Any) -> Terms:
  return {'forward_kl': (1.0, transforms.forward_kl(**given))}


@passes(transforms.reverse_kl)
def _reverse(pair: Pair, **given: Any) -> Terms:
  """Gu et al. 2024 (MiniLLM), in place of the labels."""
  return {'reverse_kl': (1.0, transforms.reverse_kl(**given))}


@passes(transforms.skew_kl)
def _skew(pair: Pair, **given: Any) -> Terms:
  """Ko et al. 2024 (DistiLLM), in place of the labels."""
  return {'skew_kl': (1.0, transforms.skew_kl(**given))}


@passes(transforms.skew_reverse_kl)
def _skew_reverse(pair: Pair, **given: Any) -> Terms:
  """Ko et al. 2024 (DistiLLM), in place of the labels."""
  return {'skew_reverse_kl': (1.0, transforms.skew_reverse_kl(**given))}


@passes(transforms.alpha_beta)
def _alpha_beta(pair: Pair, **given: Any) -> Terms:
  """Wang et al. 2025, in place of the labels."""
  return {'abkd': (1.0, transforms.alpha_beta(**given))}


@passes(transforms.adaptive_interpolated_targets)
def _interpolated(
  pair: Pair, *, steps: int | None = None, **given: Any
) -> Terms:
  """Shing et al. 2025, in place of the labels, over the whole training."""
  steps = steps or pair.epochs * pair.steps_per_epoch
  term = transforms.adaptive_interpolated_targets(steps=steps, **given)
  return {'taid': (1.0, term)}


@passes(transforms.adaptive_kl)
def _adaptive(pair: Pair, **given: Any) -> Terms:
  """Wu et al. 2024; half beside half of the labels, as songmzhang/DSKD."""
  return {'akl': (0.5, transforms.adaptive_kl(**given))}


@passes(transforms.sampled_soft_targets)
def _sampled(
  pair: Pair, *, alpha: float = 0.1, temperature: float = 4.0, **given: Any
) -> Terms:
  """`soft_targets` from classes drawn of the teacher, Anshumann et al. 2025."""
  term = transforms.sampled_soft_targets(temperature=temperature, **given)
  return {'sampled': (1 - alpha, term)}


@passes(transforms.dense_soft_targets)
def _dense(pair: Pair, *, temperature: float = 4.0, **given: Any) -> Terms:
  """Soft targets per position; a classifier has one."""
  term = transforms.dense_soft_targets(temperature=temperature, **given)
  return {'dense': (1.0, term)}


@passes(transforms.label_smoothing)
def _label_smoothing(pair: Pair, **given: Any) -> Terms:
  return {'smoothed': (1.0, transforms.label_smoothing(**given))}


@passes(transforms.teacher_free)
def _teacher_free(pair: Pair, **given: Any) -> Terms:
  """Yuan et al. 2020, weight 0.1 beside 0.9 of the labels."""
  return {'tfkd': (0.1, transforms.teacher_free(**given))}


@passes(transforms.hard_targets)
def _hard_distillation(pair: Pair, **given: Any) -> Terms:
  """Touvron et al. 2021, equation 3: half the labels, half the teacher's class.

  Each token has its own: the labels are of the class token.
  """
  student = pair.distillation_logits('deit')
  term = transforms.hard_targets(student_logits=student, **given)
  return {'class_token': (0.5, _class_token(pair)), 'deit': (0.5, term)}


@passes(transforms.soft_targets)
def _soft_distillation(pair: Pair, **given: Any) -> Terms:
  """Touvron et al. 2021, equation 2, at their lambda 0.1 and temperature 3."""
  student = pair.distillation_logits('deit_soft')
  usual = {'temperature': 3.0}
  term = transforms.soft_targets(student_logits=student, **(usual | given))
  return {'class_token': (0.9, _class_token(pair)), 'deit_soft': (0.1, term)}


def _class_token(pair: Pair) -> LossTransform:
  return transforms.labels(
    student_logits='class_logits', class_weights=pair.class_weights
  )


METHODS = {
  'kd': Named(soft_targets, labels=None),
  'kd_top_k': Named(_top_k, labels=None, takes_top_k=True),
  'dkd': Named(_decoupled),
  'ctkd': Named(_curriculum, labels=None),
  'dist': Named(_dist),
  'ls': Named(_standardised, labels=0.1),
  'wsld': Named(_weighted),
  'nkd': Named(_normalised),
  'skd': Named(_direction, labels=0.5),
  'gkd': Named(_jensen_shannon, labels=0.0),
  'forward_kl': Named(_forward, labels=0.0),
  'reverse_kl': Named(_reverse, labels=0.0),
  'skew_kl': Named(_skew, labels=0.0),
  'skew_reverse_kl': Named(_skew_reverse, labels=0.0),
  'abkd': Named(_alpha_beta, labels=0.0),
  'taid': Named(_interpolated, labels=0.0),
  'akl': Named(_adaptive, labels=0.5),
  'sampled_kd': Named(_sampled, labels=None),
  'dense': Named(_dense),
  'label_smoothing': Named(_label_smoothing, labels=0.0),
  'tfkd': Named(_teacher_free, labels=0.9),
  # Their labels are a term of their own, as they are of one token only.
  'deit': Named(_hard_distillation, labels=0.0),
  'deit_soft': Named(_soft_distillation, labels=0.0),
}
