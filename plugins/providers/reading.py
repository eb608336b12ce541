"""Reading: JSON and text as servers write them, the same for all protocols.

Owns what is read although it is not quite right, because one odd byte must not lose an
answer: bytes that are not UTF-8, characters cut in two, control characters, ``NaN``,
numbers written as text. What is no JSON even so is refused, never guessed. Pure, and
linear in what it reads.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import orjson
from dovetail.kernel import Json

DONE = b"[DONE]"


class UnreadableError(Exception):
    """An event begins an object and is not JSON. The text says where, and quotes
    nothing: an event may hold whatever a server echoes."""


def objects_in(data: bytes) -> list[dict[str, Any]]:
    """Return the objects that an event holds: one, as a rule.

    What begins no object (a word to keep the connection open, ``null``) holds none.

    Raises:
        UnreadableError: it begins an object and is no JSON.
    """
    return objects_of(payload(data))


def objects_of(data: bytes) -> list[dict[str, Any]]:
    """Return the same of a payload.

    Raises:
        UnreadableError: it begins an object and is no JSON.
    """
    if not data.startswith(b"{"):
        return []
    if len(data) > _LENIENT_BYTES / 4 and data.count(b"{") + data.count(b"[") > _MOST:
        raise UnreadableError("an event holds more values than any answer has")
    try:
        return [orjson.loads(data)]
    except orjson.JSONDecodeError as error:
        if len(data) > _LENIENT_BYTES:
            raise UnreadableError(f"an event is not JSON ({error})") from None
        return _leniently(data)


def answers_in(body: bytes) -> list[bytes]:
    """Return the answer that a body is, each of its objects in one line: one, or all
    that a stream would have had, in an array or one after another. None: it is none."""
    data = payload(body)
    array = data.startswith(b"[")
    try:
        found = objects_in(b'{"all":%b}' % data if array else data)
    except UnreadableError:
        return []
    if array:
        found = [one for one in found[0]["all"] if isinstance(one, dict)]
    if not found or found[0].get("error") or not any(map(_answers, found)):
        return []
    return [written(one).encode("utf-8", "replace") for one in found]


def _answers(found: Mapping[str, Any]) -> bool:
    """Whether an object is one that a server answers with."""
    told = found.get("message")
    return (
        any(isinstance(found.get(name), list) for name in _ANSWERS)
        or found.get("done") is True
        or isinstance(found.get("output"), dict)
        or (isinstance(told, dict) and "finish_reason" in found)
    )


def begins_events(data: bytes) -> bool:
    """Whether a body begins as server-sent events, whatever its label says."""
    return re.match(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry)?:", data) is not None


def is_cut(body: bytes) -> bool:
    """Whether a body begins as an object or an array, and ends before that does."""
    text = payload(body).decode("utf-8", "replace")
    if not text.startswith(("{", "[")) or len(text) > _LENIENT_BYTES:
        return False
    try:
        _LENIENT.raw_decode(text)
    except json.JSONDecodeError as error:
        # What is wrong is the end: of a text, or of a word or an escape that it halves.
        return error.msg.startswith("Unterminated") or len(text) - error.pos < 6
    except RecursionError:
        return False
    return False


_ANSWERS = ("choices", "content", "output", "candidates")
"""Where each protocol has its answer when it is not streamed."""


def payload(data: bytes) -> bytes:
    """Return what an event's data holds, without what is only around it: a mark of the
    order of bytes, too, which a file has that is served as it is."""
    data = data.strip().removeprefix(b"\xef\xbb\xbf")
    # A proxy that frames what is framed already leaves the field's name in the data.
    while data.startswith(b"data:"):
        data = data[5:].lstrip()
    return data


def is_whole(data: bytes) -> bool:
    """Whether a line of data is all of an event: an object, or the end marker."""
    data = payload(data)
    if data == DONE:
        return True
    if not data.endswith(b"}"):
        return False
    try:
        return bool(objects_in(data))
    except UnreadableError:
        return False


def _leniently(data: bytes) -> list[dict[str, Any]]:
    # Half a character becomes surrogates, which ``Joined`` joins to the other half.
    text = data.decode("utf-8", "surrogateescape")
    found: list[dict[str, Any]] = []
    at = 0
    try:
        while at < len(text):
            one, at = _LENIENT.raw_decode(text, at)
            if not isinstance(one, dict):
                raise UnreadableError("an event holds more than objects")
            found.append(one)
            at = _SPACE.match(text, at).end()  # type: ignore[union-attr] # it matches nothing too
            if text.startswith(DONE.decode(), at):
                break
    except json.JSONDecodeError as error:
        raise UnreadableError(
            f"an event is not JSON ({error.msg} at character {error.pos})"
        ) from None
    except (RecursionError, ValueError):
        raise UnreadableError("an event is not JSON that can be held") from None
    return found


_LENIENT_BYTES = 2 * 1024 * 1024
"""What is read with patience, and so slowly, is not longer than this."""
_MOST = 50_000
"""Objects and arrays in one large event: reading more would keep others waiting."""
_SPACE = re.compile(r"\s*")
_LENIENT = json.JSONDecoder(strict=False, parse_constant=lambda _: None)


class Joined:
    """Text that comes in pieces, each of which may end in the middle of a character.

    A character is cut where a server escapes UTF-16 and cuts between its halves, or
    cuts bytes and sends them raw. What is never completed becomes U+FFFD.
    """

    def __init__(self) -> None:
        self._held = ""

    def add(self, text: str) -> str:
        """Return what is complete with this piece."""
        if not self._held and _is_proper(text):
            return text
        text = self._held + text
        cut = _UNFINISHED.search(text)
        self._held = cut[0] if cut else ""
        return _mended(text[: len(text) - len(self._held)])

    def rest(self) -> str:
        """Return what is left at the end."""
        held, self._held = self._held, ""
        return _mended(held)


def _is_proper(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# The first half of a pair, or the first bytes of a character of several.
_UNFINISHED = re.compile(
    "(?:[\ud800-\udbff]|[\udcc2-\udcdf]|[\udce0-\udcef][\udc80-\udcbf]?"
    "|[\udcf0-\udcf4][\udc80-\udcbf]{0,2})\\Z"
)
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def _mended(text: str) -> str:
    if _is_proper(text):
        return text
    text = _PAIR.sub(
        lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text
    )
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Half a pair without the other half.
        raw = _HALF.sub("\ufffd", text).encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "replace")


_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")


class Progress:
    """How far the JSON text of a call's arguments has come.

    Each character is looked at once, and not before somebody asks; it is parsed once.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._fresh: list[str] = []
        self.size = 0
        """Characters so far."""
        self._depth = 0
        self._in_string = False
        self._closed = False
        self._spoiled = False
        self._sound: bool | None = None

    def add(self, text: str) -> None:
        """Take in a piece."""
        self._pieces.append(text)
        self._fresh.append(text)
        self.size += len(text)

    @property
    def text(self) -> str:
        """All of it so far."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def whole(self) -> bool:
        """Whether it is one complete object, array or text of JSON by now."""
        if self._fresh:
            fresh, self._fresh = "".join(self._fresh), []
            self._scan(fresh)
        if not self._closed or self._spoiled:
            return False
        if self._sound is None:
            self._sound = _is_json(self.text)
        return self._sound

    def _scan(self, fresh: str) -> None:
        at = 0
        while not self._closed:
            found = (_IN_STRING if self._in_string else _OUTSIDE).search(fresh, at)
            if found is None:
                return
            at, run = found.end(), found[0]
            one = run[0]
            if one == "\\":
                if run == one:
                    # What it escapes has not come yet.
                    self._fresh.append(one)
                continue
            if one == '"':
                self._in_string = not self._in_string
            elif one in "{[":
                self._depth += len(run)
            else:
                # What closes the last one may be in the middle of them.
                at -= max(0, len(run) - max(1, self._depth))
                self._depth -= len(run)
            self._closed = one in '"}]' and not self._in_string and self._depth <= 0
        # Only space may follow.
        self._spoiled = self._spoiled or bool(fresh[at:].strip())


# As much as may be at once: a model can send a million brackets in a row.
_IN_STRING = re.compile(r'"|(?:\\.)+|\\\Z', re.DOTALL)
_OUTSIDE = re.compile(r'"|[{\[]+|[}\]]+|(?:\\.)+|\\\Z', re.DOTALL)


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except (orjson.JSONDecodeError, ValueError):
        return False
    return True


def tokens(value: Any) -> int | None:
    """Return a count of tokens, or None for what is none. Some write it as text, or
    as a float."""
    if type(value) is int:
        # First, because some tell them with every piece of an answer.
        return value if 0 <= value < 2**53 else None
    if isinstance(value, str) and re.fullmatch(r"\d{1,15}", value, re.ASCII):
        value = int(value)
    if isinstance(value, float) and value.is_integer() and value < 2**53:
        value = int(value)
    counted = isinstance(value, int) and not isinstance(value, bool)
    return value if counted and 0 <= value < 2**53 else None


def written(value: Json) -> str:
    """Return JSON data as compact text, whatever characters are in it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def table(value: Any) -> Mapping[str, Any]:
    """Return the value if it is an object, and an empty one if it is not."""
    return value if isinstance(value, dict) else {}


