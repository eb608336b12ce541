"""What a session costs does not grow with its length: counted in work, not in time.

Every statement runs on a connection that counts the instructions of SQLite's machine
and the rows that it gave. The same is done to a session of a hundred events and to one
of ten thousand, and must take the same work. ``DOVETAIL_PROOF_EVENTS`` says how long
the long one is.
"""

import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from attrs import define
from dovetail.kernel import (
    Failure,
    MessageId,
    Prompt,
    Reader,
    Runtime,
    SessionId,
    Store,
    Usage,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.log.commit import EventLog
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.scripted import ScriptedProvider, text
from dovetail.kernel.values import events as e
from dovetail.kernel.values.tool import TextContent
from dovetail.storage.sqlite.database import Medium
from dovetail.storage.sqlite.store import SqliteReader, SqliteTransaction, open_sqlite
from dovetail.storage.sqlite.view import SqliteView
from support.bounds import HANG

T = TypeVar("T")

SHORT = 100
LONG = int(os.environ.get("DOVETAIL_PROOF_EVENTS", "10000"))


# --- sessions of any length -------------------------------------------------------


def conversation(session_id: str, turns: range) -> Iterator[e.Event]:
    """Yield turns of ten events each: a prompt, a Step with a call, and an answer."""
    own = {"session_id": SessionId(session_id)}
    for turn in turns:
        asked, first, second = (MessageId(f"msg_{turn}_{n}") for n in range(3))
        yield e.PromptAdmitted(
            input_id=asked, prompt=Prompt(f"turn {turn}"), delivery="steer", **own
        )
        yield e.PromptPromoted(input_id=asked, **own)
        yield e.StepStarted(message_id=first, agent="build", model="p/m", **own)
        call: Any = {"message_id": first, "call_id": "call_1", **own}
        yield e.ToolCalled(tool="read", arguments="{}", **call)
        yield e.ToolStarted(**call)
        if turn % 7:
            yield e.ToolSucceeded(content=(TextContent("some text"),), **call)
        else:
            yield e.ToolFailed(failure=Failure("tool.failed", "no"), **call)
        yield e.StepEnded(message_id=first, finish="tool_calls", usage=Usage(1), **own)
        yield e.StepStarted(message_id=second, agent="build", model="p/m", **own)
        yield e.TextEnded(message_id=second, text="an answer", **own)
        yield e.StepEnded(message_id=second, finish="stop", usage=Usage(1), **own)


async def write(file: Path, folder: Path, sizes: dict[str, int]) -> None:
    async with open_sqlite(file) as store:
        log = EventLog(store, ManualClock())
        for session_id, size in sizes.items():
            await log.append(
                e.SessionCreated(
                    session_id=SessionId(session_id),
                    directory=str(folder),
                    model="scripted/model",
                )
            )
            turns = size // 10
            for begin in range(0, turns, 100):
                part = range(begin, min(begin + 100, turns))
                await log.append(*conversation(session_id, part))
        log.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a short and a long session."""
    folder = tmp_path_factory.mktemp("long")
    anyio.run(write, folder / "s.db", folder, {"short": SHORT, "long": LONG})
    return folder / "s.db"


# --- counting ---------------------------------------------------------------------


@define
class Work:
    """What was done since it was reset."""

    instructions: int = 0
    rows: int = 0

    def reset(self) -> None:
        self.instructions = self.rows = 0


class Counted:
    """A connection that counts what its statements do and give."""

    def __init__(self, connection: sqlite3.Connection, work: Work) -> None:
        self._connection = connection
        self._work = work
        connection.set_progress_handler(self._step, 1)

    def _step(self) -> int:
        self._work.instructions += 1
        return 0

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        return _Rows(self._connection.execute(sql, parameters), self._work)

    def cursor(self) -> sqlite3.Cursor:
        # For what is written, which gives no rows.
        return self._connection.cursor()

    def close(self) -> None:
        self._connection.set_progress_handler(None, 1)
        self._connection.close()


class _Rows:
    def __init__(self, cursor: sqlite3.Cursor, work: Work) -> None:
        self._cursor = cursor
        self._work = work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def fetchone(self) -> Any:
        found = self._cursor.fetchone()
        self._work.rows += found is not None
        return found

    def fetchall(self) -> Any:
        found = self._cursor.fetchall()
        self._work.rows += len(found)
        return found


class CountingStore(Store):
    """The SQLite store without threads, on one connection that counts."""

    def __init__(self, file: Path, work: Work) -> None:
        self._medium = Medium(str(file), file, 5.0)
        self._connection: Any = Counted(self._medium.connect(), work)

    @property
    def name(self) -> str:
        return self._medium.name

    async def transact(
        self, work: Callable[[Any], T], on_commit: Callable[[T], None] | None = None
    ) -> T:
        result = self._within(SqliteTransaction, "BEGIN IMMEDIATE", work)
        if on_commit is not None:
            on_commit(result)
        await anyio.lowlevel.cancel_shielded_checkpoint()
        return result

    def transact_in_thread(self, work: Callable[[Any], T]) -> T:
        raise AssertionError("no session here works for as long as a lease lasts")

    async def read(self, work: Callable[[Reader], T]) -> T:
        await anyio.lowlevel.checkpoint()
        return self._within(SqliteReader, "BEGIN", work)

    def _within(
        self, kind: type[SqliteView], begin: str, work: Callable[[Any], T]
    ) -> T:
        self._connection.execute(begin)
        view = kind(self._connection, self._medium)
        try:
            result = work(view)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        finally:
            view.end()
        self._connection.execute("COMMIT")
        return result

    def watch(self, notify: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    async def aclose(self) -> None:
        self._connection.close()


class OpensCounting:
    """The plugin that opens it."""

    def __init__(self, file: Path, work: Work) -> None:
        self._file = file
        self._work = work

    @hookimpl
    def dovetail_open_store(self, url: str) -> Any:
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Store]:
        store = CountingStore(self._file, self._work)
        try:
            yield store
        finally:
            await store.aclose()


@contextmanager
def copied(file: Path, folder: Path) -> Iterator[Path]:
    """Give a copy, for what writes."""
    copy = folder / "copy.db"
    copy.write_bytes(file.read_bytes())
    yield copy


@asynccontextmanager
async def counting_runtime(
    file: Path, work: Work, provider: ScriptedProvider
) -> AsyncIterator[Runtime]:
    async with open_runtime(
        "counting://",
        plugins=[OpensCounting(file, work), provider],
        load_entry_points=False,
        environment={"DOVETAIL_CONFIG": ""},
    ) as runtime:
        yield runtime


# --- the laws of cost -------------------------------------------------------------


async def opening(runtime: Runtime, name: str) -> None:
    session = await runtime.sessions.get(name)
    info = await session.info()
    assert info.steps
    assert not await session.pending()


async def first_page(runtime: Runtime, name: str) -> None:
    session = await runtime.sessions.get(name)
    for order in ("desc", "asc"):
        page = await session.messages(limit=20, order=order)  # type: ignore[arg-type]
        assert len(page) == 20
        assert page.cursor


async def a_page_in_the_middle(runtime: Runtime, name: str) -> None:
    session = await runtime.sessions.get(name)
    first = await session.messages(limit=5)
    assert len(await session.messages(limit=5, cursor=first.cursor)) == 5


async def one_message(runtime: Runtime, name: str) -> None:
    session = await runtime.sessions.get(name)
    page = await session.messages(limit=1)
    assert await session.message(page.items[0].id) == page.items[0]


async def a_tail_from_the_end(runtime: Runtime, name: str) -> None:
    session = await runtime.sessions.get(name)
    last = SHORT if name == "short" else LONG // 10 * 10
    tail = session.events(after=last - 5)
    assert [event.seq async for event in tail] == list(range(last - 4, last + 1))


async def admission_and_withdrawal(runtime: Runtime, name: str) -> None:
    session = await runtime.sessions.get(name)
    receipt = await session.prompt("go", key="k", resume=False)
    assert await session.prompt("go", key="k", resume=False) == receipt
    await session.deliver(receipt.id, "steer")
    await session.withdraw(receipt.id)


async def listing(runtime: Runtime, name: str) -> None:
    assert len(await runtime.sessions.list(limit=1)) == 1


@pytest.mark.parametrize(
    "act",
    [
        opening,
        first_page,
        a_page_in_the_middle,
        one_message,
        a_tail_from_the_end,
        admission_and_withdrawal,
        listing,
    ],
    ids=lambda act: act.__name__,
)
async def test_it_takes_the_same_work_in_a_long_session(
    written: Path, tmp_path: Path, act: Any
) -> None:
    done: dict[str, tuple[int, int]] = {}
    with copied(written, tmp_path) as file:
        for name in ("short", "long"):
            work = Work()
            async with counting_runtime(file, work, ScriptedProvider()) as runtime:
                # The first look counts the rows of a session; see below.
                await (await runtime.sessions.get(name)).pending()
                work.reset()
                await act(runtime, name)
                done[name] = (work.instructions, work.rows)
    short, long = done["short"], done["long"]
    assert short[0] > 0
    assert long[1] == short[1]
    # Searching a larger tree takes no more instructions, but a page that ends
    # elsewhere may take a few.
    assert long[0] <= short[0] * 1.05, done


async def test_the_first_look_of_a_process_counts_what_is_there_and_decodes_none(
    written: Path,
) -> None:
    """Rows that came away from their session are missed by counting, once a process:
    a few instructions for each event, in the database, and nothing comes out of it."""
    seen: dict[str, tuple[int, int]] = {}
    for name in ("short", "long"):
        work = Work()
        async with counting_runtime(written, work, ScriptedProvider()) as runtime:
            session = await runtime.sessions.get(name)
            work.reset()
            await session.pending()
            seen[name] = (work.instructions, work.rows)
    (few, rows), (many, as_many) = seen["short"], seen["long"]
    assert as_many == rows
    assert (many - few) / (LONG - SHORT) < 20, seen


async def test_one_more_step_of_a_warm_session_takes_the_same_work(
    written: Path, tmp_path: Path
) -> None:
    """The first Step of a process reads the history once; the others do not."""
    done: dict[str, tuple[int, int]] = {}
    cold: dict[str, int] = {}
    with copied(written, tmp_path) as file:
        for name in ("short", "long"):
            work = Work()
            provider = ScriptedProvider(text("one"), text("two"), text("three"))
            async with counting_runtime(file, work, provider) as runtime:
                session = await runtime.sessions.get(name)
                with anyio.fail_after(HANG):
                    work.reset()
                    await session.prompt("begin")
                    assert (await session.wait()).succeeded
                    cold[name] = work.rows
                    await session.prompt("warm up")
                    assert (await session.wait()).succeeded
                    work.reset()
                    await session.prompt("go on")
                    assert (await session.wait()).succeeded
                    done[name] = (work.instructions, work.rows)
    assert done["long"][1] == done["short"][1]
    assert done["long"][0] <= done["short"][0] * 1.05, done
    # Reading the history once is as much as there is of it, and not more.
    assert LONG <= cold["long"] <= LONG + cold["short"] + SHORT
