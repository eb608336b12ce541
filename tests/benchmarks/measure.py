"""Measuring: rounds that interleave the programs, and what is made of their times.

Whatever else the machine does hits all programs of a round alike, so a ratio is
trusted more than the times it is made of. Medians and the span from the 10th to the
90th percentile are shown; nothing is judged here.
"""

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from attrs import frozen

Program = Callable[[], Awaitable[float | Sequence[float]]]
"""Runs once and returns what it cost; several costs when it did several things."""


@frozen
class Series:
    """What one program cost, round by round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def percentile(self, percent: int) -> float:
        """Return the value below which this share of the rounds lies."""
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


@frozen
class Line:
    """One line of the table: ours, what it is held against, and their ratio."""

    what: str
    unit: str
    ours: Series
    against: Series | None = None
    goal: str = ""
    ratio: float | None = None
    """Where it is not that of the medians."""

    @property
    def shown_ratio(self) -> float | None:
        """The ratio of ours to the other."""
        if self.ratio is not None:
            return self.ratio
        return self.ours.median / self.against.median if self.against else None


class Bench:
    """What every benchmark is handed: the model server, room on disk, an effort."""

    def __init__(self, url: str, room: Path, *, short: bool) -> None:
        self.url = url
        self.short = short
        self.bytecode = room / "bytecode"
        self._room = room
        self._made = 0

    def of(self, short: int, full: int) -> int:
        """Return the one or the other, as this run is meant."""
        return short if self.short else full

    def file(self) -> Path:
        """Return the path of a file that does not exist yet."""
        self._made += 1
        return self._room / f"{self._made}.db"

    def folder(self) -> Path:
        """Return a new, empty folder."""
        self._made += 1
        made = self._room / str(self._made)
        made.mkdir()
        return made


async def interleaved(
    programs: Mapping[str, Program], rounds: int, warm_up: int = 3
) -> dict[str, Series]:
    """Run every program once a round, in another order each round."""
    names = list(programs)
    values: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warm_up, rounds):
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            cost = await programs[name]()
            if number >= 0:
                values[name] += [cost] if isinstance(cost, float) else cost
    return {name: Series(tuple(found)) for name, found in values.items()}


def timed(work: Callable[[], Awaitable[Any]]) -> Program:
    """Return a program that costs the seconds that the work takes."""

    async def program() -> float:
        began = perf_counter()
        await work()
        return perf_counter() - began

    return program


def table(lines: Sequence[Line]) -> str:
    """Return the lines as a table of plain text."""
    head = ("what", "dovetail", "p10 - p90", "against", "p10 - p90", "ratio", "goal")
    rows = [head, *map(_cells, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    ruled = [rows[0], tuple("-" * width for width in widths), *rows[1:]]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 6) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in ruled
    )


def _cells(line: Line) -> tuple[str, ...]:
    ours, other = line.ours, line.against
    ratio = line.shown_ratio
    return (
        line.what,
        _shown(ours.median, line.unit),
        _span(ours, line.unit),
        _shown(other.median, line.unit) if other else "",
        _span(other, line.unit) if other else "",
        "" if ratio is None else f"{ratio:.2f}",
        line.goal,
    )


def _span(series: Series, unit: str) -> str:
    if len(series.values) < 3:
        return ""
    low, high = series.percentile(10), series.percentile(90)
    return f"{_shown(low, unit).partition(' ')[0]} - {_shown(high, unit)}"


def _shown(value: float, unit: str) -> str:
    number = value * _UNITS[unit]
    return f"{number:.0f} {unit}" if number >= 1000 else f"{number:.3g} {unit}"


_UNITS = {
    "s": 1,
    "ms": 1e3,
    "us": 1e6,
    "ns": 1e9,
    "kB": 1 / 1024,
    "MB": 1 / 1024**2,
    "/s": 1,
}
"""What a number of seconds, bytes or things a second is multiplied by to be shown."""
