"""The answers of PyTorch's own networks, and the way there and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip(
  'torch', reason='PyTorch, which the networks are compared with, is absent.'
)

import torch
from references import torch_libraries, torch_resnet
from safetensors.torch import load_file, save_file

from kdjax import models

# Our name, the library, its name, side of the images.
_CASES = [
  ('resnet20', torch_resnet.create, 'resnet20', 32),
  ('resnet18', torch_libraries.torchvision, 'resnet18', 64),
  ('resnet50', torch_libraries.torchvision, 'resnet50', 64),
  ('mobilenetv2', torch_libraries.torchvision, 'mobilenet_v2', 64),
  ('googlenet', torch_libraries.torchvision, 'googlenet', 64),
  ('convnext_tiny', torch_libraries.torchvision, 'convnext_tiny', 64),
  ('resnet50', torch_libraries.timm, 'resnet50', 64),
  ('mobilenetv2', torch_libraries.timm, 'mobilenetv2_100', 64),
  ('convnext_tiny', torch_libraries.timm, 'convnext_tiny', 64),
  ('deit_tiny', torch_libraries.timm, 'deit_tiny_patch16_224', 224),
  (
    'deit_tiny_distilled',
    torch_libraries.timm,
    'deit_tiny_distilled_patch16_224',
    224,
  ),
]


def _randomise(network):
  """Makes no norm an identity, no scale of a layer tiny, no bias zero."""
  generator = torch.Generator().manual_seed(0)
  with torch.no_grad():
    for name, x in network.state_dict().items():
      if name.endswith(('running_var', 'gamma', 'layer_scale')) or (
        x.ndim == 1 and name.endswith('weight')
      ):
        x.uniform_(0.5, 1.5, generator=generator)
      elif x.ndim == 1:
        x.uniform_(-0.3, 0.3, generator=generator)


@pytest.mark.parametrize(
  ('name', 'library', 'theirs', 'size'),
  [
    pytest.param(
      *case,
      id=f'{case[0]}-{case[1].__name__}',
      # Every network takes seconds to compile.
      marks=[pytest.mark.thorough] if place > 1 else [],
    )
    for place, case in enumerate(_CASES)
  ],
)
def test_answers_as_in_pytorch_and_goes_back(
  name, library, theirs, size, tmp_path
):
  torch.manual_seed(0)
  theirs = library(theirs).eval()
  _randomise(theirs)
  path, back = tmp_path / 'there.safetensors', tmp_path / 'back.safetensors'
  save_file(theirs.state_dict(), path)
  image = np.random.default_rng(0).normal(size=(2, size, size, 3))
  image = image.astype(np.float32)
  batch = {'image': jnp.asarray(image)}
  ours = models.load_torch(path, models.create(name, classes=1000), batch)
  answer = jax.jit(ours.model.apply)(ours.variables, batch)[0]['logits']
  with torch.no_grad():
    expected = theirs(torch.from_numpy(image).permute(0, 3, 1, 2)).numpy()
  scale = np.abs(expected).max()
  np.testing.assert_allclose(answer / scale, expected / scale, atol=1e-5)

  given = library.__name__
  models.save_torch(back, ours, library=None if given == 'create' else given)
  kept = {
    name: x
    for name, x in theirs.state_dict().items()
    if not name.startswith('aux')  # GoogLeNet's, which only training uses
    and not name.endswith('num_batches_tracked')
  }
  found = load_file(back)
  assert set(found) == set(kept)
  for key, x in kept.items():
    assert torch.equal(found[key], x), key
