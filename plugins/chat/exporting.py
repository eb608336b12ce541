"""Exporting: a session as a file, for people to read or for programs.

Owns the Markdown of a transcript, and that no file is written over.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

from anyio import to_thread
from dovetail.kernel import (
    AssistantMessage,
    Session,
    TextPart,
    ToolPart,
    UserMessage,
    to_json,
)

from ..console.options import json_line
from ..console.terminal import drawable, short


async def export(session: Session, path: Path) -> None:
    """Write a session to a file that is not there yet: its events, a line each, where
    its name ends in ``.jsonl``, and Markdown otherwise.

    Raises:
        OSError: it cannot be written, or is there.
    """
    if path.suffix == ".jsonl":
        parts = [json_line(to_json(event)) async for event in session.export()]
    else:
        parts = [one async for one in _markdown(session)]
    await to_thread.run_sync(_write_new, path, "".join(parts))


async def _markdown(session: Session) -> AsyncIterator[str]:
    info = await session.info()
    yield f"# {info.title or info.id}\n"
    cursor: str | None = None
    while True:
        page = await session.messages(limit=100, cursor=cursor, order="asc")
        for message in page:
            if isinstance(message, UserMessage):
                quoted = "\n".join(f"> {line}" for line in message.text.split("\n"))
                yield f"\n{quoted}\n"
            elif isinstance(message, AssistantMessage):
                for part in message.parts:
                    if isinstance(part, TextPart):
                        yield f"\n{part.text}\n"
                    elif isinstance(part, ToolPart):
                        yield f"\n- `{part.tool}` {short(part.arguments, 200)}\n"
        cursor = page.cursor
        if cursor is None:
            return


def _write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, for this person only."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8", errors="replace") as file:
        file.write(drawable(text) if path.suffix != ".jsonl" else text)
