"""Which room may import which, and what an import brings with it."""

import ast
import json
import pathlib
import subprocess
import sys

import pytest

import kdjax

_ROOT = pathlib.Path(__file__).parents[1]

_OUTSIDE = ('experiments', 'colabs', 'benchmarks')
# From top to bottom: imports point down.
_HOUSE = (
  'recipes',
  'training',
  'tasks',
  'methods',
  'transforms',
  'losses',
  'deploy',
  'models',
  'data',
  'cache',
  'reports',
  'analysis',
  'checkpoint',
  'citations',
  'papers',
  'options',
)
# Room -> what it may import beside itself: rooms of kdjax, or single modules of
# them. A new edge is a decision about the design, and this is where it is made.
_MAY_IMPORT = {
  **{room: {*_HOUSE} for room in _OUTSIDE},
  'recipes': {*_HOUSE} - {'recipes'},
  'training': {
    'tasks',
    'models',
    'data',
    'transforms',
    'losses',
    'cache',
    'checkpoint',
    'options',
  },
  'tasks': {'data', 'transforms', 'losses.numerics', 'options'},
  'methods': {'transforms', 'models', 'options'},
  'transforms': {'losses'},
  'losses': set(),
  'deploy': {'models'},
  'models': set(),
  'data': set(),
  'cache': set(),
  'reports': {'analysis', 'citations'},
  'analysis': set(),
  'checkpoint': set(),
  'citations': {'papers'},
  'papers': set(),
  'options': set(),
  '': set(),  # kdjax/__init__.py, which loads the rooms by name, lazily
}
# Files that may import more than their room.
_MAY_ALSO_IMPORT = {
  'kdjax/models/options.py': {'options'},
  # Augmentations and models resize in one way.
  'kdjax/models/resized.py': {'data'},
}


def _source(path):
  """Python of a module, or of the code cells of a notebook."""
  text = path.read_text(encoding='utf-8')
  if path.suffix == '.py':
    return text
  lines = [
    line
    for cell in json.loads(text)['cells']
    if cell['cell_type'] == 'code'
    for line in [*''.join(cell['source']).split('\n'), '']
  ]
  magic = ('%', '!')
  return '\n'.join(x for x in lines if not x.lstrip().startswith(magic))


def _names(source):
  """Dotted names that the code imports, or reaches through its imports."""
  tree = ast.parse(source)
  names, aliases = set(), {}
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      for alias in node.names:
        names.add(alias.name)
        top = alias.name.split('.')[0]
        aliases[alias.asname or top] = alias.name if alias.asname else top
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, 'Relative imports hide where they point.'
      for alias in node.names:
        names.add(f'{node.module}.{alias.name}')
        aliases[alias.asname or alias.name] = f'{node.module}.{alias.name}'
  for node in ast.walk(tree):
    attributes = []
    while isinstance(node, ast.Attribute):
      attributes.append(node.attr)
      node = node.value
    if attributes and isinstance(node, ast.Name) and node.id in aliases:
      names.add('.'.join([aliases[node.id], *reversed(attributes)]))
  return names


def _files():
  """Path from the root -> the names its code uses."""
  paths = [
    path
    for folder in ('kdjax', *_OUTSIDE)
    for suffix in ('py', 'ipynb')
    for path in (_ROOT / folder).rglob(f'*.{suffix}')
    if '.ipynb_checkpoints' not in path.parts
  ]
  return {
    path.relative_to(_ROOT).as_posix(): _names(_source(path)) for path in paths
  }


_FILES = _files()


def _room(file):
  parts = pathlib.PurePosixPath(file).with_suffix('').parts
  if parts[0] in _OUTSIDE:
    return parts[0]
  return '' if parts[1] == '__init__' else parts[1]


def _rooms(names):
  return {name.split('.')[0] for name in _inside(names)}


def _inside(names):
  """The names within a room of kdjax, without `kdjax.`."""
  return {
    name.removeprefix('kdjax.')
    for name in names
    if name.startswith('kdjax.') and name.split('.')[1] in _HOUSE
  }


def _is_within(name, target):
  return f'{name}.'.startswith(f'{target}.')


def _files_naming(target):
  return {
    file
    for file, names in _FILES.items()
    if any(_is_within(name, target) for name in names)
  }


@pytest.mark.parametrize(
  ('source', 'name'),
  [
    ('import jax\nf = jax.pmap(g)', 'jax.pmap'),
    ('import jax as j\n@j.pmap\ndef f(): pass', 'jax.pmap'),
    ('from jax import pmap as p', 'jax.pmap'),
    ('def f():\n  import orbax.checkpoint as ocp', 'orbax.checkpoint'),
    ('import kdjax\nkdjax.recipes.train()', 'kdjax.recipes.train'),
    ('from kdjax import data\ndata.load', 'kdjax.data.load'),
  ],
)
def test_names_are_found(source, name):
  assert name in _names(source)
  assert name not in _names(f'"""{name}"""\nother.{name}')


