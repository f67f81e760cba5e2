"""Several distillations as a table: places, the best, notes, words."""

import io
import json

import pytest
from matplotlib import image
from rich import console

from kdjax import reports

_ACCURACY = {'name': 'accuracy', 'unit': '%', 'higher_is_better': True}
_LOSS = {'name': 'loss', 'unit': 'nats', 'higher_is_better': False}


def _entry(name, settings, values, **changes):
  """Two seeds whose accuracy and loss are `values` and `1 - values`."""
  measures = {
    'accuracy': {
      **_ACCURACY,
      'distilled': reports.spread('accuracy', values),
      'gain': {'mean': 0.02, 'ci95': [0.01, 0.03]},
    },
    'loss': {
      **_LOSS,
      'distilled': reports.spread('loss', [1 - x for x in values]),
      'gain': None,
    },
  }
  entry = reports.Entry(
    name,
    settings,
    'digits',
    'kd',
    'small',
    10,
    'big',
    (0, 1),
    'accuracy',
    measures,
  )
  return entry._replace(**changes)


def _grid():
  """Two by three cells, of which one is absent and one failed."""
  found = [
    _entry(f't{t}a{a}', {'t': str(t), 'a': str(a)}, [t / 100, t / 100 + a])
    for t in (10, 2)
    for a in (0.1, 0.2, 0.5)
    if (t, a) != (2, 0.5)
  ]
  found[1] = reports.Entry('t10a0.2', found[1].settings, failed='out | memory')
  return found


def test_axes_are_the_settings_that_differ():
  found = [
    reports.Entry('x', {'t': '10', 'm': 'kd', 'same': '1'}),
    reports.Entry('y', {'t': '2', 'm': 'at', 'same': '1', 'more': '3'}),
  ]
  assert reports.differing(found) == {
    't': ['2', '10'],  # numbers by size, names as they come
    'm': ['kd', 'at'],
    'more': ['default', '3'],
  }


def test_the_longest_axis_makes_the_rows():
  table = reports.tabulate(_grid())
  assert (table['rows'], table['columns']) == (['a'], ['t'])
  assert table['axes'] == {'t': ['2', '10'], 'a': ['0.1', '0.2', '0.5']}
  assert table['measure'] == _ACCURACY
  assert table['title'] == (
    'digits, kd: test accuracy after the last epoch, 2 seed(s)'
  )
  cell = table['cells'][0]
  assert cell['settings'] == {'t': '10', 'a': '0.1'}
  assert cell['values'] == [0.1, 0.2]
  assert cell['mean'] == pytest.approx(0.15)
  assert cell['gain'] == {'mean': 0.02, 'ci95': [0.01, 0.03]}


@pytest.mark.parametrize(
  ('measure', 'best'), [('accuracy', 't10a0.5'), ('loss', 't10a0.5')]
)
def test_the_best_is_marked_and_said_to_be_flattered(measure, best):
  # The means of accuracy are 0.15, 0.35, 0.07, 0.12; the loss is 1 - accuracy.
  table = reports.tabulate(_grid(), measure=measure)
  assert table['best'] == best
  (note,) = [x for x in table['notes'] if x.startswith('Best')]
  assert 'best of 4 is flattered' in note


def test_markdown_by_hand():
  axes = {'t': ['10', '2'], 'a': ['0.1', '0.2', '0.5']}
  text = reports.markdown(reports.tabulate(_grid(), axes, rows=['t']))
  gain = '<br>+2.00 (+1.00 to +3.00)'
  assert text.splitlines()[:6] == [
    '**digits, kd: test accuracy after the last epoch, 2 seed(s)**',
    '',
    '| t | a=0.1 | a=0.2 | a=0.5 |',
    '| --- | ---: | ---: | ---: |',
    f'| 10 | 15.00 ± 7.07{gain} | failed | 35.00 ± 35.36 *{gain} |',
    f'| 2 | 7.00 ± 7.07{gain} | 12.00 ± 14.14{gain} |  |',
  ]
  assert '- t10a0.2 failed: out | memory' in text


def test_runs_that_make_no_grid_have_a_row_each():
  found = [
    _entry(name, {'a': a, 'b': b, 'c': c}, [0.5, 0.75])
    for name, a, b, c in (('x', '1', '1', '1'), ('y', '2', '2', '2'))
  ]
  table = reports.tabulate(found)
  assert (table['rows'], table['columns']) == (['run', 'a', 'b', 'c'], [])
  again = reports.tabulate([found[0], found[0]._replace(name='z')])
  assert again['rows'] == ['run']
  assert '| x | 62.50 ± 17.68 * | +2.00 (+1.00 to +3.00) |' in (
    reports.markdown(again).splitlines()
  )
  # Unless somebody asks for a grid.
  asked = reports.tabulate(found, rows=['a'], columns=['b'])
  assert (asked['rows'], asked['columns']) == (['c', 'a'], ['b'])


def test_what_differs_is_said():
  found = _grid()
  found[0] = found[0]._replace(
    dataset='mnist', seeds=(0, 1, 2), student='wide', headline='loss'
  )
  table = reports.tabulate(found, measure='accuracy')
  assert table['best'] is None
  for line in (
    'Data sets differ: mnist; digits.',
    'Seeds differ: 0 to 2; 0 to 1.',
    'Students differ: wide; small.',
    'First measures differ: loss; accuracy.',
  ):
    assert line in table['notes']
  assert not any('Teachers' in x for x in table['notes'])
  assert not any('differ' in x for x in reports.tabulate(_grid())['notes'])


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'rows': ['b']}, 'b is no axis; axes: t, a'),
    ({'rows': ['a'], 'columns': ['a']}, 'names a twice'),
    ({'measure': 'ece'}, 'must be one of accuracy, loss'),
  ],
)
def test_wrong_tables(changes, message):
  with pytest.raises(ValueError, match=message):
    reports.tabulate(_grid(), **changes)


