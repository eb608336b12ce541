"""Travelling: the part of a session that goes back, aside, elsewhere, and looks again.

Owns the public face of forking, reverting, moving and of what was sent and told. What
does the work is imported by whoever asks for it: most processes never do.
"""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from ..execution.coordinator import Coordinator
from ..execution.late_runner import LateRunner
from ..log.commit import EventLog, LogTransaction
from ..log.lineage import Span, past_of
from ..log.reading import damaged, existing_session
from ..ports import Reader
from ..values.events import SessionMoved
from ..values.ids import SessionId, check_caller_id, new_id
from ..values.location import Location
from .settings import check_title

if TYPE_CHECKING:
    from .epochs import ContextEpoch
    from .reverting import Reverted, RevertPlan, Turning
    from .sent import RebuiltRequest, RecordedRequest


class Travelling:
    """What a session can do with its past, and where it goes on."""

    def __init__(
        self, id: SessionId, log: EventLog, coordinator: Coordinator, runner: LateRunner
    ) -> None:
        self.id = id
        self._log = log
        self._coordinator = coordinator
        self._runner = runner

    def _another(self, id: SessionId) -> Self:
        """Return another session of the same runtime."""
        raise NotImplementedError

    async def _check_sound(self) -> None:
        await self._log.complete(self.id)
        row = await self._log.read(lambda rows: existing_session(rows, self.id))
        if row.damaged is not None:
            raise damaged(self.id, row.damaged)

    async def fork(
        self,
        at: int | str | None = None,
        *,
        id: str | None = None,
        title: str | None = None,
    ) -> Self:
        """Create a session that shares this one's past and goes its own way (law
        travel.3); it is durable when this returns.

        ``at`` is the last event that it shares, or the id of a message: then all up to
        its end. None means all there is, up to the last boundary where a Step runs.
        Nothing is copied, and nothing that is under way comes along: input that waits,
        open calls, requests to a person, jobs, the budget. With an ``id`` that exists,
        that session is returned as it is (idempotent).

        Raises:
            ForkPointError: a Step runs there, or there is no such event; it names the
                nearest one.
            MessageNotFoundError: this session has no such message.
            SessionNotFoundError: the session is gone.
            InvalidValueError: the id or title is not usable.
            EventDamagedError: its past is not what was written.
        """
        from .forking import fork

        fork_id = SessionId(
            check_caller_id("session id", id)
            if id is not None
            else new_id("ses", self._log.clock)
        )
        check_title(title)
        await self._check_sound()
        await self._finish_restoring()
        await self._log.commit(lambda tx: fork(tx, self.id, fork_id, at, title))
        return self._another(fork_id)

    async def _finish_restoring(self) -> None:
        """Finish what a revert was about to do to files: a fork goes on in the tree,
        and knows nothing of it."""
        from ..execution.restoring import finish, unfinished

        left = await self._log.read(lambda rows: unfinished(rows, self.id))
        if left is not None:
            async with self._runner().services_of(self.id) as services:
                await finish(self._log, services, left)

    async def plan_revert(self, to: str | None) -> "RevertPlan":
        """Return what ``revert`` would do, and do nothing: how many messages it would
        hide, and which files it would restore or, each with its reason, could not.

        Opens the Location, and looks at the files.

        Raises:
            As ``revert``.
        """
        from .reverting import plan_revert

        async with self._turning() as turning:
            return await turning.looked_at(
                lambda rows: plan_revert(rows, self.id, to, turning.at_work)
            )

    async def revert(self, to: str | None) -> "Reverted":
        """Hide from the model what follows a message, and restore files (law travel.4).

        None is before the session's first message: all that was said in it is hidden,
        and of a fork what it shares stays.

        Files that calls of this session changed since, or of those that work for it at
        any depth, are made what they held then, where nobody else changed them in
        between or since, and what they held was kept; the others stay, each with its
        reason in the receipt and in ``plan_revert``. Transcript and log stay whole, and
        ``unrevert`` brings all of it back until a new prompt makes the model go on from
        here. Who is killed in the middle has each file as it was or as it was to be;
        it is finished before anything else is done with the session.

        What a crash left in the middle, of the session or of one that works for it and
        whose files are restored, is settled first, as when it is taken over, but
        nothing of it goes on: no call is repeated, and the execution ends as
        interrupted.

        Raises:
            SessionBusyError: the session is running.
            MessageNotFoundError: it has no such message.
            MessageSharedError: it is in what a fork shares, and more of that follows
                it: fork again at that message.
            InvalidValueError: the message is hidden already.
            LocationNotFoundError: its directory is gone.
        """
        from .reverting import plan_revert

        async with self._turning() as turning:
            return await turning.turn(
                lambda rows: plan_revert(rows, self.id, to, turning.at_work)
            )

    async def unrevert(self) -> "Reverted":
        """Let the model see again what reverts hid since it last went on, and bring the
        files back, as far as nobody changed them since.

        Raises:
            NothingRevertedError: nothing is hidden, or the model went on since, or the
                history was summed up.
            SessionBusyError: the session is running.
            LocationNotFoundError: its directory is gone.
        """
        from .reverting import plan_unrevert

        async with self._turning() as turning:
            return await turning.turn(lambda rows: plan_unrevert(rows, self.id))

    @asynccontextmanager
    async def _turning(self) -> "AsyncIterator[Turning]":
        from .reverting import Turning

        await self._check_sound()
        async with self._runner().services_of(self.id) as services:
            yield Turning(
                self._log,
                services,
                self.id,
                self._coordinator.busy,
                self._coordinator.leave,
            )

    async def move(self, location: str | os.PathLike[str] | Location) -> None:
        """Let the session work in another Location, from the next boundary on.

        A Step that runs ends where it was begun. The next one begins a new Context
        Epoch, for the reason ``move``, with the tools, agents and rules of there. No
        file is moved, and saved approvals are those of there.

        Raises:
            LocationNotFoundError: there is no such directory.
            SessionNotFoundError: the session is gone.
        """
        place = Location.at(location)

        def moving(tx: LogTransaction) -> None:
            row = tx.session(self.id)
            if (row.directory, row.workspace) != (place.directory, place.workspace):
                tx.append(
                    SessionMoved(
                        session_id=self.id,
                        directory=place.directory,
                        workspace=place.workspace,
                    )
                )

        await self._log.commit(moving)

    async def lineage(self) -> "Sequence[Span]":
        """Return the parts of other sessions' logs that are this one's past, the oldest
        first; none for a session that is no fork.

        Raises:
            SessionNotFoundError: the session is gone.
            SessionPastMissingError: a session that it came from is not in this store.
            EventDivergedError: another past is stored under that name.
        """

        def look(rows: Reader) -> Sequence[Span]:
            existing_session(rows, self.id)
            return past_of(rows, self.id)

        return await self._log.read(look)

    async def requests(self) -> "Sequence[RecordedRequest]":
        """Return every request that the session has sent, in order, as recorded.

        Of a fork these are its own; those of what it shares are its origin's.

        Reads the whole log.

        Raises:
            SessionNotFoundError: the session is gone.
            EventDamagedError: its past is not what was written.
        """
        from .sent import recorded_requests

        return await self._log.read(lambda rows: recorded_requests(rows, self.id))

    async def request(self, which: int | str) -> "RebuiltRequest":
        """Write a request again as it was sent, and prove it (law travel.1).

        ``which`` is its number (see ``requests``), or the id of a message: then the
        last request that was sent for it. Opens the Location where a plugin's protocol
        must write it. The result says whether these are the very bytes.

        Raises:
            SentRequestNotFoundError: there is no such request.
            SentRequestLostError: what it was made of is not known any more, or nobody
                here speaks its protocol.
            SessionNotFoundError: the session is gone.
            EventDamagedError: its past is not what was written.
        """
        from .sent import materials, rebuilt

        found = await self._log.read(lambda rows: materials(rows, self.id, which))
        protocols = {} if found.plain else await self._runner().protocols(self.id)
        return rebuilt(found, protocols)

    async def context(self) -> "Sequence[ContextEpoch]":
        """Return what the model was told of its world, epoch by epoch, word for word,
        and from which Step on.

        Reads the whole log.

        Raises:
            SessionNotFoundError: the session is gone.
            EventDamagedError: its past is not what was written.
        """
        from .epochs import context_epochs

        return await self._log.read(lambda rows: context_epochs(rows, self.id))
