"""What dominates a turn: a profile of its hot path, by each function's own time.

Two profiles, because two threads take part and only one can be watched at a time: the
event loop, where everything is decided, and the store's writer, where everything is
stored.
"""

import cProfile
import pstats
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
from measure import Bench
from ours import opened, turn
from turns import TEXT

Watching = Callable[[cProfile.Profile], Iterator[Callable[[], None]]]
"""Prepares a profile, and yields what lets it begin."""

TOP = 12
WRITER = "dovetail-writer"


def profile(bench: Bench) -> str:
    """Return both profiles of text turns, as text."""
    turns = bench.of(100, 500)
    shown = []
    for name, watching in (
        ("the event loop", _watching_here),
        ("the writer's thread", _watching_writer),
    ):
        watch = cProfile.Profile()
        anyio.run(_turns, bench, watch, watching, turns)
        shown.append(f"\n{TOP} functions with most own time in {name}, us a turn:\n")
        shown.append(_top(watch, turns))
    return "\n".join(shown)


async def _turns(
    bench: Bench,
    watch: cProfile.Profile,
    watching: Watching,
    count: int,
) -> None:
    with contextmanager(watching)(watch) as begin:
        async with opened(bench.url, bench.file()) as runtime:
            session = await runtime.sessions.create(location=bench.folder(), model=TEXT)
            for _ in range(5):
                await turn(session)
            begin()
            for _ in range(count):
                await turn(session)


def _watching_here(watch: cProfile.Profile) -> Iterator[Callable[[], None]]:
    yield watch.enable
    watch.disable()


def _watching_writer(watch: cProfile.Profile) -> Iterator[Callable[[], None]]:
    run = threading.Thread.run

    def watched(thread: threading.Thread) -> None:
        if thread.name.startswith(WRITER):
            with watch:
                run(thread)
        else:
            run(thread)

    threading.Thread.run = watched  # type: ignore[method-assign]
    try:
        yield lambda: None
    finally:
        threading.Thread.run = run  # type: ignore[method-assign]


def _top(watch: cProfile.Profile, turns: int) -> str:
    found = pstats.Stats(watch).stats  # type: ignore[attr-defined]
    rows = sorted(
        ((own, calls, place) for place, (_, calls, own, _, _) in found.items()),
        reverse=True,
    )
    return "\n".join(
        f"{own / turns * 1e6:8.1f}  {calls / turns:6.1f} calls  {_named(place)}"
        for own, calls, place in rows[:TOP]
    )


def _named(place: tuple[str, int, str]) -> str:
    file, line, function = place
    return function if file == "~" else f"{Path(file).name}:{line} {function}"
