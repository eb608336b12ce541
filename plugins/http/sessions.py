"""The operations of sessions: making, saying, running, changing."""

import base64
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import anyio
from attrs import field, fields, frozen
from dovetail.kernel import (
    CursorInvalidError,
    Input,
    InvalidValueError,
    KeyInvalidError,
    Location,
    Outcome,
    Session,
    Spending,
    UndecodableError,
    input_decoder,
    loads_exact,
)

from . import bodies as b, shapes as s, showing
from .door import encoded
from .operation import Call, Located, each, operation
from .problems import closing, malformed, unsupported
from .wrong import MisplacedError

MAX_WAIT = 60.0
"""Seconds for which one question waits."""
AT_ONCE = 0.05
"""Seconds for which it is waited in any case: work may be over already."""
SETTLED = 2.0
"""Seconds for which it is waited where nothing runs: what is recorded is told, however
busy the server is. Work that was only just admitted may begin meanwhile."""


@frozen
class SessionsQuery(Located):
    """Which sessions."""

    limit: int = field(
        default=50,
        metadata={
            "minimum": 1,
            "maximum": 200,
            "description": "How many on a page.",
        },
    )
    order: Literal["asc", "desc"] | None = field(
        default=None,
        metadata={
            "description": "By creation; ``desc``, the default, begins with the newest."
        },
    )
    search: str | None = field(
        default=None, metadata={"description": "Text that is looked for in titles."}
    )
    project: str | None = field(
        default=None, metadata={"description": "The id of a project: a directory."}
    )
    subpath: str | None = field(
        default=None, metadata={"description": "Not offered: give the directory."}
    )
    cursor: str | None = field(
        default=None,
        metadata={
            "description": "``cursor.next`` or ``cursor.previous`` of an earlier page. "
            "It knows all else that was asked for, which then counts for nothing here."
        },
    )
    parent: str | None = field(
        default=None, metadata={"description": "Only the children of this session."}
    )
    roots: bool = field(
        default=False, metadata={"description": "Only those that are nobody's child."}
    )
    directory: str | None = field(
        default=None, metadata={"description": "Only those of this directory."}
    )
    workspace: str | None = field(
        default=None, metadata={"description": "Only with its directory."}
    )


@operation(
    "GET",
    "/api/session",
    "v2.session.list",
    query=SessionsQuery,
    answer=s.Listed[s.SessionShape],
    refusals=(404,),
    meaning="differs",
    differs="`project` is not offered; at most 200 a page; the last has no `next`",
)
async def list_sessions(call: Call[SessionsQuery, None]) -> s.Listed[s.SessionShape]:
    """List sessions by pages, in the order in which they were created.

    ``cursor.next`` goes on, where there is more; ``cursor.previous`` is what stands
    before the page by then, such as what is newer."""
    query = call.query
    for name in ("project", "subpath"):
        if getattr(query, name) is not None:
            raise unsupported("a listing by project", "name the directory", name)
    asked = _Listing.asked(query)
    page = await call.runtime.sessions.list(
        asked.directory,
        asked.search,
        query.limit,
        asked.cursor,
        asked.parent,
        asked.roots,
        asked.order,
    )
    cursors = s.Cursors(asked.at(page.cursor), asked.at(page.previous))
    return s.Listed(await each(showing.session, page.items), cursors)


@frozen
class _Listing:
    """What a listing of sessions is of: all of it travels in its cursors."""

    directory: str | None = None
    search: str | None = None
    parent: str | None = None
    roots: bool = False
    order: Literal["asc", "desc"] | None = None
    cursor: str | None = None

    @classmethod
    def asked(cls, query: SessionsQuery) -> "_Listing":
        """Return what is asked for: what the cursor says, where there is one.

        Raises:
            CursorInvalidError: it is none.
        """
        cursor = query.cursor
        if cursor is None:
            return cls(
                query.directory, query.search, query.parent, query.roots, query.order
            )
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            told = loads_exact(base64.urlsafe_b64decode(padded).decode())
            return input_decoder(cls)(told)
        except (ValueError, UndecodableError) as error:
            told = "it is not a cursor of sessions"
            raise CursorInvalidError("cursor", cursor, told) from error

    def at(self, cursor: str | None) -> str | None:
        """Return a cursor of this listing, with a place in it."""
        if cursor is None:
            return None
        told = {one.name: getattr(self, one.name) for one in fields(_Listing)}
        kept = {name: one for name, one in told.items() if one}
        data = encoded({**kept, "cursor": cursor})
        return base64.urlsafe_b64encode(data).decode().rstrip("=")


