"""Sessions: all those of one store, as an application holds them in its hands.

Owns the public face of creating, finding and listing them; each is a ``Session``.
"""

import os
from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from ..execution.coordinator import Coordinator
from ..execution.late_runner import LateRunner
from ..jobs.keeper import Jobs
from ..log.commit import EventLog, LogTransaction
from ..log.reading import existing_session
from ..ports import Reader
from ..values.errors import (
    InvalidValueError,
    SessionAmbiguousError,
    SessionNotFoundError,
    SessionRemovedError,
)
from ..values.events import (
    SessionCreated,
)
from ..values.generation import NO_GENERATION, Generation
from ..values.ids import SessionId, check_caller_id, new_id
from ..values.location import Location
from ..values.prompt import (
    Budget,
    check_instructions,
)
from .children import Children
from .cleaning import Cleaning
from .info import SessionInfo, info_of
from .pages import Order, Page, asked, check_limit
from .session import Session
from .settings import check_agent, check_fallback, check_model, check_title, instructed
from .upkeep import Upkeep

if TYPE_CHECKING:
    from ..upkeep.removal import Removed
    from .spending import Spending

FEW = 8
"""Ids that are named where several begin alike."""


class Sessions(Upkeep):
    """The sessions of one store. ``runtime.sessions``."""

    def __init__(
        self,
        log: EventLog,
        coordinator: Coordinator,
        runner: LateRunner,
        jobs: Jobs,
        children: Children,
        cleaning: Cleaning,
    ) -> None:
        super().__init__(log, coordinator, cleaning)
        self._runner = runner
        self._jobs = jobs
        self._children = children

    async def create(
        self,
        id: str | None = None,
        location: str | os.PathLike[str] | Location = ".",
        model: str | None = None,
        agent: str | None = None,
        title: str | None = None,
        budget: Budget | None = None,
        parent: str | None = None,
        instructions: str | None = None,
        generation: Generation | None = None,
        fallback: Sequence[str] | None = None,
    ) -> "Session":
        """Create a session in a directory; it is durable when this returns.

        With an ``id`` that exists, that session is returned as it is and the other
        arguments count for nothing, so that a caller may retry (idempotent).
        ``parent`` is the id of the session whose child it is, for good: what it uses
        counts in that one's budget, and it is interrupted with it. It takes nothing
        else from it, and goes on when that one ends. ``instructions`` are as those of
        ``instruct``, ``generation`` as that of ``set_generation``, and ``fallback``
        as that of ``set_fallback``.

        Raises:
            LocationNotFoundError: there is no such directory.
            SessionNotFoundError: this store has no such parent.
            SessionRemovedError: a session of this id was removed.
            InvalidValueError: the id, model, agent, title, budget, instructions or
                generation are not usable.
        """
        session_id = SessionId(
            check_caller_id("session id", id)
            if id is not None
            else new_id("ses", self._log.clock)
        )
        check_model(model)
        check_agent(agent)
        check_title(title)
        Budget.checked(budget)
        said = check_instructions(instructions)
        options = Generation.checked(generation)
        chain = check_fallback(fallback)
        place = Location.at(location)

        def creating(tx: LogTransaction) -> None:
            head = tx.rows.head(session_id)
            if head is not None and head.removed:
                raise SessionRemovedError(session_id)
            if head is None:
                if parent is not None:
                    tx.session(parent)
                tx.append(
                    SessionCreated(
                        session_id=session_id,
                        directory=place.directory,
                        workspace=place.workspace,
                        title=title,
                        agent=agent,
                        model=model,
                        fallback=chain,
                        parent=parent,
                        budget=budget,
                        generation=None if options == NO_GENERATION else options,
                    )
                )
                instructed(tx, session_id, said)

        await self._log.commit(creating)
        return self._session(session_id)

    async def get(self, id: str) -> "Session":
        """Return a session.

        Raises:
            SessionNotFoundError: this store has none of this id.
        """
        await self._log.read(lambda rows: existing_session(rows, id))
        return self._session(SessionId(id))

    async def find(self, beginning: str) -> SessionId:
        """Return the id of the session that this is the id of, or the only one whose
        id begins like this: what a person types of an id.

        Raises:
            SessionNotFoundError: there is none.
            SessionAmbiguousError: there are several; it names some of them.
        """

        def look(rows: Reader) -> Sequence[str]:
            if not isinstance(beginning, str) or not beginning:
                return ()
            if rows.head(SessionId(beginning)) is not None:
                return (beginning,)
            return rows.session_ids(beginning, FEW + 1)

        await self._log.complete_list()
        found = await self._log.read(look)
        if not found:
            raise SessionNotFoundError(str(beginning))
        if len(found) > 1:
            raise SessionAmbiguousError(beginning, found[:FEW])
        return SessionId(found[0])

    async def remove(
        self, id: str, *, interrupt: bool = False, with_forks: bool = False
    ) -> "Removed":
        """Remove a session for good, with every session that works for it.

        It is durable once this returns, or once ``session.removed`` is told: nobody
        finds the session from then on, its prompts, requests and approvals of its own
        are gone, and its id is never given to another one (law storage.12). What it
        held is deleted and overwritten in the store's files in parts, while others read
        and write; a process that ends meanwhile leaves the rest to the next one (law
        storage.13). Removing it twice is once.

        With ``interrupt`` the work of this process is stopped before, with its jobs;
        one that cannot be ended here is forgotten. Forks share a session's past, which
        goes only together with them: ``with_forks`` removes them as well.

        Raises:
            SessionNotFoundError: there is no such session.
            SessionBusyError: it is running, or one that works for it is; with
                ``interrupt``, another process executes it.
            SessionSharedError: forks share its past, and must be said to go.
            EventOwnerError: one of them is a replica.
            StoreError: the store failed. Where the session is removed by then, what is
                left of it is deleted later.
        """
        # Here, because most processes never remove one.
        from .removing import Removal

        removal = Removal(self._log, self._coordinator, self._jobs)
        return await removal.run(id, interrupt=interrupt, with_forks=with_forks)

    async def spending(
        self, since: int = 0, zone: tzinfo | None = None
    ) -> "Sequence[Spending]":
        """Return what models were asked and what that cost, of all sessions, by day,
        model and directory, the oldest day first.

        ``since`` is in milliseconds since 1970; ``zone`` is where days begin, that of
        this machine unless given. Steps and summaries are counted; what titles cost,
        and attempts that failed and were made again, is in the sum of their session
        only.
        """
        # Here, because most processes never ask.
        from .spending import spending

        await self._log.complete_list()
        return await self._log.read(lambda rows: spending(rows, since, zone))

    def at(self, id: str) -> "Session":
        """Return the session of this id without looking whether there is one: whatever
        is done with it says so. It costs no reading, for those who prompt much."""
        return self._session(SessionId(id))

    def _session(self, id: SessionId) -> "Session":
        return Session(
            id,
            self._log,
            self._coordinator,
            self._runner,
            self._jobs,
            self._children,
        )

    async def list(
        self,
        location: str | os.PathLike[str] | Location | None = None,
        search: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        parent: str | None = None,
        roots: bool = False,
        order: Order | None = None,
    ) -> Page[SessionInfo]:
        """Return sessions by pages, in the order in which they were created; ``desc``,
        the default, begins with the newest. A cursor knows its order.

        ``search`` is plain text looked for in titles. ``parent`` leaves only the
        children of that session, of which there are none where there is no such
        session; ``roots`` only those that are nobody's child. At most 200 a page.

        Raises:
            CursorInvalidError: the cursor is not of this listing.
            InvalidValueError: both children and roots are asked for.
            LocationNotFoundError: there is no such directory.
        """
        if parent is not None and roots:
            raise InvalidValueError("parent", parent, "a root is nobody's child")
        directory = None if location is None else Location.at(location).directory
        check_limit(limit)
        wanted = asked("sessions", order, cursor)

        def read(reader: Reader) -> Page[SessionInfo]:
            found = reader.sessions(
                directory=directory,
                search=search,
                parent=parent,
                roots=roots,
                before=wanted.place if wanted.descending else None,
                after=None if wanted.descending else wanted.place,
                oldest_first=not wanted.descending,
                limit=limit + 1,
            )
            rows, after, before = wanted.cut(found, limit, lambda row: row.position)
            infos = [info_of(self._log, reader, row) for row in rows]
            return Page(infos, after, before)

        await self._log.complete_list()
        return await self._log.read(read)

    async def active(self) -> Sequence[SessionId]:
        """Return the sessions that run now, in whatever process, in the order in which
        they were created."""

        def look(rows: Reader) -> Sequence[SessionId]:
            found = map(rows.session, rows.sessions_with_work())
            return [
                SessionId(row.id)
                for row in found
                if row is not None
                and row.status == "running"
                and self._log.lookout.seems_held(rows.lease(row.id))
            ]

        return await self._log.read(look)
