"""Detached tasks: a task group that can be left while something in it refuses to end.

Owns one task beside that of whoever opened it, and the group in it. A task group that
lives in the opener's own task holds it for as long as any of its tasks ignores being
cancelled; this one is left behind after a bound. Knows nothing of what runs in it.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
from anyio.abc import TaskGroup


class DetachedTasks:
    """A task group in a task of its own."""

    def __init__(self, name: str, on_failure: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        """What broke in the group, which ended all of it."""
        self._name = name
        self._on_failure = on_failure
        self._opened = anyio.Event()
        self._closing = anyio.Event()
        self._ended = anyio.Event()
        self._group: TaskGroup
        self._task: object = None

    async def open(self) -> TaskGroup:
        """Start the task and return its group. Call once.

        ``on_failure`` is called when a task of the group raises.
        """
        self._task = _start(self._run, self._name)
        with anyio.CancelScope(shield=True):
            # The next thing that happens; nothing of a stranger's runs before it.
            await self._opened.wait()
        return self._group

    async def aclose(self, within: float) -> bool:
        """Cancel what runs and wait for it; False when something did not end in time.

        ``within`` is in seconds. Cancelling the caller does not shorten it.
        """
        self._closing.set()
        self._group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True), anyio.move_on_after(within):
            await self._ended.wait()
        return self._ended.is_set()

    async def _run(self) -> None:
        try:
            async with anyio.create_task_group() as self._group:
                self._opened.set()
                await self._closing.wait()
        except anyio.get_cancelled_exc_class():
            raise  # the event loop ends, and nobody closed this
        except BaseException as error:
            self.error = error
            self._on_failure()
        finally:
            self._ended.set()


def _start(work: Callable[[], Coroutine[Any, Any, None]], name: str) -> object:
    """Start a task that belongs to no other, and return it: somebody has to hold it."""
    if issubclass(anyio.get_cancelled_exc_class(), asyncio.CancelledError):
        return asyncio.get_running_loop().create_task(work(), name=name)
    import trio

    context = contextvars.copy_context()
    return trio.lowlevel.spawn_system_task(work, name=name, context=context)
