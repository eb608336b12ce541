"""What an application does to the logs of its sessions, through the runtime."""

from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from dovetail.kernel import (
    CursorInvalidError,
    EventOwnerError,
    ExportedEvent,
    RuntimeClosedError,
    Session,
    SessionBusyError,
    SessionNotFoundError,
    TextDelta,
)
from dovetail.kernel.testing.scripted import Gate, ScriptedProvider, finish, text
from support.bounds import HANG
from support.damage import harm
from support.hosts import host, kinds_of

TEXT = "the quick brown fox"


async def talked(runtime: object, folder: Path, id: str, model: str) -> Session:
    session: Session = await runtime.sessions.create(  # type: ignore[attr-defined]
        id, location=folder, model=model
    )
    await session.prompt("say it", key="once")
    with anyio.fail_after(HANG):
        assert (await session.wait()).succeeded
    return session


@pytest.mark.law("events.5")
async def test_one_tail_shows_all_sessions_and_goes_on_from_its_cursor(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("a"), text("b"))
    async with host(tmp_path, provider) as runtime:
        with pytest.raises(CursorInvalidError):
            runtime.events(after=-7)
        one = await talked(runtime, tmp_path, "one", provider.model)
        items = [item async for item in runtime.events()]
        two = await talked(runtime, tmp_path, "two", provider.model)
        rest = [item async for item in runtime.events(after=items[-1].cursor)]

        assert [item.event for item in items] == [e async for e in one.events()]
        assert [item.event for item in rest] == [e async for e in two.events()]
        with anyio.fail_after(HANG):
            async with runtime.events(rest[-1].cursor, follow=True) as tail:
                await one.rename("new")
                assert (await anext(tail)).event.session_id == "one"
    with pytest.raises(RuntimeClosedError):
        runtime.events()


@pytest.mark.law("inbox.3")
async def test_a_session_moves_to_another_store_and_goes_on_there(
    tmp_path: Path,
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    provider = ScriptedProvider(text(TEXT), text("and more"))
    async with host(here, provider) as old, host(there, provider) as new:
        session = await talked(old, here, "mine", provider.model)
        receipt = await session.prompt("say it", key="once", resume=False)
        done = await new.sessions.replay(session.export(), owner="old")
        assert done is not None
        assert done.accepted == done.seq + 1
        again = await new.sessions.replay(session.export(), owner="old")
        assert again is not None
        assert again.accepted == 0

        moved = await new.sessions.get("mine")
        assert await moved.history() == await session.history()
        with pytest.raises(EventOwnerError):
            await moved.prompt("no")
        with pytest.raises(EventOwnerError):
            await moved.rename("no")
        await new.sessions.release("mine")
        await old.sessions.claim("mine", "new")
        with pytest.raises(EventOwnerError):
            await session.prompt("no")

        # The same key and words have the receipt that the other store gave.
        assert await moved.prompt("say it", key="once", resume=False) == receipt
        await moved.prompt("go on")
        with anyio.fail_after(HANG):
            assert (await moved.wait()).succeeded
        assert [m.text for m in await moved.history()][-1] == "and more"  # type: ignore[union-attr]
        # And the origin, a replica now, takes what was added.
        back = await old.sessions.replay(moved.export(after=done.seq), owner="new")
        assert back is not None
        assert back.accepted > 3
        assert await session.history() == await moved.history()
        assert await new.sessions.replay([]) is None


async def test_nothing_is_done_to_a_session_that_runs(tmp_path: Path) -> None:
    gate = Gate()
    provider = ScriptedProvider([TextDelta("0", "a"), gate, finish()])
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            "mine", location=tmp_path, model=provider.model
        )
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            events = [event async for event in session.export()]
            for act in (
                runtime.sessions.prune("mine"),
                runtime.sessions.repair("mine"),
                runtime.sessions.claim("mine", "x"),
                runtime.sessions.replay(events),
            ):
                with pytest.raises(SessionBusyError):
                    await act
            [found] = await runtime.sessions.verify("mine")
            assert found.sound
            gate.open()
            assert (await session.wait()).succeeded


