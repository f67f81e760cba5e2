"""Knowledge review: fused stages against the teacher's, level by level."""

from collections.abc import Sequence

from kdjax.losses import contract
from kdjax.losses.feature.hierarchical_context import hierarchical_context_loss
from kdjax.transforms import axes, base
from kdjax.transforms.connectors import ReviewFusion
from kdjax.transforms.feature import binding
from kdjax.transforms.numbers import accepts


@accepts(width=contract.COUNT)
def review(
  *,
  student: binding.Taps,
  teacher: binding.Taps,
  levels: Sequence[int] = (4, 2, 1),
  width: int | None = None,
) -> base.LossTransform:
  """`kdjax.losses.hierarchical_context_loss` of fused stages (ReviewKD).

  From the deepest stage on each is fused with what came of the deeper ones
  (`ReviewFusion`, trained with the student) and compared with the teacher's;
  the losses are summed. Weight 0.6 to 8 by pair in the authors' CIFAR script,
  5 for most, growing linearly over the first 20 epochs.

  >>> names = 'map', 'pooled'
  >>> student = {'map': jnp.ones((2, 4, 4, 3)), 'pooled': jnp.ones((2, 6))}
  >>> teacher = {'map': jnp.ones((2, 4, 4, 5)), 'pooled': jnp.ones((2, 7))}
  >>> len(shapes(review(student=names, teacher=names), student, teacher))
  14

  Args:
    student: Names of the student's stages, shallow first, as published every
      stage and at last the pooled `embedding`, a map of one position.
    teacher: As many names of the teacher's; as published pre-activations
      (`stage1/preactivation`) and the `embedding`.
    levels: Sizes of the pooled maps that are compared too, largest first.
    width: Channels of the fused features; None for those of the last student
      tap, at most 512.

  Raises:
    ValueError: if a hyperparameter is out of range or the numbers of taps
      differ; from `init`, if there is no such tap (lists those there are) or
      it is no map.

  References:
    Chen et al., `Distilling Knowledge via Knowledge Review
    <https://arxiv.org/abs/2104.09044>`_, 2021, section 3, and its code.
  """
  pairs = binding.pair_names(student, teacher)
  levels = tuple(levels)
  if any(level < 1 for level in levels):
    raise ValueError(f'levels must be positive, got {levels}.')

  def module(sources, targets, axis_name) -> ReviewFusion:
    return ReviewFusion(
      tuple(target.shape[1:] for target in targets),
      min(512, sources[-1].shape[-1]) if width is None else width,
      axis_name,
    )

  def init(key, student_outputs, teacher_outputs):
    sources, targets = (
      [binding.example_map(outputs, name, network) for name in names]
      for outputs, names, network in (
        (student_outputs, [s for s, _ in pairs], 'student'),
        (teacher_outputs, [t for _, t in pairs], 'teacher'),
      )
    )
    return binding.init_module(key, module(sources, targets, None), sources)

  def build(axis_name):
    def apply(variables, student_outputs, teacher_outputs, batch, step):
      del step
      sources = [binding.read_map(student_outputs, s, batch) for s, _ in pairs]
      targets = [binding.read_map(teacher_outputs, t, batch) for _, t in pairs]
      fused, state = binding.apply_module(
        module(sources, targets, axis_name),
        *variables,
        sources,
        batch.get('weight'),
      )
      losses = [
        hierarchical_context_loss(s, t, levels=levels)
        for s, t in zip(fused, targets, strict=True)
      ]
      value = base.batch_mean(sum(losses[1:], losses[0]), batch)
      return value, state, {}

    return init, apply

  return axes.synchronised(build)
