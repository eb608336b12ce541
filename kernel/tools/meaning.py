"""Meaning: what a model wrote that is not quite right and can mean only one thing.

Owns two readings, neither of which ever guesses: of a tool's name, and of arguments
whose JSON types are not those of the schema. What was read differently is said in a
line each, for the model. Whether what comes out is right is decided by the same strict
decoder as ever (law tools.4). Knows nothing of calls.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

import attrs

from ..values.codec import loads_exact, place
from ..values.errors import UndecodableError
from ..values.shapes import (
    allowed,
    bare,
    described,
    is_attrs,
    is_enum,
    is_literal,
    is_mapping,
    is_sequence,
    is_union,
    origin,
    typed_fields,
)
from ..values.tool import Json

MAX_NOTES = 10
_SHOWN = 60

# --- names ------------------------------------------------------------------------

_LEAKED = re.compile(r"<\|.*|\(\s*\)\s*$", re.DOTALL)
_NUMBER = re.compile(r":\d+$")
_PARTS = re.compile(r"[./:]|__")


def meant_tool(name: str, offered: Iterable[str]) -> str | None:
    """Return the one tool that a name can mean, or None.

    Besides the name itself: one that differs in case, in ``-`` for ``_``, by blanks or
    quotes around it, or by a namespace before it (``functions.read``,
    ``mcp__files__read``), a number or a token of the model's template after it.
    """
    names = tuple(offered)
    if name in names:
        return name
    form = _LEAKED.sub("", name[:256]).strip().strip("`'\"").strip()
    form = _NUMBER.sub("", form)
    folded: dict[str, list[str]] = {}
    for one in names:
        folded.setdefault(_folded(one), []).append(one)
    # The longest ending first: a tool's own name may have such parts.
    starts = [0, *(match.end() for match in _PARTS.finditer(form))]
    for start in starts:
        found = folded.get(_folded(form[start:]))
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _folded(name: str) -> str:
    return name.strip().casefold().replace("-", "_")


# --- arguments --------------------------------------------------------------------


class _Reading:
    """One reading of some data: what was read differently so far."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, path: str, was: Any, read: str) -> None:
        self.notes.append(f"{path}: {_shown(was)} was read as {read}")


def meant_arguments(kind: Any, data: Json) -> tuple[Json, list[str]]:
    """Return data as it is meant, for an input type, and a line for each difference.

    Text that holds a number, a truth value, an array or an object where one is wanted;
    a whole number written with a fraction of zero; a choice in other case; null for
    what may be left out; a field under a name that it once had, which its metadata
    gives as ``formerly``. Anything else stays as it is.
    """
    reading = _Reading()
    meant = _of(kind, data, "$", reading)
    return meant, reading.notes


def unwrapped(data: Json) -> tuple[Json, list[str]]:
    """Return arguments that were written as JSON text within JSON text as they are
    meant."""
    inner = _parsed(data, dict) if isinstance(data, str) else None
    if inner is None:
        return data, []
    return inner, ["$: a text of JSON was read as the object in it"]


def _of(kind: Any, data: Json, path: str, reading: _Reading) -> Json:
    kind = bare(kind)
    if kind in _SCALARS:
        return _scalar(kind, data, path, reading)
    if is_literal(kind) or is_enum(kind):
        return _choice(kind, data, path, reading)
    if is_union(kind):
        return _union(kind, data, path, reading)
    if is_sequence(kind):
        return _items(kind, _opened(data, list, path, reading), path, reading)
    if is_mapping(kind):
        data = _opened(data, dict, path, reading)
        arguments = get_args(kind)
        if not isinstance(data, dict) or not arguments:
            return data
        return {
            name: _of(arguments[1], one, path + place(name), reading)
            for name, one in data.items()
        }
    if is_attrs(kind):
        return _object(kind, _opened(data, dict, path, reading), path, reading)
    return data


def _object(kind: Any, data: Json, path: str, reading: _Reading) -> Json:
    if not isinstance(data, dict):
        return data
    made = dict(data)
    fields = typed_fields(kind)
    names = {attribute.name for attribute, _ in fields}
    for attribute, hint in fields:
        name = attribute.name
        olds = [old for old in attribute.metadata.get("formerly", ()) if old in made]
        if name not in made and len(olds) == 1 and olds[0] not in names:
            made[name] = made.pop(olds[0])
            reading.notes.append(f"{path}.{olds[0]} was read as {name}")
        if name not in made:
            continue
        where = f"{path}.{name}"
        if made[name] is None and not _takes_null(hint):
            if attribute.default is not attrs.NOTHING:
                del made[name]
                reading.note(where, None, "left out")
            continue
        made[name] = _of(hint, made[name], where, reading)
    return made


