"""ViTKD: shallow blocks of a transformer are mimicked, the last generated.

What is hidden is drawn as for `masked_generative`: anew at every step, for
each example from its `index`.
"""

import math

import chex
import jax

from kdjax.losses import contract
from kdjax.losses.feature import vitkd as losses
from kdjax.transforms import axes, base
from kdjax.transforms.connectors import TokenAlignment, TokenGenerator
from kdjax.transforms.feature import binding
from kdjax.transforms.numbers import Number, accepts


@accepts(
  ratio=contract.SHARE,
  mimic_weight=contract.NOT_NEGATIVE,
  generate_weight=contract.NOT_NEGATIVE,
)
def vitkd(
  *,
  student: binding.Taps,
  teacher: binding.Taps,
  ratio: float = 0.5,
  mimic_weight: Number = 3e-5,
  generate_weight: Number = 3e-6,
) -> base.LossTransform:
  """Mimicry of shallow blocks and generation of the last one (ViTKD).

  `mimic_weight` times `vitkd_mimicking_loss`, summed over all taps but the
  last, plus `generate_weight` times `vitkd_generation_loss` of the last. The
  student passes a dense layer where the dimensions differ, one per tap, and at
  the last tap a `TokenGenerator`, all trained with it. Weight 1. Metrics:
  `mimic` and `generate`, before their weights. The state holds a random key.

  >>> names = 'block1', 'block4'
  >>> student = dict.fromkeys(names, jnp.ones((2, 4, 3)))
  >>> teacher = dict.fromkeys(names, jnp.ones((2, 4, 5)))
  >>> len(shapes(vitkd(student=names, teacher=names), student, teacher))
  9

  Args:
    student: Names of at least two taps, in the paper the first two blocks and
      the last: tokens `[batch, tokens, dim]` without class and distillation
      tokens, a square number of them, or maps `[batch, height, width, dim]`.
    teacher: As many names of the teacher's, with as many tokens.
    ratio: Share of tokens hidden from the generator, in (0, 1].
    mimic_weight: Of mimicry, not negative.
    generate_weight: Of generation, not negative.

  Raises:
    ValueError: if a hyperparameter is out of range or there are not two taps
      or more, as many of either network; from `init`, if there is no such tap
      (lists those there are) or the tokens do not fit.
  """
  pairs = binding.pair_names(student, teacher)
  if len(pairs) < 2:
    raise ValueError(f'student must name two taps or more, got {student!r}.')

  def init(key, student_outputs, teacher_outputs):
    sources, targets = [], []
    for s, t in pairs:
      source = _grid(binding.example(student_outputs, s, 'student'), s)
      target = _grid(binding.example(teacher_outputs, t, 'teacher'), t)
      binding.check_equal(
        'grid of tokens', source.shape[1:3], target.shape[1:3], (s, t)
      )
      sources.append(source)
      targets.append(target)
    align, generator = _modules(targets)
    keys = jax.random.split(key, 3)
    hidden = _hidden(keys[:1], targets[-1], ratio)
    alignment = binding.init_module(keys[0], align, sources[:-1])
    generation = binding.init_module(keys[1], generator, sources[-1], hidden)
    params = {'align': alignment.params, 'generator': generation.params}
    return base.LossVariables(params, {'key': jax.random.key_data(keys[2])})

  def apply(variables, student_outputs, teacher_outputs, batch, step):
    params, state = variables
    sources, targets = (
      [_grid(binding.read(outputs, name, batch), name) for name in names]
      for outputs, names in (
        (student_outputs, [s for s, _ in pairs]),
        (teacher_outputs, [t for _, t in pairs]),
      )
    )
    align, generator = _modules(targets)
    aligned = align.apply({'params': params['align']}, sources[:-1])
    mimicry = [
      losses.vitkd_mimicking_loss(s, t)
      for s, t in zip(aligned, targets[:-1], strict=True)
    ]
    keys = binding.example_keys(state['key'], step, batch, sources[-1].shape[0])
    hidden = _hidden(keys, targets[-1], ratio)
    generated = generator.apply(
      {'params': params['generator']}, sources[-1], hidden
    )
    generation = losses.vitkd_generation_loss(
      _tokens(generated),
      _tokens(targets[-1]),
      hidden.reshape(hidden.shape[0], -1),
      ratio=ratio,
    )
    mimic = base.batch_mean(sum(mimicry[1:], mimicry[0]), batch)
    generate = base.batch_mean(generation, batch)
    value = mimic_weight * mimic + generate_weight * generate
    return value, state, {'mimic': mimic, 'generate': generate}

  return axes.per_example(init, apply)


def _modules(targets) -> tuple[TokenAlignment, TokenGenerator]:
  """Modules on the student's side, for teacher's grids of these shapes."""
  dims = tuple(target.shape[-1] for target in targets)
  return TokenAlignment(dims[:-1]), TokenGenerator(dims[-1])


def _grid(tap: chex.Array, name: str) -> jax.Array:
  """Tokens on their grid, `[batch, height, width, dim]`."""
  if tap.ndim == 4:
    return tap
  side = math.isqrt(tap.shape[1]) if tap.ndim == 3 else 0
  if tap.ndim != 3 or side**2 != tap.shape[1]:
    raise ValueError(
      f'{name!r} must be tokens [batch, tokens, dim], a square number of them '
      'without class token, or a map [batch, height, width, dim], got one of '
      f'shape {tap.shape[1:]} per example.'
    )
  return tap.reshape(tap.shape[0], side, side, tap.shape[2])


def _tokens(grid: chex.Array) -> jax.Array:
  return grid.reshape(grid.shape[0], -1, grid.shape[-1])


def _hidden(keys: chex.PRNGKey, grid: chex.Array, ratio: float) -> jax.Array:
  """Hidden tokens of every example, booleans `[batch, height, width]`."""
  height, width = grid.shape[1:3]

  def draw(key):
    return losses.random_hidden_tokens(key, (1, height * width), ratio=ratio)

  return jax.vmap(draw)(keys).reshape(-1, height, width)
