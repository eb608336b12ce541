"""Removing: a session that is to go, with the work of it stopped before.

Owns the order: jobs and executions of this process are stopped if that is wanted, then
the removal is recorded, then content is deleted. What goes together, and what must be
so before, is said by ``upkeep.removal``.
"""

import logging
from contextlib import suppress

from attrs import evolve

from ..execution.coordinator import Coordinator
from ..jobs.keeper import PERSON, Jobs
from ..log.commit import EventLog
from ..upkeep.removal import Removed, erase, going, remove
from ..values.errors import DovetailError, SessionBusyError
from ..values.ids import SessionId

logger = logging.getLogger(__name__)

REASON = "the session is removed"


class Removal:
    """One removal of a session from a store."""

    def __init__(self, log: EventLog, coordinator: Coordinator, jobs: Jobs) -> None:
        self._log = log
        self._coordinator = coordinator
        self._jobs = jobs

    async def run(self, id: str, *, interrupt: bool, with_forks: bool) -> Removed:
        """See ``Sessions.remove``."""
        session_id, store = SessionId(id), self._log.store
        await self._log.complete_list()
        found = await self._log.read(
            lambda rows: going(rows, session_id, with_forks=with_forks)
        )
        for one in found:
            # Of a process that has gone, jobs may have ended with nobody to see it.
            await self._settle_jobs(one, stop=interrupt)
        if interrupt:
            for one in found:
                self._coordinator.interrupt(one, "user", REASON)
            for one in found:
                # How it ended is its own affair.
                with suppress(DovetailError):
                    await self._coordinator.wait(one)
        for one in found:
            # The lease, which the decision looks at, is taken only once a drain has
            # found something to do; before that only this process can know of it.
            if self._coordinator.busy(one):
                raise SessionBusyError(one)
        size = await store.size()
        sessions = await self._log.commit(
            lambda tx: remove(
                tx, session_id, with_forks=with_forks, with_jobs=interrupt
            )
        )
        if await erase(self._log):
            await store.compact()
        return evolve(
            Removed(session_id, sessions),
            disk_before=size,
            disk_after=await store.size(),
        )

    async def _settle_jobs(self, session_id: str, *, stop: bool) -> None:
        running = await self._log.read(
            lambda rows: rows.running_jobs(session_id=session_id)
        )
        if not running:
            return
        try:
            jobs = await self._jobs.of(session_id)
            for job in jobs if stop else ():
                if job.state == "running":
                    await self._jobs.stop(session_id, job.id, PERSON)
        except DovetailError as error:
            # Its Location cannot be opened, or its tool is gone.
            logger.warning("jobs of session %s cannot be ended: %s", session_id, error)
