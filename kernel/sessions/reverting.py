"""Reverting: what follows a message is hidden from the model, and files are restored.

Owns which messages are hidden and what may be done to which file. The commit that hides
also says what is about to be done to files; ``execution.restoring`` does it.

A file is restored where calls of the session changed it, or of those that work for it,
nobody else changed it in between or since, and what it held was kept. Every other one
is named, with the reason, before anything is done. How a file is written is the
business of the tool that changed it (``Tool.restore``).
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial

import anyio
from attrs import evolve, field

from ..execution.restoring import (
    Changes,
    FileRestore,
    Restoring,
    UnsureCall,
    due,
    finish,
    unfinished,
)
from ..history.history import History
from ..history.todos import list_among
from ..location.services import LocationServices
from ..log.commit import EventLog, LogTransaction
from ..log.lineage import OWN_END, message_in, messages_in, whole
from ..log.reading import events_between, existing_session, readable
from ..ports import Reader
from ..values.errors import (
    InvalidValueError,
    MessageNotFoundError,
    MessageSharedError,
    NothingRevertedError,
    SessionBusyError,
)
from ..values.events import (
    FilesRestored,
    SessionReverted,
    SessionUnreverted,
)
from ..values.frozen import frozen
from ..values.ids import MessageId, SessionId
from .changed import changes_since

NOT_BEGUN = ("called", "asking")
"""How far a call has come that changed nothing."""
MOST = 100_000
"""Messages that are counted, or looked for."""


@frozen
class RevertPlan:
    """What a revert, or its undoing, would do: looked at before anything is done."""

    message_id: MessageId | None
    """The last message that the model would see; None where all is brought back, or
    nothing of the session's own is left."""
    first: int
    """The first event that would be hidden."""
    messages: int
    """How many messages that are."""
    files: tuple[FileRestore, ...] = ()
    """What would become of files, by path; those with a ``problem`` stay as they
    are."""
    unsure: tuple[UnsureCall, ...] = ()
    """Calls that were cut off, or pruned, or have no end, and may have changed files
    that are not named here."""
    todos: int | None = None
    """The event that holds the to-do list as it would be; -1: no event of this session
    does; None: the list stays."""
    back: bool = False
    """Whether it brings back what reverts hid."""


@frozen
class Reverted:
    """The receipt of a revert, or of its undoing."""

    plan: RevertPlan
    """What was to be done."""
    done: tuple[str, ...] = ()
    """The files that are as they were to be."""
    left: Mapping[str, str] = field(factory=dict)
    """Why each of the others was left as it is, by path."""


# --- planning ---------------------------------------------------------------------


def plan_revert(
    rows: Reader,
    session_id: SessionId,
    to: str | None,
    at_work: Callable[[Reader, str], bool],
) -> RevertPlan:
    """Return what reverting to a message, or before the session's first one, would do,
    as far as the log knows; ``at_work`` says whether somebody works on a session.

    Raises:
        MessageNotFoundError: the session has no such message.
        MessageSharedError: it is in what a fork shares, and not the last there.
        InvalidValueError: its Step is not settled, or it is hidden already.
    """
    existing_session(rows, session_id)
    history = History(session_id)
    history.catch_up(rows)
    # The first event says what the session is, and what it shares.
    first = 1 if to is None else _first_after(rows, history, to)
    changed = changes_since(rows, session_id, first, at_work)
    turn = history.restoring
    if turn is not None:
        # It is finished before anything else is done.
        changed.restored(turn, [one.path for one in turn.files])
    messages = sum(
        not _hidden(history, one.seq)
        for one in rows.messages(session_id, after=first - 1, limit=MOST)
    )
    hidden = *history.hidden, (first, OWN_END)
    todos = list_among(rows, session_id, hidden)
    files = tuple(changed.backwards())
    unsure = (*changed.unsure, *_open_calls(history))
    until = None if to is None else MessageId(to)
    return RevertPlan(until, first, messages, files, unsure, todos)


def _open_calls(history: History) -> Iterator[UnsureCall]:
    """Yield the calls that have no end, and may have begun."""
    message = history.open
    if message is not None:
        for part in message.calls:
            if not part.settled and history.progress(part.call_id) not in NOT_BEGUN:
                yield UnsureCall(
                    message.session_id, message.id, part.call_id, part.tool
                )


def _first_after(rows: Reader, history: History, to: str) -> int:
    """Return the first event of the session's own log that follows a message."""
    spans = whole(rows, history.session_id)
    found = message_in(rows, spans, to)
    if found is None:
        raise MessageNotFoundError(to)
    span, row = found
    if row.end_seq is None or row.end_seq > span.seq:
        raise InvalidValueError("message", to, "its Step is not settled")
    if history.hides(span.session_id, row.seq):
        raise InvalidValueError("message", to, "the model does not see it any more")
    if span == spans[-1]:
        return max(row.seq, row.end_seq) + 1
    place = row.seq + span.offset
    behind = messages_in(rows, spans[:-1], place=place, newest_first=False, limit=MOST)
    if any(not history.hides(there.session_id, one.seq) for there, one in behind):
        raise MessageSharedError(history.session_id, to, span.session_id)
    return 1  # the first event says what is shared


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
    turned = {last for _, last in history.open_turns}
    changed = Changes(session_id)
    turns: dict[int, SessionReverted] = {}
    head = rows.head(session_id)
    for event in events_between(rows, session_id, first - 1):
        readable(event)
        if isinstance(event, SessionReverted):
            turns[event.seq] = event
        elif isinstance(event, FilesRestored) and event.of in turned:
            here = head is not None and head.made_here(event.of)
            changed.restored(turns[event.of], event.done, here=here)
    messages = sum(
        any(low <= one.seq <= high for low, high in history.open_turns)
        for one in rows.messages(session_id, after=first - 1, limit=MOST)
    )
    hidden = [one for one in history.hidden if one not in history.open_turns]
    todos = list_among(rows, session_id, hidden)
    files = tuple(changed.backwards())
    return RevertPlan(None, first, messages, files, todos=todos, back=True)


