"""Lines: how a tape is written down, and read again.

A tape is a file of JSON, a value a line, so that a person can read it and compare two.
Each interaction is a few lines in a row::

    {"tape":1}
    {"request":{"method":"POST","url":"https://...","headers":{...},"json":{...}}}
    {"response":{"status":200,"headers":{...}}}
    {"text":"data: {\\"say\\": \\"Hi\\"}\\n\\n"}
    {"base64":"AAECAw=="}
    {"end":"whole"}

Each line of ``text`` or ``base64`` is one piece of the body as it came. A body of a
request is ``json`` where writing that value again gives the very bytes, else ``text``,
else ``base64``. Owns nothing but this form: no secrets, no files.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import orjson
from attrs import field

from ..values.frozen import frozen

VERSION = 1
Ending = Literal["whole", "broken", "left", "dropped"]


class LineError(Exception):
    """A line cannot be read. The text says why."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")


@frozen
class TapedRequest:
    """One request as it is on a tape: without secrets."""

    method: str
    """In upper case."""
    url: str
    """The whole address."""
    headers: Mapping[str, str] = field(factory=dict)
    """The chosen ones, by lower-case name."""
    body: bytes = b""
    """What was sent."""

    def __str__(self) -> str:
        return f"{self.method} {self.url}"

    @property
    def key(self) -> tuple[object, ...]:
        """What it is found by: all of it."""
        return self.method, self.url, tuple(sorted(self.headers.items())), self.body


@frozen
class TapedAnswer:
    """What came back, piece by piece, and how it ended."""

    status: int | None = None
    """None: no answer began."""
    headers: Mapping[str, str] = field(factory=dict)
    """The chosen ones, by lower-case name."""
    pieces: tuple[bytes, ...] = ()
    """The body, in the pieces in which it came."""
    ending: Ending = "whole"
    """``whole``, or ``broken``: the connection failed, or ``left``: the reader went
    away, or ``dropped``: what came is not on the tape, for the reason in
    ``problem``."""
    error: str = ""
    """Which of httpx's errors it broke with."""
    problem: str = ""
    """What that error said."""


@frozen
class Interaction:
    """A request and its answer."""

    request: TapedRequest
    """What was asked."""
    answer: TapedAnswer
    """What came back."""


def written(interaction: Interaction) -> bytes:
    """Return an interaction as lines."""
    request, answer = interaction.request, interaction.answer
    asked: dict[str, Any] = {"method": request.method, "url": request.url}
    if request.headers:
        asked["headers"] = dict(request.headers)
    if request.body:
        asked |= _body(request.body)
    lines: list[dict[str, Any]] = [{"request": asked}]
    if answer.status is not None:
        told: dict[str, Any] = {"status": answer.status}
        if answer.headers:
            told["headers"] = dict(answer.headers)
        lines.append({"response": told})
    lines += [_piece(one) for one in answer.pieces]
    end = {"end": answer.ending, "error": answer.error, "problem": answer.problem}
    lines.append({name: value for name, value in end.items() if value})
    return b"".join(orjson.dumps(one) + b"\n" for one in lines)


def header() -> bytes:
    """Return the line that a tape begins with."""
    return orjson.dumps({"tape": VERSION}) + b"\n"


def _body(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
        if orjson.dumps(value) == body:
            return {"json": value}
    except (ValueError, RecursionError):
        pass
    return _piece(body)


def _piece(piece: bytes) -> dict[str, str]:
    try:
        return {"text": piece.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(piece).decode()}


def read(lines: Iterable[bytes]) -> Iterator[Interaction]:
    """Yield the interactions of a tape.

    A last one without its end was being written when its writer died: it counts as
    left there.

    Raises:
        LineError: it is no tape, or one of a later version.
    """
    reading: _Reading | None = None
    begun, torn = False, 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if not line.endswith(b"\n"):
            # Torn: the last thing that a killed process did.
            break
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            if torn or not begun:
                raise LineError(torn or number, "it is no JSON") from None
            torn = number
            continue
        if not isinstance(value, dict):
            raise LineError(number, "it is no object")
        if "tape" in value:
            # Two who began a tape at once both wrote its first line.
            if value["tape"] != VERSION:
                raise LineError(number, f"version {value['tape']!r} is not known")
            begun, torn = True, 0
            continue
        if torn:
            # Only one who begins to write leaves a line behind that a killed one tore.
            raise LineError(torn, "it is no JSON")
        if not begun:
            raise LineError(number, 'a tape begins with {"tape":1}')
        try:
            if "request" in value:
                if reading is not None:
                    yield reading.done({"end": "left"})
                reading = _Reading(value["request"])
            elif reading is None:
                raise LineError(number, "a request must come first")
            elif "end" in value:
                yield reading.done(value)
                reading = None
            else:
                reading.add(value)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise LineError(number, "it is not as a tape writes it") from None
    if torn:
        raise LineError(torn, "it is no JSON")
    if reading is not None:
        yield reading.done({"end": "left"})


class _Reading:
    """An interaction while its lines are read."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        body = b""
        if "json" in asked:
            body = orjson.dumps(asked["json"])
        elif "text" in asked or "base64" in asked:
            body = _bytes(asked)
        self._request = TapedRequest(
            str(asked["method"]).upper(),
            str(asked["url"]),
            _headers(asked.get("headers", {})),
            body,
        )
        self._status: int | None = None
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []

    def add(self, value: Mapping[str, Any]) -> None:
        if "response" in value:
            self._status = int(value["response"]["status"])
            self._headers = _headers(value["response"].get("headers", {}))
        else:
            self._pieces.append(_bytes(value))

    def done(self, end: Mapping[str, Any]) -> Interaction:
        ending: Ending = end["end"]
        if ending not in ("whole", "broken", "left", "dropped"):
            raise ValueError(ending)
        answer = TapedAnswer(
            self._status,
            self._headers,
            tuple(self._pieces),
            ending,
            str(end.get("error", "")),
            str(end.get("problem", "")),
        )
        return Interaction(self._request, answer)


def _bytes(value: Mapping[str, Any]) -> bytes:
    if "text" in value:
        text: str = value["text"]
        return text.encode()
    return base64.b64decode(value["base64"], validate=True)


def _headers(value: Mapping[str, Any]) -> dict[str, str]:
    return {str(name).lower(): str(one) for name, one in value.items()}
