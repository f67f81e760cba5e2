"""Saved trees; no other file names orbax.

A checkpoint directory holds numbered steps. Each step is a pytree with a JSON
note that describes it. Orbax writes a step under a temporary name and renames
it when it is complete, so nobody reads a step that a crash cut short.
"""

import pathlib
from typing import Any

import jax
import orbax.checkpoint as ocp

_TREE, _NOTE = 'tree', 'note'


class CheckpointError(ValueError):
  """A checkpoint is missing or has other contents; the message is one line."""


def _manager(
  directory: str | pathlib.Path, *, keep: int | None = None
) -> ocp.CheckpointManager:
  options = ocp.CheckpointManagerOptions(
    max_to_keep=keep,
    # The caller donates the tree to its next epoch, and a signal may soon end
    # the process, so the step must be on disk when `save` returns.
    enable_async_checkpointing=False,
    create=keep is not None,
  )
  return ocp.CheckpointManager(
    pathlib.Path(directory).absolute(),
    options=options,
    item_handlers={
      _TREE: ocp.StandardCheckpointHandler(),
      _NOTE: ocp.JsonCheckpointHandler(),
    },
  )


def save(
  directory: str | pathlib.Path,
  step: int,
  tree: Any,
  note: dict[str, Any],
  *,
  keep: int = 2,
) -> None:
  """Writes one step; the complete step is on disk when `save` returns.

  Args:
    directory: Directory of the checkpoint; created if it is missing.
    step: Number of the step, 0 or more. An existing step stays unchanged.
    tree: Pytree of arrays.
    note: Description of the tree, as JSON; `read_note` returns it.
    keep: Number of latest steps that remain.
  """
  with _manager(directory, keep=keep) as manager:
    if step in manager.all_steps():
      return
    manager.save(
      step,
      args=ocp.args.Composite(
        **{
          # Orbax would compile a slice of every leaf for every device of a
          # replicated tree; arrays on the host avoid this.
          _TREE: ocp.args.StandardSave(jax.device_get(tree)),
          _NOTE: ocp.args.JsonSave(note),
        }
      ),
    )


def latest_step(directory: str | pathlib.Path) -> int | None:
  """Returns the number of the last complete step, or None without one."""
  if not pathlib.Path(directory).is_dir():
    return None
  with _manager(directory) as manager:
    return manager.latest_step()


def _latest(directory: str | pathlib.Path) -> int:
  step = latest_step(directory)
  if step is None:
    raise CheckpointError(f'there is no checkpoint in {str(directory)!r}.')
  return step


def _foreign(directory: str | pathlib.Path) -> CheckpointError:
  return CheckpointError(
    f'{str(directory)!r} holds a checkpoint that kdjax did not write.'
  )


def read_note(directory: str | pathlib.Path) -> dict[str, Any]:
  """Returns the note of the last step.

  Raises:
    CheckpointError: if the directory holds no step written by `save`.
  """
  step = _latest(directory)
  with _manager(directory) as manager:
    try:
      restored = manager.restore(
        step, args=ocp.args.Composite(**{_NOTE: ocp.args.JsonRestore()})
      )
    except (FileNotFoundError, KeyError, ValueError) as error:
      raise _foreign(directory) from error
    return restored[_NOTE]


def restore(directory: str | pathlib.Path, template: Any) -> Any:
  """Reads the last step.

  Args:
    directory: Directory that was given to `save`.
    template: Tree of arrays or `jax.ShapeDtypeStruct`s with the structure and
      shapes of the saved tree; the result has the template's types.

  Returns:
    The tree, on the default device.

  Raises:
    CheckpointError: if there is no step, or it holds another architecture.
  """
  step = _latest(directory)
  with _manager(directory) as manager:
    try:
      metadata = manager.item_metadata(step)[_TREE]
    except (FileNotFoundError, KeyError, ValueError) as error:
      raise _foreign(directory) from error
    _check_shapes(directory, metadata, template)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
      template,
    )
    restored = manager.restore(
      step,
      args=ocp.args.Composite(**{_TREE: ocp.args.StandardRestore(abstract)}),
    )
    return restored[_TREE]


def _check_shapes(
  directory: str | pathlib.Path, metadata: Any, template: Any
) -> None:
  """Raises unless the saved tree has the template's names and shapes."""
  saved, wanted = _shapes(metadata), _shapes(template)
  for path in sorted(saved.keys() | wanted.keys()):
    if saved.get(path) != wanted.get(path):
      raise CheckpointError(
        f'{str(directory)!r} holds another architecture: {path} has shape '
        f'{saved.get(path, "(absent)")}, not {wanted.get(path, "(absent)")}.'
      )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {
    '/'.join(_name(entry) for entry in path): tuple(leaf.shape)
    for path, leaf in leaves
  }


def _name(entry: Any) -> str:
  """Returns a path key as text; orbax saves every container as a dict."""
  for attribute in ('key', 'name', 'idx'):
    if hasattr(entry, attribute):
      return str(getattr(entry, attribute))
  return str(entry)
