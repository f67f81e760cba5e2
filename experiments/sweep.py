r"""Distils over a grid of settings; one teacher, each scratch trained once.

python -m experiments.sweep --grid='temperature=5,10,20;alpha=0.2,0.5'
python -m experiments.sweep --grid='method="kd,rkd",dkd;student=mlp_student'
python -m experiments.sweep --grid=... --resume --workdir=runs/NAME

Takes the flags of `distill`. The teacher has the flags outside of the grid.
"""

import pathlib
from collections.abc import Sequence

from absl import app, flags

from experiments import cells, common, grid, wiring, workdirs
from kdjax import recipes, reports, tasks, training
from kdjax.training import Budget, Experiment

common.define_run_flags()
common.define_own_flag(
  'Sweep',
  'grid',
  None,
  'The settings to run, NAME=VALUE,VALUE,... with ; between flags of distill. '
  'A value with a comma stands in double quotes.',
  decides=False,
)
common.define_own_flag(
  'Sweep',
  'axes',
  '',
  'Which flags are the rows and columns of the table, as in '
  'rows:temperature;columns:alpha. Default: the two with most values; others '
  'go to the rows.',
  decides=False,
)
common.define_flags(*wiring.DISTILLATION)
flags.mark_flag_as_required('grid')


def main(argv: Sequence[str]) -> None:
  """Runs and reports the sweep that the flags describe."""
  del argv
  axes = grid.parse(common.FLAGS.grid)
  asked = grid.cells(axes)
  rows, columns = grid.arranged(common.FLAGS.axes, axes)
  given = common.asked(*cells.TEACHER)
  common.use_devices()
  opened = wiring.Opened()
  _, task = opened.load(given[tasks.Options])
  recipes.check_devices(Experiment(task, given[Budget], pathlib.Path()))
  cells.check(asked, opened)
  workdir = workdirs.claim_workdir(
    'sweep',
    workdirs.flags_of(*wiring.DISTILLATION),
    wiring.DISTILLATION,
    *(task.name, 'sweep'),
  )
  with training.StopSignal() as stop:
    cells.run(asked, workdir, opened, stop)
  if not training.is_first():
    return
  entries = cells.read(asked, workdir)
  table = reports.tabulate(entries, axes, rows=rows, columns=columns)
  reports.write_grid(workdir, table)
  reports.print_grid(table)
  print(f'Written to {workdir}')
  failed = [entry.name for entry in entries if entry.failed]
  if failed:
    common.fail(f'{len(failed)} of {len(asked)} cells failed', code=1)


if __name__ == '__main__':
  with common.errors():
    app.run(main, flags_parser=common.parse)
