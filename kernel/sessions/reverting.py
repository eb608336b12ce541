"""Reverting: what follows a message is hidden from the model, and files are restored.

Owns what may be done to which file, and the order that makes a revert safe to be killed
in: first one commit that hides, and says what is about to be done to files; then each
file, whole or not at all; then the receipt. Who is killed in between left files as they
were or as they were to be, and whoever asks again goes on with what is left.

A file is restored where the session's own calls changed it, nobody changed it in
between or since, and what it held was kept. Every other one is named, with the reason,
before anything is done. How a file is written is the business of the tool that changed
it (``Tool.restore``).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import anyio
from attrs import evolve, field

from ..contracts import Restoration
from ..history.fold import History
from ..location.services import LocationServices
from ..log.commit import EventLog, LogTransaction
from ..log.reading import events_between, existing_session, readable
from ..ports import Reader
from ..values.errors import (
    InvalidValueError,
    MessageNotFoundError,
    NothingRevertedError,
    PluginError,
    SessionBusyError,
)
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

UNKEPT = "what it held is not kept"
BETWEEN = "somebody else changed it in between"
NO_TOOL = "no tool here can restore it"
LOST = "what it held is not in this store"


@frozen
class FileRestore:
    """What is to become of one file."""

    path: str
    """Absolute."""
    change: FileChange
    """From what it must hold now to what it is to hold."""
    tool: str | None = None
    """The tool that changed it last, which restores it."""
    problem: str | None = None
    """Why it is left as it is; None: it is restored."""


@frozen
class RevertPlan:
    """What a revert, or its undoing, would do: looked at before anything is done."""

    message_id: MessageId | None
    """The last message that the model would see; None where all is brought back."""
    first: int
    """The first event that would be hidden."""
    messages: int
    """How many messages that are."""
    files: tuple[FileRestore, ...] = ()
    """What would become of files, by path; those with a ``problem`` stay as they
    are."""


@frozen
class Reverted:
    """The receipt of a revert, or of its undoing."""

    plan: RevertPlan
    """What was to be done."""
    done: tuple[str, ...] = ()
    """The files that are as they were to be."""
    left: Mapping[str, str] = field(factory=dict)
    """Why each of the others was left as it is, by path."""


# --- what was changed -------------------------------------------------------------


class _Changed:
    """The changes of files in some events, one after another."""

    def __init__(self) -> None:
        self.files: dict[str, FileRestore] = {}
        """By path, as they were made: from what it held before the first to what it
        holds after the last."""
        self._tools: dict[tuple[str, str], str] = {}

    def take(self, event: Event) -> None:
        if isinstance(event, ToolCalled):
            self._tools[event.message_id, event.call_id] = event.tool
        elif isinstance(event, ToolSucceeded | ToolFailed):
            tool = self._tools.get((event.message_id, event.call_id))
            for change in event.changes:
                self._add(change, tool)

    def undo(self, paths: Sequence[str], changes: Mapping[str, FileChange]) -> None:
        """Take in that files were made what they were before."""
        for path in paths:
            if path in changes:
                self._add(changes[path], None)

    def _add(self, change: FileChange, tool: str | None) -> None:
        known = self.files.get(change.path)
        if known is None:
            made = FileRestore(change.path, change, tool, change.unkept)
        else:
            whole = evolve(change, before=known.change.before)
            problem = known.problem or change.unkept
            if problem is None and known.change.after != change.before:
                problem = BETWEEN
            made = FileRestore(change.path, whole, tool or known.tool, problem)
        self.files[change.path] = made


def _backwards(one: FileRestore) -> FileRestore:
    change = one.change
    back = FileChange(change.path, change.after, change.before, change.unkept)
    return evolve(one, change=back)


# --- planning ---------------------------------------------------------------------


def plan_revert(rows: Reader, session_id: SessionId, to: str) -> RevertPlan:
    """Return what reverting to a message would do, as far as the log knows.

    Raises:
        MessageNotFoundError: the session has no such message of its own.
        InvalidValueError: its Step is not settled, or it is hidden already.
    """
    existing_session(rows, session_id)
    row = rows.message(session_id, to)
    if row is None:
        raise MessageNotFoundError(to)
    if row.end_seq is None:
        raise InvalidValueError("message", to, "its Step is not settled")
    history = History(session_id)
    history.catch_up(rows)
    first = max(row.seq, row.end_seq) + 1
    if _hidden(history, row.seq):
        raise InvalidValueError("message", to, "the model does not see it any more")
    changed, messages = _Changed(), 0
    pending: dict[int, dict[str, FileChange]] = {}
    for event in events_between(rows, session_id, first - 1):
        readable(event)
        if isinstance(event, SessionReverted | SessionUnreverted):
            pending[event.seq] = {one.path: one for one in event.files}
        elif isinstance(event, FilesRestored):
            changed.undo(event.done, pending.get(event.of, {}))
        else:
            changed.take(event)
    for one in rows.messages(session_id, after=first - 1, limit=100_000):
        messages += not _hidden(history, one.seq)
    files = sorted(changed.files.values(), key=lambda one: one.path)
    moved = [one for one in files if one.change.before != one.change.after]
    return RevertPlan(MessageId(to), first, messages, tuple(map(_backwards, moved)))


def plan_unrevert(rows: Reader, session_id: SessionId) -> RevertPlan:
    """Return what undoing the reverts would do, as far as the log knows.

    Raises:
        NothingRevertedError: nothing is hidden, or the session went on since.
    """
    existing_session(rows, session_id)
    history = History(session_id)
    history.catch_up(rows)
    if not history.reverted:
        raise NothingRevertedError(session_id)
    first = min(one for one, _ in history.open_turns)
    changed = _Changed()
    tools = _Changed()
    pending: dict[int, dict[str, FileChange]] = {}
    turned = {last for _, last in history.open_turns}
    for event in events_between(rows, session_id, first - 1):
        readable(event)
        tools.take(event)
        if isinstance(event, SessionReverted) and event.seq in turned:
            pending[event.seq] = {one.path: one for one in event.files}
        elif isinstance(event, FilesRestored) and event.of in pending:
            changed.undo(event.done, pending[event.of])
    files = [
        evolve(_backwards(one), tool=_tool_of(tools, one.path))
        for one in sorted(changed.files.values(), key=lambda one: one.path)
    ]
    hidden = sum(
        any(low <= one.seq <= high for low, high in history.open_turns)
        for one in rows.messages(session_id, after=first - 1, limit=100_000)
    )
    return RevertPlan(None, first, hidden, tuple(files))


def _tool_of(tools: _Changed, path: str) -> str | None:
    known = tools.files.get(path)
    return None if known is None else known.tool


def _hidden(history: History, seq: int) -> bool:
    return any(first <= seq <= last for first, last in history.hidden)


# --- doing it ---------------------------------------------------------------------


class Restoring:
    """Files of one plan, looked at and restored by the tools that changed them."""

    def __init__(self, log: EventLog, services: LocationServices) -> None:
        self._log = log
        self._services = services

    async def looked_at(self, plan: RevertPlan) -> RevertPlan:
        """Return the plan with what the files themselves say."""
        files = [await self._looked_at(one) for one in plan.files]
        return evolve(plan, files=tuple(files))

    async def _looked_at(self, one: FileRestore) -> FileRestore:
        if one.problem is not None:
            return one
        return evolve(one, problem=await self._restore(one, look=True))

    async def restore(self, plan: RevertPlan) -> Reverted:
        """Restore what can be, one file after another."""
        done: list[str] = []
        left: dict[str, str] = {}
        for one in plan.files:
            problem = one.problem or await self._restore(one, look=False)
            if problem is None:
                done.append(one.path)
            else:
                left[one.path] = problem
        return Reverted(plan, tuple(done), left)

    async def _restore(self, one: FileRestore, *, look: bool) -> str | None:
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
            wanted = Restoration(one.path, now, then, look)
            return await restore(self._services.location, wanted)
        except PluginError as error:
            return str(error)


def _content(rows: Reader, digest: str | None) -> bytes | None:
    return None if digest is None else rows.blob(digest)


class Turning:
    """One revert, or its undoing, from the plan to the receipt."""

    def __init__(
        self,
        log: EventLog,
        services: LocationServices,
        session_id: SessionId,
        busy: Callable[[], bool],
    ) -> None:
        self._log = log
        self._restoring = Restoring(log, services)
        self._session_id = session_id
        self._busy = busy

    async def turn(self, make: Callable[[Reader], RevertPlan]) -> Reverted:
        """Plan it, record it, restore the files and record what became of them.

        Raises:
            SessionBusyError: the session is running.
        """
        await self._finish()
        while True:
            if self._busy():
                raise SessionBusyError(self._session_id)
            plan, known = await self._log.read(lambda rows: self._planned(rows, make))
            plan = await self._restoring.looked_at(plan)
            of = await self._log.commit(partial(self._commit, plan, known))
            if of is not None:
                return await self._restore(plan, of)

    async def _finish(self) -> None:
        """Do what an earlier process said that it was about to do, and did not say that
        it did."""
        left = await self._log.read(lambda rows: unfinished(rows, self._session_id))
        if left is not None:
            await self._restore(*left)

    async def _restore(self, plan: RevertPlan, of: int) -> Reverted:
        # What was said is done, also when the caller does not wait for it.
        with anyio.CancelScope(shield=True):
            made = await self._restoring.restore(plan)
            await self._log.append(
                FilesRestored(
                    session_id=self._session_id,
                    of=of,
                    done=made.done,
                    left=dict(made.left),
                )
            )
        return made

    def _planned(
        self, rows: Reader, make: Callable[[Reader], RevertPlan]
    ) -> tuple[RevertPlan, int]:
        head = rows.head(self._session_id)
        return make(rows), -1 if head is None else head.seq

    def _commit(self, plan: RevertPlan, known: int, tx: LogTransaction) -> int | None:
        """Record what is about to be done; None where the log holds more than what the
        plan was made from."""
        tx.check_idle(self._session_id)
        if tx.session(self._session_id).status == "running":
            raise SessionBusyError(self._session_id)
        if tx.head(self._session_id).seq != known:
            return None
        files = tuple(one.change for one in plan.files if one.problem is None)
        event: Event = SessionUnreverted(session_id=self._session_id, files=files)
        if plan.message_id is not None:
            event = SessionReverted(
                session_id=self._session_id,
                message_id=plan.message_id,
                first=plan.first,
                files=files,
            )
        return tx.append(event)[0].seq


def unfinished(rows: Reader, session_id: str) -> tuple[RevertPlan, int] | None:
    """Return what was about to be done to files and has no receipt, and where it was
    said; None where there is nothing of the kind."""
    counts = rows.kinds(session_id)
    turns = sum(counts.get(one.kind, 0) for one in (SessionReverted, SessionUnreverted))
    if turns == counts.get(FilesRestored.kind, 0):
        return None
    last: SessionReverted | SessionUnreverted | None = None
    tools = _Changed()
    for event in events_between(rows, session_id, -1):
        tools.take(readable(event))
        if isinstance(event, SessionReverted | SessionUnreverted):
            last = event
        elif isinstance(event, FilesRestored):
            last = None
    if last is None:
        return None
    files = tuple(
        FileRestore(one.path, one, _tool_of(tools, one.path)) for one in last.files
    )
    return RevertPlan(None, last.seq, 0, files), last.seq