def test_files_and_print(tmp_path):
  table = reports.tabulate(_grid())
  reports.write_grid(tmp_path / 'new', table)
  assert json.loads((tmp_path / 'new/table.json').read_text()) == table
  assert (tmp_path / 'new/table.md').read_text() == reports.markdown(table)
  pixels = image.imread(tmp_path / 'new/table.png')
  assert pixels.shape[0] > 300
  assert pixels.std() > 0.1
  output = console.Console(file=io.StringIO(), width=100)
  reports.print_grid(table, output)
  text = output.file.getvalue()
  assert '35.00 ± 35.36 *' in text
  assert 'failed: out | memory' in text


def test_a_sweep_of_failures_has_a_table(tmp_path):
  found = [reports.Entry(x, {'t': x}, failed='no') for x in ('1', '2')]
  table = reports.tabulate(found)
  reports.write_grid(tmp_path, table)
  assert table['best'] is None
  assert [x['mean'] for x in table['cells']] == [None, None]


def _summary():
  spread = reports.spread('accuracy', [0.5, 0.7])
  network = {'model': 'small', 'parameters': 10}
  gain = {'mean': 0.1, 'ci95': [0.0, 0.2]}
  return {
    'dataset': 'digits',
    'method': 'kd',
    'seeds': [0, 1],
    'teacher': {'model': 'big'},
    'distilled': {**network, **spread},
    'measure': _ACCURACY,
    'measures': {'accuracy': {**_ACCURACY, 'distilled': spread, 'gain': gain}},
  }


def test_an_entry_of_a_distillation():
  (entry,) = reports.entries('x', {'t': '2'}, _summary())
  assert entry[:-2] == (
    *('x', {'t': '2'}, 'digits', 'kd', 'small', 10, 'big', (0, 1)),
    'accuracy',
  )
  assert entry.measures['accuracy']['gain']['mean'] == 0.1


@pytest.mark.parametrize('measures', [True, False])
def test_entries_of_a_comparison(measures):
  """Summaries of older ensembles have their first measure only."""
  summary, teacher = _summary(), {'model': 'big'}
  scratch = summary.pop('distilled')
  taught = {**scratch, 'teacher': teacher}
  single = {**taught, **reports.spread('accuracy', [0.6])}
  students = {'scratch': scratch, 'direct': taught, 'assistant1': single}
  gains = [
    {'of': 'direct', 'over': 'scratch', 'mean': 0.25, 'ci95': [0.2, 0.3]}
  ]
  found = {**summary, 'students': students, 'gains': gains}
  found['measures'] = {
    'accuracy': {**_ACCURACY, 'students': students, 'gains': gains}
  }
  if not measures:
    del found['measures']
  direct, assistant = reports.entries('x', {'t': '2'}, found)
  assert direct.name == 'x:direct'
  assert direct.settings == {'t': '2', 'variant': 'direct'}
  assert direct.measures['accuracy']['gain'] == {
    'mean': 0.25,
    'ci95': [0.2, 0.3],
  }
  assert assistant.seeds == (0,)
  assert assistant.measures['accuracy']['gain'] is None


def test_no_students_no_entry():
  with pytest.raises(ValueError, match='no distilled student'):
    reports.entries('x', {}, {'dataset': 'digits', 'teacher': {}})


def test_gains_between_entries_are_paired():
  one, other = (_entry('x', {}, v) for v in ([0.5, 0.25], [0.5, 0.75]))
  gain = reports.gain_over(other, one)
  # Differences 0 and 0.5; the t quantile for one degree of freedom: 12.7062.
  assert gain['mean'] == pytest.approx(0.25)
  assert gain['ci95'][1] == pytest.approx(0.25 + 12.7062 * 0.25, rel=1e-5)
  assert reports.gain_over(other, one, 'loss')['mean'] == pytest.approx(-0.25)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'seeds': (1, 2)}, 'other seeds'),
    ({'dataset': 'mnist'}, 'other data'),
    ({'student': 'wide'}, 'other students'),
    ({'parameters': 11}, 'another size'),
    ({'failed': 'no'}, 'failed'),
    ({'measures': {}}, 'no accuracy'),
  ],
)
def test_entries_that_are_no_pairs(changes, message):
  one = _entry('x', {}, [0.5, 0.25])
  with pytest.raises(ValueError, match=message):
    reports.gain_over(one._replace(**changes), one)


@pytest.mark.parametrize(
  ('measure', 'mean', 'ci95', 'sentence'),
  [
    (
      _ACCURACY,
      0.02,
      (0.01, 0.03),
      'a is better than b: +2.00 points (95 % interval +1.00 to +3.00).',
    ),
    (
      _LOSS,
      0.02,
      (0.01, 0.03),
      'a is worse than b: +0.0200 nats (95 % interval +0.0100 to +0.0300).',
    ),
    (
      _ACCURACY,
      0.02,
      (-0.01, 0.05),
      'No difference shown of a and b: +2.00 points (95 % interval -1.00 to '
      '+5.00, which includes 0).',
    ),
    (
      _ACCURACY,
      -0.02,
      (None, None),
      'a over b: -2.00 points; one seed says nothing about chance.',
    ),
  ],
)
def test_differences_in_words(measure, mean, ci95, sentence):
  gain = {'mean': mean, 'ci95': list(ci95)}
  assert reports.difference(gain, measure, 'a', 'b') == sentence
