"""The life of plugins in Locations: opened on use, closed when idle, come what may."""

import gc
import logging
import os
import pathlib
import threading
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    HookLimits,
    Place,
    PluginDisabled,
    Runtime,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.lifecycle.watchdog import Blocking
from dovetail.kernel.testing import Gate, ManualClock, ScriptedProvider, text
from support.bounds import HANG
from support.hosts import Tools, host


@frozen
class Nothing:
    """An input without fields."""


async def _execute(input: Nothing, context: ToolContext) -> str:
    return ""


def tool(name: str) -> Tool[Any, Any]:
    return Tool(name, "Say nothing.", Nothing, _execute, effect="pure")


class Resource:
    """A plugin with a resource made by a function, and a tool of its own name."""

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self.name = name
        self.make = make

    @hookimpl
    def dovetail_open_location(self, place: Place) -> Any:
        return self.make()

    @hookimpl
    def dovetail_register_tools(self, register: Any) -> None:
        register(tool(self.name))


def telling(story: list[str], name: str) -> Resource:
    @asynccontextmanager
    async def opened() -> AsyncIterator[None]:
        story.append(f"open {name}")
        yield
        story.append(f"close {name}")

    return Resource(name, opened)


async def offered(runtime: Runtime, folder: Path) -> list[str]:
    return [one.name for one in await runtime.location(folder).tools()]


async def states(runtime: Runtime, folder: Path) -> dict[str, str]:
    found = await runtime.location(folder).plugins.list()
    return {one.name: one.state for one in found}


# --- idle -------------------------------------------------------------------------


async def idle(clock: ManualClock, seconds: float) -> None:
    await anyio.wait_all_tasks_blocked()
    clock.advance(seconds)
    await anyio.wait_all_tasks_blocked()


async def test_a_location_closes_when_unused_and_opens_again(tmp_path: Path) -> None:
    story: list[str] = []
    clock = ManualClock()
    plugins = [telling(story, "b"), telling(story, "a")]
    async with host(
        tmp_path,
        ScriptedProvider(),
        plugins=plugins,
        clock=clock,
        location_idle_seconds=100,
    ) as runtime:
        with anyio.fail_after(HANG):
            assert story == []
            assert await offered(runtime, tmp_path) == ["a", "b"]
            assert story == ["open a", "open b"]
            await idle(clock, 99)
            # Used in time: it counts anew from here.
            await offered(runtime, tmp_path)
            await idle(clock, 99)
            assert story == ["open a", "open b"]
            await idle(clock, 2)
            assert story == ["open a", "open b", "close b", "close a"]
            assert await offered(runtime, tmp_path) == ["a", "b"]
            assert story[4:] == ["open a", "open b"]


