"""Every factory of transforms, bound to one set of outputs."""

from collections.abc import Mapping

import numpy as np

from kdjax import transforms

BATCH = 16
CLASSES = 5
_EXAMPLES = 24
LABELS = np.arange(_EXAMPLES) % CLASSES

_SHAPES = {
  'student': {
    'logits': (CLASSES,),
    'embedding': (6,),
    'hidden': (6,),
    'stage1': (4, 4, 3),
    'stage2': (2, 2, 4),
    'projected': (2, 2, 5),
    'query': (4, 4),
    'key': (4, 4),
    'value': (4, 4),
    'block': (4, 4),
    'scores': (2, 4, 4),
  },
  'teacher': {
    'logits': (CLASSES,),
    'embedding': (8,),
    'hidden': (8,),
    'stage1': (4, 4, 5),
    'stage2': (2, 2, 5),
    'query': (4, 6),
    'key': (4, 6),
    'value': (4, 6),
    'block': (4, 6),
    'scores': (2, 4, 4),
  },
}
_stage = {'student': 'stage2', 'teacher': 'stage2'}
_stages = {'student': ('stage1', 'stage2'), 'teacher': ('stage1', 'stage2')}
_attention = {
  name: ('query', 'key', 'value') for name in ('student', 'teacher')
}
_layers = ('stage1', 'embedding')

