"""Scopes: what is opened in one is closed with it, in reverse, whatever happens."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from dovetail.kernel import RuntimeClosedError
from dovetail.kernel.lifecycle.scope import Scope
from support.bounds import HANG


class Story:
    """What happened, in order, and resources that tell it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @asynccontextmanager
    async def resource(self, name: str) -> AsyncIterator[str]:
        self.lines.append(f"open {name}")
        try:
            yield name
        finally:
            self.lines.append(f"close {name}")

    @asynccontextmanager
    async def broken_close(self, name: str) -> AsyncIterator[str]:
        yield name
        self.lines.append(f"break {name}")
        raise LookupError(name)

    async def work(self, name: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.lines.append(f"cancel {name}")


async def test_it_closes_callbacks_then_tasks_then_resources_in_reverse() -> None:
    story = Story()
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            scope = await Scope("test", tasks).open()
            assert await scope.enter(story.resource("a")) == "a"
            assert await scope.enter(story.resource("b")) == "b"
            scope.spawn(story.work, "task")
            scope.defer(lambda: story.lines.append("first deferred"))
            scope.defer(lambda: story.lines.append("last deferred"))
            await anyio.wait_all_tasks_blocked()
            await scope.aclose()
            await scope.aclose()
            assert scope.closed.is_set()

    assert story.lines == [
        "open a",
        "open b",
        "last deferred",
        "first deferred",
        "cancel task",
        "close b",
        "close a",
    ]
    assert scope.failure is None


async def test_a_resource_with_tasks_of_its_own_may_be_closed_by_anybody() -> None:
    """A task group must be left by the task that entered it: the scope's own."""
    story = Story()

    @asynccontextmanager
    async def working() -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(story.work, "inner")
            yield
            group.cancel_scope.cancel()

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            scope = await Scope("test", tasks).open()
            async with anyio.create_task_group() as others:
                others.start_soon(scope.enter, working())
            await anyio.wait_all_tasks_blocked()
            async with anyio.create_task_group() as others:
                others.start_soon(scope.aclose)
                others.start_soon(scope.aclose)

    assert story.lines == ["cancel inner"]


async def test_a_resource_that_cannot_be_entered_is_its_callers_trouble() -> None:
    story = Story()

    @asynccontextmanager
    async def broken() -> AsyncIterator[None]:
        raise LookupError("no")
        yield

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            scope = await Scope("test", tasks).open()
            await scope.enter(story.resource("a"))
            with pytest.raises(LookupError):
                await scope.enter(broken())
            await scope.enter(story.resource("b"))
            await scope.aclose()

    assert story.lines == ["open a", "open b", "close b", "close a"]


async def test_one_failing_close_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    story = Story()

    def break_() -> None:
        story.lines.append("deferred")
        raise LookupError("deferred")

    with anyio.fail_after(HANG), caplog.at_level(logging.ERROR):
        async with anyio.create_task_group() as tasks:
            scope = await Scope("test", tasks).open()
            await scope.enter(story.resource("a"))
            await scope.enter(story.broken_close("b"))
            await scope.enter(story.resource("c"))
            scope.spawn(story.work, "task")
            scope.defer(lambda: story.lines.append("deferred too"))
            scope.defer(break_)
            await anyio.wait_all_tasks_blocked()
            await scope.aclose()

    assert story.lines == [
        "open a",
        "open c",
        "deferred",
        "deferred too",
        "cancel task",
        "close c",
        "break b",
        "close a",
    ]
    assert isinstance(scope.failure, LookupError)
    assert len(caplog.records) == 2


async def test_a_task_that_breaks_is_logged_and_ends_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    story = Story()

    async def break_() -> None:
        raise LookupError("mine")

    with anyio.fail_after(HANG), caplog.at_level(logging.ERROR):
        async with anyio.create_task_group() as tasks:
            scope = await Scope("test", tasks).open()
            scope.spawn(story.work, "other")
            scope.spawn(break_)
            await anyio.wait_all_tasks_blocked()
            assert story.lines == []
            await scope.aclose()

    assert story.lines == ["cancel other"]
    assert "scope test" in caplog.text


async def test_a_close_that_hangs_is_abandoned_after_its_bound(
    caplog: pytest.LogCaptureFixture,
) -> None:
    story = Story()

    @asynccontextmanager
    async def hanging() -> AsyncIterator[None]:
        yield
        await anyio.sleep_forever()

    with anyio.fail_after(HANG), caplog.at_level(logging.ERROR):
        async with anyio.create_task_group() as tasks:
            scope = await Scope("test", tasks, close_seconds=0.01).open()
            await scope.enter(story.resource("a"))
            await scope.enter(hanging())
            await scope.aclose()

    assert story.lines == ["open a", "close a"]
    assert "did not close within 0.01 s" in caplog.text


@pytest.mark.parametrize("who", ["closer", "parent"])
async def test_cancelling_does_not_keep_resources_from_closing_properly(
    who: str,
) -> None:
    story = Story()

    @asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await anyio.lowlevel.checkpoint()
            story.lines.append("closed whole")

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            scope = await Scope("test", tasks).open()
            await scope.enter(slow())
            if who == "closer":
                async with anyio.create_task_group() as closers:
                    closers.start_soon(scope.aclose)
                    await anyio.lowlevel.checkpoint()
                    closers.cancel_scope.cancel()
            else:
                tasks.cancel_scope.cancel()

    assert scope.closed.is_set()
    assert story.lines == ["closed whole"]


async def test_what_comes_after_the_closing_is_refused() -> None:
    story = Story()
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            scope = await Scope("test", tasks).open()
            await scope.aclose()
            with pytest.raises(RuntimeClosedError):
                await scope.enter(story.resource("late"))
            with pytest.raises(RuntimeClosedError):
                scope.spawn(story.work, "late")
            scope.defer(lambda: story.lines.append("let go at once"))

    assert story.lines == ["let go at once"]


async def test_who_waits_to_enter_while_it_closes_is_refused() -> None:
    story = Story()
    opening, refused = anyio.Event(), []

    @asynccontextmanager
    async def never() -> AsyncIterator[None]:
        opening.set()
        await anyio.sleep_forever()
        yield

    async def enter(scope: Scope, name: str) -> None:
        manager = never() if name == "first" else story.resource(name)
        try:
            await scope.enter(manager)
        except RuntimeClosedError:
            refused.append(name)

    async with anyio.create_task_group() as callers:
        with anyio.fail_after(HANG):
            # Inside, so that the scope is cancelled and not who waits for it.
            async with anyio.create_task_group() as tasks:
                scope = await Scope("test", tasks).open()
                callers.start_soon(enter, scope, "first")
                await opening.wait()
                callers.start_soon(enter, scope, "second")
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()

    assert sorted(refused) == ["first", "second"]
    assert story.lines == []


async def test_a_resource_whose_own_task_breaks_ends_the_scope() -> None:
    story, go = Story(), anyio.Event()

    async def break_() -> None:
        await go.wait()
        raise LookupError("inner")

    @asynccontextmanager
    async def fragile() -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(break_)
            yield

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            scope = await Scope("test", tasks).open()
            await scope.enter(story.resource("a"))
            await scope.enter(fragile())
            scope.spawn(story.work, "task")
            await anyio.wait_all_tasks_blocked()
            go.set()
            await scope.closed.wait()
            with pytest.raises(RuntimeClosedError):
                await scope.enter(story.resource("late"))

    # Its task ended before the resource that it may have used.
    assert story.lines == ["open a", "cancel task", "close a"]
    assert isinstance(scope.failure, ExceptionGroup)


async def test_a_scope_that_was_never_opened_closes_at_once() -> None:
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            scope = Scope("test", tasks)
            await scope.aclose()
            assert scope.closed.is_set()
