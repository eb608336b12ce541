"""What a plugin may cost in a Location, and what becomes of one that costs more."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    Event,
    HookLimits,
    LocationPlugin,
    ModelRequest,
    PluginDisabled,
    Runtime,
    Session,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing import ManualClock, ScriptedProvider, text
from support.bounds import HANG
from support.hosts import host

TIGHT = HookLimits(errors=2, window=10)


@frozen
class Nothing:
    """An input without fields."""


async def _execute(input: Nothing, context: ToolContext) -> str:
    return ""


class Observer:
    """A plugin that observes, and fails or lingers when it is told to."""

    name = "observer"

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock
        self.seconds = 0.0
        self.fails = False
        self.seen = 0

    @hookimpl
    def dovetail_register_tools(self, register: Any) -> None:
        register(Tool("mine", "Mine.", Nothing, _execute))

    @hookimpl
    def dovetail_observe_event(self, event: Event) -> None:
        self.seen += 1
        if self.clock is not None:
            self.clock.advance(self.seconds)
        if self.fails:
            raise LookupError("no luck")


class Guard:
    """A plugin that guards requests, and lingers."""

    name = "guard"

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    @hookimpl
    def dovetail_prepare_request(self, request: ModelRequest) -> None:
        self.clock.advance(2)


async def state_of(runtime: Runtime, folder: Path, name: str) -> LocationPlugin:
    (state,) = [
        one for one in await runtime.location(folder).plugins.list() if one.name == name
    ]
    return state


async def until(
    runtime: Runtime, folder: Path, name: str, state: str
) -> LocationPlugin:
    """Wait until a plugin is in a state: what is told, is told after the commit."""
    with anyio.fail_after(HANG):
        while (found := await state_of(runtime, folder, name)).state != state:
            await anyio.lowlevel.checkpoint()
    return found


async def notices_of(session: Session) -> list[PluginDisabled]:
    return [
        event async for event in session.events() if isinstance(event, PluginDisabled)
    ]


async def notice_of(session: Session) -> PluginDisabled:
    with anyio.fail_after(HANG):
        async for event in session.events(follow=True):
            if isinstance(event, PluginDisabled):
                return event
    raise AssertionError("unreachable")


async def run(runtime: Runtime, folder: Path, provider: ScriptedProvider) -> Session:
    session = await runtime.sessions.create(location=folder, model=provider.model)
    await session.prompt("go")
    with anyio.fail_after(HANG):
        await session.wait()
    return session


@pytest.mark.law("plugins.1")
@pytest.mark.law("plugins.6")
async def test_an_observer_that_keeps_failing_is_disabled_here_and_it_is_recorded(
    tmp_path: Path,
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    observer = Observer()
    provider = ScriptedProvider(text("a"), text("b"))
    async with host(
        tmp_path, provider, plugins=[observer], hook_limits=TIGHT
    ) as runtime:
        await runtime.location(there)
        observer.fails = True
        session = await run(runtime, here, provider)
        state = await until(runtime, here, "observer", "disabled")
        assert state.contributions == ()
        assert state.error == "dovetail_observe_event: 3 of its last 3 calls failed"
        assert state.errors == 3
        assert "LookupError: no luck" in (state.last_error or "")
        assert observer.seen == 3
        notice = await notice_of(session)
        assert notice.plugin == "observer"
        assert notice.failure.code == "plugin.disabled"
        assert await runtime.location(here).tools() == ()
        # What it did here costs it nothing there.
        observer.fails = False
        assert (await state_of(runtime, there, "observer")).state == "open"
        other = await run(runtime, there, provider)
        with anyio.fail_after(HANG):
            while observer.seen < 10:
                await anyio.lowlevel.checkpoint()
        assert await notices_of(other) == []
        assert len(await notices_of(session)) == 1


async def test_a_few_failures_among_many_calls_are_forgiven(tmp_path: Path) -> None:
    class Sometimes(Observer):
        @hookimpl
        def dovetail_observe_event(self, event: Event) -> None:
            self.seen += 1
            if self.seen % 5 == 0:
                raise LookupError("no luck")

    observer = Sometimes()
    provider = ScriptedProvider(*(text(str(at)) for at in range(8)))
    async with host(
        tmp_path, provider, plugins=[observer], hook_limits=TIGHT
    ) as runtime:
        for _ in range(8):
            await run(runtime, tmp_path, provider)
        with anyio.fail_after(HANG):
            while observer.seen < 60:
                await anyio.lowlevel.checkpoint()
        state = await state_of(runtime, tmp_path, "observer")
        assert (state.state, state.errors) == ("open", observer.seen // 5)


@pytest.mark.law("plugins.6")
@pytest.mark.parametrize(
    ("seconds", "limits", "why"),
    [
        (2.0, HookLimits(errors=2), "3 of its last 3 calls failed"),
        (0.9, HookLimits(seconds=2.0), "its last 3 calls took 2.7 s, and may take 2 s"),
    ],
)
async def test_a_hook_that_lingers_is_recorded_and_disabled(
    tmp_path: Path, seconds: float, limits: HookLimits, why: str
) -> None:
    clock = ManualClock()
    observer = Observer(clock)
    provider = ScriptedProvider(text("a"))
    async with host(
        tmp_path, provider, plugins=[observer], hook_limits=limits, clock=clock
    ) as runtime:
        await runtime.location(tmp_path)
        observer.seconds = seconds
        session = await run(runtime, tmp_path, provider)
        state = await until(runtime, tmp_path, "observer", "disabled")
        assert why in (state.error or "")
        assert state.seconds == pytest.approx(3 * seconds)
        if seconds > 1:
            assert "hooks must be quick" in (state.last_error or "")
        assert (await notice_of(session)).plugin == "observer"


@pytest.mark.law("plugins.6")
async def test_a_guard_that_is_disabled_lets_nothing_through(tmp_path: Path) -> None:
    clock = ManualClock()
    provider = ScriptedProvider(text("a"), text("b"), text("c"))
    async with host(
        tmp_path,
        provider,
        plugins=[Guard(clock)],
        hook_limits=HookLimits(errors=1),
        clock=clock,
        lease_seconds=3600,
    ) as runtime:
        for _ in range(2):
            await run(runtime, tmp_path, provider)
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.reason is not None
        assert (outcome.status, outcome.reason.code) == ("failed", "plugin.failed")
        assert len(provider.requests) == 2
        # Replaced by a sound one, sessions go on.
        await runtime.location(tmp_path).plugins.replace("guard", Observer())
        await session.resume()
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded


async def test_a_disabled_plugin_has_another_chance_when_the_location_opens_anew(
    tmp_path: Path,
) -> None:
    observer = Observer()
    observer.fails = True
    provider = ScriptedProvider(text("a"))
    async with host(
        tmp_path, provider, plugins=[observer], hook_limits=TIGHT
    ) as runtime:
        await run(runtime, tmp_path, provider)
        await until(runtime, tmp_path, "observer", "disabled")
    async with host(tmp_path, provider, plugins=[observer]) as runtime:
        assert (await state_of(runtime, tmp_path, "observer")).state == "open"
