"""The directory of a finished run that goes on."""

import json

import pytest

from kdjax import reports

_DEFAULTS = {'epochs': None, 'alpha': 0.1, 'stream': False, 'hint': None}
_SHORT = {**_DEFAULTS, 'program': 'distill', 'epochs': 40}
_LONG = {**_SHORT, 'epochs': 80}


@pytest.fixture
def finished(tmp_path):
  reports.claim(tmp_path, _SHORT, resume=False)
  (tmp_path / 'summary.json').write_text('{"seconds": 1}')
  return tmp_path


def _extend(path, settings):
  return reports.extend(
    path, settings, 40, may_differ=('epochs',), defaults=_DEFAULTS
  )


def _content(path):
  return {found.name: found.read_text() for found in path.iterdir()}


def test_new_settings_replace_the_old_and_the_summary_is_kept(finished):
  assert _extend(finished, _LONG) == finished
  content = _content(finished)
  assert json.loads(content.pop('settings.json')) == {
    **_LONG,
    'extended_from': 40,
  }
  assert content == {'summary_40.json': '{"seconds": 1}'}
  # The run now goes on with its new settings alone.
  reports.claim(finished, _LONG, resume=True)
  with pytest.raises(reports.WorkdirError, match='epochs=80, not 40; '):
    reports.claim(finished, _SHORT, resume=True)


def _refused(match, path, settings):
  before = _content(path) if path.exists() else None
  with pytest.raises(reports.WorkdirError, match=match) as caught:
    _extend(path, settings)
  assert '\n' not in str(caught.value)
  assert (_content(path) if path.exists() else None) == before


def test_other_settings_must_stay(finished):
  _refused(
    'alpha=0.1, not 0.5; leave out --alpha', finished, {**_LONG, 'alpha': 0.5}
  )


def test_a_run_must_have_finished(finished):
  (finished / 'summary.json').unlink()
  _refused('has not finished; .*--resume', finished, _LONG)


def test_there_must_be_a_run(tmp_path):
  _refused('holds no run', tmp_path, _LONG)
  _refused('holds no run', tmp_path / 'none', _LONG)


@pytest.mark.parametrize(
  ('saved', 'said'),
  [
    ({'epochs': 40}, 'epochs=40, not None; say --epochs=40, or name another'),
    ({'stream': True}, 'stream=True, not False; say --stream, or name'),
    ({'hint': 'stage1'}, "hint='stage1', not None; say --hint=stage1, or"),
    ({'program': 'cost'}, "program='cost', not 'distill'; name another"),
  ],
)
def test_a_refusal_says_which_flag_the_run_had(tmp_path, saved, said):
  now = {**_DEFAULTS, 'program': 'distill'}
  reports.claim(tmp_path, {**now, **saved}, resume=False)
  with pytest.raises(reports.WorkdirError, match=said):
    reports.claim(tmp_path, now, resume=True, defaults=_DEFAULTS)


def test_a_refusal_says_which_flag_the_run_had_not(tmp_path):
  now = {**_DEFAULTS, 'stream': True}
  reports.claim(tmp_path, _DEFAULTS, resume=False)
  with pytest.raises(reports.WorkdirError, match='leave out --stream, or name'):
    reports.claim(tmp_path, now, resume=True, defaults=_DEFAULTS)
