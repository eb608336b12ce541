"""An event, and how a class is declared as a kind of it."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, TypeVar

from ..frozen import frozen
from ..ids import SessionId

Retention = Literal["forever", "transcript", "trace"]
"""What may ever be removed. ``forever``: nothing. ``transcript``: the content, when the
person deletes it. ``trace``: the content, once its session is idle."""


@frozen(kw_only=True)
class Event:
    """One durable fact of one session.

    ``seq`` is -1 until the event is committed; then it is its place in the session's
    log, gap-free from 0 (law events.1).
    """

    kind: ClassVar[str] = ""
    """What kind of event it is, such as ``step.started``; stable for ever."""
    version: ClassVar[int] = 1
    """Of its kind: grows when the fields change."""
    retention: ClassVar[Retention] = "forever"
    """Whether its content may be removed one day, and with what else."""

    session_id: SessionId
    """The session that it belongs to."""
    seq: int = -1
    """Its number in the log of its session: from 0, without gaps."""
    created: int = 0
    """Milliseconds since 1970, for people; order is ``seq``."""


E_ = TypeVar("E_", bound=type[Event])

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

KINDS: dict[str, type[Event]] = {}
UPCASTERS: dict[tuple[str, int], Upcaster] = {}

ENVELOPE = ("session_id", "seq", "created")


def event(
    kind: str, *, version: int = 1, retention: Retention = "forever"
) -> Callable[[E_], E_]:
    """Declare a class as the current version of a kind."""

    def declare(declared: E_) -> E_:
        if kind in KINDS:
            raise ValueError(f"event kind {kind!r} is declared twice")
        declared.kind = kind
        declared.version, declared.retention = version, retention
        KINDS[kind] = declared
        return declared

    return declare


def upcaster(kind: str, version: int) -> Callable[[Upcaster], Upcaster]:
    """Declare a pure function from the data of this version to the next one's."""

    def declare(function: Upcaster) -> Upcaster:
        UPCASTERS[kind, version] = function
        return function

    return declare


def kinds() -> Mapping[str, type[Event]]:
    """Return every kind with its current class."""
    return dict(KINDS)
