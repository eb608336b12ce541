"""The clock that is set by hand, and jumps when it is told to."""

from typing import Any

import anyio
import pytest
from dovetail.kernel.testing import ManualClock
from support.bounds import HANG


async def test_it_wakes_who_waited_long_enough_and_nobody_else() -> None:
    clock, woken = ManualClock(), list[str]()

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sleep, "short", 1)
            tasks.start_soon(sleep, "long", 3)
            await clock.until_sleeping(2)
            clock.advance(2)
            # Who is woken does not sleep, though it has yet to run.
            assert clock.sleeping == 1
            await anyio.wait_all_tasks_blocked()
            assert woken == ["short"]
            clock.advance(1)
    assert woken == ["short", "long"]
    assert clock.sleeping == 0


async def test_a_sleep_that_is_cancelled_is_no_sleeper() -> None:
    clock = ManualClock()
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clock.sleep, 1)
            await clock.until_sleeping(1)
            tasks.cancel_scope.cancel()
    assert clock.sleeping == 0
    clock.advance(2)


async def test_it_jumps_to_who_is_due_next_in_order_and_by_itself() -> None:
    clock, woken = ManualClock(), list[tuple[str, float]]()

    async def sleep(name: str, *naps: float) -> None:
        for seconds in naps:
            await clock.sleep(seconds)
            woken.append((name, clock.monotonic()))

    with anyio.fail_after(HANG):
        async with clock.jumping(), anyio.create_task_group() as tasks:
            tasks.start_soon(sleep, "a", 3600.0, 0.1)
            tasks.start_soon(sleep, "b", 7200.0)
            tasks.start_soon(sleep, "c", 1e9 + 0.3, 1e-3)
    assert woken == [
        ("a", 3600.0),
        ("a", 3600.1),
        ("b", 7200.0),
        ("c", 1e9 + 0.3),
        ("c", 1e9 + 0.3 + 1e-3),
    ]


async def test_it_does_not_jump_while_something_is_to_be_done() -> None:
    clock = ManualClock()

    async def work() -> float:
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        return clock.monotonic()

    with anyio.fail_after(HANG):
        async with clock.jumping(), anyio.create_task_group() as tasks:
            tasks.start_soon(clock.sleep, 10)
            assert await work() == 0
    assert clock.monotonic() == 10


async def test_who_sleeps_long_is_woken_in_time_and_no_reason_to_jump() -> None:
    clock, kept = ManualClock(), list[float]()

    async def keep() -> None:
        while True:
            await clock.sleep(10)
            kept.append(clock.monotonic())

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep)
            async with clock.jumping(longest=9):
                await clock.until_sleeping(1)
                await anyio.wait_all_tasks_blocked()
                assert clock.monotonic() == 0
                for _ in range(5):
                    await clock.sleep(5)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert clock.monotonic() == 25
    assert kept == [10, 20]


async def test_whoever_waits_for_a_sleeper_can_leave_out_who_sleeps_longer() -> None:
    clock, seen = ManualClock(), list[str]()

    async def watch() -> None:
        await clock.until_sleeping(1, within=30)
        seen.append("one is due")

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(clock.sleep, 3600)
            tasks.start_soon(watch)
            await clock.until_sleeping(1)
            await anyio.wait_all_tasks_blocked()
            assert seen == []
            tasks.start_soon(clock.sleep, 30)
            await clock.until_sleeping(1, within=30)
            await anyio.wait_all_tasks_blocked()
            assert seen == ["one is due"]
            clock.advance(30)
            assert clock.sleeping == 1
            clock.advance(3570)


@pytest.mark.parametrize("seconds", [0, -1])
async def test_no_time_at_all_is_not_slept(seconds: float) -> None:
    clock: Any = ManualClock()
    with anyio.fail_after(HANG):
        await clock.sleep(seconds)
