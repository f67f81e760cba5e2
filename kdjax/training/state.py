"""The state of students in training."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from kdjax.models import Model, ModelVariables
from kdjax.transforms import LossTransform, LossVariables


class TrainState(NamedTuple):
  """The state of one student, or of several along a leading axis.

  Attributes:
    step: Number of steps taken, int32 scalar.
    seed: Seed of all randomness of this student, uint32 scalar.
    model: The student's parameters and state.
    loss: The loss's parameters and state.
    opt_state: The optimizer's state, over the model's and the loss's params.
  """

  step: jax.Array
  seed: jax.Array
  model: ModelVariables
  loss: LossVariables
  opt_state: optax.OptState


class AveragedState(NamedTuple):
  """A `TrainState` with a moving average of the student.

  Runs without an average keep the other type, so that their checkpoints have
  no field for it.

  Attributes:
    average: Moving average of `model`.
  """

  step: jax.Array
  seed: jax.Array
  model: ModelVariables
  loss: LossVariables
  opt_state: optax.OptState
  average: ModelVariables


def with_average(state: TrainState) -> AveragedState:
  """Returns the state with an average that starts at the student."""
  # An epoch donates all arrays of a state, so no array may be there twice.
  average = jax.tree.map(jnp.copy, state.model)
  return AveragedState(*state, average=average)


def result(state: TrainState | AveragedState) -> ModelVariables:
  """Returns the variables to evaluate and save: the average if there is one."""
  return state.average if isinstance(state, AveragedState) else state.model


def averaged(
  average: ModelVariables, model: ModelVariables, decay: float
) -> ModelVariables:
  """Returns `decay * average + (1 - decay) * model`, of all floating arrays.

  Parameters and batch statistics are averaged, as in timm's `ModelEmaV2`.
  Counters are copied.
  """

  def one(old, new):
    if not jnp.issubdtype(new.dtype, jnp.floating):
      return new
    # In this form an array that does not change stays the same in every bit.
    return old + (1 - decay) * (new - old)

  return jax.tree.map(one, average, model)


def trainable(model: ModelVariables, loss: LossVariables) -> dict:
  """Returns the parameters that the optimizer updates, as one tree."""
  return {'model': model.params, 'loss': loss.params}


def init_state(
  seed: jax.typing.ArrayLike,
  model: Model,
  loss: LossTransform,
  optimizer: optax.GradientTransformation,
  batch: Mapping[str, jax.ShapeDtypeStruct],
  teacher_outputs: Mapping[str, jax.ShapeDtypeStruct],
) -> TrainState:
  """Returns the state of a new student.

  Args:
    seed: Seed of the student. Students of one seed start from the same
      parameters, whatever their loss, so that runs can be compared in pairs.
    model: The student.
    loss: The loss that the student will minimise.
    optimizer: Optimizer of `trainable(model, loss)`.
    batch: Shapes and dtypes of a batch.
    teacher_outputs: Shapes and dtypes of the teacher's outputs for the batch.
  """
  model_key, loss_key = jax.random.split(jax.random.key(seed))
  zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), dict(batch))
  variables = model.init(model_key, zeros)
  outputs, _ = jax.eval_shape(lambda: model.apply(variables, zeros))
  loss_variables = loss.init(loss_key, outputs, teacher_outputs)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    seed=jnp.asarray(seed, jnp.uint32),
    model=variables,
    loss=loss_variables,
    opt_state=optimizer.init(trainable(variables, loss_variables)),
  )


def init_students(seeds: Sequence[int], *args, **kwargs) -> TrainState:
  """Stacks `init_state` of several seeds along a new first axis."""

  @jax.jit
  def init(seed):
    return init_state(seed, *args, **kwargs)

  # No vmap: the start of a student must not depend on other students.
  states = [init(jnp.uint32(seed)) for seed in seeds]
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
