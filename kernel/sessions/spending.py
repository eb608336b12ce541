"""Spending: what models were asked and what that cost, by day, model and Location.

Owns the sums. Each Step and each summary is counted where it was made, once: that of a
child in the child's Location, and nothing twice for a fork. Only what the model wrote
is looked at, page by page; logs are not read, so that titles, and attempts that failed
within a Step, are in the totals of their session alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

from attrs import define, field

from ..ports import Reader
from ..values.codec import loads
from ..values.errors import UndecodableError
from ..values.frozen import frozen
from ..values.messages import Usage
from ..values.money import added_cost
from ..values.tool import Json

PAGE = 2_000


@frozen
class Spending:
    """What one model did in one Location on one day."""

    day: str
    """Such as ``2026-11-27``, in the time zone that was asked for."""
    model: str | None
    """As ``provider/model``; None where that is not what was written any more."""
    directory: str
    """Of the Location that its sessions are in now."""
    steps: int
    """Steps that were settled, and summaries."""
    usage: Usage
    """The tokens, as far as providers told."""
    cost: float | None
    """US dollars, as far as prices are known; None where none is."""
    unpriced: int
    """Of how many requests the cost is not known: it is at least ``cost``."""


@define
class _Sum:
    steps: int = 0
    unpriced: int = 0
    cost: float | None = None
    tokens: dict[str, int] = field(factory=dict)


_TOKENS = ("input", "output", "reasoning", "cache_read", "cache_write")


def spending(reader: Reader, since: int, zone: tzinfo | None) -> Sequence[Spending]:
    """Return all sums since a time, in milliseconds since 1970, the oldest first."""
    sums: dict[tuple[str, str | None, str], _Sum] = {}
    days: dict[int, str] = {}
    after = (-1, -1)
    while page := reader.settled(since, after, PAGE):
        after = (page[-1].position, page[-1].seq)
        for row in page:
            # A zone moves by quarters of an hour.
            quarter = row.ended // 900_000
            day = days.get(quarter)
            if day is None:
                moment = datetime.fromtimestamp(quarter * 900, zone)
                day = days[quarter] = moment.date().isoformat()
            model = _decoded(row.first).get("model")
            key = (day, model if isinstance(model, str) else None, row.directory)
            one = sums.get(key)
            if one is None:
                one = sums[key] = _Sum()
            _add(one, _decoded(row.last))
    ordered = sorted(sums, key=lambda key: (key[0], key[1] or "", key[2]))
    return [_spending(key, sums[key]) for key in ordered]


def _spending(key: tuple[str, str | None, str], one: _Sum) -> Spending:
    return Spending(*key, one.steps, Usage(**one.tokens), one.cost, one.unpriced)


def _decoded(data: bytes | None) -> Mapping[str, Json]:
    if data is None:
        return {}
    try:
        found = loads(data)
    except UndecodableError:
        return {}
    return found if isinstance(found, dict) else {}


def _add(one: _Sum, said: Mapping[str, Json]) -> None:
    one.steps += 1
    usage, cost = said.get("usage"), said.get("cost")
    for name in _TOKENS:
        count = usage.get(name) if isinstance(usage, dict) else None
        if isinstance(count, int) and not isinstance(count, bool):
            one.tokens[name] = one.tokens.get(name, 0) + count
    if isinstance(cost, int | float) and not isinstance(cost, bool):
        one.cost = added_cost(one.cost, float(cost))
    unpriced = said.get("unpriced")
    if isinstance(unpriced, int):
        one.unpriced += unpriced
