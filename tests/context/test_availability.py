"""A source that breaks after the first Step is named where people look, once."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    AvailabilityChanged,
    CompactionEnded,
    ContextUpdated,
    LeftOut,
    NoticeMessage,
    Observation,
    Session,
)
from dovetail.kernel.context.algebra import Absent, Observed, Snapshot, Unavailable
from dovetail.kernel.context.availability import LONGEST_REASON, Availability
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.kernel.testing.memory_store import MemoryState
from dovetail.kernel.values.ids import SessionId
from hypothesis import given, strategies as st
from support.bounds import HANG
from support.compactions import shipped
from support.crashes import copied, on
from support.hosts import host
from support.worlds import AWAY, World

ONE = "t/one"


async def asked(session: Session, words: str) -> None:
    with anyio.fail_after(HANG):
        await session.prompt(words)
        assert (await session.wait()).succeeded


async def changed(session: Session) -> list[AvailabilityChanged]:
    return [e async for e in session.events() if isinstance(e, AvailabilityChanged)]


def answers(count: int) -> ScriptedProvider:
    return ScriptedProvider(*(text(f"answer {number}") for number in range(count)))


@pytest.mark.law("context.24")
@pytest.mark.law("context.2")
@pytest.mark.parametrize("error", [AWAY, LookupError("bad")], ids=["says", "breaks"])
async def test_what_breaks_within_an_epoch_is_named_once_and_when_it_is_back(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(one=Observation("One."), two=Observation("Two."))
    model = answers(7)
    async with host(tmp_path, model, plugins=[world]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "one")
        assert await changed(session) == []

        world.now["one"] = error
        await asked(session, "two")
        await asked(session, "three")
        [gone] = await changed(session)
        [(key, why)] = gone.unavailable.items()
        assert (key, why.plugin, gone.ended) == (ONE, "world", ())
        assert why.reason in ("not now", "LookupError: bad")
        assert caplog.text.count("goes on without context source 't/one'") == 1
        [epoch] = await session.context()
        [now] = epoch.away
        assert (now.key, now.seq, now.created) == (ONE, gone.seq, gone.created)
        assert epoch.left_out == {}

        world.now["one"] = LookupError("for another reason")
        await asked(session, "four")
        assert len(await changed(session)) == 1

        world.now["one"] = Observation("One.")
        await asked(session, "five")
        await asked(session, "six")
        [_, back] = await changed(session)
        assert (back.unavailable, back.ended) == ({}, (ONE,))
        [epoch] = await session.context()
        [over] = epoch.unavailable
        assert (over.seq, over.ended, epoch.away) == (gone.seq, back.seq, ())

        # Nothing of it is told to the model, and nothing was removed.
        assert not any(isinstance(one, NoticeMessage) for one in model.histories[-1])
        world.now["one"] = Observation("One and more.")
        await asked(session, "seven")
        updates = [e async for e in session.events() if isinstance(e, ContextUpdated)]
        assert [one.text for one in updates] == ["One and more."]


@pytest.mark.law("context.24")
async def test_another_worker_names_it_no_second_time(tmp_path: Path) -> None:
    state = MemoryState()
    world = World(one=Observation("One."))
    model = answers(2)
    async with on(state, plugins=[model, world]) as runtime:
        session = await runtime.sessions.create(
            id="it", location=tmp_path, model=model.model
        )
        await asked(session, "one")
        world.now["one"] = AWAY
        await asked(session, "two")
        state = copied(state)
    model, world = answers(1), World(one=AWAY)
    async with on(state, plugins=[model, world], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        await asked(session, "three")
        assert len(await changed(session)) == 1


@pytest.mark.law("context.24")
async def test_a_new_epoch_names_what_is_missing_in_its_beginning(
    tmp_path: Path,
) -> None:
    world = World(one=Observation("One."))
    model = ScriptedProvider(*map(text, ("a", "b", "## Goal\nTea", "c", "d")))
    async with host(tmp_path, model, plugins=[world, shipped]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "one")
        world.now["one"] = AWAY
        await asked(session, "two")
        await session.compact()
        with anyio.fail_after(HANG):
            await session.wait()
        ended = [e async for e in session.events() if isinstance(e, CompactionEnded)]
        assert len(ended) == 1
        await asked(session, "three")
        assert len(await changed(session)) == 1
        first, second = await session.context()
        assert [one.seq for one in second.unavailable] == [second.seq]
        assert [*second.left_out] == [ONE]
        assert first.away[0].ended is None

        # What was left out and has nothing to say is not missing any more.
        world.now["one"] = None
        await asked(session, "four")
        [_, over] = await changed(session)
        assert over.ended == (ONE,)
        assert (await session.context())[-1].away == ()


@pytest.mark.law("context.24")
async def test_a_source_that_goes_with_its_plugin_is_missing_no_more(
    tmp_path: Path,
) -> None:
    world = World(one=AWAY, two=Observation("Two."))
    model = answers(2)
    async with host(tmp_path, model, plugins=[world]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "one")
        await runtime.location(tmp_path).plugins.remove("world")
        await asked(session, "two")
        [gone] = await changed(session)
        assert (gone.unavailable, gone.ended) == ({}, (ONE,))


SESSION = SessionId("ses_1")
SAYS, GONE = Observed(Observation("One.")), Unavailable("not now", plugin="p")


def boundary(now: Availability, *results: Any) -> AvailabilityChanged | None:
    snapshot = Snapshot(dict.fromkeys([ONE], *results) if results else {})
    now.see(snapshot)
    event = now.due(snapshot, SESSION)
    if event is not None:
        now.apply(event)
    return event


@pytest.mark.law("context.24")
def test_a_source_that_comes_and_goes_all_the_time_is_named_a_few_times() -> None:
    now = Availability()
    events = [boundary(now, GONE if n % 2 else SAYS) for n in range(1000)]
    assert sum(one is not None for one in events) == 3
    assert [*now.unavailable] == [ONE]
    # Once it stays, that is said.
    assert sum(boundary(now, SAYS) is not None for _ in range(100)) == 1
    assert now.unavailable == {}


@given(st.lists(st.sampled_from([SAYS, GONE, Absent(), None]), max_size=300))
def test_each_is_named_before_it_is_over_and_never_twice(results: list[Any]) -> None:
    now, named, count = Availability(), False, 0
    for result in results:
        event = boundary(now, *([] if result is None else [result]))
        if event is not None:
            count += 1
            assert bool(event.unavailable) is not named
            assert bool(event.ended) is named
            named = not named
        assert named or result is not GONE
        assert result is not None or not named
    for _ in range(64):
        boundary(now, SAYS)
    assert now.unavailable == {}


def test_a_reason_is_recorded_without_keys_and_bounded() -> None:
    now = Availability()
    snapshot = Snapshot({ONE: Unavailable("sk-secret " + "x" * 10**6)})
    event = now.due(snapshot, SESSION, lambda said: said.replace("sk-secret", "***"))
    assert event is not None
    assert event.unavailable[ONE].reason.startswith("*** xxx")
    assert len(event.unavailable[ONE].reason) == LONGEST_REASON
    assert LeftOut(None, "") != event.unavailable[ONE]