@operation(
    "POST",
    "/api/session",
    "v2.session.create",
    body=b.CreateBody,
    answer=s.Data[s.SessionShape],
    refusals=(404,),
    meaning="same",
)
async def create_session(call: Call[None, b.CreateBody]) -> s.Data[s.SessionShape]:
    """Create a session in a Location; it is durable when this returns. With an ``id``
    that exists, that session is returned as it is."""
    body = call.body
    place = call.location()
    if body.location is not None:
        named = Location.at(body.location.directory)
        place = Location(named.directory, body.location.workspaceID)
    made = await call.runtime.sessions.create(
        body.id,
        place,
        showing.model_name(body.model),
        body.agent,
        body.title,
        body.budget,
        body.parent,
        body.instructions,
        body.generation,
        body.fallback,
    )
    return s.Data(showing.session(await made.info()))


@operation(
    "GET",
    "/api/session/active",
    "v2.session.active",
    answer=s.Data[dict[str, s.Running]],
    meaning="same",
)
async def active_sessions(call: Call[None, None]) -> s.Data[dict[str, s.Running]]:
    """Return the sessions that run now, whoever runs them."""
    running = await call.runtime.sessions.active()
    return s.Data({one: s.Running() for one in running})


@frozen
class FindQuery:
    """What a person types of an id."""

    id: str = field(
        kw_only=True, metadata={"description": "An id, or the beginning of one."}
    )


@operation(
    "GET",
    "/api/find",
    "session.find",
    query=FindQuery,
    answer=s.Data[str],
    refusals=(404, 409),
)
async def find_session(call: Call[FindQuery, None]) -> s.Data[str]:
    """Return the id of the session that this is the id of, or the only one whose id
    begins like this."""
    return s.Data(await call.runtime.sessions.find(call.query.id))


@frozen
class SpendingQuery:
    """From when on, and where days begin."""

    since: int = field(
        default=0,
        metadata={"minimum": 0, "description": "In milliseconds since 1970."},
    )
    zone: str | None = field(
        default=None,
        metadata={
            "description": "A time zone such as ``Europe/Berlin`` or ``+05:30``; "
            "without one the server's."
        },
    )


@operation(
    "GET",
    "/api/spending",
    "session.spending",
    query=SpendingQuery,
    answer=s.Data[tuple[Spending, ...]],
)
async def spending(call: Call[SpendingQuery, None]) -> s.Data[tuple[Spending, ...]]:
    """Return what models were asked and what that cost, of all sessions, by day, model
    and directory, the oldest day first."""
    zone = None if call.query.zone is None else _zone(call.query.zone)
    return s.Data(tuple(await call.runtime.sessions.spending(call.query.since, zone)))


def _zone(name: str) -> tzinfo:
    try:
        if re.fullmatch(r"[+-][0-9]{2}:[0-9]{2}", name, re.ASCII):
            found = datetime.strptime(name, "%z").tzinfo
            assert found is not None, "it has one"
            return found
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:
        rule = "such as Europe/Berlin or +05:30"
        raise InvalidValueError("zone", name[:80], rule) from error


async def found(call: Call[Any, Any], id: str) -> Session:
    return await call.runtime.sessions.get(id)


@operation(
    "GET",
    "/api/session/{sessionID}",
    "v2.session.get",
    answer=s.Data[s.SessionShape],
    refusals=(404,),
    meaning="same",
)
async def get_session(call: Call[None, None], sessionID: str) -> s.Data[s.SessionShape]:
    """Return what is known of a session."""
    session = await found(call, sessionID)
    return s.Data(showing.session(await session.info()))


# --- saying something -------------------------------------------------------------


@operation(
    "POST",
    "/api/session/{sessionID}/prompt",
    "v2.session.prompt",
    body=b.PromptBody,
    answer=s.Data[s.AdmittedShape],
    refusals=(404, 409),
    meaning="differs",
    differs="files are attached by content (`data:`); agents are not attached",
)
async def prompt(
    call: Call[None, b.PromptBody], sessionID: str
) -> s.Data[s.AdmittedShape]:
    """Admit a prompt; it is durable when this returns, and waits for no model."""
    body = call.body
    given = call.request.headers.get("idempotency-key")
    if given is not None and body.key not in (None, given):
        raise malformed("the header and the body name two keys", "Idempotency-Key")
    said = showing.prompt(body.prompt)
    # Whether there is such a session is seen as it is admitted.
    session = call.runtime.sessions.at(sessionID)
    try:
        receipt = await session.prompt(
            said,
            id=body.id,
            key=body.key if given is None else given,
            delivery=body.delivery or "steer",
            resume=body.resume is not False,
            budget=body.budget,
            instructions=body.instructions,
            output=body.output,
            generation=body.generation,
        )
    except KeyInvalidError as error:
        if body.key is not None:
            raise
        raise MisplacedError(error, "Idempotency-Key") from error
    return s.Data(showing.admitted(receipt, said))


