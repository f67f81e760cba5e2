"""Whole ways to teach: from settings to trained students."""

from kdjax.recipes.cost import StepCosts, step_costs
from kdjax.recipes.distillation import (
  Distilled,
  distill,
  train_teacher,
)
from kdjax.recipes.errors import SettingsError
from kdjax.recipes.evaluation import evaluate
from kdjax.recipes.networks import Network, load_variables, make_model
from kdjax.recipes.preparation import prepare, prepare_teacher
from kdjax.recipes.run import Context, Experiment, Observer, Run
from kdjax.recipes.settings import Settings
from kdjax.recipes.summary import summarise
from kdjax.recipes.training_run import Trained, train

__all__ = [
  'Context',
  'Distilled',
  'Experiment',
  'Network',
  'Observer',
  'Run',
  'Settings',
  'SettingsError',
  'StepCosts',
  'Trained',
  'distill',
  'evaluate',
  'load_variables',
  'make_model',
  'prepare',
  'prepare_teacher',
  'step_costs',
  'summarise',
  'train',
  'train_teacher',
]
