"""Waiting: for how long a request waits for whoever asked.

Owns one bound for a whole request: a scope that is open while it is worked on, whose
deadline is set only while something is waited for. Nearly nothing is: what is brought
came with its head, and what is answered fits into what a server holds. So the first
step is taken before, and only what stands still then is given a deadline, which costs
as much as a tenth of a prompt.
"""

import math
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from types import coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")

BOUND = "dovetail.bound"
"""Where the bound of a request is in its ASGI scope."""


class Bound:
    """What ends a request that waits for too long."""

    __slots__ = ("late", "scope")

    def __init__(self, scope: anyio.CancelScope) -> None:
        """``scope`` is open around all of the request."""
        self.scope = scope
        self.late: Exception | None = None
        """Why it ended, where it did."""

    async def within(
        self,
        awaited: Awaitable[T],
        deadline: Callable[[], float],
        late: Callable[[], Exception],
    ) -> T:
        """Await something; where it is not there by the deadline, end the request.

        ``deadline`` is asked when there is something to wait for. A wait that goes on
        after it is cancelled, with the whole request, and ``late`` says what to tell.
        """
        waits = False

        def waiting() -> None:
            nonlocal waits
            waits = True
            self.late = late()
            self.scope.deadline = deadline()

        try:
            return await _watched(awaited, waiting)
        finally:
            if waits:
                self.scope.deadline = math.inf


@coroutine
def _watched(
    awaited: Awaitable[T], waiting: Callable[[], None]
) -> Generator[Any, Any, T]:
    """Await something, and call a function when it begins to wait, if it does."""
    steps: Any = awaited.__await__()
    try:
        met = next(steps)
    except StopIteration as done:
        found: T = done.value
        return found
    waiting()
    # As ``yield from`` does, which cannot go on from a first step.
    while True:
        try:
            given = yield met
        except GeneratorExit:
            steps.close()
            raise
        except BaseException as error:
            step = partial(steps.throw, error)
        else:
            step = partial(steps.send, given)
        try:
            met = step()
        except StopIteration as done:
            found = done.value
            return found