@pytest.mark.law("storage.4")
@pytest.mark.law("inbox.3")
async def test_a_pruned_session_shows_what_is_left_and_goes_on(tmp_path: Path) -> None:
    provider = ScriptedProvider(text(TEXT), text("fine"))
    async with host(tmp_path, provider) as runtime:
        session = await talked(runtime, tmp_path, "mine", provider.model)
        receipt = await session.prompt("say it", key="once", resume=False)
        done = await runtime.sessions.prune("mine", ("transcript",))
        assert done.events >= 2
        assert [message.text for message in await session.history()] == [  # type: ignore[union-attr]
            "[removed]",
            "[removed]",
        ]
        assert (await kinds_of(session))[-1] == "session.pruned"
        # The key is known for ever.
        assert await session.prompt("say it", key="once", resume=False) == receipt
        await session.prompt("go on")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        # The model was not sent what is gone, although it was in memory before.
        sent = [getattr(message, "text", "") for message in provider.histories[-1]]
        assert TEXT not in sent
        assert sent[:2] == ["[removed]", "[removed]"]
        assert [v.sound for v in await runtime.sessions.verify()] == [True]
        before = await session.messages()
        assert await runtime.sessions.rebuild() == len(await kinds_of(session))
        assert (await session.messages()).items == before.items


@pytest.mark.law("events.9")
async def test_a_damaged_session_is_repaired_while_it_is_open(tmp_path: Path) -> None:
    provider = ScriptedProvider(text(TEXT), text("b"), text("again"))
    async with host(tmp_path, provider) as runtime:
        sound = await talked(runtime, tmp_path, "sound", provider.model)
        session = await talked(runtime, tmp_path, "mine", provider.model)
        kinds = await kinds_of(session)
        bad = kinds.index("text.ended")
        harm(
            tmp_path / "test.db",
            f"UPDATE event SET data = x'7b7d' WHERE seq = {bad} AND aggregate = 2",
        )
        found = {one.session_id: one for one in await runtime.sessions.verify()}
        assert (found["sound"].first_bad, found["mine"].first_bad) == (None, bad)

        done = await runtime.sessions.repair("mine")
        assert done.set_aside == len(kinds) - bad
        assert (await kinds_of(session))[:bad] == kinds[:bad]
        [again] = await runtime.sessions.verify("mine")
        assert again.sound
        assert await runtime.sessions.repair("sound") is not None
        assert await kinds_of(sound)

        # What was cut off is told to the model like what a crash cut off.
        with anyio.fail_after(HANG):
            report = await session.continuation()
            assert (await session.resume(accept=report.digest)).succeeded
        texts = [getattr(message, "text", "") for message in await session.history()]
        assert texts[0] == "say it"
        assert texts[-1] == "again"
        assert (await runtime.sessions.verify("mine"))[0].sound


async def test_unknown_sessions_are_refused(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        for act in (
            runtime.sessions.verify("nobody"),
            runtime.sessions.repair("nobody"),
            runtime.sessions.rebuild("nobody"),
            runtime.sessions.prune("nobody"),
            runtime.sessions.claim("nobody", "x"),
            runtime.sessions.release("nobody"),
        ):
            with pytest.raises(SessionNotFoundError):
                await act
        assert await runtime.sessions.verify() == []
        assert await runtime.sessions.rebuild() == 0


async def test_a_replay_that_its_source_breaks_off_writes_nothing(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("a"))
    async with host(tmp_path, provider) as runtime:
        session = await talked(runtime, tmp_path, "mine", provider.model)
        events = [event async for event in session.export()]
    other = tmp_path / "other"
    other.mkdir()

    async def broken() -> AsyncIterator[ExportedEvent]:
        yield events[0]
        yield events[1]
        raise LookupError

    async with host(other, provider) as runtime:
        with pytest.raises(LookupError):
            await runtime.sessions.replay(broken())
        with pytest.raises(SessionNotFoundError):
            await runtime.sessions.get("mine")
