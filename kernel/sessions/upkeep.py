"""Upkeep: what is done to the logs of sessions from outside their conversations.

Owns the public face of replaying, verifying, repairing, rebuilding and pruning. Each
is one transaction of ``events``; here it only is kept away from a session that runs.
What does the work is imported by whoever asks for it: most processes never do.
"""

from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from anyio import to_thread
from attrs import evolve

from ..execution.coordinator import Coordinator
from ..log.commit import EventLog, LogTransaction
from ..log.reading import damaged
from ..ports import Reader
from ..values.errors import InvalidValueError, RowDamagedError, SessionBusyError
from ..values.events import Retention
from ..values.ids import SessionId
from ..values.outputs import CleanedOutputs, OutputPolicy
from ..values.tool import Failure
from .cleaning import Cleaning

if TYPE_CHECKING:
    from ..upkeep.outputs import ExportedOutput
    from ..upkeep.replay import ExportedEvent, Replayed
    from ..upkeep.retention import Pruned
    from ..upkeep.verification import Repaired, Verified

T = TypeVar("T")


class Upkeep:
    """The part of ``runtime.sessions`` that looks after their logs."""

    def __init__(
        self, log: EventLog, coordinator: Coordinator, cleaning: Cleaning
    ) -> None:
        self._log = log
        self._coordinator = coordinator
        self._cleaning = cleaning

    # --- carrying sessions from store to store ------------------------------------

    async def replay(
        self,
        events: "Iterable[ExportedEvent] | AsyncIterable[ExportedEvent]",
        owner: str | None = None,
        outputs: "Iterable[ExportedOutput]" = (),
    ) -> "Replayed | None":
        """Write a session's events as another store exported them (law events.7).

        All of one session, in order, from anywhere up to the end of what is stored
        here. Refused means that nothing was written; repeating is harmless. With an
        ``owner`` the session becomes that owner's replica: nobody else replays into it
        and nothing here appends to it, until ``release``. ``outputs`` are complete
        outputs of its calls, as ``Session.export_outputs`` gives them: they can be read
        here from then on. None when there are no events.

        Raises:
            EventAggregateError: they are of more than one session.
            EventGapError: they do not follow what is stored, or one another.
            EventOwnerError: the session is another owner's replica.
            EventDivergedError: other content is stored under the same number.
            EventKindError, EventVersionError: one is unknown to this release.
            EventDamagedError: one does not decode, or breaks the hash chain.
            EventLogError: one does not follow from those before it.
            SessionBusyError: the session is running here.
            SessionRemovedError: it was removed here.
            InvalidValueError: an event, the session id or the owner is not usable, or
                an output is not what its size and hash say.
        """
        from ..upkeep.replay import Replay

        if isinstance(events, AsyncIterable):
            collected = [event async for event in events]
        else:
            collected = list(events)
        brought = list(outputs)
        if not collected:
            if brought:
                rule = "they come with the events that left them"
                raise InvalidValueError("outputs", len(brought), rule)
            return None
        # A long log takes seconds to check: nobody else should wait for it.
        replayed = await to_thread.run_sync(Replay, collected, owner, brought)
        return await self._on_idle(replayed.session_id, replayed.commit)

    async def claim(self, id: str, owner: str) -> None:
        """Make a session an owner's replica: see ``replay``. Twice is once.

        Raises:
            SessionNotFoundError: there is no such session.
            EventOwnerError: it is another owner's.
            SessionBusyError: it is running.
            InvalidValueError: the owner is not usable as an id.
        """
        from ..upkeep.replay import claim

        await self._on_idle(id, lambda tx: claim(tx, id, owner))

    async def release(self, id: str) -> None:
        """Let a replica be a session of this store, which is written and executed
        here. Twice is once.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        from ..upkeep.replay import release

        await self._log.commit(lambda tx: release(tx, id))

    # --- looking after what is stored ---------------------------------------------

    async def verify(self, id: str | None = None) -> "Sequence[Verified]":
        """Walk the hash chain of one session, or of all, and say what was found.

        Reads everything, and stops nobody from writing meanwhile.

        Raises:
            SessionNotFoundError: there is no such session.
            StoreError: the medium itself cannot be read.
        """
        found = []
        # A past that many forks share is walked once.
        walked: dict[tuple[str, int], Failure | None] = {}
        for name in await self._names(id):
            one = await self._log.read(partial(_verified, name, walked))
            found.append(one)
            # Who is asked next need not read it all to know.
            if one.first_bad is not None:
                await self._log.mark(damaged(name, one.first_bad))
            else:
                await self._log.unmark(name, one.last_sound)
            if not one.complete:
                await self._log.mend(name)
        return found

    async def repair(self, id: str) -> "Repaired":
        """Set aside what follows the last sound event of a session.

        What was set aside is kept as it was found; its numbers stay taken. A session
        that is sound is left as it is.

        Raises:
            SessionNotFoundError: there is no such session.
            SessionBusyError: it is running.
            EventOwnerError: it is a replica.
        """
        from ..upkeep.verification import repair

        return await self._on_idle(id, lambda tx: repair(tx, id))

    async def rebuild(self, id: str | None = None) -> int:
        """Make the projections of one session, or of all, anew from the log.

        Returns how many events were read. Each session is one transaction.

        Raises:
            SessionNotFoundError: there is no such session.
            EventLogError: an event cannot be projected; see its subclasses. Those
                sessions before it are rebuilt, it and those after it are as they were.
        """
        from ..upkeep.rebuild import rebuild

        count = 0
        for name in await self._names(id):
            count += await self._log.commit(
                lambda tx, name=name: rebuild(tx.rows, name)  # type: ignore[misc]
            )
        return count

    async def prune(
        self,
        id: str,
        classes: Sequence[Retention] = ("trace",),
        before: int | None = None,
        *,
        with_forks: bool = False,
    ) -> "Pruned":
        """Remove content that a session's retention classes let go (law storage.4).

        ``trace`` is what only operators look at; ``transcript`` must be named to be
        removed, and then what was said is gone for good, from the model's view too.
        ``before`` is a sequence number: events from there on stay whole. The space is
        given back to the system, while others read and write. Forks share what was
        said, so it is removed from them as well, and only ``with_forks``.

        Raises:
            SessionNotFoundError: there is no such session.
            SessionBusyError: it is running.
            SessionSharedError: forks share what was said, and must be said to lose it.
            EventOwnerError: it is a replica.
            InvalidValueError: a class is none of the two.
        """
        from ..upkeep.retention import prune

        store = self._log.store
        size = await store.size()
        done = await self._on_idle(
            id,
            lambda tx: prune(tx, SessionId(id), classes, before, with_forks=with_forks),
        )
        await store.compact()
        return evolve(done, disk_before=size, disk_after=await store.size())

    async def clean_outputs(self, policy: OutputPolicy | None = None) -> CleanedOutputs:
        """Clean up complete outputs of calls that are too old or too many, now.

        It is done from time to time by itself. What a session that somebody executes
        holds stays. Whoever reads one that is gone is told when it was cleaned up.
        Without a policy, by that of the runtime.

        Raises:
            ConfigurationError: what the person's file says of it cannot be read.
            StoreError: the store failed; what was cleaned by then is.
        """
        return await self._cleaning.now(policy)

    async def _on_idle(self, id: str, decide: Callable[[LogTransaction], T]) -> T:
        # The lease, which the decision looks at, is taken only once a drain has found
        # something to do; before that only this process can know of it.
        if self._coordinator.busy(id):
            raise SessionBusyError(id)
        return await self._log.commit(decide)

    async def _names(self, id: str | None) -> Sequence[str]:
        if id is not None:
            return (id,)
        return await self._log.read(_all_names)


def _verified(
    name: str, walked: dict[tuple[str, int], Failure | None], rows: Reader
) -> "Verified":
    from ..upkeep.verification import verify

    return verify(rows, name, walked)


def _all_names(rows: Reader) -> list[str]:
    """Return every session that has a log, also one without projections."""
    names: list[str] = []
    after = -1
    while page := rows.logs(after):
        after = page[-1][0]
        names += [name for _, name in page if _has_log(rows, name)]
    return names


def _has_log(rows: Reader, name: str) -> bool:
    try:
        head = rows.head(name)
        if head is not None:
            return not head.removed
        return bool(rows.events(name, limit=1))
    except RowDamagedError:
        return True
