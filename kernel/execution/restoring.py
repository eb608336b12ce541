"""Restoring: files of a session are made what they were, as its log says.

Owns which changes calls made, how the tools that made them take them back, and that
what was said and has no receipt is finished before the model goes on: the event of a
revert, or of its undoing, says what is about to be done to files; then each of them is
done, whole or not at all; then one event says what became of all. Whoever is killed in
between left files as they were or as they were to be. Knows nothing of messages, nor
why anything is taken back (``sessions.reverting``).
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, takewhile
from typing import Protocol, TypeVar

from attrs import evolve

from ..contracts import Restoration
from ..location.services import LocationServices
from ..log.commit import LogTransaction
from ..log.reading import events_between, readable
from ..log.reduction import REMOVED
from ..ports import Reader
from ..values.errors import PluginError
from ..values.events import (
    Event,
    FilesRestored,
    SessionReverted,
    SessionUnreverted,
    ToolCalled,
    ToolFailed,
    ToolSucceeded,
)
from ..values.frozen import frozen
from ..values.ids import MessageId, SessionId
from ..values.tool import FileChange
from .recovery import INTERRUPTED

T = TypeVar("T")

BETWEEN = "somebody else changed it in between"
NO_TOOL = "no tool here can restore it"
LOST = "what it held is not in this store"
ELSEWHERE = "it was changed in another store"


class Log(Protocol):
    """What this needs of the log, as anybody or as a session's work has it."""

    async def read(self, work: Callable[[Reader], T]) -> T: ...

    async def commit(self, decide: Callable[[LogTransaction], T]) -> T: ...


@frozen
class FileRestore:
    """What is to become of one file."""

    path: str
    """Absolute."""
    change: FileChange
    """From what it must hold now to what it is to hold."""
    tool: str | None = None
    """The tool that changed it last, which restores it."""
    by: SessionId | None = None
    """The session whose call changed it last, where that works for this one."""
    problem: str | None = None
    """Why it is left as it is; None: it is restored."""


@frozen
class UnsureCall:
    """A call of which nobody knows what it did to files: it was cut off, or what was
    kept of it was pruned."""

    session_id: SessionId
    """The session that made it."""
    message_id: MessageId
    """The message that it is part of."""
    call_id: str
    """Which call of that message it is."""
    tool: str
    """The tool that was called."""


# --- what was changed -------------------------------------------------------------


class Changes:
    """The changes of files in some events, one after another.

    Those of several sessions are taken in by their time. Should a clock have jumped in
    between, one does not follow from the other, and the file stays as it is.
    """

    def __init__(self, session_id: str) -> None:
        self.files: dict[str, FileRestore] = {}
        """By path, as they were made: from what it held before the first to what it
        holds after the last."""
        self.sessions: dict[str, set[str]] = {}
        """The sessions that changed each, by path."""
        self.unsure: list[UnsureCall] = []
        """Calls that were cut off, and may have changed something."""
        self._folders: set[str] = set()
        """Those that calls made for files."""
        self._removed: set[str] = set()
        """Those of them that went again with a file that was restored."""
        self._session_id = session_id
        self._tools: dict[tuple[str, str], str] = {}
        self._turns: dict[str, SessionReverted | SessionUnreverted] = {}
        """What each session said is to be done to files."""

    def take(self, event: Event, *, here: bool = True) -> None:
        """Take in the next event; ``here`` says whether it was made in this store: what
        a log from elsewhere says of files is no reason to touch those of here."""
        if isinstance(event, ToolCalled):
            self._tools[event.message_id, event.call_id] = event.tool
        elif isinstance(event, ToolSucceeded | ToolFailed):
            tool = self._tools.get((event.message_id, event.call_id))
            if tool is not None and not event.changes and _is_unsure(event):
                self.unsure.append(
                    UnsureCall(event.session_id, event.message_id, event.call_id, tool)
                )
            for change in event.changes:
                self._add(event.session_id, change, tool, here=here)
        elif isinstance(event, SessionReverted | SessionUnreverted):
            self._turns[event.session_id] = event
        elif isinstance(event, FilesRestored):
            turn = self._turns.get(event.session_id)
            if turn is not None and turn.seq == event.of:
                self.restored(turn, event.done, here=here)

    def restored(
        self,
        turn: SessionReverted | SessionUnreverted,
        done: Collection[str],
        *,
        here: bool = True,
    ) -> None:
        """Take in which files were restored of those that were to be."""
        gone = set(done)
        for change in turn.files:
            if change.path in gone:
                tool = turn.tools.get(change.path)
                self._take_folders(change)
                self._add(turn.session_id, change, tool, here=here)

    def _take_folders(self, change: FileChange) -> None:
        """Take in that the folders of a restored file went, or came back, with it."""
        if change.after is None:
            gone = self._folders.intersection(
                islice(_above(change.path), change.folders)
            )
            self._folders -= gone
            self._removed |= gone
        elif change.before is None:
            back = self._removed.intersection(_above(change.path))
            self._removed -= back
            self._folders |= back

    def _add(
        self, session_id: SessionId, change: FileChange, tool: str | None, *, here: bool
    ) -> None:
        by = None if session_id == self._session_id else session_id
        if change.folders and change.before is None:
            self._folders.update(islice(_above(change.path), change.folders))
        known = self.files.get(change.path)
        problem = change.unkept if here else ELSEWHERE
        if known is not None:
            if known.problem is None and known.change.after != change.before:
                problem = problem or BETWEEN
            problem = known.problem or problem
            tool = tool or known.tool
            change = evolve(change, before=known.change.before)
        self.files[change.path] = FileRestore(change.path, change, tool, by, problem)
        self.sessions.setdefault(change.path, set()).add(session_id)

    def backwards(self) -> Iterator[FileRestore]:
        """Yield how each is made again what it was before all of this, by path."""
        for path in sorted(self.files):
            one = self.files[path]
            change = one.change
            folders = 0
            if change.before is None:
                made = takewhile(self._folders.__contains__, _above(path))
                folders = sum(1 for _ in made)
            # A file that came and went may have left the folders made for it.
            if folders or change.before != change.after:
                back = FileChange(
                    path, change.after, change.before, change.unkept, folders
                )
                yield FileRestore(path, back, one.tool, one.by, one.problem)


