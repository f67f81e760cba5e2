"""The numbers of a distillation, and the sentence about them."""

import io
import json
import math

import numpy as np
import pytest
from rich import console

from kdjax import reports

_NETWORK = {
  'model': 'mlp_student',
  'parameters': 12345,
  'bytes': 49380,
  'flops_per_example': 2e6,
  'seconds_per_example': 3e-6,
}


_ACCURACY = {'name': 'accuracy', 'unit': '%', 'higher_is_better': True}
_LOSS = {'name': 'loss', 'unit': 'nats', 'higher_is_better': False}
_MARGIN = {'name': 'margin', 'unit': '', 'higher_is_better': True}
_ERROR = {'name': 'ece', 'unit': '%', 'higher_is_better': False}


def _measure(measure, teacher, scratch, distilled, gain):
  """What the summary says of a measure; as `recipes.summarise` writes it."""
  name = measure['name']
  return {
    'teacher': teacher,
    'scratch': reports.spread(name, scratch) if scratch else None,
    'distilled': reports.spread(name, distilled),
    'gain': {'mean': gain[0], 'ci95': list(gain[1:])} if gain else None,
    **measure,
  }


_FOUND = {
  'accuracy': _measure(
    _ACCURACY, 0.9765, [0.90, 0.92], [0.94, 0.96], (0.04, 0.03, 0.05)
  ),
  'loss': _measure(_LOSS, 0.07, [0.5, 0.7], [0.2, 0.4], (-0.3, -0.4, -0.2)),
}


def _summary(first='accuracy', found=_FOUND, **changes):
  """The summary of a task whose measures are these."""
  one = found[first]
  runs = {
    run: {**_NETWORK, **one[run]} if one[run] else None
    for run in ('scratch', 'distilled')
  }
  described = {x: one[x] for x in ('name', 'unit', 'higher_is_better')}
  return {
    'dataset': 'digits',
    'method': 'kd,rkd',
    'seeds': [0, 1],
    'teacher': {**_NETWORK, 'model': 'mlp_teacher', first: one['teacher']},
    'student': _NETWORK,
    **runs,
    'gain': one['gain'],
    'measure': described,
    'measures': found,
    **changes,
  }


def _printed(summary):
  output = console.Console(file=io.StringIO(), width=200)
  reports.print_summary(summary, output)
  return output.file.getvalue()


@pytest.mark.parametrize('name', ['accuracy', 'macro_f1'])
def test_spread_by_hand(name):
  found = reports.spread(name, np.float32([0.5, 0.75, 1.0]))
  assert found == {name: [0.5, 0.75, 1.0], 'mean': 0.75, 'std': 0.25}
  assert reports.spread(name, [0.5]) == {name: [0.5], 'mean': 0.5, 'std': 0.0}


def test_gain_by_hand():
  # Differences 0 and 0.5; the t quantile for one degree of freedom: 12.7062.
  found = reports.gain([0.5, 0.25], [0.5, 0.75])
  half = 12.7062 * 0.25
  assert found['mean'] == pytest.approx(0.25)
  assert found['ci95'] == pytest.approx([0.25 - half, 0.25 + half], rel=1e-5)
  assert reports.gain([0.5], [0.25]) == {'mean': -0.25, 'ci95': [None, None]}


def test_the_file_is_json_and_replaced_whole(tmp_path):
  reports.write_summary(tmp_path, {'long': 'x' * 1000})
  path = reports.write_summary(tmp_path, _summary())
  assert path == tmp_path / 'summary.json'
  assert json.loads(path.read_text()) == _summary()
  assert [found.name for found in tmp_path.iterdir()] == ['summary.json']


@pytest.mark.parametrize(
  ('mean', 'ci95', 'words'),
  [
    (0.04, (0.03, 0.05), ('helped', '+4.00', '+3.00 to +5.00')),
    (-0.04, (-0.05, -0.03), ('HURT', '-4.00', '-5.00 to -3.00')),
    (0.01, (-0.02, 0.04), ('No gain shown', '+1.00', '-2.00 to +4.00')),
    (-0.01, (-0.04, 0.02), ('No gain shown', '-1.00', '-4.00 to +2.00')),
    (0.0, (0.0, 0.0), ('No gain shown', '+0.00')),
    (0.02, (None, None), ('+2.00', 'one seed')),
  ],
)
def test_verdicts(mean, ci95, words):
  sentence = reports.verdict({'mean': mean, 'ci95': list(ci95)}, _ACCURACY)
  assert '\n' not in sentence
  for word in words:
    assert word in sentence
  others = {'helped', 'HURT', 'No gain shown'} - set(words)
  assert not any(other in sentence for other in others)
  assert 'points' in sentence