async def test_a_location_that_is_in_use_stays_open(tmp_path: Path) -> None:
    story: list[str] = []
    clock, gate = ManualClock(), Gate()
    provider = ScriptedProvider([gate, *text("done")])
    async with host(
        tmp_path,
        provider,
        plugins=[telling(story, "a")],
        clock=clock,
        lease_seconds=3600,
        location_idle_seconds=10,
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            async with runtime.location(tmp_path):
                await idle(clock, 100)
                gate.open()
                assert (await session.wait()).succeeded
                await idle(clock, 100)
                assert story == ["open a"]
            await idle(clock, 100)
            assert story == ["open a", "close a"]


async def test_what_was_changed_outlives_that_the_location_closes(
    tmp_path: Path,
) -> None:
    clock = ManualClock()
    async with host(
        tmp_path,
        ScriptedProvider(),
        tool("base"),
        plugins=[Tools(tool("gone"), name="gone")],
        clock=clock,
        location_idle_seconds=10,
    ) as runtime:
        place = runtime.location(tmp_path)
        await place.plugins.add(Tools(tool("added"), name="added"))
        await place.plugins.replace("test-tools", Tools(tool("better")))
        await place.plugins.remove("gone")
        with anyio.fail_after(HANG):
            await idle(clock, 100)
            assert runtime._locations.open_now() == {}
            assert await offered(runtime, tmp_path) == ["added", "better"]


async def test_who_comes_while_a_location_closes_gets_a_new_one(tmp_path: Path) -> None:
    clock, gate = ManualClock(), Gate()
    opened: list[int] = []

    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        opened.append(1)
        yield
        await gate.pass_through()
        opened.pop()

    async with host(
        tmp_path,
        ScriptedProvider(),
        plugins=[Resource("slow", slow)],
        clock=clock,
        location_idle_seconds=10,
    ) as runtime:
        with anyio.fail_after(HANG):
            await offered(runtime, tmp_path)
            async with anyio.create_task_group() as tasks:
                await idle(clock, 100)
                await gate.reached()
                tasks.start_soon(offered, runtime, tmp_path)
                await anyio.wait_all_tasks_blocked()
                # Never two at a time.
                assert opened == [1]
                gate.open()
            assert opened == [1]


# --- misbehaviour -----------------------------------------------------------------


@asynccontextmanager
async def _never_opens() -> AsyncIterator[None]:
    await anyio.sleep_forever()
    yield


@asynccontextmanager
async def _never_closes() -> AsyncIterator[None]:
    yield
    await anyio.sleep_forever()


@asynccontextmanager
async def _ignores_cancellation() -> AsyncIterator[None]:
    yield
    with anyio.CancelScope(shield=True):
        # Longer than anybody waits for it, and not for ever: nobody can end it.
        await anyio.sleep(1)


@asynccontextmanager
async def _breaks_closing() -> AsyncIterator[None]:
    yield
    raise LookupError("not so fast")


@asynccontextmanager
async def _raises_opening() -> AsyncIterator[None]:
    raise LookupError("no luck")
    yield


SOON = 0.2
"""Seconds that one is given that hangs: the sound ones beside it need none, unless the
machine has none for them."""


@pytest.mark.law("plugins.1")
@pytest.mark.parametrize(
    ("make", "open_", "told"),
    [
        (_never_opens, False, f"was not open after {SOON} s"),
        (_raises_opening, False, "LookupError: no luck"),
        (_never_closes, True, f"did not close within {SOON} s"),
        (_ignores_cancellation, True, "ignores that it is closed"),
        (_breaks_closing, True, "closing it failed: LookupError: not so fast"),
    ],
)
async def test_a_plugin_that_misbehaves_is_named_and_disturbs_nobody(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[], Any],
    open_: bool,
    told: str,
) -> None:
    story: list[str] = []
    plugins = [telling(story, "a"), Resource("bad", make), telling(story, "c")]
    hangs = make is _never_opens
    limits = HookLimits(open_seconds=SOON if hangs else HANG, close_seconds=SOON)
    with caplog.at_level(logging.WARNING):
        with anyio.fail_after(HANG):
            async with host(
                tmp_path, ScriptedProvider(), plugins=plugins, hook_limits=limits
            ) as runtime:
                wanted = ["a", "bad", "c"] if open_ else ["a", "c"]
                assert await offered(runtime, tmp_path) == wanted
                found = await states(runtime, tmp_path)
                assert found["bad"] == ("open" if open_ else "failed")
                assert (found["a"], found["c"]) == ("open", "open")
    assert story == ["open a", "open c", "close c", "close a"]
    assert any(
        told in record.getMessage() and "bad" in record.getMessage()
        for record in caplog.records
    )


@pytest.mark.law("plugins.2")
async def test_a_plugin_whose_own_task_breaks_loses_what_it_offered(
    tmp_path: Path,
) -> None:
    go = anyio.Event()

    async def work() -> None:
        await go.wait()
        raise LookupError("my task")

    @asynccontextmanager
    async def working() -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            yield

    gate = Gate()
    provider = ScriptedProvider([gate, *text("done")])
    plugins = [Resource("fragile", working), Tools(tool("other"))]
    async with host(tmp_path, provider, plugins=plugins) as runtime:
        place = runtime.location(tmp_path)
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            assert await offered(runtime, tmp_path) == ["fragile", "other"]
            go.set()
            while await offered(runtime, tmp_path) != ["other"]:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            gate.open()
            assert (await session.wait()).succeeded
        (state,) = [one for one in await place.plugins.list() if one.name == "fragile"]
        assert state.state == "failed"
        assert "its own task broke: LookupError: my task" in (state.error or "")
        notices = [
            event
            async for event in session.events()
            if isinstance(event, PluginDisabled)
        ]
        assert [one.plugin for one in notices] == ["fragile"]
        # And it can be put right.
        await place.plugins.replace("fragile", telling([], "fragile"))
        assert await offered(runtime, tmp_path) == ["fragile", "other"]


