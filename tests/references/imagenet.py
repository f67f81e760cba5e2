"""ImageNet networks in PyTorch and float64, from the parameters of kdjax.

Written after torchvision's `resnet.py`, `googlenet.py` and `convnext.py`, and
timm's `deit.py`. Each takes `{path: tensor}` and images `[batch, channels, h,
w]`, and returns taps in that order of axes.
"""

import torch
from torch.nn import functional

RESNETS = {
  18: ([2, 2, 2, 2], False),
  34: ([3, 4, 6, 3], False),
  50: ([3, 4, 6, 3], True),
}


def _conv_norm(leaves, path, x, *, stride=1, groups=1, eps=1e-5):
  kernel = leaves[f'{path}/conv/kernel'].permute(3, 2, 0, 1)
  border = kernel.shape[-1] // 2
  x = functional.conv2d(x, kernel, stride=stride, padding=border, groups=groups)
  norm = [
    leaves[f'{path}/norm/{name}'] for name in ('mean', 'var', 'scale', 'bias')
  ]
  return functional.batch_norm(x, *norm, training=False, eps=eps)


def _conv(leaves, path, x, **keywords):
  kernel = leaves[f'{path}/kernel'].permute(3, 2, 0, 1)
  return functional.conv2d(x, kernel, leaves[f'{path}/bias'], **keywords)


def _dense(leaves, path, x):
  return functional.linear(
    x, leaves[f'{path}/kernel'].T, leaves[f'{path}/bias']
  )


def _layer_norm(leaves, path, x):
  scale, bias = leaves[f'{path}/norm/scale'], leaves[f'{path}/norm/bias']
  return functional.layer_norm(x, scale.shape, scale, bias, 1e-6)


