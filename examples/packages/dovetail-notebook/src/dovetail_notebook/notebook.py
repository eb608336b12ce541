"""The notebook: titles and texts in one SQLite file, and which call wrote what.

Knows nothing of tools and permissions. Every act is one transaction in a worker
thread, one at a time, so that no session waits in the thread of the event loop.
"""

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
from anyio import to_thread
from attrs import frozen

T = TypeVar("T")

BUSY_SECONDS = 5.0
"""How long another process may keep the file locked."""
MAX_FOUND = 50

SCHEMA = """
CREATE TABLE IF NOT EXISTS note (title TEXT PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS writing (token TEXT PRIMARY KEY, title TEXT NOT NULL);
"""


@frozen
class Note:
    title: str
    text: str


def file_of(directory: str, folder: Path) -> Path:
    """Return where the notebook of a directory is kept."""
    digest = hashlib.sha256(directory.encode("utf-8", "surrogateescape")).hexdigest()
    return folder / f"{digest[:32]}.sqlite"


class Notebook:
    """The notebook of one Location. Open it, and close it in any case."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._connection: sqlite3.Connection | None = None
        self._turn = anyio.Lock()

    def __repr__(self) -> str:
        return f"<Notebook {'open' if self._connection else 'closed'}>"

    async def open(self) -> None:
        """Open the file, if there is one; else the first note will create it.

        Raises:
            sqlite3.Error: there is a file, and it is no notebook.
        """
        if await to_thread.run_sync(self.file.is_file):
            await self._run(lambda connection: None)

    async def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        # Also when the Location closes because everything was cancelled.
        with anyio.CancelScope(shield=True):
            async with self._turn:
                connection, self._connection = self._connection, None
                if connection is not None:
                    await to_thread.run_sync(connection.close)

    async def write(self, token: str, note: Note) -> None:
        """Put a note under its title, and remember that this token did."""

        def act(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO note VALUES (?, ?)", (note.title, note.text)
            )
            connection.execute(
                "INSERT OR REPLACE INTO writing VALUES (?, ?)", (token, note.title)
            )

        await self._run(act)

    async def written_by(self, token: str) -> str | None:
        """Return the title that a token wrote to, or None."""

        def act(connection: sqlite3.Connection) -> str | None:
            found = connection.execute(
                "SELECT title FROM writing WHERE token = ?", (token,)
            ).fetchone()
            return None if found is None else str(found[0])

        return await self._looked(act, None)

    async def read(self, title: str) -> Note | None:
        """Return the note under a title, or None."""

        def act(connection: sqlite3.Connection) -> Note | None:
            found = connection.execute(
                "SELECT title, text FROM note WHERE title = ?", (title,)
            ).fetchone()
            return None if found is None else Note(*found)

        return await self._looked(act, None)

    async def search(self, words: str) -> list[Note]:
        """Return the first notes, by title, that contain the words in this order."""

        def act(connection: sqlite3.Connection) -> list[Note]:
            pattern = "%" + "".join(f"\\{c}" if c in r"\%_" else c for c in words) + "%"
            rows = connection.execute(
                r"SELECT title, text FROM note WHERE title LIKE :pattern ESCAPE '\' "
                r"OR text LIKE :pattern ESCAPE '\' ORDER BY title LIMIT :limit",
                {"pattern": pattern, "limit": MAX_FOUND},
            )
            return [Note(*row) for row in rows]

        return await self._looked(act, [])

    async def _looked(self, act: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        """Run what only looks: it creates no file."""
        if self._connection is None and not await to_thread.run_sync(self.file.exists):
            return nothing
        return await self._run(act)

    async def _run(self, act: Callable[[sqlite3.Connection], T]) -> T:
        async with self._turn:
            # Not abandoned when cancelled: what began is written or rolled back.
            return await to_thread.run_sync(self._act, act)

    def _act(self, act: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            self._connection = _connected(self.file)
        with self._connection as connection:
            return act(connection)


def _connected(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Any worker thread may come next; the lock lets one at a time.
    connection = sqlite3.connect(file, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        connection.executescript(SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection
