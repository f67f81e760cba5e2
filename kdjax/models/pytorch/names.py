"""Names of tensors in PyTorch for the networks of the zoo.

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
    library: Whose names they are.
    lines: The table. A path that fits no line keeps its name, with dots.
  """

  library: str
  lines: Sequence[Line]

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


def _resnet(head: str, shortcut: str) -> tuple[Line, ...]:
  inner = 'stage{s}/block{b}'
  return (
    Line('stem/layer1/conv', 'conv1'),
    Line('stem/layer1/norm', 'bn1'),
    Line(f'{inner}/layer{{l}}/conv', 'layer{s}.{b-1}.conv{l}'),
    Line(f'{inner}/layer{{l}}/norm', 'layer{s}.{b-1}.bn{l}'),
    Line(f'{inner}/shortcut/conv', f'layer{{s}}.{{b-1}}.{shortcut}.0'),
    Line(f'{inner}/shortcut/norm', f'layer{{s}}.{{b-1}}.{shortcut}.1'),
    Line('head', head),
  )


_WIDE_RESNET = (
  Line('stem/conv', 'conv1'),
  # There a stage owns the norm before each of its blocks, the first included.
  Line('stem/norm', 'block1.layer.0.bn1'),
  Line('stage3/norm', 'bn1'),
  Line('stage{s}/norm', 'block{s+1}.layer.0.bn1'),
  Line('stage{s}/norm{b}', 'block{s}.layer.{b-1}.bn1'),
  Line('stage{s}/block{b}/layer1/conv', 'block{s}.layer.{b-1}.conv1'),
  Line('stage{s}/block{b}/layer1/norm', 'block{s}.layer.{b-1}.bn2'),
  Line('stage{s}/block{b}/layer2', 'block{s}.layer.{b-1}.conv2'),
  Line('stage{s}/block{b}/shortcut', 'block{s}.layer.{b-1}.convShortcut'),
  Line('head', 'fc'),
)

# Convolution, norm and ReLU of every layer are numbered on.
_VGG = (
  Line('stem/layer{l}/conv', 'block0.{3*l-3}'),
  Line('stem/layer{l}/norm', 'block0.{3*l-2}'),
  Line('stage{s}/layer{l}/conv', 'block{s}.{3*l-3}'),
  Line('stage{s}/layer{l}/norm', 'block{s}.{3*l-2}'),
  Line('head', 'classifier'),
)

_MOBILENET_V2 = (
  Line('stem/layer1/conv', 'features.0.0'),
  Line('stem/layer1/norm', 'features.0.1'),
  # The first block has no expansion, the first convolution of the others.
  Line('stage1/block1/layer2/conv', 'features.1.conv.0.0'),
  Line('stage1/block1/layer2/norm', 'features.1.conv.0.1'),
  Line('stage1/block1/layer3/conv', 'features.1.conv.1'),
  Line('stage1/block1/layer3/norm', 'features.1.conv.2'),
  Line('stage{s}/block{b}/layer3/conv', 'features.{n+1}.conv.2'),
  Line('stage{s}/block{b}/layer3/norm', 'features.{n+1}.conv.3'),
  Line('stage{s}/block{b}/layer{l}/conv', 'features.{n+1}.conv.{l-1}.0'),
  Line('stage{s}/block{b}/layer{l}/norm', 'features.{n+1}.conv.{l-1}.1'),
  Line('features/layer1/conv', 'features.18.0'),
  Line('features/layer1/norm', 'features.18.1'),
  Line('head', 'classifier.1'),
)

_TORCHVISION_RESNET = Naming('torchvision', _resnet('fc', 'downsample'))
_CIFAR_RESNET = Naming('pytorch_resnet_cifar10', _resnet('linear', 'shortcut'))

# Names of networks -> the namings of their files, the usual first.
_NAMINGS = {
  # Without parameters in its shortcuts, as He et al. have it.
  r'resnet(8|14|20|32|44|56|110)': (_CIFAR_RESNET, _TORCHVISION_RESNET),
  r'resnet\w+': (_TORCHVISION_RESNET, _CIFAR_RESNET),
  r'wrn\w+': (Naming('RepDistiller', _WIDE_RESNET),),
  r'vgg\w+': (Naming('RepDistiller', _VGG),),
  r'mobilenetv2': (Naming('torchvision', _MOBILENET_V2),),
}


def namings(model: str) -> tuple[Naming, ...]:
  """Returns the namings of a network, the usual one first.

  The last naming has the paths of this library, with dots. It fits every
  network of Linen layers.

  Args:
    model: Name of the network in the zoo.
  """
  fitting = (
    known for names, known in _NAMINGS.items() if re.fullmatch(names, model)
  )
  return (*next(fitting, ()), Naming('kdjax', ()))