def word(value: Any) -> str:
    """Return the value if it is a text, and an empty one if it is not."""
    return value if isinstance(value, str) else ""


def merged(kept: dict[str, Json], more: Mapping[str, Any]) -> None:
    """Add what a server attached to what it attached before, in place.

    Texts that come again go on, unless they are the same; other values replace.
    """
    for name, value in more.items():
        before = kept.get(name)
        if value is None:
            continue
        if isinstance(before, dict) and isinstance(value, dict):
            merged(before, value)
        elif isinstance(before, list) and isinstance(value, list):
            before.extend(value)
        else:
            kept[name] = value


_OF_ADDRESSES = str.maketrans("-_", "+/")
_MIME = re.compile(r"[a-z]+/[A-Za-z0-9.+-]{1,80}\Z")
_DATA_URL = re.compile(r"data:([^;,]{1,90})(?:;[^;,]{1,40})*;base64,", re.IGNORECASE)


def file_of(mime: str, data: str) -> tuple[str, str] | None:
    """Return the type and the data of a file that a model made, or None where what came
    is none."""
    mime = mime.partition(";")[0].strip()
    if not _MIME.match(mime):
        return None
    # Some write it for addresses, and without what fills it up.
    data = data.translate(_OF_ADDRESSES) + "=" * (-len(data) % 4)
    try:
        return (mime, data) if base64.b64decode(data, validate=True) else None
    except ValueError:
        return None


def file_at(url: str) -> tuple[str, str] | None:
    """Return the type and the data of the file that a ``data:`` URL is; None for any
    other URL, which nobody follows."""
    begins = _DATA_URL.match(url)
    return None if begins is None else file_of(begins[1], url[begins.end() :])
