"""Removing a session: gone at once for whoever looks, and then from the files."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest
from dovetail.kernel import (
    Event,
    EventLogError,
    EventOwnerError,
    ExportedEvent,
    Prompt,
    Runtime,
    Session,
    SessionBusyError,
    SessionNotFoundError,
    SessionPastMissingError,
    SessionRemoved,
    SessionRemovedError,
    SessionSharedError,
    Transaction,
)
from dovetail.kernel.log.commit import EventLog
from dovetail.kernel.log.tail import Tail
from dovetail.kernel.ports import ApprovalRow, LeaseRow
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.scripted import Gate, ScriptedProvider, text
from dovetail.kernel.upkeep import removal
from support.bounds import HANG
from support.damage import harm
from support.hosts import host
from support.logs import Medium
from support.sessions import conversation

SECRET = "sesame-opens-it"
BLOCK = f"{SECRET} " * 3_000
"""Long enough to be kept beside the log."""


async def talked(
    runtime: Runtime, folder: Path, id: str, said: str = "say it", **options: Any
) -> Session:
    session = await runtime.sessions.create(
        id, location=folder, model="scripted/model", **options
    )
    await session.prompt(said, key="once")
    with anyio.fail_after(HANG):
        assert (await session.wait()).succeeded
    return session


async def kinds(events: AsyncIterator[Event]) -> list[str]:
    return [event.kind async for event in events]


def holds(folder: Path, words: str) -> list[str]:
    """Return the files of a folder that hold these words."""
    found = (one for one in folder.rglob("*") if one.is_file())
    return [one.name for one in found if words.encode() in one.read_bytes()]


async def left(runtime: Runtime) -> list[str]:
    return list(await runtime._log.read(lambda rows: rows.sessions_to_erase()))


@pytest.mark.law("storage.12")
async def test_a_removed_session_is_in_no_list_and_all_that_is_asked_of_it_says_so(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, ScriptedProvider(text("a"), text("b"))) as runtime:
        sessions = runtime.sessions
        gone = await talked(runtime, tmp_path, "gone")
        kept = await talked(runtime, tmp_path, "kept")
        exported = [one async for one in gone.export()]

        removed = await sessions.remove("gone")

        assert (removed.session_id, removed.sessions) == ("gone", ("gone",))
        assert (await sessions.remove("gone")).sessions == ()
        assert [one.id for one in (await sessions.list()).items] == ["kept"]
        with pytest.raises(SessionNotFoundError):
            await sessions.find("gon")
        asked = (
            lambda: sessions.create("gone", location=tmp_path),
            lambda: sessions.get("gone"),
            lambda: sessions.replay(exported),
            lambda: sessions.verify("gone"),
            lambda: sessions.repair("gone"),
            lambda: sessions.rebuild("gone"),
            lambda: sessions.claim("gone", "somebody"),
            lambda: sessions.release("gone"),
            lambda: kept.fork(id="gone"),
            lambda: gone.prompt("say it", key="once"),
            lambda: gone.prompt("say more"),
            lambda: gone.rename("Again"),
            lambda: gone.messages(),
            lambda: gone.info(),
            lambda: gone.jobs(),
            lambda: gone.resume(),
            lambda: gone.interrupt(),
            lambda: gone.continuation(),
            lambda: anext(gone.events()),
            lambda: anext(gone.export()),
        )
        for number, ask in enumerate(asked):
            try:
                await ask()
            except SessionRemovedError:
                continue
            pytest.fail(f"question {number} was answered")
        assert [one.session_id for one in await sessions.verify()] == ["kept"]
        assert await sessions.rebuild() == len(await kinds(kept.events()))
        with pytest.raises(SessionNotFoundError):
            await sessions.remove("nobody")
    async with host(tmp_path, ScriptedProvider()) as runtime:
        with pytest.raises(SessionRemovedError):
            await runtime.sessions.create("gone", location=tmp_path)
        assert [one.id for one in (await runtime.sessions.list()).items] == ["kept"]


@pytest.mark.law("storage.12")
async def test_who_follows_is_told_by_the_last_event_and_misses_nothing_of_others(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, ScriptedProvider(text("a"), text("b"))) as runtime:
        gone = await talked(runtime, tmp_path, "gone")
        async with (
            gone.events(follow=True) as one,
            runtime.events(follow=True) as all_of_them,
        ):
            with anyio.fail_after(HANG):
                first = await anext(one)
                cursor = (await anext(all_of_them)).cursor
                await runtime.sessions.remove("gone")
                kept = await talked(runtime, tmp_path, "kept")

                rest = [event async for event in one]  # it ends by itself
                assert [first.seq, *(event.seq for event in rest)] == list(
                    range(len(rest) + 1)
                )
                assert isinstance(rest[-1], SessionRemoved)
            after = [item.event async for item in runtime.events(cursor)]
            assert isinstance(after[0], SessionRemoved)
            assert after[1:] == [event async for event in kept.events()]


@pytest.mark.law("storage.12")
async def test_who_waits_for_what_is_beyond_the_end_is_told_as_well(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        gone = await runtime.sessions.create("gone", location=tmp_path)
        told: list[Event] = []

        async def wait(beyond: Tail) -> None:
            told.extend([event async for event in beyond])

        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                beyond = gone.events(after=1_000, follow=True)
                tasks.start_soon(wait, beyond)
                while not beyond._begun:
                    await anyio.lowlevel.checkpoint()
                await runtime.sessions.remove("gone")
        assert [type(event) for event in told] == [SessionRemoved]


@pytest.mark.law("storage.12")
async def test_one_that_runs_stays_unless_its_work_is_to_be_stopped(
    tmp_path: Path,
) -> None:
    gate = Gate()
    async with host(tmp_path, ScriptedProvider([gate])) as runtime:
        session = await runtime.sessions.create(
            "busy", location=tmp_path, model="scripted/model"
        )
        await session.prompt("say it")
        with anyio.fail_after(HANG):
            await gate.reached()
            with pytest.raises(SessionBusyError):
                await runtime.sessions.remove("busy")
            assert (await session.info()).id == "busy"
            done = await runtime.sessions.remove("busy", interrupt=True)
        assert done.sessions == ("busy",)
        with pytest.raises(SessionRemovedError):
            await session.info()


@pytest.mark.law("storage.12")
async def test_one_that_another_process_executes_stays(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        await runtime.sessions.create("theirs", location=tmp_path)
        now = runtime._log.clock.now()
        lease = LeaseRow("theirs", "another", 1, 1, 60_000, now)
        await runtime._log.store.transact(lambda tx: tx.put_lease(lease))
        for interrupt in (False, True):
            with pytest.raises(SessionBusyError):
                await runtime.sessions.remove("theirs", interrupt=interrupt)
        await runtime.sessions.get("theirs")


@pytest.mark.law("storage.12")
async def test_those_that_work_for_it_go_with_it_and_are_told_why(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        make = runtime.sessions.create
        await make("top", location=tmp_path)
        await make("child", location=tmp_path, parent="top")
        await make("grandchild", location=tmp_path, parent="child")
        await make("other", location=tmp_path)

        done = await runtime.sessions.remove("top")

        assert set(done.sessions) == {"top", "child", "grandchild"}
        assert done.sessions[0] == "top"
        assert [one.id for one in (await runtime.sessions.list()).items] == ["other"]
        told = {
            item.event.session_id: item.event.cause
            async for item in runtime.events()
            if isinstance(item.event, SessionRemoved)
        }
        assert told["top"] is None
        assert told["child"] == "top"
        assert told["grandchild"] in ("top", "child")


@pytest.mark.law("storage.12")
@pytest.mark.law("travel.3")
async def test_a_past_that_forks_share_goes_only_together_with_them(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, ScriptedProvider(text("a"))) as runtime:
        origin = await talked(runtime, tmp_path, "origin")
        fork = await origin.fork(id="fork")
        with pytest.raises(SessionSharedError):
            await runtime.sessions.remove("origin")
        assert len(await fork.messages()) == len(await origin.messages()) > 0

        again = await origin.fork(id="again")
        await runtime.sessions.remove("again")  # what is shared stays
        assert len(await fork.messages()) > 0
        with pytest.raises(SessionRemovedError):
            await again.info()

        exported = [one async for one in fork.export()]
        done = await runtime.sessions.remove("origin", with_forks=True)
        assert done.sessions == ("origin", "fork")
        # One of the same past under another name finds no past here.
        elsewhere = [
            attrs.evolve(one, session_id="elsewhere", hash=None) for one in exported
        ]
        await runtime.sessions.replay(elsewhere)
        with pytest.raises(SessionPastMissingError):
            await (await runtime.sessions.get("elsewhere")).messages()


@pytest.mark.law("storage.12")
async def test_a_replica_stays_and_a_removal_is_not_carried_by_an_import(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create("one", location=tmp_path)
        head = [event async for event in session.events()][-1].seq
        crafted = ExportedEvent("one", head + 1, "session.removed", 1, 1, {})
        with pytest.raises(EventLogError):
            await runtime.sessions.replay([crafted])
        await runtime.sessions.claim("one", "elsewhere")
        with pytest.raises(EventOwnerError):
            await runtime.sessions.remove("one")
        assert (await session.info()).id == "one"


@pytest.mark.law("storage.12")
async def test_what_waits_in_it_and_its_own_approvals_are_gone_with_it(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create("one", location=tmp_path)
        await session.prompt("later", resume=False)
        log = runtime._log

        def approving(tx: Transaction) -> None:
            for number, scope in enumerate(("session", "location")):
                values = (f"apr_{number}", str(tmp_path), None, None, "bash", "exact")
                tx.put_approval(
                    ApprovalRow(
                        *values,
                        f"{SECRET} {scope}",
                        "me",
                        3,
                        None,
                        session_id="one",
                        scope=scope,  # type: ignore[arg-type]
                    )
                )

        await log.store.transact(approving)
        assert "one" in await log.read(lambda rows: rows.sessions_with_work())
        await runtime.sessions.remove("one")
        assert not await log.read(lambda rows: rows.sessions_with_work())
        saved = await log.read(lambda rows: rows.approvals(str(tmp_path)))
        assert [one.scope for one in saved] == ["location"]


@pytest.mark.law("storage.13")
async def test_what_it_held_is_in_no_file_of_the_store_and_what_others_hold_is(
    tmp_path: Path,
) -> None:
    shared = "kept by two " * 3_000
    folder = tmp_path / "work"
    folder.mkdir()
    provider = ScriptedProvider(*(text(f"{SECRET} it is") for _ in range(2)))
    async with host(tmp_path, provider) as runtime:
        await talked(runtime, folder, "gone", BLOCK, title=SECRET)
        session = await runtime.sessions.get("gone")
        await session.prompt(Prompt(shared), resume=False)
        await session.prompt(SECRET, key=f"key-{SECRET}", resume=False)
        other = await runtime.sessions.create("other", location=folder)
        await other.prompt(shared, resume=False)
        assert holds(tmp_path, SECRET)

        done = await runtime.sessions.remove("gone")

        assert done.disk_after < done.disk_before
        assert not await left(runtime)
        assert holds(tmp_path, SECRET) == []
        [waiting] = await other.pending()
        assert waiting.prompt.text == shared
        assert all(one.sound for one in await runtime.sessions.verify())
    assert holds(tmp_path, SECRET) == []


@pytest.mark.law("storage.13")
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_what_a_process_left_of_it_is_deleted_by_the_next_one(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends after any number of parts leaves a store without gaps."""
    monkeypatch.setattr(removal, "ROWS", 7)
    medium = Medium(kind, tmp_path)
    parts = 0
    while True:
        name = f"gone-{parts}"
        async with medium.open() as store:
            log = EventLog(store, ManualClock())
            for event in conversation(name):
                await log.append(event)
            await log.commit(
                lambda tx, name=name: removal.remove(  # type: ignore[misc]
                    tx, name, with_forks=False
                )
            )
            more = True
            for _ in range(parts):
                more = await log.commit(
                    lambda tx, name=name: tx.rows.erase(name, 7)  # type: ignore[misc]
                )
        async with medium.open() as store:
            log = EventLog(store, ManualClock())
            found = await log.read(lambda rows: rows.all_events(limit=10_000))
            mine = [one for one in found if one.session_id == name]
            assert [one.kind for one in mine] == ["session.removed"]
            head = await log.read(lambda rows, name=name: rows.head(name))  # type: ignore[misc]
            assert head is not None
            assert (head.removed, head.seq) == (True, mine[0].seq)
            assert await removal.erase(log) == more
            assert not await removal.erase(log)
            events = await log.read(lambda rows, name=name: rows.events(name))  # type: ignore[misc]
            assert [one.seq for one in events] == [head.seq]
            counts = await log.read(lambda rows, name=name: rows.counts(name))  # type: ignore[misc]
            assert {counts.messages, counts.settled, counts.pending} == {0}
        if not more:
            break
        parts += 1
    assert parts > 3


