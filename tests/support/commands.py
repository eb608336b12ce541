"""The command line as a child process: watched, interrupted, and at a terminal.

Each child has a home of its own in which nothing is configured, and one database.
"""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from attrs import frozen

from support.bounds import HANG
from support.replay import Answer, sse

MODEL = "openai/m"


@frozen
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    def lines(self) -> list[Any]:
        """Return the output as lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


class Home:
    """A person's home: a working directory, a database, an environment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = path / "work"
        self.work.mkdir()
        self.url = f"sqlite:///{path / 'sessions.db'}"
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DOVETAIL_", "OPENAI_", "ANTHROPIC_", "XDG_"))
            and "proxy" not in name.lower()
            and name not in ("NO_COLOR", "TERM", "COLUMNS")
        }
        self.environment = {
            **kept,
            "HOME": str(path),
            "TERM": "xterm",
            "DOVETAIL_DB": self.url,
            "OPENAI_API_KEY": "sk-test",
        }

    def serve_from(self, url: str) -> None:
        """Let the provider ``openai`` be the server at this URL."""
        self.environment["OPENAI_BASE_URL"] = f"{url}/v1"

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "dovetail.plugins.cli", *arguments]

    async def do(
        self,
        *arguments: str,
        input: bytes = b"",
        environment: Mapping[str, str | None] = {},
    ) -> Done:
        """Run a command to its end."""
        with anyio.fail_after(HANG):
            done = await anyio.run_process(
                self._command(arguments),
                input=input,
                check=False,
                cwd=self.work,
                env=self._environment(environment),
            )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def _environment(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        merged = {**self.environment, **changes}
        return {name: value for name, value in merged.items() if value is not None}

    @asynccontextmanager
    async def started(
        self, *arguments: str, stdout: int = subprocess.PIPE
    ) -> AsyncGenerator["Child", None]:
        """Run a command and watch it; it is killed on leaving if it still runs."""
        process = await anyio.open_process(
            self._command(arguments),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            cwd=self.work,
            env=self.environment,
        )
        child = Child(process)
        try:
            with anyio.fail_after(HANG):
                yield child
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.aclose()

    @asynccontextmanager
    async def at_terminal(
        self, *arguments: str, environment: Mapping[str, str | None] = {}
    ) -> AsyncGenerator["AtTerminal", None]:
        """Run a command at a terminal of its own."""
        master, slave = pty.openpty()
        try:
            process = await anyio.open_process(
                self._command(arguments),
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=self.work,
                env=self._environment(environment),
                start_new_session=True,
            )
        finally:
            os.close(slave)
        try:
            person = AtTerminal(process, master)
            with anyio.move_on_after(HANG) as limit:
                yield person
            assert not limit.cancelled_caught, f"it hangs, showing {person.shown}"
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.aclose()
            os.close(master)


class Child:
    """A command that runs."""

    def __init__(self, process: anyio.abc.Process) -> None:
        self.process = process
        self.out = ""

    async def until(self, text: str) -> str:
        """Read until a text was written to standard output; return all of it."""
        assert self.process.stdout is not None
        while text not in self.out:
            self.out += (await self.process.stdout.receive()).decode()
        return self.out

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def end(self) -> Done:
        """Wait for the end."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        err = b""
        async for data in self.process.stderr:
            err += data
        async for data in self.process.stdout:
            self.out += data.decode()
        return Done(await self.process.wait(), self.out, err.decode())


class AtTerminal:
    """A command that runs at a terminal, where all it writes is one text."""

    def __init__(self, process: anyio.abc.Process, master: int) -> None:
        self.process = process
        self.shown = ""
        self._master = master
        self._seen = 0

    async def until(self, text: str) -> None:
        """Wait until a text is shown, after what was waited for before."""
        while (at := self.shown.find(text, self._seen)) < 0:
            try:
                await self._read()
            except OSError:
                raise AssertionError(f"it ended, showing {self.shown}") from None
        self._seen = at + len(text)

    async def _read(self) -> None:
        await anyio.wait_readable(self._master)
        # At the end of a terminal reading fails.
        data = os.read(self._master, 65536)
        self.shown += data.decode().replace("\r\n", "\n")

    async def type(self, text: str) -> None:
        """Type a text."""
        await anyio.wait_writable(self._master)
        os.write(self._master, text.encode())

    async def end(self) -> int:
        """Wait for the end and return the exit code."""
        while True:
            try:
                await self._read()
            except OSError:
                return await self.process.wait()


# --- what a model says ------------------------------------------------------------


def chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    """Return one chunk of a chat completion."""
    choice = {"index": 0, "delta": dict(delta), "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [choice],
    }


def saying(*pieces: str) -> list[dict[str, Any]]:
    """Return chunks of text."""
    return [chunk({"role": "assistant", "content": piece}) for piece in pieces]


def text(*pieces: str) -> Answer:
    """Return an answer of text."""
    return Answer(sse(*saying(*pieces), chunk({}, "stop"), "[DONE]"))


def calling(*calls: tuple[str, Mapping[str, Any]], said: str = "") -> Answer:
    """Return an answer of tool calls, with their arguments."""
    made = [
        chunk(
            {
                "tool_calls": [
                    {
                        "index": at,
                        "id": f"call_{at}",
                        "type": "function",
                        "function": {"name": tool, "arguments": json.dumps(given)},
                    }
                ]
            }
        )
        for at, (tool, given) in enumerate(calls)
    ]
    before = saying(said) if said else []
    return Answer(sse(*before, *made, chunk({}, "tool_calls"), "[DONE]"))