@operation(
    "GET",
    "/api/session/{sessionID}/pending",
    "session.pending",
    answer=s.Data[tuple[Input, ...]],
    refusals=(404,),
)
async def pending(call: Call[None, None], sessionID: str) -> s.Data[tuple[Input, ...]]:
    """Return admitted input that the model has not seen, in admission order."""
    session = await found(call, sessionID)
    return s.Data(tuple(await session.pending()))


@operation(
    "DELETE",
    "/api/session/{sessionID}/pending/{inputID}",
    "session.withdraw",
    refusals=(404, 409),
)
async def withdraw(call: Call[None, None], sessionID: str, inputID: str) -> None:
    """Take a pending input back. Twice is once."""
    await (await found(call, sessionID)).withdraw(inputID)


@operation(
    "POST",
    "/api/session/{sessionID}/pending/{inputID}/delivery",
    "session.deliver",
    body=b.DeliveryBody,
    refusals=(404, 409),
)
async def deliver(
    call: Call[None, b.DeliveryBody], sessionID: str, inputID: str
) -> None:
    """Change how a pending input is delivered."""
    await (await found(call, sessionID)).deliver(inputID, call.body.delivery)


@operation(
    "GET",
    "/api/session/{sessionID}/input/{inputID}/value",
    "session.value",
    answer=s.Data[Any],
    refusals=(404, 409),
)
async def value(call: Call[None, None], sessionID: str, inputID: str) -> dict[str, Any]:
    """Return the value that answered a prompt which wanted one, by the id of its
    receipt."""
    return {"data": await (await found(call, sessionID)).value(inputID)}


@operation(
    "POST",
    "/api/session/{sessionID}/compact",
    "v2.session.compact",
    refusals=(404,),
    meaning="same",
)
async def compact(call: Call[None, None], sessionID: str) -> dict[str, str]:
    """Ask for older history to be replaced by a summary; durable when this returns.
    The header ``Dovetail-Position`` is the number of its event."""
    position = await (await found(call, sessionID)).compact()
    return {"Dovetail-Position": str(position)}


# --- running ----------------------------------------------------------------------


@operation(
    "POST",
    "/api/session/{sessionID}/wait",
    "v2.session.wait",
    refusals=(404,),
    meaning="same",
)
async def wait(call: Call[None, None], sessionID: str) -> None:
    """Answer once the session is idle, whoever runs it."""
    session = await found(call, sessionID)
    if await call.while_there(session.wait) is None:
        raise closing()


@frozen
class WaitQuery:
    """How long."""

    seconds: float = field(
        default=0.0,
        metadata={
            "minimum": 0,
            "maximum": MAX_WAIT,
            "description": "For how long to wait until the session is idle.",
        },
    )


@operation(
    "GET",
    "/api/session/{sessionID}/outcome",
    "session.outcome",
    query=WaitQuery,
    answer=s.Data[Outcome | None],
    refusals=(404,),
)
async def outcome(
    call: Call[WaitQuery, None], sessionID: str
) -> "dict[str, Outcome | None]":
    """Return how the work ended, once the session is idle; null when it runs still
    after so many seconds."""
    session = await found(call, sessionID)
    runs = (await session.info()).status == "running"
    return {"data": await _within(call, session.wait, AT_ONCE if runs else SETTLED)}


async def _within(
    call: Call[WaitQuery, Any], work: Callable[[], Awaitable[Outcome]], least: float
) -> Outcome | None:
    """Return how work ended, or None when it goes on after the seconds that were asked
    for, and at least after these."""
    with anyio.move_on_after(max(call.query.seconds, least)):
        return await call.while_there(work)
    return None


@operation(
    "POST",
    "/api/session/{sessionID}/resume",
    "session.resume",
    query=WaitQuery,
    body=b.ResumeBody,
    answer=s.Data[Outcome | None],
    refusals=(404, 409),
)
async def resume(
    call: Call[WaitQuery, b.ResumeBody], sessionID: str
) -> "dict[str, Outcome | None]":
    """Let the session go on: at least one Step is made. ``accept`` is the digest of the
    Continuation Report as it is now. Returns how it ended; null when it runs still
    after so many seconds, which ``outcome`` then tells."""
    session = await found(call, sessionID)
    work = await session.begin(call.body.accept)
    return {"data": await _within(call, work, AT_ONCE)}


