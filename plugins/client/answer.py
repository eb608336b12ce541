"""Answers: what a server said, read as what it should be.

The one place where somebody's JSON becomes values: every part that is looked for is
checked, and what is not as it should be is told with the address that answered and its
path in the answer. Nothing that was not checked leaves this module. Asks nobody
anything.
"""

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from attrs import frozen
from dovetail.kernel import (
    EventDamagedError,
    EventKindError,
    EventLogError,
    EventVersionError,
    ExportedEvent,
    ExportedOutput,
    Failure,
    Json,
    LiveEvent,
    Problem,
    ServerAnswerError,
    SessionId,
    UndecodableError,
    UnreadableEvent,
    event_from_json,
    exported_from_line,
    from_json,
)

T = TypeVar("T")

Path = tuple[str | int, ...]

NUMBERS = ("seq", "created", "version")
MOST_PARTS = 8_000_000
"""Parts of one answer, each of which takes a hundred bytes of memory or more for two or
three that are sent. No answer has so many, whatever its texts say."""
PART_MARKS = (b",", b"[", b"{")
MOST_PROBLEMS = 20
MOST_SHOWN = 80
"""Characters of a name that a problem shows; its path has all of them."""


@frozen
class Source:
    """Who was asked, and what, and the status of the answer."""

    origin: str
    asked: str
    status: int

    def wrong(self, problem: str, path: Path = ()) -> ServerAnswerError:
        """Return the error that says what is wrong with an answer."""
        return ServerAnswerError(
            self.origin, self.asked, [_problem(path, problem)], self.status
        )

    def misread(self, error: UndecodableError, path: Path = ()) -> ServerAnswerError:
        """Return the same of a part that has not the shape of its type."""
        found = [
            _problem((*path, *one.path), one.text)
            for one in error.problems[:MOST_PROBLEMS]
        ]
        return ServerAnswerError(self.origin, self.asked, found, self.status)


class Answer:
    """What a server said, or a part of it.

    Every method raises ServerAnswerError where the part is not what is asked for.
    """

    __slots__ = ("_path", "_source", "_value")

    def __init__(self, value: Json, source: Source, path: Path = ()) -> None:
        self._value = value
        self._source = source
        self._path = path

    @classmethod
    def of(cls, text: bytes, source: Source) -> "Answer":
        """Return what a text says, which must be an object of JSON."""
        _check_parts(text, source)
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise source.wrong("it is no JSON") from error
        if not isinstance(value, dict):
            raise source.wrong("it is no object of JSON")
        return cls(value, source)

    @classmethod
    def of_headers(cls, headers: Mapping[str, str], source: Source) -> "Answer":
        """Return what headers say beside a body: a part of JSON for each of ours."""
        value: dict[str, Json] = {}
        for name, text in headers.items():
            if name.startswith("dovetail-"):
                try:
                    value[name] = orjson.loads(text)
                except orjson.JSONDecodeError as error:
                    raise source.wrong("it is no JSON", (name,)) from error
        return cls(value, source)

    def wrong(self, problem: str) -> ServerAnswerError:
        """Return the error that says that this part is wrong."""
        return self._source.wrong(problem, self._path)

    def __getitem__(self, name: str) -> "Answer":
        value = self._fields().get(name, _ABSENT)
        if value is _ABSENT:
            raise self._source.wrong("it is missing", (*self._path, name))
        return Answer(value, self._source, (*self._path, name))

    def get(self, name: str) -> "Answer":
        """Return a part that may be missing, which is null then."""
        return Answer(self._fields().get(name), self._source, (*self._path, name))

    def items(self) -> "list[Answer]":
        """Return the parts of an array."""
        return [
            Answer(one, self._source, (*self._path, place))
            for place, one in enumerate(self.read(list[Any]))
        ]

    def names(self) -> "list[Answer]":
        """Return the names of the parts of an object."""
        return [
            Answer(name, self._source, (*self._path, name)) for name in self._fields()
        ]

    def read(self, kind: type[T]) -> T:
        """Return it as a value of this type."""
        try:
            return from_json(self._value, kind)
        except UndecodableError as error:
            raise self._source.misread(error, self._path) from error

    def read_all(self, kind: type[T]) -> tuple[T, ...]:
        """Return the items of an array, each as a value of this type."""
        found: tuple[T, ...] = self.read(tuple[kind, ...])  # type: ignore[valid-type]
        return found

    def read_if(self, kind: type[T]) -> T | None:
        """Return it as a value of this type, or None where it is null."""
        return None if self._value is None else self.read(kind)

    def read_bytes(self) -> bytes:
        """Return the bytes that it is in base64."""
        try:
            return b64decode(self.read(str), validate=True)
        except ValueError as error:
            raise self.wrong("it is no base64") from error

    def read_json(self) -> Json:
        """Return it as it is."""
        return self._value

    def read_event(self) -> LiveEvent:
        """Return it as an event. One of a kind or a version that is unknown here is
        told as what cannot be read, as everywhere (law events.6)."""
        fields = self._fields()
        try:
            if fields.get("kind") == UnreadableEvent.kind:
                own = {
                    name: one
                    for name, one in fields.items()
                    if name not in ("kind", "version")
                }
                return from_json(own, UnreadableEvent)
            return event_from_json(fields)
        except (EventKindError, EventVersionError) as error:
            # Its envelope was read by whoever says so.
            numbers = {name: self[name].read(int) for name in NUMBERS}
            return UnreadableEvent(
                session_id=SessionId(error.aggregate),
                seq=numbers["seq"],
                created=numbers["created"],
                stored_kind=self["kind"].read(str),
                stored_version=numbers["version"],
                failure=Failure(error.code, str(error)),
            )
        except UndecodableError as error:
            raise self._source.misread(error, self._path) from error
        except EventDamagedError as error:
            if isinstance(error.__cause__, UndecodableError):
                raise self._source.misread(error.__cause__, self._path) from error
            raise self.wrong(error.problem) from error

    def _fields(self) -> dict[str, Json]:
        if not isinstance(self._value, dict):
            # The codec says what it is instead.
            return self.read(dict[str, Any])
        return self._value


_ABSENT: Any = object()


def exported_in(line: bytes, source: Source) -> ExportedEvent | ExportedOutput:
    """Return what one line of an export says.

    Raises:
        ServerAnswerError: it is none.
    """
    _check_parts(line, source)
    try:
        return exported_from_line(line)
    except UndecodableError as error:
        raise source.misread(error) from error
    except EventLogError as error:
        raise source.wrong(error.problem) from error


def _check_parts(text: bytes, source: Source) -> None:
    # Nearly none is so long that it would have to be counted.
    if len(text) > MOST_PARTS and sum(map(text.count, PART_MARKS)) > MOST_PARTS:
        raise source.wrong(f"it has more than {MOST_PARTS} parts")


def _problem(path: Path, text: str) -> Problem:
    steps = (
        f"[{one}]" if isinstance(one, int) else f".{one[:MOST_SHOWN]}" for one in path
    )
    return Problem(f"${''.join(steps)}: {text}", path, text)
