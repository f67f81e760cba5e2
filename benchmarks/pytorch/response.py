"""Losses on logits, shape `[batch, classes]`, in plain PyTorch."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def soft_target_loss(
  student: Tensor, teacher: Tensor, *, temperature: float
) -> Tensor:
  """Hinton et al. 2015: `T^2 sum_k p_k log(p_k / q_k)`, mean over the batch."""
  log_q = F.log_softmax(student / temperature, dim=1)
  log_p = F.log_softmax(teacher / temperature, dim=1)
  divergence = (log_p.exp() * (log_p - log_q)).sum(dim=1)
  return temperature**2 * divergence.mean()


def decoupled_loss(
  student: Tensor,
  teacher: Tensor,
  labels: Tensor,
  *,
  alpha: float,
  beta: float,
  temperature: float,
) -> Tensor:
  """DKD (Zhao et al. 2022): `T^2 (alpha TCKD + beta NCKD)`.

  TCKD is the divergence of `[p_y, 1 - p_y]`, NCKD that of the softmax over the
  classes other than the label `y`.
  """
  student, teacher = student / temperature, teacher / temperature
  batch, classes = student.shape
  target = F.one_hot(labels, classes).bool()

  def binary(logits):
    of_label = logits.softmax(dim=1)[target]
    return torch.stack([of_label, 1 - of_label], dim=1)

  def others(logits):
    return logits[~target].reshape(batch, classes - 1).softmax(dim=1)

  def divergence(p, q):
    return (p * (p / q).log()).sum(dim=1).mean()

  target_part = divergence(binary(teacher), binary(student))
  other_part = divergence(others(teacher), others(student))
  return temperature**2 * (alpha * target_part + beta * other_part)


def dist_loss(
  student: Tensor,
  teacher: Tensor,
  *,
  inter_weight: float,
  intra_weight: float,
  temperature: float,
) -> Tensor:
  """DIST (Huang et al. 2022), times `T^2` as its code has it.

  `inter (1 - mean r(rows)) + intra (1 - mean r(columns))` of the softmaxes,
  with Pearson's `r = a.b / (|a| |b| + 1e-8)` of the centred vectors.
  """
  q = (student / temperature).softmax(dim=1)
  p = (teacher / temperature).softmax(dim=1)

  def mean_correlation_of_rows(a, b):
    a = a - a.mean(dim=1, keepdim=True)
    b = b - b.mean(dim=1, keepdim=True)
    r = (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-8)
    return r.mean()

  inter = 1 - mean_correlation_of_rows(q, p)
  intra = 1 - mean_correlation_of_rows(q.T, p.T)
  return temperature**2 * (inter_weight * inter + intra_weight * intra)


def standardised_soft_target_loss(
  student: Tensor, teacher: Tensor, *, temperature: float
) -> Tensor:
  """Sun et al. 2024: soft targets of `(x - mean) / (std + 1e-7)`, ddof 1."""

  def z_score(x):
    return (x - x.mean(dim=1, keepdim=True)) / (
      x.std(dim=1, keepdim=True, unbiased=True) + 1e-7
    )

  return soft_target_loss(
    z_score(student), z_score(teacher), temperature=temperature
  )


def weighted_soft_label_loss(
  student: Tensor, teacher: Tensor, labels: Tensor, *, temperature: float
) -> Tensor:
  """WSLD (Zhou et al. 2021): `w T^2 CE(p, q)`, mean over the batch.

  `w = 1 - exp(-CE(student, y) / (CE(teacher, y) + 1e-7))` is a constant.
  """
  with torch.no_grad():
    student_error = F.cross_entropy(student, labels, reduction='none')
    teacher_error = F.cross_entropy(teacher, labels, reduction='none')
    weight = 1 - torch.exp(-student_error / (teacher_error + 1e-7))
  p = (teacher / temperature).softmax(dim=1)
  log_q = F.log_softmax(student / temperature, dim=1)
  cross_entropy = -(p * log_q).sum(dim=1)
  return temperature**2 * (weight * cross_entropy).mean()


def streamlined_direction_loss(
  student: Tensor, teacher: Tensor, *, tikhonov: float
) -> Tensor:
  """SKD (CVPR 2026): `mean_i sqrt(d_i V^-1 d_i)`.

  `d_i` are the rows of `D`, the cosines of all pairs of the student's logits
  less those of the teacher's; `V = cov(columns of D) + tikhonov I`.
  """
  unit_student, unit_teacher = F.normalize(student), F.normalize(teacher)
  D = unit_student @ unit_student.T - unit_teacher @ unit_teacher.T
  deviations = D - D.mean(dim=0, keepdim=True)
  covariance = deviations.T @ deviations / (len(D) - 1)
  V = covariance + tikhonov * torch.eye(len(D), dtype=D.dtype, device=D.device)
  squares = (D * torch.linalg.solve(V, D.T).T).sum(dim=1)
  return squares.sqrt().mean()
