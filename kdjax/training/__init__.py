"""States, pure train steps, the programs that run them, and the loop.

`fit` trains one `Run` of an `Experiment`; `lower` returns the cost of its step.
"""

from kdjax.training.accumulation import accumulated, updates_every
from kdjax.training.ahead import Ahead
from kdjax.training.budget import Budget
from kdjax.training.build import (
  evaluate_network,
  is_measured,
  teacher_outputs_read,
)
from kdjax.training.cached_teacher import CachedTeacher
from kdjax.training.ending import DivergenceError, Interrupted, StopSignal
from kdjax.training.epoch_parts import Epoch
from kdjax.training.epochs import resident_epoch, stepped_epoch
from kdjax.training.evaluation import (
  Evaluation,
  resident_evaluation,
  streaming_evaluation,
)
from kdjax.training.experiment import Experiment, Nobody, Observer, Run
from kdjax.training.fitting import Fitted, fit, save
from kdjax.training.lowering import ProgramCost, StepCosts, lower, lower_student
from kdjax.training.optimizers import (
  freeze_unreached,
  make_optimizer,
  make_schedule,
)
from kdjax.training.parallel import AXIS, check_batch_size, replicate
from kdjax.training.processes import (
  initialize,
  is_first,
  told_by_first,
)
from kdjax.training.state import (
  AveragedState,
  TrainState,
  averaged,
  init_state,
  init_students,
  with_average,
)
from kdjax.training.step import make_eval_step, make_train_step
from kdjax.training.streaming import streaming_epoch
from kdjax.training.students import unrolled, vmapped
from kdjax.training.teacher_budget import TeacherBudget
from kdjax.training.teacher_cache import check_cache, open_cache
from kdjax.training.teacher_options import TeacherOptions

__all__ = [
  'AXIS',
  'Ahead',
  'AveragedState',
  'Budget',
  'CachedTeacher',
  'DivergenceError',
  'Epoch',
  'Evaluation',
  'Experiment',
  'Fitted',
  'Interrupted',
  'Nobody',
  'Observer',
  'ProgramCost',
  'Run',
  'StepCosts',
  'StopSignal',
  'TeacherBudget',
  'TeacherOptions',
  'TrainState',
  'accumulated',
  'averaged',
  'check_batch_size',
  'check_cache',
  'evaluate_network',
  'fit',
  'freeze_unreached',
  'init_state',
  'init_students',
  'initialize',
  'is_first',
  'is_measured',
  'lower',
  'lower_student',
  'make_eval_step',
  'make_optimizer',
  'make_schedule',
  'make_train_step',
  'open_cache',
  'replicate',
  'resident_epoch',
  'resident_evaluation',
  'save',
  'stepped_epoch',
  'streaming_epoch',
  'streaming_evaluation',
  'teacher_outputs_read',
  'told_by_first',
  'unrolled',
  'updates_every',
  'vmapped',
  'with_average',
]


def __dir__() -> list[str]:
  return sorted(__all__)
