"""Methods on how the teacher arranges examples, with their papers' weights."""

from kdjax import transforms
from kdjax.recipes.methods.choice import Choice, Terms
from kdjax.recipes.methods.method import Method


def _distances_and_angles(choice: Choice) -> Terms:
  """Park et al. 2019, of the embeddings."""
  settings = choice.settings
  return {
    'distance': (
      settings.distance_weight,
      transforms.relational_distance(),
    ),
    'angle': (settings.angle_weight, transforms.relational_angle()),
  }


def _similarity(choice: Choice) -> Terms:
  """Tung and Mori 2019, of the last stages."""
  term = transforms.similarity_preserving(**choice.last_stages())
  return {'sp': (3000.0, term)}


def _congruence(choice: Choice) -> Terms:
  """Peng et al. 2019, the form of benchmark codebases."""
  return {'cc': (0.02, transforms.correlation_congruence())}


def _kernel_congruence(choice: Choice) -> Terms:
  """Peng et al. 2019, the paper's form.

  The weight is Knowledge-Distillation-Zoo's, whose form is the same.
  """
  return {'cckd': (100.0, transforms.kernel_correlation_congruence())}


def _probabilistic(choice: Choice) -> Terms:
  """Passalis and Tefas 2018; the weight is RepDistiller's."""
  return {'pkt': (30000.0, transforms.probabilistic_transfer())}


def _contrastive_representation(choice: Choice) -> Terms:
  """Tian et al. 2020: negatives of other classes, or as many as there are."""
  examples = len(choice.labels)
  term = transforms.contrastive_representation(
    examples=examples,
    labels=choice.labels,
    negatives=min(16384, examples),
  )
  return {'crd': (0.8, term)}


def _contrastive(choice: Choice) -> Terms:
  """In-batch negatives; no weight with authority, so 1."""
  return {'contrastive': (1.0, transforms.in_batch_contrastive())}


def _linear_cka(choice: Choice) -> Terms:
  return {'cka': (1.0, transforms.linear_cka())}


def _rbf_cka(choice: Choice) -> Terms:
  return {'rbf_cka': (1.0, transforms.rbf_cka())}


def _instance_graph(choice: Choice) -> Terms:
  """Liu et al. 2019, of the logits and all stages."""
  pairs = choice.stage_pairs()
  term = transforms.instance_relation_graph(
    student_layers=pairs['student'], teacher_layers=pairs['teacher']
  )
  return {'irg': (1.0, term)}


METHODS = {
  'rkd': Method(_distances_and_angles),
  'sp': Method(_similarity),
  'cc': Method(_congruence),
  'cckd': Method(_kernel_congruence),
  'pkt': Method(_probabilistic),
  'crd': Method(_contrastive_representation),
  'contrastive': Method(_contrastive),
  'cka': Method(_linear_cka),
  'rbf_cka': Method(_rbf_cka),
  'irg': Method(_instance_graph),
}
