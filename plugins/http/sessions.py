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
    Job,
    KeyInvalidError,
    Location,
    Message,
    Outcome,
    Page,
    Reverted,
    RevertPlan,
    Session,
    Span,
    Spending,
    Todo,
    UndecodableError,
    input_decoder,
    loads_exact,
)

from . import shapes as s, showing
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
    body=s.CreateBody,
    answer=s.Data[s.SessionShape],
    refusals=(404,),
    meaning="same",
)
async def create_session(call: Call[None, s.CreateBody]) -> s.Data[s.SessionShape]:
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
    body=s.PromptBody,
    answer=s.Data[s.AdmittedShape],
    refusals=(404, 409),
    meaning="differs",
    differs="files are attached by content (`data:`); agents are not attached",
)
async def prompt(
    call: Call[None, s.PromptBody], sessionID: str
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
    body=s.DeliveryBody,
    refusals=(404, 409),
)
async def deliver(
    call: Call[None, s.DeliveryBody], sessionID: str, inputID: str
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
    body=s.ResumeBody,
    answer=s.Data[Outcome | None],
    refusals=(404, 409),
)
async def resume(
    call: Call[WaitQuery, s.ResumeBody], sessionID: str
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
    body=s.InterruptBody,
    refusals=(404,),
    meaning="same",
)
async def interrupt(
    call: Call[None, s.InterruptBody], sessionID: str
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
    body=s.AgentBody,
    refusals=(404,),
    meaning="same",
)
async def switch_agent(call: Call[None, s.AgentBody], sessionID: str) -> None:
    """Use another agent from the next boundary on."""
    await (await found(call, sessionID)).switch_agent(call.body.agent)


@operation(
    "POST",
    "/api/session/{sessionID}/model",
    "v2.session.switchModel",
    body=s.ModelBody,
    refusals=(404,),
    meaning="same",
)
async def switch_model(call: Call[None, s.ModelBody], sessionID: str) -> None:
    """Use another model from the next boundary on."""
    name = showing.model_name(call.body.model)
    await (await found(call, sessionID)).switch_model(name)


@operation(
    "PUT",
    "/api/session/{sessionID}/budget",
    "session.budget",
    body=s.BudgetBody,
    refusals=(404,),
)
async def set_budget(call: Call[None, s.BudgetBody], sessionID: str) -> None:
    """Limit all the work of the session; what was used before counts."""
    await (await found(call, sessionID)).set_budget(call.body.budget)


@operation(
    "PUT",
    "/api/session/{sessionID}/generation",
    "session.setGeneration",
    body=s.GenerationBody,
    refusals=(404,),
)
async def set_generation(call: Call[None, s.GenerationBody], sessionID: str) -> None:
    """Say how the session's answers are generated, from the next boundary on."""
    await (await found(call, sessionID)).set_generation(call.body.generation)


@operation(
    "PUT",
    "/api/session/{sessionID}/fallback",
    "session.setFallback",
    body=s.FallbackBody,
    refusals=(404,),
)
async def set_fallback(call: Call[None, s.FallbackBody], sessionID: str) -> None:
    """Have other models go on where the session's does not answer, in this order."""
    await (await found(call, sessionID)).set_fallback(call.body.models)


@operation(
    "PUT",
    "/api/session/{sessionID}/instructions",
    "session.instruct",
    body=s.InstructionsBody,
    refusals=(404,),
)
async def instruct(call: Call[None, s.InstructionsBody], sessionID: str) -> None:
    """Say what the session is to keep to."""
    await (await found(call, sessionID)).instruct(call.body.instructions)


@operation(
    "PUT",
    "/api/session/{sessionID}/title",
    "session.rename",
    body=s.TitleBody,
    refusals=(404,),
)
async def rename(call: Call[None, s.TitleBody], sessionID: str) -> None:
    """Give the session a title."""
    await (await found(call, sessionID)).rename(call.body.title)


