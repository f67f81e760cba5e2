"""Distillation of CIFAR's ResNets: steps a second, beside PyTorch's."""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu_parts import beside, timing
from benchmarks.gpu_parts.cases import CLASSES, SIDE, Case
from benchmarks.gpu_parts.report import Report
from benchmarks.gpu_parts.settings import Settings
from kdjax import data, models, training, transforms

# CIFAR-10's, in units of a pixel.
_STATISTICS = ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7))
_OVER = {'unrolled': training.unrolled, 'vmapped': training.vmapped}


def rows(settings: Settings, report: Report) -> None:
  """All jobs beside PyTorch eager first, then what is long in compiling."""
  cases = [
    Case(depths, batch, seeds, precision)
    for batch, seeds, precision, depths in itertools.product(
      settings.batches, settings.seeds, settings.precisions, settings.pairs
    )
  ]
  rng = np.random.default_rng(0)
  shape = (settings.examples, SIDE, SIDE, 3)
  examples = {
    'image': rng.integers(0, 256, shape, np.uint8),
    'label': rng.integers(0, CLASSES, settings.examples, np.int32),
  }
  eager = [mode for mode in settings.torch if mode == 'eager']
  others = [mode for mode in settings.torch if mode != 'eager']
  for modes, kdjax in ((eager, True), *(([mode], False) for mode in others)):
    for case in cases:
      makers: dict[str, Callable[[], timing.Form]] = {
        f'PyTorch {mode}': functools.partial(_theirs, case, examples, mode)
        for mode in modes
      }
      makers |= _ours_by_name(settings, case, examples) if kdjax else {}
      _measure(settings, report, case, makers)


def _measure(
  settings: Settings, report: Report, case: Case, makers: dict
) -> None:
  """Adds a case's rows."""
  absence = beside.absence()
  notes = {
    name: absence if name.startswith('PyTorch') else '' for name in makers
  }
  if settings.late:
    notes = {
      name: note or 'not begun: the time was up' for name, note in notes.items()
    }
  found = timing.take_turns(
    {name: make for name, make in makers.items() if not notes[name]},
    settings.seconds,
    limits={
      name: settings.compile_seconds
      for name in makers
      if name.startswith('PyTorch')
    },
  )
  for name in makers:
    timed = found.get(name) or timing.Timing(note=notes[name])
    report.add(case.job(), name, timed)
  timing.clear()


def _ours_by_name(
  settings: Settings, case: Case, examples: dict[str, np.ndarray]
) -> dict[str, Callable[[], timing.Form]]:
  """Forms of kdjax: ways to run several students, and a teacher ahead."""
  overs = settings.over_students if case.seeds > 1 else ('',)
  forms: dict[str, Callable[[], timing.Form]] = {}
  for over, batches in itertools.product(overs, settings.teacher_batches):
    name = f'kdjax {over}'.rstrip()
    name += f', teacher {batches} batches' if batches > 1 else ''
    forms[name] = functools.partial(
      ours, case, examples, _OVER.get(over), batches
    )
  return forms


def ours(
  case: Case,
  examples: dict[str, np.ndarray],
  over: Callable | None,
  teacher_batches: int = 1,
) -> timing.Form:
  """An epoch as one program: order, augmentation, teacher and students."""
  teacher, student = (
    models.normalised(
      models.create(
        f'resnet{depth}', classes=CLASSES, dtype=jnp.dtype(case.precision)
      ),
      *_STATISTICS,
    )
    for depth in case.depths
  )
  variables, states = _start(case, teacher, student)
  if over is None:
    states = jax.tree.map(lambda x: x[0], states)
  devices = jax.local_devices()[:1]
  ahead = None
  if teacher_batches > 1:
    ahead = training.Ahead(teacher, ('logits',), teacher_batches)
  run = training.resident_epoch(
    training.make_train_step(
      student,
      *_objective(),
      teacher=None if ahead else teacher,
      axis_name=training.AXIS,
      over_students=over,
    ),
    variables,
    data.from_arrays(**examples),
    data.crop_flip_views(padding=4).augment,
    key=jax.random.key(1),
    batch_size=case.batch,
    devices=devices,
    ahead=ahead,
  )
  steps = -(-len(examples['label']) // case.batch)
  return _epoch(run, training.replicate(states, devices), steps)


def _objective():
  """Loss and optimizer: labels and soft targets, SGD."""
  loss = transforms.weighted_sum(
    labels=(0.1, transforms.labels()),
    soft=(0.9, transforms.soft_targets(temperature=4.0)),
  )
  return loss, training.make_optimizer('sgd', 0.05, weight_decay=5e-4)


def _start(case: Case, teacher: models.Model, student: models.Model):
  """Variables of a teacher and states of students, on the host."""
  batch = {'image': jax.ShapeDtypeStruct((2, SIDE, SIDE, 3), jnp.uint8)}
  shapes = jax.eval_shape(teacher.init, jax.random.key(0), batch)
  outputs = jax.eval_shape(teacher.apply, shapes, batch)[0]
  states = jax.eval_shape(
    lambda: training.init_students(
      range(case.seeds), student, *_objective(), batch, outputs
    )
  )
  return _filled(shapes), _filled(states)


def _filled(shapes: Any) -> Any:
  """Random kernels: to compile `init` would take as long as the epoch."""
  rng = np.random.default_rng(0)

  def fill(path, leaf):
    name = jax.tree_util.keystr(path)
    if 'opt_state' not in name and name.endswith("['kernel']"):
      fan_in = math.prod(leaf.shape[-4 if 'conv' in name else -2 : -1])
      values = rng.standard_normal(leaf.shape, np.float32)
      return values / np.float32(fan_in**0.5)
    one = 'opt_state' not in name and name.endswith(("['scale']", "['var']"))
    return np.full(leaf.shape, int(one), leaf.dtype)

  return jax.tree_util.tree_map_with_path(fill, shapes)


def _epoch(run: Callable, states: training.TrainState, steps: int):
  """Epochs that go on from one another: the states are donated."""
  before = timing.peak_bytes()
  now = [states]

  def start():
    now[0], metrics = run(now[0], 0)
    return metrics

  def memory():
    # The peak of all rows so far; of this one only where it has risen.
    peak = timing.peak_bytes()
    return peak if peak and peak > (before or 0) else None

  return timing.Form(start, steps=steps, memory=memory)


def _theirs(
  case: Case, examples: dict[str, np.ndarray], mode: str
) -> timing.Form:
  """PyTorch's epoch; its networks must be of the same sizes.

  Raises:
    ValueError: if they are not.
  """
  from benchmarks.pytorch import distillation

  loop = distillation.Loop(
    examples,
    _STATISTICS,
    case.depths,
    batch=case.batch,
    seeds=case.seeds,
    precision=case.precision,
    mode=mode,
    device=beside.device(),
  )
  sizes = tuple(map(parameters, case.depths))
  if loop.sizes != sizes:
    raise ValueError(f'{loop.sizes} parameters in PyTorch, {sizes} in kdjax')
  return beside.form(loop.epoch, loop.steps)


@functools.cache
def parameters(depth: int) -> int:
  """Of kdjax's network."""
  model = models.create(f'resnet{depth}', classes=CLASSES)
  batch = {'image': jnp.zeros((1, SIDE, SIDE, 3))}
  params = jax.eval_shape(model.init, jax.random.key(0), batch).params
  return sum(x.size for x in jax.tree.leaves(params))
