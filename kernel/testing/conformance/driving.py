"""Driving: running a stranger's coroutine so that nothing it does can hang a check.

Owns the thread and the event loop that a piece of work runs in, and the stepping of a
coroutine from one suspension to the next, where it can be cancelled. Knows nothing of
what is run.
"""

import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from importlib.util import find_spec
from typing import Any, Generic, TypeVar

import anyio
from attrs import define, field, frozen

from ...lifecycle.starvation import Starvation
from ...values.errors import raised

T = TypeVar("T")

BLOCKED_SECONDS = 2.0
"""How long a coroutine may hold the event loop between two suspensions."""


class HungError(Exception):
    """The work did not come back in time; its thread was left alone."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it did not come back within {seconds:g} s")


def backends() -> tuple[str, ...]:
    """Return the event loops that are installed."""
    return ("asyncio", "trio") if find_spec("trio") else ("asyncio",)


def run_apart(work: Callable[[], Awaitable[T]], backend: str, patience: float) -> T:
    """Run an async function on an event loop of its own, in a thread of its own.

    Whatever event loop the caller may be in is left alone. A group of one exception is
    raised as that exception.

    Raises:
        HungError: it did not end in time. The thread is a daemon, and stays behind.
    """
    box = _Box[T]()

    def body() -> None:
        try:
            box.value = anyio.run(work, backend=backend)
        except BaseException as error:  # handed to the caller, whatever it is
            box.error = error

    thread = threading.Thread(target=body, name="conformance", daemon=True)
    thread.start()
    thread.join(patience)
    if thread.is_alive():
        raise HungError(patience)
    if box.error is not None:
        raise raised(box.error)
    return box.value  # type: ignore[return-value] # no error: it was set


@define(eq=False)
class _Box(Generic[T]):
    value: T | None = None
    error: BaseException | None = None


@define(eq=False)
class Stepped(Generic[T]):
    """A coroutine that is watched at each of its suspensions: ``await stepped``."""

    coroutine: Coroutine[Any, Any, T]
    at: int = 0
    """At which suspension to act, from 1 on; 0 means never."""
    act: Callable[[], None] = field(default=lambda: None)
    suspensions: int = 0
    acted: bool = False
    cancelled: bool = False
    """Whether a cancellation was thrown into it after the act."""
    longest: float = 0.0
    """The longest time between two suspensions, in seconds, but for what the thread
    waited for a processor where the system tells that."""

    def __await__(self) -> Generator[Any, Any, T]:
        kind = anyio.get_cancelled_exc_class()
        step: Callable[[Any], Any] = self.coroutine.send
        given: Any = None
        starvation = Starvation()
        while True:
            since, begun = anyio.current_time(), starvation.begin()
            try:
                waiting = step(given)
            except StopIteration as done:
                value: T = done.value
                return value
            finally:
                # That a machine has too much to do is no fault of a plugin.
                seconds = anyio.current_time() - since
                seconds -= starvation.lost(begun, seconds)
                self.longest = max(self.longest, seconds)
            self.suspensions += 1
            if self.suspensions == self.at:
                self.acted = True
                self.act()
            try:
                given = yield waiting
                step = self.coroutine.send
                # Trio hands its cancellation over as a value.
                self.cancelled |= self.acted and isinstance(
                    getattr(given, "error", None), kind
                )
            except BaseException as error:  # handed on into the coroutine
                self.cancelled |= self.acted and isinstance(error, kind)
                step, given = self.coroutine.throw, error


@frozen
class Interrupted(Generic[T]):
    """How a coroutine took its cancellation."""

    suspensions: int
    passed: bool
    """It ended by being cancelled."""
    swallowed: bool
    """It was told, and went on to an end of its own."""
    longest: float
    result: T | None = None
    error: Exception | None = None


async def interrupted(
    make: Callable[[], Coroutine[Any, Any, T]],
    at: int,
    before: Callable[[], None] = lambda: None,
) -> Interrupted[T]:
    """Run a coroutine and cancel it at one of its suspensions; 0 means not at all.

    ``before`` is called in the very moment, before anything else can happen.
    """
    result: T | None = None
    failure: Exception | None = None
    with anyio.CancelScope() as scope:

        def act() -> None:
            before()
            scope.cancel()

        stepped = Stepped(make(), at, act)
        try:
            result = await stepped
        except Exception as error:
            # What a stranger's code ends with is looked at by the caller.
            failure = error
    return Interrupted(
        stepped.suspensions,
        passed=scope.cancelled_caught,
        swallowed=stepped.cancelled and not scope.cancelled_caught,
        longest=stepped.longest,
        result=result,
        error=failure,
    )


def spread(total: int, limit: int) -> list[int]:
    """Return up to ``limit`` numbers from 1 to ``total``, evenly, with both ends."""
    if total <= limit:
        return list(range(1, total + 1))
    return sorted({1 + round(n * (total - 1) / (limit - 1)) for n in range(limit)})
