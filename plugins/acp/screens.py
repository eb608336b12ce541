"""Screens: what a command prints while it runs, in a terminal that the editor shows.

Owns what gets there and whether all of it did. The command itself is no child of the
editor: it is run, recorded, bounded and ended as everywhere, and what the editor's
terminal runs is a reader of what it prints, which ends with the same code. Whatever is
wrong with a terminal changes nothing but what is seen: the text is told instead.

Two kinds: a terminal of the protocol (``terminal/*``), and one that only shows what it
is sent in ``_meta``, an extension of Zed's that other agents use too
(``terminal_info``, ``terminal_output``, ``terminal_exit``).
"""

import codecs
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol

import anyio
from acp import schema as s
from anyio import to_thread
from anyio.abc import TaskGroup
from attrs import define, field

from .calls import Call
from .wire import Answered, Connection, Gone

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""A message and a call of it."""
Send = Callable[[Any], Awaitable[None]]

SECONDS = 4.0
"""For which a terminal is waited for, at each of its ends."""
READER_SECONDS = 4.0
"""For which a terminal may take until it reads."""
DRAIN_SECONDS = 1.0
"""For which a terminal that has ended may take until it has read all of it."""
MAX_WAITING = 512 * 1024
"""Characters that wait for a terminal; of more, the oldest are dropped."""
MAX_MESSAGE = 64 * 1024
"""Characters of one message."""
LIMIT = 1024 * 1024
"""Bytes that the editor is asked to keep of a terminal."""
VARIABLE = "DOVETAIL_SCREEN"
NAMES = "code", "out"
"""The pipes of one terminal: how it is to end, and what it shows."""
READER = (
    f'exec 3<"${VARIABLE}/code" && cat "${VARIABLE}/out" && read -r code <&3 '
    '&& exit "$code"'
)
"""For sh: show what comes, and end as the command did. Behind it stands the command,
for editors that show what a terminal runs."""
_COLOUR = re.compile(r"\x1b\[[0-9;:]*[mK]")
_CONTROL = re.compile(
    # Whole sequences: of the system, of devices, of the cursor; then what is left.
    r"\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b\[[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]"
)
_OPEN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]{0,256}\x1b?)?$")
"""What may go on in the next piece."""

Ways = Literal["none", "terminal", "meta"]


class _Way(Protocol):
    """How what is printed gets to the editor."""

    async def show(self, screen: "Screen") -> bool:
        """Show all that comes until the screen is closed; say whether it is there."""
        ...

    async def close(self, shown: bool) -> None:
        """Leave nothing behind."""
        ...


@define(eq=False)
class Screen:
    """What one call prints."""

    waiting: str = ""
    whole: bool = True
    last: str = ""
    """The end of the last line that says something."""
    code: int | None = None
    closed: bool = False
    failed: bool = False
    came: anyio.Event = field(factory=anyio.Event)
    done: anyio.Event = field(factory=anyio.Event)
    shown: bool = False
    running: bool = False
    limit: anyio.CancelScope | None = None
    _open: str = ""
    _decoder: Any = field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def feed(self, data: bytes, *, final: bool = False) -> None:
        text = self._open + self._decoder.decode(data, final)
        unended = None if final else _OPEN.search(text)
        at = len(text) if unended is None else unended.start()
        self._open, text = text[at:], harmless(text[:at])
        said = _COLOUR.sub("", text).rstrip()
        if said:
            self.last = re.split(r"[\r\n\b]", said)[-1][-40:]
        self.waiting += text
        if len(self.waiting) > MAX_WAITING:
            self.waiting, self.whole = self.waiting[-MAX_WAITING:], False
        self.ring()

    def ring(self) -> None:
        self.came.set()
        self.came = anyio.Event()

    def take(self, limit: int) -> str:
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken

    async def next(self, limit: int) -> str:
        """Return what came; empty when it is closed and nothing is left."""
        while not self.waiting and not self.closed:
            await self.came.wait()
        return self.take(limit)


class Screens:
    """The terminals of one session."""

    def __init__(
        self, connection: Connection, session_id: str, send: Send, *, way: Ways
    ) -> None:
        self._connection = connection
        self._session_id = session_id
        self._send = send
        self._way: Ways = way if way != "terminal" or hasattr(os, "mkfifo") else "none"
        self._screens: dict[Key, Screen] = {}
        self.tasks: TaskGroup | None = None
        """What runs beside the telling, for as long as the session is followed."""

    def printed(self, message_id: str, call_id: str, data: bytes) -> None:
        """Take what a call printed."""
        if self._way != "none":
            self._of((message_id, call_id)).feed(data)

    def announced(self, call: Call) -> dict[str, Any] | None:
        """Return what is sent of a terminal with the first word of a call, as
        ``_meta``; None where there is none yet."""
        if self._way != "meta" or not _has_screen(call):
            return None
        return {"terminal_info": {"terminal_id": call.id, "cwd": call.directory}}

    async def begin(self, call: Call) -> s.TerminalToolCallContent | None:
        """Return the terminal of a call that begins; None where there is none."""
        if self._way == "none" or self.tasks is None or not _has_screen(call):
            return None
        way: _Way
        if self._way == "meta":
            way, name = _Sent(self._send, call), call.id
        else:
            made = _Terminal(self._connection, self._session_id, call)
            opened = await made.open()
            if opened is None:
                self._way = "none"
                return None
            way, name = made, opened
        screen = self._of((call.message_id, call.call_id))
        screen.running = True
        self.tasks.start_soon(self._run, way, screen)
        return s.TerminalToolCallContent(type="terminal", terminal_id=name)

    def showing(self, key: Key) -> bool:
        """Say whether a call has a terminal in which its output is seen."""
        screen = self._screens.get(key)
        return screen is not None and screen.running and not screen.failed

    async def end(self, key: Key, code: int | None) -> bool:
        """Close the terminal of a call, and say whether all that was printed is there.

        ``code`` is that of the command; None where it has none.
        """
        screen = self._screens.pop(key, None)
        if screen is None or not screen.running:
            return False
        screen.feed(b"", final=True)
        screen.code, screen.closed = code, True
        screen.ring()
        with anyio.move_on_after(2 * SECONDS):
            await screen.done.wait()
        if screen.limit is not None:
            screen.limit.cancel()
        await screen.done.wait()
        return screen.shown and screen.whole

    def _of(self, key: Key) -> Screen:
        return self._screens.setdefault(key, Screen())

    async def _run(self, way: _Way, screen: Screen) -> None:
        try:
            with anyio.CancelScope() as screen.limit:
                screen.shown = await way.show(screen)
            screen.failed = not screen.shown
            if screen.failed:
                # Who is no help once is not waited for at each command.
                self._way = "none"
            await way.close(screen.shown)
        except Gone:
            screen.failed = True
        finally:
            screen.done.set()


class _Sent:
    """A terminal that shows what it is sent in ``_meta``."""

    def __init__(self, send: Send, call: Call) -> None:
        self._send = send
        self._call = call

    async def show(self, screen: Screen) -> bool:
        while text := await screen.next(MAX_MESSAGE):
            await self._tell("terminal_output", data=text)
        code = screen.code
        await self._tell(
            "terminal_exit",
            exit_code=None if code is None or code < 0 else code,
            signal=None if code is None or code >= 0 else str(-code),
        )
        return True

    async def close(self, shown: bool) -> None:
        return

    async def _tell(self, what: str, **told: Any) -> None:
        await self._send(
            s.ToolCallProgress(
                session_update="tool_call_update",
                tool_call_id=self._call.id,
                field_meta={what: {"terminal_id": self._call.id} | told},
            )
        )


class _Terminal:
    """A terminal of the protocol, which runs a reader."""

    def __init__(self, connection: Connection, session_id: str, call: Call) -> None:
        self._connection = connection
        self._session_id = session_id
        self._call = call
        self._id = ""
        self._folder = ""

    async def open(self) -> str | None:
        """Have the editor make it, and return its id."""
        try:
            self._folder = await to_thread.run_sync(_made_folder)
        except OSError as error:
            logger.warning("no terminal: %s", error)
            return None
        made = None
        try:
            with anyio.move_on_after(SECONDS):
                made = await self._connection.request(
                    "terminal/create",
                    {
                        "sessionId": self._session_id,
                        "command": "/bin/sh",
                        "args": ["-c", READER, self._call.title],
                        "env": [{"name": VARIABLE, "value": self._folder}],
                        "cwd": self._call.directory,
                        "outputByteLimit": LIMIT,
                    },
                )
        except (Answered, Gone) as error:
            logger.warning("no terminal: %s", error)
        name = made.get("terminalId") if isinstance(made, dict) else None
        if isinstance(name, str) and name:
            self._id = name
            return name
        await to_thread.run_sync(_remove, self._folder)
        return None

    async def show(self, screen: Screen) -> bool:
        try:
            return await self._show(screen)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(_remove, self._folder)

    async def _show(self, screen: Screen) -> bool:
        pipes: list[int] = []
        try:
            with anyio.move_on_after(READER_SECONDS):
                # In the order in which the reader opens them.
                for name in NAMES:
                    pipes.append(await self._reader(name))
            if len(pipes) < len(NAMES):
                return False
            # Both ends have them now; who is killed from here on leaves nothing.
            await to_thread.run_sync(_remove, self._folder)
            ending, out = pipes
            while text := await screen.next(MAX_MESSAGE):
                if not await _written(out, text.encode("utf-8", "replace"), screen):
                    return False
            code = 1 if screen.code is None else screen.code
            code = code if code >= 0 else 128 - code
            await _written(ending, f"{code}\n".encode(), screen)
        finally:
            for pipe in pipes:
                os.close(pipe)
        if await self._ask("terminal/wait_for_exit") is None:
            return False
        with anyio.move_on_after(DRAIN_SECONDS):
            while True:
                told = await self._ask("terminal/output")
                output = told.get("output") if isinstance(told, dict) else None
                if not isinstance(output, str):
                    return False
                if screen.last in output:
                    return True
                # Many editors hear of the end before they have read all of it.
                await anyio.sleep(0.05)
        return False

    async def _reader(self, name: str) -> int:
        """Return the end of a pipe that is written to, once the editor's terminal
        reads."""
        while True:
            try:
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
                return os.open(os.path.join(self._folder, name), flags)
            except OSError:
                # Nobody has it open; nothing tells when somebody does.
                await anyio.sleep(0.02)

    async def close(self, shown: bool) -> None:
        if not shown:
            # A reader that nobody feeds must not be left.
            await self._ask("terminal/kill")
        await self._ask("terminal/release")

    async def _ask(self, method: str) -> Any:
        with anyio.move_on_after(SECONDS):
            try:
                return await self._connection.request(
                    method, {"sessionId": self._session_id, "terminalId": self._id}
                )
            except Answered as error:
                logger.debug("%s: %s", method, error)
        return None


def harmless(text: str) -> str:
    """Return what a program printed with its colours and lines, and without whatever
    else would do something to the terminal that shows it."""
    if not _CONTROL.search(text) and "\x1b" not in text:
        return text
    kept: list[str] = []
    at = 0
    for found in _COLOUR.finditer(text):
        kept += [_CONTROL.sub("", text[at : found.start()]), found.group()]
        at = found.end()
    return "".join([*kept, _CONTROL.sub("", text[at:])])


def _has_screen(call: Call) -> bool:
    return call.tool == "bash" and call.arguments.get("background") is not True


async def _written(pipe: int, data: bytes, screen: Screen) -> bool:
    """Write it all; False where nobody reads any more, or not by the end."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(pipe, view) :]
        except BlockingIOError:
            # Whoever does not look has time until the command ends, and a little more.
            with anyio.move_on_after(SECONDS) as waiting:
                await anyio.wait_writable(pipe)
            if waiting.cancelled_caught and screen.closed:
                return False
        except OSError:
            return False
    return True


def _made_folder() -> str:
    folder = tempfile.mkdtemp(prefix="dovetail-screen-")
    try:
        for name in NAMES:
            os.mkfifo(os.path.join(folder, name), 0o600)
    except OSError:
        _remove(folder)
        raise
    return folder


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
