"""Tails: every event after the cursor, once, in order, whatever happens meanwhile."""

import gc
import random
import sys
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    CursorInvalidError,
    Event,
    RuntimeClosedError,
    SessionNotFoundError,
    SessionTitled,
    UnreadableEvent,
)
from dovetail.kernel.log.commit import EventLog
from dovetail.kernel.log.reading import PAGE
from dovetail.kernel.log.tail import AT_HAND, Placed, RuntimeTail, Tail
from dovetail.kernel.testing.scripted import Gate
from support.bounds import HANG
from support.damage import harm
from support.logs import Medium, WrappedStore, created, fill, log_on, seqs, take, titled


def following(log: EventLog, session_id: str = "s", after: int | None = None) -> Tail:
    return Tail(log, session_id, after, follow=True)


def numbers(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


@pytest.mark.law("events.5")
@pytest.mark.parametrize("count", [0, PAGE - 2, PAGE - 1, PAGE, 2 * PAGE + 3])
async def test_a_finite_tail_reads_everything_after_its_cursor_and_ends(
    log: EventLog, count: int
) -> None:
    await fill(log, "other", 3)
    await fill(log, "s", count)

    assert await seqs(Tail(log, "s", None, follow=False)) == list(range(count + 1))
    assert await seqs(Tail(log, "s", -1, follow=False)) == list(range(count + 1))
    assert await seqs(Tail(log, "s", count - 1, follow=False)) == [count]
    assert await seqs(Tail(log, "s", count, follow=False)) == []
    assert await seqs(Tail(log, "s", 10**30, follow=False)) == []


@pytest.mark.law("events.5")
@pytest.mark.parametrize("stored", [0, 3, PAGE - 1, PAGE, PAGE + 1])
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("read", [0, 1])
async def test_commits_that_race_with_a_read_arrive_exactly_once(
    store: WrappedStore, log: EventLog, stored: int, side: str, read: int
) -> None:
    """The gate holds a read just before or just after it saw the log; the commits land
    in that window, which is the whole of the hand-off from replaying to following."""
    await fill(log, "s", stored)
    gate = Gate()

    async def hold(number: int) -> None:
        if number == first + read:
            await gate.pass_through()

    first = store.reads
    setattr(store, side, hold)
    # More than is at hand, so that the ring makes a read of it.
    many = [titled("s", number) for number in range(AT_HAND + 1)]
    last = stored + len(many) + 5
    got: list[Event] = []
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:

            async def follow() -> None:
                async with following(log) as tail:
                    async for event in tail:
                        got.append(event)
                        if event.seq == last:
                            return

            group.start_soon(follow)
            if read and stored < PAGE:
                # The first page was not full: the second read needs a ring.
                await anyio.wait_all_tasks_blocked()
            await log.append(*many)
            await gate.reached()
            for number in range(4):
                await log.append(titled("s", number))
            gate.open()
            await anyio.wait_all_tasks_blocked()
            await log.append(titled("s", 7))

    assert numbers(got) == list(range(last + 1))


@pytest.mark.law("events.5")
async def test_what_this_process_commits_is_not_read_again(
    store: WrappedStore, log: EventLog
) -> None:
    await fill(log, "s", 3)
    async with following(log) as tail, following(log) as other:
        await take(tail, 4)
        await take(other, 4)
        reads = store.reads
        with anyio.fail_after(HANG):
            for number in range(5):
                await log.append(titled("s", number), titled("s", number + 100))
                await log.append(titled("s", number + 200))
                shown = await take(tail, 3)
        assert store.reads == reads
        assert shown == await take(Tail(log, "s", 15, follow=False), 3)
        # Whoever comes later, and by less than is at hand.
        assert numbers(await take(other, 15)) == list(range(4, 19))
        assert store.reads == reads + 1


@pytest.mark.law("events.5")
async def test_what_another_process_commits_in_between_is_read(
    medium: Medium, store: WrappedStore, log: EventLog
) -> None:
    await fill(log, "s", 3)
    async with medium.open() as second:
        elsewhere = log_on(second)
        async with following(log) as tail:
            await take(tail, 4)
            for number in range(6):
                await (elsewhere if number % 2 else log).append(titled("s", number))
                await log.append(titled("s", number))
            with anyio.fail_after(HANG):
                assert numbers(await take(tail, 12)) == list(range(4, 16))
        elsewhere.close()


@pytest.mark.law("events.5")
async def test_many_rings_while_a_reader_is_busy_are_one_more_read(
    store: WrappedStore, log: EventLog
) -> None:
    await log.append(created("s"))
    gate = Gate()

    async def hold(number: int) -> None:
        if number == first:
            await gate.pass_through()

    first = store.reads
    store.after = hold
    got: list[Event] = []
    async with anyio.create_task_group() as group:

        async def follow() -> None:
            got.extend(await take(following(log), 101))

        group.start_soon(follow)
        await gate.reached()
        for number in range(100):
            await log.append(titled("s", number))
        gate.open()

    assert numbers(got) == list(range(101))
    assert store.reads - first == 2


@pytest.mark.law("events.5")
@pytest.mark.parametrize("seed", range(4))
async def test_tails_opened_at_any_moment_miss_and_repeat_nothing(
    medium: Medium, log: EventLog, seed: int
) -> None:
    """Three writers, one of them in another store, and readers that come meanwhile."""
    await log.append(created("s"))
    total = 60
    dice = random.Random(seed)

    async def write(one: EventLog, count: int) -> None:
        for number in range(count):
            await one.append(titled("s", number))
            for _ in range(dice.randrange(4)):
                await anyio.lowlevel.checkpoint()

    got: dict[int, list[int]] = {}

    async def follow(number: int, after: int) -> None:
        for _ in range(dice.randrange(200)):
            await anyio.lowlevel.checkpoint()
        async with following(log, after=after) as tail:
            got[number] = numbers(await take(tail, total - after))
            assert tail.cursor == total

    starts = [dice.randrange(-1, total) for _ in range(12)]
    async with medium.open() as elsewhere:
        other = log_on(elsewhere)
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                for number, after in enumerate(starts):
                    group.start_soon(follow, number, after)
                for one in (log, log, other):
                    group.start_soon(write, one, total // 3)

    expected = {n: list(range(after + 1, total + 1)) for n, after in enumerate(starts)}
    assert got == expected
    assert log.readers == 0


@pytest.mark.law("events.5")
async def test_a_cancelled_read_takes_no_event_and_no_ring_with_it(
    store: WrappedStore, log: EventLog
) -> None:
    await log.append(created("s"))
    tail = following(log)
    await take(tail, 1)
    gate = Gate()
    first = store.reads

    async def hold(number: int) -> None:
        if number == first:
            await gate.pass_through()

    # More than is at hand, so that the ring makes a read of it.
    many = [titled("s", number) for number in range(AT_HAND + 1)]
    for number, side in enumerate(("before", "after")):
        gate, first = Gate(), store.reads + 1
        setattr(store, side, hold)
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                group.start_soon(anext, tail)
                await anyio.wait_all_tasks_blocked()
                # It has waited for this ring, and is cancelled while it reads.
                first = store.reads
                await log.append(*many)
                await gate.reached()
                group.cancel_scope.cancel()
        store.before = store.after = None

        begin = 1 + number * len(many)
        found = numbers(await take(tail, len(many)))
        assert found == list(range(begin, begin + len(many)))
        assert await take(tail, 0) == []
    tail.close()


async def test_a_cancelled_wait_goes_on_later(log: EventLog) -> None:
    await log.append(created("s"))
    tail = following(log)
    await take(tail, 1)
    with anyio.move_on_after(0):
        await anext(tail)
    await log.append(titled("s", 1))

    assert numbers(await take(tail, 1)) == [1]
    tail.close()


async def test_closing_leaves_nothing_behind_and_ends_a_waiting_reader(
    medium: Medium, log: EventLog
) -> None:
    await log.append(created("s"))
    tails: list[Any] = [
        following(log),
        following(log),
        RuntimeTail(log, 0, follow=True),
    ]
    ended: list[int] = []

    async def follow(number: int) -> None:
        async for _ in tails[number]:
            pass
        ended.append(number)

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(follow, number)
            await anyio.wait_all_tasks_blocked()
            assert log.readers == 3
            for tail in tails:
                tail.close()
                await tail.aclose()

    assert sorted(ended) == [0, 1, 2]
    assert log.readers == 0
    assert log._bells == {}
    assert log._end_watch is None
    assert medium.state.watchers == {}
    with pytest.raises(StopAsyncIteration):
        await anext(tails[0])


async def test_a_tail_closed_while_it_reads_delivers_nothing_more(
    store: WrappedStore, log: EventLog
) -> None:
    await fill(log, "s", 3)
    gate = Gate()

    async def hold(_: int) -> None:
        await gate.pass_through()

    store.after = hold
    tail = following(log)
    got: list[Event] = []
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:

            async def follow() -> None:
                got.extend([event async for event in tail])

            group.start_soon(follow)
            await gate.reached()
            tail.close()
            gate.open()

    assert got == []
    assert log.readers == 0


async def test_dropped_tails_are_collected(medium: Medium, log: EventLog) -> None:
    for name in ("a", "b"):
        await log.append(created(name))
    tails: list[Any] = [following(log, name) for name in ("a", "a", "b")]
    tails.append(RuntimeTail(log, None, follow=True))
    for tail in tails:
        await take(tail, 1)
    assert log.readers == 4
    assert log._end_watch is not None

    del tail
    tails.clear()
    gc.collect()

    assert log.readers == 0
    await log.append(titled("b", 1))
    assert log._bells == {}
    assert log._end_watch is None
    assert medium.state.watchers == {}


async def test_a_finite_tail_subscribes_to_nothing(log: EventLog) -> None:
    await log.append(created("s"))
    tail = Tail(log, "s", None, follow=False)
    await take(tail, 1)

    assert log.readers == 0


async def test_a_slow_reader_costs_nobody_anything_and_holds_one_page(
    log: EventLog,
) -> None:
    await log.append(created("s"))
    slow, quick = following(log), following(log)
    await take(slow, 1)
    await take(quick, 1)
    total = 3 * PAGE
    await log.append(*(titled("s", n) for n in range(total)))
    await take(slow, 1)

    assert len(slow._page) == PAGE - 1
    assert numbers(await take(quick, total)) == list(range(1, total + 1))
    # And it has missed nothing itself.
    assert numbers(await take(slow, total - 1)) == list(range(2, total + 1))
    slow.close()
    quick.close()


@pytest.mark.parametrize("after", [-2, 1.0, "1", True, b"0", object()])
async def test_what_is_no_cursor_is_refused(log: EventLog, after: Any) -> None:
    with pytest.raises(CursorInvalidError):
        Tail(log, "s", after, follow=True)
    with pytest.raises(CursorInvalidError):
        RuntimeTail(log, after, follow=False)


@pytest.mark.parametrize("follow", [False, True])
async def test_an_unknown_session_has_no_tail(log: EventLog, follow: bool) -> None:
    tail = Tail(log, "nobody", None, follow=follow)
    with pytest.raises(SessionNotFoundError):
        await anext(tail)
    tail.close()


async def test_two_readers_of_one_tail_are_refused(log: EventLog) -> None:
    await log.append(created("s"))
    tail = following(log, after=0)
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            group.start_soon(anext, tail)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(anyio.BusyResourceError):
                await anext(tail)
            await log.append(titled("s", 1))


async def test_closing_the_log_ends_who_follows_and_refuses_who_reads(
    store: WrappedStore, log: EventLog
) -> None:
    await fill(log, "s", PAGE)
    waiting, behind = following(log, after=PAGE), following(log)
    finite = Tail(log, "s", None, follow=False)
    await take(behind, PAGE)
    await take(finite, PAGE)
    ended: list[Tail] = []

    async def follow() -> None:
        async for _ in waiting:
            pass
        ended.append(waiting)

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            log.close()
    assert ended == [waiting]
    with pytest.raises(StopAsyncIteration):
        await anext(behind)
    with pytest.raises(RuntimeClosedError):
        await anext(finite)
    with pytest.raises(RuntimeClosedError):
        await anext(following(log))


# --- rows that cannot be read -----------------------------------------------------

DAMAGES = {
    "unknown kind": ("kind = 'weather.changed'", "event.unknown_kind"),
    "empty kind": ("kind = ''", "event.unknown_kind"),
    "newer version": ("version = 99", "event.unknown_version"),
    "no version": ("version = 'one'", "event.unknown_version"),
    "no JSON": ("data = x'7b'", "event.damaged"),
    "no object": ("data = '[]'", "event.damaged"),
    "no bytes": ("data = 17", "event.damaged"),
    "no data": ("data = x''", "event.damaged"),
    "no UTF-8": ("data = x'ff00fe'", "event.damaged"),
    "other fields": ("""data = '{"title":3,"more":1}'""", "event.damaged"),
    "no time": ("created = 'yesterday'", "event.damaged"),
    "a kind that is no text": ("kind = CAST(x'ff66' AS TEXT)", "event.unknown_kind"),
}


@pytest.mark.law("events.6")
@pytest.mark.parametrize("medium", ["sqlite"], indirect=True)
@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_row_that_cannot_be_read_is_named_and_the_reader_goes_on(
    medium: Medium, log: EventLog, damage: str
) -> None:
    await fill(log, "s", 4)
    change, code = DAMAGES[damage]
    harm(medium.file, f"UPDATE event SET {change} WHERE seq = 2", summed=True)

    with anyio.fail_after(HANG):
        async with following(log) as tail:
            events = await take(tail, 5)
        placed = await take(RuntimeTail(log, None, follow=False), 5)

    assert numbers(events) == [0, 1, 2, 3, 4]
    damaged = events[2]
    assert isinstance(damaged, UnreadableEvent)
    assert damaged.failure.code == code
    assert "event 2 of 's'" in damaged.failure.message
    assert [isinstance(event, SessionTitled) for event in events[1:]] == [
        True,
        False,
        True,
        True,
    ]
    assert [one.event.seq for one in placed] == [0, 1, 2, 3, 4]


# --- the whole store --------------------------------------------------------------


@pytest.mark.law("events.5")
async def test_the_runtime_wide_tail_has_all_sessions_in_commit_order(
    log: EventLog,
) -> None:
    order = []
    for number in range(PAGE + 20):
        name = f"s{number % 7}"
        event: Event = titled(name, number) if number >= 7 else created(name)
        order += [(made.session_id, made.seq) for made in await log.append(event)]

    def shown(items: list[Placed]) -> list[tuple[str, int]]:
        return [(item.event.session_id, item.event.seq) for item in items]

    tail = RuntimeTail(log, None, follow=True)
    items = await take(tail, len(order))
    assert shown(items) == order
    cursors = [item.cursor for item in items]
    assert cursors == sorted(set(cursors))
    assert tail.cursor == cursors[-1]
    for start in (0, 5, PAGE, len(order) - 1):
        again = RuntimeTail(log, cursors[start], follow=False)
        assert shown([item async for item in again]) == order[start + 1 :]

    late: list[Placed] = []
    async with anyio.create_task_group() as group:

        async def follow() -> None:
            late.extend(await take(tail, 2))

        group.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        await log.append(created("new"))
        await log.append(titled("s3", 1))
    assert [item.event.session_id for item in late] == ["new", "s3"]
    tail.close()


# --- other processes, and many readers --------------------------------------------

WRITER = """
import sys
import anyio
from dovetail.kernel.log.commit import EventLog
from dovetail.kernel.lifecycle.clock import SystemClock
from dovetail.kernel import SessionTitled
from dovetail.storage.sqlite.store import open_sqlite

async def main():
    async with open_sqlite(sys.argv[1]) as store:
        log = EventLog(store, SystemClock())
        for line in sys.stdin:
            await log.append(SessionTitled(session_id="s", title=line.strip()))
            print("committed", flush=True)

anyio.run(main)
"""


@pytest.mark.law("events.5")
@pytest.mark.parametrize("medium", ["sqlite"], indirect=True)
async def test_commits_of_another_process_arrive_within_a_second(
    medium: Medium, log: EventLog
) -> None:
    await log.append(created("s"))
    command = [sys.executable, "-c", WRITER, str(medium.file)]
    one, everything = following(log, after=0), RuntimeTail(log, 1, follow=True)
    with anyio.fail_after(HANG):
        async with await anyio.open_process(command) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for number in range(1, 4):
                await process.stdin.send(f"{number}\n".encode())
                await process.stdout.receive()
                # It is committed; the promise is a second, the rest is a busy machine.
                with anyio.fail_after(HANG):
                    event = await anext(one)
                    placed = await anext(everything)
                assert (event.seq, event.title) == (number, str(number))  # type: ignore[attr-defined]
                assert placed.event == event
            await process.stdin.aclose()
            assert await process.wait() == 0
    one.close()
    everything.close()


async def test_a_thousand_tails_of_one_session(log: EventLog) -> None:
    await log.append(created("s"))
    got: list[list[int]] = []

    async def follow() -> None:
        async with following(log, after=0) as tail:
            got.append([(await anext(tail)).seq for _ in range(5)])

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            for _ in range(1000):
                group.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            assert log.readers == 1000
            for number in range(5):
                await log.append(titled("s", number))

    assert got == [[1, 2, 3, 4, 5]] * 1000
    assert log.readers == 0


async def test_a_thousand_sessions_with_one_tail_each(
    store: WrappedStore, log: EventLog
) -> None:
    names = [f"s{n}" for n in range(1000)]
    for name in names:
        await log.append(created(name))
    got: dict[str, int] = {}

    async def follow(name: str) -> None:
        async with following(log, name, after=0) as tail:
            got[name] = (await anext(tail)).seq

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(follow, name)
            await anyio.wait_all_tasks_blocked()
            while log.readers < 1000:  # reads may still run on worker threads
                await anyio.lowlevel.checkpoint()
            reads = store.reads
            for name in names:
                await log.append(titled(name, 1))

    assert got == dict.fromkeys(names, 1)
    # Each commit woke the one reader that it was for.
    assert store.reads - reads <= 2 * len(names)
    assert log.readers == 0
