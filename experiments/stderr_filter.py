"""Copies stdin to stderr; of a lost process it says one line."""

import signal
import sys

_CHATTER = (b'[Gloo]',)
_SIGNS = (b'JAX distributed service', b'coordination_service', b'heartbeat')

LOST = (
  'another process of the job was lost; start all again with the same flags '
  'and --resume'
)


def main() -> None:
  """Filters until the input ends."""
  # Ctrl-C goes to the whole group; the last lines are still to come then.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  lost = False
  for line in sys.stdin.buffer:
    if not lost and (
      LOST.encode() in line or any(sign in line for sign in _SIGNS)
    ):
      lost = True
      sys.stderr.buffer.write(f'error: {LOST}\n'.encode())
    elif not lost and not line.startswith(_CHATTER):
      sys.stderr.buffer.write(line)
    sys.stderr.buffer.flush()


if __name__ == '__main__':
  main()
