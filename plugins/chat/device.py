"""The device: the terminal below all that is drawn.

Owns how it is written to, what it holds of the time before it was ours, and how it says
that nobody sits at it any more. Keeps nothing.
"""

import errno
import os
import select
import sys

from prompt_toolkit.output.vt100 import Vt100_Output

MOST_HELD = 200_000
"""Bytes, about, that are taken of what was typed before."""
GONE = (errno.EIO, errno.EBADF, errno.EPIPE)
"""What a terminal that was closed answers."""


def opened() -> Vt100_Output:
    """Return what the terminal is written to by."""
    output = Vt100_Output.from_pty(sys.stdout)
    # Nobody asks the terminal where its cursor is: over a slow link the answer would
    # come late, and be typed.
    output.enable_cpr = False
    return output


def typed_ahead() -> list[str]:
    """Return the lines that the terminal holds while it edits lines by itself."""
    fd = sys.stdin.fileno()
    data = b""
    while len(data) < MOST_HELD and select.select([fd], [], [], 0)[0]:
        more = os.read(fd, 4096)
        if not more:
            break
        data += more
    return data.decode(errors="replace").splitlines()


def is_gone(error: object) -> bool:
    """Return whether an error says that nobody sits at the terminal any more."""
    return isinstance(error, EOFError) or (
        isinstance(error, OSError) and error.errno in GONE
    )
