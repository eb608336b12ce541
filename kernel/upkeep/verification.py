"""Verification: is a log what was written, and what to do where it is not.

Owns walking the hash chain of a whole log in one consistent view, page by page, and
setting aside what cannot be trusted any more (law events.9).

A hash covers all events before it, so from the first unsound event on nothing is
vouched for, and a repair takes all of that out of the log. The taken events are kept
elsewhere as they were found. Their numbers are filled with ``event.set_aside``, and the
repair is an event of its own behind them: no number is given out twice, every cursor
stays good (law storage.3), and whoever tails the store in commit order learns of it.
Then the projections are rebuilt: the session goes on from its last sound event.

Admissions stay, as always. A prompt that was set aside while it waited, and can still
be read, is admitted once more, under its own id. One that the model had seen is lost to
the session, though known by its key; ``events_set_aside`` says what there was.
"""

import contextlib
from collections import Counter
from collections.abc import Sequence

from attrs import evolve, field

from ..log.chain import Chain, payload_of
from ..log.commit import LogTransaction
from ..log.completeness import fits
from ..log.lineage import past_of
from ..log.mending import mend
from ..log.reading import PAGE, event_of
from ..ports import EventRecord, Head, Reader, RowCounts
from ..values.codec import loads
from ..values.errors import (
    EventDamagedError,
    EventDivergedError,
    RowDamagedError,
    SessionNotFoundError,
    SessionPastMissingError,
    SessionRemovedError,
)
from ..values.events import (
    LOST_POLICY,
    NO_HASH,
    Event,
    EventSetAside,
    PromptAdmitted,
    PromptPromoted,
    PromptWithdrawn,
    SessionCreated,
    SessionRepaired,
    chain_hash,
    encode_event,
    payload_digest,
)
from ..values.frozen import frozen
from ..values.ids import SessionId
from ..values.tool import Failure

MOST_MISSING = 10_000
"""How many lost events in a row are taken for lost events. A number further away is
damaged itself, and filling up to it could take for ever."""


@frozen
class Verified:
    """What a walk over one log found."""

    session_id: str
    """Which session it is."""
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
    """What is wrong at ``first_bad``; None when all is sound."""
    complete: bool = field(default=True, eq=False)
    """Whether there are as many rows as follow from the log. Only looked at where all
    of it is sound; rows that are missing are made anew."""
    past: Failure | None = None
    """What is wrong with the past that a fork shares; None where all of it is sound,
    and for what is no fork."""

    @property
    def sound(self) -> bool:
        """Whether the whole log is what was written, and the past that it shares, as
        far as that is here."""
        missing = self.past is None or self.past.code == SessionPastMissingError.code
        return self.first_bad is None and missing


def verify(
    rows: Reader,
    session_id: str,
    walked: dict[tuple[str, int], Failure | None] | None = None,
) -> Verified:
    """Walk the hash chain of a log from its beginning, and compare its end.

    Of a fork the past that it shares as well. ``walked`` is what was found of pasts
    before, and is added to.

    Raises:
        SessionNotFoundError: there is no such session.
        StoreDamagedError: the medium cannot be read.
    """
    head, lost = _head(rows, session_id)
    if head is not None and head.removed:
        raise SessionRemovedError(session_id)
    if head is None and lost is None and not rows.events(session_id, limit=1):
        raise SessionNotFoundError(session_id)
    found = _walked(rows, session_id, head, lost)
    if found.first_bad is not None:
        return found
    return evolve(
        found, past=_wrong_past(rows, session_id, {} if walked is None else walked)
    )


def _wrong_past(
    rows: Reader, session_id: str, walked: dict[tuple[str, int], Failure | None]
) -> Failure | None:
    """Return what is wrong with the past that a log shares: the hash of its last event,
    which the fork has, stands for all of it."""
    try:
        for span in past_of(rows, session_id):
            key = (span.session_id, span.seq)
            if key not in walked:
                chain = Chain(span.session_id)
                problem = chain.walk(rows, span.seq)
                walked[key] = None
                if problem is not None:
                    told = f"event {chain.seq + 1} of {span.session_id!r}: {problem}"
                    walked[key] = Failure(EventDamagedError.code, told)
            if walked[key] is not None:
                return walked[key]
    except (
        SessionPastMissingError,
        EventDivergedError,
        EventDamagedError,
        RowDamagedError,
    ) as error:
        return Failure(error.code, str(error))
    return None


