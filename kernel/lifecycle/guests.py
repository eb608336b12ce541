"""Guests: a stranger's code while it runs, by name, and ending nothing but itself.

Owns the boundary around what plugins hand over. Inside of it stands who is called, also
in the tasks that the code starts, so that whoever looks from another thread can say
whose code holds up the loop. Whatever is raised inside ends that call and no more.
"""

import math
import opcode
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from ..values.errors.base import ContainedError, errors_in, first_of
from ..values.frozen import frozen

T = TypeVar("T")

if TYPE_CHECKING:
    import asyncio


@frozen
class Guest:
    """One piece of a stranger's code that is called."""

    plugin: str | None
    what: str
    """Such as ``tool 'roll'`` or ``hook dovetail_observe_event``."""

    def __str__(self) -> str:
        of = "" if self.plugin is None else f" of plugin {self.plugin!r}"
        return self.what + of


GUEST: ContextVar[Guest | None] = ContextVar("dovetail_guest", default=None)
"""Who is called here. Tasks inherit it."""


class contained:
    """Let a stranger's code that is awaited in here end nothing but itself.

    What is raised and is no Exception, such as SystemExit, would end the task and all
    around it: it becomes a ContainedError with it as the cause. A person's
    Ctrl-C, the closing of a coroutine and cancelling are not a stranger's, and pass;
    but not what looks like one of them where there was none: KeyboardInterrupt that
    the code raises itself, or waiting for a future that was cancelled.
    """

    # A class and no generator, because much goes through here that is quick itself.
    __slots__ = ("_guest", "_token")

    def __init__(self, guest: Guest | None = None) -> None:
        self._guest = guest
        self._token: Token[Guest | None] | None = None

    def __enter__(self) -> None:
        if self._guest is not None:
            self._token = GUEST.set(self._guest)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None or isinstance(error, Exception) or passes(error):
                return
            raise ContainedError(f"it raised {_named(error)}") from error
        finally:
            if self._token is not None:
                GUEST.reset(self._token)


def passes(error: BaseException) -> bool:
    """Return whether it came from outside of the code that it ends."""
    if isinstance(error, BaseExceptionGroup):
        return any(passes(one) for one in errors_in(error))
    if isinstance(error, anyio.get_cancelled_exc_class()):
        return _cancelled()
    if isinstance(error, KeyboardInterrupt):
        return by_person(error)
    return isinstance(error, GeneratorExit) and not _raised_on_purpose(error)


def by_person(error: KeyboardInterrupt) -> bool:
    """Return whether a person's Ctrl-C made it, and not code that raised it."""
    if threading.current_thread() is not threading.main_thread():
        return False  # signals arrive in the main thread only
    return _raised_in(error) in _HANDLERS or not _raised_on_purpose(error)


_HANDLERS = ("asyncio.runners", "trio._core._ki")
"""The modules whose signal handlers raise KeyboardInterrupt. Python's own handler
raises it where the main thread is, at whatever instruction that has come to."""
_RAISING = tuple(opcode.opmap[name] for name in ("RAISE_VARARGS", "RERAISE"))


def _innermost(error: BaseException) -> TracebackType | None:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place


def _raised_in(error: BaseException) -> str | None:
    place = _innermost(error)
    return None if place is None else place.tb_frame.f_globals.get("__name__")


def _raised_on_purpose(error: BaseException) -> bool:
    """Return whether it began at a ``raise``, and was not thrown into the code."""
    place = _innermost(error)
    if place is None or place.tb_lasti < 0:
        return False
    return place.tb_frame.f_code.co_code[place.tb_lasti] in _RAISING


def _cancelled() -> bool:
    """Return whether somebody cancelled the task that runs now."""
    if anyio.current_effective_deadline() == -math.inf:
        return True
    if not _on_asyncio():
        return False
    import asyncio

    # By asyncio's own means, as when its loop ends.
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def take_back() -> bool:
    """Take back what a stranger's code asked for of the very task that it was called
    in, by asyncio's means: that it be cancelled. Say if there was any of that.

    For tasks of ours, which nobody else cancels but by a scope, or all at once as a
    loop ends. Otherwise such a task would end without a word, or in the middle of what
    we do next in it. Call it where the code has ended, however it did.
    """
    if not _on_asyncio() or anyio.current_effective_deadline() == -math.inf:
        return False
    import asyncio

    task = asyncio.current_task()
    if task is None or not task.cancelling():
        return False
    others = asyncio.all_tasks() - {task}
    if others and all(other.cancelling() for other in others):
        return False
    while task.uncancel():
        pass
    try:
        # It may be on its way still: it comes with the next wait.
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        if anyio.current_effective_deadline() == -math.inf:
            raise
    return True


