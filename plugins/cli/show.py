"""The command ``show``: one session and its transcript, as it is durable now."""

import anyio
import click
from dovetail.kernel import SessionInfo, open_runtime

from .listing import outcome_text, usage_text, when
from .options import database_option, database_url
from .terminal import Style, Terminal, visible
from .transcript import Transcript


@click.command("show")
@click.argument("id")
@database_option
def show_command(id: str, db: str | None) -> None:
    """Show a session: what is known of it, and its transcript."""
    anyio.run(_show, id, database_url(db), Terminal())


async def _show(id: str, url: str, terminal: Terminal) -> None:
    transcript = Transcript(
        terminal.style, reasoning=True, watched=False, failures=True
    )
    async with open_runtime(url) as runtime:
        session = await runtime.sessions.get(id)
        terminal.write(_heading(await session.info(), terminal.style) + "\n")
        async with session.events() as tail:
            async for event in tail:
                terminal.write(transcript.take(event))
    terminal.write(transcript.break_line())


def _heading(info: SessionInfo, style: Style) -> str:
    lines = {
        "session": info.id,
        "title": info.title or "-",
        "location": info.location.directory,
        "model": info.model or "the configured one",
        "agent": info.agent or "the configured one",
        "created": when(info.created),
        "updated": when(info.updated),
        "status": info.status,
        "outcome": outcome_text(info.outcome),
        "steps": str(info.steps),
        "tokens": usage_text(info.usage),
    }
    return "".join(
        f"{style.dim(name.ljust(9))} {visible(text)}\n" for name, text in lines.items()
    )
