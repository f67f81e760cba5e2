"""SimKD: the student's features in the teacher's classifier."""

from kdjax.losses.feature.simkd import simkd_loss
from kdjax.transforms import base
from kdjax.transforms.feature import binding


def simkd(*, teacher: str, student: str = 'projected') -> base.LossTransform:
  """`kdjax.losses.simkd_loss` on the student's projected features (SimKD).

  Weight 1, with NO other term: neither labels nor soft targets. The student
  predicts with the teacher's classifier at test time too, so the projector is
  part of the network, not of the loss:

  ```python
  student = models.reuse_classifier(
    student,
    connectors.SimKDProjector(channels, size=(8, 8), axis_name='batch'),
    lambda head, features: features @ head['kernel'] + head['bias'],
    teacher_variables.params['head'],
    tap='stage3',
  )
  loss = transforms.simkd(teacher='stage3')
  ```

  >>> student = {'projected': jnp.ones((1, 2, 2, 3))}
  >>> teacher = {'stage3': 3 * jnp.ones((1, 2, 2, 3))}
  >>> value(simkd(teacher='stage3'), student, teacher)
  4.0

  Args:
    teacher: Name of the teacher's last map, before the global pooling.
    student: Name of the student's projected features.

  Raises:
    ValueError: from `init`, if there is no such tap (lists those there are), it
      is no map, or the channels differ.

  References:
    Chen et al., `Knowledge Distillation with the Reused Teacher Classifier
    <https://arxiv.org/abs/2203.14001>`_, 2022, section 3.
  """

  def check(source, target, pair):
    channels = source.shape[-1], target.shape[-1]
    binding.check_equal('number of channels', *channels, pair)

  return binding.plain(simkd_loss, student, teacher, check=check)
