"""Sharing: an event is written once for those who read together, and never kept as it
was before."""

import gc
import weakref

import anyio
import pytest
from dovetail.kernel import Event, SessionId, event_to_json
from dovetail.kernel.log.commit import EventLog
from dovetail.kernel.log.sharing import MOST, MOST_BYTES, Shared
from dovetail.kernel.log.tail import Placed, RuntimeTail, Tail, Written
from dovetail.kernel.upkeep.retention import prune
from dovetail.kernel.values.codec import dumps
from support.bounds import HANG
from support.logs import fill, take, titled


class Held:
    """Is there for as long as a line is: bytes themselves cannot be watched."""


class Line(bytes):
    """A line, of which it can be seen whether somebody still holds it."""

    def __init__(self, _: object) -> None:
        self.held = Held()


class Pen:
    """Writes events, and counts that."""

    def __init__(self) -> None:
        self.wrote: list[int] = []
        self.lines: list[weakref.ref[Held]] = []

    def __call__(self, shown: Event | Placed) -> bytes:
        event = shown.event if isinstance(shown, Placed) else shown
        self.wrote.append(event.seq)
        line = Line(dumps(event_to_json(event)))
        self.lines.append(weakref.ref(line.held))
        return line

    @property
    def kept(self) -> int:
        gc.collect()
        return sum(line() is not None for line in self.lines)


def reading(log: EventLog, pen: Pen, *, follow: bool = False) -> Written:
    return Tail(log, "s", None, follow=follow).as_bytes(pen)


async def all_of(lines: Written) -> list[bytes]:
    with anyio.fail_after(HANG):
        return [line async for line in lines]


async def test_an_event_that_is_read_by_several_is_written_once(log: EventLog) -> None:
    await fill(log, "s", 2)
    pen = Pen()
    readers = [reading(log, pen, follow=True) for _ in range(3)]
    first = [await take(one, 3) for one in readers]
    await log.append(titled("s", 3))
    later = [await take(one, 1) for one in readers]

    assert pen.wrote == [0, 1, 2, 3]
    assert first[0] == first[1] == first[2]
    assert later[0] == later[1] == later[2]
    assert [one.cursor for one in readers] == [3, 3, 3]


async def test_all_logs_are_shared_by_those_who_read_all(log: EventLog) -> None:
    await fill(log, "s", 1)
    await fill(log, "other", 1)
    pen = Pen()
    readers = [RuntimeTail(log, None, follow=False).as_bytes(pen) for _ in range(2)]
    alone = reading(log, pen)
    assert await all_of(readers[0]) == await all_of(readers[1])
    assert pen.wrote == [0, 1, 0, 1]
    assert len(await all_of(alone)) == 2


async def test_what_all_have_passed_is_not_kept(log: EventLog) -> None:
    await fill(log, "s", 4)
    pen = Pen()
    quick, slow = reading(log, pen), reading(log, pen)
    await all_of(quick)
    assert pen.kept == 5
    await take(slow, 2)
    assert pen.kept == 3
    await all_of(slow)
    assert pen.kept == 0


async def test_nothing_is_kept_for_one_who_reads_alone(log: EventLog) -> None:
    await fill(log, "s", 4)
    pen = Pen()
    alone = reading(log, pen)
    await take(alone, 3)
    assert pen.kept == 0


async def test_nothing_is_kept_when_nobody_reads_any_more(log: EventLog) -> None:
    await fill(log, "s", 4)
    pen = Pen()
    quick, slow = reading(log, pen), reading(log, pen)
    await all_of(quick)
    quick.close()
    slow.close()
    del quick, slow
    assert pen.kept == 0


@pytest.mark.law("storage.4")
async def test_what_was_removed_is_not_told_from_what_was_written_before(
    log: EventLog,
) -> None:
    await fill(log, "s", 3)
    pen = Pen()
    before, after = reading(log, pen), reading(log, pen)
    told = await all_of(before)
    await log.commit(lambda tx: prune(tx, SessionId("s"), ("transcript",), None))

    assert b'"title":"2"' in told[2]
    assert b'"title":"2"' not in (await take(after, 3))[2]


@pytest.mark.parametrize("size", [1, MOST_BYTES // 8])
def test_no_more_than_a_bound_is_kept_for_who_does_not_come(size: int) -> None:
    lines: list[weakref.ref[Held]] = []

    def write(record: object) -> bytes:
        line = Line(bytes(size))
        lines.append(weakref.ref(line.held))
        return line

    shared = Shared(write)
    readers = [Pen(), Pen()]
    for reader in readers:
        shared.join(reader)
    for place in range(2 * MOST):
        shared.written(place, place, lambda record: record)
    kept = sum(line() is not None for line in lines)
    assert kept == min(MOST, MOST_BYTES // size)
