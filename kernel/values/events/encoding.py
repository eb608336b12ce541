"""Events as they are stored: to bytes, and back from any version ever released."""

from collections.abc import Callable
from typing import Any

import orjson

from ..codec import dumps, from_json, loads, unstructure_without_defaults
from ..errors import (
    EventDamagedError,
    EventKindError,
    EventLogError,
    EventUnwritableError,
    EventVersionError,
    UndecodableError,
)
from ..shortcut import shortcut
from .declaring import ENVELOPE, KINDS, UPCASTERS, Event

_UNSTRUCTURE: dict[type[Event], Callable[[Event], dict[str, Any]]] = {}

_SHORTCUTS: dict[str, tuple[int, Callable[..., Event]]] = {}


def encode_event(item: Event) -> bytes:
    """Return the event's own fields as JSON; the envelope is stored beside them."""
    return dumps(_fields_of(item))


def _fields_of(item: Event) -> dict[str, Any]:
    declared = type(item)
    unstructure = _UNSTRUCTURE.get(declared)
    if unstructure is None:
        unstructure = unstructure_without_defaults(declared, *ENVELOPE)
        _UNSTRUCTURE[declared] = unstructure
    return unstructure(item)


def written_event(item: Event, seq: int, created: int) -> tuple[bytes, Event]:
    """Return an event as it is stored, and as whoever reads that will have it.

    What is returned was made of what is stored, so that nothing is ever committed that
    cannot be read; the text of it is not parsed for that.

    Raises:
        EventUnwritableError: it could not be read again.
    """
    try:
        fields = _fields_of(item)
        data = dumps(fields)
    except UndecodableError as error:
        raise _unwritable(item, seq, "; ".join(error.problems)) from error
    except Exception as error:
        # A field holds something of another type, which says so in its own way.
        raise _unwritable(item, seq, repr(error)) from error
    quick = _SHORTCUTS.get(item.kind) or _shortcut(item.kind)
    try:
        return data, quick[1](fields, item.session_id, seq, created)
    except Exception:
        # Wrong, or right in a rare way: the codec says which.
        pass
    try:
        return data, decode_event(
            item.kind, item.version, data, item.session_id, seq, created
        )
    except EventLogError as error:
        raise _unwritable(item, seq, error.problem) from error


def _unwritable(item: Event, seq: int, problem: str) -> EventUnwritableError:
    return EventUnwritableError(
        item.session_id, seq, f"a {item.kind} cannot be written: {problem}"
    )


def decode_event(
    kind: str, version: int, data: bytes, session_id: str, seq: int, created: int
) -> Event:
    """Return a stored event, brought to its kind's current version.

    Raises:
        EventKindError: the kind is unknown.
        EventVersionError: the version is unknown, or newer than this release.
        EventDamagedError: the data does not decode.
    """
    quick = _SHORTCUTS.get(kind) or _shortcut(kind)
    # A damaged file gives anything for a number; what is given is not checked.
    if version == quick[0] and type(seq) is int and type(created) is int:
        try:
            return quick[1](orjson.loads(data), session_id, seq, created)
        except Exception:
            # Wrong, or right in a rare way: the codec says which.
            pass
    declared = KINDS.get(kind)
    if declared is None:
        raise EventKindError(session_id, seq, f"unknown kind {kind!r}")
    try:
        fields = loads(data)
        while version != declared.version:
            lift = UPCASTERS.get((kind, version))
            if lift is None:
                raise EventVersionError(
                    session_id, seq, f"unknown version {version} of kind {kind!r}"
                )
            fields, version = lift(fields), version + 1
        fields["session_id"], fields["seq"] = session_id, seq
        fields["created"] = created
        return from_json(fields, declared, kind)
    except (EventVersionError, EventKindError):
        raise
    except Exception as error:
        raise EventDamagedError(session_id, seq, str(error)) from error


def _shortcut(kind: str) -> tuple[int, Callable[..., Event]]:
    """Return the current version of a kind and what reads it; 0 for an unknown one."""
    declared = KINDS.get(kind)
    if declared is None:
        return 0, Event
    made = declared.version, shortcut(declared, *ENVELOPE)
    return _SHORTCUTS.setdefault(kind, made)
