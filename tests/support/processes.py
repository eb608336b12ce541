"""Other processes: how a test waits for one, and one for a test, without looking again
and again.

A file tells nobody that it is there; a named pipe does.
"""

import os
from collections.abc import Callable
from pathlib import Path

import anyio

ENOUGH = 64
"""More than ever wait for one pipe."""


class NamedPipe:
    """A pipe with a name, for a shell: ``read -r _ < go`` and ``echo $$ > pid``.

    Nobody waits for its other end to be opened, which it is until it is closed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._ends = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._heard = b""

    def release(self) -> None:
        """Let everybody go on who waits for a line, and who will."""
        os.write(self._ends, b"\n" * ENOUGH)

    async def line(self) -> str:
        """Wait for a line and return it."""
        while b"\n" not in self._heard:
            await anyio.wait_readable(self._ends)
            self._heard += os.read(self._ends, 4096)
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    async def number(self) -> int:
        """Wait for a number, such as that of a process."""
        return int(await self.line())

    def close(self) -> None:
        os.close(self._ends)


Pipes = Callable[[Path], NamedPipe]
"""The fixture ``pipe``."""


async def ended(number: int) -> None:
    """Return when a process has ended, whosever child it is."""
    try:
        watch = os.pidfd_open(number)
    except ProcessLookupError:
        return
    try:
        await anyio.wait_readable(watch)
    finally:
        os.close(watch)
