"""Live: everything as it happens, for whoever watches now; nobody waits for anybody."""

import json
import sqlite3
from pathlib import Path
from typing import Any
from weakref import ref

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
    event_to_json,
)
from dovetail.kernel.log.commit import EventLog
from dovetail.kernel.log.live import LiveFeed
from dovetail.kernel.log.tail import Tail
from dovetail.kernel.testing.scripted import ScriptedProvider, reasoning, text
from hypothesis import given, strategies as st
from support.bounds import HANG
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
    with anyio.fail_after(HANG):
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
    quick.close()
    # It is gone from the feed, so that it costs nothing any more.
    assert not log.live.watched


async def test_lines_are_the_same_events_as_json_made_once(log: EventLog) -> None:
    events = log.live.subscribe()
    first, second = log.live.subscribe_lines(), log.live.subscribe_lines()
    await log.append(created("s"))
    log.live.publish(delta("s", "a\ud800b"))
    shown = await take(events, 2)
    lines = await take(first, 2)
    again = await take(second, 2)

    assert json.loads(lines[0]) == event_to_json(shown[0])
    assert json.loads(lines[1]) == {**event_to_json(shown[1]), "text": "a\ufffdb"}
    assert all(one is other for one, other in zip(lines, again, strict=True))
    log.live.close()
    log.live.publish(delta("s", "nobody watches"))
    assert [line async for line in first] == []


async def test_lines_that_are_not_read_are_dropped_alone() -> None:
    feed = LiveFeed()
    slow, quick = feed.subscribe_lines(capacity=1), feed.subscribe(session_id="s")
    for piece in ("a", "b"):
        feed.publish(delta("s", piece))
    assert [one.text for one in await take(quick, 2)] == ["a", "b"]
    assert json.loads((await take(slow, 1))[0])["text"] == "a"
    with pytest.raises(LiveOverflowError):
        await anext(slow)
    quick.close()


async def test_another_sessions_events_do_not_count_against_a_subscriber() -> None:
    feed = LiveFeed()
    subscription = feed.subscribe(session_id="mine", capacity=1)
    for _ in range(5):
        feed.publish(delta("theirs", "x"))
    feed.publish(delta("mine", "a"))

    assert await take(subscription, 1) == [delta("mine", "a")]
    subscription.close()


async def test_nothing_is_kept_for_a_reader_that_was_dropped_or_closed() -> None:
    feed = LiveFeed()
    slow, closed, quick = (feed.subscribe(capacity=2) for _ in range(3))
    seen = []
    for number in range(6):
        event = delta("s", f"{number}")
        seen.append(ref(event))
        feed.publish(event)
        await take(quick, 1)
        if not number:
            closed.close()
    del event
    # The first for `closed`, two for `slow`, and the newest, after which `quick` is.
    assert [one() is not None for one in seen] == [True, True, *[False] * 3, True]
    assert await take(closed, 1) == [delta("s", "0")]
    assert await take(slow, 2) == [delta("s", "0"), delta("s", "1")]
    assert [one() is not None for one in seen] == [False] * 5 + [True]


class Watching:
    """A subscriber, and what it should be: a queue of its own."""

    def __init__(self, feed: LiveFeed, session: str | None, capacity: int) -> None:
        self.it = feed.subscribe(session_id=session, capacity=capacity)
        self.session, self.capacity = session, capacity
        self.queue: list[LiveDelta] = []
        self.end: type[Exception] | None = None

    def publish(self, event: LiveDelta) -> None:
        if self.end is None and self.session in (None, event.session_id):
            if len(self.queue) < self.capacity:
                self.queue.append(event)
            else:
                self.end = LiveOverflowError

    def read(self) -> None:
        if self.queue:
            assert _at_once(anext(self.it)) == self.queue.pop(0)
        elif self.end is not None:
            with pytest.raises(self.end):
                _at_once(anext(self.it))

    def close(self) -> None:
        self.it.close()
        self.end = self.end or StopAsyncIteration


def _at_once(reading: Any) -> object:
    """Run what has nothing to wait for."""
    try:
        reading.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


SESSIONS = st.sampled_from(["a", "b"])
ACTIONS = st.one_of(
    st.tuples(st.just("publish"), SESSIONS),
    st.tuples(st.just("watch"), st.none() | SESSIONS, st.integers(1, 4)),
    st.tuples(st.sampled_from(["read", "read", "close"]), st.integers(0, 7)),
)


@given(st.lists(ACTIONS, max_size=60))
def test_each_subscriber_has_what_a_queue_of_its_own_would_hold(
    actions: list[tuple[Any, ...]],
) -> None:
    feed, watching = LiveFeed(), list[Watching]()
    for number, (action, *how) in enumerate(actions):
        if action == "publish":
            event = delta(how[0], f"{number}")
            feed.publish(event)
            for one in watching:
                one.publish(event)
        elif action == "watch":
            watching.append(Watching(feed, *how))
        elif watching:
            one = watching[how[0] % len(watching)]
            one.read() if action == "read" else one.close()
        assert feed.watched == any(one.end is None for one in watching)
    feed.close()
    for one in watching:
        one.close()
        while one.queue:
            one.read()
        one.read()


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
        with anyio.fail_after(HANG):
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
