"""Keyed admission under fire: processes, restarts, lost projections, failing stores."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from attrs import frozen
from dovetail.kernel import (
    ContextSource,
    InputNotPendingError,
    KeyInvalidError,
    Place,
    PromptConflictError,
    Register,
    SessionNotFoundError,
    Store,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    Tool,
    ToolContext,
    UserMessage,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.log.commit import EventLog
from dovetail.kernel.ports import AdmissionRow, Transaction
from dovetail.kernel.testing.memory_store import MemoryState, MemoryStore
from dovetail.kernel.testing.scripted import Gate, ScriptedProvider, call, calls, text
from dovetail.kernel.upkeep.rebuild import rebuild
from dovetail.kernel.values.errors import ConflictError
from dovetail.storage.plugin import plugin as sqlite_plugin
from dovetail.storage.sqlite.store import open_sqlite
from support.bounds import HANG
from support.hosts import host, kinds_of
from support.logs import WrappedStore, log_on
from support.programs import Forking, Running

RACERS = Path(__file__).with_name("racers.py")


@pytest.fixture
def racer(tmp_path: Path, forked: Forking) -> Callable[[str], Running]:
    """Return a function that starts a process which prompts the shared session."""
    return lambda name: forked(tmp_path, name, program=RACERS)


def line(process: Running) -> str:
    return process.stdout.readline().strip()


def go(process: Running, how: str = "go") -> None:
    process.stdin.write(f"{how}\n")
    process.stdin.flush()


def stored(folder: Path, question: str) -> list[Any]:
    connection = sqlite3.connect(folder / "test.db")
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()


def kinds_stored(folder: Path) -> dict[str, int]:
    return dict(stored(folder, "SELECT kind, count(*) FROM event GROUP BY kind"))


@pytest.mark.law("inbox.3")
def test_four_processes_that_race_on_one_key_get_one_receipt_and_one_promotion(
    tmp_path: Path, racer: Callable[[str], Running]
) -> None:
    processes = [racer(f"p{n}") for n in range(4)]
    for process in processes:
        assert line(process) == "ready"
    for process in processes:
        go(process)
    receipts = [line(process) for process in processes for _ in range(10)]
    ends = [line(process) for process in processes]

    assert [process.wait(HANG) for process in processes] == [0] * 4
    assert len(set(receipts)) == 1
    assert len(stored(tmp_path, "SELECT * FROM admission")) == 1
    assert len(stored(tmp_path, "SELECT * FROM input")) == 1
    kinds = kinds_stored(tmp_path)
    assert kinds["prompt.admitted"] == kinds["prompt.promoted"] == 1
    assert kinds["step.started"] == kinds["execution.started"] == 1
    # One of them did the work, and all of them learnt how it ended.
    assert sorted(end.split()[0] for end in ends) == ["requests=0"] * 3 + ["requests=1"]
    assert {end.split()[1] for end in ends} == {"succeeded"}


@pytest.mark.law("inbox.1")
@pytest.mark.law("inbox.3")
@pytest.mark.law("recovery.1")
def test_what_a_killed_process_was_told_is_what_the_others_are_told(
    tmp_path: Path, racer: Callable[[str], Running]
) -> None:
    first, second = racer("killed"), racer("later")
    assert [line(first), line(second)] == ["ready", "ready"]
    go(first, "hold")
    receipts = [line(first) for _ in range(10)]
    first.kill()
    first.wait()
    go(second)
    receipts += [line(second) for _ in range(10)]

    assert line(second).endswith("succeeded")
    assert len(set(receipts)) == 1
    assert json.loads(receipts[0])["key"] == "ticket-42"
    kinds = kinds_stored(tmp_path)
    assert kinds["prompt.admitted"] == kinds["prompt.promoted"] == 1


# --- after whatever happened ------------------------------------------------------


@asynccontextmanager
async def file_log(folder: Path) -> AsyncIterator[EventLog]:
    async with open_sqlite(folder / "test.db") as store:
        log = log_on(store)
        yield log
        log.close()


@pytest.mark.law("inbox.3", "inbox.4")
@pytest.mark.parametrize("state", ["pending", "promoted", "withdrawn", "redelivered"])
async def test_a_receipt_stays_what_it_was_whatever_became_of_the_input(
    tmp_path: Path, state: str
) -> None:
    """After promotion, withdrawal and change of delivery, after a restart, and after
    the projections were thrown away and derived again."""
    provider = ScriptedProvider(text("hi"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=provider.model, id="mine"
        )
        first = await session.prompt("go", key="k", delivery="queue", resume=False)
        if state == "promoted":
            with anyio.fail_after(HANG):
                await session.resume()
        elif state == "withdrawn":
            await session.withdraw(first.id)
        elif state == "redelivered":
            with anyio.fail_after(HANG):
                await session.deliver(first.id, "steer")
                await session.wait()
        kinds = await kinds_of(session)

    async def ask_again() -> None:
        async with host(tmp_path, ScriptedProvider()) as runtime:
            session = await runtime.sessions.get("mine")
            for _ in range(2):
                again = await session.prompt(
                    "go", key="k", delivery="queue", resume=False
                )
                assert again == first
            for other in ({"prompt": "stop"}, {"delivery": "steer"}):
                given: Any = {"prompt": "go", "delivery": "queue", **other}
                with pytest.raises(PromptConflictError) as caught:
                    await session.prompt(**given, key="k", resume=False)
                assert caught.value.differs == tuple(other)
            assert await kinds_of(session) == kinds

    await ask_again()
    async with file_log(tmp_path) as log:
        await log.store.transact(lambda tx: tx.clear_projections("mine"))
        # Even while there are none: an admission is no projection (law storage.3).
        [row] = await log.read(lambda rows: [rows.admission("mine", "k")])
        assert isinstance(row, AdmissionRow)
        await log.store.transact(lambda tx: rebuild(tx, "mine"))
    await ask_again()


@pytest.mark.law("inbox.3", "inbox.7")
@pytest.mark.parametrize("resume", [True, False])
async def test_a_retry_wakes_the_session_unless_it_only_admits(
    tmp_path: Path, resume: bool
) -> None:
    """The wake of the first call may have been lost with its process."""
    provider = ScriptedProvider(text("hi"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=provider.model, id="mine"
        )
        first = await session.prompt("go", key="k", resume=False)
        again = await session.prompt("go", key="k", resume=resume)
        with anyio.fail_after(HANG):
            outcome = await session.wait()

        assert again == first
        assert outcome.status == ("succeeded" if resume else "idle")
        assert len(await session.pending()) == (not resume)
        assert len(provider.requests) == resume


@pytest.mark.law("inbox.2")
async def test_what_was_done_to_pending_input_is_done_after_a_restart(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("one"), text("two"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=provider.model, id="mine"
        )
        receipts = [
            await session.prompt(said, delivery="queue", resume=False)
            for said in ("first", "gone", "hurried")
        ]
        before = await session.pending()
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.get("mine")
        assert await session.pending() == before
        await session.withdraw(receipts[1].id)
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.get("mine")
        assert [one.id for one in await session.pending()] == [
            receipts[0].id,
            receipts[2].id,
        ]
        with pytest.raises(InputNotPendingError):
            await session.deliver(receipts[1].id, "steer")
        await session.deliver(receipts[2].id, "steer")
        with anyio.fail_after(HANG):
            await session.wait()
        said = [m.text for m in await session.history() if isinstance(m, UserMessage)]
        assert said == ["hurried", "first"]
        assert await session.pending() == []


@pytest.mark.law("inbox.5")
async def test_queued_input_waits_while_the_model_has_something_to_answer(
    tmp_path: Path,
) -> None:
    """Results of tools come first, and with them the end of what was begun."""
    gate = Gate()

    @frozen
    class Nothing:
        pass

    async def hold(input: Nothing, context: ToolContext) -> str:
        await gate.pass_through()
        return "ok"

    provider = ScriptedProvider(calls(call("hold")), text("one"), text("two"))
    async with host(
        tmp_path, provider, Tool("hold", "Hold.", Nothing, hold)
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("start")
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.prompt("later", delivery="queue")
            gate.open()
            assert (await session.wait()).succeeded
        sent = [
            [one.text for one in messages if isinstance(one, UserMessage)]
            for messages in provider.histories
        ]
        assert sent == [["start"], ["start"], ["start", "later"]]


class Held:
    """A plugin that holds every Step up while it prepares."""

    def __init__(self) -> None:
        self.gate = Gate()

    @hookimpl
    def dovetail_register_context(
        self, register: Register[ContextSource], place: Place
    ) -> None:
        register(ContextSource("test/held", self.observe))

    async def observe(self) -> None:
        await self.gate.pass_through()


@pytest.mark.law("execution.4")
@pytest.mark.parametrize("by", ["withdrawal", "another runtime"])
async def test_an_execution_whose_input_went_before_it_began_leaves_no_trace(
    tmp_path: Path, by: str
) -> None:
    provider, held = ScriptedProvider(text("hi")), Held()
    async with (
        host(tmp_path, provider, plugins=[held]) as late,
        host(tmp_path, provider) as other,
    ):
        mine = await late.sessions.create(
            id="mine", location=tmp_path, model=provider.model
        )
        receipt = await mine.prompt("go")
        with anyio.fail_after(HANG):
            await held.gate.reached()
            if by == "withdrawal":
                await mine.withdraw(receipt.id)
                kinds = ["session.created", "prompt.admitted", "prompt.withdrawn"]
            else:
                assert (await (await other.sessions.get("mine")).resume()).succeeded
                kinds = await kinds_of(mine)
            held.gate.open()
            outcome = await mine.wait()
        assert outcome.status == ("idle" if by == "withdrawal" else "succeeded")
        assert await kinds_of(mine) == kinds


@pytest.mark.law("execution.3")
async def test_who_finds_another_runtime_at_work_waits_for_its_outcome(
    tmp_path: Path,
) -> None:
    gate, held = Gate(), Held()
    provider = ScriptedProvider([gate, *text("hi")])
    async with (
        host(tmp_path, provider, plugins=[held]) as late,
        host(tmp_path, provider) as other,
    ):
        mine = await late.sessions.create(
            id="mine", location=tmp_path, model=provider.model
        )
        await mine.prompt("go")
        outcomes: list[str] = []
        with anyio.fail_after(HANG):
            await held.gate.reached()
            async with anyio.create_task_group() as tasks:

                async def work() -> None:
                    session = await other.sessions.get("mine")
                    outcomes.append((await session.resume()).status)

                async def wait() -> None:
                    outcomes.append((await mine.wait()).status)

                tasks.start_soon(work)
                await gate.reached()
                # The input is promoted: nothing is left for the first one to do.
                tasks.start_soon(wait)
                held.gate.open()
                while late._coordinator.busy("mine") and not late._log.readers:
                    await anyio.lowlevel.checkpoint()
                gate.open()
        assert outcomes == ["succeeded", "succeeded"]
        assert (await kinds_of(mine)).count("execution.started") == 1
        assert len(provider.requests) == 1


# --- keys -------------------------------------------------------------------------

PRINTABLE = "".join(chr(n) for n in range(0x21, 0x7F))


@pytest.mark.parametrize(
    "key", ["k", "x" * 255, PRINTABLE, "a b", "UPPER", "upper", "%_\\'\"", "0"]
)
async def test_any_printable_key_is_itself_and_no_other(
    tmp_path: Path, key: str
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create(location=tmp_path)
        first = await session.prompt("go", key=key, resume=False)
        others = {key.swapcase(), key + "!", "!" + key, key[1:]} - {key, ""}
        for other in sorted(o for o in others if len(o) < 256 and o[0] != " "):
            assert (await session.prompt("go", key=other, resume=False)) != first
        assert await session.prompt("go", key=key, resume=False) == first
        assert first.key == key


@pytest.mark.parametrize(
    "key",
    ["", "x" * 256, " a", "a ", "a\n", "\ta", "a\0b", "ключ", "\x7f", "a\u00a0b", 7],
)
async def test_a_key_that_is_none_is_refused_with_its_rule(
    tmp_path: Path, key: Any
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create(location=tmp_path)
        with pytest.raises(KeyInvalidError) as caught:
            await session.prompt("go", key=key, resume=False)
        assert caught.value.code == "prompt.key_invalid"
        assert len(str(caught.value)) < 600
        assert await session.pending() == []


async def test_a_key_belongs_to_its_session(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        receipts = []
        for name in ("a", "b"):
            session = await runtime.sessions.create(id=name, location=tmp_path)
            receipts.append(await session.prompt(name, key="k", resume=False))
        assert receipts[0].id != receipts[1].id
        with pytest.raises(SessionNotFoundError):
            await runtime.sessions.get("c")


# --- what is no race --------------------------------------------------------------


class FailingStore(WrappedStore):
    """Fails in ``transact`` with what it is given, once."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.error: BaseException | None = None
        self.spoil: Callable[[Transaction], None] | None = None

    async def transact(self, work: Any, on_commit: Any = None) -> Any:
        error, self.error = self.error, None
        if error is not None:
            raise error
        spoil, self.spoil = self.spoil, None
        if spoil is None:
            return await self.inner.transact(work, on_commit)

        def spoilt(tx: Transaction) -> Any:
            result = work(tx)
            spoil(tx)
            return result

        return await self.inner.transact(spoilt, on_commit)