def _walked(
    rows: Reader, session_id: str, head: Head | None, lost: str | None
) -> Verified:
    chain, removed = Chain(session_id), 0

    expected = Expected()

    def count(record: EventRecord) -> None:
        nonlocal removed
        removed += record.digest is not None
        expected.count(record)

    # What stands past the end is of no log: it came there from elsewhere.
    problem = chain.walk(rows, None if head is None else head.seq, count)
    problem = problem or lost or _wrong_end(chain, head)
    if problem is not None and chain.seq >= (-1 if head is None else head.seq):
        # The end is not what it is said to be: as far as there are sound ones, then.
        problem = chain.walk(rows, None, count) or lost or _wrong_end(chain, head)
    return Verified(
        session_id=session_id,
        events=chain.seq + 1,
        removed=removed,
        last_sound=chain.seq,
        hash=chain.hash.hex(),
        first_bad=None if problem is None else chain.seq + 1,
        problem=problem,
        complete=problem is not None or expected.fits(rows.counts(session_id)),
    )


def _wrong_end(chain: Chain, head: Head | None) -> str | None:
    """Return what is wrong with where a log is said to end, or None."""
    if head is None:
        return f"the log ends at {chain.seq}, and nothing says so"
    if head.seq != chain.seq:
        return f"the log was recorded to end at {head.seq}, and ends at {chain.seq}"
    if head.hash != chain.hash:
        return "the log was recorded to end with another hash"
    return None


def _head(rows: Reader, session_id: str) -> tuple[Head | None, str | None]:
    """Return where a log is said to end, or why that cannot be said."""
    try:
        return rows.head(session_id), None
    except RowDamagedError:
        return None, "what is stored of where the log ends is not what was written"


@frozen
class Repaired:
    """What a repair did."""

    found: Verified
    """What was damaged."""
    set_aside: int
    """How many events were taken out of the log."""
    seq: int
    """Where the log ends now."""
    admitted: int = 0
    """How many prompts that waited were admitted again, so that none is lost."""


def repair(tx: LogTransaction, session_id: str) -> Repaired:
    """Set aside what follows the last sound event; a sound log is left as it is.

    Where only what proves the events was damaged, and not what they say, nothing is
    lost: the log is again what it was.

    Raises:
        SessionNotFoundError: there is no such session.
        SessionBusyError: the session is running.
        EventOwnerError: the log is a replica.
    """
    found = verify(tx.rows, session_id)
    head, lost = _head(tx.rows, session_id)
    if head is not None and head.damaged is not None:
        tx.rows.set_damaged(session_id, None)
    if found.first_bad is None:
        return Repaired(found, 0, found.last_sound)
    if lost is None and head is not None:
        tx.check_idle(session_id)
    else:
        # Whoever executes it, if anybody still does, is fenced by this. The log may be
        # found by it, and not before.
        tx.rows.mend_head(session_id, found.last_sound, bytes.fromhex(found.hash))
        found = _walked(tx.rows, session_id, None, lost)
    first = found.last_sound + 1
    rest = _rest(tx.rows, session_id, first)
    whole = _proven(found, rest, head)
    if whole is not None:
        if head is None:
            tx.rows.mend_head(session_id, found.last_sound, bytes.fromhex(found.hash))
        if whole:
            tx.rows.set_aside(whole)
        mend(tx.rows, session_id)
        return Repaired(found, 0, found.last_sound + len(whole))
    furthest = max((one.seq for one in rest if type(one.seq) is int), default=-1)
    last = _end(head, found, len(rest), furthest)
    fillers = _fillers(found, last, tx.now, _beginning(tx.rows, found))
    tx.rows.set_aside(fillers)
    mend(tx.rows, session_id)
    waiting = _waiting(rest)
    made = tx.append(
        SessionRepaired(
            session_id=SessionId(session_id),
            first=first,
            last=last,
            failure=Failure(EventDamagedError.code, found.problem or ""),
        ),
        *(waiting if tx.rows.session(session_id) else ()),
    )
    return Repaired(found, len(rest), made[-1].seq, len(made) - 1)