TRANSFORMS: Mapping[str, transforms.LossTransform] = {
  # response
  'labels': transforms.labels(),
  'soft_targets': transforms.soft_targets(),
  'standardised_soft_targets': transforms.standardised_soft_targets(),
  'hard_targets': transforms.hard_targets(),
  'forward_kl': transforms.forward_kl(),
  'reverse_kl': transforms.reverse_kl(),
  'generalised_jensen_shannon': transforms.generalised_jensen_shannon(beta=0.3),
  'dense_soft_targets': transforms.dense_soft_targets(),
  'top_k_soft_targets': transforms.top_k_soft_targets(),
  'decoupled': transforms.decoupled(),
  'normalised_soft_targets': transforms.normalised_soft_targets(),
  'weighted_soft_labels': transforms.weighted_soft_labels(),
  'label_smoothing': transforms.label_smoothing(),
  'teacher_free': transforms.teacher_free(),
  'multi_label_soft_targets': transforms.multi_label_soft_targets(),
  'curriculum_soft_targets': transforms.curriculum_soft_targets(
    curriculum_steps=4
  ),
  'linear_soft_targets': transforms.linear_soft_targets(),
  'linear_forward_kl': transforms.linear_forward_kl(),
  'linear_reverse_kl': transforms.linear_reverse_kl(),
  'linear_generalised_jensen_shannon': (
    transforms.linear_generalised_jensen_shannon()
  ),
  'linear_skew_kl': transforms.linear_skew_kl(),
  'linear_skew_reverse_kl': transforms.linear_skew_reverse_kl(),
  'linear_alpha_beta': transforms.linear_alpha_beta(),
  'linear_adaptive_kl': transforms.linear_adaptive_kl(),
  'linear_interpolated_targets': transforms.linear_interpolated_targets(
    progress=0.5
  ),
  'linear_top_k_soft_targets': transforms.linear_top_k_soft_targets(),
  'regression_targets': transforms.regression_targets(
    student='logits', teacher='logits'
  ),
  'skew_kl': transforms.skew_kl(),
  'skew_reverse_kl': transforms.skew_reverse_kl(),
  'alpha_beta': transforms.alpha_beta(),
  'adaptive_kl': transforms.adaptive_kl(),
  'interpolated_targets': transforms.interpolated_targets(progress=0.5),
  'adaptive_interpolated_targets': transforms.adaptive_interpolated_targets(
    steps=9
  ),
  'sampled_soft_targets': transforms.sampled_soft_targets(samples=3),
  'dist': transforms.dist(),
  'direction': transforms.direction(),
  # feature
  'activation_boundary': transforms.activation_boundary(**_stages),
  'attention': transforms.attention(**_stages),
  'attention_matrices': transforms.attention_matrices(
    student='scores', teacher='scores'
  ),
  'channel_wise': transforms.channel_wise(**_stages),
  'factor_transfer': transforms.factor_transfer(**_stage, paraphraser_steps=0),
  'factor_transfer, paraphraser': transforms.factor_transfer(
    **_stage, paraphraser_steps=9
  ),
  'fsp': transforms.fsp(**_stages),
  'gaussian_neuron_selectivity': transforms.gaussian_neuron_selectivity(
    **_stage
  ),
  'hint': transforms.hint(**_stage),
  'hint, batch norm': transforms.hint(**_stage, batch_norm=True),
  'inter_channel': transforms.inter_channel(**_stage),
  'linear_neuron_selectivity': transforms.linear_neuron_selectivity(**_stage),
  'masked_generative': transforms.masked_generative(**_stage),
  'neuron_selectivity': transforms.neuron_selectivity(**_stages),
  'overhaul': transforms.overhaul(
    **_stage, margins={'stage2': -np.linspace(0.1, 0.5, 5, dtype=np.float32)}
  ),
  'pearson_feature': transforms.pearson_feature(**_stages),
  'review': transforms.review(
    student=('stage1', 'stage2', 'embedding'),
    teacher=('stage1', 'stage2', 'embedding'),
  ),
  'self_attention_relations': transforms.self_attention_relations(
    **_attention, heads=2
  ),
  'self_attention_relations_v2': transforms.self_attention_relations_v2(
    **_attention, relation_heads=2
  ),
  'simkd': transforms.simkd(teacher='stage2'),
  'variational_information': transforms.variational_information(**_stages),
  'vitkd': transforms.vitkd(
    student=('block', 'query'), teacher=('block', 'query')
  ),
  # relation
  'contrastive_representation': transforms.contrastive_representation(
    examples=_EXAMPLES, labels=LABELS, negatives=3, dim=3
  ),
  'correlation_congruence': transforms.correlation_congruence(dim=3),
  'in_batch_contrastive': transforms.in_batch_contrastive(),
  'instance_relation_graph': transforms.instance_relation_graph(
    student_layers=_layers, teacher_layers=_layers
  ),
  'kernel_correlation_congruence': transforms.kernel_correlation_congruence(
    dim=3
  ),
  'linear_cka': transforms.linear_cka(),
  'probabilistic_transfer': transforms.probabilistic_transfer(),
  'rbf_cka': transforms.rbf_cka(),
  'relational_angle': transforms.relational_angle(),
  'relational_distance': transforms.relational_distance(),
  'similarity_preserving': transforms.similarity_preserving(**_stage),
  # of the step, and learned
  'scheduled temperature': transforms.soft_targets(
    temperature=lambda step: 4.0 - 0.1 * step
  ),
  'learned temperature': transforms.soft_targets(
    temperature=transforms.learned(3.0)
  ),
  'weighted_sum': transforms.weighted_sum(
    task=(0.1, transforms.labels()),
    soft=(np.float32(0.9), transforms.soft_targets()),
    distance=(lambda step: 25.0 + step, transforms.relational_distance()),
    hint=(
      transforms.learned(2.0),
      transforms.hint(**_stage, batch_norm=True),
    ),
  ),
}


def outputs(network: str, seed: int = 0) -> dict[str, np.ndarray]:
  """Outputs of a network for a batch, float32."""
  rng = np.random.default_rng([seed, network == 'teacher'])
  found = {
    name: rng.normal(size=(BATCH, *shape)).astype(np.float32)
    for name, shape in _SHAPES[network].items()
  }
  if network == 'teacher':
    logits = found['logits'] / 4
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    best = np.argsort(-logits, axis=1)[:, :3].astype(np.int32)
    found['top_k_indices'] = best
    found['top_k_log_probs'] = np.take_along_axis(log_p, best, 1)
  return found


def head(network: str) -> np.ndarray:
  """The head of a network's hidden states, which no batch has."""
  dim = _SHAPES[network]['hidden'][0]
  rng = np.random.default_rng([1, dim])
  return rng.normal(size=(dim, CLASSES)).astype(np.float32)


def batch(padded: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
  """Labels, places in the training set, and weights."""
  index = np.random.default_rng(7).permutation(_EXAMPLES)[:BATCH]
  real = ~np.isin(np.arange(BATCH), padded)
  return {
    'label': np.int32(LABELS[index]),
    'index': np.int32(index),
    'weight': (real * BATCH / real.sum()).astype(np.float32),
  }
