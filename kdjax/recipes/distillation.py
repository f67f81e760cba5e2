"""The whole experiment: a teacher, a student from scratch, one distilled."""

import pathlib
from typing import Any, NamedTuple

import jax

from kdjax import data, transforms
from kdjax.recipes.methods import Stage
from kdjax.recipes.networks import (
  Network,
  distilled_model,
  first_network,
  make_model,
  reused_classifier,
  reused_teacher,
  teaching_model,
)
from kdjax.recipes.preparation import stages as method_stages
from kdjax.recipes.run import Context, Experiment, Observer, Run
from kdjax.recipes.settings import Settings
from kdjax.recipes.teacher_cache import open_cache
from kdjax.recipes.training_run import Trained, train
from kdjax.training import CachedTeacher, loop


class Distilled(NamedTuple):
  """What a distillation found.

  Attributes:
    experiment: What was asked for.
    teacher: The teacher.
    student: The first distilled student.
    scratch: The students trained from labels, or None.
    distilled: The students trained by the method; steps and seconds of all
      its stages.
    cached: What the teacher's outputs were read from, or None.
  """

  experiment: Experiment
  teacher: Network
  student: Network
  scratch: Trained | None
  distilled: Trained
  cached: CachedTeacher | None = None


def train_teacher(
  experiment: Experiment,
  workdir: str | pathlib.Path,
  observer: Observer,
  stop: loop.StopSignal | None = None,
) -> Network:
  """Trains only the teacher, on all training examples, from labels.

  Args:
    experiment: From `prepare`.
    workdir: Where the model and its checkpoints go; a run that stopped there
      is continued.
    observer: Is told of every epoch.
    stop: Ends the run early, or None.

  Raises:
    DivergenceError: if the loss stops being finite.
    Interrupted: if a signal asked to stop.
  """
  context = Context(
    experiment.settings,
    experiment.dataset,
    pathlib.Path(workdir),
    observer,
    stop,
  )
  return _train_teacher(context)


def _train_teacher(context: Context) -> Network:
  """Trains the teacher on all training examples, from labels."""
  settings = context.settings
  name = settings.teacher
  teacher_key, _ = _keys(settings)
  model = make_model(settings, context.dataset, name)
  trained = train(
    context,
    Run(
      name='teacher',
      architecture=name,
      model=model,
      loss=transforms.weighted_sum(labels=(1.0, transforms.labels())),
      source=context.dataset.train,
      key=teacher_key,
      epochs=settings.teacher_epochs,
      seeds=(settings.data_seed,),
    ),
  )
  return first_network(name, model, trained)


def distill(
  experiment: Experiment,
  workdir: str | pathlib.Path,
  observer: Observer,
  stop: loop.StopSignal | None = None,
) -> Distilled:
  """Runs the whole experiment: teacher, student from scratch, distilled.

  The student from scratch starts from the same parameters as the distilled
  one, sees the same examples in the same order for as many epochs, and is
  evaluated in the same way, after the last epoch.

  Args:
    experiment: From `prepare`.
    workdir: Where models and checkpoints go; an experiment that stopped there
      is continued.
    observer: Is told of every epoch.
    stop: Ends the run early, or None.

  Raises:
    SettingsError: if `teacher_checkpoint` is not the teacher, or
      `teacher_cache_dir` holds the outputs of another one.
    DivergenceError: if a loss stops being finite.
    Interrupted: if a signal asked to stop.
  """
  settings, dataset, source = experiment
  context = Context(settings, dataset, pathlib.Path(workdir), observer, stop)
  assert source is not None  # `prepare_teacher` does not lead here
  if settings.teacher_checkpoint:
    teacher = reused_teacher(context)
  else:
    teacher = _train_teacher(context)
  scratch = _train_scratch(context, source) if settings.scratch else None
  stages = method_stages(settings, dataset, source, teacher.variables)
  cached = open_cache(context, source, teacher.variables, stages)
  distilled = _train_stages(context, source, teacher, stages, cached)
  model = distilled_model(settings, dataset, teacher.variables)
  student = first_network(settings.student, model, distilled)
  return Distilled(experiment, teacher, student, scratch, distilled, cached)


def _student_run(context: Context, source: data.Source, **kwargs: Any) -> Run:
  """A run of the students on the transfer set."""
  settings = context.settings
  _, student_key = _keys(settings)
  return Run(
    architecture=settings.student,
    source=source,
    key=student_key,
    seeds=tuple(range(settings.seed, settings.seed + settings.seeds)),
    **kwargs,
  )


def _train_scratch(context: Context, source: data.Source) -> Trained:
  settings = context.settings
  return train(
    context,
    _student_run(
      context,
      source,
      name='scratch',
      model=make_model(settings, context.dataset, settings.student),
      loss=transforms.weighted_sum(labels=(1.0, transforms.labels())),
      epochs=settings.epochs,
    ),
  )


def _train_stages(
  context: Context,
  source: data.Source,
  teacher: Network,
  stages: tuple[Stage, ...],
  cached: CachedTeacher | None,
) -> Trained:
  """Trains through the stages, each from where the one before it ended."""
  teaching = teaching_model(context.settings, context.dataset)
  model = distilled_model(context.settings, context.dataset, teacher.variables)
  offset, steps, seconds, start = 0, 0, 0.0, None
  for stage in stages:
    trained = train(
      context,
      _student_run(
        context,
        source,
        name=stage.name,
        model=model,
        classifier_of=reused_classifier(context.settings),
        loss=stage.loss,
        epochs=stage.epochs,
        epoch_offset=offset,
        teacher=teaching,
        teacher_variables=teacher.variables,
        cached=cached,
        start=start,
        freeze_unreached=stage.freeze_unreached,
      ),
    )
    offset, start = offset + stage.epochs, trained.variables
    steps, seconds = steps + trained.steps, seconds + trained.seconds
  return trained._replace(steps=steps, seconds=seconds)


def _keys(settings: Settings) -> jax.Array:
  """Keys of the teacher's and of the students' data."""
  return jax.random.split(jax.random.key(settings.data_seed))
