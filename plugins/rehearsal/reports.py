"""Test reports: what the output of a test run says, for unittest and for pytest.

Owns reading the text that a test command printed. Does not know who ran it. The text
is other people's: what is not understood is left out, never guessed.
"""

import ast
import re
from typing import Any, Literal

from attrs import field, frozen

Verdict = Literal["passed", "failed", "unknown"]

_BLOCK = re.compile(r"^={20,}\n(?:FAIL|ERROR): (\S+)(?: \(([^\n)]*)\))?[^\n]*$", re.M)
_FRAME = re.compile(
    r'^ *File "(?P<path>[^"\n]+)", line (?P<line>\d+), in (?P<function>\S+)\n'
    r"(?P<source>[^\n]*)",
    re.M,
)
_PYTEST_BLOCK = re.compile(r"^_{4,} (\S+) _{4,}$", re.M)
_PYTEST_FRAME = re.compile(r"^(?P<path>[^\s:]+\.py):(?P<line>\d+): (?P<tail>.*)$", re.M)
_PYTEST_SOURCE = re.compile(r"^>( +\S.*)$", re.M)
_PYTEST_PROBLEM = re.compile(r"^E +(\S.*)$", re.M)
_EXCEPTION = re.compile(r"^(?P<name>[A-Za-z_][\w.]*)(?:: (?P<text>.*))?$", re.M)

_UNITTEST_TOTAL = re.compile(r"^Ran \d+ tests? in ", re.M)
_UNITTEST_OK = re.compile(r"^OK\b", re.M)
_UNITTEST_FAILED = re.compile(r"^FAILED \((.*)\)", re.M)
_PYTEST_TOTAL = re.compile(r"^=* ?((?:\d+ \w+(?:, )?)+) in [\d.]+s", re.M)

UNSET = object()
"""Stands for a value that the report does not show; None is a value."""


@frozen
class Frame:
    """One line of a traceback."""

    path: str
    line: int
    function: str
    source: str


@frozen
class Failed:
    """One test that did not pass."""

    test: str
    frames: tuple[Frame, ...]
    """From the test inwards, as far as the report shows them."""
    exception: str
    problem: str
    """The exception's text, its first line."""
    expected: Any = field(default=UNSET, eq=False)
    got: Any = field(default=UNSET, eq=False)

    @property
    def line(self) -> str:
        """One line for people."""
        tail = f": {self.problem}" if self.problem else ""
        return f"{self.test.partition(' ')[0]} ended in {self.exception}{tail}"


@frozen
class Report:
    """What one run of the tests said."""

    verdict: Verdict
    failed: tuple[Failed, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(one.test for one in self.failed)


def read_report(text: str) -> Report:
    """Return what a test run's output says."""
    text = text.replace("\r\n", "\n")
    failed = (*_unittest_failures(text), *_pytest_failures(text))
    return Report(_verdict(text, bool(failed)), failed)


def _verdict(text: str, failures: bool) -> Verdict:
    if failures or _UNITTEST_FAILED.search(text):
        return "failed"
    total = _PYTEST_TOTAL.search(text)
    if total:
        bad = re.search(r"\d+ (failed|errors?)\b", total[1])
        return "failed" if bad else "passed" if "passed" in total[1] else "unknown"
    if _UNITTEST_TOTAL.search(text) and _UNITTEST_OK.search(text):
        return "passed"
    return "unknown"


def _blocks(opening: re.Pattern[str], text: str) -> list[tuple[re.Match[str], str]]:
    """Return each match with the text up to the next one."""
    marks = list(opening.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [
        (mark, text[mark.end() : end]) for mark, end in zip(marks, ends, strict=False)
    ]


# --- unittest ---------------------------------------------------------------------


def _unittest_failures(text: str) -> list[Failed]:
    found = []
    for mark, block in _blocks(_BLOCK, text):
        frames = tuple(_frame(match) for match in _FRAME.finditer(block))
        # The exception is the first line at the margin after the last frame.
        after = list(_FRAME.finditer(block))[-1].end() if frames else 0
        exception = _EXCEPTION.search(block, after)
        if exception:
            name, problem = exception["name"], exception["text"] or ""
            test = f"{mark[1]} ({mark[2]})" if mark[2] else mark[1]
            found.append(_failed(test, frames, name, problem))
    return found


def _frame(match: re.Match[str]) -> Frame:
    source = match["source"].strip()
    return Frame(match["path"], int(match["line"]), match["function"], source)


# --- pytest -----------------------------------------------------------------------


def _pytest_failures(text: str) -> list[Failed]:
    found = []
    for mark, block in _blocks(_PYTEST_BLOCK, text):
        places = list(_PYTEST_FRAME.finditer(block))
        sources = [match[1].strip() for match in _PYTEST_SOURCE.finditer(block)]
        problem = _PYTEST_PROBLEM.search(block)
        if not places or not problem:
            continue
        test = mark[1].rpartition(".")[2]
        frames = tuple(
            Frame(place["path"], int(place["line"]), test, source)
            for place, source in zip(places, sources, strict=False)
        )
        name = places[-1]["tail"].partition(":")[0].strip() or "AssertionError"
        shown = problem[1].removeprefix(f"{name}: ").removeprefix("assert ")
        found.append(_failed(test, frames, name, shown))
    return found


# --- expected and got -------------------------------------------------------------


def _failed(
    test: str, frames: tuple[Frame, ...], exception: str, problem: str
) -> Failed:
    expected: Any = UNSET
    got: Any = UNSET
    sides = _compared(frames[0].source) if frames else None
    if sides and exception == "AssertionError":
        shown = re.match(r"(?:\w+ differ: )?(.*) (?:!=|==) (.*)$", problem)
        for place, side in enumerate(sides):
            value = _literal(side)
            if value is not UNSET:
                expected = value
                got = _literal(shown[2 - place]) if shown else UNSET
        if len(sides) == 1:
            # assertTrue and assertFalse: the problem is "False is not true".
            expected, got = problem.endswith("true"), problem.startswith("True")
    return Failed(test, frames, exception, problem, expected, got)


def _compared(source: str) -> tuple[str, ...] | None:
    """Return the two sides that an assertion compares, or the one that it asks."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    match tree.body:
        case [ast.Expr(ast.Call(ast.Attribute(attr=name), args))]:
            if name in ("assertEqual", "assertListEqual", "assertDictEqual"):
                return tuple(ast.unparse(arg) for arg in args[:2])
            if name in ("assertTrue", "assertFalse"):
                return tuple(ast.unparse(arg) for arg in args[:1])
        case [ast.Assert(ast.Compare(left, [ast.Eq()], [right]))]:
            return (ast.unparse(left), ast.unparse(right))
    return None


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return UNSET
