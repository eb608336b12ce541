"""The unfinished: what was left here by a process that ended in the middle.

Owns which sessions are looked at for it, and how it is offered to go on. What a crash
left is worked out by ``console.continuing``.
"""

from dovetail.kernel import DovetailError, Session

from ..console.continuing import LeftWork, left_work, report_lines
from ..console.terminal import short
from .asks import Ask
from .talking import Talking

LOOKED_AT = 5
"""Sessions that are looked at, the newest first, for what a crash left."""
STOPPED = "shutdown"
"""Why an execution ended whose program did."""


async def offer_unfinished(talk: Talking) -> None:
    """Offer what a process left that ended in the middle."""
    newest = await _newest(talk)
    for session in newest:
        info = await session.info()
        if info.status != "lost" or await session.held_until() is not None:
            continue
        left = await left_work(session, info)
        if left is None:
            continue
        title = short(info.title or session.id, 60)
        talk.show(f"\n{talk.style.strong('left unfinished:')} {title}\n")
        if await _is_accepted(talk, left):
            await talk.go_to(session)
            await _go_on(talk, session, left)
        else:
            talk.say(f"it stays as it is; /sessions {session.id} goes on with it")
        return
    if newest:
        await _tell_stopped(talk, newest[0])


async def _newest(talk: Talking) -> list[Session]:
    page = await talk.runtime.sessions.list(
        location=talk.location, limit=LOOKED_AT, roots=True
    )
    return [await talk.runtime.sessions.get(info.id) for info in page]


async def _is_accepted(talk: Talking, left: LeftWork) -> bool:
    talk.show_lines(report_lines(left, talk.style))
    keys = {"y": True, "n": False, "escape": False}
    waits = "dovetail offers what was left unfinished"
    ask = Ask("", "y accept this and go on · n leave it", keys, waits)
    return await talk.ask(ask) is True


async def _go_on(talk: Talking, session: Session, left: LeftWork) -> None:
    try:
        await session.begin(left.report.digest)
    except DovetailError as error:
        talk.fail(error)


async def _tell_stopped(talk: Talking, session: Session) -> None:
    """Say where the last work here was stopped because its program ended, such as when
    the terminal was closed: nothing of it is in doubt, but it is not done."""
    info = await session.info()
    reason = info.outcome.reason
    if info.status == "idle" and reason is not None and reason.message == STOPPED:
        title = short(info.title or session.id, 60)
        talk.show(f"\n{talk.style.strong('stopped in its work:')} {title}\n")
        talk.say(f"/sessions {session.id} goes on with it; say what is to be done")
