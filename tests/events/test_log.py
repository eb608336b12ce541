"""The log: what is committed is whole, in order, and told after it is durable."""

import logging
import sqlite3
from collections.abc import Sequence

import anyio
import pytest
from dovetail.kernel import (
    Event,
    EventLogError,
    EventUnwritableError,
    RuntimeClosedError,
    SessionId,
    TextEnded,
)
from dovetail.kernel.log.commit import EventLog, LogTransaction
from dovetail.kernel.log.tail import Tail
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.values.events import PromptPromoted
from dovetail.kernel.values.ids import MessageId
from support.bounds import HANG
from support.logs import Medium, created, fill, log_on, seqs, titled


def impossible(session_id: str) -> PromptPromoted:
    """Return an event that its projector refuses: nothing was admitted."""
    return PromptPromoted(
        session_id=SessionId(session_id), input_id=MessageId("msg_never")
    )


async def stored(log: EventLog, session_id: str) -> list[int]:
    return await seqs(Tail(log, session_id, None, follow=False))


@pytest.mark.law("events.1")
async def test_concurrent_commits_number_each_session_without_gap_or_repeat(
    log: EventLog,
) -> None:
    names = [f"s{n}" for n in range(5)]
    for name in names:
        await log.append(created(name))

    async def commit(name: str, number: int) -> None:
        await log.append(titled(name, number), titled(name, number))

    async with anyio.create_task_group() as group:
        for number in range(20):
            for name in names:
                group.start_soon(commit, name, number)

    for name in names:
        assert await stored(log, name) == list(range(41))


@pytest.mark.law("events.1")
async def test_two_writers_of_one_store_share_one_numbering(medium: Medium) -> None:
    async with medium.open() as one, medium.open() as two:
        logs = [log_on(one), log_on(two)]
        await logs[0].append(created("s"))

        async def commit(log: EventLog, number: int) -> None:
            await log.append(titled("s", number))

        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(commit, logs[number % 2], number)

        assert await stored(logs[0], "s") == list(range(31))
        assert await stored(logs[1], "s") == list(range(31))


@pytest.mark.law("events.1")
@pytest.mark.parametrize("medium", ["sqlite"], indirect=True)
async def test_the_schema_itself_refuses_a_number_twice(
    medium: Medium, log: EventLog
) -> None:
    await fill(log, "s", 3)
    connection = sqlite3.connect(medium.file)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(
            "INSERT INTO event (aggregate, seq, kind, version, created, data, hash)"
            " SELECT aggregate, seq, kind, version, created, data, hash"
            " FROM event WHERE seq = 2"
        )
    connection.close()


@pytest.mark.law("events.2")
@pytest.mark.parametrize("swallowed", [False, True])
@pytest.mark.parametrize("fault", ["decision", "projector"])
async def test_what_fails_consumes_no_number_and_tells_nobody(
    log: EventLog, fault: str, swallowed: bool
) -> None:
    await log.append(created("s"))
    told: list[Event] = []
    log.observe(told.append)
    live, bells = log.live.subscribe(), [log.bell("s"), log.bell(None)]
    head = await log.read(lambda rows: rows.head("s"))
    row = await log.read(lambda rows: rows.session("s"))

    def decide(tx: LogTransaction) -> None:
        tx.append(titled("s", 1))
        try:
            if fault == "decision":
                raise LookupError
            tx.append(titled("s", 2), impossible("s"), titled("s", 3))
        except EventLogError:
            # Whatever a decision makes of it: half a truth is never committed.
            if not swallowed:
                raise

    with pytest.raises(LookupError if fault == "decision" else EventLogError):
        await log.commit(decide)

    assert told == []
    assert [bell._rung for bell in bells] == [False, False]
    assert await log.read(lambda rows: rows.head("s")) == head
    assert await log.read(lambda rows: rows.session("s")) == row
    [event] = await log.append(titled("s", 4))
    assert event.seq == 1
    assert [one.seq for one in told] == [1]
    live.close()
    assert [one async for one in live] == [event]


@pytest.mark.law("events.2")
async def test_an_event_and_its_projection_are_seen_together_or_not_at_all(
    medium: Medium, log: EventLog
) -> None:
    """Another process that looks at any time sees as many titles as its row says."""
    await log.append(created("s", title="0"))
    async with medium.open() as other:
        looks: list[tuple[int, str | None]] = []

        async def look() -> None:
            while not looks or looks[-1][0] < 30:
                looks.append(
                    await other.read(
                        lambda rows: (
                            rows.head("s").seq,  # type: ignore[union-attr]
                            rows.session("s").title,  # type: ignore[union-attr]
                        )
                    )
                )
                await anyio.lowlevel.checkpoint()

        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                group.start_soon(look)
                for number in range(1, 31):
                    await log.append(titled("s", number))

    assert [str(seq) for seq, _ in looks] == [title for _, title in looks]


