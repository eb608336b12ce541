"""Events as they are stored: to bytes, and back from any version ever released."""

from collections.abc import Callable
from typing import Any

import orjson

from ..codec import dumps, from_json, loads, unstructure_without_defaults
from ..errors import EventDamagedError, EventKindError, EventVersionError
from ..shortcut import changed, shortcut
from .declaring import ENVELOPE, KINDS, UPCASTERS, Event

_UNSTRUCTURE: dict[type[Event], Callable[[Event], dict[str, Any]]] = {}

_SHORTCUTS: dict[str, tuple[int, Callable[..., Event]]] = {}


def encode_event(item: Event) -> bytes:
    """Return the event's own fields as JSON; the envelope is stored beside them."""
    declared = type(item)
    unstructure = _UNSTRUCTURE.get(declared)
    if unstructure is None:
        unstructure = unstructure_without_defaults(declared, *ENVELOPE)
        _UNSTRUCTURE[declared] = unstructure
    return dumps(unstructure(item))


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


def stamped(item: Event, seq: int, created: int) -> Event:
    """Return the event as it was committed."""
    return changed(item, seq=seq, created=created)
