"""`--help` shows a binary's own flags, in groups, with an example."""

import ast
import dataclasses
import functools
import os
import pathlib
import re
import subprocess
import sys

import pytest

from experiments import wiring
from kdjax import models, recipes, tasks, training

_ROOT = pathlib.Path(__file__).parents[2]
_RUN = {'workdir', 'resume', 'extend', 'devices'}
_PROCESSES = {'coordinator_address', 'num_processes', 'process_id', 'cluster'}
_TEACHER = (
  *(tasks.Options, models.Options, recipes.Options),
  *(training.Budget, training.TeacherBudget),
)


def _flags(*classes, without=()):
  """Default by name of the flags that the classes of options ask for."""
  return {
    kind.prefix + field.name: field.default
    for kind in classes
    for field in dataclasses.fields(kind)
    if kind.prefix + field.name not in without
  }


def _also(*names):
  return dict.fromkeys(names)


# A student's options mean nothing where only a teacher trains.
_NOT_A_TEACHERS = {
  *('transfer_examples', 'transfer', 'student', 'teacher_checkpoint'),
  'scratch',
  *('epochs', 'seeds', 'seed', 'student_checkpoint'),
  *('teacher_batch_size', 'teacher_optimizer', 'teacher_learning_rate'),
  *('teacher_schedule', 'teacher_milestones', 'teacher_warmup_epochs'),
  *('teacher_accumulate', 'teacher_ema', 'teacher_weight_decay'),
}
_DISTILLATION = _flags(*wiring.DISTILLATION)
_JOB = {
  **_also(*_RUN, *_PROCESSES),
  'resume': False,
  'extend': False,
  'cluster': False,
}
_EXPECTED = {
  'distill': _JOB | _DISTILLATION,
  'train_teacher': _JOB | _flags(*_TEACHER, without=_NOT_A_TEACHERS),
  'evaluate': _also('checkpoint', 'model', 'mean', 'std', 'measures')
  | _also('teacher_checkpoint', 'dataset', 'data_dir', 'image_size')
  | {'test_fraction': None, 'broken_images': 'refuse'},
  'export': _also('checkpoint', 'output', 'names')
  | {'format': 'safetensors', 'place': 0},
  'cost': _also('devices') | _DISTILLATION,
  'models': {'names': '', 'image_size': 32, 'channels': 3, 'classes': 10},
  'ensemble': _JOB
  | _flags(*wiring.DISTILLATION, without={'teacher_checkpoint'})
  | {'teachers': '', 'members': 3, 'of_logits': False},
  'sweep': _JOB | _DISTILLATION | _also('grid', 'axes'),
  'compare': _also('measure', 'axes', 'over', 'out'),
  'assistants': _JOB | _DISTILLATION | {'assistants': ''},
}


@functools.cache
def _help(program, flag='--help'):
  result = subprocess.run(
    [sys.executable, '-m', f'experiments.{program}', flag],
    cwd=_ROOT,
    env={**os.environ, 'XLA_FLAGS': ''},
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert result.returncode == 0, result.stderr
  assert not result.stderr
  return result.stdout


def _shown(text):
  """Title of a group -> (name, help text) of its flags."""
  groups = {}
  for block in text.split('\n\n'):
    title, *lines = block.splitlines()
    if re.fullmatch(r"[A-Z][\w' ]*:", title):
      flags = re.split(r'^  --', '\n'.join(lines), flags=re.MULTILINE)[1:]
      pairs = (' '.join(flag.split()).split(': ', 1) for flag in flags)
      groups[title.rstrip(':')] = [(name, text) for name, text in pairs]
  return groups


@pytest.mark.parametrize('program', _EXPECTED)
def test_help_shows_every_own_flag_once_in_a_group(program):
  text, expected = _help(program), _EXPECTED[program]
  groups = _shown(text)
  flags = [flag for group in groups.values() for flag in group]
  names = [name for name, _ in flags]
  assert sorted(names) == sorted(expected)
  assert text.count('\n  --') == len(names)  # none stands outside of a group
  assert all(groups.values())
  for name, shown in flags:
    default = expected[name]
    if isinstance(default, bool):
      default = str(default).lower()
    if default not in (None, ''):
      assert shown.endswith(f' [{default}]'), name
    else:
      assert not shown.endswith(']'), name
  assert all(len(line) <= 80 for line in text.splitlines())
  assert 'helpfull' not in text


@pytest.mark.parametrize('program', _EXPECTED)
def test_help_begins_with_what_the_binary_says_of_itself(program):
  source = (_ROOT / 'experiments' / f'{program}.py').read_text('utf-8')
  doc = ast.get_docstring(ast.parse(source))
  assert doc
  assert re.search(rf'^python -m experiments\.{program}\b', doc, re.MULTILINE)
  assert _help(program).startswith(doc)


def test_a_short_flag_asks_for_help_too():
  assert _help('evaluate', '-h') == _help('evaluate')


def test_the_groups_of_distill():
  groups = {
    title: [name for name, _ in flags]
    for title, flags in _shown(_help('distill')).items()
  }
  assert list(groups) == [
    'Run',
    'Several processes',
    'Data',
    'Networks',
    'Method',
    'Experiment',
    'Training',
    "Teacher's training",
    "Teacher's outputs",
  ]
  assert {*groups['Run']} == _RUN
  assert {*groups['Several processes']} == _PROCESSES
  assert groups['Method'][:3] == ['method', 'temperature', 'alpha']


def test_a_flag_of_a_student_is_absent_where_a_teacher_trains():
  shown = _help('train_teacher')
  for name in ('method', 'student', 'seeds', 'transfer_examples', 'scratch'):
    assert name in _EXPECTED['distill']
    assert f'--{name}:' not in shown
