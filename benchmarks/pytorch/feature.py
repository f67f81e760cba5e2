"""Losses on feature maps `[batch, height, width, channels]`, in plain PyTorch.

Also both forms of centred kernel alignment, which take features of any rank.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def to_nchw(f: Tensor) -> Tensor:
  """PyTorch's order of axes."""
  return f.permute(0, 3, 1, 2)


def pool(f: Tensor, height: int, width: int) -> Tensor:
  """Adaptive average pooling of a map in NHWC."""
  return F.adaptive_avg_pool2d(to_nchw(f), (height, width)).permute(0, 2, 3, 1)


def to_common_size(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
  """The larger of two maps is pooled to the size of the smaller."""
  height, width = min(a.shape[1], b.shape[1]), min(a.shape[2], b.shape[2])
  if a.shape[1:3] != (height, width):
    a = pool(a, height, width)
  if b.shape[1:3] != (height, width):
    b = pool(b, height, width)
  return a, b


def hint_loss(student: Tensor, teacher: Tensor) -> Tensor:
  """FitNets (Romero et al. 2015), benchmark form: mean squared difference."""
  return (student - teacher).pow(2).mean()


def attention_map(f: Tensor, *, p: float) -> Tensor:
  """`mean_c |f_c|^p` as a vector of length 1: `[batch, height * width]`."""
  return F.normalize(f.abs().pow(p).mean(dim=3).flatten(start_dim=1), dim=1)


def attention_transfer_loss(
  student: Tensor, teacher: Tensor, *, p: float = 2
) -> Tensor:
  """AT (Zagoruyko and Komodakis 2017): mean squared difference of the maps."""
  student, teacher = to_common_size(student, teacher)
  difference = attention_map(student, p=p) - attention_map(teacher, p=p)
  return difference.pow(2).mean()


def factor_transfer_loss(
  student: Tensor, teacher: Tensor, *, p1: float = 2, p2: float = 1
) -> Tensor:
  """FT (Kim et al. 2018), benchmark form: `mean |q_s - q_t|^p2`."""
  student, teacher = to_common_size(student, teacher)
  difference = attention_map(student, p=p1) - attention_map(teacher, p=p1)
  return difference.abs().pow(p2).mean()


def neuron_selectivity_loss(
  student: Tensor, teacher: Tensor, *, degree: int = 2, offset: float = 0.0
) -> Tensor:
  """NST (Huang and Wang 2017): squared MMD, kernel `(x.y + c)^d`.

  `mean k(t, t) + mean k(s, s) - 2 mean k(s, t)` over all pairs of channels, as
  vectors over positions of length 1.
  """
  student, teacher = (
    F.normalize(to_nchw(f).flatten(start_dim=2), dim=2)
    for f in to_common_size(student, teacher)
  )

  def kernel(a, b):  # [batch, channels, channels, positions] on the way
    products = (a[:, :, None, :] * b[:, None, :, :]).sum(dim=3)
    return (products + offset).pow(degree).mean()

  own = kernel(teacher, teacher) + kernel(student, student)
  return own - 2 * kernel(student, teacher)


def fsp_matrix(bottom: Tensor, top: Tensor) -> Tensor:
  """`G_ij = mean over positions of bottom_i top_j`: `[batch, C_b, C_t]`."""
  bottom, top = to_common_size(bottom, top)
  products = bottom[:, :, :, :, None] * top[:, :, :, None, :]
  return products.mean(dim=(1, 2))


def fsp_loss(
  student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor]
) -> Tensor:
  """FSP (Yim et al. 2017), benchmark form: mean of `(G_s - G_t)^2`."""
  return (fsp_matrix(*student) - fsp_matrix(*teacher)).pow(2).mean()


def activation_boundary_loss(
  student: Tensor, teacher: Tensor, *, margin: float = 1.0
) -> Tensor:
  """AB (Heo et al. 2019): squared hinge, summed over neurons, mean over batch.

  The student must exceed `margin` where the teacher fires, else be below
  `-margin`. The weights of stages are the caller's.
  """
  fires = (teacher > 0).to(student.dtype)
  low = fires * F.relu(margin - student).pow(2)
  high = (1 - fires) * F.relu(margin + student).pow(2)
  return (low + high).sum() / len(student)


def overhaul_loss(student: Tensor, teacher: Tensor, margin: Tensor) -> Tensor:
  """OFD (Heo et al. 2019): `sum (s - max(t, m))^2`, mean over the batch.

  Nothing where the target is not positive and the student not above it.
  """
  target = torch.maximum(teacher, margin.reshape(1, 1, 1, -1))
  counts = (student > target) | (target > 0)
  return ((student - target).pow(2) * counts).sum() / len(student)