@pytest.mark.parametrize(
  ('measure', 'mean', 'ci95', 'sentence'),
  [
    (
      _LOSS,
      -0.3,
      (-0.4, -0.2),
      'Distillation helped: -0.3000 nats (95 % interval -0.4000 to -0.2000).',
    ),
    (
      _LOSS,
      0.3,
      (0.2, 0.4),
      'Distillation HURT: +0.3000 nats (95 % interval +0.2000 to +0.4000).',
    ),
    (
      _ERROR,
      -0.02,
      (-0.03, -0.01),
      'Distillation helped: -2.00 points (95 % interval -3.00 to -1.00).',
    ),
    (
      _ERROR,
      0.02,
      (-0.01, 0.05),
      'No gain shown: +2.00 points (95 % interval -1.00 to +5.00, which '
      'includes 0).',
    ),
    (
      _MARGIN,
      0.5,
      (0.25, 0.75),
      'Distillation helped: +0.5000 (95 % interval +0.2500 to +0.7500).',
    ),
    (
      _LOSS,
      -0.3,
      (None, None),
      'Distillation changed the loss by -0.3000 nats; one seed says nothing '
      'about chance.',
    ),
  ],
)
def test_verdicts_of_other_measures(measure, mean, ci95, sentence):
  found = {'mean': mean, 'ci95': list(ci95)}
  assert reports.verdict(found, measure) == sentence


def test_the_table_holds_the_numbers():
  text = _printed(_summary())
  std = 100 * math.sqrt(2 * 0.01**2)
  for expected in (
    'digits',
    'kd,rkd',
    '2 seed(s)',
    'mlp_teacher',
    '97.65',
    f'91.00 ± {std:.2f}',
    f'95.00 ± {std:.2f}',
    '12,345',
    'Distillation helped: +4.00 points',
  ):
    assert expected in text


def test_without_scratch_there_is_no_verdict():
  text = _printed(_summary(scratch=None, gain=None))
  assert 'distilled' in text
  assert 'scratch' not in text
  assert 'points' not in text


def test_the_task_alone_has_no_other_measures():
  text = _printed(_summary())
  assert 'test accuracy after the last epoch' in text
  assert 'accuracy %' in text
  assert 'Other measures' not in text
  assert 'nats' not in text


_MORE = {
  'macro_f1': _measure(
    {'name': 'macro_f1', 'unit': '%', 'higher_is_better': True},
    0.5,
    [0.25, 0.25],
    [0.375, 0.625],
    (0.25, -0.1, 0.6),
  ),
  **_FOUND,
  'ece': _measure(
    _ERROR, 0.08, [0.04, 0.06], [0.02, 0.02], (-0.03, -0.04, -0.02)
  ),
  'margin': _measure(_MARGIN, 2.0, [1.0, 1.0], [1.5, 2.0], (0.75, None, None)),
}


def _row(text, name):
  """The cells of the row that begins with this heading."""
  lines = [' '.join(line.split()) for line in text.splitlines()]
  (line,) = [line for line in lines if line.startswith(f'{name} ')]
  return line.removeprefix(name).strip()


def test_every_measure_is_shown_in_its_unit():
  text = _printed(_summary('macro_f1', _MORE))
  assert 'test macro_f1 after the last epoch' in text
  assert 'macro_f1 %' in text
  assert '37.50 ± ' not in text  # 0.375 and 0.625 have the mean 0.5
  assert '50.00 ± 17.68' in _row(text, 'distilled')
  assert '25.00 ± 0.00' in _row(text, 'scratch')
  assert 'No gain shown: +25.00 points' in text
  others = text[text.index('Other measures') :]
  assert _row(others, 'accuracy %') == (
    '97.65 91.00 ± 1.41 95.00 ± 1.41 +4.00 (+3.00 to +5.00)'
  )
  assert _row(others, 'ece %') == (
    '8.00 5.00 ± 1.41 2.00 ± 0.00 -3.00 (-4.00 to -2.00)'
  )
  # It has no unit, and one seed no interval.
  assert _row(others, 'margin') == (
    '2.0000 1.0000 ± 0.0000 1.7500 ± 0.3536 +0.7500'
  )
  assert 'macro_f1' not in others
  assert 'loss' not in others


def test_a_loss_can_come_first():
  text = _printed(_summary('loss'))
  assert 'test loss after the last epoch' in text
  assert 'loss nats' in text
  assert '0.3000 ± 0.1414' in _row(text, 'distilled')
  assert 'Distillation helped: -0.3000 nats' in text
  others = text[text.index('Other measures') :]
  assert _row(others, 'accuracy %').endswith('+4.00 (+3.00 to +5.00)')


def test_without_scratch_other_measures_have_no_gain():
  found = {
    name: {**values, 'scratch': None, 'gain': None}
    for name, values in _MORE.items()
  }
  text = _printed(_summary('accuracy', found))
  assert 'points' not in text
  assert _row(text, 'ece %') == '8.00 2.00 ± 0.00'


