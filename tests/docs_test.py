"""docs/losses.md names every loss, factory and method; its table is current."""

import ast
import inspect
import pathlib
import re

import jax
import pytest

from benchmarks import loss_cases, loss_costs
from kdjax import losses, methods, transforms

_TEXT = (pathlib.Path(__file__).parents[1] / 'docs' / 'losses.md').read_text(
  encoding='utf-8'
)
_LOSSES = [name for name in losses.__all__ if name.endswith('_loss')]
# What `kdjax.transforms` exports beside the factories of losses.
_NO_LOSSES = {
  'across_devices',
  'learned',
  'on_axis',
  'overhaul_margins',
  'of_embeddings',
  'of_heads',
  'of_logits',
  'stateless',
  'weighted_sum',
}
_FACTORIES = [
  name
  for name in transforms.__all__
  if inspect.isfunction(getattr(transforms, name)) and name not in _NO_LOSSES
]
_ROOM_HEADER = ['loss', 'factory', '`--method`']


def _tables(text):
  """Header and rows of every table, as lists of cells."""
  tables = []
  for chunk in re.findall(r'(?:^\|.*\n)+', text, re.MULTILINE):
    rows = [
      [cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]
      for line in chunk.splitlines()
    ]
    tables.append((rows[0], rows[2:]))
  return tables


def _names(cells):
  return [name for cell in cells for name in re.findall(r'`(\w+)`', cell)]


_ROOMS = [
  row
  for header, rows in _tables(_TEXT)
  for row in rows
  if header[:3] == _ROOM_HEADER
]


def _produced():
  """The rows between the marks, by loss."""
  _, begin, rest = _TEXT.partition('<!-- costs:begin -->\n')
  block, end, _ = rest.partition('<!-- costs:end -->')
  assert begin
  assert end
  ((_, rows),) = _tables(block)
  return {row[0].strip('`'): row[1:] for row in rows}


def _defaults(loss):
  """Hyperparameters and their defaults; those without are `empty`."""
  parameters = inspect.signature(loss).parameters.values()
  return {
    x.name: x.default
    for x in parameters
    if x.default is not x.empty or x.kind is x.KEYWORD_ONLY
  }


def test_tables_have_as_many_cells_in_every_row():
  for header, rows in _tables(_TEXT):
    assert all(len(row) == len(header) for row in rows)


def test_every_loss_has_one_row():
  named = [x for x in _names(row[0] for row in _ROOMS) if x.endswith('_loss')]
  assert sorted(named) == sorted(_LOSSES)


@pytest.mark.parametrize(
  ('column', 'names'), [(1, _FACTORIES), (2, methods.NAMES)]
)
def test_every_factory_and_every_method_has_a_row(column, names):
  assert set(names) <= set(_names(row[column] for row in _ROOMS))


def test_remarks_are_those_that_rows_point_to():
  remarks = [int(x) for x in re.findall(r'^(\d+)\. ', _TEXT, re.MULTILINE)]
  pointers = {int(x) for row in _ROOMS for x in re.findall(r'\d+', row[-1])}
  assert remarks == list(range(1, len(remarks) + 1))
  assert pointers == set(remarks)


def test_produced_table_has_every_loss_and_no_other():
  assert list(_produced()) == loss_costs.names()
  assert sorted(_produced()) == sorted(_LOSSES)


@pytest.mark.parametrize('name', _LOSSES)
def test_produced_defaults_are_those_of_the_code(name):
  # A table out of date: `python -m benchmarks.loss_costs --write`.
  cell = _produced()[name][0]
  found = {
    key: ast.literal_eval(value) if value else inspect.Parameter.empty
    for key, value in re.findall(r'`(\w+)(?:=([^`]+))?`', cell)
  }
  assert found == _defaults(getattr(losses, name))


def test_every_loss_is_costed():
  assert sorted(loss_cases.CASES) == sorted(_LOSSES)


@pytest.mark.thorough
@pytest.mark.parametrize('name', _LOSSES)
def test_case_fits_its_loss(name):
  case = loss_cases.CASES[name]
  step = jax.value_and_grad(
    loss_costs.objective(name), case.trained, has_aux=True
  )
  arguments = case.arguments(4)
  (value, _), gradients = jax.eval_shape(step, *arguments)
  assert value.shape == ()
  shapes = [jax.tree.map(lambda x: x.shape, arguments[i]) for i in case.trained]
  assert [jax.tree.map(lambda x: x.shape, x) for x in gradients] == shapes


@pytest.mark.parametrize(
  ('value', 'base', 'unit', 'text'),
  [
    (0, 1000, '', '0'),
    (999, 1000, '', '999'),
    (1_500_000, 1000, '', '1.5 M'),
    (264, 1024, 'iB', '264 B'),
    (1536, 1024, 'iB', '1.5 KiB'),
  ],
)
def test_quantities(value, base, unit, text):
  assert loss_costs.quantity(value, base, unit) == text


def test_block_is_replaced_between_its_marks():
  text = 'a\n<!-- costs:begin -->\nold\n<!-- costs:end -->\nb\n'
  new = 'a\n<!-- costs:begin -->\n\\1 new\n<!-- costs:end -->\nb\n'
  assert loss_costs.replaced(text, '\\1 new\n') == new
  with pytest.raises(ValueError, match='got 0 such blocks'):
    loss_costs.replaced('no marks', 'new')


def test_no_path_of_a_machine():
  assert not re.search(r'/(work|tmp|home|root)/', _TEXT)
