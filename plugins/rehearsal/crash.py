"""The crash: a run of the command line that is killed in the middle of a tool call.

Owns the child process, the moment to kill it, and making sure that it was the right
one. The child is the program that a person would start, with the arguments that they
would type; nobody tells it what is coming.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
from anyio.abc import Process
from attrs import define, field, frozen
from dovetail.kernel import (
    Event,
    RequestAnswered,
    RequestAsked,
    Session,
    ToolCalled,
    ToolFailed,
    ToolStarted,
    ToolSucceeded,
    open_runtime,
)

TOOL = "bash"
PROGRAM = "dovetail.plugins.cli"
LOOK_SECONDS = 0.01
"""How often the log is looked at; a command takes several times as long."""
CHANCES = 3
"""Kills at most: a command may end between the look and the kill."""
PATIENCE = 2.0
"""Seconds for a child to end, each time it is told to."""
MAX_TITLE = 60


@frozen
class Crashed:
    """A session whose process was killed."""

    session_id: str
    digest: str
    """Of the Continuation Report that the next process finds."""
    in_a_call: bool
    """Whether the log has a call whose outcome nobody knows."""


@frozen
class Ended:
    """The run ended before there was anything to kill."""

    code: int


async def crash(
    url: str, project: Path, options: Sequence[str], prompt: str
) -> Crashed | Ended:
    """Run a new session in a child process, and kill that in the middle of a command.

    Cancelling it ends the child.
    """
    async with open_runtime(url) as runtime:
        session = await runtime.sessions.create(
            location=project, title=prompt[:MAX_TITLE]
        )
        arguments = ["--db", url, "--session", session.id, *options]
        said = ["--", prompt]
        for chance in range(CHANCES):
            code = await _run_and_kill(session, [*arguments, *said])
            if code is not None:
                return Ended(code)
            report = await session.continuation()
            unknown = any(call.known == "unknown" for call in report.calls)
            if unknown or chance == CHANCES - 1:
                break
            said = ["--accept", report.digest]
        return Crashed(session.id, report.digest, unknown)


async def _run_and_kill(session: Session, arguments: Sequence[str]) -> int | None:
    """Return None once it was killed, and its exit code when it ended by itself."""
    watched = _Watched()
    await watched.begin(session)
    command = [sys.executable, "-m", PROGRAM, "run", *arguments]
    process = await anyio.open_process(command, stdin=None, stdout=None, stderr=None)
    try:
        while process.returncode is None:
            await anyio.sleep(LOOK_SECONDS)
            if await watched.look(session):
                process.kill()
                await process.wait()
                return None
        return process.returncode
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


async def _end(process: Process) -> None:
    # At a terminal an interrupt reaches both, and the child is settling already.
    for ask in (None, process.terminate, process.kill):
        if process.returncode is None and ask is not None:
            ask()
        with anyio.move_on_after(PATIENCE):
            await process.wait()
            break
    await process.aclose()


@define(eq=False)
class _Watched:
    """What the log tells of the commands of a session."""

    _cursor: int = -1
    _commands: set[str] = field(factory=set)
    _asked: dict[str, str] = field(factory=dict)
    _allowed: set[str] = field(factory=set)
    _running: set[str] = field(factory=set)
    _others: set[str] = field(factory=set)
    """Calls beside a command. Once they are settled, one outcome is unknown: its."""

    async def begin(self, session: Session) -> None:
        """Read what was there before; none of it is running."""
        await self.look(session)
        self._asked.clear()
        self._allowed.clear()
        self._running.clear()
        self._others.clear()

    async def look(self, session: Session) -> bool:
        """Read what is new, and say whether a command is running now, alone."""
        async with session.events(after=self._cursor) as tail:
            async for event in tail:
                self._take(event)
            self._cursor = tail.cursor
        return bool(self._running) and not self._others

    def _take(self, event: Event) -> None:
        if isinstance(event, ToolCalled):
            alike = self._commands if event.tool == TOOL else self._others
            alike.add(event.call_id)
        elif isinstance(event, RequestAsked) and event.call_id in self._commands:
            self._asked[event.request_id] = event.call_id
        elif isinstance(event, RequestAnswered) and event.request_id in self._asked:
            self._allowed.add(self._asked[event.request_id])
        elif isinstance(event, ToolStarted) and event.call_id in self._allowed:
            # It was started before it asked, too; from here on it has its effect.
            self._running.add(event.call_id)
        elif isinstance(event, ToolSucceeded | ToolFailed):
            self._running.discard(event.call_id)
            self._commands.discard(event.call_id)
            self._others.discard(event.call_id)