@pytest.mark.parametrize(
  ('value', 'unit', 'text'),
  [
    (0.9765, '%', '97.65'),
    (0.0, '%', '0.00'),
    (1.25, 'nats', '1.2500'),
    (-0.5, '', '-0.5000'),
  ],
)
def test_values_are_shown_in_their_unit(value, unit, text):
  assert reports.shown(value, {**_ACCURACY, 'unit': unit}) == text


def test_what_a_cache_saved_is_said():
  used = {'computed': 1070, 'served': 5120}
  said = 'The teacher computed 1,070 of 5,120 views; the others were kept.'
  assert said in _printed(_summary(teacher_cache=used))
  assert 'views' not in _printed(_summary())


def test_the_papers_to_cite_are_named():
  text = _printed(_summary())
  assert "kdjax.citation('kd', 'rkd')" in text


def test_a_loss_of_ones_own_has_no_paper():
  assert 'citation' not in _printed(_summary(method='loss'))


def test_infinity_is_no_json(tmp_path):
  reports.write_summary(tmp_path, {'loss': [float('inf'), 1.0]})
  text = (tmp_path / 'summary.json').read_text()
  assert json.loads(text) == {'loss': [None, 1.0]}


def _comparison(first, measure):
  """Three students of one teacher, one of which is another network."""
  teacher = {**_NETWORK, 'model': 'mlp_teacher', first: 0.9}
  direct = {**_NETWORK, **reports.spread(first, [0.5, 0.7]), 'teacher': teacher}
  return {
    'dataset': 'digits',
    'method': 'kd',
    'seeds': [0, 1],
    'students': {
      'scratch': {**_NETWORK, **reports.spread(first, [0.4, 0.4])},
      'direct': direct,
      'assistant': {**direct, 'model': 'mlp_assistant'},
    },
    'gains': [
      {'of': 'direct', 'over': 'scratch', 'mean': 0.2, 'ci95': [-0.1, 0.5]},
      {'of': 'assistant', 'over': 'direct', 'mean': -0.5, 'ci95': [None, None]},
    ],
    'measure': measure,
    'measures': {
      first: measure,
      'ece': {
        **_ERROR,
        'students': {
          'scratch': reports.spread('ece', [0.04, 0.06]),
          'direct': reports.spread('ece', [0.02, 0.02]),
          'assistant': reports.spread('ece', [0.03]),
        },
      },
    },
  }


def test_a_comparison_shows_students_teachers_and_gains():
  output = console.Console(file=io.StringIO(), width=200)
  reports.print_comparison(_comparison('accuracy', _ACCURACY), output)
  text = output.file.getvalue()
  assert 'digits, kd: test accuracy after the last epoch, 2 seed(s)' in text
  assert _row(text, 'scratch mlp_student') == 'labels 40.00 ± 0.00'
  assert _row(text, 'direct mlp_student') == 'mlp_teacher 90.00 60.00 ± 14.14'
  assert _row(text, 'assistant mlp_assistant').startswith('mlp_teacher')
  assert (
    'No difference shown of direct and scratch: +20.00 points (95 % interval '
    '-10.00 to +50.00, which includes 0).' in text
  )
  others = text[text.index('Other measures') :]
  assert _row(others, 'scratch') == 'direct assistant'
  assert _row(others, 'ece %') == '5.00 ± 1.41 2.00 ± 0.00 3.00'
  assert text.splitlines()[-1:] == [
    "BibTeX of the papers: kdjax.citation('kd')",
  ]


def test_a_comparison_is_in_the_unit_of_its_measure():
  output = console.Console(file=io.StringIO(), width=200)
  reports.print_comparison(_comparison('loss', _LOSS), output)
  text = output.file.getvalue()
  assert 'loss nats' in text
  assert _row(text, 'direct mlp_student') == (
    'mlp_teacher 0.9000 0.6000 ± 0.1414'
  )
  assert ': +0.2000 nats (95 % interval -0.1000 to +0.5000, ' in text
  assert 'assistant over direct: -0.5000 nats; one seed says nothing' in text


def test_lines_on_the_data():
  plain = _printed(_summary())
  assert 'unbalanced' not in plain
  lines = ['Skipped 2 broken files.', "No test image of '[b]x[/b]'."]
  counts = {'a': {'train': 1200, 'test': 9}, 'b': {'train': 60, 'test': 9}}
  text = _printed(_summary(remarks=lines, classes=counts, split='validation'))
  assert 'digits, kd,rkd: validation accuracy after the last epoch' in text
  for line in lines:
    assert f'{line}\n' in text
  assert (
    'Classes are unbalanced: 1,200 to 60 examples; see macro_f1, '
    '--class_weights\n'
  ) in text
