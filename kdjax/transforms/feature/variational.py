"""Variational information distillation with its trained Gaussian."""

from kdjax.losses import contract
from kdjax.losses.feature.variational import variational_information_loss
from kdjax.transforms import base
from kdjax.transforms.connectors import VariationalRegressor
from kdjax.transforms.feature import binding
from kdjax.transforms.numbers import accepts


@accepts(width=contract.COUNT, eps=contract.fixed(contract.POSITIVE))
def variational_information(
  *,
  student: binding.Taps,
  teacher: binding.Taps,
  width: int | None = None,
  variance: float = 5.0,
  eps: float = 1e-5,
) -> base.LossTransform:
  """`kdjax.losses.variational_information_loss`, summed over pairs (VID).

  The student's map, average-pooled where it is the larger, passes a
  `VariationalRegressor` whose kernels and log scales train with the student.
  Weight 1, every stage. The value may fall below zero.

  >>> term = variational_information(student='map', teacher='map', width=4)
  >>> student = {'map': jnp.ones((2, 4, 4, 3))}
  >>> shapes(term, student, {'map': jnp.ones((2, 4, 4, 5))})
  [(1, 1, 3, 4), (1, 1, 4, 4), (1, 1, 4, 5), (5,)]

  Args:
    student: Name of the student's map, or names of several.
    teacher: As many names of the teacher's maps.
    width: Channels between the regressor's convolutions; None for the
      teacher's.
    variance: From which the variances start. Above `eps`.
    eps: The least variance. Above 0.

  Raises:
    ValueError: if a hyperparameter is out of range or the numbers of taps
      differ; from `init`, if there is no such tap (lists those there are) or
      it is no map.
  """
  if not variance > eps:
    raise ValueError(f'variance must be above eps, {eps}, got {variance}.')

  def regressor(source, target, axis_name):
    del source, axis_name
    channels = target.shape[-1]
    thickness = channels if width is None else width
    return VariationalRegressor(channels, thickness, variance, eps)

  def loss(regressed, target):
    mean, log_scale = regressed
    return variational_information_loss(mean, target, log_scale, eps=eps)

  return binding.plain(loss, student, teacher, connect=regressor, pool=True)
