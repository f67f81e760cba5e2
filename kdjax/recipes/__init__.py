"""Whole ways to teach, over objects: any model, any trained network."""

from kdjax.recipes.assistants import assistants
from kdjax.recipes.comparison import compare
from kdjax.recipes.distillation import Distilled, distil, train_scratch
from kdjax.recipes.ensemble import ensemble
from kdjax.recipes.evaluation import evaluate, evaluate_one, open_test
from kdjax.recipes.options import Options
from kdjax.recipes.planning import Plan, check, check_devices, plan
from kdjax.recipes.prediction import predict
from kdjax.recipes.saved import export, load, read_note
from kdjax.recipes.step_costs import DistillationCosts, costs
from kdjax.recipes.summary import (
  describe,
  describe_data,
  describe_measure,
  summarise,
)
from kdjax.recipes.teachers import (
  check_teacher,
  fewer_examples,
  train_teacher,
  train_teachers,
)

__all__ = [
  'DistillationCosts',
  'Distilled',
  'Options',
  'Plan',
  'assistants',
  'check',
  'check_devices',
  'check_teacher',
  'compare',
  'costs',
  'describe',
  'describe_data',
  'describe_measure',
  'distil',
  'ensemble',
  'evaluate',
  'evaluate_one',
  'export',
  'fewer_examples',
  'load',
  'open_test',
  'plan',
  'predict',
  'read_note',
  'summarise',
  'train_scratch',
  'train_teacher',
  'train_teachers',
]


def __dir__() -> list[str]:
  return sorted(__all__)
