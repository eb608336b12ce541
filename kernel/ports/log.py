"""The log of a store: events, in order, and where each session's ends.

Facts. They are appended and read; what retention removes and repair sets aside is all
that changes of them. A store knows nothing of what an event says.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from .rows import EventRecord, Head, StoredFact


class LogReader(Protocol):
    """Reading the log."""

    def head(self, session_id: str) -> Head | None:
        """Return where the log ends, or None when there is no such session."""
        ...

    def events(
        self,
        session_id: str,
        after: int = -1,
        limit: int = 512,
        upto: int | None = None,
    ) -> Sequence[EventRecord]:
        """Return events with ``after < seq <= upto`` in order, at most ``limit``."""
        ...

    def facts(
        self,
        session_id: str,
        after: int = -1,
        limit: int = 512,
        upto: int | None = None,
    ) -> Sequence[StoredFact]:
        """Return what ``events`` would, without what only proves it.

        Most reads are of this kind, and long: a store may have a shorter way.
        """
        return [
            (one.seq, one.kind, one.version, one.created, one.data, one.problem)
            for one in self.events(session_id, after, limit, upto)
        ]

    def all_events(self, after: int = -1, limit: int = 512) -> Sequence[EventRecord]:
        """Return events of all sessions with ``position > after`` in commit order."""
        ...

    def kinds(self, session_id: str) -> Mapping[str, int]:
        """Return how many events of each kind the log has, up to its end.

        As they are stored, whether or not they are what was written; a store may have
        a way to count them without reading them.
        """
        found: Counter[str] = Counter()
        after = -1
        while page := self.facts(session_id, after):
            found.update(kind for _, kind, *_ in page)
            after = page[-1][0]
        return found

    def events_set_aside(self, session_id: str) -> Sequence[EventRecord]:
        """Return what ``set_aside`` took out of the log, in the order it was taken."""
        ...

    def sessions_to_erase(self) -> Sequence[str]:
        """Return the removed sessions of which something is left, found at once."""
        ...

    def logs(self, after: int = -1, limit: int = 512) -> Sequence[tuple[int, str]]:
        """Return places and ids of all sessions that rows were ever written for.

        In creation order, from those after a place on. Projections do not matter.
        """
        ...


class LogWriter(LogReader, Protocol):
    """Appending to the log, and what else may happen to it."""

    def append(self, records: Sequence[EventRecord]) -> None:
        """Add events of one session after its head, and move the head."""
        ...

    def set_owner(self, session_id: str, owner: str | None) -> None:
        """Record who may replay into this session's log."""
        ...

    def set_imported(
        self, session_id: str, imported: Sequence[tuple[int, int]]
    ) -> None:
        """Record which events of a log came from another store."""
        ...

    def remove_data(self, records: Sequence[EventRecord]) -> int:
        """Write the ``data`` and ``digest`` of stored events, and let go of the large
        values that they held; nothing else of them changes.

        Return how many bytes less are stored, those of large values that nothing holds
        any more included.
        """
        ...

    def set_damaged(self, session_id: str, seq: int | None) -> None:
        """Record from which event on a log is not what was written, or that it is."""
        ...

    def mend_head(self, session_id: str, seq: int, hash: bytes) -> None:
        """Say anew where a log ends, whatever is stored of that, which may be damaged.

        Who may replay into it and what was imported stay as far as that can be read;
        else, all of it counts as imported. The lease is given up, with a fence that is
        higher than the last one.
        """
        ...

    def set_removed(self, session_id: str) -> None:
        """Record that a session, of which the last event says so, was removed.

        Nothing of it is found from then on where sessions, requests, jobs, work or
        events of all are looked for, but for that last event.
        """
        ...

    def erase(self, session_id: str, limit: int) -> bool:
        """Delete something of what a removed session has left, at most ``limit`` rows
        of a kind, with the large values that nothing else holds; return whether there
        may be more. Of one that was not removed nothing is deleted.

        The last event stays, and so does where the log ends.
        """
        ...

    def set_aside(self, records: Sequence[EventRecord]) -> None:
        """Take the events of a session from the first record's number on out of the
        log, keep them elsewhere as they are, and put these records in their place.

        Raises:
            EventGapError: they are not numbered one by one from there.
        """
        ...
