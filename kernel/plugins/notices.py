"""Notices: that a plugin is disabled, told to the sessions that run with it.

Owns which sessions run in a Location, and that each of them records what ended while
it ran. Knows nothing of why a plugin is disabled.
"""

import logging
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from ..log.bell import Bell
from ..log.commit import EventLog
from ..values.errors import EventLogError, RuntimeClosedError, StoreError
from ..values.events import PluginDisabled
from ..values.ids import SessionId
from ..values.tool import Failure

logger = logging.getLogger(__name__)


class Notices:
    """What the sessions of one Location are to record of its plugins."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._sessions: Counter[SessionId] = Counter()
        self._waiting: deque[PluginDisabled] = deque()
        self._bell = Bell()

    @contextmanager
    def serving(self, session_id: SessionId) -> Iterator[None]:
        """Count a session as one that runs here, and is told what is disabled."""
        self._sessions[session_id] += 1
        try:
            yield
        finally:
            self._sessions[session_id] -= 1
            if not self._sessions[session_id]:
                del self._sessions[session_id]

    def add(
        self, plugin: str, failure: Failure, session_id: SessionId | None = None
    ) -> None:
        """Tell all sessions that run here, and this one, that a plugin is disabled."""
        concerned = dict.fromkeys(self._sessions)
        if session_id is not None:
            concerned[session_id] = None
        self._waiting.extend(
            PluginDisabled(session_id=one, plugin=plugin, failure=failure)
            for one in concerned
        )
        self._bell.ring()

    async def record(self) -> None:
        """Record what was disabled in the sessions concerned, as long as it runs."""
        while await self._bell.wait():
            await self.record_waiting()

    async def record_waiting(self) -> None:
        """Record what waits to be."""
        while self._waiting:
            notice = self._waiting.popleft()
            try:
                # Whoever runs the session, this is true of it: there is no fence.
                await self._log.of_work(notice.session_id).append(notice)
            except (StoreError, EventLogError, RuntimeClosedError) as error:
                logger.error("that %r is disabled: %s", notice.plugin, error)
