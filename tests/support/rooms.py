"""The kernel's rooms on a store, driven by acts that are data.

Owns what each act of the ``model`` is in terms of the kernel, and every question whose
answer is compared. Two media may be driven at once, one act after another; ids are
numbered instead of random, so that whatever they hold is equal to the byte.
"""

import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import attrs
from dovetail.kernel import (
    AssistantMessage,
    DovetailError,
    Event,
    Failure,
    Message,
    MessageId,
    Reader,
    SessionId,
    Store,
    Usage,
)
from dovetail.kernel.execution import promotion
from dovetail.kernel.execution.coordinator import Coordinator, DrainControl
from dovetail.kernel.log.commit import EventLog, LogTransaction
from dovetail.kernel.log.titles import LOOKED_AT
from dovetail.kernel.ports import (
    EpochRow,
    InputRow,
    MessageRow,
    RequestRow,
    Transaction,
)
from dovetail.kernel.sessions.session import Session
from dovetail.kernel.sessions.sessions import Sessions
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.memory_store import MemoryState, open_memory_store
from dovetail.kernel.upkeep.replay import Export, ExportedEvent, Replay
from dovetail.kernel.values import events as e, ids
from dovetail.kernel.values.errors import PromptConflictError
from dovetail.kernel.values.events import NO_HASH, chain_hash, payload_digest
from dovetail.kernel.values.ids import RequestId, new_id
from dovetail.kernel.values.titles import title_of
from dovetail.kernel.values.tool import TextContent
from dovetail.storage.sqlite import writer
from dovetail.storage.sqlite.store import open_sqlite
from dovetail.storage.sqlite.writer import Writer

from .files import ready
from .model import ModelMessage, ModelSession

Act = tuple[Any, ...]

PAGE = 200


class Failed(Exception):
    """Raised on purpose, by a decision that fails."""

    code = "mine"


class Numbers:
    """Random numbers that count, so that two media make the same ids."""

    def __init__(self) -> None:
        self.last = 0

    def urandom(self, size: int) -> bytes:
        self.last += 1
        return self.last.to_bytes(size)


@contextmanager
def counted_ids() -> Iterator[Numbers]:
    """Number ids instead of drawing them, and look for foreign commits often.

    What the writer does once more, because something in its group failed, has the same
    numbers again: the reference model does everything once.
    """
    numbers = Numbers()
    perform_all, perform_each = Writer._perform_all, Writer._perform_each
    first = 0

    def all_at_once(self: Writer, group: list[Any]) -> bool:
        nonlocal first
        first = numbers.last
        return perform_all(self, group)

    def each_again(self: Writer, group: list[Any]) -> bool:
        numbers.last = first
        return perform_each(self, group)

    with (
        mock.patch.object(ids, "os", numbers),
        mock.patch.object(Writer, "_perform_all", all_at_once),
        mock.patch.object(Writer, "_perform_each", each_again),
        mock.patch.object(writer, "WATCH_INTERVAL", 0.005),
    ):
        yield numbers


# --- where the stores are ---------------------------------------------------------


class MemoryPlace:
    """A state in memory; what was committed is all that a crash leaves."""

    def __init__(self) -> None:
        self.state = MemoryState()

    def open(self) -> Any:
        return open_memory_store(self.state)


