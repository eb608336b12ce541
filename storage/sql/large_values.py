"""Large values inside of events: each kept once, by content, beside the log.

Owns how a long text in an event's data, such as an attached file or an image, moves to
the table ``blob`` and back. Nobody above sees it: what is read is byte for byte what
was appended, so hashes, exports and retention know nothing of it.
"""

from collections.abc import Callable
from typing import Any

from dovetail.kernel.values.codec import dumps, loads
from dovetail.kernel.values.errors import UndecodableError

LARGE = 16_384
"""Characters of one text from which on it is kept by content."""
SHARED, SHARED_UNDER = 1024, "description"
"""The same for texts below a field of this name: they are the same in many sessions."""

_SHARED_MARK = b'"description":{'
_MARK = b"\0"
"""No JSON begins with it."""

_Path = list[str | int]


def shrink(data: bytes, keep: Callable[[bytes], str]) -> bytes:
    """Return an event's data with its long texts kept elsewhere.

    ``keep`` stores bytes and returns their name. Data that would not come back as the
    very same bytes is returned as it is.
    """
    if len(data) <= LARGE and (len(data) <= SHARED or _SHARED_MARK not in data):
        return data
    try:
        value = loads(data)
    except UndecodableError:
        return data
    found: list[tuple[_Path, str]] = []
    _find(value, [], found)
    if not found or dumps(value) != data:
        return data
    for path, _ in found:
        _put(value, path, "")
    parts = [[path, keep(text.encode())] for path, text in found]
    return _MARK + dumps({"parts": parts, "rest": value})


def is_shrunk(data: object) -> bool:
    """Return whether stored data has long texts kept elsewhere."""
    return isinstance(data, bytes) and data.startswith(_MARK)


def restore(data: bytes, kept: Callable[[str], bytes | None]) -> bytes:
    """Return an event's data as it was appended.

    Where a kept text is gone, what is left is returned: it is no JSON, and whoever
    decodes it finds the event damaged.
    """
    if not is_shrunk(data):
        return data
    try:
        stored = loads(data[1:])
        value = stored["rest"]
        for path, name in stored["parts"]:
            text = kept(name)
            if text is None:
                return data
            _put(value, path, text.decode())
        return dumps(value)
    except (UndecodableError, UnicodeDecodeError, LookupError, TypeError):
        return data


def _find(
    value: Any, path: _Path, found: list[tuple[_Path, str]], least: int = LARGE
) -> None:
    if isinstance(value, str):
        if path and len(value) >= least:
            found.append((path, value))
    elif isinstance(value, dict):
        for name, item in value.items():
            under = SHARED if name == SHARED_UNDER else least
            _find(item, [*path, name], found, under)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _find(item, [*path, index], found, least)


def _put(value: Any, path: _Path, text: str) -> None:
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = text
