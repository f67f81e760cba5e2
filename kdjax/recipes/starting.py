"""Pretrained students to start from."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from kdjax.models import Model, ModelVariables, Network
from kdjax.options import OptionError
from kdjax.training import Experiment

# One network for one seed, or at least as many networks as seeds.
Start = Network | Sequence[Network] | None


def start_of(
  experiment: Experiment, student: Model, start: Start
) -> ModelVariables | None:
  """Returns the variables that the students start from, stacked by seed.

  Args:
    experiment: Budget and task.
    student: The student, as a method trains it.
    start: Trained networks. The first seed starts from the first network, and
      so on; further networks are left over.

  Raises:
    OptionError: if there are more seeds than networks. Seeds differ in nothing
      but where they start, so several would repeat one student. Also if the
      networks have other variables than the student.
  """
  if start is None:
    return None
  # A network is a tuple, so a sequence, itself.
  networks = [start] if isinstance(start, Network) else list(start)
  seeds = experiment.budget.seeds
  if seeds > len(networks):
    raise OptionError(
      'seeds',
      seeds,
      f'must be at most {len(networks)}, the number of pretrained students: '
      'two seeds that start from one network train the same student',
    )
  wanted = jax.eval_shape(
    student.init, jax.random.key(0), experiment.task.batch()
  )
  for network in networks[:seeds]:
    _check_fits(network, student, wanted)
  stacked = (network.variables for network in networks[:seeds])
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *stacked)


def _check_fits(
  network: Network, student: Model, wanted: ModelVariables
) -> None:
  """Raises OptionError unless the network has the student's variables."""
  found, right = (
    {
      jax.tree_util.keystr(path): (tuple(x.shape), jnp.dtype(x.dtype).name)
      for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]
    }
    for tree in (network.variables, wanted)
  )
  for path in sorted(found.keys() | right.keys()):
    if found.get(path) != right.get(path):
      raise OptionError(
        'start',
        network.name,
        f'must have the variables of the student {student.name} as the method '
        f'trains it, but {path} is {found.get(path, "absent")} and not '
        f'{right.get(path, "absent")}; student_checkpoint does not suit this '
        'method or student',
      )
