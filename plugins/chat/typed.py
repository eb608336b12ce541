"""The typed: what keys hand over to those who work in tasks.

Keys come outside of any task, where nothing can be waited for and no task can begin.
Owns what they leave there, in order, until it is taken. Knows nothing of what it means.
"""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any

import anyio

Wish = tuple[Callable[[Any], Coroutine[Any, Any, None]], Any]
"""What is to be done, and what with."""
MOST_WAITING = 1000
"""Lines, and wishes, that nobody took yet."""


class Typed:
    """Lines that were typed, and what else a key wants."""

    def __init__(self) -> None:
        self._lines, self._taken = anyio.create_memory_object_stream[tuple[str, bool]](
            MOST_WAITING
        )
        self._wishes, self._wished = anyio.create_memory_object_stream[Wish](
            MOST_WAITING
        )

    def submit(self, line: str, *, queue: bool) -> bool:
        """Hand over a line, and return whether there was room for it."""
        try:
            self._lines.send_nowait((line, queue))
        except anyio.WouldBlock:
            return False
        return True

    async def lines(self) -> AsyncIterator[tuple[str, bool]]:
        """Yield each line, and whether it is to be queued."""
        async for line in self._taken:
            yield line

    def unheard(self) -> list[str]:
        """Return the lines that nobody took, and come too late: it ends."""
        lines: list[str] = []
        with suppress(anyio.WouldBlock):
            while True:
                lines.append(self._taken.receive_nowait()[0])
        return lines

    def wish(self, what: Callable[[Any], Coroutine[Any, Any, None]], of: Any) -> None:
        """Have something done soon, beside whatever else is done."""
        with suppress(anyio.WouldBlock):
            self._wishes.send_nowait((what, of))

    async def wishes(self) -> AsyncIterator[Wish]:
        """Yield what is to be done, and what with."""
        async for wish in self._wished:
            yield wish
