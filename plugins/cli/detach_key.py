"""The detach key: what a person presses to let a running command go on by itself.

Owns the key, for as long as a run is at a terminal. Ctrl-B is made the terminal's quit
key, so that it comes as a signal, whatever is being typed, and nobody has to read the
input for it. Knows nothing of sessions.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

KEY = "Ctrl-B"
_CODE = b"\x02"

_before: bytes | None = None
"""What the quit key was, while it is ours."""


@contextmanager
def detach_key() -> Iterator[signal.Signals | None]:
    """Have the key send a signal, and yield which; None where there is no terminal
    that a person types at, or somebody else has it now."""
    global _before
    _before = _set_quit(_CODE)
    if _before is None:
        yield None
        return
    try:
        yield signal.SIGQUIT
    finally:
        put_key_back()


def put_key_back() -> None:
    """Let the key be what it was; also for whoever ends the process at once."""
    global _before
    if _before is not None:
        _set_quit(_before)
        _before = None


def _set_quit(code: bytes) -> bytes | None:
    """Set the terminal's quit key and return what it was, or None."""
    try:
        import termios
    except ImportError:
        return None
    if sys.stdin is None or not sys.stdin.isatty():
        return None
    fd = sys.stdin.fileno()
    with suppress(OSError, termios.error):
        # In the background the terminal is another job's, and touching it would stop
        # this one.
        if os.tcgetpgrp(fd) != os.getpgrp():
            return None
        attributes = termios.tcgetattr(fd)
        before: bytes = attributes[6][termios.VQUIT]
        attributes[6][termios.VQUIT] = code
        termios.tcsetattr(fd, termios.TCSANOW, attributes)
        return before
    return None
