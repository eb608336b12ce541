"""Editors: a program in which a person has files of a Location before them.

Whoever serves one hands it over with ``LocationHandle.editor``; tools reach it by their
``ToolContext``. It has no part in what is durable: a call is recorded before an editor
hears of it, and looks at the disk when it has answered, or has not.
"""

from typing import Protocol


class Editor(Protocol):
    """What tools may have an editor do. All of it is bounded by whoever serves it."""

    async def unsaved(self, path: str) -> str | None:
        """Return what it has of a file, by its path, and has not saved: the whole text,
        or None where it has nothing else than the file (law tools.19). Answer within a
        few seconds."""
        ...

    async def write(self, path: str, text: str) -> bool:
        """Make a text all that a file holds, in the buffer that shows it and on the
        disk, and return True; the folder is there, the file need not be. Return False
        where it takes no writes, and wrote nothing: then the disk is written to.

        The tool has asked for permission before. Answer within ten seconds or so, and
        do not let yourself be cancelled meanwhile.

        Raises:
            ToolFailure: it would not, or nobody knows whether it did, with the reason.
                What came of it is taken from the disk.
        """
        ...

    def printed(self, message_id: str, call_id: str, data: bytes) -> None:
        """Take what a command of the session printed just now: all of it, in order, as
        it was written. For whoever shows a terminal. Never waits."""
        ...
