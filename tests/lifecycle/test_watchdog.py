"""Whoever holds something up is named while it lasts."""

import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import Event, Runtime, Tool, ToolContext, hookimpl
from dovetail.kernel.lifecycle.guests import Guest, contained
from dovetail.kernel.lifecycle.watchdog import Blocking, Watchdog
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import host

SLOW = Guest("slow", "tool 'slow'")


class Heard(Watchdog):
    """A watchdog that is quick, and lets what blocks go on once it was told.

    It takes a machine that is busy for code that blocks. What it says then is let pass.
    """

    def __init__(self) -> None:
        super().__init__(first=0.05, look=0.01)
        self.told: list[Blocking] = []
        self.enough = threading.Event()
        self.tellings = 2
        self.on_blocking = self.hear

    def hear(self, told: Blocking) -> None:
        if "in block" not in told.where:
            return
        self.told.append(told)
        if len(self.told) >= self.tellings:
            self.enough.set()

    def block(self) -> None:
        """Block this thread until enough was told of it."""
        assert self.enough.wait(HANG)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.mark.law("plugins.9")
async def test_code_that_blocks_the_loop_is_named_while_it_does_and_again(
    heard: Heard,
) -> None:
    end = heard.watch_loop()
    with contained(SLOW):
        heard.block()
    await answered(heard)
    first, again, *_ = heard.told
    assert (first.guest, first.loop) == (SLOW, True)
    assert "test_watchdog.py" in first.where
    assert "in block" in first.where
    assert again.seconds >= 2 * first.seconds - 0.001
    assert max(one.seconds for one in heard.past) >= again.seconds
    end()


@pytest.mark.law("plugins.9")
async def test_so_is_code_that_blocks_in_a_task_of_its_own(heard: Heard) -> None:
    async def blocking() -> None:
        heard.block()

    end = heard.watch_loop()
    with contained(SLOW):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(blocking)
    await answered(heard)
    assert heard.told[0].guest == SLOW
    end()


async def test_code_of_nobody_in_particular_is_told_with_its_line(heard: Heard) -> None:
    end = heard.watch_loop()
    heard.block()
    await answered(heard)
    assert heard.told[0].guest is None
    assert heard.told[0].who == "code"
    end()


async def answered(heard: Heard) -> None:
    """Wait until the loop has answered, which is told once more."""
    with anyio.fail_after(HANG):
        while heard.now() or not any("in block" in one.where for one in heard.past):
            await anyio.lowlevel.checkpoint()


@pytest.mark.law("plugins.9")
def test_a_call_that_takes_long_is_named_where_there_is_no_loop(heard: Heard) -> None:
    outer, inner = Guest("slow", "the import"), Guest("other", "hook x")
    with heard.calling(outer):
        with heard.calling(inner):
            heard.block()
            assert [one.guest for one in heard.now()] == [inner]
        heard.enough.clear()
        heard.tellings = len(heard.told) + 1
        heard.block()
    told = [one.guest for one in heard.told]
    assert told[0] == inner
    assert told[-1] == outer
    assert not any(one.loop for one in heard.told)


def test_a_watchdog_that_nobody_needs_leaves_no_thread(heard: Heard) -> None:
    # Those of tests before this one may not have ended yet.
    before = watching()
    with heard.calling(SLOW):
        [thread] = [one for one in watching() if one not in before]
    thread.join(HANG)
    assert not thread.is_alive()
    with heard.calling(SLOW):
        assert [one for one in watching() if one not in (*before, thread)]


def watching() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "dovetail-watchdog"]


async def test_how_long_the_loop_is_silent_is_known_in_every_thread(
    heard: Heard,
) -> None:
    end = heard.watch_loop()
    heard.block()
    assert heard.silence() >= 0.1
    await answered(heard)
    end()


@frozen
class Nothing:
    pass


class Lingers:
    """A plugin whose observer blocks until that is known."""

    name = "lingers"

    def __init__(self) -> None:
        self.runtime: Any = None

    @hookimpl
    def dovetail_observe_event(self, event: Event) -> None:
        if event.kind == "execution.started":
            block_as("hook dovetail_observe_event of plugin 'lingers'", self.runtime)


def block_as(guest: str, runtime: Runtime) -> None:
    """Block until the runtime says that this guest does.

    What it says of others until then is that the machine is slow.
    """
    end = time.monotonic() + HANG
    while guest not in [str(one.guest) for one in runtime.plugins.blocking()]:
        assert time.monotonic() < end
        threading.Event().wait(0.01)


@pytest.mark.law("plugins.9")
async def test_a_runtime_says_which_hook_and_which_tool_blocks(tmp_path: Path) -> None:
    lingers = Lingers()

    async def block(input: Nothing, context: ToolContext) -> str:
        block_as("tool 'block' of plugin 'test-tools'", lingers.runtime)
        return "done"

    provider = ScriptedProvider(calls(call("block")), text("Done."))
    tool = Tool("block", "Block.", Nothing, block)
    async with host(tmp_path, provider, tool, plugins=[lingers]) as runtime:
        runtime.plugins.watchdog.first = 0.05
        lingers.runtime = runtime
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        with anyio.fail_after(HANG):
            await session.prompt("go")
            assert (await session.wait()).succeeded
        [part] = [
            part
            for message in await session.history()
            for part in getattr(message, "calls", ())
        ]
        # Neither gave up waiting to be named.
        assert part.text == "done"
        assert runtime.plugins.state("lingers").last_error is None
