"""A permission request: what it asks, as its event keeps it and as people see it.

Owns the shape of the request and of its answer. Knows nothing of rules, nor of who
waits for it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve, field

from ..contracts import Rule
from ..log.commit import LogTransaction
from ..requests.asking import Asking
from ..values.codec import clean_text, from_json, sanitised, to_json
from ..values.errors import InvalidValueError, UndecodableError
from ..values.events import PermissionReply, RequestAsked
from ..values.frozen import frozen
from ..values.ids import MessageId, RequestId, SessionId
from ..values.tool import Json

WHAT = "permission"
"""The kind of request."""

MAX_ADVICE = 8_192
"""Characters of advice that go with a rejection."""


@frozen
class AskRequest:
    """What one call of one agent wants to do."""

    session_id: SessionId
    agent: str
    action: str
    resources: tuple[str, ...]
    save: tuple[str, ...] = ()
    """What ``always`` remembers, each to the letter."""
    folder: str | None = None
    """The folder that it is to happen in, as a resource, where that matters: what
    ``always`` remembers is for this folder only."""
    metadata: Mapping[str, Json] = field(factory=dict)
    message_id: MessageId | None = None
    call_id: str | None = None
    begun: bool = False
    """Whether the call may have had an effect before it asks this."""
    rules: tuple[Rule, ...] | None = field(default=None, eq=False, repr=False)
    """The rules of the Step whose call it is; None: those of the agent as they are."""
    guard: Callable[[LogTransaction], None] | None = field(
        default=None, eq=False, repr=False
    )
    """Raises where whoever asks may not write any more; runs in each transaction that
    is made for the call."""
    tool: str | None = None
    """The tool that is called."""


@frozen
class RestingOn:
    """What an ``always`` to a request would rest on: see ``basis``."""

    definition: str | None = None
    """What tells the tool from a later one."""
    rules: str | None = None
    """What tells the rules around the agent from later ones."""
    common: str | None = None
    """The rules around every agent."""
    user: str | None = None
    """The rules in whatever directory."""


@frozen
class PermissionBody:
    """What a permission request asks, as its event keeps it."""

    action: str
    """What is to be done, such as ``edit``; see the table of actions."""
    resources: tuple[str, ...]
    """What it is to be done to; all of it must be allowed."""
    save: tuple[str, ...] = ()
    """The patterns that an ``always`` would remember."""
    folder: str | None = None
    """The folder that relative resources are of, as a resource."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the tool says besides, for whoever shows the question."""
    tool: str | None = None
    """The tool whose call asks; None where no call does."""
    rests: RestingOn = field(factory=RestingOn)
    """What an ``always`` would rest on."""
    again: tuple[str, ...] = ()
    """Why saved approvals that were for this do not count any more, a line each."""


@frozen
class PermissionAnswer:
    """What was said to a permission request, as its event keeps it."""

    reply: PermissionReply
    """Once, always, or not at all."""
    message: str | None = None
    """What the person says to the model instead; None for nothing."""


@frozen
class PermissionRequest:
    """A permission request, as whoever answers it sees it."""

    id: RequestId
    """What it is answered by."""
    session_id: SessionId
    """The session that it belongs to."""
    agent: str
    """Whose call it is: an ``always`` holds for this agent only."""
    action: str
    """What is to be done, such as ``edit``."""
    resources: tuple[str, ...]
    """What it is to be done to; all of it must be allowed."""
    save: tuple[str, ...]
    """What ``always`` would remember, each to the letter."""
    folder: str | None
    """The folder that it is to happen in, as a resource; ``always`` remembers it for
    this folder only. None: it does not matter."""
    message_id: MessageId | None
    """The message of the call that asks; None where no call does."""
    call_id: str | None
    """The call that asks, as its provider named it; None where no call does."""
    metadata: Mapping[str, Json]
    """What the tool says besides, for whoever shows the question."""
    created: int
    """Milliseconds since 1970."""
    tool: str | None = None
    """The tool that is called; None where no call asks."""
    again: tuple[str, ...] = ()
    """Why saved approvals that were for this do not count any more, a line each."""
    expires: int | None = None
    """Milliseconds since 1970 from which on no answer counts; None: never."""
    shown: str | None = None
    """Names exactly what is asked here. Given with the answer, it makes sure that this
    is what is answered."""
    rests: RestingOn = field(factory=RestingOn, repr=False)
    """What an ``always`` would rest on."""

    @classmethod
    def of(cls, asked: RequestAsked) -> "PermissionRequest | None":
        """Return what an event asks; None when that is no permission, or was removed
        by retention."""
        if asked.what != WHAT or not asked.body:
            return None
        try:
            body = from_json(dict(asked.body), PermissionBody)
        except UndecodableError:
            return None
        return cls(
            id=asked.request_id,
            session_id=asked.session_id,
            agent=asked.agent,
            action=body.action,
            resources=body.resources,
            save=body.save,
            folder=body.folder,
            message_id=asked.message_id,
            call_id=asked.call_id,
            metadata=body.metadata,
            created=asked.created,
            tool=body.tool,
            again=body.again,
            expires=asked.expires,
            shown=asked.shown,
            rests=body.rests,
        )


def asking_for(request: AskRequest, rests: RestingOn | None = None) -> Asking:
    rests = rests or RestingOn()
    body = PermissionBody(
        action=_storable(request.action),
        resources=tuple(_storable(each) for each in request.resources),
        # A name that cannot be stored as it is cannot be approved to the letter.
        save=tuple(each for each in request.save if _storable(each) == each),
        folder=None if request.folder is None else _storable(request.folder),
        metadata=sanitised(dict(request.metadata)),
        tool=request.tool,
        rests=rests,
    )
    whole: dict[str, Json] = to_json(body)
    # What is to be done, and by what: not which rules stand around it meanwhile.
    content = {
        **{name: one for name, one in whole.items() if name not in ("rests", "again")},
        "definition": rests.definition,
    }
    return Asking(
        session_id=request.session_id,
        what=WHAT,
        agent=request.agent,
        identity=(request.action, *request.resources, request.folder or ""),
        body=whole,
        content=content,
        message_id=request.message_id,
        call_id=request.call_id,
        begun=request.begun,
        guard=request.guard,
    )


def _storable(text: str) -> str:
    """Return text that has a UTF-8; a file's name may be without one."""
    return text.encode("utf-8", "backslashreplace").decode()


def again_because(asking: Asking, reasons: Sequence[str]) -> Asking:
    """Return what is asked, with why it is asked although somebody allowed it."""
    if not reasons:
        return asking
    return evolve(asking, body={**asking.body, "again": [*map(clean_text, reasons)]})


def answer_of(reply: PermissionReply, message: str | None = None) -> dict[str, Any]:
    said = PermissionAnswer(reply, message if reply == "reject" else None)
    answer: dict[str, Any] = to_json(said)
    return answer


def checked_advice(message: str | None) -> str | None:
    if message is None or not message.strip():
        return None
    if len(message) > MAX_ADVICE:
        raise InvalidValueError(
            "message", message, f"at most {MAX_ADVICE} characters of advice"
        )
    return clean_text(message)
