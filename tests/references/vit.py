"""A vision transformer in float64, image by image and token by token."""

import math

import jax
import numpy as np


def _layer_norm(x, params):
  x = np.stack([(row - row.mean()) / math.sqrt(row.var() + 1e-6) for row in x])
  return x * params['norm']['scale'] + params['norm']['bias']


def _dense(x, params):
  return x @ params['kernel'] + params['bias']


def gelu(x):
  return np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))(x)


def _attention(x, params, heads):
  taps = {n: _dense(x, params[n]) for n in ('query', 'key', 'value')}
  tokens, width = x.shape
  size = width // heads
  taps['scores'] = np.zeros((heads, tokens, tokens))
  mixed = np.zeros((tokens, width))
  for head in range(heads):
    part = slice(head * size, (head + 1) * size)
    for i in range(tokens):
      scores = [
        taps['query'][i, part] @ taps['key'][j, part] / math.sqrt(size)
        for j in range(tokens)
      ]
      taps['scores'][head, i] = scores
      weights = np.exp(scores) / np.exp(scores).sum()
      for j in range(tokens):
        mixed[i, part] += weights[j] * taps['value'][j, part]
  return _dense(mixed, params['out']), taps


def _of_image(params, image, *, patch, heads, depth, stages):
  rows, columns = image.shape[0] // patch, image.shape[1] // patch
  tokens = [params['class_token'][0, 0]]
  for r in range(rows):
    for c in range(columns):
      square = image[
        r * patch : (r + 1) * patch, c * patch : (c + 1) * patch
      ].ravel()
      kernel = params['patches']['kernel'].reshape(square.size, -1)
      tokens.append(square @ kernel + params['patches']['bias'])
  x = np.stack(tokens) + params['positions'][0]
  taps = {}
  for n in range(1, depth + 1):
    layer = params[f'layer{n}']
    y, inner = _attention(
      _layer_norm(x, layer['norm1']), layer['attention'], heads
    )
    x = x + y
    y = gelu(_dense(_layer_norm(x, layer['norm2']), layer['hidden']))
    x = x + _dense(y, layer['out'])
    taps[f'block{n}'] = x[1:]
    taps.update({f'block{n}/{name}': value for name, value in inner.items()})
    if n in stages:
      taps[f'stage{stages.index(n) + 1}'] = x[1:].reshape(rows, columns, -1)
  taps['embedding'] = _layer_norm(x, params['norm'])[0]
  taps['logits'] = _dense(taps['embedding'], params['head'])
  return taps


def forward(params, images, *, patch=2):
  params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
  results = [
    # Thirds of four layers, rounded up.
    _of_image(params, image, patch=patch, heads=2, depth=4, stages=[2, 3, 4])
    for image in np.asarray(images, np.float64)
  ]
  return {name: np.stack([r[name] for r in results]) for name in results[0]}
