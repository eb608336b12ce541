"""Standard streams: bytes in and out of this process, for one protocol alone.

Owns the two descriptors. What else would write to standard output goes to standard
error, and what else would read standard input finds it empty: a stray ``print`` or a
command that reads must not break into the protocol.
"""

import os
import socket
import stat
from types import TracebackType
from typing import Self

import anyio
from anyio import to_thread

PIECE = 4096
"""Bytes that a pipe takes whole where it can be written at all (PIPE_BUF)."""
CHUNK = 65_536


class StandardStream:
    """Standard input and output of this process, taken for as long as it is entered."""

    def __enter__(self) -> Self:
        self._input, self._output = os.dup(0), os.dup(1)
        nowhere = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nowhere, 0)
        os.close(nowhere)
        os.dup2(2, 1)
        self._wait_in = _can_wait(self._input)
        self._socket: socket.socket | None = None
        mode = os.fstat(self._output).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=os.dup(self._output))
        self._wait_out = _can_wait(self._output)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            self._socket.close()
        os.dup2(self._input, 0)
        os.dup2(self._output, 1)
        os.close(self._input)
        os.close(self._output)

    async def receive(self) -> bytes:
        """Return what came; empty at the end."""
        if not self._wait_in:
            # A file never keeps one waiting.
            return await to_thread.run_sync(os.read, self._input, CHUNK)
        await anyio.wait_readable(self._input)
        return os.read(self._input, CHUNK)

    async def send(self, data: bytes) -> None:
        """Return when all of it was taken. A reader that takes nothing holds up nobody
        but whoever sends.

        Raises:
            OSError: nobody reads any more.
        """
        view = memoryview(data)
        while view:
            if self._wait_out:
                await anyio.wait_writable(self._output)
            view = view[self._write(view) :]

    def _write(self, view: memoryview) -> int:
        if self._socket is None:
            # Not more: the descriptor blocks, because others may have it too.
            return os.write(self._output, view[:PIECE])
        try:
            return self._socket.send(view, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0


def _can_wait(descriptor: int) -> bool:
    """Say whether the system tells when it is ready; a regular file always is."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)
