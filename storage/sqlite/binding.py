"""Binding: values in the form in which the driver hands them to SQLite soonest.

The driver looks for somebody who adapts every value that is no number, text or
``bytearray``, also where it is None or bytes, and that takes ten times as long as
binding it does. So bytes go as ``bytearray``, and NULL stands in the statement.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from ..sql.view import Parameters

MOST = 512
"""Statements that are remembered with their NULLs: of more, all are made again."""

octets = bytearray
"""Makes of bytes what is bound."""

Spelled = tuple[str, Callable[[Parameters], Any] | None]

_SPELLED: dict[tuple[object, ...], Spelled] = {}


def spelled(sql: str, parameters: Parameters) -> Spelled:
    """Return a statement with NULL written wherever None would be bound, and what takes
    the values that are left from all; None: they are all that there are.

    A question mark in a statement is a place for a value.
    """
    key = (sql, *map(type, parameters))
    found = _SPELLED.get(key)
    if found is None:
        if len(_SPELLED) >= MOST:
            _SPELLED.clear()
        found = _SPELLED[key] = _spell(sql, parameters)
    return found


def _spell(sql: str, parameters: Parameters) -> Spelled:
    bound = [at for at, value in enumerate(parameters) if value is not None]
    if len(bound) == len(parameters):
        return sql, None
    first, *others = sql.split("?")
    pairs = zip(parameters, others, strict=True)
    text = first + "".join(
        f"{'NULL' if value is None else '?'}{other}" for value, other in pairs
    )
    if len(bound) > 1:
        return text, itemgetter(*bound)
    return text, itemgetter(slice(bound[0], bound[0] + 1) if bound else slice(0))
