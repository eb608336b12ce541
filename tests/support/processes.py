"""Other processes: how a test waits for one, and one for a test, without looking again
and again.

A file tells nobody that it is there; a named pipe does.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import anyio

from .bounds import HANG

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

    def heard(self) -> bool:
        """Whether a line came by now, which ``line`` returns at once then."""
        with suppress(BlockingIOError):
            self._heard += os.read(self._ends, 4096)
        return b"\n" in self._heard

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


def written(path: Path) -> str:
    """Return what was written into a file by now: nothing where there is none."""
    with suppress(FileNotFoundError):
        return path.read_text()
    return ""


def longer(milliseconds: int) -> Iterator[int]:
    """Give time limits, each twice the last one.

    For what must come to a certain point before its time is over. How soon it comes
    there is up to the machine, and no one limit is right for each: whoever was stopped
    before is given longer.
    """
    while milliseconds < 1000 * HANG:
        yield milliseconds
        milliseconds *= 2
    raise AssertionError("it does not come so far, however long it is given")
