"""Prints what a step of distillation costs, from the compiler; runs none.

python -m experiments.cost --teacher=cnn_teacher --student=cnn_student
python -m experiments.cost --method=kd,rkd --batch_size=256 --devices=8
python -m experiments.cost --flagfile=experiments/flagfiles/NAME.flags

Takes the flags of `distill` and trains, reads and writes nothing of a run.
"""

from collections.abc import Sequence

import jax
from absl import app
from rich import box, console, table

from experiments import common, wiring
from kdjax import recipes, training
from kdjax.options import OptionError

common.define_devices_flag()
common.define_flags(*wiring.DISTILLATION)

_CAPTION = (
  'Per device. Teacher: its forward pass. Student: the step of one student, '
  'from labels. Loss: of one student, with gradients. One program: the whole '
  'step of all students; the teacher runs once for each batch. XLA counts the '
  'body of a loop once.'
)


def main(argv: Sequence[str]) -> None:
  """Compiles what the flags describe and prints its costs."""
  del argv
  given = common.asked(*wiring.DISTILLATION)
  devices = _devices(common.split_cpu())
  wired = wiring.wire(given, devices)
  costs = recipes.costs(
    wired.experiment, wired.student, wired.teacher_model, wired.method
  )
  output = console.Console()
  output.print(_title(wired, len(devices)))
  output.print(_table(costs))
  output.print(_CAPTION)
  parts = f'teacher + {costs.seeds} x (student + loss)'
  for stage in costs.programs:
    name = _row('one program', stage, costs)
    output.print(f'FLOPs of {name}: {costs.share(stage):.3f} of {parts}.')


def _devices(count: int | None) -> list[jax.Device]:
  local = jax.local_devices()
  if count is None:
    return local
  if count > len(local):
    raise OptionError(
      'devices',
      count,
      f'must be within 1 and {len(local)}, the local {local[0].platform} '
      'devices',
    )
  return local[:count]


def _title(wired: wiring.Wiring, devices: int) -> str:
  budget = wired.experiment.budget
  return (
    f'{wired.task.name}, {wired.method.name}, {wired.teacher_model.name} to '
    f'{wired.student.name}: a step of {budget.batch_size} examples on '
    f'{devices} device(s), {budget.seeds} seed(s)'
  )


def _table(costs: recipes.DistillationCosts) -> table.Table:
  rows = table.Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
  rows.add_column('', no_wrap=True)
  for name in ('GFLOPs', 'MB accessed', 'peak MB', 'parameters MB'):
    rows.add_column(name, justify='right', no_wrap=True)
  rows.add_row('teacher', *_cells(costs.teacher))
  rows.add_row('student', *_cells(costs.student))
  for stage, loss in costs.losses.items():
    rows.add_row(_row('loss', stage, costs), *_cells(loss))
    program = costs.programs[stage]
    rows.add_row(_row('one program', stage, costs), *_cells(program))
  return rows


def _row(name: str, stage: str, costs: recipes.DistillationCosts) -> str:
  """The name, with the stage's where there are several."""
  return name if len(costs.programs) == 1 else f'{name}, {stage}'


def _cells(program: training.ProgramCost) -> tuple[str, ...]:
  flops, *memory = program
  return tuple(
    f'{x:,.0f}' if x >= 999.5 else f'{x:.3g}'
    for x in (flops / 1e9, *(size / 1e6 for size in memory))
  )


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