class OpensFailing:
    """A plugin that opens the failing store."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.store: FailingStore | None = None

    @hookimpl
    def dovetail_open_store(self, url: str) -> Any:
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Store]:
        self.store = FailingStore(MemoryStore(self.state))
        yield self.store


@pytest.mark.law("inbox.1")
@pytest.mark.parametrize(
    "error",
    [
        StoreLockedError("db", 5.0),
        StoreFullError("db", "the disk is full"),
        StoreDamagedError("db", "torn"),
        StoreError("db", "something else"),
        ConflictError("a unique row is in the way"),
        sqlite3.IntegrityError("UNIQUE constraint failed: admission.key"),
        OSError("no such device"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("key", ["k", None])
async def test_a_failure_that_is_no_race_reaches_the_caller_as_it_is(
    tmp_path: Path, error: Exception, key: str | None
) -> None:
    """Nothing is taken for a retry but the row of the key itself."""
    plugin = OpensFailing()
    provider = ScriptedProvider(text("hi"))
    async with open_runtime(
        "failing://", plugins=[plugin, provider], load_entry_points=False
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        store = plugin.store
        assert store is not None
        for moment in ("before", "within"):
            if moment == "before":
                store.error = error
            else:
                store.spoil = _raising(error)
            with pytest.raises(type(error)) as caught:
                await session.prompt("go", key=key)
            assert caught.value is error
            assert await session.pending() == []
            assert await kinds_of(session) == ["session.created"]
        # Nothing was promised, so the same key is free, and it was never woken.
        assert provider.requests == []
        await session.prompt("go", key=key)
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded


def _raising(error: Exception) -> Callable[[Transaction], None]:
    def fail(_: Transaction) -> None:
        raise error

    return fail


HOLDER = """
import sqlite3, sys
held = sqlite3.connect(sys.argv[1], isolation_level=None)
held.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.mark.law("storage.5")
async def test_a_prompt_into_a_locked_file_names_the_wait_and_is_not_admitted(
    tmp_path: Path, forked: Forking
) -> None:
    """Another process holds the file for longer than anybody waits."""
    provider = ScriptedProvider(text("hi"))
    async with open_runtime(
        f"sqlite:///{tmp_path / 'test.db'}?busy_timeout=0.2",
        plugins=[sqlite_plugin, provider],
        load_entry_points=False,
        environment={"DOVETAIL_CONFIG": ""},
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        holder = forked(tmp_path / "test.db", program=HOLDER)
        try:
            assert await to_thread.run_sync(line, holder) == "held"
            for key in ("k", None):
                with anyio.fail_after(HANG), pytest.raises(StoreLockedError) as caught:
                    await session.prompt("go", key=key)
                assert caught.value.code == "store.locked"
                assert "0.2 s" in str(caught.value)
            # Reading goes on meanwhile, and nothing is there.
            assert await session.pending() == []
        finally:
            holder.kill()
            await to_thread.run_sync(holder.wait)
        await session.prompt("go", key="k")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        assert (await kinds_of(session)).count("prompt.admitted") == 1


CROWD = """
import sys
from pathlib import Path
import anyio
from dovetail.kernel.testing import ScriptedProvider

sys.path.insert(0, sys.argv[1])
from support.hosts import host

async def main(folder, name):
    async with host(folder, ScriptedProvider()) as runtime:
        mine = await runtime.sessions.create(id=name, location=folder)
        shared = await runtime.sessions.create(id="shared", location=folder)
        print("ready", flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                async def admit(number=number):
                    await mine.prompt(f"{number}", key=f"k{number}", resume=False)
                    await shared.prompt(f"{number}", key=f"k{number}", resume=False)
                tasks.start_soon(admit)
    print("done", flush=True)

anyio.run(main, Path(sys.argv[2]), sys.argv[3])
"""


@pytest.mark.law("inbox.3")
def test_a_crowd_of_processes_never_meets_a_lock(
    tmp_path: Path, forked: Forking
) -> None:
    """Six of them write one file as fast as they can; every caller gets its receipt,
    and of what is the same there is one."""
    tests = Path(__file__).resolve().parents[1]
    processes = [
        forked(tests, tmp_path, f"s{number}", program=CROWD) for number in range(6)
    ]
    for process in processes:
        assert line(process) == "ready"
    for process in processes:
        go(process)
    assert [line(process) for process in processes] == ["done"] * 6
    assert [process.wait() for process in processes] == [0] * 6
    assert kinds_stored(tmp_path) == {
        "session.created": 7,
        "prompt.admitted": 7 * 40,
    }
