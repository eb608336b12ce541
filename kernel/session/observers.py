"""Observers: telling plugins what was committed, after the fact.

Owns the queue between the log and the ``dovetail_observe_event`` hooks of one
Location. The session never waits for it; an observer that breaks is recorded and the
others are told all the same (law plugins.6: observers fail open).
"""

import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..events.bell import Bell
from ..events.log import EventLog
from ..values.errors import PluginError
from ..values.events import Event, SessionCreated
from .services import LocationServices

logger = logging.getLogger(__name__)

HOOK = "dovetail_observe_event"


class Observers:
    """Tells the plugins of one Location about its sessions."""

    def __init__(self, services: LocationServices, log: EventLog) -> None:
        self._services = services
        self._log = log
        self._queue: deque[Event] = deque()
        self._bell = Bell()
        self._here: dict[str, bool] = {}

    @property
    def needed(self) -> bool:
        """Whether any plugin of this Location observes."""
        plugins = self._services.plugins
        return any(plugins.implements(name, HOOK) for name in self._services.places)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tell for as long as it is open."""
        end = self._log.observe(self._take)
        self._services.scope.spawn(self._tell)
        try:
            yield
        finally:
            end()

    def _take(self, event: Event) -> None:
        self._queue.append(event)
        self._bell.ring()

    async def _tell(self) -> None:
        while await self._bell.wait():
            while self._queue:
                event = self._queue.popleft()
                if await self._is_here(event):
                    self._tell_one(event)

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

    def _tell_one(self, event: Event) -> None:
        services = self._services
        for name, place in services.places.items():
            if services.plugins.implements(name, HOOK):
                try:
                    services.plugins.call(name, HOOK, event=event, place=place)
                except PluginError as error:
                    # Recorded where it was called; the others are told all the same.
                    logger.debug("an observer failed: %s", error)
