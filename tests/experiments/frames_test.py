"""A reader passes few frames from the binary to the student's step."""

import os
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).parents[2]
_SCRIPT = """
import runpy, sys, traceback
from kdjax.training import step

student_step = step._student_step

def noted(parts, state, teacher_outputs, batch):
  if teacher_outputs:
    frames = [
      f'{frame.filename}:{frame.name}'.removeprefix(ROOT + '/')
      for frame in traceback.extract_stack()[:-1]
      if frame.filename.startswith(ROOT + '/')
    ]
    print('FRAMES', *frames, 'student_step')
    step._student_step = student_step
  return student_step(parts, state, teacher_outputs, batch)

step._student_step = noted
sys.argv = ['distill', '--epochs=1', '--teacher_epochs=1', '--seeds=2',
            WORKDIR]
runpy.run_module('experiments.distill', run_name='__main__')
"""


def test_at_most_ten_frames_lead_to_the_students_step(tmp_path):
  script = _SCRIPT.replace('ROOT', repr(str(_ROOT)))
  script = script.replace('WORKDIR', repr(f'--workdir={tmp_path / "run"}'))
  result = subprocess.run(
    [sys.executable, '-c', script],
    cwd=_ROOT,
    env={**os.environ, 'XLA_FLAGS': ''},
    capture_output=True,
    text=True,
    timeout=300,
    check=False,
  )
  lines = [x for x in result.stdout.splitlines() if x.startswith('FRAMES')]
  assert lines, result.stderr
  frames = lines[0].split()[1:]
  print(*frames, sep='\n')  # shown when it fails
  assert frames[0] == 'experiments/distill.py:<module>'
  assert frames[1] == 'experiments/distill.py:main'
  assert 'kdjax/training/fitting.py:fit' in frames
  assert len(frames) <= 10, frames
