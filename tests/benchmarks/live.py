"""Benchmarks of live events: what each further watcher costs."""

from time import perf_counter

from dovetail.kernel import LiveDelta, LiveLines, MessageId, SessionId
from dovetail.kernel.log.live import LiveFeed
from measure import Bench, Line, Program, Series, interleaved

EVENTS = 500
SESSION, MESSAGE = SessionId(f"ses_{0:032x}"), MessageId(f"msg_{0:032x}")


async def live(bench: Bench) -> list[Line]:
    """What a delta costs a session that 1, 10 and 100 watch, each as JSON.

    The first watcher's part is making the delta, handing it on, and encoding it. What
    the others read is the same bytes; their reading is their own and shown apart.
    """
    costs: dict[str, list[float]] = {}
    found = await interleaved(
        {str(count): _watched_by(count, costs) for count in (1, 10, 100)},
        bench.of(15, 60),
        warm_up=0,  # so that the two parts of a round stay together
    )
    reading = {name: Series(tuple(values)) for name, values in costs.items()}
    first = Series(
        tuple(
            made + read
            for made, read in zip(found["1"].values, reading["1"].values, strict=True)
        )
    )
    return [
        *(
            Line(f"live delta to {count} watchers", "us", found[str(count)], first)
            for count in (10, 100)
        ),
        Line(
            "  the 100th watcher over the first",
            "us",
            _marginal(found["1"], found["100"]),
            first,
            "<= 0.02",
        ),
        Line(
            "  what the 100th takes to read it",
            "us",
            _marginal(reading["1"], reading["100"]),
            first,
        ),
    ]


def _marginal(one: Series, hundred: Series) -> Series:
    pairs = zip(one.values, hundred.values, strict=True)
    return Series(tuple((many - single) / 99 for single, many in pairs))


def _watched_by(count: int, costs: dict[str, list[float]]) -> Program:
    feed = LiveFeed()
    watchers = [feed.subscribe_lines(capacity=EVENTS) for _ in range(count)]
    reading = costs.setdefault(str(count), [])

    async def program() -> float:
        began = perf_counter()
        for number in range(EVENTS):
            feed.publish(LiveDelta(SESSION, MESSAGE, "text", "0", f"word {number}"))
        took = perf_counter() - began
        began = perf_counter()
        for watcher in watchers:
            await _read(watcher)
        reading.append((perf_counter() - began) / EVENTS)
        return took / EVENTS

    return program


async def _read(watcher: LiveLines) -> None:
    for _ in range(EVENTS):
        await anext(watcher)
