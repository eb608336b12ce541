"""Verification: is a log what was written, and what to do where it is not.

Owns walking the hash chain of a whole log in one consistent view, page by page, and
setting aside what cannot be trusted any more (law events.9).

A hash covers all events before it, so from the first unsound event on nothing is
vouched for, and a repair takes all of that out of the log. The taken events are kept
elsewhere as they were found. Their numbers are filled with ``event.set_aside``, and the
repair is an event of its own behind them: no number is given out twice, every cursor
stays good (law storage.3), and whoever tails the store in commit order learns of it.
Then the projections are rebuilt: the session goes on from its last sound event.

Admissions stay, as always: a prompt that was set aside is known by its key, but the
session has lost it; ``events_set_aside`` says what there was.
"""

from attrs import frozen

from ..log.chain import Chain
from ..log.commit import PAGE, LogTransaction
from ..ports import EventRecord, Head, Reader
from ..values.errors import EventDamagedError, SessionNotFoundError
from ..values.events import (
    NO_HASH,
    EventSetAside,
    SessionRepaired,
    chain_hash,
    encode_event,
    payload_digest,
)
from ..values.ids import SessionId
from ..values.tool import Failure
from .rebuild import rebuild

MOST_MISSING = 10_000
"""How many lost events in a row are taken for lost events. A number further away is
damaged itself, and filling up to it could take for ever."""


@frozen
class Verified:
    """What a walk over one log found."""

    session_id: str
    events: int
    """How many sound events there are."""
    removed: int
    """How many of them retention removed the content of."""
    last_sound: int
    """The sequence number of the last one, or -1."""
    hash: str
    """Its hash, in hexadecimal: it stands for the whole log up to there."""
    first_bad: int | None = None
    """The first event that is missing or is not what was written, or None."""
    problem: str | None = None

    @property
    def sound(self) -> bool:
        """Whether the whole log is what was written."""
        return self.first_bad is None


def verify(rows: Reader, session_id: str) -> Verified:
    """Walk the hash chain of a log from its beginning, and compare its end.

    Raises:
        SessionNotFoundError: there is no such session.
        StoreDamagedError: the medium cannot be read.
    """
    head = rows.head(session_id)
    chain, removed, problem = Chain(session_id), 0, None
    page = rows.events(session_id, limit=PAGE)
    if head is None and not page:
        raise SessionNotFoundError(session_id)
    while problem is None:
        for record in page:
            problem = chain.problem(record)
            if problem is not None:
                break
            removed += record.digest is not None
        if len(page) < PAGE:
            break
        page = rows.events(session_id, after=chain.seq, limit=PAGE)
    if problem is None:
        problem = _wrong_end(chain, head)
    return Verified(
        session_id=session_id,
        events=chain.seq + 1,
        removed=removed,
        last_sound=chain.seq,
        hash=chain.hash.hex(),
        first_bad=None if problem is None else chain.seq + 1,
        problem=problem,
    )


def _wrong_end(chain: Chain, head: Head | None) -> str | None:
    if head is None:
        return f"the log ends at {chain.seq}, and nothing says so"
    if head.seq != chain.seq:
        return f"the log was recorded to end at {head.seq}, and ends at {chain.seq}"
    if head.hash != chain.hash:
        return "the log was recorded to end with another hash"
    return None


@frozen
class Repaired:
    """What a repair did."""

    found: Verified
    set_aside: int
    """How many events were taken out of the log."""
    seq: int
    """Where the log ends now."""


def repair(tx: LogTransaction, session_id: str) -> Repaired:
    """Set aside what follows the last sound event; a sound log is left as it is.

    Raises:
        SessionNotFoundError: there is no such session.
        SessionBusyError: the session is running.
        EventOwnerError: the log is a replica.
    """
    found = verify(tx.rows, session_id)
    if found.first_bad is None:
        return Repaired(found, 0, found.last_sound)
    tx.check_idle(session_id)
    count, furthest = _rest(tx.rows, session_id, found.first_bad)
    last = _end(tx.rows.head(session_id), found, count, furthest)
    tx.rows.set_aside(_fillers(found, last, tx.now))
    if found.last_sound >= 0:
        rebuild(tx.rows, session_id)
    else:
        tx.rows.clear_projections(session_id)
    [event] = tx.append(
        SessionRepaired(
            session_id=SessionId(session_id),
            first=found.first_bad,
            last=last,
            failure=Failure(EventDamagedError.code, found.problem or ""),
        )
    )
    return Repaired(found, count, event.seq)


def _rest(rows: Reader, session_id: str, first: int) -> tuple[int, int]:
    """Return how many events are stored from a number on, and the highest number."""
    count, after = 0, first - 1
    while page := rows.events(session_id, after=after, limit=PAGE):
        count, after = count + len(page), page[-1].seq
    return count, after


def _end(head: Head | None, found: Verified, count: int, furthest: int) -> int:
    """Return the highest number that was given out, as far as that can be told."""
    nearest = found.last_sound + max(count, 1)
    known = [furthest] if head is None else [furthest, head.seq]
    return max(
        nearest, *(one for one in known if one - nearest <= MOST_MISSING), nearest
    )


def _fillers(found: Verified, last: int, now: int) -> list[EventRecord]:
    made: list[EventRecord] = []
    filler = EventSetAside(session_id=SessionId(found.session_id))
    data = encode_event(filler)
    previous = bytes.fromhex(found.hash) if found.last_sound >= 0 else NO_HASH
    for seq in range(found.last_sound + 1, last + 1):
        previous = chain_hash(
            previous,
            found.session_id,
            seq,
            filler.kind,
            filler.version,
            now,
            payload_digest(data),
        )
        made.append(
            EventRecord(
                found.session_id, seq, filler.kind, filler.version, now, data, previous
            )
        )
    return made
