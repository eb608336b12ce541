"""The operations of what waits for a person: permissions and questions."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, cast

from attrs import field, frozen
from dovetail.kernel import (
    ApprovalNotFoundError,
    LocationHandle,
    PendingRequest,
    PermissionRequest,
    QuestionRequest,
    RequestNotFoundError,
)

from . import bodies as b, offers as o, shapes as s, showing
from .operation import Call, Located, each, operation
from .sessions import found

R = TypeVar("R", PermissionRequest, QuestionRequest)
R_co = TypeVar("R_co", covariant=True)


class _Asks(Protocol[R_co]):
    """What a Location has for the requests of one kind."""

    async def pending(self, session_id: str | None = None) -> Sequence[R_co]: ...


@operation(
    "GET",
    "/api/permission/request",
    "v2.permission.request.list",
    query=Located,
    answer=s.At[tuple[s.PermissionShape, ...]],
    refusals=(404,),
    meaning="same",
)
async def list_permissions(
    call: Call[Located, None],
) -> s.At[tuple[s.PermissionShape, ...]]:
    """Return the permission requests of a Location that wait, the oldest first."""
    place = call.location()
    found = await call.runtime.location(place).permissions.pending()
    return s.At(showing.location_info(place), await each(showing.permission, found))


@operation(
    "GET",
    "/api/session/{sessionID}/permission",
    "v2.session.permission.list",
    answer=s.Data[tuple[s.PermissionShape, ...]],
    refusals=(404,),
    meaning="same",
)
async def session_permissions(
    call: Call[None, None], sessionID: str
) -> s.Data[tuple[s.PermissionShape, ...]]:
    """Return the permission requests of a session that wait, the oldest first."""
    return s.Data(await each(showing.permission, await _permissions(call, sessionID)))


async def _own(
    call: Call[Any, Any],
    session_id: str,
    what: str,
    handle: Callable[[LocationHandle], _Asks[R]],
) -> list[R]:
    """Return those of a session itself, the oldest first. They wait where they were
    asked, which is another Location where the session has moved since."""
    await found(call, session_id)
    waiting = await call.runtime.requests.pending(session_id=session_id, what=what)
    places = {one.directory for one in waiting if one.session_id == session_id}
    asked: list[R] = []
    for place in sorted(places):
        asked += await handle(call.runtime.location(place)).pending(session_id)
    return sorted(asked, key=lambda one: one.created)


async def _permissions(
    call: Call[Any, Any], session_id: str
) -> list[PermissionRequest]:
    return await _own(call, session_id, "permission", lambda here: here.permissions)


async def _questions(call: Call[Any, Any], session_id: str) -> list[QuestionRequest]:
    return await _own(call, session_id, "question", lambda here: here.questions)


@operation(
    "GET",
    "/api/session/{sessionID}/permission/{requestID}",
    "v2.session.permission.get",
    answer=s.Data[s.PermissionShape],
    refusals=(404,),
    meaning="same",
)
async def get_permission(
    call: Call[None, None], sessionID: str, requestID: str
) -> s.Data[s.PermissionShape]:
    """Return one permission request that waits."""
    for one in await _permissions(call, sessionID):
        if one.id == requestID:
            return s.Data(showing.permission(one))
    raise RequestNotFoundError(requestID)


@operation(
    "POST",
    "/api/session/{sessionID}/permission/{requestID}/reply",
    "v2.session.permission.reply",
    body=b.ReplyBody,
    refusals=(404, 409),
    meaning="same",
)
async def reply_permission(
    call: Call[None, b.ReplyBody], sessionID: str, requestID: str
) -> None:
    """Answer a permission request, exactly once."""
    await found(call, sessionID)
    body = call.body
    waiting = await call.runtime.requests.pending(
        session_id=sessionID, what="permission"
    )
    # It is answered where it was asked; what does not wait there is told by its end.
    for one in waiting:
        if (one.id, one.session_id) == (requestID, sessionID):
            await call.runtime.location(one.directory).permissions.reply(
                requestID,
                body.reply,
                body.message,
                by=body.by,
                saving=body.saving,
                session_id=sessionID,
                shown=body.shown,
            )
            return
    await call.runtime.requests.reply(
        requestID,
        body.reply,
        body.message,
        session_id=sessionID,
        shown=body.shown,
    )


@frozen
class SavedQuery(Located):
    """Which saved approvals."""

    projectID: str | None = field(
        default=None,
        metadata={"description": "Only those of this project: a directory's id."},
    )


@operation(
    "GET",
    "/api/permission/saved",
    "v2.permission.saved.list",
    query=SavedQuery,
    answer=s.Data[tuple[s.SavedShape, ...]],
    refusals=(404,),
    meaning="differs",
    differs="those that can hold in one Location",
)
async def list_saved(
    call: Call[SavedQuery, None],
) -> s.Data[tuple[s.SavedShape, ...]]:
    """Return the saved approvals that can hold in a Location."""
    found = await call.runtime.location(call.location()).permissions.saved()
    wanted = call.query.projectID
    shown = await each(showing.saved, found)
    return s.Data(tuple(one for one in shown if wanted in (None, one.projectID)))


@operation(
    "DELETE",
    "/api/permission/saved/{id}",
    "v2.permission.saved.remove",
    query=Located,
    refusals=(404,),
    meaning="differs",
    differs="those that can hold in one Location",
)
async def remove_saved(call: Call[Located, None], id: str) -> None:
    """Forget a saved approval."""
    if not id.isprintable():
        raise ApprovalNotFoundError(id)
    await call.runtime.location(call.location()).permissions.revoke(id)


@operation(
    "POST",
    "/api/permission/meaning",
    "permission.meaning",
    query=Located,
    body=b.RulesBody,
    answer=s.Data[o.Meaning],
    refusals=(404, 422),
)
async def meaning(call: Call[Located, b.RulesBody]) -> s.Data[o.Meaning]:
    """Return what rules mean in a Location, and which are about nothing that is asked
    there."""
    here = call.runtime.location(call.location()).permissions
    rules, odd = await here.meaning(call.body.rules)
    return s.Data(o.Meaning(tuple(rules), tuple(odd)))


# --- questions --------------------------------------------------------------------


@operation(
    "GET",
    "/api/question/request",
    "v2.question.request.list",
    query=Located,
    answer=s.At[tuple[s.QuestionsShape, ...]],
    refusals=(404,),
    meaning="same",
)
async def list_questions(
    call: Call[Located, None],
) -> s.At[tuple[s.QuestionsShape, ...]]:
    """Return the questions of a Location that wait, the oldest first."""
    place = call.location()
    found = await call.runtime.location(place).questions.pending()
    return s.At(showing.location_info(place), await each(showing.questions, found))


@operation(
    "GET",
    "/api/session/{sessionID}/question",
    "v2.session.question.list",
    answer=s.Data[tuple[s.QuestionsShape, ...]],
    refusals=(404,),
    meaning="same",
)
async def session_questions(
    call: Call[None, None], sessionID: str
) -> s.Data[tuple[s.QuestionsShape, ...]]:
    """Return the questions of a session that wait, the oldest first."""
    return s.Data(await each(showing.questions, await _questions(call, sessionID)))


@operation(
    "POST",
    "/api/session/{sessionID}/question/{requestID}/reply",
    "v2.session.question.reply",
    body=b.AnswersBody,
    refusals=(404, 409),
    meaning="same",
)
async def reply_questions(
    call: Call[None, b.AnswersBody], sessionID: str, requestID: str
) -> None:
    """Answer questions, exactly once. What is the label of an option chooses it; other
    words are one's own."""
    waiting = await _questions(call, sessionID)
    asked = next((one for one in waiting if one.id == requestID), None)
    answers = showing.answers(call.body.answers, asked)
    await call.runtime.requests.reply(
        requestID,
        {"answers": [{"chosen": list(a.chosen), "text": a.text} for a in answers]},
        session_id=sessionID,
        # What was chosen by its label here is what is asked now, or nothing.
        shown=call.body.shown or (None if asked is None else asked.shown),
    )