def _proven(
    found: Verified, rest: Sequence[EventRecord], head: Head | None
) -> list[EventRecord] | None:
    """Return the rest of a log with the hashes that it should have, if all that it says
    is proven by a hash behind it: the last one's own, or the one that its end has."""
    made: list[EventRecord] = []
    previous = bytes.fromhex(found.hash)
    for number, record in enumerate(rest, found.last_sound + 1):
        payload = payload_of(record)
        if payload is None or record.seq != number:
            return None
        previous = chain_hash(
            previous,
            record.session_id,
            record.seq,
            record.kind,
            record.version,
            record.created,
            payload,
        )
        made.append(evolve(record, hash=previous, position=-1, problem=None))
    if head is not None:
        return made if (head.seq, head.hash) == (_last(found, made), previous) else None
    return made if not rest or rest[-1].hash == previous else None


def _last(found: Verified, made: Sequence[EventRecord]) -> int:
    return found.last_sound + len(made)


def _rest(rows: Reader, session_id: str, first: int) -> list[EventRecord]:
    """Return what is stored from a number on."""
    found: list[EventRecord] = []
    after: int = first - 1
    while page := rows.events(session_id, after=after, limit=PAGE):
        found += page
        after = page[-1].seq
    return found


def _waiting(rest: Sequence[EventRecord]) -> list[PromptAdmitted]:
    """Return the prompts among these that wait, to be admitted once more."""
    waiting: dict[str, PromptAdmitted] = {}
    for event in (event_of(one) for one in rest if one.problem is None):
        if isinstance(event, PromptAdmitted):
            waiting[event.input_id] = evolve(event, seq=-1, created=0)
        elif isinstance(event, PromptPromoted | PromptWithdrawn):
            waiting.pop(event.input_id, None)
    return list(waiting.values())


def _end(head: Head | None, found: Verified, count: int, furthest: int) -> int:
    """Return the highest number that was given out, as far as that can be told."""
    nearest = found.last_sound + max(count, 1)
    known = [furthest] if head is None else [furthest, head.seq]
    return max(
        nearest, *(one for one in known if one - nearest <= MOST_MISSING), nearest
    )


def _beginning(rows: Reader, found: Verified) -> Event:
    """Return what stands for the first event that is set aside.

    A log must begin with what its session is. Where just that is lost, the session's
    row still says it, without the budget, which must be given anew.
    """
    session_id = SessionId(found.session_id)
    row = None
    if found.last_sound < 0:
        with contextlib.suppress(RowDamagedError):
            row = rows.session(session_id)
    if row is None:
        return EventSetAside(session_id=session_id)
    return SessionCreated(
        session_id=session_id,
        directory=row.directory,
        workspace=row.workspace,
        title=row.title,
        agent=row.agent,
        model=row.model,
        parent=row.parent,
        forked_from=row.forked_from,
        forked_seq=row.forked_seq,
        # Whatever bound it is lost, and nobody knows that it may do more.
        within=None if row.parent is None else LOST_POLICY,
    )


def _fillers(found: Verified, last: int, now: int, first: Event) -> list[EventRecord]:
    made: list[EventRecord] = []
    filler = first
    previous = bytes.fromhex(found.hash) if found.last_sound >= 0 else NO_HASH
    for seq in range(found.last_sound + 1, last + 1):
        data = encode_event(filler)
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
        filler = EventSetAside(session_id=SessionId(found.session_id))
    return made


# --- rows -------------------------------------------------------------------------


class Expected:
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
        return fits(counts, self._kinds, len(self._keys))
