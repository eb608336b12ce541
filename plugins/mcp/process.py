"""Process: a server that is begun here, spoken to over its standard input and output.

Owns the process from its beginning to its end: a group of its own, an environment
without our keys, its standard error kept, and lines of JSON in both directions. What it
writes is a stranger's: a line that is too long is passed over in bounded memory, and
whoever waits for what stood in it is told. Knows nothing of what the messages mean.
"""

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import anyio
from anyio import to_thread
from anyio.abc import ByteReceiveStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    ErrorData,
    JSONRPCError,
    jsonrpc_message_adapter,
)

from .floods import Flood
from .leftovers import marked
from .words import Words

logger = logging.getLogger(__name__)

MAX_LINE = 16 * 1024 * 1024
"""Bytes of one message."""
LARGE = 256 * 1024
"""Bytes of a message that is read in a thread, so that nobody waits for it."""
CHUNK = 65_536
END_SECONDS = 1.25
"""How long a server may take to end by itself, and again after SIGTERM: together, with
the end after SIGKILL, less than a Location has to close."""

INHERITED = (
    *("HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "LC_ALL", "LC_CTYPE"),
    *("TMPDIR", "TZ", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "SYSTEMROOT", "TEMP"),
    *("APPDATA", "LOCALAPPDATA", "PATHEXT", "USERPROFILE", "COMSPEC", "SYSTEMDRIVE"),
)
"""What a server has of our environment: no key is called like one of these."""
TOO_LONG = -32_051
_ID = re.compile(rb'"id"\s*:\s*(\d{1,18}|"[^"\\]{1,64}")')

_GONE = (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError)

Streams = tuple[
    MemoryObjectReceiveStream[SessionMessage | Exception],
    MemoryObjectSendStream[SessionMessage],
]


def environment_of(
    environment: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of a server: what every program needs, and its own."""
    kept = {name: environment[name] for name in INHERITED if name in environment}
    return {**kept, **own}


class ServerProcess:
    """One process, and the messages to and from it."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._process: Process | None = None
        self._flood = Flood()
        self.passed_over = 0
        """Messages that were too long, or none."""

    def ended(self) -> str | None:
        """Return how it ended, or None while it runs."""
        if self._process is None or self._process.returncode is None:
            return None
        code = self._process.returncode
        if code >= 0:
            return f"exit code {code}"
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
        return f"killed by signal {-code}"

    async def end(self) -> str | None:
        """Return how it ended, or None where it goes on though it says no more. A
        process ends a moment after its output does."""
        if self._process is not None:
            await _gone(self._process, END_SECONDS)
        return self.ended()

    @asynccontextmanager
    async def run(
        self, command: Sequence[str], environment: Mapping[str, str], folder: str
    ) -> AsyncIterator[Streams]:
        """Begin it, and end it with all of its group when this is left.

        Raises:
            OSError: it cannot be begun.
        """
        process = await anyio.open_process(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=marked(dict(environment)),
            start_new_session=True,
        )
        self._process = process
        # No await until the task group is entered: a cancellation in between would
        # leave the process behind. One message at a time: what a server floods us
        # with waits in its pipe.
        from_server, incoming = anyio.create_memory_object_stream[
            SessionMessage | Exception
        ](0)
        outgoing, to_server = anyio.create_memory_object_stream[SessionMessage](0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read, process, from_server)
            tasks.start_soon(self._write, process, to_server, from_server)
            tasks.start_soon(self._listen, process)
            try:
                yield incoming, outgoing
            finally:
                incoming.close()
                outgoing.close()
                with anyio.CancelScope(shield=True):
                    await _end(process)
                tasks.cancel_scope.cancel()

    async def _read(
        self,
        process: Process,
        messages: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        assert process.stdout is not None
        async with messages:
            with suppress(
                anyio.ClosedResourceError, anyio.BrokenResourceError, OSError
            ):
                async for line in self._lines(process.stdout):
                    found = await self._message(line)
                    if found is not None:
                        await messages.send(found)

    async def _lines(self, stream: ByteReceiveStream) -> AsyncIterator[bytes]:
        """Yield whole lines; of one that is too long, its beginning with no end."""
        parts: list[bytes] = []
        size = 0
        while True:
            try:
                chunk = await stream.receive(CHUNK)
            except anyio.EndOfStream:
                return
            first, *more = chunk.split(b"\n")
            if size <= MAX_LINE:
                parts.append(first)
            size += len(first)
            for piece in more:
                line = b"".join(parts)
                yield line if size <= MAX_LINE else line[:MAX_LINE]
                parts, size = [piece], len(piece)

    async def _message(self, line: bytes) -> SessionMessage | None:
        if not line.strip():
            return None
        if len(line) >= MAX_LINE:
            return self._too_long(line)
        try:
            if len(line) > LARGE:
                made = await to_thread.run_sync(
                    jsonrpc_message_adapter.validate_json, line
                )
            else:
                made = jsonrpc_message_adapter.validate_json(line)
        except ValueError:
            # Some print on standard output what belongs on standard error.
            self.passed_over += 1
            if self.passed_over <= 20:
                self._words.note("this is no message: " + repr(line[:200])[1:])
            return None
        return None if self._flood.is_too_much(made) else SessionMessage(made)

    def _too_long(self, line: bytes) -> SessionMessage | None:
        """Return an answer for whoever waits for what was passed over, if that can be
        told; whoever cannot is told when the time is over."""
        self.passed_over += 1
        self._words.note(f"a message of over {MAX_LINE} bytes was passed over")
        found = _ID.search(line[:4096])
        if found is None:
            return None
        text = found[1].decode()
        error = ErrorData(code=TOO_LONG, message=f"its answer is over {MAX_LINE} bytes")
        number = int(text) if text.isdigit() else text[1:-1]
        return SessionMessage(JSONRPCError(jsonrpc="2.0", id=number, error=error))

    async def _write(
        self,
        process: Process,
        messages: MemoryObjectReceiveStream[SessionMessage],
        incoming: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        assert process.stdin is not None
        try:
            async with messages:
                async for one in messages:
                    text = one.message.model_dump_json(
                        by_alias=True, exclude_unset=True
                    )
                    await process.stdin.send(text.encode("utf-8", "replace") + b"\n")
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            # It does not listen any more: whoever waits for an answer gets none.
            incoming.close()

    async def _listen(self, process: Process) -> None:
        assert process.stderr is not None
        with suppress(anyio.EndOfStream, *_GONE):
            while True:
                await self._words.add(await process.stderr.receive(CHUNK))


async def _end(process: Process) -> None:
    """End a process as the protocol has it: close its input, wait, tell its group to
    end, wait, and kill what is left of the group."""
    assert process.stdin is not None
    with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()
    if not await _gone(process, END_SECONDS):
        _signal(process, signal.SIGTERM)
        await _gone(process, END_SECONDS)
    # Also when it ended by itself: what it began may be left in its group.
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    if not await _gone(process, END_SECONDS):
        logger.warning("MCP server process %d does not end", process.pid)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError, anyio.BrokenResourceError):
                await stream.aclose()
    # Where a descendant that left the group holds a pipe open, asyncio would keep the
    # transport, and complain of it when it is collected.
    transport = getattr(getattr(process, "_process", None), "_transport", None)
    if transport is not None:
        with suppress(PermissionError):
            transport.close()


async def _gone(process: Process, seconds: float) -> bool:
    # Not ``wait``: on asyncio that waits for the pipes as well, which a descendant may
    # hold open.
    end = anyio.current_time() + seconds
    while process.returncode is None:
        if anyio.current_time() >= end:
            return False
        await anyio.sleep(0.01)
    return True


def _signal(process: Process, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.send_signal(signal.Signals(number))
        else:
            os.killpg(process.pid, number)
