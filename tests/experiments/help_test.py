"""`--help` shows a binary's own flags, in groups, with an example."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]


def _help(program):
  result = subprocess.run(
    [sys.executable, '-m', f'experiments.{program}', '--help'],
    cwd=_ROOT,
    env={**os.environ, 'XLA_FLAGS': ''},
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert result.returncode == 0, result.stderr
  return result.stdout


@pytest.mark.parametrize(
  ('program', 'there', 'absent'),
  [
    ('distill', ['method', 'set', 'teacher_cache', 'workdir'], ['members']),
    ('train_teacher', ['teacher_epochs', 'workdir'], ['method', 'student']),
    ('evaluate', ['checkpoint', 'measures'], ['workdir', 'method']),
    ('cost', ['devices', 'method'], ['workdir', 'resume']),
    ('ensemble', ['members', 'method'], ['teacher_checkpoint']),
    ('assistants', ['assistants', 'method'], ['members']),
  ],
)
def test_help_lists_own_flags_in_groups(program, there, absent):
  text = _help(program)
  flags = re.findall(r'^  --(\w+):', text, re.MULTILINE)
  assert len(flags) == len(set(flags))
  assert {*there} <= {*flags}
  assert not {*absent} & {*flags}
  assert f'python -m experiments.{program}' in text  # an example
  assert re.search(r'^\w[\w\' ]+:$', text, re.MULTILINE)  # a group's title
  assert all(len(line) <= 80 for line in text.splitlines())
  assert 'helpfull' not in text
  # Flags of absl and of the libraries stay out.
  assert 'verbosity' not in flags
