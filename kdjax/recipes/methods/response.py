"""Methods on what the networks answer, with their papers' weights."""

from kdjax import transforms
from kdjax.recipes.methods.choice import Choice, Terms
from kdjax.recipes.methods.method import Method


def soft_targets(choice: Choice) -> Terms:
  """Hinton et al. 2015."""
  settings = choice.settings
  term = transforms.soft_targets(temperature=settings.temperature)
  return {'soft': (1 - settings.alpha, term)}


def _curriculum(choice: Choice) -> Terms:
  """Li et al. 2023: the temperature trains against the student.

  The curriculum takes 10 of 240 epochs, and that share of a shorter run.
  """
  settings = choice.settings
  steps = round(settings.epochs * choice.steps_per_epoch * 10 / 240)
  term = transforms.curriculum_soft_targets(curriculum_steps=max(1, steps))
  return {'ctkd': (1 - settings.alpha, term)}


def _top_k(choice: Choice) -> Terms:
  """`soft_targets` from the teacher's best classes."""
  settings = choice.settings
  term = transforms.top_k_soft_targets(temperature=settings.temperature)
  return {'top_k': (1 - settings.alpha, term)}


def _decoupled(choice: Choice) -> Terms:
  """Zhao et al. 2022; the weight grows over 20 epochs."""
  term = transforms.decoupled(temperature=choice.settings.temperature)
  return {'dkd': (choice.ramp(1.0), term)}


def _dist(choice: Choice) -> Terms:
  """Huang et al. 2022; both parts with weight 2, at temperature 4."""
  term = transforms.dist(
    inter_weight=2.0,
    intra_weight=2.0,
    temperature=choice.settings.temperature,
  )
  return {'dist': (1.0, term)}


def _standardised(choice: Choice) -> Terms:
  """Sun et al. 2024: temperature 2 and weight 9 of their own."""
  return {'ls': (9.0, transforms.standardised_soft_targets())}


def _weighted(choice: Choice) -> Terms:
  """Zhou et al. 2021: temperature 2, weight 2.5."""
  return {'wsld': (2.5, transforms.weighted_soft_labels())}


def _normalised(choice: Choice) -> Terms:
  """Yang et al. 2023."""
  return {'nkd': (1.0, transforms.normalised_soft_targets())}


def _direction(choice: Choice) -> Terms:
  """The streamlined direction term beside soft targets, half each."""
  term = transforms.direction()
  soft = transforms.soft_targets(temperature=choice.settings.temperature)
  return {'direction': (0.5, term), 'skd_soft': (0.5, soft)}


def _jensen_shannon(choice: Choice) -> Terms:
  """Agarwal et al. 2024, in place of the labels."""
  return {'gkd': (1.0, transforms.generalised_jensen_shannon())}


def _forward(choice: Choice) -> Terms:
  return {'forward_kl': (1.0, transforms.forward_kl())}


def _reverse(choice: Choice) -> Terms:
  """Gu et al. 2024 (MiniLLM), in place of the labels."""
  return {'reverse_kl': (1.0, transforms.reverse_kl())}


def _skew(choice: Choice) -> Terms:
  """Ko et al. 2024 (DistiLLM), in place of the labels."""
  return {'skew_kl': (1.0, transforms.skew_kl())}


def _skew_reverse(choice: Choice) -> Terms:
  """Ko et al. 2024 (DistiLLM), in place of the labels."""
  return {'skew_reverse_kl': (1.0, transforms.skew_reverse_kl())}


def _alpha_beta(choice: Choice) -> Terms:
  """Wang et al. 2025, in place of the labels."""
  return {'abkd': (1.0, transforms.alpha_beta())}


def _interpolated(choice: Choice) -> Terms:
  """Shing et al. 2025, in place of the labels, over the whole training."""
  steps = choice.settings.epochs * choice.steps_per_epoch
  term = transforms.adaptive_interpolated_targets(steps=steps)
  return {'taid': (1.0, term)}


def _adaptive(choice: Choice) -> Terms:
  """Wu et al. 2024; half beside half of the labels, as songmzhang/DSKD."""
  return {'akl': (0.5, transforms.adaptive_kl())}


def _sampled(choice: Choice) -> Terms:
  """`soft_targets` from classes drawn of the teacher, Anshumann et al. 2025."""
  settings = choice.settings
  term = transforms.sampled_soft_targets(temperature=settings.temperature)
  return {'sampled': (1 - settings.alpha, term)}


def _dense(choice: Choice) -> Terms:
  """Soft targets per position; of a classifier there is one."""
  term = transforms.dense_soft_targets(temperature=choice.settings.temperature)
  return {'dense': (1.0, term)}


def _label_smoothing(choice: Choice) -> Terms:
  return {'smoothed': (1.0, transforms.label_smoothing())}


def _teacher_free(choice: Choice) -> Terms:
  """Yuan et al. 2020, weight 0.1 beside 0.9 of the labels."""
  return {'tfkd': (0.1, transforms.teacher_free())}


METHODS = {
  'kd': Method(soft_targets, labels=None),
  'kd_top_k': Method(_top_k, labels=None, takes_top_k=True),
  'dkd': Method(_decoupled),
  'ctkd': Method(_curriculum, labels=None),
  'dist': Method(_dist),
  'ls': Method(_standardised, labels=0.1),
  'wsld': Method(_weighted),
  'nkd': Method(_normalised),
  'skd': Method(_direction, labels=0.5),
  'gkd': Method(_jensen_shannon, labels=0.0),
  'forward_kl': Method(_forward, labels=0.0),
  'reverse_kl': Method(_reverse, labels=0.0),
  'skew_kl': Method(_skew, labels=0.0),
  'skew_reverse_kl': Method(_skew_reverse, labels=0.0),
  'abkd': Method(_alpha_beta, labels=0.0),
  'taid': Method(_interpolated, labels=0.0),
  'akl': Method(_adaptive, labels=0.5),
  'sampled_kd': Method(_sampled, labels=None),
  'dense': Method(_dense),
  'label_smoothing': Method(_label_smoothing, labels=0.0),
  'tfkd': Method(_teacher_free, labels=0.9),
}
