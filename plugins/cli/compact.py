"""The command ``compact``: have older history of a session replaced by a summary."""

import anyio
import click
from dovetail.kernel import (
    CompactionEnded,
    CompactionFailed,
    Session,
    event_to_json,
)

from ..console.compaction import compaction_text
from ..console.exits import FAILED, SUCCEEDED, code_of_outcome
from ..console.options import database_option, json_line, json_option, opened
from ..console.terminal import Terminal, visible
from .named import named_session

Settled = CompactionEnded | CompactionFailed


@click.command("compact")
@click.argument("id")
@database_option
@json_option("how it ended on")
def compact_command(id: str, db: str | None, as_json: bool) -> int:
    """Replace older history of a session by a summary, for its model only.

    It waits for its turn: what was said to the session before goes first. The
    transcript stays whole.

    \b
    dovetail compact ses_01a21f
    """
    return anyio.run(_compact, id, db, as_json, Terminal())


async def _compact(id: str, db: str | None, as_json: bool, terminal: Terminal) -> int:
    async with opened(db) as runtime:
        session = await named_session(runtime, id)
        asked = await session.compact()
        if not as_json:
            terminal.tell(f"{visible(id)}: a summary of older history is asked for")
        ended = await _end_of(session, asked)
        if ended is None:
            outcome = await session.wait()
            why = outcome.reason.message if outcome.reason else outcome.status
            terminal.tell(f"{visible(id)}: it waits still: {visible(why)}")
            return code_of_outcome(outcome) or FAILED
    if as_json:
        terminal.write(json_line(event_to_json(ended)))
    elif isinstance(ended, CompactionEnded):
        terminal.tell(f"{visible(id)}: {compaction_text(ended)}")
    else:
        failure = ended.failure
        terminal.tell(
            f"{visible(id)}: nothing was replaced: {visible(failure.message)} "
            f"[{failure.code}]"
        )
    return SUCCEEDED if isinstance(ended, CompactionEnded) else FAILED


async def _end_of(session: Session, asked: int) -> Settled | None:
    """Return what became of what was asked for, or None: the work ended before."""
    await session.wait()
    async with session.events(after=asked) as tail:
        async for event in tail:
            if isinstance(event, Settled) and event.requested == asked:
                return event
    return None
