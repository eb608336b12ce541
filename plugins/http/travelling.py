"""The operations of travelling: forks, reverts, and sessions that move."""

from dovetail.kernel import (
    InvalidValueError,
    Message,
    Page,
    Reverted,
    RevertPlan,
    Session,
    Span,
)

from . import bodies as b, shapes as s, showing
from .operation import Call, operation
from .problems import unsupported
from .sessions import found


@operation(
    "POST",
    "/api/session/{sessionID}/fork",
    "session.fork",
    body=b.ForkBody,
    answer=s.Data[s.SessionShape],
    refusals=(404,),
)
async def fork(call: Call[None, b.ForkBody], sessionID: str) -> s.Data[s.SessionShape]:
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
    body=b.StageBody,
    answer=s.Data[s.RevertShape],
    refusals=(404, 409),
    meaning="differs",
    differs="files are always restored",
)
async def stage_revert(
    call: Call[None, b.StageBody], sessionID: str
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


async def _before(session: Session, message_id: str) -> str | None:
    """Return the id of the message before one, or None where it is the first one.

    Raises:
        MessageNotFoundError: the session has none of this id.
        InvalidValueError: it is the first one of what a fork shares.
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
            break
    if wanted.seq < 0:
        rule = "nothing comes before it, and it is shared with another session"
        raise InvalidValueError("message", message_id, rule)
    return None


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
    body=b.MessageBody,
    answer=s.Data[RevertPlan],
    refusals=(404, 409),
)
async def plan_revert(
    call: Call[None, b.MessageBody], sessionID: str
) -> s.Data[RevertPlan]:
    """Return what a revert to a message would do, and do nothing."""
    session = await found(call, sessionID)
    return s.Data(await session.plan_revert(call.body.messageID))


@operation(
    "POST",
    "/api/session/{sessionID}/revert",
    "session.revert",
    body=b.MessageBody,
    answer=s.Data[Reverted],
    refusals=(404, 409),
)
async def revert(call: Call[None, b.MessageBody], sessionID: str) -> s.Data[Reverted]:
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
