"""States, pure train steps, and the programs that run them over devices."""

from kdjax.training.ahead import Ahead
from kdjax.training.cached_teacher import CachedTeacher
from kdjax.training.epoch_parts import Epoch
from kdjax.training.epochs import resident_epoch, stepped_epoch
from kdjax.training.evaluation import (
  Evaluation,
  resident_evaluation,
  streaming_evaluation,
)
from kdjax.training.loop import DivergenceError, Interrupted, StopSignal, fit
from kdjax.training.optimizers import (
  freeze_unreached,
  make_optimizer,
  make_schedule,
)
from kdjax.training.parallel import AXIS, replicate
from kdjax.training.state import TrainState, init_state, init_students
from kdjax.training.step import (
  Measure,
  accuracy,
  make_eval_step,
  make_train_step,
)
from kdjax.training.streaming import streaming_epoch
from kdjax.training.students import unrolled, vmapped

__all__ = [
  'AXIS',
  'Ahead',
  'CachedTeacher',
  'DivergenceError',
  'Epoch',
  'Evaluation',
  'Interrupted',
  'Measure',
  'StopSignal',
  'TrainState',
  'accuracy',
  'fit',
  'freeze_unreached',
  'init_state',
  'init_students',
  'make_eval_step',
  'make_optimizer',
  'make_schedule',
  'make_train_step',
  'replicate',
  'resident_epoch',
  'resident_evaluation',
  'stepped_epoch',
  'streaming_epoch',
  'streaming_evaluation',
  'unrolled',
  'vmapped',
]