@operation(
    "POST",
    "/api/session/{sessionID}/move",
    "session.move",
    body=s.MoveBody,
    refusals=(404,),
)
async def move(call: Call[None, s.MoveBody], sessionID: str) -> None:
    """Let the session work in another Location, from the next boundary on."""
    named = Location.at(call.body.location.directory)
    place = Location(named.directory, call.body.location.workspaceID)
    await (await found(call, sessionID)).move(place)


# --- travelling -------------------------------------------------------------------


@operation(
    "POST",
    "/api/session/{sessionID}/fork",
    "session.fork",
    body=s.ForkBody,
    answer=s.Data[s.SessionShape],
    refusals=(404,),
)
async def fork(call: Call[None, s.ForkBody], sessionID: str) -> s.Data[s.SessionShape]:
    """Create a session that shares this one's past and goes its own way."""
    session = await found(call, sessionID)
    body = call.body
    made = await session.fork(body.at, id=body.id, title=body.title)
    return s.Data(showing.session(await made.info()))


@operation(
    "GET",
    "/api/session/{sessionID}/lineage",
    "session.lineage",
    answer=s.Data[tuple[Span, ...]],
    refusals=(404,),
)
async def lineage(call: Call[None, None], sessionID: str) -> s.Data[tuple[Span, ...]]:
    """Return the parts of other sessions' logs that are this one's past."""
    return s.Data(tuple(await (await found(call, sessionID)).lineage()))


@operation(
    "POST",
    "/api/session/{sessionID}/revert/stage",
    "v2.session.revert.stage",
    body=s.StageBody,
    answer=s.Data[s.RevertShape],
    refusals=(404, 409),
    meaning="differs",
    differs="files are always restored; the first message cannot be hidden",
)
async def stage_revert(
    call: Call[None, s.StageBody], sessionID: str
) -> s.Data[s.RevertShape]:
    """Hide a message and what follows from the model, and restore files."""
    if call.body.files is False:
        raise unsupported("a revert that leaves files", "they are restored with it")
    session = await found(call, sessionID)
    before = await _before(session, call.body.messageID)
    done = await session.revert(before)
    return s.Data(
        s.RevertShape(call.body.messageID, tuple({"path": path} for path in done.done))
    )


async def _before(session: Session, message_id: str) -> str:
    """Return the id of the message before one.

    Raises:
        MessageNotFoundError: the session has none of this id.
        InvalidValueError: it is the first one.
    """
    wanted = await session.message(message_id)
    cursor: str | None = None
    while True:
        page: Page[Message] = await session.messages(200, cursor)
        for one in page:
            if one.seq < wanted.seq:
                return one.id
        cursor = page.cursor
        if cursor is None:
            raise InvalidValueError("message", message_id, "nothing comes before it")


@operation(
    "POST",
    "/api/session/{sessionID}/revert/clear",
    "v2.session.revert.clear",
    refusals=(404, 409),
    meaning="same",
)
async def clear_revert(call: Call[None, None], sessionID: str) -> None:
    """Let the model see again what reverts hid since it last went on."""
    await (await found(call, sessionID)).unrevert()


@operation(
    "POST",
    "/api/session/{sessionID}/revert/commit",
    "v2.session.revert.commit",
    refusals=(404,),
    meaning="differs",
    differs="not offered: the next prompt does that",
)
async def commit_revert(call: Call[None, None], sessionID: str) -> None:
    """Answer that a revert is kept by the next prompt, and by nothing else."""
    await found(call, sessionID)
    raise unsupported("keeping a revert without a prompt", "prompt the session")


@operation(
    "POST",
    "/api/session/{sessionID}/revert/plan",
    "session.planRevert",
    body=s.MessageBody,
    answer=s.Data[RevertPlan],
    refusals=(404, 409),
)
async def plan_revert(
    call: Call[None, s.MessageBody], sessionID: str
) -> s.Data[RevertPlan]:
    """Return what a revert to a message would do, and do nothing."""
    session = await found(call, sessionID)
    return s.Data(await session.plan_revert(call.body.messageID))


