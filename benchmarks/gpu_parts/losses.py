"""The angle loss and the vocabulary loss, value and gradient, on the device."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import relational, vocabulary_forms
from benchmarks.gpu_parts import beside, timing
from benchmarks.gpu_parts.report import Job, Report, Work
from benchmarks.gpu_parts.settings import Settings
from kdjax import losses

_ANGLE_OPERATIONS = 40  # of a triple, in value and gradient
_CHECKED_TOKENS, _CHECKED_VOCABULARY = 64, 1000


def angle(settings: Settings, report: Report) -> None:
  """Rows of the angle loss; both sides must agree first."""
  _check_angle(min(settings.sizes), settings.dim)
  for size in settings.sizes:
    job = Job(
      f'angle loss, {size} x {settings.dim}, float32',
      Work(_ANGLE_OPERATIONS * size**3 / 2, 'float32 elementwise'),
    )
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((2, size, settings.dim), np.float32)
    _theirs(settings, report, job, functools.partial(_pytorch_angle, inputs))
    ours = functools.partial(_form, _angle, list(inputs), (0,))
    _measure(settings, report, job, 'kdjax', ours)


def vocabulary(settings: Settings, report: Report) -> None:
  """Rows of soft targets between two heads; all forms must agree first."""
  forms: dict[str, Callable] = {
    f'kdjax, chunks of {chunk}': functools.partial(
      losses.linear_soft_target_loss, chunk=chunk
    )
    for chunk in settings.chunks
  }
  forms['kdjax, whole logits'] = vocabulary_forms.whole
  _check_vocabulary(forms)
  tokens, classes = settings.tokens, settings.vocabulary
  inputs = vocabulary_forms.arrays(tokens, classes)
  student, teacher = vocabulary_forms.DIMS
  flops = 2.0 * tokens * classes * (3 * student + teacher)
  jobs = {
    precision: Job(
      f'vocabulary loss, {tokens} x {classes}, {precision}',
      Work(flops, f'{precision} product'),
    )
    for precision in settings.precisions
  }
  # PyTorch first: JAX does not give back memory that it has once had.
  for precision, job in jobs.items():
    theirs = functools.partial(_pytorch_vocabulary, inputs, precision)
    _theirs(settings, report, job, theirs)
  for precision, job in jobs.items():
    trained, dtype = vocabulary_forms.TRAINED, jnp.dtype(precision)
    for name, form in forms.items():
      ours = functools.partial(_form, form, inputs, trained, dtype)
      _measure(settings, report, job, name, ours)


def _theirs(
  settings: Settings,
  report: Report,
  job: Job,
  make: Callable[[str], timing.Form],
) -> None:
  """PyTorch's rows, one a mode."""
  for mode in settings.torch:
    limit = None if mode == 'eager' else settings.compile_seconds
    form = functools.partial(make, mode)
    absence = beside.absence()
    _measure(settings, report, job, f'PyTorch {mode}', form, limit, absence)


def _measure(
  settings: Settings,
  report: Report,
  job: Job,
  name: str,
  make: Callable[[], timing.Form],
  limit: float | None = None,
  absence: str = '',
) -> None:
  """One row: forms are not timed in turns, together they need too much."""
  note = absence or ('not begun: the time was up' if settings.late else '')
  if note:
    report.add(job, name, timing.Timing(note=note))
    return
  limits = {name: limit} if limit else {}
  found = timing.take_turns({name: make}, settings.seconds, limits=limits)
  report.add(job, name, found[name])
  timing.clear()


def _form(
  loss: Callable,
  inputs: Sequence[np.ndarray],
  trained: tuple[int, ...],
  dtype: jnp.dtype | None = None,
) -> timing.Form:
  """Value and gradients in JAX; the compiler tells what memory it needs."""
  arrays = [jnp.asarray(x, dtype) for x in inputs]
  step = jax.jit(jax.value_and_grad(loss, argnums=trained))
  held: list = []

  def start():
    # Compiled at the first start, so that this is timed as compilation.
    if not held:
      held.append(step.lower(*arrays).compile())
    return held[0](*arrays)

  def memory():
    analysis = held[0].memory_analysis()
    return (
      analysis.argument_size_in_bytes
      + analysis.output_size_in_bytes
      + analysis.temp_size_in_bytes
    )

  return timing.Form(start, memory=memory)


_angle = losses.relational_angle_loss


def _pytorch_angle(inputs: np.ndarray, mode: str) -> timing.Form:
  from benchmarks.pytorch import relation, steps

  _, size, dim = inputs.shape
  # What two networks keep for the backward pass: the directions and cosines.
  needed, there = 8 * (size**3 + size**2 * dim), beside.total_memory()
  if there is not None and needed > there:
    raise MemoryError(
      f'skipped: it keeps at least {needed / 1e9:.0f} GB of cosines and '
      f'directions, the device has {there / 1e9:.0f}'
    )
  steps.allow_tf32()
  loss = relation.relational_angle_loss
  return beside.form(
    steps.value_and_gradients(
      loss, list(inputs), (0,), device=beside.device(), mode=mode
    )
  )


def _pytorch_vocabulary(
  inputs: Sequence[np.ndarray], precision: str, mode: str
) -> timing.Form:
  import torch

  from benchmarks.pytorch import steps

  steps.allow_tf32()
  return beside.form(
    steps.value_and_gradients(
      vocabulary_forms.pytorch,
      inputs,
      vocabulary_forms.TRAINED,
      device=beside.device(),
      dtype=getattr(torch, precision),
      mode=mode,
    )
  )


def _check_angle(size: int, dim: int) -> None:
  """Raises ValueError unless value and gradient agree in float64."""
  if beside.absence():
    print('angle loss: not compared,', beside.absence())
    return
  from benchmarks.pytorch import relation

  shape = (min(size, 128), dim)
  case = relational.Case('angle', _angle, relation.relational_angle_loss, shape)
  inputs = np.random.default_rng(0).normal(size=(2, *shape))
  apart = relational.check(case, inputs)
  print(f'angle loss: gradients differ by {apart:.0e} in float64', flush=True)


def _check_vocabulary(forms: dict[str, Callable]) -> None:
  """Raises ValueError unless value and gradients agree in float32, small."""
  if beside.absence():
    print('vocabulary loss: not compared,', beside.absence())
    return
  inputs = vocabulary_forms.arrays(_CHECKED_TOKENS, _CHECKED_VOCABULARY)
  expected = vocabulary_forms.pytorch_step(inputs)()
  for name, form in forms.items():
    step = jax.jit(jax.value_and_grad(form, argnums=vocabulary_forms.TRAINED))
    with jax.default_matmul_precision('highest'):
      vocabulary_forms.check(name, step(*inputs), expected)
  print('vocabulary loss: all forms agree', flush=True)