def _hidden(history: History, seq: int) -> bool:
    return any(first <= seq <= last for first, last in history.hidden)


# --- doing it ---------------------------------------------------------------------


class Turning:
    """One revert, or its undoing, from the plan to the receipt."""

    def __init__(
        self,
        log: EventLog,
        services: LocationServices,
        session_id: SessionId,
        busy: Callable[[str], bool],
        leave: Callable[[str], Awaitable[None]],
    ) -> None:
        """``busy`` says whether a session runs in this process; ``leave`` settles what
        another worker left of one, and lets nothing go on."""
        self._log = log
        self._services = services
        self._session_id = session_id
        self._busy = busy
        self._leave = leave

    def at_work(self, rows: Reader, session_id: str) -> bool:
        """Whether somebody works on a session, here or elsewhere."""
        row = rows.session(session_id)
        if row is None or row.status != "running":
            return False
        held = self._log.lookout.held(rows.lease(session_id))
        return held is not None or self._busy(session_id)

    async def looked_at(self, make: Callable[[Reader], RevertPlan]) -> RevertPlan:
        """Return what would be done, with what the files themselves say; what was begun
        and is not finished is a part of it."""
        plan, left, _, _ = await self._log.read(partial(self._planned, make))
        return await self._looked_at(plan, () if left is None else due(left))

    async def _looked_at(
        self, plan: RevertPlan, first: Sequence[FileRestore] = ()
    ) -> RevertPlan:
        files = {one.path: one for one in (*first, *plan.files)}
        wanted = [files[path] for path in sorted(files)]
        restoring = Restoring(self._log, self._services)
        return evolve(
            plan,
            files=tuple(await restoring.looked_at(wanted, first)),
            unsure=tuple(restoring.unsure(plan.unsure)),
        )

    async def turn(self, make: Callable[[Reader], RevertPlan]) -> Reverted:
        """Plan it, record it, restore the files and record what became of them.

        Raises:
            SessionBusyError: the session is running.
        """
        turn: SessionReverted | SessionUnreverted | None = None
        settled: set[str] = set()
        while turn is None:
            if self._busy(self._session_id):
                raise SessionBusyError(self._session_id)
            plan, left, known, lost = await self._log.read(partial(self._planned, make))
            if left is not None:
                with anyio.CancelScope(shield=True):
                    await finish(self._log, self._services, left)
                continue
            if not settled.issuperset(lost):
                # Whoever worked on them is gone: nobody else settles what was left.
                for name in lost:
                    await self._leave(name)
                settled.update(lost)
                continue
            plan = await self._looked_at(plan)
            turn = await self._log.commit(partial(self._commit, plan, known))
        stay = {one.path: one.problem for one in plan.files if one.problem is not None}
        # What was said is done, also when the caller does not wait for it.
        with anyio.CancelScope(shield=True):
            made = await finish(self._log, self._services, turn, stay, again=False)
        return Reverted(plan, made.done, made.left)

    def _planned(
        self, make: Callable[[Reader], RevertPlan], rows: Reader
    ) -> tuple[RevertPlan, SessionReverted | SessionUnreverted | None, int, list[str]]:
        """Return what would be done, what was begun before and is not finished, the
        last event that this is made from, and of which sessions an execution has no
        end, or no permission to go on, and nobody is at it: this one, and before it
        those whose files are restored."""
        head = rows.head(self._session_id)
        plan = make(rows)
        below = {one.by for one in plan.files if one.by is not None}
        names: list[str] = [*sorted(below), self._session_id]
        lost = [name for name in names if self._lost(rows, name)]
        left = unfinished(rows, self._session_id)
        return plan, left, -1 if head is None else head.seq, lost

    def _lost(self, rows: Reader, session_id: str) -> bool:
        row = rows.session(session_id)
        if row is None or self._busy(session_id):
            return False
        left = row.status == "running" or row.outcome == "paused"
        return left and self._log.lookout.held(rows.lease(session_id)) is None

    def _commit(
        self, plan: RevertPlan, known: int, tx: LogTransaction
    ) -> SessionReverted | SessionUnreverted | None:
        """Record what is about to be done; None where the log holds more than what the
        plan was made from."""
        tx.check_idle(self._session_id)
        if tx.session(self._session_id).status == "running":
            raise SessionBusyError(self._session_id)
        if tx.head(self._session_id).seq != known:
            return None
        restored = [one for one in plan.files if one.problem is None]
        files = tuple(one.change for one in restored)
        tools = {one.path: one.tool for one in restored if one.tool is not None}
        turn: SessionReverted | SessionUnreverted
        if plan.back:
            turn = SessionUnreverted(
                session_id=self._session_id, files=files, tools=tools, todos=plan.todos
            )
        else:
            turn = SessionReverted(
                session_id=self._session_id,
                message_id=plan.message_id,
                first=plan.first,
                files=files,
                tools=tools,
                todos=plan.todos,
            )
        [recorded] = tx.append(turn)
        assert isinstance(recorded, SessionReverted | SessionUnreverted)
        return recorded