@pytest.mark.law("events.3")
async def test_readers_are_told_in_log_order_and_before_the_committer_goes_on(
    log: EventLog,
) -> None:
    await log.append(created("a"), titled("a", 0))
    await log.append(created("b"), titled("b", 0))
    told: dict[str, list[int]] = {"a": [], "b": []}
    log.observe(lambda event: told[event.session_id].append(event.seq))
    live = log.live.subscribe()
    late: list[Event] = []

    async def commit(name: str, number: int) -> None:
        made: Sequence[Event] = await log.append(titled(name, number), titled(name, 0))
        late.extend(event for event in made if event.seq not in told[name])

    async with anyio.create_task_group() as group:
        for number in range(25):
            group.start_soon(commit, "a", number)
            group.start_soon(commit, "b", number)

    assert told == {"a": list(range(2, 52)), "b": list(range(2, 52))}
    assert late == []
    live.close()
    shown: dict[str, list[int]] = {"a": [], "b": []}
    async for event in live:
        assert isinstance(event, Event)
        shown[event.session_id].append(event.seq)
    assert shown == told


@pytest.mark.law("events.3")
@pytest.mark.parametrize("medium", ["sqlite"], indirect=True)
async def test_what_observers_are_told_is_on_disk_already(
    medium: Medium, log: EventLog
) -> None:
    seen: list[int] = []

    def look(_: Event) -> None:
        connection = sqlite3.connect(medium.file)
        seen.append(connection.execute("SELECT max(seq) FROM event").fetchone()[0])
        connection.close()

    log.observe(look)
    await log.append(created("s"), titled("s", 1))

    assert seen == [1, 1]


async def test_an_observer_that_breaks_is_nobody_elses_trouble(
    log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    def break_(_: Event) -> None:
        raise LookupError("mine")

    told: list[int] = []
    end = log.observe(break_)
    log.observe(lambda event: told.append(event.seq))
    bell = log.bell("s")

    with caplog.at_level(logging.ERROR):
        await log.append(created("s"), titled("s", 1))
    end()
    await log.append(titled("s", 2))

    assert told == [0, 1, 2]
    assert await bell.wait()
    assert len([r for r in caplog.records if "observer" in r.message]) == 2


@pytest.mark.law("events.10")
async def test_a_clock_that_goes_backwards_changes_no_order(medium: Medium) -> None:
    clock = ManualClock()
    async with medium.open() as store:
        log = EventLog(store, clock)
        await log.append(created("s"))
        for number in range(1, 6):
            clock.set_back(3600)
            await log.append(titled("s", number))

        events = [event async for event in Tail(log, "s", None, follow=False)]
        assert [event.seq for event in events] == list(range(6))
        times = [event.created for event in events]
        assert times == sorted(times, reverse=True)
        row = await log.read(lambda rows: rows.session("s"))
        assert row is not None
        assert row.title == "5"
        everything = await log.read(lambda rows: rows.all_events())
        assert [one.seq for one in everything] == list(range(6))


@pytest.mark.law("events.12")
async def test_what_could_not_be_read_again_is_refused_before_it_is_stored(
    log: EventLog,
) -> None:
    await log.append(created("s"))
    wrong = TextEnded(
        session_id=SessionId("s"),
        message_id=MessageId("m"),
        text=3,  # type: ignore[arg-type]
    )

    with pytest.raises(EventUnwritableError, match=r"event 2 .* text\.ended .*\.text"):
        await log.append(titled("s", 1), wrong)

    assert await stored(log, "s") == [0]
    await log.append(titled("s", 2))
    assert await stored(log, "s") == [0, 1]


async def test_a_decision_sees_what_it_appended(log: EventLog) -> None:
    def decide(tx: LogTransaction) -> tuple[str | None, int]:
        tx.append(created("s", title="a"))
        tx.append(titled("s", 7))
        return tx.session("s").title, tx.head("s").seq

    assert await log.commit(decide) == ("7", 1)


async def test_a_closed_log_refuses_everything(log: EventLog) -> None:
    await log.append(created("s"))
    log.close()
    log.close()

    with pytest.raises(RuntimeClosedError):
        await log.append(titled("s", 1))
    with pytest.raises(RuntimeClosedError):
        await log.read(lambda rows: rows.head("s"))
    with pytest.raises(RuntimeClosedError):
        log.bell("s")
