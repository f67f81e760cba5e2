"""Teachers, trained from labels."""

from kdjax import data, training
from kdjax.models import Model, Network
from kdjax.options import OptionError
from kdjax.recipes.planning import check_devices
from kdjax.tasks import Task
from kdjax.training import Budget, Experiment, Run, TeacherBudget


def train_teacher(
  experiment: Experiment,
  model: Model,
  task: Task | None = None,
  *,
  epochs: int | None = None,
  budget: Budget | None = None,
) -> Network:
  """Trains a teacher from labels; see `train_teachers`."""
  return train_teachers(experiment, model, task, epochs=epochs, budget=budget)[
    0
  ]


def train_teachers(
  experiment: Experiment,
  model: Model,
  task: Task | None = None,
  *,
  epochs: int | None = None,
  budget: Budget | None = None,
  members: int = 1,
  name: str = 'teacher',
) -> list[Network]:
  """Trains one or several teachers from labels, in one program.

  Args:
    experiment: As for `distil`.
    model: The teacher.
    task: With the examples that the teacher sees; the experiment's by default.
    epochs: How often it sees them; by default `budget.epochs`, or as many as
      make 1500 steps.
    budget: A budget of the teacher's own, such as
      `dataclasses.replace(experiment.budget, learning_rate=0.1)`; by default
      that of the experiment, without its epochs. The seeds are the
      experiment's.
    members: How many teachers, of seeds `data_seed`, `data_seed + 1`, ...
    name: Names the run.

  Raises:
    OptionError: if devices, batches and warm-up do not fit one another.
    DivergenceError: if the loss stops being finite.
    Interrupted: if a signal asked to stop.
  """
  task = task or experiment.task
  own = experiment.for_teacher(task, epochs, members, budget)
  check_devices(own)
  own.budget.check_warmup(name, own.epochs)
  run = Run(name, model, own.task.objective, own.teacher_key, own.epochs)
  fitted = training.fit(own, run)
  return [fitted.network(place) for place in range(members)]


def check_teacher(
  experiment: Experiment,
  task: Task,
  options: TeacherBudget,
  epochs: int | None = None,
) -> None:
  """Checks what `train_teacher` needs, before there is a directory.

  Args:
    experiment: As for `distil`.
    task: With the examples that the teacher sees.
    options: The teacher's own part of the budget.
    epochs: How often the teacher sees the examples.

  Raises:
    OptionError: if devices, batches and warm-up do not fit one another.
  """
  budget = options.of(experiment.budget)
  own = experiment.for_teacher(task, epochs, budget=budget)
  if options.batch_size is not None:  # otherwise the student's is checked
    check_devices(own, options.flag('batch_size'))
  warmup = options.flag('warmup_epochs')
  own.budget.check_warmup('teacher', own.epochs, warmup)


def fewer_examples(task: Task, examples: int | None, seed: int) -> Task:
  """Returns the task with a part of its training examples, for a teacher.

  Args:
    task: With all training examples.
    examples: How many, as balanced over the classes as possible; None or 0 for
      all. With one seed, a smaller part is within every larger one.
    seed: Seed of the draw; `budget.data_seed` draws the transfer set too.

  Raises:
    OptionError: if the task has fewer examples.
  """
  available = len(task.train)
  if examples is not None and examples > available:
    raise OptionError(
      'teacher_examples', examples, f'must be at most {available}'
    )
  if examples in (None, 0, available):
    return task
  chosen = data.transfer_subset(seed, task.train.labels(), examples)
  return task._replace(train=task.train.take(chosen))
