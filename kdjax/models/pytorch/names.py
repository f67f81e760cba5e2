"""What torchvision, timm and repositories of papers call the layers."""

import re

from kdjax.models.pytorch.naming import Line, Naming


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

_TORCHVISION_MOBILENET_V2 = (
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


def _timm_mobilenet_v2() -> tuple[Line, ...]:
  """The lines of timm, which numbers the rows of the paper's table."""
  lines = [
    Line('stem/layer1/conv', 'conv_stem'),
    Line('stem/layer1/norm', 'bn1'),
    Line('features/layer1/conv', 'conv_head'),
    Line('features/layer1/norm', 'bn2'),
    Line('head', 'classifier'),
  ]
  # Stage -> numbers of blocks in its rows.
  stages = {1: (1, 2), 2: (3,), 3: (4, 3), 4: (3, 1)}
  row = 0
  for stage, counts in stages.items():
    blocks = [(row + i, j) for i, n in enumerate(counts) for j in range(n)]
    row += len(counts)
    for block, (i, j) in enumerate(blocks, start=1):
      # The first block of the network has no expansion, layer 1 here.
      first, layers = (
        (1, ('conv_pw', 'conv_dw', 'conv_pwl'))
        if i
        else (2, ('conv_dw', 'conv_pw'))
      )
      for norm, layer in enumerate(layers, start=1):
        ours = f'stage{stage}/block{block}/layer{norm + first - 1}'
        lines += [
          Line(f'{ours}/conv', f'blocks.{i}.{j}.{layer}'),
          Line(f'{ours}/norm', f'blocks.{i}.{j}.bn{norm}'),
        ]
  return tuple(lines)


def _googlenet() -> tuple[Line, ...]:
  """The lines of torchvision, which has a letter for every block."""
  lines = [
    Line('stem/layer{l}/conv', 'conv{l}.conv'),
    Line('stem/layer{l}/norm', 'conv{l}.bn'),
    Line('head', 'fc'),
  ]
  for part, name in (('conv', 'conv'), ('norm', 'bn')):
    for block, letter in enumerate('abcde', start=1):
      ours = f'stage{{s}}/block{block}/branch'
      theirs = f'inception{{s+2}}{letter}.branch'
      lines += [
        Line(f'{ours}1/layer1/{part}', f'{theirs}1.{name}'),
        # A pooling comes before the convolution of the last branch.
        Line(f'{ours}4/layer1/{part}', f'{theirs}4.1.{name}'),
        Line(f'{ours}{{i}}/layer{{l}}/{part}', f'{theirs}{{i}}.{{l-1}}.{name}'),
      ]
  return tuple(lines)


_TORCHVISION_CONVNEXT = (
  Line('stem/conv', 'features.0.0'),
  Line('stem/norm/norm', 'features.0.1'),
  Line('stage{s}/norm/norm', 'features.{2*s-2}.0'),
  Line('stage{s}/conv', 'features.{2*s-2}.1'),
  Line('stage{s}/block{b}/conv', 'features.{2*s-1}.{b-1}.block.0'),
  Line('stage{s}/block{b}/norm/norm', 'features.{2*s-1}.{b-1}.block.2'),
  Line('stage{s}/block{b}/hidden', 'features.{2*s-1}.{b-1}.block.3'),
  Line('stage{s}/block{b}/out', 'features.{2*s-1}.{b-1}.block.5'),
  Line(
    'stage{s}/block{b}/layer_scale',
    'features.{2*s-1}.{b-1}.layer_scale',
    ones=2,
  ),
  Line('norm/norm', 'classifier.0'),
  Line('head', 'classifier.2'),
)

_TIMM_CONVNEXT = (
  Line('stem/conv', 'stem.0'),
  Line('stem/norm/norm', 'stem.1'),
  Line('stage{s}/norm/norm', 'stages.{s-1}.downsample.0'),
  Line('stage{s}/conv', 'stages.{s-1}.downsample.1'),
  Line('stage{s}/block{b}/conv', 'stages.{s-1}.blocks.{b-1}.conv_dw'),
  Line('stage{s}/block{b}/norm/norm', 'stages.{s-1}.blocks.{b-1}.norm'),
  Line('stage{s}/block{b}/hidden', 'stages.{s-1}.blocks.{b-1}.mlp.fc1'),
  Line('stage{s}/block{b}/out', 'stages.{s-1}.blocks.{b-1}.mlp.fc2'),
  Line('stage{s}/block{b}/layer_scale', 'stages.{s-1}.blocks.{b-1}.gamma'),
  Line('norm/norm', 'head.norm'),
  Line('head', 'head.fc'),
)

_TIMM_VIT = (
  Line('class_token', 'cls_token'),
  Line('distillation_token', 'dist_token'),
  Line('positions', 'pos_embed'),
  Line('patches', 'patch_embed.proj'),
  Line('layer{l}/norm1/norm', 'blocks.{l-1}.norm1'),
  Line('layer{l}/attention/query', 'blocks.{l-1}.attn.qkv', part=0),
  Line('layer{l}/attention/key', 'blocks.{l-1}.attn.qkv', part=1),
  Line('layer{l}/attention/value', 'blocks.{l-1}.attn.qkv', part=2),
  Line('layer{l}/attention/out', 'blocks.{l-1}.attn.proj'),
  Line('layer{l}/norm2/norm', 'blocks.{l-1}.norm2'),
  Line('layer{l}/hidden', 'blocks.{l-1}.mlp.fc1'),
  Line('layer{l}/out', 'blocks.{l-1}.mlp.fc2'),
  Line('norm/norm', 'norm'),
  Line('distillation_head', 'head_dist'),
)

_TORCHVISION_RESNET = Naming('torchvision', _resnet('fc', 'downsample'))
_CIFAR_RESNET = Naming('pytorch_resnet_cifar10', _resnet('linear', 'shortcut'))

# Names of networks -> the namings of their files, the usual first.
_NAMINGS = {
  # Without parameters in its shortcuts, as He et al. have it.
  r'resnet(8|14|20|32|44|56|110)': (_CIFAR_RESNET, _TORCHVISION_RESNET),
  r'resnet\w+': (
    _TORCHVISION_RESNET,
    _TORCHVISION_RESNET._replace(origin='timm'),
    _CIFAR_RESNET,
  ),
  r'wrn\w+': (Naming('RepDistiller', _WIDE_RESNET),),
  r'vgg\w+': (Naming('RepDistiller', _VGG),),
  r'mobilenetv2': (
    Naming('torchvision', _TORCHVISION_MOBILENET_V2),
    Naming('timm', _timm_mobilenet_v2()),
  ),
  r'googlenet': (
    Naming('torchvision', _googlenet(), left_out=('aux1.', 'aux2.')),
  ),
  r'convnext_\w+': (
    Naming('torchvision', _TORCHVISION_CONVNEXT),
    Naming('timm', _TIMM_CONVNEXT),
  ),
  r'(deit|vit)_\w+': (Naming('timm', _TIMM_VIT),),
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
