"""A directory belongs to one experiment, and nothing is written over."""

import json

import pytest

from kdjax import reports

_SETTINGS = {'program': 'distill', 'epochs': 3, 'alpha': 0.1, 'hint': None}


def _claim(path, resume=False, **changes):
  return reports.claim(path, {**_SETTINGS, **changes}, resume=resume)


def _content(path):
  return {
    found.relative_to(path): found.read_bytes() if found.is_file() else None
    for found in path.rglob('*')
  }


@pytest.mark.parametrize('resume', [False, True])
def test_a_new_directory_is_made(tmp_path, resume):
  path = tmp_path / 'a' / 'b'
  assert _claim(path, resume) == path
  assert json.loads((path / 'settings.json').read_text()) == _SETTINGS
  assert [found.name for found in path.iterdir()] == ['settings.json']


def test_an_empty_directory_is_taken(tmp_path):
  assert _claim(str(tmp_path)) == tmp_path
  assert (tmp_path / 'settings.json').exists()


def test_the_same_settings_resume(tmp_path):
  _claim(tmp_path)
  (tmp_path / 'metrics.jsonl').write_text('kept')
  before = _content(tmp_path)
  assert _claim(tmp_path, resume=True) == tmp_path
  assert _content(tmp_path) == before


def _refused(match, *args, **kwargs):
  with pytest.raises(reports.WorkdirError, match=match) as caught:
    _claim(*args, **kwargs)
  assert '\n' not in str(caught.value)
  assert str(caught.value).startswith('workdir=')


def test_the_same_settings_need_to_ask_for_it(tmp_path):
  _claim(tmp_path)
  before = _content(tmp_path)
  _refused('--resume', tmp_path)
  assert _content(tmp_path) == before


@pytest.mark.parametrize('resume', [False, True])
@pytest.mark.parametrize(
  ('changes', 'named'),
  [
    ({'epochs': 4}, 'epochs=3, not 4'),
    ({'program': 'train_teacher'}, "program='distill', not 'train_teacher'"),
    ({'added': 1}, 'added=None, not 1'),
    ({'hint': 'stage1'}, "hint=None, not 'stage1'"),
  ],
)
def test_other_settings_are_named(tmp_path, resume, changes, named):
  _claim(tmp_path)
  before = _content(tmp_path)
  _refused(named, tmp_path, resume, **changes)
  assert _content(tmp_path) == before


@pytest.mark.parametrize('resume', [False, True])
def test_a_directory_of_something_else_is_left_alone(tmp_path, resume):
  (tmp_path / 'thesis.tex').write_text('years of work')
  before = _content(tmp_path)
  _refused('must be new or empty', tmp_path, resume)
  assert _content(tmp_path) == before


def test_a_file_is_no_directory(tmp_path):
  path = tmp_path / 'file'
  path.write_text('content')
  _refused('must be a directory', path)
  assert path.read_text() == 'content'


def test_settings_cut_short_are_one_line(tmp_path):
  (tmp_path / 'settings.json').write_text('{"epochs": 3')
  _refused('settings.json', tmp_path)


def test_a_setting_that_there_was_not_had_its_default(tmp_path):
  _claim(tmp_path)
  wider = {**_SETTINGS, 'new': 2}
  with pytest.raises(reports.WorkdirError, match='new=None, not 2'):
    reports.claim(tmp_path, wider, resume=True)
  with pytest.raises(reports.WorkdirError, match='new=1, not 2'):
    reports.claim(tmp_path, wider, resume=True, defaults={'new': 1})
  reports.claim(tmp_path, wider, resume=True, defaults={'new': 2, 'epochs': 9})


def test_a_failure_is_noted_and_forgotten(tmp_path):
  assert reports.read_failure(tmp_path) is None
  reports.write_failure(tmp_path, 'out of memory')
  assert reports.read_failure(tmp_path) == 'out of memory'
  for _ in range(2):
    reports.write_failure(tmp_path, None)
    assert reports.read_failure(tmp_path) is None
