"""Registrations: the work they take, and how an owner hears that nothing is at work."""

import anyio
from dovetail.kernel.lifecycle.registrations import Registrations
from support.bounds import HANG


class Counted(int):
    """A rank that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return int(self) == other

    def __lt__(self, other: int) -> bool:
        Counted.compared += 1
        return int(self) < int(other)

    __hash__ = int.__hash__


def test_each_of_many_registrations_takes_about_as_much_work() -> None:
    registrations = Registrations[int]()
    Counted.compared = 0
    made = [registrations.add("owner", f"k{at}", at, Counted(1)) for at in range(2000)]
    assert [one.item for one in registrations.all()] == list(range(2000))
    # A search in an ordered list, and not a look at each one that is there.
    assert Counted.compared < 2000 * 11 * 4
    for one in made:
        one.close()
        one.close()
    assert registrations.all() == ()


def test_what_is_suspended_comes_back_once() -> None:
    registrations = Registrations[int]()
    one = registrations.add("owner", "key", 1)
    one.suspend()
    one.suspend()
    assert registrations.get("key") is None
    one.resume()
    one.resume()
    assert registrations.all() == (one,)
    one.close()
    one.resume()
    assert registrations.all() == ()


async def test_everybody_who_waits_hears_that_nothing_is_at_work() -> None:
    one = Registrations[int]().add("owner", "key", 1)
    with anyio.fail_after(HANG):
        await one.unused()
        async with anyio.create_task_group() as tasks:
            with one.busy():
                with one.busy():
                    tasks.start_soon(one.unused)
                    tasks.start_soon(one.unused)
                await anyio.wait_all_tasks_blocked()
                assert len(anyio.get_running_tasks()) >= 3
        with one.busy():
            with anyio.move_on_after(0) as waiting:
                await one.unused()
            assert waiting.cancelled_caught
        await one.unused()
