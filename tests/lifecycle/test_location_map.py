"""The Location map: each Location is opened once, shared, and closed with the rest."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from dovetail.kernel import Location, RuntimeClosedError
from dovetail.kernel.lifecycle.location_map import LocationMap
from dovetail.kernel.lifecycle.scope import Scope
from dovetail.kernel.testing.scripted import Gate
from support.bounds import HANG

A, B = Location("/a"), Location("/b")


class Builder:
    """Opens graphs (here: strings), and tells what was opened and closed."""

    def __init__(self) -> None:
        self.opened: list[Location] = []
        self.closed: list[Location] = []
        self.failures: list[Exception] = []
        self.gate: Gate | None = None

    async def __call__(self, location: Location, scope: Scope) -> str:
        self.opened.append(location)
        await scope.enter(self.resource(location))
        if self.gate is not None:
            await self.gate.pass_through()
        if self.failures:
            raise self.failures.pop()
        return f"graph {len(self.opened)} of {location.directory}"

    @asynccontextmanager
    async def resource(self, location: Location) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self.closed.append(location)


async def test_all_callers_share_one_opening() -> None:
    builder, got = Builder(), []
    builder.gate = Gate()
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            locations = LocationMap(tasks, builder)

            async def acquire(location: Location) -> None:
                got.append(await locations.acquire(location))

            async with anyio.create_task_group() as callers:
                for _ in range(5):
                    callers.start_soon(acquire, A)
                await builder.gate.reached()
                assert locations.open_now() == {}
                builder.gate.open()
            assert await locations.acquire(A) == "graph 1 of /a"
            assert locations.open_now() == {A: "graph 1 of /a"}
            await locations.aclose()

    assert got == ["graph 1 of /a"] * 5
    assert builder.opened == builder.closed == [A]


async def test_another_workspace_is_another_location() -> None:
    builder = Builder()
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            locations = LocationMap(tasks, builder)
            await locations.acquire(A)
            await locations.acquire(Location("/a", "w"))
            await locations.acquire(Location("/a"))
            await locations.aclose()

    assert builder.opened == [A, Location("/a", "w")]


async def test_an_opening_that_fails_is_told_to_all_who_wait_and_tried_anew() -> None:
    builder = Builder()
    builder.gate, failure = Gate(), LookupError("no")
    builder.failures.append(failure)
    caught: list[Exception] = []
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            locations = LocationMap(tasks, builder)

            async def acquire() -> None:
                try:
                    await locations.acquire(A)
                except LookupError as error:
                    caught.append(error)

            async with anyio.create_task_group() as callers:
                callers.start_soon(acquire)
                callers.start_soon(acquire)
                await builder.gate.reached()
                builder.gate.open()
            assert caught == [failure, failure]
            assert builder.closed == [A]
            assert await locations.acquire(A) == "graph 2 of /a"
            await locations.aclose()


async def test_cancelling_the_first_caller_disturbs_nobody_else() -> None:
    builder, got = Builder(), []
    builder.gate = Gate()
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            locations = LocationMap(tasks, builder)

            async def acquire() -> None:
                got.append(await locations.acquire(A))

            async with anyio.create_task_group() as others:
                async with anyio.create_task_group() as first:
                    first.start_soon(acquire)
                    await builder.gate.reached()
                    others.start_soon(acquire)
                    await anyio.wait_all_tasks_blocked()
                    first.cancel_scope.cancel()
                builder.gate.open()
            await locations.aclose()

    assert got == ["graph 1 of /a"]
    assert builder.opened == [A]


async def test_closing_is_last_first_and_waits_for_what_opens() -> None:
    builder = Builder()
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            locations = LocationMap(tasks, builder)
            await locations.acquire(A)
            builder.gate = Gate()
            async with anyio.create_task_group() as callers:
                callers.start_soon(locations.acquire, B)
                await builder.gate.reached()
                callers.start_soon(locations.aclose)
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(RuntimeClosedError):
                    await locations.acquire(A)
                assert builder.closed == []
                builder.gate.open()

    assert builder.closed == [B, A]


async def test_who_waits_when_everything_is_cancelled_is_told() -> None:
    builder, refused = Builder(), []
    builder.gate = Gate()

    async def acquire(locations: LocationMap[str]) -> None:
        try:
            await locations.acquire(A)
        except RuntimeClosedError:
            refused.append(A)

    async with anyio.create_task_group() as callers:
        with anyio.fail_after(HANG):
            # Inside, so that only the opening is cancelled and not who waits for it.
            async with anyio.create_task_group() as tasks:
                callers.start_soon(acquire, LocationMap(tasks, builder))
                await builder.gate.reached()
                tasks.cancel_scope.cancel()

    assert refused == [A]
    assert builder.closed == [A]
