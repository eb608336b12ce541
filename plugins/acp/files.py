"""Files: what an editor has of them, and what it writes for a session.

Owns when its text counts as another one than the file's, how long it is waited for, and
what its answers mean. What a file is afterwards is what the tools see on the disk.
"""

import logging
import os
from typing import Self

import anyio
from acp import schema as s
from anyio import to_thread
from attrs import frozen
from dovetail.kernel import ToolFailure

from .calls import visible
from .screens import Screens, Ways
from .wire import METHOD_NOT_FOUND, Answered, Connection, Gone

logger = logging.getLogger(__name__)

SECONDS = 4.0
"""For which an editor is waited for. One that does not answer has nothing to say."""
WRITE_SECONDS = 10.0
"""For which a write is waited for: an editor may format what it saves."""
MAX_FILE = 2 * 1024 * 1024
"""Bytes of a file that an editor is asked about."""


@frozen
class Abilities:
    """What a client says that it can do."""

    forms: bool = False
    reads: bool = False
    writes: bool = False
    screens: Ways = "none"

    @classmethod
    def of(cls, client: s.ClientCapabilities) -> Self:
        elicitation, files = client.elicitation, client.fs
        screens: Ways = "terminal" if client.terminal is True else "none"
        if (client.field_meta or {}).get("terminal_output") is True:
            screens = "meta"
        return cls(
            forms=elicitation is not None and elicitation.form is not None,
            reads=files is not None and files.read_text_file is True,
            writes=files is not None and files.write_text_file is True,
            screens=screens,
        )

    @property
    def edits(self) -> bool:
        """Whether it is an editor for the tools."""
        return self.reads or self.writes or self.screens != "none"


class ClientEditor:
    """What the tools of a session may have the client do."""

    def __init__(
        self,
        connection: Connection,
        session_id: str,
        screens: Screens,
        abilities: Abilities,
    ) -> None:
        self._connection = connection
        self._session_id = session_id
        self._reads, self._writes = abilities.reads, abilities.writes
        self.printed = screens.printed

    async def unsaved(self, path: str) -> str | None:
        """Return what the client has of a file, where that is not what it holds."""
        held = await to_thread.run_sync(_held, path) if self._reads else None
        if held is None:
            return None
        with anyio.move_on_after(SECONDS) as waiting:
            try:
                answer = await self._connection.request(
                    "fs/read_text_file", {"sessionId": self._session_id, "path": path}
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

    async def write(self, path: str, text: str) -> bool:
        """Have the client write a file; False where it has no such method.

        Raises:
            ToolFailure: it would not, or it is not known whether it did.
        """
        if not self._writes:
            return False
        with anyio.move_on_after(WRITE_SECONDS):
            try:
                await self._connection.request(
                    "fs/write_text_file",
                    {"sessionId": self._session_id, "path": path, "content": text},
                )
            except Answered as error:
                if error.number == METHOD_NOT_FOUND:
                    logger.warning("the editor offers to write files, and cannot")
                    self._writes = False
                    return False
                said = visible(str(error), 200)
                raise ToolFailure(f"the editor would not write it: {said}") from error
            except Gone as error:
                why = "the editor is gone, and whether it wrote it is not known"
                raise ToolFailure(why) from error
            return True
        raise ToolFailure(
            f"the editor did not answer for {WRITE_SECONDS:.0f} seconds, and whether "
            "it writes it is not known"
        )


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