@operation(
    "POST",
    "/api/session/{sessionID}/revert",
    "session.revert",
    body=s.MessageBody,
    answer=s.Data[Reverted],
    refusals=(404, 409),
)
async def revert(call: Call[None, s.MessageBody], sessionID: str) -> s.Data[Reverted]:
    """Hide what follows a message from the model, and restore files."""
    return s.Data(await (await found(call, sessionID)).revert(call.body.messageID))


@operation(
    "POST",
    "/api/session/{sessionID}/unrevert",
    "session.unrevert",
    answer=s.Data[Reverted],
    refusals=(404, 409),
)
async def unrevert(call: Call[None, None], sessionID: str) -> s.Data[Reverted]:
    """Bring back what reverts hid, and say what became of the files."""
    return s.Data(await (await found(call, sessionID)).unrevert())


# --- to-dos and jobs --------------------------------------------------------------


@operation(
    "GET",
    "/api/session/{sessionID}/todo",
    "session.todos",
    answer=s.Data[tuple[Todo, ...]],
    refusals=(404,),
)
async def todos(call: Call[None, None], sessionID: str) -> s.Data[tuple[Todo, ...]]:
    """Return the list in which the model keeps what it is to do."""
    return s.Data(tuple(await (await found(call, sessionID)).todos()))


@operation(
    "GET",
    "/api/session/{sessionID}/job",
    "session.jobs",
    answer=s.Data[tuple[Job, ...]],
    refusals=(404,),
)
async def jobs(call: Call[None, None], sessionID: str) -> s.Data[tuple[Job, ...]]:
    """Return the jobs that calls of the session began, in that order."""
    return s.Data(tuple(await (await found(call, sessionID)).jobs()))


@operation(
    "GET",
    "/api/session/{sessionID}/detachable",
    "session.detachable",
    answer=s.Data[tuple[s.CallRef, ...]],
    refusals=(404,),
)
async def detachable(
    call: Call[None, None], sessionID: str
) -> s.Data[tuple[s.CallRef, ...]]:
    """Return the calls that run in this server and can go on as jobs."""
    session = await found(call, sessionID)
    return s.Data(tuple(s.CallRef(*one) for one in session.detachable()))


@operation(
    "POST",
    "/api/session/{sessionID}/detach",
    "session.detach",
    body=s.CallRef,
    answer=s.Data[Job],
    refusals=(404, 409, 429),
)
async def detach(call: Call[None, s.CallRef], sessionID: str) -> s.Data[Job]:
    """Let a running call go on as a job, whoever runs it: the model goes on at once."""
    session = await found(call, sessionID)
    return s.Data(await session.detach(call.body.messageID, call.body.callID))


@operation(
    "POST",
    "/api/session/{sessionID}/job/{jobID}/stop",
    "session.stopJob",
    answer=s.Data[Job],
    refusals=(404, 409),
)
async def stop_job(call: Call[None, None], sessionID: str, jobID: str) -> s.Data[Job]:
    """End a job with everything that it started."""
    return s.Data(await (await found(call, sessionID)).stop_job(jobID))


@operation(
    "POST",
    "/api/session/{sessionID}/job/{jobID}/extend",
    "session.extendJob",
    body=s.ExtendBody,
    answer=s.Data[Job],
    refusals=(404, 409),
)
async def extend_job(
    call: Call[None, s.ExtendBody], sessionID: str, jobID: str
) -> s.Data[Job]:
    """Let a job run for so long from now on, if that is longer than it may."""
    session = await found(call, sessionID)
    return s.Data(await session.extend_job(jobID, call.body.seconds))


@operation(
    "GET",
    "/api/session/{sessionID}/job/{jobID}/wait",
    "session.waitForJob",
    query=WaitQuery,
    answer=s.Data[Job],
    refusals=(404,),
)
async def wait_for_job(
    call: Call[WaitQuery, None], sessionID: str, jobID: str
) -> s.Data[Job]:
    """Return a job when it has ended, or as it is after so many seconds."""
    session = await found(call, sessionID)
    done = await call.while_there(
        lambda: session.wait_for_job(jobID, call.query.seconds)
    )
    if done is None:
        raise closing()
    return s.Data(done)
