"""Sent requests: what each was made of, and how it goes on from the one before it.

Owns the digests of one session's requests, kept so that no request is looked at twice:
of the body before, its messages are known by identity, and the state of its digest goes
on from there (law travel.2). Where nothing is kept, as after a restart, the recorded
digest of what must come first is compared once.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve

from ..values.codec import dumps, from_json, loads, sanitised, to_json
from ..values.errors import InvalidValueError, UndecodableError
from ..values.events import Event
from ..values.frozen import frozen
from ..values.generation import NO_GENERATION, Generation
from ..values.request import ModelRequest
from ..values.sent import RequestBody, RequestDescription, SentRequest
from .canonical import CanonicalWriter

_TURN = 64
"""Bytes at the end of a message that may change when another one joins it."""
GIVE_BYTES = "give a RequestBody of bytes"
_DESCRIBES = (
    *("protocol", "plugin", "model", "settings", "system", "tools"),
    *(
        "tool_choice",
        "max_output",
        "options",
        "generation",
        "output",
        "reads",
        "altered",
    ),
)


@frozen
class _Before:
    """The request before, as far as this process knows it."""

    head: bytes
    messages: Sequence[bytes]
    state: Any
    """Of the digest, after its head and its messages."""
    length: int


class SentRequests:
    """The requests of one session, as its events and this process tell of them."""

    def __init__(self) -> None:
        self.canonical = CanonicalWriter()
        """Writes what is recorded of requests whose routes tell of no body."""
        self._described: dict[str, RequestDescription] = {}
        self._last: SentRequest | None = None
        self._before: _Before | None = None
        # The last one by what it was made from, because comparing with it is quick.
        self._made: tuple[tuple[Any, ...], str, RequestDescription] | None = None

    # --- what events tell ---------------------------------------------------------

    def record(self, sent: SentRequest) -> None:
        """Take in that a request was sent."""
        if sent.description is not None:
            self._described[sent.made_of] = sent.description
        self._last = sent

    def begin_epoch(self) -> None:
        """Forget the last one: the next begins anew, and an event said why."""
        self._last = self._before = None

    # --- what is about to be sent -------------------------------------------------

    def describing(
        self,
        request: ModelRequest,
        body: RequestBody,
        plugin: str | None,
        baseline: str | None,
        redact: Callable[[str], str],
        *,
        altered: bool,
    ) -> tuple[str, RequestDescription]:
        """Return what a request is made of, under its name."""
        parts = (
            *(body.protocol, plugin, request.model, body.settings, request.system),
            *(baseline, request.tools, request.tool_choice, request.max_output),
            *(request.options, request.generation, body.ignored, request.output),
            request.reads,
            altered,
        )
        if self._made is None or self._made[0] != parts:
            made = _clean(
                RequestDescription(
                    protocol=body.protocol,
                    plugin=plugin,
                    model=request.model,
                    settings=dict(body.settings),
                    system=tuple(
                        None if one == baseline else one for one in request.system
                    ),
                    tools=dumps([to_json(one) for one in request.tools]).decode(),
                    tool_choice=request.tool_choice,
                    max_output=request.max_output,
                    options=dict(request.options),
                    generation=_unless_empty(request.generation),
                    ignored=tuple(body.ignored),
                    output=request.output,
                    reads=request.reads,
                    altered=altered,
                ),
                redact,
            )
            self._made = (parts, _name_of(made), made)
        return self._made[1:]

    def sending(
        self, name: str, made_of: RequestDescription, body: RequestBody
    ) -> SentRequest:
        """Return the record of a request that is about to be sent, compared with the
        one before it in its epoch.

        Raises:
            InvalidValueError: a message of the body is not in bytes.
        """
        head, messages, before = body.head, body.messages, self._before
        count = 0 if before is None else len(before.messages)
        goes_on = (
            before is not None
            and before.head == head
            and messages[:count] == before.messages
        )
        if goes_on and before is not None:
            state, length = before.state.copy(), before.length
        else:
            state, length, count = hashlib.sha256(head), len(head), 0
        fresh = messages[count:]
        # Those of before were looked at then: a Step looks at what is new.
        if not all(isinstance(one, bytes) for one in fresh):
            raise InvalidValueError("request body", None, GIVE_BYTES)
        if not fresh and body.mark:
            # It goes into what was looked at: asked once more, or after a repair.
            state, length, count = hashlib.sha256(head), len(head), 0
            fresh = messages
        joined = b",".join(fresh)
        if count and fresh:
            joined = b"," + joined
        end = len(joined) - (body.closes if body.mark else 0)
        state.update(joined[:end])
        # Up to the mark the next one begins like this one.
        prefix, prefix_digest = length + end, state.hexdigest()
        whole = state.copy()
        whole.update(body.mark + joined[end:] + body.tail)
        state.update(joined[end:])
        length += len(joined)
        sent = SentRequest(
            digest=whole.hexdigest(),
            bytes=length + len(body.mark) + len(body.tail),
            made_of=name,
            prefix=prefix,
            prefix_digest=prefix_digest,
            parted=None if goes_on else self._parted(name, made_of, body),
            # Until an event says it, it is said again: one that was to may be lost.
            description=None if name in self._described else made_of,
        )
        self._before = _Before(head, messages, state, length)
        # Whoever sends the next one compares it with this, recorded or not.
        self._last = sent
        return sent

    def _parted(
        self, name: str, new: RequestDescription, body: RequestBody
    ) -> str | None:
        """Return what changed since the request before; None where nothing did."""
        last, before = self._last, self._before
        if last is None:
            return None
        if before is None and last.prefix <= len(body.head) + sum(
            len(one) + 1 for one in body.messages
        ):
            start = body.data[: last.prefix]
            if hashlib.sha256(start).hexdigest() == last.prefix_digest:
                return None
        old = last.description or self._described.get(last.made_of)
        if last.made_of != name and old is not None:
            return ", ".join(
                field
                for field in _DESCRIBES
                if getattr(old, field) != getattr(new, field)
            )
        if before is None:
            return "messages"
        if before.head != body.head:
            return "body"
        for number, (one, other) in enumerate(
            zip(before.messages, body.messages, strict=False), 1
        ):
            if one != other:
                # A turn of the user that goes on is the same up to its end.
                same = one[: max(0, len(one) - _TURN)]
                joined = number == len(before.messages) and other.startswith(same)
                return f"message {number}" + (" goes on" if joined else "")
        return f"message {len(body.messages) + 1}"


def sent_in(event: Event) -> SentRequest | None:
    """Return the record of a request that an event carries."""
    return getattr(event, "request", None)


def _unless_empty(generation: Generation) -> Generation | None:
    return None if generation == NO_GENERATION else generation


def _name_of(made_of: RequestDescription) -> str:
    """Return the name of a description: the same for the same, in any session."""
    return hashlib.sha256(dumps(to_json(made_of))).hexdigest()[:32]


def _clean(
    made_of: RequestDescription, redact: Callable[[str], str]
) -> RequestDescription:
    """Return the description without any key in it (law access.6)."""
    told = sanitised(to_json(made_of))
    text = dumps(told).decode()
    clean = redact(text)
    try:
        return from_json(told if clean == text else loads(clean), RequestDescription)
    except UndecodableError:
        # What hid a key is not JSON any more: all that may hold one is left out.
        return evolve(made_of, settings={}, options={}, system=(), tools="[]")
