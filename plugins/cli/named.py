"""Names: what a person means who types an id in part, or a word not quite right.

Owns that ids can be shortened to a unique beginning wherever a command takes one, and
what is told of a word that is close to one that is known.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from dovetail.kernel import SessionAmbiguousError, SessionNotFoundError

from .terminal import visible

FEW = 8
"""Candidates that are named."""
PAGE = 200
MOST_LOOKED = 2_000
"""Sessions of a server that are looked through for a beginning, the newest first."""


async def named_session(runtime: Any, given: str) -> Any:
    """Return the session of this id, or the one whose id begins like this.

    Raises:
        SessionNotFoundError: there is none.
        SessionAmbiguousError: there are several; it names some of them.
    """
    sessions = runtime.sessions
    find = getattr(sessions, "find", None)
    if find is not None:
        return await sessions.get(await find(given))
    try:
        return await sessions.get(given)
    except SessionNotFoundError:
        # A server: it is asked for what there is, as by anybody.
        found = await _beginning(sessions, given)
        if not found:
            raise
        if len(found) > 1:
            raise SessionAmbiguousError(given, found) from None
        return await sessions.get(found[0])


async def _beginning(sessions: Any, given: str) -> list[str]:
    found: list[str] = []
    cursor, looked = None, 0
    while given and looked < MOST_LOOKED:
        page = await sessions.list(limit=PAGE, cursor=cursor)
        found += [one.id for one in page if one.id.startswith(given)]
        looked += PAGE
        cursor = page.cursor
        if cursor is None:
            break
    return found


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return the known words that are close to one, the closest first."""
    words = [*dict.fromkeys(known)]
    found = get_close_matches(word, words, n=3, cutoff=0.6)
    return found or [one for one in words if word and one.startswith(word)][:3]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question to put behind a message, or nothing."""
    close = nearest(word, known)
    return f"; did you mean {' or '.join(map(visible, close))}?" if close else ""
