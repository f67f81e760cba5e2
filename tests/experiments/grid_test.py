"""The grid of a sweep: what is written, what it means, what cells share."""

import pytest

from experiments import distill, grid
from kdjax.options import OptionError

assert distill  # defines the flags that axes name


@pytest.mark.parametrize(
  ('text', 'axes'),
  [
    ('alpha=0.2', {'alpha': ['0.2']}),
    (
      ' temperature = 5, 10 ; alpha=0.2,0.5',
      {'temperature': ['5', '10'], 'alpha': ['0.2', '0.5']},
    ),
    ('method="kd,rkd",dkd', {'method': ['kd,rkd', 'dkd']}),
    (
      'set=dkd.beta=2,"dkd.beta=4,dkd.alpha=2"',
      {'set': ['dkd.beta=2', 'dkd.beta=4,dkd.alpha=2']},
    ),
    ('set="",dkd.beta=2', {'set': ['', 'dkd.beta=2']}),
    (
      'teacher_checkpoint="a;b";seeds=2',
      {
        'teacher_checkpoint': ['a;b'],
        'seeds': ['2'],
      },
    ),
  ],
)
def test_axes_as_they_are_written(text, axes):
  assert grid.parse(text) == axes
  assert list(grid.parse(text)) == list(axes)


@pytest.mark.parametrize(
  ('text', 'words'),
  [
    ('', ['NAME=VALUE']),
    ('alpha', ['NAME=VALUE']),
    ('=0.5', ['NAME=VALUE']),
    ('alpha=0.5;', ['NAME=VALUE']),
    ('alpha=', ['alpha has no values']),
    ('alpha=0.2,', ['empty value', '""']),
    ('alpha=0.2;alpha=0.5', ['names alpha twice']),
    ('method="kd,rkd', ['quote']),
    ('alhpa=0.5', ['alhpa', 'did you mean alpha?']),
    ('workdir=a,b', ['workdir', 'flag of distill']),
    ('measures=ece,accuracy', ['measures', '--measures']),
    ('temperature=5,warm', ['temperature=warm', 'must be a number']),
    ('seeds=1.5', ['seeds=1.5', 'must be an integer']),
    (
      'sync_batch_norm=perhaps',
      ['sync_batch_norm=perhaps', 'must be true or false'],
    ),
    ('temperature=5,5.0', ['temperature=5.0', 'twice']),
    (f'hint_student={"a" * 250}', ['at most 200']),
  ],
)
def test_a_wrong_grid_is_one_line(text, words):
  with pytest.raises(OptionError) as caught:
    grid.cells(grid.parse(text))
  message = str(caught.value)
  assert message.startswith('grid=')
  assert '\n' not in message
  for word in words:
    assert word in message


def test_cells_have_typed_values_and_names_of_directories():
  axes = grid.parse('temperature=5,10;scratch=false;teacher_checkpoint=runs/a')
  first, second = grid.cells(axes)
  assert first.changes == {
    'temperature': 5.0,
    'scratch': False,
    'teacher_checkpoint': 'runs/a',
  }
  assert second.settings['temperature'] == '10'
  assert first.name == 'temperature=5,scratch=false,teacher_checkpoint=runs%2Fa'


@pytest.mark.parametrize(
  ('axis', 'parts'),
  [
    # What a student from scratch, a teacher and its cache depend on.
    ('temperature=5', ''),
    ('method=dkd', ''),
    ('set=kd.alpha=0.2', ''),
    ('weights=soft=2', ''),
    ('hint_epochs=2', ''),
    ('scratch=true', ''),
    ('teacher_batches=1', ''),
    ('teacher_epochs=3', 'teacher cache'),
    ('teacher=mlp_student', 'teacher cache'),
    ('teacher_checkpoint=a', 'teacher cache'),
    ('teacher_cache_precision=bfloat16', 'cache'),
    ('student=cnn_student', 'scratch'),
    ('epochs=2', 'scratch'),
    ('learning_rate=0.1', 'scratch'),
    ('batch_size=32', 'scratch'),
    ('optimizer=adam', 'scratch'),
    ('seeds=2', 'scratch'),
    ('seed=1', 'scratch'),
    ('transfer_examples=100', 'scratch cache'),
    ('augmentation=none', 'scratch cache'),
    ('stream=true', 'scratch cache'),
    ('data_seed=1', 'scratch teacher cache'),
    ('dataset=mnist', 'scratch teacher cache'),
    ('precision=bfloat16', 'scratch teacher cache'),
    ('sync_batch_norm=true', 'scratch teacher cache'),
  ],
)
def test_what_cells_with_an_axis_do_not_share(axis, parts):
  (cell,) = grid.cells(grid.parse(f'{axis};alpha=0.5'))
  own = {'scratch': cell.scratch, 'teacher': cell.teacher, 'cache': cell.cache}
  assert {name for name, part in own.items() if part} == {*parts.split()}
  assert set(own.values()) <= {'', axis}
  assert ('teacher' in parts) == bool(cell.of_teacher)


_AXES = {'alpha': ['0.1'], 'temperature': ['2', '5'], 'seeds': ['1', '2', '3']}


@pytest.mark.parametrize(
  ('text', 'rows', 'columns'),
  [
    ('', ['alpha', 'seeds'], ['temperature']),
    ('rows:temperature', ['alpha', 'temperature'], ['seeds']),
    ('columns:seeds', ['alpha', 'temperature'], ['seeds']),
    (
      'columns:alpha,seeds;rows:temperature',
      ['temperature'],
      [
        'alpha',
        'seeds',
      ],
    ),
  ],
)
def test_sides_of_the_table(text, rows, columns):
  assert grid.arranged(text, _AXES) == (rows, columns)


@pytest.mark.parametrize(
  ('text', 'word'),
  [
    ('rows:beta', 'beta is no axis; axes: alpha, temperature, seeds'),
    ('rows:alpha;columns:alpha', 'names alpha twice'),
    ('row:alpha', 'rows:NAME'),
    ('rows:alpha;rows:seeds', 'rows:NAME'),
  ],
)
def test_wrong_sides(text, word):
  with pytest.raises(OptionError, match=word) as caught:
    grid.arranged(text, _AXES)
  assert str(caught.value).startswith('axes=')
