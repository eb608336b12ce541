"""Event logs for tests: on both stores, with gates where a reader may be held up."""

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import anyio
from attrs import evolve
from dovetail.kernel import Reader, SessionCreated, SessionId, SessionTitled, Store
from dovetail.kernel.log.commit import EventLog
from dovetail.kernel.log.tail import Tail
from dovetail.kernel.ports import EventRecord
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.memory_store import MemoryState, open_memory_store
from dovetail.kernel.values.events import NO_HASH, chain_hash, payload_digest
from dovetail.storage.sqlite.store import open_sqlite

from support.bounds import HANG
from support.files import ready

T = TypeVar("T")


class Medium:
    """Where stores are opened, any number of times: a state in memory, or a file."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.state = MemoryState()
        self.file = folder / "log.db"

    def open(self) -> Any:
        """Open a store here, as another process would."""
        if self.kind == "memory":
            return open_memory_store(self.state)
        return open_sqlite(ready(self.file))


class WrappedStore(Store):
    """A store whose reads can be held up before and after they are done."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.reads = 0
        self.before: Callable[[int], Awaitable[None]] | None = None
        self.after: Callable[[int], Awaitable[None]] | None = None

    @property
    def name(self) -> str:
        return self.inner.name

    async def transact(self, work: Any, on_commit: Any = None) -> Any:
        return await self.inner.transact(work, on_commit)

    def transact_in_thread(self, work: Any) -> Any:
        return self.inner.transact_in_thread(work)

    async def read(self, work: Callable[[Reader], T]) -> T:
        number = self.reads
        self.reads += 1
        if self.before is not None:
            await self.before(number)
        result = await self.inner.read(work)
        if self.after is not None:
            await self.after(number)
        return result

    def watch(self, notify: Callable[[], None]) -> Callable[[], None]:
        return self.inner.watch(notify)

    async def size(self) -> int:
        return await self.inner.size()

    async def compact(self) -> None:
        await self.inner.compact()

    async def aclose(self) -> None:
        await self.inner.aclose()


def chained(records: Iterable[EventRecord]) -> list[EventRecord]:
    """Return the records of one log with the hashes that they should have."""
    made: list[EventRecord] = []
    previous = NO_HASH
    for one in records:
        previous = chain_hash(
            previous,
            one.session_id,
            one.seq,
            one.kind,
            one.version,
            one.created,
            payload_digest(one.data),
        )
        made.append(evolve(one, hash=previous))
    return made


def log_on(store: Store) -> EventLog:
    """Return a log on a store, with a clock of its own."""
    return EventLog(store, ManualClock())


def created(session_id: str, **fields: Any) -> SessionCreated:
    """Return the first event of a session."""
    return SessionCreated(session_id=SessionId(session_id), directory="/w", **fields)


def titled(session_id: str, number: int) -> SessionTitled:
    """Return some later event, told apart by its number."""
    return SessionTitled(session_id=SessionId(session_id), title=str(number))


async def fill(log: EventLog, session_id: str, count: int) -> None:
    """Create a session and give it events up to sequence number ``count``."""
    await log.append(
        created(session_id), *(titled(session_id, n) for n in range(1, count + 1))
    )


async def take(tail: Any, count: int) -> list[Any]:
    """Return the next items of a tail, which must come soon."""
    with anyio.fail_after(HANG):
        return [await anext(tail) for _ in range(count)]


async def seqs(tail: Tail) -> list[int]:
    """Return the sequence numbers of everything up to the end of a tail."""
    with anyio.fail_after(HANG):
        return [event.seq async for event in tail]