def _is_unsure(event: ToolSucceeded | ToolFailed) -> bool:
    """Whether a call may have changed what its settlement does not say."""
    if isinstance(event, ToolFailed):
        return event.failure.code == INTERRUPTED or event.failure.message == REMOVED
    return [getattr(one, "text", None) for one in event.content] == [REMOVED]


def _above(path: str) -> Iterator[str]:
    """Yield the folders above a path, the nearest first."""
    while (above := os.path.dirname(path)) != path:
        yield above
        path = above


# --- restoring them ---------------------------------------------------------------


class Restoring:
    """Files, looked at and restored by the tools that changed them."""

    def __init__(self, log: Log, services: LocationServices) -> None:
        self._log = log
        self._services = services

    async def looked_at(
        self, files: Sequence[FileRestore], first: Sequence[FileRestore] = ()
    ) -> Sequence[FileRestore]:
        """Return these with what the files themselves say; where some are restored
        before, as it is then."""
        before = {one.path: one for one in first}
        found = []
        for one in files:
            if one.problem is None:
                due = before.get(one.path, one)
                problem = due.problem or await self._restore(due, look=True)
                one = evolve(one, problem=problem)
            found.append(one)
        return found

    def unsure(self, calls: Sequence[UnsureCall]) -> Sequence[UnsureCall]:
        """Return those that may have changed files: their tools restore some."""
        return [one for one in calls if self._services.restoring(one.tool) is not None]

    async def restore(
        self, files: Sequence[FileRestore], *, again: bool
    ) -> tuple[Sequence[str], Mapping[str, str]]:
        """Restore what can be, one file after another; return which ones are as they
        were to be, and why each of the others is not. ``again``: somebody may have
        begun it before."""
        done: list[str] = []
        left: dict[str, str] = {}
        for one in files:
            problem = one.problem or await self._restore(one, again=again)
            if problem is None:
                done.append(one.path)
            else:
                left[one.path] = problem
        return done, left

    async def _restore(
        self, one: FileRestore, *, look: bool = False, again: bool = False
    ) -> str | None:
        restore = None if one.tool is None else self._services.restoring(one.tool)
        if restore is None:
            return NO_TOOL
        change = one.change
        now, then = await self._log.read(
            lambda rows: (_content(rows, change.before), _content(rows, change.after))
        )
        if (now is None) != (change.before is None) or (then is None) != (
            change.after is None
        ):
            return LOST
        try:
            wanted = Restoration(one.path, now, then, look, change.folders, again)
            return await restore(self._services.location, wanted)
        except PluginError as error:
            return str(error)


def _content(rows: Reader, digest: str | None) -> bytes | None:
    return None if digest is None else rows.blob(digest)


# --- what was begun ---------------------------------------------------------------


def due(turn: SessionReverted | SessionUnreverted) -> Sequence[FileRestore]:
    """Return what an event says is about to be done to files."""
    return [FileRestore(one.path, one, turn.tools.get(one.path)) for one in turn.files]


def unfinished(
    rows: Reader, session_id: str
) -> SessionReverted | SessionUnreverted | None:
    """Return what says that something is about to be done to files, and has no receipt.

    Reads the log, where there is a chance.
    """
    counts = rows.kinds(session_id)
    turns = sum(counts.get(one.kind, 0) for one in (SessionReverted, SessionUnreverted))
    if turns == counts.get(FilesRestored.kind, 0):
        return None
    head = rows.head(session_id)
    last: SessionReverted | SessionUnreverted | None = None
    for event in events_between(rows, session_id, -1):
        readable(event)
        if isinstance(event, SessionReverted | SessionUnreverted):
            last = event
        elif isinstance(event, FilesRestored):
            last = None
    # What was begun in another store is nothing that is to be done here.
    here = last is not None and head is not None and head.made_here(last.seq)
    return last if here else None


async def finish(
    log: Log,
    services: LocationServices,
    turn: SessionReverted | SessionUnreverted,
    problems: Mapping[str, str] | None = None,
    *,
    again: bool = True,
) -> FilesRestored:
    """Do what an event says is about to be done to files, and record what became of it.

    ``again``: who does it is not who said so. Whoever said so may still be at it, and
    others may be, too: what is done twice is
    done once, and there is one receipt. Returns what became of it here, with the
    ``problems``: why other files are left, by path.
    """
    done, left = await Restoring(log, services).restore(due(turn), again=again)
    made = FilesRestored(
        session_id=turn.session_id,
        of=turn.seq,
        done=tuple(done),
        left={**(problems or {}), **left},
    )
    await log.commit(partial(_receipt, made))
    return made


def _receipt(made: FilesRestored, tx: LogTransaction) -> None:
    found = events_between(tx.rows, made.session_id, made.of)
    if not any(isinstance(one, FilesRestored) and one.of == made.of for one in found):
        tx.append(made)
