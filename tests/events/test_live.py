"""Live: everything as it happens, for whoever watches now; nobody waits for anybody."""

import sqlite3
from pathlib import Path

import anyio
import pytest
from dovetail.kernel import (
    Event,
    InvalidValueError,
    LiveDelta,
    LiveOverflowError,
    MessageId,
    SessionId,
    TextEnded,
)
from dovetail.kernel.events.live import LiveFeed
from dovetail.kernel.events.log import EventLog
from dovetail.kernel.events.tail import Tail
from dovetail.kernel.testing.scripted import ScriptedProvider, reasoning, text
from support.hosts import host
from support.logs import created, fill, take, titled


def delta(session_id: str, piece: str) -> LiveDelta:
    return LiveDelta(SessionId(session_id), MessageId("msg_1"), "text", "0", piece)


async def test_a_subscription_has_everything_since_it_was_made_in_order(
    log: EventLog,
) -> None:
    [first] = await log.append(created("s"))
    everything = log.live.subscribe()
    async with everything, log.live.subscribe(session_id="b") as one:
        assert log.live.watched
        made: list[object] = [*await log.append(titled("s", 1))]
        for piece in ("a", "b"):
            log.live.publish(delta("b", piece))
            made.append(delta("b", piece))
        made += await log.append(created("b"))

        assert await take(everything, 4) == made
        assert await take(one, 3) == made[1:]
    assert not log.live.watched
    assert first not in made


async def test_a_subscriber_that_waits_is_woken_and_closing_ends_it() -> None:
    feed = LiveFeed()
    subscription = feed.subscribe()
    got: list[object] = []
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                got.extend([event async for event in subscription])
                got.append("ended")

            group.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            feed.publish(delta("s", "a"))
            await anyio.wait_all_tasks_blocked()
            assert got == []  # the loop of `watch` still collects
            feed.close()
            feed.close()

    assert got == [delta("s", "a"), "ended"]


async def test_a_subscriber_that_falls_behind_is_dropped_alone(log: EventLog) -> None:
    """It has what was queued, then the error; from its cursor it misses nothing."""
    await fill(log, "s", 0)
    slow, quick = log.live.subscribe(capacity=3), log.live.subscribe(capacity=3)
    seen: list[int] = []
    for number in range(1, 8):
        await log.append(titled("s", number))
        [event] = await take(quick, 1)
        seen.append(event.seq)

    assert seen == list(range(1, 8))
    got = await take(slow, 3)
    with pytest.raises(LiveOverflowError) as caught:
        await anext(slow)
    assert caught.value.code == "live.overflow"
    assert caught.value.capacity == 3
    with pytest.raises(LiveOverflowError):
        await anext(slow)
    cursor = got[-1].seq
    rest = [event async for event in Tail(log, "s", cursor, follow=False)]
    assert [event.seq for event in [*got, *rest]] == seen
    # It is gone from the feed, so that it costs nothing any more.
    assert list(log.live._subscribers) == [quick]
    assert len(slow._queue) == 0
    quick.close()


async def test_another_sessions_events_do_not_count_against_a_subscriber() -> None:
    feed = LiveFeed()
    subscription = feed.subscribe(session_id="mine", capacity=1)
    for _ in range(5):
        feed.publish(delta("theirs", "x"))
    feed.publish(delta("mine", "a"))

    assert await take(subscription, 1) == [delta("mine", "a")]
    subscription.close()


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_queue_without_room_is_refused(capacity: int) -> None:
    with pytest.raises(InvalidValueError):
        LiveFeed().subscribe(capacity=capacity)


@pytest.mark.law("events.8")
async def test_deltas_are_shown_and_only_the_whole_is_stored(tmp_path: Path) -> None:
    pieces = ["Zwölf ", "Boxkämpfer ", "jagen"]
    provider = ScriptedProvider(
        [reasoning("quick-"), reasoning("thought"), *text(*pieces)]
    )
    async with host(tmp_path, provider) as runtime:
        live = runtime.live()
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(5):
            await session.wait()
        stored = [event async for event in session.events()]
        live.close()
        shown = [event async for event in live]

    deltas = [event for event in shown if isinstance(event, LiveDelta)]
    assert [d.text for d in deltas if d.what == "text"] == pieces
    assert "".join(d.text for d in deltas if d.what == "reasoning") == "quick-thought"
    assert [event for event in shown if isinstance(event, Event)] == stored
    [whole] = [event for event in stored if isinstance(event, TextEnded)]
    assert whole.text == "".join(pieces)
    # Each delta came before the durable end of its part.
    assert shown.index(deltas[-1]) < shown.index(whole)
    connection = sqlite3.connect(tmp_path / "test.db")
    kinds = {row[0] for row in connection.execute("SELECT kind FROM event")}
    connection.close()
    assert not [kind for kind in kinds if kind.startswith("live")]
    assert all(not isinstance(event, LiveDelta) for event in stored)
