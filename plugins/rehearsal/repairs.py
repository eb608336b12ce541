"""Repairs: small changes to one function that might make a test pass.

Owns finding single-token changes in Python source and ordering them by what the
failure suggests. Does not know how a change is made or tried. Source is other
people's: it is parsed, never run, and what does not parse has no repairs.
"""

import ast
import builtins
import keyword
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from attrs import evolve, frozen

from .reports import UNSET, Failed

MAX_SOURCE = 200_000

_OPERATORS: dict[type[ast.AST], tuple[str, tuple[str, ...]]] = {
    ast.Add: ("+", ("-",)),
    ast.Sub: ("-", ("+",)),
    ast.Mult: ("*", ("/", "+")),
    ast.Div: ("/", ("*", "//")),
    ast.FloorDiv: ("//", ("/", "%")),
    ast.Mod: ("%", ("//",)),
    ast.Lt: ("<", ("<=", ">")),
    ast.LtE: ("<=", ("<", ">=")),
    ast.Gt: (">", (">=", "<")),
    ast.GtE: (">=", (">", "<=")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
    ast.And: ("and", ("or",)),
    ast.Or: ("or", ("and",)),
}
_TWINS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_TWINS |= {"floor": "ceil", "ceil": "floor", "lower": "upper", "upper": "lower"}


@frozen
class Repair:
    """One change of one line."""

    line: int
    """From 1."""
    before: str
    after: str
    kind: str
    """``bound``, ``start``, ``slice``, ``operator``, ``comparison``, ``logic``,
    ``constant`` or ``name``."""
    grows: int = 0
    """1 when the result would get larger or longer, -1 smaller, 0 unknown."""
    weight: int = 0
    """Lower is tried first."""


def find_functions(text: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the functions and methods of a module by their own name."""
    tree = _parse(text)
    if tree is None:
        return {}
    return {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def names_called(source: str) -> list[str]:
    """Return the functions that a piece of source calls, in the order of the text."""
    found = re.findall(r"([A-Za-z_]\w*)\s*\(", source)
    return [
        name
        for name in dict.fromkeys(found)
        if not name.startswith(("assert", "test_")) and name not in _NOT_THEIRS
    ]


_NOT_THEIRS = frozenset(dir(builtins)) | frozenset(keyword.kwlist)


def repairs(text: str, function: str, failed: Failed) -> list[Repair]:
    """Return the changes worth trying in a function, the likeliest first.

    The function itself comes first, then functions of the same file that it calls.
    """
    functions = find_functions(text)
    lines = text.split("\n")
    found: list[Repair] = []
    asked, seen = [function], set[str]()
    while asked:
        name = asked.pop(0)
        node = functions.get(name)
        if node is None or name in seen:
            continue
        distance = len(seen) * 100
        seen.add(name)
        for one in _changes(node, lines):
            weight = distance + _weight(one, failed)
            found.append(evolve(one, weight=weight))
        called = "\n".join(lines[node.lineno : node.end_lineno])
        asked += names_called(called)
    found.sort(key=lambda one: (one.weight, one.line, one.after))
    # A change that was found twice keeps its better place.
    best: dict[tuple[int, str], Repair] = {}
    for one in found:
        best.setdefault((one.line, one.after), one)
    return list(best.values())


def repaired(text: str, one: Repair) -> str | None:
    """Return the text with the change made, or None when it would not parse."""
    lines = text.split("\n")
    if lines[one.line - 1] != one.before:
        return None
    lines[one.line - 1] = one.after
    changed = "\n".join(lines)
    return changed if _parse(changed) is not None else None


def _parse(text: str) -> ast.Module | None:
    if len(text) > MAX_SOURCE:
        return None
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


# --- what can be changed ----------------------------------------------------------


def _changes(function: ast.AST, lines: Sequence[str]) -> Iterator[Repair]:
    for node in ast.walk(function):
        match node:
            case ast.BinOp(left, operator, right):
                yield from _swap(lines, "operator", left, operator, right)
            case ast.AugAssign(target, operator, value):
                yield from _swap(lines, "operator", target, operator, value)
            case ast.Compare(left, compared, rest):
                sides = pairwise([left, *rest])
                for one, (left, right) in zip(compared, sides, strict=True):
                    yield from _swap(lines, "comparison", left, one, right)
            case ast.BoolOp(joined, values):
                for left, right in pairwise(values):
                    yield from _swap(lines, "logic", left, joined, right)
            case ast.UnaryOp(ast.Not() | ast.USub(), operand):
                yield from _replace(lines, node, _source(lines, operand), "logic")
            case ast.Call(ast.Name("range"), [stop]):
                yield from _shifted(lines, stop, "bound")
            case ast.Call(ast.Name("range"), [start, stop, *_]):
                yield from _shifted(lines, stop, "bound")
                yield from _shifted(lines, start, "start")
            case ast.Call(ast.Name(name) | ast.Attribute(attr=name)) if name in _TWINS:
                yield from _renamed(lines, node, name)
            case ast.Subscript(_, ast.Slice(lower, upper)):
                if lower is not None:
                    yield from _shifted(lines, lower, "slice")
                if upper is not None:
                    yield from _shifted(lines, upper, "slice")
            case ast.Constant(bool() as value):
                yield from _replace(lines, node, str(not value), "logic")
            case ast.Constant(int() as value):
                for step in (1, -1):
                    other = str(value + step)
                    yield from _replace(lines, node, other, "constant", step)


def _shifted(lines: Sequence[str], bound: ast.expr, kind: str) -> Iterator[Repair]:
    """Move a bound by one: the classic mistake."""
    source = _source(lines, bound)
    if source is None:
        return
    for step in (1, -1):
        # A later start makes less.
        grows = -step if kind == "start" else step
        yield from _replace(lines, bound, _moved(bound, source, step), kind, grows)


def _moved(bound: ast.expr, source: str, step: int) -> str:
    match bound:
        case ast.Constant(int() as value):
            return str(value + step)
        case ast.BinOp(_, ast.Add() | ast.Sub(), ast.Constant(int())):
            last = re.search(r"\s*([+-])\s*(\d+)$", source)
            if last:
                value = int(last[1] + last[2]) + step
                tail = f" {'+' if value > 0 else '-'} {abs(value)}" if value else ""
                return source[: last.start()] + tail
        case ast.Name() | ast.Call() | ast.Attribute() | ast.BinOp():
            return f"{source} {'+' if step > 0 else '-'} 1"
    return f"({source}) {'+' if step > 0 else '-'} 1"


def _swap(
    lines: Sequence[str], kind: str, left: ast.expr, operator: ast.AST, right: ast.expr
) -> Iterator[Repair]:
    known = _OPERATORS.get(type(operator))
    if known is None or left.end_lineno != right.lineno:
        return
    old, others = known
    line = lines[right.lineno - 1]
    start = _column(line, left.end_col_offset or 0)
    end = _column(line, right.col_offset)
    at = line.find(old, start, end)
    if at < 0:
        return
    for new in others:
        after = line[:at] + new + line[at + len(old) :]
        grows = {"+": 1, "*": 1, "<=": 1, ">=": 1, "-": -1, "/": -1, "//": -1}
        yield Repair(right.lineno, line, after, kind, grows.get(new, 0))


def _renamed(lines: Sequence[str], call: ast.Call, name: str) -> Iterator[Repair]:
    line = lines[call.func.lineno - 1]
    end = _column(line, call.func.end_col_offset or 0)
    if call.func.lineno == call.func.end_lineno and line[:end].endswith(name):
        after = line[: end - len(name)] + _TWINS[name] + line[end:]
        grows = {"max": 1, "any": 1, "ceil": 1, "min": -1, "all": -1, "floor": -1}
        yield Repair(call.func.lineno, line, after, "name", grows.get(_TWINS[name], 0))


def _replace(
    lines: Sequence[str],
    node: ast.expr,
    new: str | None,
    kind: str,
    grows: int = 0,
) -> Iterator[Repair]:
    if new is None or node.lineno != node.end_lineno:
        return
    line = lines[node.lineno - 1]
    start = _column(line, node.col_offset)
    end = _column(line, node.end_col_offset or 0)
    after = line[:start] + new + line[end:]
    yield Repair(node.lineno, line, after, kind, grows)


def _source(lines: Sequence[str], node: ast.expr) -> str | None:
    if node.lineno != node.end_lineno:
        return None
    line = lines[node.lineno - 1]
    start = _column(line, node.col_offset)
    return line[start : _column(line, node.end_col_offset or 0)]


def _column(line: str, offset: int) -> int:
    """Return the place in text of an offset in UTF-8."""
    return len(line.encode()[:offset].decode(errors="ignore"))


# --- what is tried first ----------------------------------------------------------

_FIRST = {
    "length": "bound start comparison slice constant operator logic name",
    "one": "bound constant comparison start slice operator name logic",
    "number": "operator name slice constant bound start comparison logic",
    "truth": "comparison logic name constant operator bound start slice",
    "index": "bound constant slice start comparison operator logic name",
    "other": "operator comparison bound start name slice constant logic",
}
"""The kinds of change by what the failure suggests, the likeliest first."""


def _weight(one: Repair, failed: Failed) -> int:
    order, direction = _suggested(failed)
    weight = 10 * _FIRST[order].split().index(one.kind)
    if direction and one.grows:
        weight += -5 if one.grows == direction else 5
    # The line where it broke, when the failure names it.
    if failed.frames and failed.frames[-1].source == one.before.strip():
        weight -= 40
    return weight


def _suggested(failed: Failed) -> tuple[str, int]:
    """Return which kinds of change the failure suggests, and in which direction."""
    expected, got = failed.expected, failed.got
    if failed.exception == "IndexError":
        return "index", -1
    if expected is UNSET or got is UNSET:
        return "other", 0
    if isinstance(expected, bool) and isinstance(got, bool):
        return "truth", 0
    measure: Callable[[Any], Any] | None = None
    if _are(expected, got, (int, float)):
        measure = float
    elif _are(expected, got, (str, list, tuple, dict, set)):
        measure = len
    if measure is None:
        return "other", 0
    wanted, had = measure(expected), measure(got)
    if measure is len:
        return ("length" if wanted != had else "number"), _sign(wanted, had)
    return ("one" if abs(wanted - had) == 1 else "number"), _sign(wanted, had)


def _are(expected: Any, got: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(expected, kinds) and isinstance(got, kinds)


def _sign(wanted: float, had: float) -> int:
    return (wanted > had) - (wanted < had)