@pytest.mark.law("storage.13")
async def test_a_runtime_goes_on_with_what_an_earlier_one_left(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider(text("a"))) as runtime:
        await talked(runtime, tmp_path, "gone", BLOCK)
        await runtime._log.commit(
            lambda tx: removal.remove(tx, "gone", with_forks=False)  # type: ignore[arg-type]
        )
        assert await left(runtime) == ["gone"]
    async with host(tmp_path, ScriptedProvider()) as runtime:
        with anyio.fail_after(HANG):
            while await left(runtime):
                await anyio.lowlevel.checkpoint()


@pytest.mark.law("storage.12")
async def test_a_log_that_is_damaged_can_be_removed(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider(text("a"), text("b"))) as runtime:
        await talked(runtime, tmp_path, "bad")
    harm(tmp_path / "test.db", "UPDATE event SET data = x'7b7d' WHERE seq = 3")
    async with host(tmp_path, ScriptedProvider()) as runtime:
        [found] = await runtime.sessions.verify()
        assert not found.sound
        await runtime.sessions.remove("bad")
        assert await runtime.sessions.verify() == []


def test_the_error_is_one_of_a_session_that_is_not_there() -> None:
    assert issubclass(SessionRemovedError, SessionNotFoundError)
    assert SessionRemovedError("one").code == "session.removed"


async def test_a_runtime_that_is_closed_at_once_says_nothing_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        async with host(tmp_path, ScriptedProvider()):
            pass
    assert [one.getMessage() for one in caplog.records] == []
