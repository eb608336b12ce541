"""Detached tasks: they end with whoever opened them, or are left behind."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import pytest
from dovetail.kernel import Runtime, Store, hookimpl, open_runtime
from dovetail.kernel.lifecycle.detached import DetachedTasks
from dovetail.kernel.sessions.cleaning import Cleaning
from dovetail.kernel.testing import MemoryStorePlugin
from dovetail.kernel.testing.memory_store import MemoryState, open_memory_store
from support.bounds import HANG


def nothing() -> None:
    pass


def runtime_in_memory() -> Runtime:
    return open_runtime(
        "memory://",
        plugins=[MemoryStorePlugin()],
        load_entry_points=False,
        environment={"DOVETAIL_CONFIG": ""},
    )


async def test_closing_cancels_what_runs_and_waits_for_it() -> None:
    story: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            story.append("ended")

    tasks = DetachedTasks("test", nothing)
    group = await tasks.open()
    group.start_soon(work)
    await anyio.wait_all_tasks_blocked()
    assert await tasks.aclose(HANG)
    assert story == ["ended"]
    assert tasks.error is None


async def test_closing_does_not_wait_for_ever_for_what_ignores_it() -> None:
    free, ended = anyio.Event(), anyio.Event()

    async def work() -> None:
        with anyio.CancelScope(shield=True):
            await free.wait()
        ended.set()

    tasks = DetachedTasks("test", nothing)
    group = await tasks.open()
    group.start_soon(work)
    await anyio.wait_all_tasks_blocked()
    with anyio.fail_after(HANG):
        assert not await tasks.aclose(0.01)
        free.set()
        await ended.wait()
        assert await tasks.aclose(HANG)


async def test_cancelling_whoever_opened_it_cancels_nothing_in_it() -> None:
    going_on = anyio.Event()

    async def work() -> None:
        await anyio.lowlevel.checkpoint()
        going_on.set()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        tasks = DetachedTasks("test", nothing)
        group = await tasks.open()
        group.start_soon(work)
        scope.cancel()
        await anyio.sleep_forever()
    with anyio.fail_after(HANG):
        await going_on.wait()
        assert await tasks.aclose(HANG)


async def test_what_breaks_ends_all_of_it_and_is_told() -> None:
    told: list[BaseException | None] = []
    ended = anyio.Event()

    async def other() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async def broken() -> None:
        raise LookupError("mine")

    tasks = DetachedTasks("test", lambda: told.append(tasks.error))
    group = await tasks.open()
    group.start_soon(other)
    group.start_soon(broken)
    with anyio.fail_after(HANG):
        await ended.wait()
        assert await tasks.aclose(HANG)
    assert isinstance(tasks.error, ExceptionGroup)
    assert told == [tasks.error]


@pytest.mark.parametrize("waits", [True, False])
async def test_a_runtime_that_breaks_ends_the_work_of_its_host(
    waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Cleaning) -> None:
        raise LookupError("a defect")

    monkeypatch.setattr(Cleaning, "run", broken)

    async def host() -> None:
        async with runtime_in_memory():
            if waits:
                await anyio.sleep_forever()

    with anyio.fail_after(HANG), pytest.raises(ExceptionGroup) as caught:
        await host()
    assert caught.group_contains(LookupError, match="a defect")


async def test_the_hosts_own_error_goes_on_as_it_is() -> None:
    with pytest.raises(LookupError, match="mine"):
        async with runtime_in_memory():
            raise LookupError("mine")


class BreaksClosing:
    name = "breaking"

    @hookimpl
    def dovetail_open_store(self, url: str) -> AbstractAsyncContextManager[Store]:
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Store]:
        async with open_memory_store(MemoryState()) as store:
            yield store
        raise LookupError("the store broke")


async def test_a_store_that_breaks_in_closing_leaves_nothing_entered() -> None:
    with anyio.CancelScope() as scope:
        with pytest.raises(LookupError, match="the store broke"):
            async with open_runtime(
                "breaking://",
                plugins=[BreaksClosing()],
                load_entry_points=False,
                environment={"DOVETAIL_CONFIG": ""},
            ):
                pass
        # Of the scopes that are entered now, this is the innermost again.
        with anyio.CancelScope():
            await anyio.lowlevel.checkpoint()
        scope.cancel()
        await anyio.sleep_forever()
    assert scope.cancelled_caught
