"""What an epoch shows: every example once, augmented, on any devices."""

import epoch_cases as cases
import jax
import numpy as np
import pytest


def test_an_epoch_shows_every_example_once(recorded):
  for batches in recorded:
    index, weight = batches['index'], batches['weight']
    assert index.shape == weight.shape == (3, cases.BATCH)
    assert sorted(index[weight > 0]) == list(range(cases.EXAMPLES))
    np.testing.assert_allclose(weight.mean(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(batches['label'], cases.LABELS[index])


def test_images_are_the_augmented_examples(recorded):
  images = (recorded[0]['image'] * 60.0 + 100.0).reshape(-1, 4, 4)
  pixels = cases.PIXELS[recorded[0]['index'].ravel(), :, :, 0]
  same = [
    np.allclose(x, y, atol=0.1) for x, y in zip(images, pixels, strict=True)
  ]
  mirrored = [
    np.allclose(x, y[:, ::-1], atol=0.1)
    for x, y in zip(images, pixels, strict=True)
  ]
  assert np.all(np.logical_xor(same, mirrored))
  assert 0.25 < np.mean(mirrored) < 0.75


def test_epochs_differ_in_order_and_augmentation(recorded):
  first, second = recorded
  assert not np.array_equal(first['index'], second['index'])
  by_example = [
    dict(zip(b['index'].ravel(), b['image'].reshape(-1, 16), strict=True))
    for b in recorded
  ]
  differing = [
    not np.array_equal(by_example[0][i], by_example[1][i])
    for i in range(cases.EXAMPLES)
  ]
  assert np.mean(differing) > 0.25


@pytest.mark.parametrize(
  ('kind', 'count'),
  [('resident', 8), ('streaming', 2)],
)
def test_order_and_augmentation_do_not_depend_on_devices(recorded, kind, count):
  batches = cases.record(kind, count, 1)
  for name, expected in recorded[1].items():
    np.testing.assert_allclose(batches[name], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('make', cases.EPOCHS.values())
def test_devices_must_divide_the_batch(make):
  with pytest.raises(ValueError, match=r'batch_size.* 8 devices, got 12'):
    make(
      lambda *args: args,
      None,
      cases.source(),
      cases.prepare,
      key=jax.random.key(0),
      batch_size=12,
      devices=jax.local_devices(),
    )
