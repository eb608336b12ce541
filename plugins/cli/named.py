"""Names: what a person means who types an id in part, or a word not quite right.

Owns that ids can be shortened to a unique beginning wherever a command takes one, and
what is told of a word that is close to one that is known.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from ..console.terminal import visible

FEW = 8
"""Candidates that are named."""
PAGE = 200
"""Messages that are looked at by one question."""


async def named_session(runtime: Any, given: str) -> Any:
    """Return the session of this id, or the one whose id begins like this.

    Raises:
        SessionNotFoundError: there is none.
        SessionAmbiguousError: there are several; it names some of them.
    """
    return await runtime.sessions.get(await runtime.sessions.find(given))


async def named_message(session: Any, given: str) -> str:
    """Return the id of the message that this is the id of, or the only one whose id
    begins like this; what is like none is returned as it is, for whoever knows more.

    Raises:
        UsageError: several begin like this; it names some of them.
    """
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await session.messages(PAGE, cursor)
        found += [one.id for one in page if one.id.startswith(given)]
        cursor = page.cursor
        if cursor is None or given in found:
            return the_one(given, found)


def the_one(given: str, known: Sequence[str]) -> str:
    """Return the known id that this is, or the only one that begins like this; what is
    like none is returned as it is, for whoever knows more.

    Raises:
        UsageError: several begin like this; it names some of them.
    """
    found = (
        [given] if given in known else [one for one in known if one.startswith(given)]
    )
    if len(found) > 1:
        some = ", ".join(map(visible, sorted(found)[:FEW]))
        raise click.UsageError(
            f"several ids begin with {visible(given)!r}: {some}; write more of the one "
            "you mean"
        )
    return found[0] if found and given else given


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return the known words that are close to one, the closest first."""
    # Here, because it is wanted by mistakes alone.
    from difflib import get_close_matches

    words = [*dict.fromkeys(known)]
    found = get_close_matches(word, words, n=3, cutoff=0.6)
    return found or [one for one in words if word and one.startswith(word)][:3]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question to put behind a message, or nothing."""
    close = nearest(word, known)
    return f"; did you mean {' or '.join(map(visible, close))}?" if close else ""
