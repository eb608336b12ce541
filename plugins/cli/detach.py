"""The command ``detach``: let what a session waits for go on as a job."""

import anyio
import click
from dovetail.kernel import (
    AssistantMessage,
    CallNotDetachableError,
    Session,
)

from ..console.calls import call_title, job_text
from ..console.options import database_option, opened
from ..console.terminal import Terminal
from .named import named_session


@click.command("detach")
@click.argument("id")
@database_option
def detach_command(id: str, db: str | None) -> int:
    """Let the commands that a session waits for go on in the background.

    The process that runs the session sees to it, whichever that is; what a command
    printed so far is its result, and the model goes on at once. At the terminal of
    `dovetail run` itself Ctrl-B does the same.

    Exits with 1 when nothing of it could be detached.

    \b
    dovetail detach ses_01a21f
    """
    return anyio.run(_detach, id, db, Terminal())


async def _detach(id: str, db: str | None, terminal: Terminal) -> int:
    found = False
    async with opened(db) as runtime:
        session = await named_session(runtime, id)
        for message_id, call_id, title in await _running(session):
            try:
                job = await session.detach(message_id, call_id)
            except CallNotDetachableError:
                terminal.tell(f"{title}: it has ended, or cannot go on by itself")
            else:
                found = True
                terminal.write(f"{job_text(job)}\n")
    if not found:
        terminal.tell("nothing was detached")
    return 0 if found else 1


async def _running(session: Session) -> list[tuple[str, str, str]]:
    """Return the calls that have no result, with how a person is told of them."""
    page = await session.messages(limit=20)
    return [
        (message.id, part.call_id, call_title(part.tool, part.arguments))
        for message in page
        if isinstance(message, AssistantMessage)
        for part in message.calls
        if not part.settled
    ]
