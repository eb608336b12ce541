"""Wrong: where in what was brought a value stands that was refused.

The kernel says what was refused and by which rule, not where a caller wrote it: it was
called with arguments. Owns the way from its sentence back to a path in the body, or to
the name of a query. Asks nobody anything.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import fields
from dovetail.kernel import (
    InvalidValueError,
    Json,
    Problem,
    UndecodableError,
    to_json,
)

Path = tuple[str | int, ...]

MOST = 10_000
"""Values of a body that are looked at."""
_WORD = re.compile(r"[A-Z]?[a-z]+")
_SCHEMA_PATH = re.compile(r"JSON Schema '\$([\w.\[\]-]*)' is refused: ")


class MisplacedError(Exception):
    """A refused value, and the path at which it was brought."""

    def __init__(self, error: InvalidValueError, path: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.path = path


def path_text(path: Sequence[str | int]) -> str:
    """Return a path as it is told, such as ``$.prompt.files[1].uri``."""
    steps = (f"[{one}]" if isinstance(one, int) else f".{one}" for one in path)
    return "$" + "".join(steps)


def problem_in(problem: Problem, brought: Json) -> Problem:
    """Return a problem with the path of the value that it is about: what a whole says
    of one of its parts has the path of the whole."""
    inside = _at(brought, problem.path)
    found = _path_of(problem.text, inside) if isinstance(inside, dict) else None
    if found is None:
        return problem
    path = (*problem.path, *found)
    return Problem(f"{path_text(path)}: {problem.text}", path, problem.text)


def misplaced(error: InvalidValueError, query: Any, body: Any) -> MisplacedError:
    """Return what was refused with where it was brought."""
    if isinstance(error, UndecodableError):
        problems = [rooted(one, body) for one in error.problems]
        return MisplacedError(UndecodableError(error.what, problems), "$")
    sentence = str(error)
    brought = None if body is None else to_json(body)
    found = None if brought is None else _path_of(sentence, brought, error.what)
    if found is not None:
        schema = _SCHEMA_PATH.match(sentence)
        return MisplacedError(error, path_text(found) + (schema[1] if schema else ""))
    if query is not None:
        asked = {
            str(one.metadata.get("name", one.name)): getattr(query, one.name)
            for one in fields(type(query))
        }
        named = _path_of(sentence, asked, error.what)
        if named is not None:
            return MisplacedError(error, str(named[0]))
    return MisplacedError(error, "$" if brought is not None else error.what)


def rooted(problem: Problem, body: Any) -> Problem:
    """Return a problem of a part of a body with its path in the whole: what is in a
    shape that only its kind knows is read by itself."""
    if body is None:
        return problem
    for base, value in _walk(to_json(body), ()):
        if problem.path and _has(value, problem.path):
            whole = (*base, *problem.path)
            return Problem(f"{path_text(whole)}: {problem.text}", whole, problem.text)
    return problem


def _path_of(sentence: str, brought: Json, what: str | None = None) -> Path | None:
    """Return where the value stands that a sentence refuses: the one that it shows, by
    preference under a name that it says, or else what has such a name."""
    shown: list[Path] = []
    named: list[Path] = []
    for path, value in _walk(brought, ()):
        if not path:
            continue
        said = _called(sentence, value) if what is None else what
        if said is not None and _is_refused(sentence, said, value):
            shown.append(path)
        if what is not None and value is not None and _is_named(path, what):
            named.append(path)
    for path in shown:
        if _is_named(path, what or sentence):
            return path
    if what is not None and len(shown) != 1:
        return shown[0] if not named and shown else _nearest(named)
    return shown[0] if shown else None


def _nearest(paths: Sequence[Path]) -> Path | None:
    return min(paths, key=len, default=None)


def _walk(value: Json, path: Path, left: list[int] | None = None) -> Iterator[Any]:
    """Yield everything in some JSON data with its path, the outer before the inner."""
    left = [MOST] if left is None else left
    left[0] -= 1
    if left[0] < 0:
        return
    yield path, value
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    for step, one in inner:
        yield from _walk(one, (*path, step), left)


def _is_refused(sentence: str, what: str, value: Json) -> bool:
    begins = str(InvalidValueError(what, value, ""))
    if sentence.startswith(begins):
        return True
    # A whole number stands for one with a fraction.
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and abs(value) < 2**53 and _is_refused(sentence, what, float(value))


def _called(sentence: str, value: Json) -> str | None:
    """Return what a sentence calls a value that it shows."""
    for one in (value, float(value) if type(value) is int else value):
        shown = str(InvalidValueError("", one, ""))
        what, found, _ = sentence.partition(shown)
        if found:
            return what
    return None


def _is_named(path: Path, what: str) -> bool:
    name = next((one for one in reversed(path) if isinstance(one, str)), "")
    words = {one.lower() for one in _WORD.findall(name)}
    said = {one.lower() for one in _WORD.findall(what)}
    # As it is written, or one of many: ``models`` has what is called a model.
    return any(one in said or one.removesuffix("s") in said for one in words)


def _at(value: Any, path: Path) -> Any:
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value


def _has(value: Json, path: Path) -> bool:
    """Whether all of a path but its last step leads somewhere in a value, and begins
    with a part that is there."""
    if not isinstance(value, dict) or path[0] not in value:
        return False
    return len(path) == 1 or isinstance(_at(value, path[:-1]), dict | list | tuple)
