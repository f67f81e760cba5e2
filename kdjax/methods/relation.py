"""Methods on how the teacher arranges examples, with their papers' weights."""

from typing import Any

from kdjax import transforms
from kdjax.methods.method import Named, passes
from kdjax.methods.pair import Pair, Terms, with_taps


@passes(transforms.relational_distance)
def _distances_and_angles(
  pair: Pair,
  *,
  distance_weight: float = 25.0,
  angle_weight: float = 50.0,
  **given: Any,
) -> Terms:
  """Park et al. 2019, of the embeddings."""
  return {
    'distance': (distance_weight, transforms.relational_distance(**given)),
    'angle': (angle_weight, transforms.relational_angle(**given)),
  }


@passes(transforms.similarity_preserving)
def _similarity(pair: Pair, **given: Any) -> Terms:
  """Tung and Mori 2019, of the last stages."""
  term = transforms.similarity_preserving(**with_taps(pair.last_stages, given))
  return {'sp': (3000.0, term)}


@passes(transforms.correlation_congruence)
def _congruence(pair: Pair, **given: Any) -> Terms:
  """Peng et al. 2019, the form of benchmark codebases."""
  return {'cc': (0.02, transforms.correlation_congruence(**given))}


@passes(transforms.kernel_correlation_congruence)
def _kernel_congruence(pair: Pair, **given: Any) -> Terms:
  """Peng et al. 2019, the paper's form.

  The weight is Knowledge-Distillation-Zoo's, whose form is the same.
  """
  return {'cckd': (100.0, transforms.kernel_correlation_congruence(**given))}


@passes(transforms.probabilistic_transfer)
def _probabilistic(pair: Pair, **given: Any) -> Terms:
  """Passalis and Tefas 2018; the weight is RepDistiller's."""
  return {'pkt': (30000.0, transforms.probabilistic_transfer(**given))}


@passes(transforms.contrastive_representation)
def _contrastive_representation(pair: Pair, **given: Any) -> Terms:
  """Tian et al. 2020: negatives of other classes, or as many as there are."""
  defaults: dict[str, Any] = {
    'examples': pair.examples,
    'labels': pair.labels(),
    'negatives': min(16384, pair.examples),
  }
  term = transforms.contrastive_representation(**(defaults | given))
  return {'crd': (0.8, term)}


@passes(transforms.in_batch_contrastive)
def _contrastive(pair: Pair, **given: Any) -> Terms:
  """In-batch negatives; no weight with authority, so 1."""
  return {'contrastive': (1.0, transforms.in_batch_contrastive(**given))}


@passes(transforms.linear_cka)
def _linear_cka(pair: Pair, **given: Any) -> Terms:
  return {'cka': (1.0, transforms.linear_cka(**given))}


@passes(transforms.rbf_cka)
def _rbf_cka(pair: Pair, **given: Any) -> Terms:
  return {'rbf_cka': (1.0, transforms.rbf_cka(**given))}


@passes(transforms.instance_relation_graph)
def _instance_graph(pair: Pair, **given: Any) -> Terms:
  """Liu et al. 2019, of the logits and all stages."""
  stages = pair.stage_pairs()
  layers = {f'{network}_layers': taps for network, taps in stages.items()}
  term = transforms.instance_relation_graph(**(layers | given))
  return {'irg': (1.0, term)}


METHODS = {
  'rkd': Named(_distances_and_angles),
  'sp': Named(_similarity),
  'cc': Named(_congruence),
  'cckd': Named(_kernel_congruence),
  'pkt': Named(_probabilistic),
  'crd': Named(_contrastive_representation),
  'contrastive': Named(_contrastive),
  'cka': Named(_linear_cka),
  'rbf_cka': Named(_rbf_cka),
  'irg': Named(_instance_graph),
}