def hierarchical_context_loss(
  student: Tensor, teacher: Tensor, *, levels: tuple[int, ...] = (4, 2, 1)
) -> Tensor:
  """HCL (ReviewKD, Chen et al. 2021): squared errors of the map and its pools.

  Weights 1, 1/2, 1/4, ..., over their sum; a level not below the height of the
  map is left out.
  """
  losses = [(student - teacher).pow(2).mean()]
  for level in levels:
    if level < student.shape[1]:
      pooled = pool(student, level, level) - pool(teacher, level, level)
      losses.append(pooled.pow(2).mean())
  weights = [0.5**i for i in range(len(losses))]
  weighted = [w * x for w, x in zip(weights, losses, strict=True)]
  return torch.stack(weighted).sum() / sum(weights)


def channel_wise_loss(
  student: Tensor, teacher: Tensor, *, temperature: float
) -> Tensor:
  """CWD (Shu et al. 2021): `T^2 / (N C) sum KL` of softmaxes over positions."""
  student, teacher = (
    to_nchw(f).flatten(start_dim=2) / temperature for f in (student, teacher)
  )
  log_p, log_q = teacher.log_softmax(dim=2), student.log_softmax(dim=2)
  divergence = (log_p.exp() * (log_p - log_q)).sum(dim=2)
  return temperature**2 * divergence.mean()


def pearson_feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
  """PKD (Cao et al. 2022): half the mean square of standardised differences.

  Per channel over batch and positions: `(x - mean) / (std + 1e-6)`, ddof 1.
  """

  def standardised(f):
    f = f.reshape(-1, f.shape[3])
    return (f - f.mean(dim=0)) / (f.std(dim=0, unbiased=True) + 1e-6)

  return (standardised(student) - standardised(teacher)).pow(2).mean() / 2


def inter_channel_loss(student: Tensor, teacher: Tensor) -> Tensor:
  """ICKD (Liu et al. 2021), torchdistill's `sum (G_s - G_t)^2 / (C N^2)`.

  `G` is the Gram matrix of the channels, its rows of length 1.
  """

  def gram(f):
    f = to_nchw(f).flatten(start_dim=2)
    return F.normalize(torch.bmm(f, f.transpose(1, 2)), dim=2)

  batch, channels = len(student), student.shape[3]
  squares = (gram(student) - gram(teacher)).pow(2)
  return squares.sum() / channels / batch**2


def regressor_activations(f: Tensor, kernels: list[Tensor]) -> list[Tensor]:
  """Outputs of bias-free 1x1 convolutions `[in, out]`, ReLU between them."""
  outputs = [f @ kernels[0]]
  for kernel in kernels[1:]:
    outputs.append(F.relu(outputs[-1]) @ kernel)
  return outputs


def variational_information_loss(
  student: Tensor,
  teacher: Tensor,
  *kernels: Tensor,
  variance: float = 5.0,
  eps: float = 1e-5,
) -> Tensor:
  """VID (Ahn et al. 2019): `mean ((t - m)^2 / v + log v) / 2`.

  `m` is the regressor's output. `v = log(1 + exp(a)) + eps` per channel, where
  `a` is as at the start of training: `v = variance`.
  """
  student, teacher = to_common_size(student, teacher)
  mean = regressor_activations(student, list(kernels))[-1]
  log_scale = torch.full_like(
    teacher[0, 0, 0], math.log(math.exp(variance - eps) - 1)
  )
  v = torch.log(1 + torch.exp(log_scale)) + eps
  return 0.5 * ((teacher - mean).pow(2) / v + torch.log(v)).mean()


def linear_cka_loss(student: Tensor, teacher: Tensor) -> Tensor:
  """CKA (Kornblith et al. 2019): `1 - |Y'X|^2 / (|X'X| |Y'Y|)`, centred."""
  x, y = (f.flatten(start_dim=1) for f in (student, teacher))
  x, y = x - x.mean(dim=0), y - y.mean(dim=0)
  return 1 - (y.T @ x).pow(2).sum() / ((x.T @ x).norm() * (y.T @ y).norm())


def rbf_cka_loss(
  student: Tensor, teacher: Tensor, *, bandwidth: float = 1.0
) -> Tensor:
  """CKA (Kornblith et al. 2019): `1 - K.L / (|K| |L|)`, Gaussian kernels.

  Centred, of width `bandwidth^2` times the median of the squared distances of
  all `N^2` pairs; the mean of both middles if that is even.
  """

  def kernel(f):
    f = f.flatten(start_dim=1)
    squares = f.pow(2).sum(dim=1)
    squared = squares[:, None] + squares[None, :] - 2 * f @ f.T
    ordered = squared.flatten().sort().values
    last = len(ordered) - 1
    median = (ordered[last // 2] + ordered[(last + 1) // 2]) / 2
    k = torch.exp(-squared / (2 * bandwidth**2 * median))
    k = k - k.mean(dim=0, keepdim=True)
    return k - k.mean(dim=1, keepdim=True)

  k, l = kernel(student), kernel(teacher)  # noqa: E741
  return 1 - (k * l).sum() / (k.norm() * l.norm())
