"""Forks share a past by reference, and nothing of what goes on."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    Budget,
    EventDamagedError,
    EventDivergedError,
    ForkPointError,
    InvalidValueError,
    MessageNotFoundError,
    Runtime,
    Session,
    SessionPastMissingError,
    SessionSharedError,
    Tool,
    ToolContext,
)
from dovetail.kernel.testing.scripted import (
    Gate,
    ScriptedProvider,
    call,
    calls,
    finish,
    text,
)
from hypothesis import HealthCheck, given, settings, strategies as st
from support.bounds import HANG
from support.hosts import host, kinds_of
from support.wire import Wire


@frozen
class Echo:
    text: str


async def _echo(input: Echo, context: ToolContext) -> str:
    return f"echo {input.text}"


ECHO = Tool("echo", "Echo a text.", Echo, _echo, effect="pure")


async def say(session: Session, words: str) -> None:
    await session.prompt(words)
    with anyio.fail_after(HANG):
        await session.wait()


async def said(session: Session) -> list[str]:
    """Return what the model would be sent, in words."""
    return [one.text for one in await session.history()]


async def listed(session: Session, order: Any = "asc", limit: int = 2) -> list[Any]:
    """Return the transcript by small pages."""
    found: list[Any] = []
    cursor = None
    while True:
        page = await session.messages(limit=limit, cursor=cursor, order=order)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


async def started(runtime: Runtime, folder: Path, *words: str) -> Session:
    session = await runtime.sessions.create("s", location=folder, model="scripted/m")
    for one in words:
        await say(session, one)
    return session


@pytest.mark.law("travel.3")
async def test_a_fork_shares_the_past_and_not_the_future(tmp_path: Path) -> None:
    provider = Wire("openai-chat", *(text(f"A{n}") for n in range(5)))
    async with host(tmp_path, provider) as runtime:
        origin = await started(runtime, tmp_path, "one", "two")
        first = (await listed(origin))[1]
        fork = await origin.fork(first.id)
        assert await kinds_of(fork) == ["session.created"]

        await say(fork, "other")
        await say(origin, "three")
        assert await said(fork) == ["one", "A0", "other", "A2"]
        assert await said(origin) == ["one", "A0", "two", "A1", "three", "A3"]
        # The request of the fork goes on from what the origin sent, byte for byte.
        assert provider.bodies[2].startswith(provider.bodies[0][:-2])

    # And so it is for whoever reads it again.
    async with host(tmp_path, ScriptedProvider()) as runtime:
        fork = await runtime.sessions.get(fork.id)
        assert await said(fork) == ["one", "A0", "other", "A2"]
        whole = await listed(fork)
        assert [one.text for one in whole] == ["one", "A0", "other", "A2"]
        assert list(reversed(whole)) == await listed(fork, "desc", limit=3)
        numbers = [one.seq for one in whole]
        assert numbers == sorted(numbers)
        assert [one.seq < 0 for one in whole] == [True, True, False, False]
        assert [one.seq for one in await fork.history()] == numbers
        for one in whole:
            assert await fork.message(one.id) == one
        # What came after the fork is of the origin alone.
        with pytest.raises(MessageNotFoundError):
            await fork.message((await listed(await runtime.sessions.get("s")))[3].id)


@pytest.mark.law("travel.3")
async def test_a_fork_of_a_fork_and_one_that_adds_nothing(tmp_path: Path) -> None:
    provider = ScriptedProvider(*(text(f"A{n}") for n in range(5)))
    async with host(tmp_path, provider) as runtime:
        origin = await started(runtime, tmp_path, "one", "two")
        fork = await origin.fork()
        await say(fork, "three")
        second = await fork.fork()
        await say(second, "four")
        await say(fork, "five")
        assert await said(second) == [
            *("one", "A0", "two", "A1", "three", "A2", "four", "A3")
        ]
        assert [one.session_id for one in await second.lineage()] == ["s", fork.id]
        assert [one.text for one in await listed(second)] == await said(second)

        # One that goes back into the shared past is a fork of that session itself.
        third = await second.fork((await listed(second))[1].id)
        fourth = await third.fork(0)
        for one in (third, fourth):
            assert (await one.info()).forked_from == "s"
            assert await said(one) == ["one", "A0"]
        assert [one.sound for one in await runtime.sessions.verify()] == [True] * 5


@pytest.mark.law("travel.3")
async def test_what_is_under_way_is_not_taken_over(tmp_path: Path) -> None:
    gate = Gate()
    provider = ScriptedProvider(text("A0"), [*text("A")[:1], gate, finish()])
    async with host(tmp_path, provider) as runtime:
        origin = await runtime.sessions.create(
            "s", location=tmp_path, model="scripted/m", budget=Budget(steps=2)
        )
        await say(origin, "one")
        await origin.prompt("two")
        with anyio.fail_after(HANG):
            await gate.reached()
        await origin.prompt("later", delivery="queue")

        fork = await origin.fork()
        # The Step that runs is left out, and the question that it answers is not.
        assert await said(fork) == ["one", "A0", "two"]
        assert await fork.pending() == []
        assert (await fork.info()).status == "idle"
        assert await fork.held_until() is None
        assert await fork.jobs() == []
        gate.open()
        with anyio.fail_after(HANG):
            await origin.wait()
        # It has no budget but its own.
        provider.then(text("A1"), text("A2"), text("A3"))
        for words in ("go on", "and on", "and on"):
            await say(fork, words)
        assert (await fork.info()).steps == 3
        assert (await said(fork))[:3] == ["one", "A0", "two"]


@pytest.mark.law("travel.3")
async def test_the_middle_of_a_step_is_refused_with_the_nearest_boundary(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(calls(call("echo", {"text": "a"})), text("A"))
    async with host(tmp_path, provider, ECHO) as runtime:
        origin = await started(runtime, tmp_path, "one")
        kinds = await kinds_of(origin)
        inside = kinds.index("tool.called")
        with pytest.raises(ForkPointError) as caught:
            await origin.fork(inside)
        assert kinds[caught.value.nearest + 1] == "step.started"
        fork = await origin.fork(caught.value.nearest)
        assert await said(fork) == ["one"]
        # Each end of a Step is one.
        assert (await origin.fork(kinds.index("step.ended"))).id
        for wrong in (-1, len(kinds)):
            with pytest.raises(ForkPointError):
                await origin.fork(wrong)
        for kind in (True, 1.5):
            with pytest.raises(InvalidValueError):
                await origin.fork(kind)  # type: ignore[arg-type]
        with pytest.raises(MessageNotFoundError):
            await origin.fork("msg_nobody")


@pytest.mark.law("travel.3")
async def test_forking_again_under_an_id_is_forking_once(tmp_path: Path) -> None:
    provider = ScriptedProvider(text("A0"), text("A1"))
    async with host(tmp_path, provider) as runtime:
        origin = await started(runtime, tmp_path, "one")
        fork = await origin.fork(id="f", title="A fork")
        await say(fork, "two")
        again = await origin.fork(0, id="f", title="Another")
        assert await said(again) == ["one", "A0", "two", "A1"]
        assert (await again.info()).title == "A fork"


@pytest.mark.law("travel.3")
async def test_a_fork_is_set_as_its_origin_was_at_that_point(tmp_path: Path) -> None:
    provider = ScriptedProvider(text("A0"), text("A1"))
    async with host(tmp_path, provider) as runtime:
        origin = await started(runtime, tmp_path, "one")
        before = (await listed(origin))[-1].id
        await origin.switch_model("scripted/other")
        await origin.switch_agent("plan")
        then = await (await origin.fork(before)).info()
        now = await (await origin.fork()).info()
        assert (then.model, then.agent) == ("scripted/m", None)
        assert (now.model, now.agent) == ("scripted/other", "plan")


@pytest.mark.law("travel.3")
@pytest.mark.law("events.9")
async def test_a_past_that_was_changed_is_found_from_the_fork(tmp_path: Path) -> None:
    import sqlite3

    provider = ScriptedProvider(text("A0"), text("A1"))
    async with host(tmp_path, provider) as runtime:
        origin = await started(runtime, tmp_path, "one")
        fork = await origin.fork()
        await say(fork, "two")
    with sqlite3.connect(tmp_path / "test.db") as connection:
        connection.execute(
            "UPDATE event SET data = replace(data, 'one', 'two') "
            "WHERE kind = 'prompt.admitted' AND seq = 1 AND aggregate = 1"
        )
    connection.close()
    async with host(tmp_path, ScriptedProvider()) as runtime:
        (found,) = await runtime.sessions.verify(fork.id)
        assert not found.sound
        assert found.first_bad is None
        assert found.past is not None
        assert "event 1 of 's'" in found.past.message
        fork = await runtime.sessions.get(fork.id)
        with pytest.raises(EventDamagedError):
            await fork.history()


@pytest.mark.law("travel.3")
@pytest.mark.law("events.11")
async def test_a_fork_travels_without_its_past_and_needs_it_there(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(*(text(f"A{n}") for n in range(4)))
    async with host(tmp_path, provider) as runtime:
        origin = await started(runtime, tmp_path, "one")
        fork = await origin.fork(id="f")
        await say(fork, "two")
        logs = {
            name: [one async for one in (await runtime.sessions.get(name)).export()]
            for name in ("s", "f")
        }
    there = tmp_path / "there"
    there.mkdir()
    async with host(there, provider) as runtime:
        await runtime.sessions.replay(logs["f"])
        moved = await runtime.sessions.get("f")
        with pytest.raises(SessionPastMissingError, match="import"):
            await moved.history()
        with pytest.raises(SessionPastMissingError):
            await moved.messages()
        (found,) = await runtime.sessions.verify("f")
        assert found.sound
        assert found.past is not None

        await runtime.sessions.replay(logs["s"])
        assert await said(moved) == ["one", "A0", "two", "A1"]
        assert [one.past for one in await runtime.sessions.verify()] == [None, None]
        await say(moved, "three")
        assert (await said(moved))[-2:] == ["three", "A2"]

    other = tmp_path / "other"
    other.mkdir()
    async with host(other, provider) as runtime:
        await started(runtime, other, "something else")
        await runtime.sessions.replay(logs["f"])
        with pytest.raises(EventDivergedError):
            await (await runtime.sessions.get("f")).history()
        (found,) = await runtime.sessions.verify("f")
        assert not found.sound


@pytest.mark.law("travel.3")
@pytest.mark.law("storage.4")
async def test_what_forks_share_is_removed_only_with_them(tmp_path: Path) -> None:
    provider = ScriptedProvider(text("A0"), text("A1"), text("A2"))
    async with host(tmp_path, provider) as runtime:
        origin = await started(runtime, tmp_path, "one")
        fork = await origin.fork()
        await say(fork, "two")
        with pytest.raises(SessionSharedError) as caught:
            await runtime.sessions.prune("s", ("transcript",))
        assert caught.value.forks == (fork.id,)
        assert await said(fork) == ["one", "A0", "two", "A1"]
        # What only operators look at is nobody's past.
        await runtime.sessions.prune("s")
        # A fork's own part is its own.
        await runtime.sessions.prune(fork.id, ("transcript",))
        assert await said(fork) == ["one", "A0", "[removed]", "[removed]"]

        await runtime.sessions.prune("s", ("transcript",), with_forks=True)
        assert await said(fork) == ["[removed]"] * 4
        assert [one.sound for one in await runtime.sessions.verify()] == [True, True]
        await say(fork, "three")
        assert (await said(fork))[-2:] == ["three", "A2"]


@pytest.mark.law("travel.3")
async def test_the_rows_of_a_fork_can_be_made_anew(tmp_path: Path) -> None:
    provider = ScriptedProvider(text("A0"), text("A1"))
    async with host(tmp_path, provider) as runtime:
        origin = await started(runtime, tmp_path, "one")
        fork = await origin.fork()
        await say(fork, "two")
        before = await fork.info()
        await runtime.sessions.rebuild()
        assert await fork.info() == before
        assert await said(fork) == ["one", "A0", "two", "A1"]


@pytest.mark.law("travel.3")
async def test_a_thousand_forks_of_a_long_session_add_one_event_each(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(*(text(f"A{n}") for n in range(41)))
    async with host(tmp_path, provider) as runtime:
        origin = await started(runtime, tmp_path, *("go on" for _ in range(40)))
        forks = [await origin.fork() for _ in range(1000)]
        for fork in forks[::250]:
            assert await kinds_of(fork) == ["session.created"]
            assert len(await fork.history()) == 80
        await say(forks[-1], "go on")
        assert len(await forks[-1].history()) == 82
        assert len(await forks[-2].history()) == 80


POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 60)), max_size=6)


@pytest.mark.law("travel.3")
@pytest.mark.law("travel.1")
@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(points=POINTS)
def test_any_tree_of_forks_reads_as_if_each_were_alone(
    tmp_path_factory: pytest.TempPathFactory, points: list[tuple[int, int]]
) -> None:
    anyio.run(_tree, tmp_path_factory.mktemp("s"), points)


async def _tree(folder: Path, points: list[tuple[int, int]]) -> None:
    provider = Wire("anthropic-messages")
    expected: list[list[str]] = []
    sessions: list[Session] = []
    async with host(folder, provider, ECHO) as runtime:

        async def talk(which: int) -> None:
            number = len(provider.bodies)
            provider.then(
                calls(call("echo", {"text": "a"}, id=f"c{number}")), text(f"A{number}")
            )
            await say(sessions[which], f"P{number}")
            expected[which] += [f"P{number}", "", f"A{number}"]

        sessions.append(
            await runtime.sessions.create(location=folder, model=provider.model)
        )
        expected.append([])
        await talk(0)
        for which, at in points:
            which %= len(sessions)
            count = at % (len(expected[which]) + 1)
            whole = await sessions[which].history()
            where: Any = whole[count - 1].id if count else 0
            if not count and await sessions[which].lineage():
                continue
            sessions.append(await sessions[which].fork(where))
            expected.append(expected[which][:count])
            await talk(len(sessions) - 1)
            await talk(which)
    async with host(folder, Wire("anthropic-messages"), ECHO) as runtime:
        for one, words in zip(sessions, expected, strict=True):
            session = await runtime.sessions.get(one.id)
            assert await said(session) == words
            assert [m.text for m in await listed(session)] == words
            for request in await session.requests():
                assert (await session.request(request.number)).proven
        assert all(one.sound for one in await runtime.sessions.verify())
