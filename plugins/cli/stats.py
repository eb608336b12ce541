"""The command ``stats``: tokens and costs by day, model and directory, as bars."""

import os
import time
from collections.abc import Callable, Iterable, Sequence

import anyio
import click
from attrs import field, frozen
from dovetail.kernel import Spending, Usage, added_cost, to_json

from ..console.listing import usage_text
from ..console.options import database_option, json_line, json_option, opened
from ..console.terminal import Style, Terminal, short

DAY_MS = 86_400_000
MAX_ROWS = 31
"""Days, models or directories that are shown; the rest is one row."""
NAME_WIDTH = 36
BAR_WIDTH = 30
_EIGHTHS = " ▏▎▍▌▋▊▉█"


@click.command("stats", short_help="Show tokens and costs by day and model")
@click.option(
    "--days",
    metavar="N",
    type=click.IntRange(1, 36_500),
    default=30,
    show_default=True,
    help="So many days up to today.",
)
@click.option("--model", metavar="TEXT", help="Only models with this in their name.")
@click.option("--location", metavar="DIR", help="Only sessions of this directory.")
@database_option
@json_option("the sum of one day, model and directory")
def stats_command(
    days: int, model: str | None, location: str | None, db: str | None, as_json: bool
) -> None:
    """Show how many tokens were used and what that cost, by day, by model and by
    directory. "at least" says that not every price is known.

    \b
    dovetail stats
    dovetail stats --days 7 --model claude
    dovetail stats --json | jq -s 'map(.cost // 0) | add'

    Steps and summaries are counted, each where it was made. Titles, and attempts
    that failed within a Step, are in what `dovetail show` says of their session.
    """
    since = _midnight() - (days - 1) * DAY_MS

    async def read() -> Sequence[Spending]:
        async with opened(db) as runtime:
            found: Sequence[Spending] = await runtime.sessions.spending(since)
            return found

    directory = None if location is None else os.path.realpath(location)
    found = [
        one
        for one in anyio.run(read)
        if (model is None or model.lower() in (one.model or "").lower())
        and (directory is None or one.directory == directory)
    ]
    terminal = Terminal()
    if as_json:
        terminal.write("".join(json_line(to_json(one)) for one in found))
    elif not found:
        terminal.tell(f"no Steps in the last {days} days")
    else:
        terminal.write(_table(found, terminal.style, days))


def _midnight() -> int:
    """Return when today began here, in milliseconds since 1970."""
    now = time.localtime()
    today = (now.tm_year, now.tm_mon, now.tm_mday, 0, 0, 0, 0, 0, -1)
    return int(time.mktime(today)) * 1000


@frozen
class Sum:
    """What several came to together."""

    name: str
    steps: int = 0
    tokens: int = 0
    cost: float | None = None
    unpriced: int = 0
    usage: Usage = field(factory=Usage)

    def plus(self, one: Spending) -> "Sum":
        used = (one.usage.input or 0) + (one.usage.output or 0)
        return Sum(
            self.name,
            self.steps + one.steps,
            self.tokens + used,
            added_cost(self.cost, one.cost),
            self.unpriced + one.unpriced,
            _added(self.usage, one.usage),
        )

    @property
    def price(self) -> str:
        """The cost for people."""
        if self.cost is None:
            return "price unknown" if self.unpriced else "-"
        return f"{'at least ' if self.unpriced else ''}${self.cost:,.2f}"


def _added(total: Usage, one: Usage) -> Usage:
    return Usage(
        *(
            before if now is None else (before or 0) + now
            for before, now in (
                (total.input, one.input),
                (total.output, one.output),
                (total.reasoning, one.reasoning),
                (total.cache_read, one.cache_read),
                (total.cache_write, one.cache_write),
            )
        )
    )


def sums(found: Iterable[Spending], by: Callable[[Spending], str]) -> list[Sum]:
    """Return the sums by a name, in the order in which the names came."""
    made: dict[str, Sum] = {}
    for one in found:
        name = by(one)
        made[name] = made.get(name, Sum(name)).plus(one)
    return list(made.values())


def _table(found: Sequence[Spending], style: Style, days: int) -> str:
    [whole] = sums(found, lambda one: "all")
    lines = [
        f"the last {days} days: {whole.steps:,} Steps, {usage_text(whole.usage)}, "
        f"{whole.price}"
    ]
    parts = (
        ("by day", sums(found, lambda one: one.day), False),
        ("by model", sums(found, lambda one: one.model or "unknown"), True),
        ("by directory", sums(found, lambda one: one.directory), True),
    )
    for heading, rows, sort in parts:
        lines += ["", style.dim(heading), *_bars(rows, sort=sort)]
    return "".join(f"{line}\n" for line in lines)


def _bars(rows: list[Sum], *, sort: bool) -> list[str]:
    """Return a line for each, with a bar of its cost, or of its tokens where not all
    prices are known."""
    priced = all(not one.unpriced for one in rows)

    def size(one: Sum) -> float:
        return (one.cost or 0.0) if priced else float(one.tokens)

    if sort:
        rows = sorted(rows, key=lambda one: (-size(one), -one.tokens, one.name))
        shown, left = rows[:MAX_ROWS], len(rows) - MAX_ROWS
    else:
        shown, left = rows[-MAX_ROWS:], len(rows) - MAX_ROWS
    most = max(map(size, rows), default=0.0)
    names = [short(one.name, NAME_WIDTH) for one in shown]
    width = max(map(len, names), default=0)
    lines = [
        f"{name.ljust(width)}  {bar(size(one), most)}  "
        f"{one.steps:>7,} Steps  {one.tokens:>13,} tokens  {one.price}"
        for name, one in zip(names, shown, strict=True)
    ]
    return [*lines, f"and {left} more"] if left > 0 else lines


def bar(size: float, most: float) -> str:
    """Return a bar of a size, as wide as all."""
    eighths = round(BAR_WIDTH * 8 * size / most) if most > 0 else 0
    if size > 0:
        eighths = max(1, eighths)
    full, rest = divmod(eighths, 8)
    made = "█" * full + (_EIGHTHS[rest] if rest else "")
    return made.ljust(BAR_WIDTH)
