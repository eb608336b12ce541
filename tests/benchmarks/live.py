"""Benchmark of the live feed: what one more watcher costs."""

from time import perf_counter

from dovetail.kernel import LiveDelta, MessageId, SessionId, event_to_json
from dovetail.kernel.events.live import LiveFeed
from dovetail.kernel.values.codec import dumps
from measure import Bench, Line, Series, interleaved

EVENTS = 500
SESSION, MESSAGE = SessionId(f"ses_{0:032x}"), MessageId(f"msg_{0:032x}")


async def live(bench: Bench) -> list[Line]:
    """A delta to 1, 10 and 100 watchers, each of whom could send it on as JSON."""
    found = await interleaved(
        {str(count): _publishing(count) for count in (1, 10, 100)},
        bench.of(15, 60),
    )
    one, ten, hundred = (found[count] for count in ("1", "10", "100"))
    more = Series(
        tuple(
            (most - some) / 90
            for most, some in zip(hundred.values, ten.values, strict=True)
        )
    )
    return [
        Line("live delta to 10 watchers", "us", ten, one),
        Line("live delta to 100 watchers", "us", hundred, one),
        Line("  the 100th watcher over the first", "us", more, one, "<= 0.02"),
    ]


def _publishing(count: int):
    feed = LiveFeed()
    watchers = [feed.subscribe(capacity=EVENTS) for _ in range(count)]

    async def program() -> float:
        began = perf_counter()
        for number in range(EVENTS):
            feed.publish(LiveDelta(SESSION, MESSAGE, "text", "0", f"word {number}"))
        for watcher in watchers:
            for _ in range(EVENTS):
                event = await anext(watcher)
                dumps(event_to_json(event))
        return (perf_counter() - began) / EVENTS

    return program
