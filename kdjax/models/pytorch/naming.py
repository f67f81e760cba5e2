"""A way to write down what PyTorch calls the layers of a network.

A table maps the paths of modules here to names of modules there, line by line.
`{s}` stands for a number, `{s-1}` for the number before it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

# A number in a table: {s}, {s-1} or {2*s+1}.
_NUMBER = re.compile(r'\{(?:(\d)\*)?(\w)([+-]\d)?\}')


class Line(NamedTuple):
  """A line of a table.

  Attributes:
    ours: Path of a module (or of an array that belongs to no layer), with
      numbers in braces: `stage{s}/block{b}`.
    theirs: Its name in PyTorch: `layer{s}.{b-1}`. `{n}` is the running number
      of the block in the network, from 0.
    part: Which third of a joint layer it is, from 0; None for a whole layer.
    ones: Number of axes of length 1 that PyTorch has after the array's own.
  """

  ours: str
  theirs: str
  part: int | None = None
  ones: int = 0


class Naming(NamedTuple):
  """The names that one library gives the tensors of a network.

  Attributes:
    origin: Whose names they are.
    lines: The table. A path that fits no line keeps its name, with dots.
    left_out: Beginnings of names of layers that only training uses.
  """

  origin: str
  lines: Sequence[Line]
  left_out: tuple[str, ...] = ()

  def find(self, path: str, numbers: Mapping[str, int]) -> Line:
    """Returns the first line that fits a path, with its numbers filled in.

    Args:
      path: Path of a module, or of an array that belongs to no layer.
      numbers: Result of `block_numbers`.
    """
    for line in self.lines:
      match = re.fullmatch(_NUMBER.sub(r'(?P<\2>\\d+)', line.ours), path)
      if match:
        found = {name: int(value) for name, value in match.groupdict().items()}
        found['n'] = numbers.get(_block(path), 0)
        return line._replace(theirs=_filled(line.theirs, found))
    return Line(path, path.replace('/', '.'))


def block_numbers(paths: Iterable[str]) -> dict[str, int]:
  """Returns the running number of every block within a network, from 0.

  >>> block_numbers(['stage1/block1/conv', 'stage2/block1/conv', 'head'])
  {'stage1/block1': 0, 'stage2/block1': 1}
  """
  blocks = {_block(path) for path in paths} - {''}
  by_place = sorted(
    blocks, key=lambda b: [int(n) for n in re.findall(r'\d+', b)]
  )
  return {block: number for number, block in enumerate(by_place)}


def _block(path: str) -> str:
  match = re.match(r'stage\d+/block\d+', path)
  return match.group() if match else ''


def _filled(theirs: str, numbers: Mapping[str, int]) -> str:
  def fill(match: re.Match) -> str:
    factor, name, more = match.groups()
    return str(int(factor or 1) * numbers[name] + int(more or 0))

  return _NUMBER.sub(fill, theirs)
