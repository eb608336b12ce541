"""Soundness: whether a session is what was written, as far as its rows can tell.

Owns the first look at a session: the whole chain of its log, once in a process, and
from there on what came since; and whether as many rows follow from it as there are.
Changes nothing; ``mending`` does.
"""

from collections import Counter

from ..ports import EventRecord, Head, Reader, RowCounts
from ..values.codec import loads
from ..values.errors import EventDamagedError, SessionNotFoundError
from ..values.events import PromptAdmitted
from ..values.frozen import frozen
from .chain import Chain


@frozen
class Look:
    """What one look at a session found."""

    seq: int
    """The last sound event."""
    hash: bytes
    problem: str | None = None
    """What is wrong with the one after it."""
    complete: bool = True
    """Whether as many rows are there as follow from the log. Only looked at when all of
    the log was."""

    def error(self, session_id: str) -> EventDamagedError | None:
        """Return what to tell whoever relies on the log, or None."""
        if self.problem is None:
            return None
        return EventDamagedError(
            session_id,
            self.seq + 1,
            f"{self.problem}; nothing from here on can be relied on. `dovetail verify "
            f"{session_id} --repair` goes on from what is before it",
        )


def look_over(rows: Reader, session_id: str, known: Head | None = None) -> Look:
    """Walk a log from where it is known to be sound, or from its beginning.

    Raises:
        SessionNotFoundError: there is no such session.
        RowDamagedError: where the log ends is not known.
    """
    head = rows.head(session_id)
    if head is None:
        raise SessionNotFoundError(session_id)
    if known is not None and known.seq <= head.seq:
        chain = Chain(session_id, known.seq, known.hash)
        if chain.walk(rows, head.seq) is None and chain.hash == head.hash:
            return Look(chain.seq, chain.hash)
        # What was known may be what is not true any more: from the beginning, then.
    chain, expected = Chain(session_id), _Expected()
    problem = chain.walk(rows, head.seq, expected.count)
    problem = problem or wrong_end(chain, head)
    complete = problem is not None or expected.fits(rows.counts(session_id))
    return Look(chain.seq, chain.hash, problem, complete)


def wrong_end(chain: Chain, head: Head | None) -> str | None:
    """Return what is wrong with where a log is said to end, or None."""
    if head is None:
        return f"the log ends at {chain.seq}, and nothing says so"
    if head.seq != chain.seq:
        return f"the log was recorded to end at {head.seq}, and ends at {chain.seq}"
    if head.hash != chain.hash:
        return "the log was recorded to end with another hash"
    return None


class _Expected:
    """How many rows follow from a log."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._keys: set[str] = set()

    def count(self, record: EventRecord) -> None:
        self._kinds[record.kind] += 1
        # What retention removed cannot be compared with any more.
        if record.kind == PromptAdmitted.kind and record.digest is None:
            key = loads(record.data).get("key")
            if key is not None:
                self._keys.add(key)

    def fits(self, counts: RowCounts) -> bool:
        kinds = self._kinds
        settled = kinds["prompt.promoted"] + kinds["prompt.withdrawn"]
        messages = sum(kinds[kind] for kind in _VISIBLE)
        return (
            counts.messages == messages
            and counts.settled == settled
            and counts.pending == kinds["prompt.admitted"] - settled
            and counts.admissions >= len(self._keys)
        )


_VISIBLE = ("prompt.promoted", "context.updated", "notice.added", "step.started")
