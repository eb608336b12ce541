"""Names: what a person means who types an id in part, or a word not quite right.

Owns that ids can be shortened to a unique beginning wherever a command takes one, and
what is told of a word that is close to one that is known.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from .terminal import visible


async def named_session(runtime: Any, given: str) -> Any:
    """Return the session of this id, or the one whose id begins like this.

    Raises:
        SessionNotFoundError: there is none.
        SessionAmbiguousError: there are several; it names some of them.
    """
    return await runtime.sessions.get(await runtime.sessions.find(given))


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return the known words that are close to one, the closest first."""
    words = [*dict.fromkeys(known)]
    found = get_close_matches(word, words, n=3, cutoff=0.6)
    return found or [one for one in words if word and one.startswith(word)][:3]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question to put behind a message, or nothing."""
    close = nearest(word, known)
    return f"; did you mean {' or '.join(map(visible, close))}?" if close else ""
