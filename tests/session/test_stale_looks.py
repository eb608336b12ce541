"""What was decided from an old look at a session is not done.

Between the look at a session and the first commit of an execution there is time: a
Location opens, sources are read. Another worker may come, work, and be lost meanwhile.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AgentProfile,
    ContextSource,
    Place,
    Register,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.scripted import Gate, ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import host, kinds_of


class Held:
    """A plugin that takes its time to say something about a place, which is asked for
    after the look, for a Step as for a report."""

    def __init__(self) -> None:
        self.gate = Gate()

    @hookimpl
    def dovetail_register_context(
        self, register: Register[ContextSource], place: Place
    ) -> None:
        register(ContextSource("test/held", self.observe))

    async def observe(self) -> None:
        await self.gate.pass_through()


@frozen
class Nothing:
    pass


@pytest.mark.law("inbox.6", "recovery.4", "context.1")
async def test_a_lease_that_ran_out_since_the_look_is_taken_over_with_a_report(
    tmp_path: Path,
) -> None:
    """The late one looked when nobody worked. Then another one began a Step, and to
    the late one it has been silent for longer than its lease."""
    clock, held, hanging = ManualClock(), Held(), Gate()
    provider = ScriptedProvider([hanging, *text("lost")])
    async with (
        host(tmp_path, provider, lease_seconds=3600) as other,
        host(tmp_path, provider, plugins=[held], clock=clock) as late,
    ):
        theirs = await other.sessions.create(
            id="mine", location=tmp_path, model=provider.model
        )
        mine = await late.sessions.get("mine")
        with anyio.fail_after(HANG):
            await mine.prompt("one", delivery="queue", resume=False)
            await mine.prompt("two", delivery="queue")
            await held.gate.reached()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(theirs.resume)
                await hanging.reached()
                assert await mine.held_until() is not None
                clock.advance(3601)
                held.gate.open()
                outcome = await mine.wait()
                kinds = await kinds_of(mine)
                hanging.open()
        assert outcome.status == "paused"
        assert "continuation.reported" in kinds
        # Nothing was promoted into the Step that the other one left open.
        assert kinds.count("prompt.promoted") == kinds.count("step.started") == 1
        assert kinds.count("context.epoch_started") == 1


@pytest.mark.law("recovery.2", "tools.1", "tools.2")
@pytest.mark.parametrize("ends", [False, True])
async def test_what_a_worker_did_after_its_lease_ran_out_is_taken_over_too(
    tmp_path: Path, ends: bool
) -> None:
    """A lease that ran out and that nobody took is still a right to append. What came
    between the look of the one that takes over and its first commit counts."""
    clock, held, hanging, busy = ManualClock(), Held(), Gate(), Gate()
    provider = ScriptedProvider(
        [hanging, *calls(call("nothing", id="call_late"))], text("a"), text("b")
    )

    async def nothing(input: Nothing, context: ToolContext) -> str:
        if not ends:
            await busy.pass_through()
        return "nothing"

    tool = Tool("nothing", "Nothing.", Nothing, nothing)
    async with (
        host(tmp_path, provider, tool, lease_seconds=3600) as other,
        host(
            tmp_path, provider, tool, plugins=[held], clock=clock, resume="always"
        ) as late,
    ):
        theirs = await other.sessions.create(
            id="mine", location=tmp_path, model=provider.model
        )
        with anyio.fail_after(HANG):
            await theirs.prompt("one")
            await hanging.reached()
            mine = await late.sessions.get("mine")
            assert await mine.held_until() is not None
            clock.advance(3601)
            await mine.prompt("two")
            await held.gate.reached()
            # It knows what it found; now the other one comes back to life.
            hanging.open()
            if ends:
                await theirs.wait()
            else:
                await busy.reached()
            held.gate.open()
            await mine.wait()
            busy.open()
            await theirs.wait()
        kinds = await kinds_of(mine)
        # Nothing was left by one that came to its end.
        assert ("continuation.reported" in kinds) == (not ends)
        settled = kinds.count("tool.succeeded") + kinds.count("tool.failed")
        assert kinds.count("tool.called") == settled == 1
        assert kinds.count("step.started") == kinds.count("step.ended") + kinds.count(
            "step.failed"
        )
        for messages in provider.histories:
            for message in messages:
                assert all(part.settled for part in getattr(message, "calls", ()))


class Opening:
    """A plugin whose Location opens with an agent at first, and without it then, which
    takes its time."""

    name = "opening"

    def __init__(self) -> None:
        self.gate = Gate()
        self.closed = anyio.Event()
        self._times = 0

    @hookimpl
    def dovetail_open_location(self, place: Place) -> object:
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[int]:
        self._times += 1
        if self._times > 1:
            await self.gate.pass_through()
        yield self._times
        self.closed.set()

    @hookimpl
    def dovetail_register_agents(
        self, register: Register[AgentProfile], place: Place
    ) -> None:
        register(AgentProfile("plain", instructions="Be plain."))
        if place.resource == 1:
            register(AgentProfile("worker", instructions="Work."))


@pytest.mark.law("execution.13")
@pytest.mark.parametrize("switched", [True, False])
async def test_a_failure_before_the_first_step_is_an_end_only_where_nothing_moved(
    tmp_path: Path, switched: bool
) -> None:
    """What a process knows of a session that it ran before is enough to begin with. It
    is no reason to end: another process may have mended meanwhile what failed."""
    provider, opening = ScriptedProvider(text("a"), text("b")), Opening()
    async with (
        host(tmp_path, provider) as other,
        host(tmp_path, provider, plugins=[opening], location_idle_seconds=0) as mine,
    ):
        session = await mine.sessions.create(
            location=tmp_path, model=provider.model, agent="worker"
        )
        theirs = await other.sessions.get(session.id)
        with anyio.fail_after(HANG):
            await session.prompt("one")
            assert (await session.wait()).succeeded
            await opening.closed.wait()
            await session.prompt("two")
            await opening.gate.reached()
            if switched:
                await theirs.switch_agent("plain")
            opening.gate.open()
            outcome = await session.wait()
        kinds = await kinds_of(session)
        assert outcome.status == ("succeeded" if switched else "failed")
        assert kinds.count("execution.ended") == 2
        assert kinds.count("prompt.promoted") == (2 if switched else 1)


@pytest.mark.law("execution.13", "execution.2")
async def test_a_worker_that_came_after_a_prompt_is_found_by_whoever_admitted_it(
    tmp_path: Path,
) -> None:
    """Who ran a session last and knows what waits in it begins without looking. Where
    another worker was quicker, it stands by, and tells how that one ended it."""
    provider, held, answer = ScriptedProvider(text("a")), Held(), Gate()
    quicker = ScriptedProvider([answer, *text("theirs")])
    async with (
        host(tmp_path, quicker) as other,
        host(tmp_path, provider, plugins=[held]) as mine,
    ):
        session = await mine.sessions.create(location=tmp_path, model=provider.model)
        theirs = await other.sessions.get(session.id)
        with anyio.fail_after(HANG):
            held.gate.open()
            await session.prompt("one")
            assert (await session.wait()).succeeded
            held.gate = Gate()
            await session.prompt("two")
            await held.gate.reached()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(theirs.resume)
                await answer.reached()
                held.gate.open()
                tasks.start_soon(session.wait)
                answer.open()
            outcome = await session.wait()
        kinds = await kinds_of(session)
        assert outcome.succeeded
        assert kinds.count("execution.started") == kinds.count("execution.ended") == 2
        assert len(provider.histories) == len(quicker.histories) == 1
