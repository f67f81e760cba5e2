"""Options of the teacher and student networks."""

import dataclasses

from kdjax import options
from kdjax.models import zoo
from kdjax.models.normalised import IMAGENET

PRECISIONS = ('float32', 'bfloat16')


def shares(text: str) -> tuple[float, ...]:
  """Returns numbers per channel in units of the stored pixel.

  Args:
    text: Shares of 255 with commas, as PyTorch's `Normalize` takes them.
  """
  return tuple(255 * float(part) for part in text.split(','))


def _shares_from(low: float) -> options.Rule:
  def good(text: str) -> bool:
    try:
      return all(low <= number / 255 <= 1 for number in shares(text))
    except ValueError:
      return False

  return options.Rule(
    good, f'must be numbers from {low:g} to 1, one per channel, with commas'
  )


MEAN, STD = _shares_from(0), _shares_from(0.001)
_USUAL_MEAN, _USUAL_STD = (
  ','.join(f'{x / 255:.4g}' for x in numbers) for numbers in IMAGENET
)


def _mean(network: str) -> str | None:
  return options.option(
    None,
    f'Mean per channel, as a share of 255, of the images that a {network} from '
    'a file expects. Default: what the file says, or that of ImageNet, '
    f'{_USUAL_MEAN}.',
    MEAN,
  )


def _std(network: str) -> str | None:
  return options.option(
    None,
    'Standard deviation per channel of these images. Default: likewise, '
    f'{_USUAL_STD}.',
    STD,
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
  """Networks."""

  teacher: str | None = options.option(
    None,
    f'Teacher; one of {", ".join(zoo.names())}. Default: mlp_teacher for '
    'digits, resnet20 otherwise.',
    options.one_of(zoo.names()),
  )
  student: str | None = options.option(
    None,
    'Student; one of the same names. Default: mlp_student for digits, resnet8 '
    'otherwise.',
    options.one_of(zoo.names()),
  )
  teacher_checkpoint: str | None = options.option(
    None,
    'A trained teacher: a directory, or a .safetensors or .pth file from '
    'PyTorch; without it a teacher is trained.',
  )
  teacher_mean: str | None = _mean('teacher')
  teacher_std: str | None = _std('teacher')
  student_mean: str | None = _mean('student')
  student_std: str | None = _std('student')
  precision: str = options.option(
    'float32',
    f'Precision of the networks, one of {", ".join(PRECISIONS)}; parameters '
    'and losses are float32.',
    options.one_of(PRECISIONS),
  )
  sync_batch_norm: bool = options.option(
    False, 'Normalise over the global batch, not per device.'
  )
