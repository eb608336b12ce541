"""The command line as a process: watched, interrupted, and at a terminal.

Each child has a home of its own in which nothing is configured, and one database.
"""

import codecs
import json
import os
import pty
import re
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import anyio
from attrs import field, frozen

from support.bounds import HANG
from support.replay import Answer, sse
from support.zygote import Forked, Zygote

MODEL = "openai/m"


_LAST = re.compile(r"^session \S+, \d+ Steps?, .*\d s\n\Z", re.MULTILINE)

_SLOW = re.compile(
    r"^warning: .*(?:hooks must be quick|held up the event loop|"
    r" went on after \d|has taken \d).*\n",
    re.MULTILINE,
)


def without_slowness(err: str) -> str:
    """Return what was said but of code that takes long: on a busy machine any does."""
    return _SLOW.sub("", err)


@frozen
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str = field(converter=without_slowness)

    @property
    def told(self) -> str:
        """What was said but for the last line of a run, which has its time in it."""
        return _LAST.sub("", self.err)

    def lines(self) -> list[Any]:
        """Return the output as lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


class Home:
    """A person's home: a working directory, a database, an environment."""

    def __init__(self, path: Path, zygote: Zygote) -> None:
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
        self._zygote = zygote

    def serve_from(self, url: str) -> None:
        """Let the provider ``openai`` be the server at this URL."""
        self.environment["OPENAI_BASE_URL"] = f"{url}/v1"

    async def do(
        self,
        *arguments: str,
        input: bytes = b"",
        environment: Mapping[str, str | None] = {},
    ) -> Done:
        """Run a command to its end."""
        with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
            given.write(input)
            given.seek(0)
            streams = given.fileno(), out.fileno(), err.fileno()
            with anyio.fail_after(HANG):
                async with self.forked(arguments, streams, environment) as process:
                    code = await process.wait()
            out.seek(0)
            err.seek(0)
            return Done(code, out.read().decode(), err.read().decode())

    @asynccontextmanager
    async def forked(
        self,
        arguments: tuple[str, ...],
        streams: tuple[int, int, int],
        environment: Mapping[str, str | None] = {},
        **options: bool,
    ) -> AsyncGenerator[Forked, None]:
        """Start a command; it is killed on leaving if it still runs."""
        merged = {**self.environment, **environment}
        process = await self._zygote.fork(
            arguments,
            streams,
            cwd=self.work,
            environment={k: v for k, v in merged.items() if v is not None},
            **options,
        )
        try:
            yield process
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.aclose()

    @asynccontextmanager
    async def started(
        self, *arguments: str, stdout: int | None = None
    ) -> AsyncGenerator["Child", None]:
        """Run a command and watch it; it is killed on leaving if it still runs.

        Without ``stdout``, what it says is read by the Child.
        """
        with Pipe() as out, Pipe() as err, TemporaryFile() as nothing:
            said = out.writing if stdout is None else stdout
            streams = nothing.fileno(), said, err.writing
            async with self.forked(arguments, streams) as process:
                out.close_writing()
                err.close_writing()
                with anyio.fail_after(HANG):
                    yield Child(process, out, err)

    @asynccontextmanager
    async def at_terminal(
        self, *arguments: str, environment: Mapping[str, str | None] = {}
    ) -> AsyncGenerator["AtTerminal", None]:
        """Run a command at a terminal of its own."""
        master, slave = pty.openpty()
        try:
            async with self.forked(
                arguments, (slave, slave, slave), environment, own_session=True
            ) as process:
                os.close(slave)
                slave = -1
                person = AtTerminal(process, master)
                with anyio.move_on_after(HANG) as limit:
                    yield person
                assert not limit.cancelled_caught, (
                    f"it hangs, showing {person.shown[-3000:]}"
                )
        finally:
            if slave >= 0:
                os.close(slave)
            os.close(master)


class Pipe:
    """What a command says, as it says it."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def close_writing(self) -> None:
        """Let go of the end of the one who writes, who has got his own by now."""
        os.close(self.writing)
        self.writing = -1

    async def read(self) -> str:
        """Return something, or nothing at the end."""
        text = ""
        while not text:
            await anyio.wait_readable(self._reading)
            data = os.read(self._reading, 65536)
            # Of a character that was cut the rest comes later.
            text = self._decoder.decode(data, final=not data)
            if not data:
                break
        return text

    def __enter__(self) -> "Pipe":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._reading)
        if self.writing >= 0:
            os.close(self.writing)


class Child:
    """A command that runs."""

    def __init__(self, process: Forked, out: Pipe, err: Pipe) -> None:
        self.process = process
        self.out = ""
        self._out, self._err = out, err

    async def until(self, text: str) -> str:
        """Read until a text was written to standard output; return all of it."""
        while text not in self.out:
            more = await self._out.read()
            assert more, f"it ended, having said {self.out}"
            self.out += more
        return self.out

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def end(self) -> Done:
        """Wait for the end."""
        err = ""
        while more := await self._err.read():
            err += more
        while more := await self._out.read():
            self.out += more
        return Done(await self.process.wait(), self.out, err)


class AtTerminal:
    """A command that runs at a terminal, where all it writes is one text."""

    def __init__(self, process: Forked, master: int) -> None:
        self.process = process
        self.shown = ""
        self.master = master
        self._seen = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    async def until(self, *texts: str) -> None:
        """Wait until these are shown, in any order, after what was waited for last."""
        ends = []
        for text in texts:
            while (at := self.shown.find(text, self._seen)) < 0:
                try:
                    await self._read()
                except OSError:
                    raise AssertionError(f"it ended, showing {self.shown}") from None
            ends.append(at + len(text))
        self._seen = max(ends)

    async def _read(self) -> None:
        await anyio.wait_readable(self.master)
        # At the end of a terminal reading fails.
        data = os.read(self.master, 65536)
        # A terminal hands over whatever it has by then: it cuts lines and characters.
        shown = self.shown + self._decoder.decode(data)
        self.shown = shown.replace("\r\n", "\n")

    async def type(self, text: str) -> None:
        """Type a text."""
        data = text.encode()
        while data:
            await anyio.wait_writable(self.master)
            data = data[os.write(self.master, data) :]

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