@operation(
    "GET",
    "/api/session/{sessionID}/continuation",
    "session.continuation",
    answer=s.Data[s.ReportShape],
    refusals=(404,),
)
async def continuation(call: Call[None, None], sessionID: str) -> s.Data[s.ReportShape]:
    """Return what is trusted of the session now, and what must be re-checked."""
    report = await (await found(call, sessionID)).continuation()
    return s.Data(s.ReportShape(report.digest, report.clean, report))


@operation(
    "POST",
    "/api/session/{sessionID}/interrupt",
    "v2.session.interrupt",
    body=b.InterruptBody,
    refusals=(404,),
    meaning="same",
)
async def interrupt(
    call: Call[None, b.InterruptBody], sessionID: str
) -> dict[str, str]:
    """Stop the running work, with every session that works for this one. The header
    ``Dovetail-Stopped`` says whether there was any."""
    stopped = await (await found(call, sessionID)).interrupt(call.body.reason)
    return {"Dovetail-Stopped": "true" if stopped else "false"}


@operation(
    "GET",
    "/api/session/{sessionID}/lease",
    "session.heldUntil",
    answer=s.Data[int | None],
    refusals=(404,),
)
async def held_until(call: Call[None, None], sessionID: str) -> dict[str, int | None]:
    """Return until when a process holds the session, in milliseconds since 1970, unless
    it gives another sign of life; null: nobody runs it."""
    return {"data": await (await found(call, sessionID)).held_until()}


# --- changing ---------------------------------------------------------------------


@operation(
    "POST",
    "/api/session/{sessionID}/agent",
    "v2.session.switchAgent",
    body=b.AgentBody,
    refusals=(404,),
    meaning="same",
)
async def switch_agent(call: Call[None, b.AgentBody], sessionID: str) -> None:
    """Use another agent from the next boundary on."""
    await (await found(call, sessionID)).switch_agent(call.body.agent)


@operation(
    "POST",
    "/api/session/{sessionID}/model",
    "v2.session.switchModel",
    body=b.ModelBody,
    refusals=(404,),
    meaning="same",
)
async def switch_model(call: Call[None, b.ModelBody], sessionID: str) -> None:
    """Use another model from the next boundary on."""
    name = showing.model_name(call.body.model)
    await (await found(call, sessionID)).switch_model(name)


@operation(
    "PUT",
    "/api/session/{sessionID}/budget",
    "session.budget",
    body=b.BudgetBody,
    refusals=(404,),
)
async def set_budget(call: Call[None, b.BudgetBody], sessionID: str) -> None:
    """Limit all the work of the session; what was used before counts."""
    await (await found(call, sessionID)).set_budget(call.body.budget)


@operation(
    "PUT",
    "/api/session/{sessionID}/generation",
    "session.setGeneration",
    body=b.GenerationBody,
    refusals=(404,),
)
async def set_generation(call: Call[None, b.GenerationBody], sessionID: str) -> None:
    """Say how the session's answers are generated, from the next boundary on."""
    await (await found(call, sessionID)).set_generation(call.body.generation)


@operation(
    "PUT",
    "/api/session/{sessionID}/fallback",
    "session.setFallback",
    body=b.FallbackBody,
    refusals=(404,),
)
async def set_fallback(call: Call[None, b.FallbackBody], sessionID: str) -> None:
    """Have other models go on where the session's does not answer, in this order."""
    await (await found(call, sessionID)).set_fallback(call.body.models)


@operation(
    "PUT",
    "/api/session/{sessionID}/instructions",
    "session.instruct",
    body=b.InstructionsBody,
    refusals=(404,),
)
async def instruct(call: Call[None, b.InstructionsBody], sessionID: str) -> None:
    """Say what the session is to keep to."""
    await (await found(call, sessionID)).instruct(call.body.instructions)


@operation(
    "PUT",
    "/api/session/{sessionID}/title",
    "session.rename",
    body=b.TitleBody,
    refusals=(404,),
)
async def rename(call: Call[None, b.TitleBody], sessionID: str) -> None:
    """Give the session a title."""
    await (await found(call, sessionID)).rename(call.body.title)


@operation(
    "POST",
    "/api/session/{sessionID}/move",
    "session.move",
    body=b.MoveBody,
    refusals=(404,),
)
async def move(call: Call[None, b.MoveBody], sessionID: str) -> None:
    """Let the session work in another Location, from the next boundary on."""
    named = Location.at(call.body.location.directory)
    place = Location(named.directory, call.body.location.workspaceID)
    await (await found(call, sessionID)).move(place)
