"""Copies stdin to stderr; of a lost process it says one line."""

import signal
import sys

_CHATTER = (b'[Gloo]',)
_LOST = (b'JAX distributed service', b'coordination_service', b'heartbeat')
_LINE = (
  b'error: another process of the job was lost; start all again with the same '
  b'flags and --resume\n'
)


def main() -> None:
  """Filters until the input ends."""
  # Ctrl-C goes to the whole group; the last lines are still to come then.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  lost = False
  for line in sys.stdin.buffer:
    if not lost and any(word in line for word in _LOST):
      lost = True
      sys.stderr.buffer.write(_LINE)
    elif not lost and not line.startswith(_CHATTER):
      sys.stderr.buffer.write(line)
    sys.stderr.buffer.flush()


if __name__ == '__main__':
  main()
