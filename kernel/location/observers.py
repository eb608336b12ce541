"""Observers: telling plugins what was committed, after the fact.

Owns the queue between the log and the observing hooks of one Location:
``dovetail_observe_event`` for everything, ``dovetail_tool_succeeded`` and
``dovetail_tool_failed`` for the settlement of a call, which is durable whatever ended
the call. The session never waits for it; an observer that breaks is recorded and the
others are told all the same (law plugins.6: observers fail open).
"""

import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import anyio

from ..contracts import CallNotice
from ..lifecycle.guests import take_back
from ..log.bell import Bell
from ..log.commit import EventLog
from ..log.reading import events_between
from ..ports import Reader
from ..values.errors import DovetailError, PluginError
from ..values.events import (
    Event,
    ExecutionEnded,
    SessionCreated,
    ToolCalled,
    ToolFailed,
    ToolSucceeded,
)
from .services import LocationServices

logger = logging.getLogger(__name__)

OBSERVE = "dovetail_observe_event"
SUCCEEDED, FAILED = "dovetail_tool_succeeded", "dovetail_tool_failed"
HOOKS = (OBSERVE, SUCCEEDED, FAILED)


class Observers:
    """Tells the plugins of one Location about its sessions."""

    def __init__(self, services: LocationServices, log: EventLog) -> None:
        self._services = services
        self._log = log
        self._queue: deque[Event] = deque()
        self._bell = Bell()
        self._here: dict[str, bool] = {}
        # The calls that are open, by session, message and call.
        self._calls: dict[tuple[str, str, str], CallNotice] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tell for as long as it is open; what was committed by then is told."""
        end = self._log.observe(self._take)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell)
                try:
                    yield
                finally:
                    end()
                    self._bell.close()
        finally:
            self._queue.clear()

    def _take(self, event: Event) -> None:
        if self._services.plugins.hooks.implemented(HOOKS):
            self._queue.append(event)
            self._bell.ring()

    async def _tell(self) -> None:
        open_ = True
        while open_:
            open_ = await self._bell.wait()
            while self._queue:
                event = self._queue.popleft()
                try:
                    if await self._is_here(event):
                        await self._tell_one(event)
                        await take_back()
                except DovetailError as error:
                    logger.warning("observers were not told of %r: %s", event, error)

    async def _is_here(self, event: Event) -> bool:
        known = self._here.get(event.session_id)
        if known is None:
            directory: str | None
            if isinstance(event, SessionCreated):
                directory = event.directory
            else:
                row = await self._log.read(lambda rows: rows.session(event.session_id))
                directory = row.directory if row else None
            known = directory == self._services.location.directory
            self._here[event.session_id] = known
        return known

    async def _tell_one(self, event: Event) -> None:
        # What a plugin does to it in place must not reach the running session.
        event = deepcopy(event)
        if isinstance(event, ToolCalled):
            self._calls[_key(event)] = _notice(event)
        elif isinstance(event, ToolSucceeded | ToolFailed):
            call = self._calls.pop(_key(event), None) or await self._find(event)
            if call is not None:
                hook = SUCCEEDED if isinstance(event, ToolSucceeded) else FAILED
                self._call_all(hook, event, call=call, outcome=event)
        self._call_all(OBSERVE, event, event=event)
        if isinstance(event, ExecutionEnded):
            for key in [key for key in self._calls if key[0] == event.session_id]:
                del self._calls[key]

    async def _find(self, event: ToolSucceeded | ToolFailed) -> CallNotice | None:
        """Return the call that was made before anybody here observed."""
        if not any(
            self._services.plugins.hooks.implementing(hook) for hook in HOOKS[1:]
        ):
            return None

        def find(rows: Reader) -> ToolCalled | None:
            message = rows.message(event.session_id, event.message_id)
            after = -1 if message is None else message.seq - 1
            for one in events_between(rows, event.session_id, after, event.seq):
                if isinstance(one, ToolCalled) and _key(one) == _key(event):
                    return one
            return None

        found = await self._log.read(find)
        return None if found is None else _notice(found)

    def _call_all(self, hook: str, about: Event, **arguments: Any) -> None:
        hooks = self._services.plugins.hooks
        for one in hooks.implementing(hook):
            if not one.is_open:
                continue
            try:
                hooks.call(one, hook, session_id=about.session_id, **arguments)
            except PluginError as error:
                # Recorded where it was called; the others are told all the same.
                logger.debug("an observer failed: %s", error)


def _key(event: ToolCalled | ToolSucceeded | ToolFailed) -> tuple[str, str, str]:
    return event.session_id, event.message_id, event.call_id


def _notice(event: ToolCalled) -> CallNotice:
    return CallNotice(
        session_id=event.session_id,
        message_id=event.message_id,
        call_id=event.call_id,
        tool=event.tool,
        arguments=event.arguments,
        effect=event.effect,
    )