@operation(
    "POST",
    "/api/session/{sessionID}/question/{requestID}/reject",
    "v2.session.question.reject",
    body=b.RejectBody,
    refusals=(404, 409),
    meaning="same",
)
async def reject_questions(
    call: Call[None, b.RejectBody], sessionID: str, requestID: str
) -> None:
    """Refuse to answer, exactly once. With a message the model is told that and goes
    on; without one the run stops."""
    await found(call, sessionID)
    body = call.body
    await call.runtime.requests.reply(
        requestID,
        {"answers": None, "message": body.message},
        session_id=sessionID,
        shown=body.shown,
    )


# --- whatever waits ---------------------------------------------------------------


@frozen
class PendingQuery:
    """Which requests."""

    session: str | None = field(
        default=None,
        metadata={"description": "Those of a session and of those that work for it."},
    )
    directory: str | None = field(
        default=None, metadata={"description": "Those of this directory."}
    )
    what: str | None = field(
        default=None, metadata={"description": "Of one kind, such as ``permission``."}
    )


@operation(
    "GET",
    "/api/request",
    "request.list",
    query=PendingQuery,
    answer=s.Data[tuple[PendingRequest, ...]],
    refusals=(404,),
)
async def list_requests(
    call: Call[PendingQuery, None],
) -> s.Data[tuple[PendingRequest, ...]]:
    """Return everything that waits for a person, in all Locations, the oldest first."""
    query = call.query
    found = await call.runtime.requests.pending(
        session_id=query.session, location=query.directory, what=query.what
    )
    return s.Data(tuple(found))


@operation(
    "POST",
    "/api/request/{requestID}/reply",
    "request.reply",
    body=b.AnyReplyBody,
    refusals=(404, 409),
)
async def reply_request(call: Call[None, b.AnyReplyBody], requestID: str) -> None:
    """Answer a request of any kind, exactly once: a permission with a word, any other
    with an object in the shape of its kind."""
    body = call.body
    if body.saving is not None:
        waiting = await call.runtime.requests.pending(what="permission")
        named = [
            one
            for one in waiting
            if one.id == requestID and body.session_id in (None, one.session_id)
        ]
        # Otherwise it has its end, or is one of several: below is told which.
        if len(named) == 1:
            await call.runtime.location(named[0].directory).permissions.reply(
                requestID,
                body.answer,
                body.message,
                by=body.by,
                saving=body.saving,
                session_id=named[0].session_id,
                shown=body.shown,
            )
            return
    await call.runtime.requests.reply(
        requestID,
        cast("Any", body.answer),
        body.message,
        session_id=body.session_id,
        by=body.by,
        shown=body.shown,
    )
