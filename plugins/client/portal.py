"""A runtime without ``await``: for scripts, notebooks and threads.

``blocking(open_runtime(...))`` and ``blocking(connect(...))`` give the same objects
with the same methods, which return when they are done. The runtime lives on an event
loop in a thread of its own, and what is asked of it is asked there.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import wraps
from inspect import isawaitable
from types import TracebackType
from typing import Any, Literal, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import has


@contextmanager
def blocking(
    runtime: AbstractAsyncContextManager[Any],
    *,
    backend: Literal["asyncio", "trio"] = "asyncio",
) -> Iterator[Any]:
    """Open a runtime, and yield it with methods that block.

    Methods that return at once do so, those that are awaited block the caller, and
    what is iterated with ``async for`` is iterated with ``for``. Any thread may call
    them; an interrupted call is cancelled. Leaving it closes the runtime and ends the
    thread. Type checkers know nothing of what it yields.

    Arguments:
        runtime: what ``open_runtime`` or ``connect`` returned, not entered yet.
        backend: the kind of event loop.

    Raises: as entering the runtime, and as each call.
    """
    with (
        start_blocking_portal(backend) as portal,
        portal.wrap_async_context_manager(runtime) as opened,
    ):
        yield _shown(portal, opened)


def _shown(portal: BlockingPortal, value: Any) -> Any:
    """Return what a caller is given for a value: itself, unless it must be awaited."""
    kind = type(value)
    if hasattr(kind, "__anext__"):
        return BlockingIterator(portal, value)
    if has(kind) or not kind.__module__.startswith("dovetail."):
        return _called(portal, value) if callable(value) and not has(kind) else value
    return Blocking(portal, value)


def _called(portal: BlockingPortal, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function, updated=())
    def called(*arguments: Any, **options: Any) -> Any:
        async def call() -> Any:
            # There, because much of it belongs to the event loop from its making on.
            found = function(*arguments, **options)
            return await found if isawaitable(found) else found

        return _shown(portal, _done(portal, call))

    return called


def _done(portal: BlockingPortal, work: Callable[[], Awaitable[Any]]) -> Any:
    future = portal.start_task_soon(work)
    try:
        return future.result()
    except BaseException:
        # A person's Ctrl-C ends the waiting here, and what is waited for there.
        future.cancel()
        raise


class Blocking:
    """An object of a runtime whose methods block."""

    def __init__(self, portal: BlockingPortal, inner: Any) -> None:
        self._portal = portal
        self._inner = inner

    def __repr__(self) -> str:
        return f"<blocking {self._inner!r}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _shown(self._portal, getattr(self._inner, name))


class BlockingIterator(Blocking):
    """What goes on, one after another: ``with`` it where it has no end."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        async def following() -> tuple[Any, bool]:
            try:
                return await anext(self._inner), True
            except StopAsyncIteration:
                return None, False

        found, more = _done(self._portal, following)
        if not more:
            raise StopIteration
        return _shown(self._portal, found)

    def __enter__(self) -> Self:
        _done(self._portal, lambda: self._inner.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _done(self._portal, lambda: self._inner.__aexit__(None, None, None))