async def kept(work: Awaitable[T]) -> T:
    """Await something in a task of ours, in which strangers' code is called.

    Raises:
        ContainedError: such code cancelled the task by itself.
    """
    try:
        made = await work
    except anyio.get_cancelled_exc_class() as error:
        if not await take_back():
            raise
        raise ContainedError("it cancelled the task that it was called in") from error
    await take_back()
    return made


async def called(call: Callable[[], T], tell: Callable[[str], object]) -> T:
    """Call a stranger's plain function, and take back what it asked for of the task
    that it is called in. ``tell`` is told of that.

    In any task: who was asked to end before stays so.
    """
    before = _asked_to_end()
    try:
        return call()
    finally:
        # Nothing was awaited since, so that nobody else can have asked.
        if not before:
            with anyio.CancelScope(shield=True):
                asked = await take_back()
            if asked:
                tell("it cancelled the task that it was called in")


def _asked_to_end() -> bool:
    if not _on_asyncio():
        return False
    import asyncio

    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _on_asyncio() -> bool:
    # By name: who runs on another loop, or on none, should not import this one.
    return anyio.get_cancelled_exc_class().__module__.partition(".")[0] == "asyncio"


def _named(error: BaseException) -> str:
    return type(first_of(error)).__name__


# --- tasks that a guest starts ----------------------------------------------------


def contain_tasks() -> Callable[[], None]:
    """Let tasks that guests start in this loop end nothing but themselves.

    Returns a function that ends it. On asyncio SystemExit and KeyboardInterrupt out of
    any task end the loop, past all task groups; trio's groups bring them to whoever
    opened them, who is contained.
    """
    if not _on_asyncio():
        return lambda: None
    import asyncio

    loop = asyncio.get_running_loop()
    before: Any = loop.get_task_factory()
    if isinstance(before, _Factory):
        factory = before
    else:
        factory = _Factory(before)
        loop.set_task_factory(factory)
    factory.users += 1
    return lambda: factory.leave(loop)


class _Factory:
    """A task factory that contains the tasks of guests; all others are as before."""

    def __init__(self, before: Any) -> None:
        self._before = before
        self.users = 0

    def __call__(
        self, loop: "asyncio.AbstractEventLoop", coroutine: Any, **options: Any
    ) -> Any:
        import asyncio

        context: Context | None = options.get("context")
        guest = GUEST.get() if context is None else context.get(GUEST)
        if guest is not None and asyncio.iscoroutine(coroutine):
            coroutine = _Contained(coroutine)
        if self._before is not None:
            return self._before(loop, coroutine, **options)
        return asyncio.Task(coroutine, loop=loop, **options)

    def leave(self, loop: "asyncio.AbstractEventLoop") -> None:
        self.users -= 1
        # Somebody may have put another one on top, which goes on to call this one.
        if self.users == 0 and loop.get_task_factory() is self:
            loop.set_task_factory(self._before)


class _Contained(Coroutine[Any, Any, Any]):
    """A coroutine that raises nothing that ends a loop.

    Not one around it: a task that is cancelled before it begins must close the very
    coroutine that it was made of.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)

    def __repr__(self) -> str:
        return repr(self._coroutine)

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        try:
            return self._coroutine.send(value)
        except (SystemExit, KeyboardInterrupt) as error:
            if passes(error):
                raise
            raise ContainedError(f"it raised {_named(error)}") from error

    def throw(self, *raised: Any) -> Any:
        try:
            return self._coroutine.throw(*raised)
        except (SystemExit, KeyboardInterrupt) as error:
            if passes(error):
                raise
            raise ContainedError(f"it raised {_named(error)}") from error

    def close(self) -> None:
        self._coroutine.close()
