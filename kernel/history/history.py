"""Session History: the transcript decoded, kept as its session's log grows.

Owns how the events of a session come to its fold: in order and each once, what the
session shares before its own, as they are committed or read, and all anew where an
event changes what came before it. A running session keeps its History and extends it by
sequence number: no Step reads the session again, whatever its length. What the events
mean is the fold's.
"""

from collections import deque
from collections.abc import Iterable
from functools import partial
from itertools import islice

from ..log.lineage import Span, past_of
from ..log.patience import Readable
from ..log.reading import PAGE, events_between, readable
from ..ports import Reader
from ..values import events as e
from ..values.errors import EventDamagedError, EventGapError
from .fold import Fold

AT_ONCE = 5 * PAGE
"""Events of a long past that are taken in before others have their turn: pages that are
whole, or the rest of one would be read twice."""

# What callers say that no decision about a Step rests on: ``is_of_no_consequence``.
_OF_NO_CONSEQUENCE = frozenset(
    one.kind
    for one in (
        e.PromptAdmitted,
        e.PromptWithdrawn,
        e.PromptRedelivered,
        e.SessionTitled,
        e.TitleFailed,
        e.JobEnded,
        e.JobWanted,
        e.ChildAsked,
    )
)

# From here on the events before are not what they were.
_REWRITES = (e.SessionPruned, e.SessionRepaired)


class History(Fold):
    """The messages of one session, extended by its events in order."""

    def __init__(self, session_id: str, *, as_made: bool = False) -> None:
        """``as_made``: what other stores recorded counts as it did there."""
        super().__init__(session_id)
        self._as_made = as_made
        self._rewritten = -1
        """The last event that changed the ones before it, which were read since."""

    def _begin(self) -> None:
        super()._begin()
        self.seq = -1
        """The last event that was taken in."""
        self._past: deque[Span] | None = None
        """What is left to take in of the past that it shares; None: nobody looked."""
        self._past_seq = -1
        """The last event of the first of these that was taken in."""
        self.damage: EventDamagedError | None = None
        """Why the next one cannot be taken in, nor anything after it."""

    def offer(self, event: e.Event) -> None:
        """Take in the next event. One that is not the next is left to be read."""
        if isinstance(event, _REWRITES) and event.seq > self._rewritten:
            self._rewritten = event.seq
            self._begin()
        elif event.seq == self.seq + 1 and self._turned(event):
            self._begin()
        elif self.damage is not None:
            return  # what follows it is not known to follow from anything
        elif event.seq == self.seq + 1 and not self._lacks_past(event):
            try:
                self._apply(readable(event))
            except EventDamagedError as error:
                self.damage = error
            else:
                self.seq = event.seq

    def _check(self) -> None:
        if self.damage is not None:
            raise EventDamagedError(
                self.session_id, self.damage.seq, self.damage.problem
            )

    def catch_up(self, rows: Reader, upto: int | None = None) -> None:
        """Take in everything that is in the log, or up to an event.

        Raises:
            EventDamagedError: an event of it is not what was written, or does not
                follow from those before it.
            EventGapError: an event is missing there.
        """
        head = rows.head(self.session_id)
        last = -1 if head is None else head.seq
        last = last if upto is None else min(last, upto)
        while head is not None and self.seq < last:
            before = self._place
            if self._past is None:
                self._past = deque(past_of(rows, self.session_id))
            again = False
            while self._past and not again:
                # Where one of these hides others, all is read again.
                span = self._past[0]
                origin = rows.head(span.session_id)
                self._imported = origin.imported if origin is not None else ()
                after = self._past_seq
                again = self._take_past(
                    span, events_between(rows, span.session_id, after, span.seq)
                )
            if again:
                continue
            self._imported = () if self._as_made else head.imported
            self._take_in(events_between(rows, self.session_id, self.seq, last))
            self._check_moved(before)

    async def follow_up(self, log: Readable, upto: int) -> None:
        """Take in what is missing of the log up to an event, while others are offered.

        The log is read on whatever thread the store likes; events are taken in on
        this one only, so that the two never meet.

        Raises:
            EventGapError: an event is missing there.
            EventDamagedError: as ``catch_up``.
        """
        while self.seq < upto:
            before = self._place
            span = self._past[0] if self._past else None
            if span is not None:
                missing = partial(
                    _missing, span.session_id, self._past_seq, upto=span.seq
                )
            elif self._past is None:
                missing = partial(_missing, self.session_id, self.seq, first=True)
            else:
                missing = partial(_missing, self.session_id, self.seq)
            self._imported, found, past = await log.read(missing)
            if self._past is None:
                self._past = deque(past)
            if span is not None:
                self._take_past(span, found)
            else:
                self._take_in(found)
            self._check_moved(before)

    @property
    def _place(self) -> tuple[object, ...]:
        left = None if self._past is None else len(self._past)
        turned = [one.seen for one in self._turns.values()]
        return self._rewritten, self.seq, left, self._past_seq, *turned

    def _take_in(self, events: Iterable[e.Event]) -> None:
        for event in events:
            self.offer(event)
        self._check()

    def _lacks_past(self, event: e.Event) -> bool:
        """Whether what the session shares must be read before its own first event."""
        return (
            isinstance(event, e.SessionCreated)
            and event.forked_from is not None
            and (self._past is None or bool(self._past))
        )

    def _take_past(self, span: Span, events: Iterable[e.Event]) -> bool:
        """Take in events that are shared, as they are numbered there; say whether all
        must be read again."""
        for event in events:
            if self._turned(event):
                self._begin()
                return True
            self._apply_shared(readable(event))
            self._past_seq = event.seq
        if self._past_seq >= span.seq:
            assert self._past is not None
            self._past.popleft()
            self._past_seq = -1
            self._cross(span.seq + 1)
        return False

    def _check_moved(self, before: tuple[object, ...]) -> None:
        if self._place == before:
            raise EventGapError(self.session_id, self.seq + 1, "it is not in the log")


def _missing(
    session_id: str,
    after: int,
    rows: Reader,
    *,
    upto: int | None = None,
    first: bool = False,
) -> tuple[tuple[tuple[int, int], ...], list[e.Event], tuple[Span, ...]]:
    """Return what came from elsewhere, the next events, and where ``first``, what the
    session shares: then that comes before any event of it."""
    head = rows.head(session_id)
    imported = () if head is None else head.imported
    past = past_of(rows, session_id) if first else ()
    if past:
        return imported, [], past
    events = events_between(rows, session_id, after, upto)
    return imported, list(islice(events, AT_ONCE)), ()


def is_of_no_consequence(rows: Reader, session_id: str, after: int) -> bool:
    """Whether all that came after an event is what callers say while somebody works.

    Nothing that is decided from a History rests on that: it enters history at a
    boundary, which looks at the rows of the inbox. So it may come in between at any
    time, however often, and holds nobody up.
    """
    facts = rows.facts(session_id, after=after, limit=PAGE)
    return len(facts) < PAGE and all(
        kind in _OF_NO_CONSEQUENCE for _, kind, *_ in facts
    )
