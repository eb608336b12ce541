"""Files: what an editor has of them and has not saved.

Owns when its text counts as another one than the file's. Writes nothing: tools change
files on the disk, whole or not at all, and the editor sees that there.
"""

import logging
import os

import anyio
from anyio import to_thread

from .wire import Answered, Connection, Gone

logger = logging.getLogger(__name__)

SECONDS = 4.0
"""For which an editor is waited for. One that does not answer has nothing to say."""
MAX_FILE = 2 * 1024 * 1024
"""Bytes of a file that an editor is asked about."""


async def unsaved_text(
    connection: Connection, session_id: str, path: str
) -> str | None:
    """Return what the client has of a file, where that is not what the file holds."""
    held = await to_thread.run_sync(_held, path)
    if held is None:
        return None
    with anyio.move_on_after(SECONDS) as waiting:
        try:
            answer = await connection.request(
                "fs/read_text_file", {"sessionId": session_id, "path": path}
            )
        except (Answered, Gone):
            # Such as for a file that it does not show.
            return None
        text = answer.get("content") if isinstance(answer, dict) else None
        if isinstance(text, str) and _plain(text) != _plain(held):
            return text
    if waiting.cancelled_caught:
        logger.warning("the editor does not say what it has of a file")
    return None


def _plain(text: str) -> str:
    """Return a text without what an editor keeps beside it: how its lines end, whether
    the last one does, and a mark at the beginning."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").rstrip("\n")


def _held(path: str) -> str | None:
    """Return the text of a file; None for what is too large, or no text."""
    try:
        # NONBLOCK: a fifo must not be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MAX_FILE + 1)
        return data.decode() if len(data) <= MAX_FILE else None
    except (OSError, UnicodeDecodeError):
        return None
