"""Asking: one durable question to a person, from being asked to its one end.

Owns the life of a request, whatever it is about: durable before anybody waits for it,
answered, withdrawn or expired exactly once (law access.5), and taken up again by the
call that left it when its process died. Knows nothing of what is asked: the body of a
request and its answer are JSON in the shape of its kind, which the room that asks
knows (``access`` for permissions). Whoever follows the log sees requests come and go.

A request belongs to a call. Its id follows from the call and from what is asked, so
that a call which is continued after the process died finds the request that it left,
and the answer it got meanwhile.
"""

import hashlib
import logging
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Mapping,
    Sequence,
)
from functools import partial
from itertools import count
from typing import Any, TypeVar

import anyio
from attrs import field

from ..log.bell import Bell
from ..log.commit import EventLog, LogTransaction
from ..log.family import above, pass_on
from ..log.reading import event_at
from ..ports import Reader, RequestRow
from ..values.codec import clean_text, dumps_sanitised, sanitised
from ..values.errors import (
    InvalidValueError,
    OwnerFencedError,
    RequestChangedError,
    RequestEndedError,
    RequestNotFoundError,
    RuntimeClosedError,
    StoreError,
)
from ..values.events import RequestAnswered, RequestAsked, RequestOutcome
from ..values.frozen import frozen
from ..values.ids import MessageId, RequestId, SessionId, new_id
from ..values.location import Location
from ..values.tool import Json

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOOKS_AGAIN = 30.0
"""Seconds after which a request that may expire looks at the clock again."""

PERSON, POLICY, INTERRUPT, EXPIRY = "person", "policy", "interrupt", "expiry"


@frozen
class Asking:
    """What one call wants to know from a person."""

    session_id: SessionId
    what: str
    """The kind of request."""
    agent: str
    identity: tuple[str, ...]
    """What makes it the same question when the call asks again after a restart."""
    body: Mapping[str, Json]
    message_id: MessageId | None = None
    call_id: str | None = None
    begun: bool = False
    """Whether the call may have had an effect before it asks (law recovery.3)."""
    guard: Callable[[LogTransaction], None] | None = field(
        default=None, eq=False, repr=False
    )
    """Raises where whoever asks may not write any more; runs in each transaction that
    is made for the call."""
    content: Mapping[str, Json] | None = None
    """What of the body is to be done or answered; the rest is only about it. None: all
    of it."""

    def id(self, ordinal: int) -> RequestId:
        """Return the id of the n-th time that this call asks just this.

        A pure function, so that it needs no storage to be the same after a restart.
        """
        digest = hashlib.sha256(str(ordinal).encode())
        call = (self.session_id, self.message_id or "", self.call_id or "")
        for part in (*call, self.what, *self.identity):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(f"\0{len(data)}\0".encode() + data)
        return RequestId(f"req_{digest.hexdigest()[:32]}")

    def shown(self, request_id: str) -> str:
        """Return what names exactly this, asked by this request of this session.

        An answer is to what was shown: it is none to another request, nor to one that
        asks for something else by now (law access.17).
        """
        content = self.body if self.content is None else self.content
        said = [self.session_id, request_id, self.what, self.agent]
        text = dumps_sanitised(said, sort_keys=True)
        text += dumps_sanitised(sanitised(dict(content)), sort_keys=True)
        return hashlib.sha256(text).hexdigest()[:32]

    def event(self, request_id: RequestId, expires: int | None) -> RequestAsked:
        """Return the event that makes the request durable."""
        return RequestAsked(
            session_id=self.session_id,
            request_id=request_id,
            what=self.what,
            agent=self.agent,
            body=sanitised(dict(self.body)),
            message_id=self.message_id,
            call_id=None if self.call_id is None else clean_text(self.call_id),
            begun=self.begun,
            expires=expires,
            shown=self.shown(request_id),
        )


@frozen
class RequestState:
    """How things stand with one request before it is made."""

    id: RequestId
    pending: bool
    """Whether an earlier process left it, and it still waits."""
    answer: RequestAnswered | None
    """What it got while nobody waited for it."""


