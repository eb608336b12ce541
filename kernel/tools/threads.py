"""Threads: where tools run that are plain functions.

Owns the threads of one plugin's synchronous calls: how many there may be at a time,
what a call may use from there, and what becomes of one whose call was cancelled.
Nobody else waits for them: neither the store nor another plugin uses these threads.

A thread cannot be ended from outside. One whose call was cancelled is left behind: it
is named in the log, what it returns is dropped, what it asks is refused, and it keeps
its place until it ends by itself. It keeps neither the runtime from closing nor the
process from ending.
"""

import contextvars
import inspect
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Any, TypeVar

import anyio
from attrs import define, field

from ..contracts import BlockingToolContext, Skill, ToolContext
from ..lifecycle.loop import CallInLoop, loop_caller
from ..values.errors import ToolCancelledError
from ..values.ids import MessageId, SessionId
from ..values.location import Location
from ..values.messages import Message
from ..values.question import Question, QuestionAnswer
from ..values.todo import Todo
from ..values.tool import Deed, Json, ManagedPage, ProcessMark

T = TypeVar("T")

logger = logging.getLogger(__name__)

PER_PLUGIN = 32
"""Synchronous calls of one plugin in one Location at a time. More wait in line."""


def is_plain(function: object) -> bool:
    """Return whether calling it is all there is to do: no coroutine comes of it."""
    while isinstance(function, partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__  # of an object that can be called
    return not inspect.iscoroutinefunction(function)


SOON = 1.0
"""Seconds after which an interrupted call that ends is worth a warning."""


@define(eq=False)
class _Asked:
    """Something that a thread waits for, and the loop does."""

    make: Callable[[], Awaitable[Any]]
    done: threading.Event = field(factory=threading.Event)
    result: Any = None
    error: BaseException | None = None


class ToolThreads:
    """The threads of one plugin's synchronous calls."""

    def __init__(self, plugin: str, limit: int = PER_PLUGIN) -> None:
        self._plugin = plugin
        self._limit = limit
        self._limiter: anyio.CapacityLimiter | None = None

    def awaited(
        self, name: str, function: Callable[[Any, Any], Any]
    ) -> Callable[[Any, ToolContext], Awaitable[Any]]:
        """Return a function of a tool as one that can be awaited in the event loop.

        One that is asynchronous is returned as it is. One that is not, and still
        returns something to await, has that awaited in the loop.
        """
        if not is_plain(function):
            return function

        @wraps(function)
        async def run(input: Any, context: ToolContext) -> Any:
            found = await self._run(name, function, input, context)
            return await found if inspect.isawaitable(found) else found

        return run

    async def _run(
        self,
        name: str,
        function: Callable[[Any, Any], Any],
        input: Any,
        context: ToolContext,
    ) -> Any:
        limiter = self._limiter
        if limiter is None:
            limiter = self._limiter = anyio.CapacityLimiter(self._limit)
        if limiter.available_tokens < 1:
            calls: Any = limiter.statistics().borrowers
            taken = ", ".join(sorted({call.name for call in calls}))
            logger.warning(
                "tool %r of plugin %r waits: all %d threads of the plugin are taken, "
                "by %s",
                name,
                self._plugin,
                self._limit,
                taken,
            )
        call = _ThreadCall(name, self._plugin, function, input, context)
        await limiter.acquire_on_behalf_of(call)
        return await call.run(partial(limiter.release_on_behalf_of, call))


class _ThreadCall:
    """One call in a thread of its own, and the task that waits for it."""

    def __init__(
        self,
        name: str,
        plugin: str,
        function: Callable[[Any, Any], Any],
        input: Any,
        context: ToolContext,
    ) -> None:
        self.name = name
        self.plugin = plugin
        self.cancelled = False
        self._function = function
        self._input = input
        self._context = context
        self._call: CallInLoop = loop_caller()
        self._asked: deque[_Asked] = deque()
        self._something = anyio.Event()
        self._answering = False
        self._left = 0.0
        self._finished = False
        self._result: Any = None
        self._error: BaseException | None = None

    async def run(self, ended: Callable[[], None]) -> Any:
        """Run it; ``ended`` is called in the loop once the thread has nothing to do."""
        # A daemon: left behind, it must not keep the process from ending.
        thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._in_thread, ended),
            name=f"dovetail-tool {self.name}",
            daemon=True,
        )
        try:
            thread.start()
        except BaseException:
            ended()
            raise
        try:
            while not self._finished:
                await self._something.wait()
                self._something = anyio.Event()
                while self._asked:
                    await self._answer(self._asked.popleft())
        except anyio.get_cancelled_exc_class():
            self._leave_behind()
            raise
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # else it and this frame would hold each other
        return self._result

    def _leave_behind(self) -> None:
        self.cancelled = True
        self._left = time.monotonic()
        # One that waits for an answer is told now, and has a reason to end.
        told = self._answering or bool(self._asked)
        while self._asked:
            self._refuse(self._asked.popleft())
        if not self._finished and not told:
            logger.warning(
                "tool %r of plugin %r was interrupted and is no coroutine: its thread "
                "cannot be ended and is left behind",
                self.name,
                self.plugin,
            )

    async def _answer(self, asked: _Asked) -> None:
        self._answering = True
        try:
            asked.result = await asked.make()
        except anyio.get_cancelled_exc_class():
            self._refuse(asked)
            raise
        except BaseException as error:
            asked.error = error
        self._answering = False
        asked.done.set()

    def _refuse(self, asked: _Asked) -> None:
        asked.error = ToolCancelledError(self.name)
        asked.done.set()

    # --- in the thread ------------------------------------------------------------

    def _in_thread(self, ended: Callable[[], None]) -> None:
        _leave_loop()
        result: Any = None
        error: BaseException | None = None
        try:
            result = self._function(self._input, _Blocking(self))
        except BaseException as raised:
            error = raised
        try:
            self._call(self._end, result, error, ended)
        except RuntimeError:
            # The loop has ended, and nobody waits for anything any more.
            logger.debug("tool %r outlived its event loop", self.name)

    def _end(
        self, result: Any, error: BaseException | None, ended: Callable[[], None]
    ) -> None:
        ended()
        if self.cancelled:
            seconds = time.monotonic() - self._left
            logger.log(
                logging.WARNING if seconds > SOON else logging.INFO,
                "tool %r of plugin %r, which was left behind, ended %.1f s later",
                self.name,
                self.plugin,
                seconds,
            )
            return
        self._finished, self._result, self._error = True, result, error
        self._something.set()

    def wait_for(self, make: Callable[[], Awaitable[T]]) -> T:
        """Have something awaited in the loop, and wait for it in this thread.

        Raises:
            ToolCancelledError: the call was cancelled.
        """
        asked = _Asked(make)
        self.tell(self._take, asked)
        asked.done.wait()
        if asked.error is not None:
            raise asked.error
        result: T = asked.result
        return result

    def _take(self, asked: _Asked) -> None:
        if self.cancelled:
            self._refuse(asked)
            return
        self._asked.append(asked)
        self._something.set()

    def tell(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have something done in the loop, without waiting for it.

        Raises:
            ToolCancelledError: the call was cancelled.
        """
        if self.cancelled:
            raise ToolCancelledError(self.name)
        try:
            self._call(function, *arguments)
        except RuntimeError:
            raise ToolCancelledError(self.name) from None

    @property
    def context(self) -> ToolContext:
        return self._context


def _leave_loop() -> None:
    """Let the code of this thread see that no event loop runs in it.

    Some libraries look for one in the context, which came with the call.
    """
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None:
        sniffio.current_async_library_cvar.set(None)


class _Blocking(BlockingToolContext):
    """What a call may use from its thread: the same, waiting where that is awaited."""

    def __init__(self, call: _ThreadCall) -> None:
        self._call = call
        self._context = call.context

    @property
    def cancelled(self) -> bool:
        return self._call.cancelled

    @property
    def session_id(self) -> SessionId:
        return self._context.session_id

    @property
    def agent(self) -> str:
        return self._context.agent

    @property
    def message_id(self) -> MessageId:
        return self._context.message_id

    @property
    def call_id(self) -> str:
        return self._context.call_id

    @property
    def effect_token(self) -> str:
        return self._context.effect_token

    @property
    def location(self) -> Location:
        return self._context.location

    @property
    def processes(self) -> Sequence[ProcessMark]:
        return self._context.processes

    def ask(
        self,
        action: str,
        resources: Sequence[str],
        *,
        save: Sequence[str] = (),
        folder: str | None = None,
        metadata: Mapping[str, Json] | None = None,
        begun: bool | None = None,
    ) -> None:
        self._call.wait_for(
            partial(
                self._context.ask,
                action,
                resources,
                save=save,
                folder=folder,
                metadata=metadata,
                begun=begun,
            )
        )

    def allowing(self, action: str) -> Callable[[str], bool]:
        return self._call.wait_for(partial(self._context.allowing, action))

    def unsaved(self, path: str) -> str | None:
        return self._call.wait_for(partial(self._context.unsaved, path))

    def write_in_editor(self, path: str, text: str) -> bool:
        return self._call.wait_for(partial(self._context.write_in_editor, path, text))

    def question(self, questions: Sequence[Question]) -> Sequence[QuestionAnswer]:
        return self._call.wait_for(partial(self._context.question, questions))

    def replace_todos(self, todos: Sequence[Todo]) -> None:
        self._call.wait_for(partial(self._context.replace_todos, todos))

    def skill(self, name: str) -> Skill:
        return self._call.wait_for(partial(self._context.skill, name))

    def managed(self, key: str, offset: int = 1, limit: int = 2_000) -> ManagedPage:
        return self._call.wait_for(partial(self._context.managed, key, offset, limit))

    def messages(
        self, *, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[Message]:
        reading = partial(
            self._context.messages, after=after, before=before, limit=limit
        )
        return self._call.wait_for(reading)

    def spawns(self, process: ProcessMark) -> None:
        self._call.wait_for(partial(self._context.spawns, process))

    @property
    def deeds(self) -> Sequence[Deed]:
        return self._context.deeds

    def does(self, text: str, data: Json = None) -> None:
        self._call.wait_for(partial(self._context.does, text, data))

    def saw(self, path: str, digest: str | None) -> None:
        # In the loop, before whatever comes of the call: it is told in this order.
        self._call.tell(self._context.saw, path, digest)

    def changed(
        self,
        path: str,
        before: bytes | None,
        after: bytes | None,
        *,
        unknown: str | None = None,
        folders: int = 0,
    ) -> None:
        self._call.tell(
            partial(
                self._context.changed,
                path,
                before,
                after,
                unknown=unknown,
                folders=folders,
            )
        )

    def progress(self, text: str) -> None:
        self._call.tell(self._context.progress, text)

    def printed(self, data: bytes) -> None:
        self._call.tell(self._context.printed, data)