async def test_closing_many_that_hang_is_bounded_as_a_whole(tmp_path: Path) -> None:
    plugins = [Resource(f"bad{at}", _never_closes) for at in range(20)]
    limits = HookLimits(close_seconds=0.2)
    with anyio.fail_after(HANG):
        async with host(
            tmp_path, ScriptedProvider(), plugins=plugins, hook_limits=limits
        ) as runtime:
            await runtime.location(tmp_path)


# --- leaks ------------------------------------------------------------------------

MANY = 10
"""Locations: far more than what comes and goes by itself."""
ROUNDS = 5
"""How often as many are opened and closed while what is left is watched."""


SLOWNESS = f"{Blocking.__module__}.{Blocking.__qualname__}"
"""What a runtime keeps a bounded number of, whoever came and went."""


class Held:
    """A plugin that holds a task, a file and some memory in each Location."""

    name = "held"

    def __init__(self) -> None:
        self._open_now = 0
        self._gone = anyio.Event()

    async def gone(self) -> None:
        """Wait until the last one that is open is closed."""
        await self._gone.wait()
        self._gone = anyio.Event()

    @hookimpl
    def dovetail_open_location(self, place: Place) -> Any:
        return self._open(place)

    @asynccontextmanager
    async def _open(self, place: Place) -> AsyncIterator[bytes]:
        self._open_now += 1
        with open(os.devnull, "rb"):  # noqa: ASYNC230 - what is held, not what is read
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                yield bytes(20_000)
                group.cancel_scope.cancel()
        self._open_now -= 1
        if not self._open_now:
            self._gone.set()

    @hookimpl
    def dovetail_register_tools(self, register: Any, place: Place) -> None:
        kept = place.resource

        async def execute(input: Nothing, context: ToolContext) -> str:
            return str(len(kept))

        register(Tool("held", "Held.", Nothing, execute))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def our_objects() -> Counter[str]:
    """How many there are of each class."""
    gc.collect()
    classes = map(type, gc.get_objects())
    return Counter(
        f"{each.__module__}.{each.__qualname__}"
        for each in classes
        if str(each.__module__).startswith("dovetail.")
    )


def traced() -> int:
    """How many bytes are held, but for what paths intern: the table of all names of the
    process, which doubles when it is full, by megabytes."""
    interned = tracemalloc.Filter(False, pathlib.__file__)
    held = tracemalloc.take_snapshot().filter_traces([interned])
    return sum(one.size for one in held.traces)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts by /proc")
async def test_many_locations_opened_and_closed_leave_nothing(
    tmp_path: Path,
) -> None:
    folders = [tmp_path / str(at) for at in range(MANY)]
    for folder in folders:
        folder.mkdir()
    clock = ManualClock()
    held = Held()
    # What other tests left is none of this, and may be a hundred times as much.
    gc.collect()
    gc.freeze()
    async with host(
        tmp_path,
        ScriptedProvider(),
        plugins=[held],
        clock=clock,
        location_idle_seconds=1,
    ) as runtime:
        alone = len(anyio.get_running_tasks())

        async def round_() -> Counter[str]:
            for folder in folders:
                assert await offered(runtime, folder) == ["held"]
            assert len(runtime._locations.open_now()) == MANY
            clock.advance(2)
            await held.gone()
            # Whoever was in the way of the last one is as good as gone as well.
            while len(anyio.get_running_tasks()) > alone:
                await anyio.wait_all_tasks_blocked()
            assert runtime._locations.open_now() == {}
            return our_objects() + Counter(
                tasks=len(anyio.get_running_tasks()),
                threads=threading.active_count(),
                files=open_files(),
            )

        with anyio.fail_after(HANG):
            await round_()
        tracemalloc.start()
        try:
            first = await round_()
            gc.collect()
            before = traced()
            for _ in range(ROUNDS):
                last = await round_()
            # Idle worker threads come and go by ones, and each may hold what it did
            # last, of one Location, in which there are few of a kind; a leak is of all
            # that were opened.
            more = last - first
            # The last times that something took long, which on a busy machine it does.
            del more[SLOWNESS]
            left = {
                kind: number for kind, number in more.items() if number >= ROUNDS * MANY
            }
            assert left == {}
            gc.collect()
            grown = traced() - before
        finally:
            tracemalloc.stop()
    # What each held is 20,000 bytes; tables of the event loop grow by 64 KiB at once.
    assert grown < ROUNDS * MANY * 20_000 / 4