class Requests:
    """The requests of one store, as those ask them who wait for an answer."""

    def __init__(self, log: EventLog, seconds: float | None = None) -> None:
        """``seconds`` is how long a request waits; None: as long as nobody answers."""
        self._log = log
        self._lasts = None if seconds is None else int(seconds * 1000)
        # By session: requests that a call of this process waits for or took the answer
        # of. An answer counts once. It grows by one per question to a person.
        self._used: dict[str, set[str]] = {}

    # --- asking -------------------------------------------------------------------

    async def left_in(self, session_id: str) -> bool:
        """Return whether any request of a session waits."""
        return await self._log.of_work(session_id).read(
            lambda rows: bool(rows.pending_requests(session_id=session_id))
        )

    async def reserve(
        self,
        asking: Asking,
        decide: Callable[[Reader], T],
        claims: Callable[[T, RequestState], bool],
    ) -> tuple[T, RequestState]:
        """Return how things stand with a request, and what was decided about it.

        Both are of one state of the store. Where ``claims`` says so, the question or
        its answer is nobody else's from then on.
        """
        log = self._log.of_work(asking.session_id)
        while True:
            used = self._used.get(asking.session_id, set())
            ordinary = RequestId(new_id("req", self._log.clock))
            taken = frozenset(used)

            def look(
                rows: Reader,
                taken: Collection[str] = taken,
                ordinary: RequestId = ordinary,
            ) -> tuple[T, RequestState]:
                return decide(rows), _state(rows, asking, taken, ordinary)

            decided, state = await log.read(look)
            if not claims(decided, state):
                return decided, state
            # Another call may have claimed it while the store was read.
            used = self._used.setdefault(asking.session_id, set())
            if state.id not in used:
                used.add(state.id)
                return decided, state

    async def wait(
        self,
        asking: Asking,
        request_id: RequestId,
        needed: Callable[[LogTransaction], bool],
        meanwhile: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> RequestAnswered | None:
        """Make a request durable and return how it ended; None where it is not needed.

        ``needed`` is asked in the transaction that would make it. ``meanwhile`` runs
        while it waits, from when it is durable, and is cancelled when it ends; it lets
        nothing be raised. What becomes of it:

        1. There is none yet, and it is not needed: nothing is recorded.
        2. There is none yet: it is asked, and its time begins.
        3. An earlier process left it, and nobody answered: it is asked once more, under
           its id, its time goes on, and its answer is waited for here.
        4. An earlier process left it, and it has its end by now: that is returned.
        5. It is answered, or its time is over: that is its end, by whoever records it
           first.
        6. Whoever waits is cancelled: it is withdrawn. Where that cannot be recorded,
           it stays, as in 7.
        7. The runtime closes: it stays, and the call that is continued finds it.

        Raises:
            RuntimeClosedError: the runtime closes; the request stays.
            OwnerFencedError: whoever asks may not write any more.
        """

        expires: int | None = None

        def put(tx: LogTransaction) -> bool:
            nonlocal expires
            if asking.guard is not None:
                asking.guard(tx)
            expires = None if self._lasts is None else tx.now + self._lasts
            row = tx.rows.request(asking.session_id, request_id)
            if row is not None:
                left = question_of(tx.rows, row)
                # Its time runs from when it was first asked.
                expires = expires if left is None else left.expires
                if row.answered_seq is None:
                    # Left by an earlier process: this one waits for it now.
                    tx.append(asking.event(request_id, expires))
                    pass_on(tx, asking.session_id)
                return True
            if not needed(tx):
                return False
            tx.append(asking.event(request_id, expires))
            pass_on(tx, asking.session_id)
            return True

        # Subscribed before the request exists, so that no answer can be missed.
        bell = self._log.bell(asking.session_id)
        try:
            if not await self._log.of_work(asking.session_id).commit(put):
                return None
            if meanwhile is None:
                return await self._ended(asking, request_id, expires, bell)
            return await self._beside(
                meanwhile, partial(self._ended, asking, request_id, expires, bell)
            )
        except anyio.get_cancelled_exc_class():
            # As long as the store takes; nothing else is waited for.
            with anyio.CancelScope(shield=True):
                await self._withdraw(asking, request_id)
            raise
        finally:
            self._log.forget_bell(asking.session_id, bell)

    async def _beside(
        self,
        meanwhile: Callable[[], Coroutine[Any, Any, None]],
        ended: Callable[[], Awaitable[RequestAnswered]],
    ) -> RequestAnswered:
        raised: Exception | None = None
        answer: RequestAnswered | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(meanwhile)
            try:
                answer = await ended()
            except Exception as error:
                # Raised below, so that it comes without the group around it.
                raised = error
            tasks.cancel_scope.cancel()
        if raised is not None:
            raise raised
        assert answer is not None
        return answer

    async def _ended(
        self, asking: Asking, request_id: RequestId, expires: int | None, bell: Bell
    ) -> RequestAnswered:
        """Return how a request ended, once it has."""

        def end(rows: Reader) -> RequestAnswered | None:
            row = rows.request(asking.session_id, request_id)
            return answer_to(rows, row) if row is not None else None

        log, clock = self._log.of_work(asking.session_id), self._log.clock
        over = 0.0 if expires is None else clock.monotonic() + self._left(expires)
        while True:
            if (answer := await log.read(end)) is not None:
                return answer
            if expires is None:
                rung = await bell.wait()
            else:
                rest = min((expires - clock.now()) / 1000, over - clock.monotonic())
                rung = await self._rung_within(bell, min(rest, LOOKS_AGAIN))
                # Whichever comes first: the time of day may be set back, and the clock
                # that is not stands still while a machine sleeps.
                if clock.now() >= expires or clock.monotonic() >= over:
                    await self.settle(
                        asking.session_id, request_id, "expired", EXPIRY, asking.guard
                    )
            if not rung:
                raise RuntimeClosedError

    def _left(self, expires: int) -> float:
        """Return for how many seconds a request may wait here at most: not for longer
        than one that is asked now, whatever the clock was set to since."""
        left = (expires - self._log.clock.now()) / 1000
        return left if self._lasts is None else min(left, self._lasts / 1000)

    async def _rung_within(self, bell: Bell, seconds: float) -> bool:
        """Wait for the bell or the time; False when the bell is closed."""
        rung = True
        async with anyio.create_task_group() as tasks:

            async def later() -> None:
                await self._log.clock.sleep(max(0.0, seconds))
                tasks.cancel_scope.cancel()

            tasks.start_soon(later)
            rung = await bell.wait()
            tasks.cancel_scope.cancel()
        return rung

    async def _withdraw(self, asking: Asking, request_id: RequestId) -> None:
        try:
            await self.settle(
                asking.session_id, request_id, "withdrawn", INTERRUPT, asking.guard
            )
        except (OwnerFencedError, StoreError, RuntimeClosedError) as error:
            # It stays listed, and is found again when the call is continued.
            logger.warning("request %s was not withdrawn: %s", request_id, error)

    # --- ending -------------------------------------------------------------------

    async def settle(
        self,
        session_id: str,
        request_id: str,
        outcome: RequestOutcome,
        by: str,
        guard: Callable[[LogTransaction], None] | None = None,
        answer: Mapping[str, Json] | None = None,
    ) -> None:
        """End one request, if it still waits, without any consequence for others."""

        def settle(tx: LogTransaction) -> None:
            if guard is not None:
                guard(tx)
            row = tx.rows.request(session_id, request_id)
            if row is not None and row.answered_seq is None:
                asked = question_of(tx.rows, row)
                tx.append(ended(row, outcome, by, answer, asked))

        await self._log.of_work(session_id).commit(settle)

    async def answer(
        self,
        session_id: str,
        request_id: str,
        answer: Mapping[str, Json],
        by: str,
        shown: str | None = None,
    ) -> None:
        """Answer a request that waits; durable when this returns.

        Once begun, cancelling does not stop it.

        Raises:
            RequestNotFoundError: there is no such request; RequestEndedError where it
                has its end.
            RequestChangedError: it is not what was ``shown``.
        """

        def reply(tx: LogTransaction) -> None:
            row, asked = waiting(tx, session_id, request_id, shown)
            tx.append(ended(row, "answered", by, sanitised(dict(answer)), asked))

        with anyio.CancelScope(shield=True):
            await self._log.commit(reply)


def waiting(
    tx: LogTransaction, session_id: str, request_id: str, shown: str | None = None
) -> tuple[RequestRow, RequestAsked | None]:
    """Return a request that may be answered now, and what it asks.

    ``shown`` is what the answer is to; None where whoever answers does not say.

    Raises:
        RequestNotFoundError: there is no such request here.
        RequestEndedError: it has its end, or its time is over.
        RequestChangedError: it is not what was shown.
    """
    row = tx.rows.request(session_id, request_id)
    if row is None or not is_of_here(tx.rows, row):
        raise RequestNotFoundError(request_id)
    if row.answered_seq is not None:
        raise has_ended(tx.rows, [row])
    asked = question_of(tx.rows, row)
    if asked is not None and asked.expires is not None and tx.now >= asked.expires:
        raise RequestEndedError(request_id, "expired", EXPIRY, asked.expires)
    if shown is not None and (asked is None or asked.shown != shown):
        raise RequestChangedError(request_id)
    return row, asked


def only_waiting(
    rows: Reader, request_id: str, known: Sequence[RequestRow]
) -> RequestRow:
    """Return the one that waits of the requests of one id, as far as they were asked
    here.

    Raises:
        RequestNotFoundError: there is none.
        RequestEndedError: it has its end; by whom, when and how is told.
        InvalidValueError: several sessions have one; name the session.
    """
    here = [row for row in known if is_of_here(rows, row)]
    found = [row for row in here if row.answered_seq is None]
    if not here:
        raise RequestNotFoundError(request_id)
    if not found:
        raise has_ended(rows, here)
    if len(found) > 1:
        raise InvalidValueError(
            "request id", request_id, "several sessions have it; name the session"
        )
    return found[0]


def has_ended(rows: Reader, found: Sequence[RequestRow]) -> RequestNotFoundError:
    """Return what to raise where none of these waits: how the one that there is ended,
    when it is one. There is at least one."""
    ends = [end for row in found if (end := answer_to(rows, row)) is not None]
    if len(ends) != 1:
        return RequestNotFoundError(found[0].id)
    [end] = ends
    return RequestEndedError(
        end.request_id, end.outcome, end.by, end.created, end.answer
    )


def ended(
    row: RequestRow,
    outcome: RequestOutcome,
    by: str,
    answer: Mapping[str, Json] | None = None,
    asked: RequestAsked | None = None,
) -> RequestAnswered:
    """Return the event that ends a request; ``asked`` is what an answer is to."""
    return RequestAnswered(
        session_id=SessionId(row.session_id),
        request_id=RequestId(row.id),
        outcome=outcome,
        by=by,
        answer={} if answer is None else answer,
        shown=None if asked is None or outcome != "answered" else asked.shown,
    )


def withdrawals(
    rows: Reader, session_id: str, calls: Collection[tuple[str | None, str | None]]
) -> list[RequestAnswered]:
    """Return the ends of what these calls, by message and call, still ask.

    Nobody is asked any more about something that will not be done.
    """
    return [
        ended(row, "withdrawn", INTERRUPT)
        for row in rows.pending_requests(session_id=session_id)
        if (asked := question_of(rows, row)) is not None
        and (asked.message_id, asked.call_id) in calls
    ]


# --- looking ----------------------------------------------------------------------


def pending(
    rows: Reader,
    *,
    directory: str | None = None,
    session_id: str | None = None,
    what: str | None = None,
    below: bool = False,
) -> Sequence[tuple[RequestRow, RequestAsked]]:
    """Return the requests that wait, oldest first; also those of dead processes. With
    ``below`` those of a session are also those of the sessions that work for it.

    Those whose question cannot be read, which the log has warned of, are left out, and
    those that another store asked: a call that goes on asks them again (law access.12).
    """
    return [
        (row, asked)
        for row in rows.pending_requests(
            directory=directory, session_id=None if below else session_id
        )
        if not below
        or session_id in (None, row.session_id, *above(rows, row.session_id))
        if what in (None, row.what)
        and is_of_here(rows, row)
        and (asked := question_of(rows, row)) is not None
    ]


def is_of_here(rows: Reader, row: RequestRow) -> bool:
    """Return whether this store asked a request, so that it may be answered here."""
    head = rows.head(row.session_id)
    return head is not None and head.made_here(row.seq)


def is_in(rows: Reader, row: RequestRow, location: Location) -> bool:
    """Return whether a request was asked in a Location."""
    session = rows.session(row.session_id)
    return (
        row.directory == location.directory
        and session is not None
        and session.workspace == location.workspace
    )


def question_of(rows: Reader, row: RequestRow) -> RequestAsked | None:
    """Return what was asked; None, which the log has warned of, when unreadable."""
    event = event_at(rows, row.session_id, row.seq)
    return event if isinstance(event, RequestAsked) else None


def answer_to(rows: Reader, row: RequestRow) -> RequestAnswered | None:
    """Return how a request ended, or None while it waits, or where it ended elsewhere.

    One whose end cannot be read has an empty answer, which allows nothing.
    """
    head = rows.head(row.session_id)
    if row.answered_seq is None or head is None or not head.made_here(row.answered_seq):
        return None
    event = event_at(rows, row.session_id, row.answered_seq)
    return event if isinstance(event, RequestAnswered) else ended(row, "answered", "")


def _state(
    rows: Reader, asking: Asking, used: Collection[str], ordinary: RequestId
) -> RequestState:
    if asking.call_id is None:
        return RequestState(ordinary, False, None)
    for ordinal in count():
        request_id = asking.id(ordinal)
        if request_id in used:
            continue
        row = rows.request(asking.session_id, request_id)
        if row is None or row.answered_seq is None:
            return RequestState(request_id, row is not None, None)
        answer = answer_to(rows, row)
        # Who interrupted a call did not answer the question, a policy may be another
        # one today, and what another store was answered was not answered here.
        # Nor does an answer count that was to something else than is asked now.
        if (
            answer is not None
            and answer.outcome == "answered"
            and answer.by != POLICY
            and answer.shown == asking.shown(request_id)
        ):
            return RequestState(request_id, False, answer)
    raise AssertionError("unreachable")
