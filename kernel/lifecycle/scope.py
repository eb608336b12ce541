"""Scope: an owner of tasks and resources.

Owns what was entered and started in it; closes tasks first, then resources in reverse
order. Knows nothing of what they are. A scope runs in a task of its own, because what
a resource opens (a task group, a cancel scope) must be closed by the task that opened
it, and a Location is opened by whoever needs it first and closed by somebody else.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from ..values.errors import RuntimeClosedError
from .guests import Guest, contained, kept

T = TypeVar("T")

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0
"""How long everything in one scope may take to close before it is abandoned."""


class _Entering:
    """One resource on its way in, and the caller who waits for it."""

    __slots__ = ("done", "error", "manager", "value")

    def __init__(self, manager: AbstractAsyncContextManager[Any]) -> None:
        self.manager = manager
        self.done = anyio.Event()
        self.value: Any = None
        self.error: BaseException | None = None


class Scope:
    """Owns resources and tasks under one name, in one task of ``parent``."""

    def __init__(
        self,
        name: str,
        parent: TaskGroup,
        *,
        close_seconds: float = CLOSE_SECONDS,
        on_failure: Callable[[Exception], None] | None = None,
        guest: Guest | None = None,
    ) -> None:
        """``guest`` is whose resources they are, where they are not ours."""
        self.name = name
        self._guest = guest
        self.failure: BaseException | None = None
        """What ended the scope early: a resource's background task that broke."""
        self._parent = parent
        self._close_seconds = close_seconds
        self._on_failure = on_failure
        self._given_up = False
        self._queue: list[_Entering] = []
        self._wake = anyio.Event()
        self._opened = False
        self._closing = False
        self._let_go_of = False
        self._tasks: set[anyio.CancelScope] = set()
        self._callbacks: list[Callable[[], None]] = []
        self._idle = anyio.Event()
        self._outer = anyio.CancelScope()
        self.closed = anyio.Event()

    async def open(self) -> "Scope":
        """Start the scope's task. Call once."""
        self._opened = True
        try:
            await self._parent.start(self._run, name=f"scope {self.name}")
        except BaseException:
            # It never ran, or ended before it could say so: nobody must wait for it.
            self._closing = True
            self.closed.set()
            raise
        return self

    async def enter(self, manager: AbstractAsyncContextManager[T]) -> T:
        """Enter a resource and return what it yields; it is left with the scope.

        Raises:
            RuntimeClosedError: the scope is closing.
            Exception: whatever entering raised.
        """
        if self._closing or self.closed.is_set():
            raise RuntimeClosedError
        entering = _Entering(manager)
        self._queue.append(entering)
        self._wake.set()
        await entering.done.wait()
        if entering.error is not None:
            raise entering.error
        value: T = entering.value
        return value

    def spawn(self, work: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Start a task that is cancelled when the scope closes.

        A task that raises is logged and ends alone.
        """
        if self._closing or self.closed.is_set():
            raise RuntimeClosedError
        # The task lives in the parent's group and only its cancelling is ours: a
        # group of our own would have to close after the resources, not before.
        scope = anyio.CancelScope()
        self._tasks.add(scope)
        self._parent.start_soon(self._guard, scope, work, *arguments)

    async def _guard(
        self,
        scope: anyio.CancelScope,
        work: Callable[..., Awaitable[None]],
        *arguments: object,
    ) -> None:
        try:
            with scope:
                await work(*arguments)
        except Exception:
            logger.exception("a task of scope %s failed", self.name)
        finally:
            self._tasks.discard(scope)
            if not self._tasks:
                self._idle.set()

    def defer(self, callback: Callable[[], None]) -> None:
        """Call a function when the scope closes, whatever closes it; last in, first
        out, before the resources close. At once when that is past."""
        if self._let_go_of:
            callback()
        else:
            self._callbacks.append(callback)

    async def aclose(self, *, within: float | None = None) -> None:
        """Close everything, at the latest after the bound. Closing twice is harmless.

        ``within`` makes the bound smaller, in seconds. What is still being entered is
        given up, because nobody waits for it. Cancelling the caller does not stop the
        closing. What ignores even being cancelled is left behind, and logged: its task
        can be ended by nobody.
        """
        if within is not None:
            self._close_seconds = min(self._close_seconds, within)
        self._closing = True
        self._wake.set()
        if not self._opened:
            self.closed.set()
        elif self._queue:
            self._given_up = True
            self._outer.cancel()
        with (
            anyio.CancelScope(shield=True),
            anyio.move_on_after(2 * self._close_seconds) as waiting,
        ):
            await self.closed.wait()
        if waiting.cancelled_caught:
            logger.error(
                "scope %s ignores that it is closed and cancelled; it is left behind",
                self.name,
            )

    async def _run(self, *, task_status: TaskStatus[None]) -> None:
        try:
            # Where a resource cancels this task, it is not the parent that ends.
            asked = await kept(self._hold(task_status))
            if self._given_up:
                logger.warning("scope %s was closed while it opened", self.name)
            elif self._outer.cancelled_caught:
                logger.error(
                    "scope %s did not close within %g s; what was left is abandoned",
                    self.name,
                    self._close_seconds,
                )
            elif not asked:
                # A resource cancelled what it opened, and with it this task.
                raise RuntimeError("a resource ended by itself")
        except Exception as error:
            self.failure = error
            logger.exception("scope %s failed", self.name)
            if self._on_failure is not None:
                self._on_failure(error)
        finally:
            self._closing = True
            self.closed.set()
            for entering in self._queue:
                entering.error = RuntimeClosedError()
                entering.done.set()

    async def _hold(self, task_status: TaskStatus[None]) -> bool:
        """Hold what is entered until the scope closes, and say whether that was asked
        for."""
        asked = False
        with contained(self._guest), self._outer:
            async with AsyncExitStack() as stack:
                try:
                    task_status.started()
                    await self._serve(stack)
                finally:
                    # From here on only the bound ends the closing: a cancelled
                    # runtime still lets go of what it holds.
                    asked, self._closing = self._closing, True
                    self._outer.shield = True
                    self._outer.deadline = anyio.current_time() + self._close_seconds
                    await self._let_go()
        return asked

    async def _let_go(self) -> None:
        while self._callbacks:
            try:
                self._callbacks.pop()()
            except Exception:
                # One that breaks must not keep the others from letting go.
                logger.exception("closing scope %s: a callback failed", self.name)
        self._let_go_of = True
        for scope in tuple(self._tasks):
            scope.cancel()
        if self._tasks:
            self._idle = anyio.Event()
            await self._idle.wait()

    async def _serve(self, stack: AsyncExitStack) -> None:
        while not self._closing:
            while self._queue:
                entering = self._queue[0]
                try:
                    with contained():
                        entering.value = await kept(
                            stack.enter_async_context(entering.manager)
                        )
                except Exception as error:
                    entering.error = error
                self._queue.pop(0)
                entering.done.set()
            if not self._closing:
                self._wake = anyio.Event()
                if not self._queue and not self._closing:
                    await self._wake.wait()
