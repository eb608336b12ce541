"""Patience: what a session's work asks of the store is asked again until it is done.

Owns the waiting between two tries, when there are no more, and what is known of the
sessions whose work waits for the store. A store that is locked by another program, or
full, refuses for a while and keeps nothing of what it refused; so what was decided is
still true, a tool's result is still in hand, and the work goes on where it stood. A
caller who is there to be told is told at once, and has no use for this. Knows nothing
of what is asked.
"""

import logging
from collections.abc import Awaitable, Callable
from random import random
from typing import Protocol, TypeVar

import anyio

from ..ports import Reader
from ..values.clock import Clock
from ..values.errors import DovetailError, StoreError, problem_of
from ..values.tool import Failure

T = TypeVar("T")

logger = logging.getLogger(__name__)

FIRST_SECONDS = 0.25
LONGEST_SECONDS = 15.0
"""Between two tries, beside what the store itself waits for a lock. So work goes on at
the latest this much after the store can be used again."""


class Readable(Protocol):
    """What can be read: the log, as anybody or as a session's work reads it."""

    async def read(self, work: Callable[[Reader], T]) -> T: ...


class Patience:
    """Tries again what the store refused, for as long as the runtime is open."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._over = anyio.Event()
        self._troubles: dict[str, DovetailError] = {}

    def trouble(self, session_id: str) -> Failure | None:
        """Return what keeps a session's work from going on here, or None."""
        error = self._troubles.get(session_id)
        return None if error is None else Failure(**problem_of(error))

    def note(self, session_id: str, error: DovetailError) -> None:
        """Remember what a session's work met, until some of it succeeds."""
        self._troubles[session_id] = error

    def end(self) -> None:
        """Try nothing again from now on: the runtime closes."""
        self._over.set()

    async def outlast(self, session_id: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what an attempt returns, once it does.

        An attempt that fails must have done nothing. It is repeated where the store's
        failure may pass; cancelling ends the waiting in between.

        Raises:
            StoreError: it will not pass, or the runtime closes.
            Exception: whatever else the attempt raised.
        """
        tries = 0
        while True:
            try:
                result = await attempt()
            except StoreError as error:
                tries += 1
                self.note(session_id, error)
                if not error.may_pass or self._over.is_set():
                    raise
                # At first and then ever more rarely, however long it lasts.
                if tries & (tries - 1) == 0:
                    logger.warning(
                        "session %s waits for the store (try %d): %s",
                        session_id,
                        tries,
                        error,
                    )
                await self._pause(tries)
                if self._over.is_set():
                    raise
            else:
                if tries:
                    logger.warning("session %s goes on: the store answers", session_id)
                if self._troubles:
                    self._troubles.pop(session_id, None)
                return result

    async def _pause(self, tries: int) -> None:
        longest = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(tries - 1, 16))
        async with anyio.create_task_group() as tasks:

            async def later() -> None:
                # Not all at once: a thousand sessions may wait for one store.
                await self._clock.sleep(longest * (0.5 + random() / 2))
                tasks.cancel_scope.cancel()

            tasks.start_soon(later)
            await self._over.wait()
            tasks.cancel_scope.cancel()