class SqlitePlace:
    """A file, which is copied as it is while it is open, as a killed process leaves
    it; the next store is opened on the copy."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copies = 0
        self.file = folder / "0.db"

    def open(self) -> Any:
        return open_sqlite(ready(self.file))

    def copy(self, *, shared_memory: bool = True) -> Path:
        """Copy what is on disk at this very moment and return the copy."""
        self._copies += 1
        copy = self._folder / f"{self._copies}.db"
        for end in ("", "-wal", "-shm") if shared_memory else ("", "-wal"):
            source = self.file.with_name(self.file.name + end)
            if source.exists():
                shutil.copyfile(source, copy.with_name(copy.name + end))
        return copy


# --- doing ------------------------------------------------------------------------


class Rooms:
    """Log, inbox and sessions on one open store, without a model."""

    def __init__(self, store: Store, log: EventLog, sessions: Sessions) -> None:
        self.store = store
        self.log = log
        self.sessions = sessions

    async def session(self, session_id: str) -> Session:
        return await self.sessions.get(session_id)

    async def perform(self, acts: Sequence[Act]) -> list[Any]:
        """Do all of it at once, and return what each of them says."""
        said: list[Any] = [None] * len(acts)

        async def one(index: int, act: Act) -> None:
            name, session_id, *rest = act
            try:
                said[index] = await getattr(self, f"_{name}")(session_id, *rest)
            except PromptConflictError as error:
                said[index] = (error.code, *error.differs)
            except (DovetailError, Failed) as error:
                said[index] = (error.code,)

        async with anyio.create_task_group() as tasks:
            for index, act in enumerate(acts):
                tasks.start_soon(one, index, act)
        return said

    async def _create(self, session_id: str, title: str | None) -> str:
        made = await self.sessions.create(session_id, "/", title=title)
        return made.id

    def _handle(self, session_id: str) -> Session:
        # Not `get`, which reads first: who calls first must commit first.
        return Session(
            SessionId(session_id),
            self.log,
            self.sessions._coordinator,
            None,
            None,
            None,
        )  # type: ignore[arg-type]

    async def _admit(
        self, session_id: str, text: str, delivery: Any, key: str | None
    ) -> tuple[Any, ...]:
        receipt = await self._handle(session_id).prompt(
            text, key=key, delivery=delivery, resume=False
        )
        return attrs.astuple(receipt)

    async def _withdraw(self, session_id: str, input_id: str) -> None:
        await self._handle(session_id).withdraw(input_id)

    async def _deliver(self, session_id: str, input_id: str, delivery: Any) -> None:
        await self._handle(session_id).deliver(input_id, delivery)

    async def _promote(self, session_id: str, idle: bool) -> list[str]:
        def promoting(tx: LogTransaction) -> list[str]:
            tx.session(session_id)
            due = promotion.due(tx.rows, session_id, idle=idle)
            tx.append(*promotion.promotions(SessionId(session_id), due))
            return [row.id for row in due]

        return await self.log.commit(promoting)

    async def _promote_one(self, session_id: str, input_id: str) -> None:
        await self._append(session_id, e.PromptPromoted, input_id=MessageId(input_id))

    async def _append(self, session_id: str, kind: Any, **fields: Any) -> None:
        def appending(tx: LogTransaction) -> None:
            tx.session(session_id)
            tx.append(kind(session_id=SessionId(session_id), **fields))

        await self.log.commit(appending)

    async def _title(self, session_id: str, title: str) -> None:
        await self._handle(session_id).rename(title)

    async def _switch(self, session_id: str, model: str | None) -> None:
        await self._handle(session_id).switch_model(model)

    async def _begin(self, session_id: str) -> None:
        await self._append(session_id, e.ExecutionStarted, owner="own_1")

    async def _end(self, session_id: str, outcome: Any) -> None:
        reason = None if outcome == "succeeded" else Failure("some.code", "because")
        await self._append(session_id, e.ExecutionEnded, status=outcome, reason=reason)

    async def _step(self, session_id: str) -> str:
        message_id = MessageId(new_id("msg", self.log.clock))
        await self._append(
            session_id, e.StepStarted, message_id=message_id, agent="a", model="p/m"
        )
        return message_id

    async def _open(self, session_id: str) -> MessageId:
        rows = await self.log.read(lambda rows: rows.open_messages(session_id))
        return MessageId(rows[0].id)

    async def _part(self, session_id: str, kind: str, text: str) -> None:
        event = e.TextEnded if kind == "text" else e.ReasoningEnded
        message_id = await self._open(session_id)
        await self._append(session_id, event, message_id=message_id, text=text)

    async def _call(self, session_id: str, call_id: str, end: str) -> None:
        message_id = await self._open(session_id)
        fields: Any = {
            "session_id": SessionId(session_id),
            "message_id": message_id,
            "call_id": call_id,
        }
        last: Event
        if end == "succeeded":
            last = e.ToolSucceeded(content=(TextContent("done"),), **fields)
        else:
            last = e.ToolFailed(failure=Failure("tool.failed", "no"), **fields)
        await self.log.append(
            e.ToolCalled(tool="t", arguments='{"a": 1}', **fields),
            e.ToolStarted(**fields),
            last,
        )

    async def _settle(self, session_id: str, message_id: str, end: str) -> None:
        fields: Any = {"message_id": MessageId(message_id), "usage": Usage(1, 2)}
        if end == "stop":
            await self._append(session_id, e.StepEnded, finish="stop", **fields)
        else:
            failure = Failure("provider.failed", "no")
            await self._append(session_id, e.StepFailed, failure=failure, **fields)

    async def _notice(self, session_id: str, text: str) -> None:
        message_id = MessageId(new_id("msg", self.log.clock))
        await self._append(session_id, e.NoticeAdded, message_id=message_id, text=text)

    async def _epoch(self, session_id: str) -> None:
        await self._append(session_id, e.EpochStarted, baseline="base", sources={})

    async def _update(self, session_id: str, text: str) -> None:
        message_id = MessageId(new_id("msg", self.log.clock))
        await self._append(
            session_id, e.ContextUpdated, message_id=message_id, text=text, sources={}
        )

    async def _ask(self, session_id: str) -> str:
        request_id = RequestId(new_id("per", self.log.clock))
        await self._append(
            session_id,
            e.RequestAsked,
            request_id=request_id,
            what="permission",
            agent="a",
            body={"action": "edit", "resources": ["x"]},
        )
        return request_id

    async def _reply(self, session_id: str, request_id: str) -> None:
        await self._append(
            session_id,
            e.RequestAnswered,
            request_id=RequestId(request_id),
            outcome="answered",
            by="person",
            answer={"reply": "once"},
        )

    async def _bulk(self, session_id: str, count: int) -> None:
        await self.log.append(
            *[
                e.SessionTitled(session_id=SessionId(session_id), title=f"bulk {n}")
                for n in range(count)
            ]
        )

    async def _fail(self, session_id: str, how: str) -> None:
        """Append what is right, and then fail."""
        sid = SessionId(session_id)

        def failing(tx: LogTransaction) -> None:
            tx.session(session_id)
            tx.append(e.SessionTitled(session_id=sid, title="never"))
            if how == "decision":
                raise Failed
            try:
                tx.append(
                    e.SessionTitled(session_id=sid, title="nor this"),
                    e.StepEnded(
                        session_id=sid, message_id=MessageId("msg_no"), finish="stop"
                    ),
                )
            except DovetailError:
                # A decision that goes on after a projector refused is lost all the
                # same (law events.2).
                if how == "projector":
                    raise

        await self.log.commit(failing)


async def _quiet(session_id: str, control: DrainControl) -> None:
    """A drain that finds nothing to do: promotions are acts of their own here."""


@asynccontextmanager
async def open_rooms(place: Any) -> AsyncIterator[Rooms]:
    """Open a store and the rooms on it."""
    async with place.open() as store, anyio.create_task_group() as tasks:
        log = EventLog(store, ManualClock())
        # Nothing runs here: no Step, no job, no child, and nothing is cleaned up.
        absent: Any = None
        coordinator = Coordinator(tasks, _quiet)
        sessions = Sessions(log, coordinator, absent, absent, absent, absent)
        try:
            yield Rooms(store, log, sessions)
        finally:
            log.close()
            tasks.cancel_scope.cancel()


# --- looking ----------------------------------------------------------------------


def everything(reader: Reader) -> dict[str, Any]:
    """Return all rows that a store holds, projected, operational and logged."""
    found: dict[str, Any] = {}
    log: list[Any] = []
    while page := reader.all_events(after=log[-1].position if log else -1):
        log += page
    found["log"] = log
    found["sessions"] = sessions = list(reader.sessions(limit=10_000))
    found["working"] = list(reader.sessions_with_work())
    found["asked"] = list(reader.pending_requests())
    for session_id in dict.fromkeys(record.session_id for record in log):
        keys = {f"k{n}" for n in range(4)}
        found[session_id] = (
            reader.head(session_id),
            reader.session(session_id),
            reader.epoch(session_id),
            reader.lease(session_id),
            list(reader.pending_inputs(session_id)),
            list(reader.messages(session_id, limit=10_000)),
            list(reader.open_messages(session_id)),
            [reader.admission(session_id, key) for key in sorted(keys)],
        )
    assert len(sessions) == len({row.id for row in sessions})
    return found


def unsound(reader: Reader) -> list[str]:
    """Return what breaks the chain or the numbering of any log (law events.9)."""
    wrong: list[str] = []
    for row in reader.sessions(limit=10_000):
        previous, seq = NO_HASH, -1
        while page := reader.events(row.id, after=seq):
            for record in page:
                seq += 1
                previous = chain_hash(
                    previous,
                    row.id,
                    seq,
                    record.kind,
                    record.version,
                    record.created,
                    payload_digest(record.data),
                )
                if (record.seq, record.hash) != (seq, previous):
                    wrong.append(f"{row.id} {record.seq}")
        head = reader.head(row.id)
        if head is None or (head.seq, head.hash) != (seq, previous):
            wrong.append(f"{row.id} head")
    return wrong


def plain(message: Message) -> tuple[Any, ...]:
    """Return a message as the model writes it."""
    if not isinstance(message, AssistantMessage):
        made = ModelMessage(
            message.id, message.seq, message.type, message.text, end="end"
        )
        return made.plain()
    parts: list[list[str]] = []
    for part in message.parts:
        if part.type == "tool":
            parts.append(["tool", part.call_id, part.state])
        else:
            parts.append([part.type, part.text])
    end = message.finish or (message.failure and "failed")
    assert (message.ended is None) == (end is None)
    return ModelMessage(
        message.id, message.seq, message.type, None, parts, end or None
    ).plain()


async def observed(rooms: Rooms, session_id: str) -> dict[str, Any]:
    """Return what an application sees of one session."""
    session = await rooms.session(session_id)
    info = await session.info()
    events = [event async for event in session.events()]
    pages: dict[str, list[Any]] = {}
    for order in ("asc", "desc"):
        cursor, pages[order] = None, []
        while True:
            page = await session.messages(PAGE, cursor, order)  # type: ignore[arg-type]
            pages[order] += page.items
            if (cursor := page.cursor) is None:
                break
    pending = await session.pending()
    history = [plain(message) for message in await session.history()]
    rows = await rooms.log.read(
        lambda rows: rows.pending_requests(session_id=session_id)
    )
    epoch = await rooms.log.read(lambda rows: rows.epoch(session_id))
    return {
        "seqs": [event.seq for event in events],
        "kinds": [event.kind for event in events],
        "info": (info.title, info.model, info.status, info.outcome.status),
        "totals": (info.steps, (info.usage.input or 0) + (info.usage.output or 0)),
        "pending": [
            (one.id, one.seq, one.prompt.text, one.delivery, one.state, one.key)
            for one in pending
        ],
        "asc": [plain(message) for message in pages["asc"]],
        "desc": [plain(message) for message in reversed(pages["desc"])],
        "history": history,
        "asked": [row.id for row in rows],
        "epoch": epoch and (epoch.seq, epoch.updated_seq),
    }


def _title(session: ModelSession) -> str | None:
    """Return what the session is called: without a title of its own, by what the user
    said first, if anything is said before so many notices."""
    if session.title is not None:
        return session.title
    first = (one.text for one in session.messages[:LOOKED_AT] if one.type == "user")
    return title_of(next(first, None) or "")


def expected(session: ModelSession) -> dict[str, Any]:
    """Return what the model says is seen of one session."""
    messages = [message.plain() for message in session.messages]
    return {
        "seqs": list(range(len(session.kinds))),
        "kinds": session.kinds,
        # Nobody holds a lease in these rooms.
        "info": (
            _title(session),
            session.model,
            session.status.replace("running", "lost"),
            session.outcome,
        ),
        "totals": (session.steps, session.tokens),
        "pending": [
            (one.id, one.seq, one.text, one.delivery, one.state, one.key)
            for one in session.pending()
        ],
        "asc": messages,
        "desc": messages,
        # What is open is no part of the history yet.
        "history": sorted(
            (
                message.plain()
                for message in session.messages
                if message.end and message.id not in session.hidden
            ),
            key=lambda message: session.settled.index(message[0]),
        ),
        "asked": [one for one, waits in session.asked.items() if waits],
        "epoch": session.epoch,
    }


async def carried(rooms: Rooms, session_id: str, cuts: Sequence[int]) -> dict[str, Any]:
    """Export a session, replay it elsewhere in pieces, and return what is there."""
    export = Export(rooms.log, session_id, None, follow=False)
    lines = [event.to_line() async for event in export]
    edges = sorted({0, len(lines), *(cut for cut in cuts if cut < len(lines))})
    async with open_rooms(MemoryPlace()) as other:
        for begin, end in itertools.pairwise(edges):
            # With an overlap, since repeating a replay is harmless.
            piece = [
                ExportedEvent.from_line(one) for one in lines[max(0, begin - 2) : end]
            ]
            await other.log.commit(Replay(piece).commit)
        return await other.store.read(everything)


def spoil(session_id: str) -> Callable[[Transaction], None]:
    """Return a transaction that writes wrong projections, which are disposable."""

    def spoiling(tx: Transaction) -> None:
        row = tx.session(session_id)
        assert row is not None
        tx.put_session(attrs.evolve(row, title="wrong", steps=99, status="running"))
        tx.put_epoch(EpochRow(session_id, 77, 78))
        tx.put_input(
            InputRow(session_id, "msg_x", 0, "steer", "pending", None, 0, None)
        )
        tx.put_message(MessageRow(session_id, 10**6, "msg_y", "user", 0, 0))
        tx.put_request(RequestRow(session_id, "per_x", "permission", 0, "/", None))
        for known in tx.messages(session_id, limit=3):
            tx.put_message(attrs.evolve(known, end_seq=None, body_seq=0))

    return spoiling
