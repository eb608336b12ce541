"""Files that a model made: written out, by ``dovetail show ID --files FOLDER``.

Owns what they are called: by their keys, so that the same one is written once, and no
name is anybody's but ours.
"""

from pathlib import Path

import anyio
from dovetail.kernel import (
    AssistantMessage,
    FilePart,
    OutputNotFoundError,
    Session,
    open_runtime,
)

from ..console.options import database_url
from ..console.terminal import Terminal, visible
from .named import named_session

_ENDINGS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "video/mp4": ".mp4",
}


async def write_files(id: str, db: str | None, folder: str, terminal: Terminal) -> None:
    """Write every file of a session's answers, and say where each is."""
    async with open_runtime(database_url(db)) as runtime:
        session = await named_session(runtime, id)
        found = await _made(session)
        place = anyio.Path(folder)
        await place.mkdir(parents=True, exist_ok=True)
        for part in found:
            try:
                data = await session.file(part.key or "")
            except OutputNotFoundError as error:
                terminal.tell(visible(str(error)))
                continue
            path = place / f"{(part.key or '')[:16]}{_ENDINGS.get(part.mime, '.bin')}"
            await path.write_bytes(data)
            terminal.write(f"{visible(str(Path(path)))}\n")
        if not found:
            terminal.tell("no answer of this session has a file")


async def _made(session: Session) -> list[FilePart]:
    """Return the files of a session's answers, each once, in their order."""
    found: dict[str, FilePart] = {}
    cursor = None
    while True:
        page = await session.messages(limit=200, cursor=cursor, order="asc")
        for message in page:
            if isinstance(message, AssistantMessage):
                for part in message.parts:
                    if isinstance(part, FilePart) and part.key:
                        found.setdefault(part.key, part)
        cursor = page.cursor
        if cursor is None:
            return list(found.values())
