"""The session that was used last in a directory: what ``--continue`` means.

Owns a note of it for each directory of each database, in a file that nobody else can
read, which is written when a person says something at a terminal. What was begun last
is looked at, too, because other doors write no notes. Nothing here grows with how many
sessions there are. A note that cannot be read or written disturbs nobody.
"""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from dovetail.kernel import DovetailError, SessionInfo

LOOKED_AT = 20
"""Sessions begun last that are looked at for one that something happened in since."""
MOST_BYTES = 256


def note_used(directory: str, db: str | None, session_id: str) -> None:
    """Note that a person used this session."""
    path = _path(directory, db)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Beside it, and for this person only: another process may note another one.
        fd, beside = tempfile.mkstemp(dir=path.parent)
        try:
            with open(fd, "w", encoding="utf-8") as file:
                file.write(session_id)
            os.replace(beside, path)
        except OSError:
            # The disk is full, say: nothing of it stays there.
            os.unlink(beside)
            raise


async def last_used(runtime: Any, location: Any, db: str | None) -> SessionInfo | None:
    """Return the session of a Location that was used last, as far as its note and those
    begun last tell; None where there is none. Sessions that work for another one are
    not meant."""
    found: list[SessionInfo] = list(
        await runtime.sessions.list(location=location, limit=LOOKED_AT, roots=True)
    )
    noted = _noted(location.directory, db)
    if noted and all(one.id != noted for one in found):
        # It may be gone, or of a time when the directory was another one.
        with suppress(DovetailError):
            info = await (await runtime.sessions.get(noted)).info()
            if info.parent is None and info.location == location:
                found.append(info)
    return max(found, key=lambda one: (one.updated, one.id == noted), default=None)


def _noted(directory: str, db: str | None) -> str | None:
    with suppress(OSError, ValueError):
        fd = os.open(_path(directory, db), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(fd, encoding="utf-8") as file:
            return file.read(MOST_BYTES) or None
    return None


def _path(directory: str, db: str | None) -> Path:
    # Here, because only what is gone on with needs it.
    from platformdirs import user_state_path

    name = hashlib.sha256(f"{db or ''}\0{directory}".encode(errors="replace"))
    state = user_state_path("dovetail", appauthor=False)
    return state / "used" / name.hexdigest()[:32]