def _items(kind: Any, data: Json, path: str, reading: _Reading) -> Json:
    arguments = get_args(kind)
    if not isinstance(data, list) or not arguments:
        return data
    fixed = origin(kind) is tuple and arguments[1:] != (...,)
    kinds = arguments if fixed else [arguments[0]] * len(data)
    if len(kinds) != len(data):
        return data
    return [
        _of(one, item, path + place(at), reading)
        for at, (one, item) in enumerate(zip(kinds, data, strict=True))
    ]


def _opened(data: Json, wanted: type, path: str, reading: _Reading) -> Json:
    """Return the array or object that a text of JSON holds, where one is wanted."""
    inner = _parsed(data, wanted) if isinstance(data, str) else None
    if inner is None:
        return data
    reading.note(path, data, described(inner))
    return inner


def _parsed(text: str, wanted: type) -> Json:
    try:
        inner = loads_exact(text)
    except UndecodableError:
        return None
    return inner if isinstance(inner, wanted) else None


def _scalar(kind: type, data: Json, path: str, reading: _Reading) -> Json:
    meant = _SCALARS[kind](data)
    if meant is None:
        return data
    reading.note(path, data, _shown(meant))
    return meant


def _choice(kind: Any, data: Json, path: str, reading: _Reading) -> Json:
    values = allowed(kind)
    if any(type(one) is type(data) and one == data for one in values):
        return data
    if data is None or isinstance(data, list | dict):
        return data
    text = _written(data).strip().casefold()
    found = [one for one in values if _written(one).casefold() == text]
    if len(found) != 1:
        return data
    reading.note(path, data, _shown(found[0]))
    return found[0]


def _written(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _union(kind: Any, data: Json, path: str, reading: _Reading) -> Json:
    """Read as the one member that makes anything else of it, if it fits none."""
    members = [bare(one) for one in get_args(kind)]
    if any(_fits(one, data) for one in members):
        # It is of a member's JSON type; only what is inside may be meant otherwise.
        inner = [one for one in members if _fits(one, data)]
        inside = len(inner) == 1 and isinstance(data, list | dict)
        return _of(inner[0], data, path, reading) if inside else data
    found: list[tuple[Json, list[str]]] = []
    for member in members:
        if member is type(None):
            continue
        attempt = _Reading()
        made = _of(member, data, path, attempt)
        if attempt.notes and _fits(member, made):
            found.append((made, attempt.notes))
    if len(found) != 1:
        return data
    reading.notes += found[0][1]
    return found[0][0]


def _fits(kind: Any, data: Json) -> bool:
    """Whether data is of the JSON type of a member, whatever is inside."""
    if kind is Any:
        return True
    if is_literal(kind) or is_enum(kind):
        return any(type(one) is type(data) and one == data for one in allowed(kind))
    if is_sequence(kind):
        return isinstance(data, list)
    if is_mapping(kind) or is_attrs(kind):
        return isinstance(data, dict)
    if isinstance(data, bool) or data is None:
        return kind is type(data)
    if isinstance(data, int):
        return kind in (int, float)
    return isinstance(kind, type) and isinstance(data, kind)


def _takes_null(hint: Any) -> bool:
    kind = bare(hint)
    if kind is Any or kind is type(None):
        return True
    return is_union(kind) and any(map(_takes_null, get_args(kind)))


# --- scalars: what a value means as one, or None when it is one or means none -------


def _as_integer(data: Json) -> int | None:
    if isinstance(data, str) and _INTEGER.fullmatch(data.strip()):
        return int(data.strip().partition(".")[0])
    if isinstance(data, float) and data.is_integer() and abs(data) < 2**53:
        return int(data)
    return None


def _as_number(data: Json) -> float | int | None:
    if not isinstance(data, str) or not _DECIMAL.fullmatch(data.strip()):
        return None
    value = loads_exact(data.strip())
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number else None


def _as_flag(data: Json) -> bool | None:
    word = data.strip().casefold() if isinstance(data, str) else ""
    return {"true": True, "false": False}.get(word)


_INTEGER = re.compile(r"-?\d{1,18}(?:\.0{1,6})?", re.ASCII)
_DECIMAL = re.compile(
    r"-?(?:0|[1-9]\d{0,18})(?:\.\d{1,18})?(?:[eE][+-]?\d{1,2})?", re.A
)
_SCALARS: Mapping[Any, Callable[[Json], Json]] = {
    int: _as_integer,
    float: _as_number,
    bool: _as_flag,
}


def _shown(value: Json) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else f"{value[: _SHOWN - 1]}…")
    if isinstance(value, list | dict):
        return described(value)
    return "null" if value is None else _written(value)
