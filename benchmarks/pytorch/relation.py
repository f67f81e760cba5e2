"""Losses on relations between the examples of a batch, in plain PyTorch."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# Of the codes by the papers' authors, where they show in the value.
_SMALLEST_SQUARED_DISTANCE = 1e-12
_PKT_EPSILON = 1e-7
_CRD_EPSILON = 1e-7


def normalised_distances(e: Tensor) -> Tensor:
  """RKD's distances of all pairs of rows, over the mean of the positive ones.

  `sqrt(max(|x|^2 + |y|^2 - 2 x.y, 1e-12))`, zero on the diagonal.
  """
  squares = e.pow(2).sum(dim=1)
  squared = squares[:, None] + squares[None, :] - 2 * e @ e.T
  distances = squared.clamp(min=_SMALLEST_SQUARED_DISTANCE).sqrt()
  same = torch.eye(len(e), dtype=torch.bool, device=e.device)
  distances = distances.masked_fill(same, 0.0)
  return distances / distances[distances > 0].mean()


def relational_distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
  """RKD-D (Park et al. 2019): smooth L1 of the distances, mean over N^2."""
  return F.smooth_l1_loss(
    normalised_distances(student), normalised_distances(teacher)
  )


def angle_cosines(e: Tensor) -> Tensor:
  """RKD's cosines of the angles of all triples, `[vertex, corner, corner]`."""
  differences = e[None, :, :] - e[:, None, :]  # [vertex, corner, dim]
  directions = F.normalize(differences, dim=2)
  return torch.bmm(directions, directions.transpose(1, 2))


def relational_angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
  """RKD-A (Park et al. 2019): smooth L1 of the cosines, mean over N^3."""
  return F.smooth_l1_loss(angle_cosines(student), angle_cosines(teacher))


def relational_loss(
  student: Tensor,
  teacher: Tensor,
  *,
  distance_weight: float,
  angle_weight: float,
) -> Tensor:
  """RKD-DA (Park et al. 2019): the weighted sum of both."""
  distance = relational_distance_loss(student, teacher)
  return distance_weight * distance + angle_weight * relational_angle_loss(
    student, teacher
  )


def similarity_preserving_loss(student: Tensor, teacher: Tensor) -> Tensor:
  """SP (Tung and Mori 2019): `|G_s - G_t|^2 / N^2`, `G` the Gram matrix.

  Its rows have length 1. Takes features of any rank.
  """

  def gram(f):
    f = f.flatten(start_dim=1)
    return F.normalize(f @ f.T, dim=1)

  return (gram(student) - gram(teacher)).pow(2).sum() / len(student) ** 2


def probabilistic_transfer_loss(student: Tensor, teacher: Tensor) -> Tensor:
  """PKT (Passalis and Tefas 2018): `mean_ij p_ij log(p_ij / q_ij)`.

  Rows of `p` and `q` are `(1 + cosine) / 2` over their sum, and 1e-7 is added
  to lengths and within the logarithm.
  """

  def neighbours(e):
    e = e / (e.pow(2).sum(dim=1, keepdim=True).sqrt() + _PKT_EPSILON)
    similarity = (1 + e @ e.T) / 2
    return similarity / similarity.sum(dim=1, keepdim=True)

  p, q = neighbours(teacher), neighbours(student)
  return (p * ((p + _PKT_EPSILON) / (q + _PKT_EPSILON)).log()).mean()


def correlation_congruence_loss(student: Tensor, teacher: Tensor) -> Tensor:
  """CC (Peng et al. 2019), the benchmarks' form on neighbours in the batch.

  `mean_i sum_d |D_i| |D_i+1|` with `D = student - teacher`.
  """
  difference = (student - teacher).abs()
  return (difference[:-1] * difference[1:]).sum(dim=1).mean()


def kernel_correlation_congruence_loss(
  student: Tensor, teacher: Tensor, *, gamma: float, max_p: int
) -> Tensor:
  """CC (Peng et al. 2019), torchdistill's form: `|K_s - K_t| / N^2`.

  `K = exp(-2 gamma) sum_{p <= max_p} (2 gamma)^p / p! (x_i.x_j)^p`. Neither are
  the rows normalised, nor the norm squared.
  """

  def kernel(e):
    products = e @ e.T
    series = torch.zeros_like(products)
    for p in range(max_p + 1):
      coefficient = (2 * gamma) ** p / math.factorial(p)
      series = series + coefficient * products.pow(p)
    return math.exp(-2 * gamma) * series

  difference = kernel(student) - kernel(teacher)
  return difference.pow(2).sum().sqrt() / len(student) ** 2


def contrastive_representation_loss(
  student: Tensor,
  teacher: Tensor,
  memory_student: Tensor,
  memory_teacher: Tensor,
  sample_index: Tensor,
  *,
  temperature: float,
  z: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
  """CRD (Tian et al. 2020): NCE of student on teacher, and of teacher on it.

  Args:
    student: Embeddings of length 1, `[batch, dim]`.
    teacher: The same of the teacher.
    memory_student: What is remembered of all examples, `[examples, dim]`.
    memory_teacher: The same of the teacher.
    sample_index: The positive, then the negatives, `[batch, 1 + negatives]`.
    temperature: Divides the inner products.
    z: Constants of the student's and the teacher's scores; None at the first
      step, which sets them to `examples` times the scores' mean.

  Returns:
    The loss and the constants.
  """
  losses, constants = [], []
  pairs = ((student, memory_teacher), (teacher, memory_student))
  for side, (anchors, bank) in enumerate(pairs):
    chosen = bank[sample_index]  # [batch, 1 + negatives, dim]
    scores = torch.bmm(chosen, anchors[:, :, None]).squeeze(2)
    scores = (scores / temperature).exp()
    constant = scores.mean().detach() * len(bank) if z is None else z[side]
    losses.append(_noise_contrast(scores / constant, len(bank)))
    constants.append(constant)
  return losses[0] + losses[1], torch.stack(constants)


def _noise_contrast(x: Tensor, examples: int) -> Tensor:
  """Equation 18: column 0 is the data, the other columns are the noise."""
  c = (x.shape[1] - 1) / examples
  positive, negative = x[:, 0], x[:, 1:]
  log_positive = (positive / (positive + c + _CRD_EPSILON)).log()
  log_negative = (c / (negative + c + _CRD_EPSILON)).log()
  return -(log_positive.sum() + log_negative.sum()) / len(x)


@torch.no_grad()
def update_contrast_memory(
  memory: Tensor, embeddings: Tensor, index: Tensor, *, momentum: float
) -> None:
  """Moves the batch's rows of CRD's memory in place; they keep length 1."""
  moved = momentum * memory[index] + (1 - momentum) * embeddings
  memory[index] = moved / moved.pow(2).sum(dim=1, keepdim=True).sqrt()
