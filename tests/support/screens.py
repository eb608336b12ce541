"""A terminal with a screen: what a person sees of a command, row by row.

The command runs at a pseudo-terminal of its own; what it writes is drawn by pyte, a
terminal in Python, so that a test sees what stands on the screen and not what was sent.
"""

import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

import anyio
import pyte

from support.bounds import HANG
from support.commands import Home
from support.zygote import Forked


class SeenTerminal:
    """A terminal that somebody looks at."""

    def __init__(self, process: Forked, master: int, columns: int, rows: int) -> None:
        self.process = process
        self.master = master
        self.raw = b""
        """All that was ever written to it."""
        self._screen = pyte.HistoryScreen(columns, rows, history=5000, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def rows(self) -> list[str]:
        """The rows that can be seen now."""
        return [row.rstrip() for row in self._screen.display]

    @property
    def shown(self) -> str:
        """What can be seen now."""
        return "\n".join(self.rows)

    @property
    def all(self) -> str:
        """What can be seen and what has gone by."""
        top = [
            "".join(row[column].data for column in range(self._screen.columns)).rstrip()
            for row in self._screen.history.top
        ]
        return "\n".join([*top, self.shown])

    @property
    def title(self) -> str:
        """What the window is called."""
        return self._screen.title

    async def until(self, *texts: str) -> None:
        """Wait until all of these can be seen at once."""
        await self.until_true(lambda: all(text in self.shown for text in texts))

    async def until_gone(self, text: str) -> None:
        """Wait until something cannot be seen any more."""
        await self.until_true(lambda: text not in self.shown)

    async def until_ever(self, text: str) -> None:
        """Wait until something was seen."""
        await self.until_true(lambda: text in self.all)

    async def until_true(self, true: Callable[[], bool]) -> None:
        """Wait until something is true of what is seen."""
        with anyio.move_on_after(HANG) as limit:
            while not true():
                try:
                    await self.read()
                except OSError:
                    raise AssertionError(f"it ended, showing\n{self.all}") from None
        assert not limit.cancelled_caught, f"it hangs, showing\n{self.all}"

    async def read(self) -> None:
        """See what is written next."""
        await anyio.wait_readable(self.master)
        data = os.read(self.master, 1 << 20)
        self.raw += data
        self._stream.feed(data)

    async def type(self, text: str) -> None:
        """Type a text, keys included, as a terminal sends them."""
        data = text.encode()
        while data:
            await anyio.wait_writable(self.master)
            # As much as a terminal takes: whoever is slow to read it holds nobody up.
            data = data[os.write(self.master, data[:1024]) :]

    async def paste(self, text: str) -> None:
        """Paste a text, while what is written is seen."""
        data = f"\x1b[200~{text}\x1b[201~"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._reading)
            await self.type(data)
            tasks.cancel_scope.cancel()

    async def _reading(self) -> None:
        while True:
            await self.read()

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size."""
        self._screen.resize(rows, columns)
        resize(self.master, columns, rows)
        os.killpg(os.tcgetpgrp(self.master), signal.SIGWINCH)

    def close(self) -> None:
        """Take the terminal away, as closing its window does."""
        nothing = os.open(os.devnull, os.O_RDWR)
        # Under the same number, which whoever made it closes.
        os.dup2(nothing, self.master)
        os.close(nothing)

    async def end(self) -> int:
        """Wait for the end and return the exit code."""
        with anyio.fail_after(HANG):
            while True:
                try:
                    await self.read()
                except OSError:
                    return await self.process.wait()


def resize(master: int, columns: int, rows: int) -> None:
    """Say how large a terminal is."""
    size = struct.pack("HHHH", rows, columns, 0, 0)
    fcntl.ioctl(master, termios.TIOCSWINSZ, size)


@asynccontextmanager
async def seen(
    home: Home,
    *arguments: str,
    columns: int = 80,
    rows: int = 24,
    environment: Mapping[str, str | None] = {},
) -> AsyncGenerator[SeenTerminal, None]:
    """Run a command at a terminal that is seen; it is killed on leaving."""
    master, slave = pty.openpty()
    resize(master, columns, rows)
    os.set_blocking(master, False)
    try:
        async with home.forked(
            arguments, (slave, slave, slave), environment, own_session=True
        ) as process:
            os.close(slave)
            slave = -1
            yield SeenTerminal(process, master, columns, rows)
    finally:
        if slave >= 0:
            os.close(slave)
        os.close(master)
