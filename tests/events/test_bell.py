"""The bell: any number of rings before a wait are one."""

import anyio
from dovetail.kernel.log.bell import Bell
from support.bounds import HANG
from support.logs import titled


async def test_rings_coalesce_into_one() -> None:
    bell = Bell()
    for _ in range(5):
        bell.ring()

    with anyio.fail_after(HANG):
        assert await bell.wait()
    with anyio.move_on_after(0) as scope:
        await bell.wait()
    assert scope.cancelled_caught


async def test_a_ring_wakes_who_waits_and_a_later_one_is_kept() -> None:
    bell = Bell()
    woken: list[bool] = []
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                woken.append(await bell.wait())
                woken.append(await bell.wait())

            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            bell.ring()
            await anyio.wait_all_tasks_blocked()
            assert woken == [True]
            bell.ring()

    assert woken == [True, True]


async def test_a_ring_is_taken_by_a_wait_that_returns_or_is_kept() -> None:
    """Whoever is cancelled at the very moment of the ring has it, or left it."""
    for cancelled_first in (False, True):
        bell = Bell()
        woken: list[bool] = []
        async with anyio.create_task_group() as group:

            async def wait(bell: Bell = bell, woken: list[bool] = woken) -> None:
                woken.append(await bell.wait())

            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            for act in (group.cancel_scope.cancel, bell.ring)[
                :: 1 if cancelled_first else -1
            ]:
                act()

        with anyio.move_on_after(0 if woken else HANG):
            woken.append(await bell.wait())
        assert woken == [True]


async def test_closing_is_the_last_ring() -> None:
    bell = Bell()
    bell.close()

    with anyio.fail_after(HANG):
        assert not await bell.wait()
    assert bell.closed


def test_a_ring_brings_all_that_there_is_to_see_or_says_that_it_does_not() -> None:
    bell = Bell(room=3)
    one, two = titled("s", 1), titled("s", 2)
    assert bell.take() == []
    bell.ring([one])
    bell.ring([two, one])
    assert bell.take() == [one, two, one]

    for more in ([one, two], None):  # more than there is room for; somebody else's
        bell.ring([one, two])
        bell.ring(more)
        bell.ring([one])
        assert bell.take() is None
        assert bell.take() == []
