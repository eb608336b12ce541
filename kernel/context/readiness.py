"""Readiness: waiting, before a prompt, for what Context Sources speak of.

Owns how long that may take, and what is said of a source that does not say. A Step does
not come here: what it waits for is ``sampling``'s.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from ..contracts import ContextSource
from ..lifecycle.beside import run_beside
from ..lifecycle.guests import Guest, contained
from ..values.codec import clean_text
from ..values.errors import error_text

READY_SECONDS = 90.0
"""Seconds that what a source speaks of may take."""

PATIENCE = 1.0
"""Seconds that a source has to end once it is cancelled."""

MAX_LINES = 100
"""Lines of one source."""

MAX_LINE = 1000
"""Characters of one of them."""

Ready = Callable[[], Awaitable[Sequence[str]]]


async def ready(
    sources: Iterable[ContextSource], *, seconds: float = READY_SECONDS
) -> Sequence[str]:
    """Ask every source that has something to begin, all at the same time, and return
    what they say is not there, in the order of their keys.

    One that raises, takes longer or answers nonsense is a line itself, and disturbs no
    other (law plugins.1). Cancelling this cancels all of them.
    """
    asked = {one.key: one.ready for one in sources if one.ready is not None}
    silent = f"not ready within {seconds:g} s"
    said: dict[str, tuple[str, ...]] = {
        key: (f"{key}: {silent}",) for key in sorted(asked)
    }
    over = False

    async def one(key: str, ask: Ready) -> None:
        lines = await _lines(key, ask)
        if not over:
            said[key] = lines

    works = [partial(one, key, ask) for key, ask in asked.items()]
    try:
        await run_beside("readiness", works, seconds, PATIENCE)
    finally:
        over = True
    return [line for lines in said.values() for line in lines]


async def _lines(key: str, ask: Ready) -> tuple[str, ...]:
    try:
        with contained(Guest(None, f"context source {key!r}")):
            found: object = await ask()
    except Exception as error:  # a plugin's source: the boundary of a hook call
        return (f"{key}: {clean_text(error_text(error))[:MAX_LINE]}",)
    if not isinstance(found, list | tuple) or not all(
        isinstance(line, str) for line in found
    ):
        return (f"{key}: ready must return lines of text",)
    return tuple(clean_text(line)[:MAX_LINE] for line in found[:MAX_LINES])
