"""The command ``show``: one session and its transcript, as it is durable now."""

from collections.abc import AsyncIterator

import anyio
import click
from dovetail.kernel import (
    AssistantMessage,
    Message,
    ReasoningPart,
    Session,
    SessionInfo,
    TextPart,
    ToolPart,
    UserMessage,
    open_runtime,
)

from .calls import call_title, failure_text
from .listing import outcome_text, usage_text, when
from .options import database_option, database_url
from .terminal import Style, Terminal, first_line, plain, short, visible

PAGE = 100


@click.command("show")
@click.argument("id")
@database_option
def show_command(id: str, db: str | None) -> None:
    """Show a session: what is known of it, and its transcript."""
    anyio.run(_show, id, database_url(db), Terminal())


async def _show(id: str, url: str, terminal: Terminal) -> None:
    async with open_runtime(url) as runtime:
        session = await runtime.sessions.get(id)
        terminal.write(_heading(await session.info(), terminal.style))
        async for message in _messages(session):
            terminal.write("\n" + message_text(message, terminal.style))


async def _messages(session: Session) -> AsyncIterator[Message]:
    cursor = None
    while True:
        page = await session.messages(limit=PAGE, cursor=cursor, order="asc")
        for message in page:
            yield message
        cursor = page.cursor
        if cursor is None:
            return


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


def message_text(message: Message, style: Style) -> str:
    """Return a message as lines for a person, the last one ended."""
    if isinstance(message, UserMessage):
        names = [f"[file {short(file.name, 60)}]" for file in message.files]
        lines = [*plain(message.text).split("\n"), *names]
        return "".join(f"{style.strong('>')} {line}".rstrip() + "\n" for line in lines)
    if isinstance(message, AssistantMessage):
        lines = [_part_text(part, style) for part in message.parts]
        if message.failure is not None:
            why = f"{message.failure.message} [{message.failure.code}]"
            lines.append(f"{style.bad('failed:')} {visible(why)}")
        return "".join(f"{line}\n" for line in lines)
    return style.dim(f"({short(first_line(message.text), 200)})") + "\n"


def _part_text(part: TextPart | ReasoningPart | ToolPart, style: Style) -> str:
    if isinstance(part, TextPart):
        return plain(part.text)
    if isinstance(part, ReasoningPart):
        return style.dim(f"(thinking) {plain(part.text) or 'nothing that is told'}")
    title = f"* {call_title(part.tool, part.arguments)} - "
    if part.failure is not None:
        return title + style.bad(f"failed: {failure_text(part.failure)}")
    return title + ("ok" if part.settled else part.state)