def test_notebooks_are_read(tmp_path):
  cells = [
    {'cell_type': 'markdown', 'source': ['import tensorflow']},
    {'cell_type': 'code', 'source': ['%pip install x\n', 'import kdjax']},
    {'cell_type': 'code', 'source': ['import absl']},
  ]
  path = tmp_path / 'a.ipynb'
  path.write_text(json.dumps({'cells': cells}))
  assert _names(_source(path)) == {'kdjax', 'absl'}


def test_every_room_is_in_the_table_and_public():
  rooms = {_room(file) for file in _FILES}
  assert rooms <= set(_MAY_IMPORT)
  assert rooms - {'', *_OUTSIDE} == {*_HOUSE}
  # `kdjax.citation` is all there is to see of `citations` and its `papers`.
  public = {*_HOUSE} - {'citations', 'papers'} | {'citation', '__version__'}
  assert public == set(kdjax.__all__)


@pytest.mark.parametrize('file', sorted(_FILES))
def test_imports_point_one_way(file):
  room = _room(file)
  allowed = {room} | _MAY_IMPORT[room] | _MAY_ALSO_IMPORT.get(file, set())
  wrong = {
    name
    for name in _inside(_FILES[file])
    if not any(_is_within(name, target) for target in allowed)
  }
  assert not wrong, f'{room} may not import {sorted(wrong)}'


def test_every_room_stands_above_what_it_imports():
  edges = [(room, _MAY_IMPORT[room]) for room in _HOUSE]
  edges += [(_room(file), below) for file, below in _MAY_ALSO_IMPORT.items()]
  for room, below in edges:
    lower = _HOUSE[_HOUSE.index(room) + 1 :]
    assert {name.split('.')[0] for name in below} <= {*lower}, room
  assert not _MAY_IMPORT['']


def test_every_edge_of_the_table_is_used():
  edges = {
    (room, target)
    for room, below in _MAY_IMPORT.items()
    if room not in (*_OUTSIDE, 'recipes')  # these may import any below
    for target in below
  }
  used = {
    (room, target)
    for room, target in edges
    for file, names in _FILES.items()
    if _room(file) == room
    and any(_is_within(name, target) for name in _inside(names))
  }
  assert not edges - used
  for file, below in _MAY_ALSO_IMPORT.items():
    assert below <= _rooms(_FILES[file])


def test_losses_need_jax_chex_and_optax_only():
  used = {
    name.split('.')[0]
    for file, names in _FILES.items()
    for name in names
    if _room(file) == 'losses'
  }
  assert used - set(sys.stdlib_module_names) <= {
    'chex',
    'jax',
    'kdjax',
    'numpy',
    'optax',
  }
  # The arithmetic lies under the losses, not beside them.
  assert not _rooms(_FILES['kdjax/losses/numerics.py'])


@pytest.mark.parametrize(
  ('target', 'file'),
  [
    ('jax.pmap', 'kdjax/training/parallel.py'),
    ('orbax', 'kdjax/checkpoint.py'),
    ('tensorstore', 'kdjax/cache/array_store.py'),
    ('tensorflow_datasets', 'kdjax/data/tfds_source.py'),
  ],
)
def test_named_in_one_file(target, file):
  assert _files_naming(target) == {file}


def test_tensorflow_is_named_nowhere():
  assert not _files_naming('tensorflow')


def test_absl_is_for_binaries():
  assert {_room(file) for file in _files_naming('absl')} <= set(_OUTSIDE)


_HEAVY = ('flax', 'orbax', 'tensorflow', 'tensorflow_datasets', 'tensorstore')


@pytest.mark.parametrize(
  ('module', 'absent'),
  [
    ('kdjax', _HEAVY),
    ('kdjax.losses', _HEAVY),
    # A GPU machine with JAX usually lacks these.
    ('kdjax.training', ('tensorflow', 'tensorflow_datasets')),
  ],
)
def test_an_import_is_light(module, absent):
  code = f'import sys, {module}; print(*sys.modules)'
  loaded = subprocess.run(
    [sys.executable, '-c', code],
    cwd=_ROOT,
    capture_output=True,
    text=True,
    check=True,
  ).stdout.split()
  assert module in loaded
  assert not {*absent} & {name.split('.')[0] for name in loaded}
