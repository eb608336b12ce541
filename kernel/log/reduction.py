"""Reduction: what is left of an event once retention has removed its content.

Owns the smaller event of each kind, the seal over it, and how a reduced record is told
from a changed one. Knows nothing of when anything is removed (``upkeep.retention``).
"""

import hashlib
from collections.abc import Callable
from typing import Any

from attrs import evolve

from ..ports import EventRecord
from ..values.codec import dumps, loads
from ..values.errors import EventLogError, UndecodableError
from ..values.events import decode_event, payload_digest

REMOVED = "[removed]"
"""Stands for removed content; not empty, because no provider takes an empty text."""

Fields = dict[str, Any]


def _kept(*names: str, **instead: Any) -> Callable[[Fields], Fields]:
    def reduce(fields: Fields) -> Fields:
        return {name: fields[name] for name in names if name in fields} | instead

    return reduce


def _kept_with_code(*names: str) -> Callable[[Fields], Fields]:
    keep = _kept(*names)

    def reduce(fields: Fields) -> Fields:
        code = fields["failure"]["code"]
        return keep(fields) | {"failure": {"code": code, "message": REMOVED}}

    return reduce


def _without_reasons(fields: Fields) -> Fields:
    """Keep which sources could not be observed, and nothing of what they said."""
    away = fields.get("unavailable", {})
    return fields | {
        "unavailable": {key: one | {"reason": REMOVED} for key, one in away.items()}
    }


def _undescribed(reduce: Callable[[Fields], Fields]) -> Callable[[Fields], Fields]:
    """Leave out what a request was made of, which plugins have a say in, as well."""

    def reduce_both(fields: Fields) -> Fields:
        rest = reduce(fields)
        if rest.get("request"):
            told = {k: v for k, v in rest["request"].items() if k != "description"}
            rest = rest | {"request": told}
        return rest

    return reduce_both


def _unasked(reduce: Callable[[Fields], Fields]) -> Callable[[Fields], Fields]:
    """Leave of requests for a text which they were, and nothing of what was sent."""

    def reduce_both(fields: Fields) -> Fields:
        rest = reduce(fields)
        if fields.get("asked"):
            rest["asked"] = [
                _UNDESCRIBED({**one, "text": REMOVED}) for one in fields["asked"]
            ]
        return rest

    return reduce_both


_UNDESCRIBED = _undescribed(dict)

_REDUCE: dict[tuple[str, int], Callable[[Fields], Fields]] = {
    ("session.created", 1): _kept(
        *("directory", "workspace", "agent", "model"),
        *("fallback", "parent", "forked_from", "forked_seq", "forked_hash", "budget"),
        "generation",
    ),
    ("session.title_failed", 1): _unasked(_kept_with_code("usage", "cost", "unpriced")),
    ("session.titled", 1): _unasked(_kept("usage", "cost", "unpriced", title=None)),
    ("session.instructed", 1): _kept(instructions=None),
    ("prompt.admitted", 1): _kept(
        *("input_id", "delivery", "key", "budget", "job_id", "generation"),
        prompt={"text": REMOVED, "files": []},
    ),
    ("context.epoch_started", 1): _kept("sources", "cause", baseline=REMOVED),
    ("context.availability_changed", 1): _without_reasons,
    ("context.updated", 1): _kept("message_id", "sources", text=REMOVED),
    ("notice.added", 1): _kept("message_id", "about", text=REMOVED),
    ("compaction.started", 1): _undescribed(dict),
    ("compaction.failed", 1): _unasked(dict),
    ("compaction.ended", 1): _unasked(
        _kept(
            *("message_id", "kept", "longest", "replaced", "tokens_before"),
            *("tokens_after", "model", "usage", "cost", "unpriced", "requested"),
            text=REMOVED,
        )
    ),
    ("retry.scheduled", 1): _undescribed(
        _kept_with_code(
            *("message_id", "attempt", "delay_ms", "request"),
            *("usage", "cost", "unpriced"),
        )
    ),
    ("model.fell_back", 1): _kept_with_code("model", "next", "message_id"),
    ("step.ended", 1): _undescribed(dict),
    ("step.failed", 1): _undescribed(dict),
    ("text.ended", 1): _kept("message_id", text=REMOVED),
    ("file.made", 1): _kept("message_id", "mime", "bytes"),
    # Without metadata: what a provider signed is the text that is gone.
    ("reasoning.ended", 1): _kept("message_id", text=REMOVED),
    ("tool.called", 1): _undescribed(
        _kept(
            *("message_id", "call_id", "tool", "effect", "waits", "request"),
            arguments="{}",
        )
    ),
    ("tool.succeeded", 1): _kept(
        "message_id", "call_id", content=[{"type": "text", "text": REMOVED}]
    ),
    ("request.asked", 1): _kept(
        *("request_id", "what", "agent", "message_id", "call_id", "begun", "expires"),
        body={},
    ),
    ("request.answered", 1): _kept("request_id", "outcome", "by"),
    ("job.started", 1): _kept(
        *("job_id", "message_id", "call_id", "tool", "worker"), title=REMOVED
    ),
    ("job.ended", 1): _kept("job_id", "state", "exit_code", "by", "input_id"),
    ("output.accepted", 1): _kept("input_id", "message_id", value=None),
    ("output.refused", 1): _kept("input_id", "message_id", "final", problem=REMOVED),
    ("todos.replaced", 1): _kept("message_id", "call_id", todos=[]),
    ("tool.failed", 1): _kept_with_code("message_id", "call_id"),
}
"""By kind and stored version: from an event's fields to those that stay. Applying it
twice is applying it once, which is how a remainder is recognised."""


def reduced(record: EventRecord) -> EventRecord | None:
    """Return a record without its content, or None when nothing of it may go."""
    reduce = _REDUCE.get((record.kind, record.version))
    if reduce is None or record.digest is not None:
        return None
    try:
        decode_event(
            record.kind,
            record.version,
            record.data,
            record.session_id,
            record.seq,
            record.created,
        )
    except EventLogError:
        return None  # damaged: whoever repairs it needs all of it
    rest = dumps(reduce(loads(record.data)))
    if rest == record.data:
        return None
    return evolve(record, data=rest, digest=seal(payload_digest(record.data), rest))


def seal(removed: bytes, rest: bytes) -> bytes:
    """Return a record's ``digest``: that of the removed data, then of what is left."""
    return removed + hashlib.sha256(rest).digest()


def is_reduced(record: EventRecord) -> bool:
    """Whether a record with a digest holds just what retention left of it."""
    assert record.digest is not None
    try:
        if record.digest != seal(record.digest[:32], record.data):
            return False
        reduce = _REDUCE.get((record.kind, record.version))
        # Of a kind that only a newer release reduces, the seal must do.
        return reduce is None or dumps(reduce(loads(record.data))) == record.data
    except (UndecodableError, KeyError, TypeError):
        return False
