"""The invariants: what holds at the end, wherever a run was killed.

Owns the checks, as functions from what is stored and what the world saw to sentences.
They look at the log and the world and at nothing that the runtime says of itself, so
that a defect of the runtime cannot hide itself.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import evolve, frozen

from ...history.history import History
from ...log.commit import LogTransaction
from ...log.reading import events_between
from ...ports import EventRecord, Head, Reader, SessionRow
from ...values import events as e
from ...values.clock import Clock
from ...values.errors import CONTINUATION_UNACCEPTED
from ...values.messages import AssistantMessage, UserMessage
from ...values.tool import effect_token
from ..clock import ManualClock
from ..memory_store import MemoryState, MemoryTransaction
from .scenario import CrashEnd
from .world import CrashWorld


@frozen
class StoredSession:
    """Everything that is stored of one session, read at once."""

    row: SessionRow
    head: Head
    records: Sequence[EventRecord]
    events: Sequence[e.Event]
    history: History
    rows: Sequence[object]
    """Its projection rows, in a fixed order."""
    lease_owner: str | None
    pending: Sequence[str]


def stored(rows: Reader, session_id: str) -> StoredSession:
    """Read one session."""
    row = rows.session(session_id)
    head = rows.head(session_id)
    assert row is not None
    assert head is not None
    records: list[EventRecord] = []
    while page := rows.events(session_id, after=len(records) - 1):
        records += page
    history = History(session_id)
    history.catch_up(rows)
    lease = rows.lease(session_id)
    events = list(events_between(rows, session_id, -1))
    return StoredSession(
        row=row,
        head=head,
        records=records,
        events=events,
        history=history,
        rows=projections(rows, session_id, events),
        lease_owner=lease.owner if lease else None,
        pending=tuple(one.id for one in rows.pending_inputs(session_id)),
    )


def projections(
    rows: Reader, session_id: str, events: Sequence[e.Event]
) -> list[object]:
    """Return every projection row of a session, in a fixed order."""
    row = rows.session(session_id)
    assert row is not None
    inputs = [one.input_id for one in events if isinstance(one, e.PromptAdmitted)]
    asked = [one.request_id for one in events if isinstance(one, e.RequestAsked)]
    return [
        evolve(row, position=-1),
        *(rows.input(session_id, one) for one in inputs),
        *rows.messages(session_id, limit=100_000),
        *(rows.request(session_id, one) for one in asked),
        rows.epoch(session_id),
    ]


def problems(
    sessions: Sequence[StoredSession],
    end: CrashEnd,
    check: Callable[[CrashEnd], Iterable[str]] | None,
) -> Iterator[str]:
    """Yield every invariant that does not hold, in a sentence each."""
    for noted in end.world.noted("problem"):
        yield noted["text"]
    for session in sessions:
        for problem in _of_session(session, end.world):
            yield f"session {session.row.id}: {problem}"
    yield from _of_world(sessions, end.world)
    if check is not None:
        yield from check(end)


def _of_session(session: StoredSession, world: CrashWorld) -> Iterator[str]:
    yield from _chain(session)
    yield from _rebuilt(session)
    yield from _inputs(session, world)
    yield from _settlements(session)
    yield from _compactions(session)
    yield from _takeovers(session)
    if session.row.status != "idle":
        yield f"its status is {session.row.status!r} at the end"
    if session.lease_owner is not None:
        yield "its lease is still held at the end"
    if session.pending:
        yield f"input {', '.join(session.pending)} still waits at the end"
    if session.history.open is not None:
        yield f"message {session.history.open.id} was never settled"
    if session.row.outcome == "succeeded":
        last = session.history.shown.last
        if not isinstance(last, AssistantMessage) or last.failure or last.calls:
            yield "it succeeded, and the model has not answered"


def _chain(session: StoredSession) -> Iterator[str]:
    """Laws events.1 and events.9."""
    previous = e.NO_HASH
    for seq, record in enumerate(session.records):
        if record.seq != seq:
            yield f"event {record.seq} stands at place {seq}"
            return
        previous = e.chain_hash(
            previous,
            record.session_id,
            seq,
            record.kind,
            record.version,
            record.created,
            e.payload_digest(record.data),
        )
        if previous != record.hash:
            yield f"the hash of event {seq} is not that of its chain"
            return
    if (session.head.seq, session.head.hash) != (len(session.records) - 1, previous):
        yield "the head is not at the last event"


def _rebuilt(session: StoredSession) -> Iterator[str]:
    """Law events.4."""
    rows = MemoryTransaction(MemoryState(), "rebuilt")
    clock: Clock = ManualClock()
    tx = LogTransaction(rows, clock)
    for record, event in zip(session.records, session.events, strict=True):
        tx.accept([record], [event])
    tx.finish()
    rebuilt = projections(rows, session.row.id, session.events)
    for mine, again in zip(session.rows, rebuilt, strict=False):
        if mine != again:
            yield f"a rebuild gives {again}, and stored is {mine}"
    if len(rebuilt) != len(session.rows):
        yield "a rebuild gives another number of rows"


def _inputs(session: StoredSession, world: CrashWorld) -> Iterator[str]:
    """Laws inbox.1 to inbox.3."""
    keys = Counter(
        event.key
        for event in session.events
        if isinstance(event, e.PromptAdmitted) and event.key is not None
    )
    yield from (
        f"key {key!r} was admitted {n} times" for key, n in keys.items() if n > 1
    )
    shown = Counter(
        one.id for one in session.history.messages if isinstance(one, UserMessage)
    )
    if session.history.shown.compaction is not None or session.history.hidden:
        # A summary stands for some of them, or a revert hides some: the transcript has
        # them all.
        shown = Counter(
            event.input_id
            for event in session.events
            if isinstance(event, e.PromptPromoted)
        )
    withdrawn = {
        event.input_id
        for event in session.events
        if isinstance(event, e.PromptWithdrawn)
    }
    yield from (f"input {one} is shown {n} times" for one, n in shown.items() if n > 1)
    receipts = defaultdict(set)
    for noted in world.noted("confirmed"):
        if noted["session"] != session.row.id:
            continue
        receipts[noted["key"]].add(noted["input"])
        if noted["input"] not in shown and noted["input"] not in withdrawn:
            yield f"input {noted['input']} was confirmed and is not in the transcript"
    for key, ids in receipts.items():
        if key is not None and len(ids) > 1:
            yield f"key {key!r} got {len(ids)} different receipts"


def _compactions(session: StoredSession) -> Iterator[str]:
    """Law compaction.7: each has its end, and none is open."""
    open_: e.CompactionStarted | None = None
    for event in session.events:
        if isinstance(event, e.CompactionStarted):
            if open_ is not None:
                yield f"the compaction of event {open_.seq} has no end"
            open_ = event
        elif isinstance(event, e.CompactionEnded | e.CompactionFailed):
            open_ = None
    if open_ is not None:
        yield f"the compaction of event {open_.seq} has no end"
    if session.row.compaction_due >= 0:
        yield f"the compaction asked for in event {session.row.compaction_due} waits"


def _settlements(session: StoredSession) -> Iterator[str]:
    """Laws tools.1 and tools.2."""
    called: dict[tuple[str, str], int] = {}
    started: set[tuple[str, str]] = set()
    for event in session.events:
        if isinstance(event, e.ToolCalled):
            call = event.message_id, event.call_id
            if call in called:
                yield f"call {event.call_id} is recorded twice"
            called[call] = 0
        elif isinstance(event, e.ToolStarted):
            started.add((event.message_id, event.call_id))
        elif isinstance(event, e.ToolSucceeded | e.ToolFailed):
            call = event.message_id, event.call_id
            called[call] = called.get(call, 0) + 1
            if isinstance(event, e.ToolSucceeded) and call not in started:
                yield f"call {event.call_id} succeeded without a start"
    for (_, call_id), count in called.items():
        if count != 1:
            yield f"call {call_id} has {count} settlements"
    for message in session.history.messages:
        if isinstance(message, AssistantMessage):
            if message.ended is None:
                yield f"message {message.id} is not settled"
            yield from (
                f"call {part.call_id} has no result in the history"
                for part in message.calls
                if not part.settled
            )


def _takeovers(session: StoredSession) -> Iterator[str]:
    """Law recovery.4: an execution that was lost is followed by an accepted report."""
    running = False
    reported: set[str] = set()
    accepted = False
    for event in session.events:
        if isinstance(event, e.ContinuationReported):
            reported.add(event.digest)
        elif isinstance(event, e.ContinuationAccepted):
            if event.digest not in reported:
                yield f"event {event.seq} accepts a report that was never shown"
            accepted = True
        elif isinstance(event, e.ExecutionStarted):
            if running and not accepted:
                yield f"event {event.seq} goes on without an accepted report"
            running, accepted = True, False
        elif isinstance(event, e.ExecutionEnded):
            running = (
                event.reason is not None
                and event.reason.code == CONTINUATION_UNACCEPTED
            )


def _of_world(sessions: Sequence[StoredSession], world: CrashWorld) -> Iterator[str]:
    """Law recovery.2, and law recovery.3 as far as the world can tell."""
    settled = {
        effect_token(event.session_id, event.message_id, event.call_id): event
        for session in sessions
        for event in session.events
        if isinstance(event, e.ToolSucceeded | e.ToolFailed)
    }
    entered = world.noted("entered")
    times = Counter(one["token"] for one in entered)
    effects = {one["token"]: (one["tool"], one["effect"]) for one in entered}
    acts, begun = world.acts, world.begun
    for token, (tool, effect) in effects.items():
        if effect == "unsafe" and begun[token] > 1:
            yield f"unsafe tool {tool} ran {begun[token]} times for one call"
        if effect in ("unsafe", "reconcilable") and acts[token] > 1:
            yield f"{effect} tool {tool} had {acts[token]} effects for one call"
        if token not in settled:
            yield f"tool {tool} ran for a call that is not in any log"
    for token in acts:
        if token not in effects:
            yield f"an effect of token {token} came from no watched executor"
    for token, event in settled.items():
        if isinstance(event, e.ToolSucceeded) and not times[token]:
            yield f"call {event.call_id} succeeded and its tool never ran"
        if isinstance(event, e.ToolFailed):
            code = event.failure.code
            if code == "tool.not_started" and begun[token]:
                yield f"call {event.call_id} is said not to have started, and it ran"
