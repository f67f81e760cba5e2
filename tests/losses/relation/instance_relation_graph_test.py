import jax
import jax.numpy as jnp
import numpy as np
import pytest
from references import relation as reference

from kdjax.losses import RefusedError
from kdjax.losses.relation import instance_relation_graph as irg

# Run by `pytest -m thorough`, as CI does.
pytestmark = pytest.mark.thorough


def network(seed, examples, widths):
  """Two NHWC maps and pooled features, of growing width."""
  rng = np.random.default_rng(seed)
  sizes = (4, 2, None)
  return [
    rng.normal(
      size=(examples, size, size, width) if size else (examples, width)
    )
    for size, width in zip(sizes, widths, strict=True)
  ]


@pytest.mark.parametrize('layers', [1, 3])
def test_graph_is_the_formula_for_networks_of_other_widths(layers):
  student = network(0, 4, (2, 4, 4))[:layers]
  teacher = network(1, 4, (3, 6, 12))[:layers]
  logits = np.random.default_rng(2).normal(size=(2, 4, 3))
  with jax.enable_x64(True):
    loss = jax.jit(irg.instance_relation_graph_loss)(
      *jax.tree.map(jnp.asarray, (*logits, student, teacher))
    )
  expected = reference.instance_relation_graph_loss(*logits, student, teacher)
  np.testing.assert_allclose(loss, expected, rtol=1e-9)


def test_parts_are_the_formulas():
  examples = 4
  student, teacher = (
    network(3, examples, (2, 2, 4)),
    network(4, examples, (3, 6, 6)),
  )
  logits = np.random.default_rng(5).normal(size=(2, examples, 3))
  with jax.enable_x64(True):
    s, t, x = jax.tree.map(jnp.asarray, (student, teacher, logits))
    edge = jax.jit(irg.instance_edge_loss)(s[0], t[0])
    vertex = jax.jit(irg.instance_vertex_loss)(x[0], x[1])
    moved = jax.jit(irg.instance_transformation_loss)(
      (s[1], s[2]), (t[1], t[2])
    )
  expected = reference.instance_vertex_loss(*logits)
  np.testing.assert_allclose(vertex, expected, rtol=1e-9)
  expected = reference.instance_transformation_loss(student[1:], teacher[1:])
  np.testing.assert_allclose(moved, expected, rtol=1e-9, atol=1e-15)
  expected = reference.instance_edge_loss(student[0], teacher[0])
  np.testing.assert_allclose(edge, expected, rtol=1e-9)


def test_edges_hand_computed():
  # Squared distances 1, 4, 9 and 1, 1, 4.
  student = jnp.array([[0.0], [1.0], [3.0]])
  teacher = jnp.array([[0.0], [1.0], [2.0]])
  expected = 2 * ((1 / 9 - 1 / 4) ** 2 + (4 / 9 - 1 / 4) ** 2) / 9
  loss = irg.instance_edge_loss(student, teacher)
  np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_channels_that_do_not_divide():
  x, y = jnp.ones((3, 3)), jnp.arange(15.0).reshape(3, 5)
  value, gradient = jax.jit(
    jax.value_and_grad(irg.instance_transformation_loss)
  )((x, y), (y, x))
  np.testing.assert_allclose(value, 0, atol=1e-6)
  assert np.isfinite(gradient[0]).all()


def test_weights_reach_their_terms():
  x, y = np.random.default_rng(6).normal(size=(2, 4, 3)).astype(np.float32)
  off = {'vertex_weight': 0, 'edge_weight': 0, 'transformation_weight': 0}
  loss = jax.jit(irg.instance_relation_graph_loss)
  layers = [x, x[:, :1]], [y, y[:, 1:2]]
  assert loss(x, y, *layers, **off) == 0
  np.testing.assert_allclose(
    loss(x, y, *layers, **off | {'vertex_weight': 2.0}),
    2 * irg.instance_vertex_loss(x, y),
  )
  assert loss(x, x, *layers, **off | {'edge_weight': 1.0}) > 0
  assert loss(x, x, *layers, **off | {'transformation_weight': 1.0}) > 0
  with pytest.raises(RefusedError):
    loss(x, y, [x], [y, y])


def test_mask_reaches_every_term():
  x, y = np.random.default_rng(7).normal(size=(2, 5, 3)).astype(np.float32)
  loss = jax.jit(irg.instance_relation_graph_loss)
  expected = loss(x[:4], y[:4], [x[:4], x[:4, :1]], [y[:4], y[:4, :1]])
  x[4], mask = np.nan, np.float32([1, 1, 1, 1, 0])
  value = loss(x, y, [x, x[:, :1]], [y, y[:, :1]], mask=mask)
  np.testing.assert_allclose(value, expected, rtol=1e-5)