def _layer_norm_of_map(leaves, path, x):
  return _layer_norm(leaves, path, x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _answer(leaves, taps, x):
  taps['embedding'] = x.mean((2, 3))
  taps['logits'] = _dense(leaves, 'head', taps['embedding'])
  return taps


def resnet(leaves, x, depth):
  taps = {}
  x = _conv_norm(leaves, 'stem/layer1', x, stride=2)
  taps['stem/preactivation'], taps['stem'] = x, functional.relu(x)
  x = functional.max_pool2d(taps['stem'], 3, 2, 1)
  blocks, bottleneck = RESNETS[depth]
  strides = [1, 2, 1] if bottleneck else [2, 1]
  for stage, count in enumerate(blocks, 1):
    for block in range(1, count + 1):
      path = f'stage{stage}/block{block}'
      own = strides if stage > 1 and block == 1 else [1] * len(strides)
      y = x
      for i, stride in enumerate(own, 1):
        y = _conv_norm(leaves, f'{path}/layer{i}', y, stride=stride)
        y = functional.relu(y) if i < len(own) else y
      if f'{path}/shortcut/conv/kernel' in leaves:
        x = _conv_norm(leaves, f'{path}/shortcut', x, stride=max(own))
      taps[path] = taps[f'stage{stage}/preactivation'] = x + y
      x = functional.relu(x + y)
    taps[f'stage{stage}'] = x
  return _answer(leaves, taps, x)


def mobilenet_v1(leaves, x):
  taps = {}
  x = _conv_norm(leaves, 'stem/layer1', x, stride=2)
  taps['stem/preactivation'], taps['stem'] = x, functional.relu(x)
  x = taps['stem']
  # Table 1 of the paper, 'dw' layers.
  strides = {1: [1, 2, 1], 2: [2, 1], 3: [2, 1, 1, 1, 1, 1], 4: [2, 1]}
  for stage, own in strides.items():
    for block, stride in enumerate(own, 1):
      path = f'stage{stage}/block{block}'
      groups = x.shape[1]
      x = _conv_norm(leaves, f'{path}/layer1', x, stride=stride, groups=groups)
      x = _conv_norm(leaves, f'{path}/layer2', functional.relu(x))
      taps[path] = taps[f'stage{stage}/preactivation'] = x
      x = functional.relu(x)
    taps[f'stage{stage}'] = x
  return _answer(leaves, taps, x)


def googlenet(leaves, x):
  def layer(path, x, **keywords):
    return _conv_norm(leaves, path, x, eps=1e-3, **keywords)

  taps, relu = {}, functional.relu
  x = relu(layer('stem/layer1', x, stride=2))
  x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
  x = layer('stem/layer3', relu(layer('stem/layer2', x)))
  taps['stem/preactivation'], taps['stem'] = x, relu(x)
  x = taps['stem']
  for stage, count in enumerate([2, 5, 2], 1):
    x = functional.max_pool2d(x, 2 if stage == 3 else 3, 2, ceil_mode=True)
    for block in range(1, count + 1):
      path = f'stage{stage}/block{block}'
      parts = [layer(f'{path}/branch1/layer1', x)]
      for branch in ('branch2', 'branch3'):
        y = relu(layer(f'{path}/{branch}/layer1', x))
        parts.append(layer(f'{path}/{branch}/layer2', y))
      pooled = functional.max_pool2d(x, 3, 1, 1, ceil_mode=True)
      parts.append(layer(f'{path}/branch4/layer1', pooled))
      x = torch.cat(parts, 1)
      taps[path] = taps[f'stage{stage}/preactivation'] = x
      x = relu(x)
    taps[f'stage{stage}'] = x
  return _answer(leaves, taps, x)


def convnext(leaves, x, blocks):
  taps = {}
  x = _conv(leaves, 'stem/conv', x, stride=4)
  taps['stem'] = x = _layer_norm_of_map(leaves, 'stem/norm', x)
  for stage, count in enumerate(blocks, 1):
    if stage > 1:
      x = _layer_norm_of_map(leaves, f'stage{stage}/norm', x)
      x = _conv(leaves, f'stage{stage}/conv', x, stride=2)
    for block in range(1, count + 1):
      path = f'stage{stage}/block{block}'
      y = _conv(leaves, f'{path}/conv', x, padding=3, groups=x.shape[1])
      y = _layer_norm(leaves, f'{path}/norm', y.permute(0, 2, 3, 1))
      y = functional.gelu(_dense(leaves, f'{path}/hidden', y))
      y = _dense(leaves, f'{path}/out', y) * leaves[f'{path}/layer_scale']
      taps[path] = x = x + y.permute(0, 3, 1, 2)
    taps[f'stage{stage}'] = taps[f'stage{stage}/preactivation'] = x
  x = _layer_norm(leaves, 'norm', x.mean((2, 3)))
  taps['embedding'] = x
  taps['logits'] = _dense(leaves, 'head', x)
  return taps


def deit(leaves, x, *, patch, heads, depth):
  taps = {}
  kernel = leaves['patches/kernel'].permute(3, 2, 0, 1)
  x = functional.conv2d(x, kernel, leaves['patches/bias'], stride=patch)
  x = x.flatten(2).transpose(1, 2)
  tokens = [
    leaves[name].expand(len(x), -1, -1)
    for name in ('class_token', 'distillation_token')
  ]
  x = torch.cat([*tokens, x], 1) + leaves['positions']
  for n in range(1, depth + 1):
    path = f'layer{n}'
    y = _layer_norm(leaves, f'{path}/norm1', x)
    parts = [
      _dense(leaves, f'{path}/attention/{name}', y)
      for name in ('query', 'key', 'value')
    ]
    for name, part in zip(('query', 'key', 'value'), parts, strict=True):
      taps[f'block{n}/{name}'] = part
    parts = [x.unflatten(2, (heads, -1)).transpose(1, 2) for x in parts]
    y = (
      functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
    )
    x = x + _dense(leaves, f'{path}/attention/out', y)
    y = _layer_norm(leaves, f'{path}/norm2', x)
    y = functional.gelu(_dense(leaves, f'{path}/hidden', y))
    x = x + _dense(leaves, f'{path}/out', y)
    taps[f'block{n}'] = x[:, 2:]
  x = _layer_norm(leaves, 'norm', x)
  taps['embedding'] = x[:, 0]
  taps['class_logits'] = _dense(leaves, 'head', x[:, 0])
  taps['distillation_logits'] = _dense(leaves, 'distillation_head', x[:, 1])
  taps['logits'] = (taps['class_logits'] + taps['distillation_logits']) / 2
  return taps
