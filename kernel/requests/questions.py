"""Questions: a call asks a person something, and gets an answer or a no.

Owns what the body of such a request is and what its answer means. Knows nothing of
permissions, nor of who shows a question to whom. Neighbour: ``asking`` keeps a request
from being asked to its one end.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import anyio
import orjson

from ..log.commit import EventLog, LogTransaction
from ..ports import RequestRow
from ..values.codec import clean_text, from_json, to_json
from ..values.errors import (
    InvalidValueError,
    QuestionDismissedError,
    UndecodableError,
)
from ..values.events import RequestAnswered, RequestAsked
from ..values.frozen import frozen
from ..values.ids import MessageId, RequestId, SessionId
from ..values.location import Location
from ..values.question import (
    Question,
    QuestionAnswer,
    checked_answers,
    checked_questions,
)
from . import asking as requests
from .asking import PERSON, POLICY, Asking, Requests

WHAT = "question"
"""The kind of request."""

MAX_ADVICE = 8_192
"""Characters that a person says instead of answering."""

OnQuestion = Literal["ask", "dismiss"]
"""``ask``: wait for a person. ``dismiss``: nobody is there; the model is told so."""


@frozen
class QuestionBody:
    """What is asked, as its event keeps it."""

    questions: tuple[Question, ...]
    """One or more, to be answered together."""


@frozen
class QuestionReply:
    """What was said, as its event keeps it."""

    answers: tuple[QuestionAnswer, ...] | None
    """One to each question, in their order; None when they were dismissed."""
    message: str | None = None
    """What the person says to the model instead of answering; None for nothing."""


@frozen
class QuestionRequest:
    """Questions that wait for a person, as whoever answers them sees them."""

    id: RequestId
    """What they are answered by."""
    session_id: SessionId
    """The session whose call asks."""
    agent: str
    """Whose call it is."""
    questions: tuple[Question, ...]
    """One or more, to be answered together."""
    message_id: MessageId | None
    """The message of the call that asks; None where no call does."""
    call_id: str | None
    """The call that asks, as its provider named it; None where no call does."""
    created: int
    """Milliseconds since 1970."""
    expires: int | None
    """Milliseconds since 1970 from which on no answer counts; None: never."""
    shown: str | None = None
    """Names exactly what is asked here. Given with the answer, it makes sure that this
    is what is answered."""

    @classmethod
    def of(cls, asked: RequestAsked) -> "QuestionRequest | None":
        """Return what an event asks; None when that is no question, or was removed by
        retention."""
        if asked.what != WHAT or not asked.body:
            return None
        try:
            body = from_json(dict(asked.body), QuestionBody)
        except UndecodableError:
            return None
        return cls(
            id=asked.request_id,
            session_id=asked.session_id,
            agent=asked.agent,
            questions=body.questions,
            message_id=asked.message_id,
            call_id=asked.call_id,
            created=asked.created,
            expires=asked.expires,
            shown=asked.shown,
        )


@frozen
class Asker:
    """The call that asks."""

    session_id: SessionId
    agent: str
    message_id: MessageId | None = None
    call_id: str | None = None
    begun: bool = False
    """Whether the call may have had an effect before it asks."""
    guard: Callable[[LogTransaction], None] | None = None
    """Raises where whoever asks may not write any more."""


class Questions:
    """The questions of one store, as those ask them who wait, and those answer them
    who know."""

    def __init__(
        self, log: EventLog, requests: Requests, policy: OnQuestion = "ask"
    ) -> None:
        self._log = log
        self._requests = requests
        self._policy = policy

    # --- asking -------------------------------------------------------------------

    async def ask(
        self, questions: Sequence[Question], asker: Asker
    ) -> tuple[QuestionAnswer, ...]:
        """Return the answers, one to each question.

        Durable before this waits, and waits as long as nobody answers. A call that asks
        the same again after a restart waits for the request that it left, or takes the
        answer that this got meanwhile, once. Cancelling it withdraws the questions.

        Raises:
            InvalidValueError: a question cannot be asked like this.
            QuestionDismissedError: the person does not want to answer, the time is
                over, or nobody can be asked.
            RuntimeClosedError: the runtime closes; the request stays.
        """
        asked = checked_questions(questions)
        asking = _asking_for(asked, asker)
        if self._policy == "dismiss" and not await self._requests.left_in(
            asker.session_id
        ):
            raise QuestionDismissedError(_NOBODY)
        _, state = await self._requests.reserve(
            asking, lambda rows: None, lambda decided, state: True
        )
        if state.answer is not None:
            return _answers(state.answer, asked)
        if self._policy == "dismiss":
            if state.pending:
                await self._requests.settle(
                    asker.session_id,
                    state.id,
                    "answered",
                    POLICY,
                    asker.guard,
                    to_json(QuestionReply(None, _NOBODY)),
                )
            raise QuestionDismissedError(_NOBODY)
        ended = await self._requests.wait(asking, state.id, lambda tx: True)
        assert ended is not None, "it is always needed"
        return _answers(ended, asked)

    # --- answering ----------------------------------------------------------------

    async def pending(
        self, location: Location, session_id: str | None = None
    ) -> Sequence[QuestionRequest]:
        """Return what waits in a Location, oldest first; also of dead processes. Of a
        session: what it asks, and what the sessions ask that work for it."""
        found = await self._log.read(
            lambda rows: [
                asked
                for row, asked in requests.pending(
                    rows,
                    directory=location.directory,
                    session_id=session_id,
                    what=WHAT,
                    below=True,
                )
                if location is None or requests.is_in(rows, row, location)
            ]
        )
        return [one for asked in found if (one := QuestionRequest.of(asked))]

    async def reply(
        self,
        request_id: str,
        answers: Sequence[QuestionAnswer],
        *,
        by: str = PERSON,
        session_id: str | None = None,
        location: Location | None = None,
        shown: str | None = None,
    ) -> None:
        """Answer; durable when this returns. Once begun, cancelling does not stop it.

        Raises:
            RequestNotFoundError: there are no such questions (there).
            RequestEndedError: they have their end; by whom, when and how is told.
            RequestChangedError: they are not what was ``shown``. Nothing was answered.
            InvalidValueError: an answer is missing, or does not answer its question.
        """

        def reply(questions: tuple[Question, ...]) -> QuestionReply:
            return QuestionReply(checked_answers(questions, answers))

        await self._end(request_id, reply, by, session_id, location, shown)

    async def dismiss(
        self,
        request_id: str,
        message: str | None = None,
        *,
        by: str = PERSON,
        session_id: str | None = None,
        location: Location | None = None,
        shown: str | None = None,
    ) -> None:
        """Refuse to answer; durable when this returns.

        With ``message`` the model is told that instead and goes on; without it the run
        stops, until the next prompt.

        Raises:
            RequestNotFoundError: there are no such questions (there).
            RequestEndedError: they have their end; by whom, when and how is told.
            RequestChangedError: they are not what was ``shown``. Nothing was answered.
            InvalidValueError: the message is too long.
        """
        if message is not None and len(message) > MAX_ADVICE:
            raise InvalidValueError(
                "message", message[:80], f"at most {MAX_ADVICE} characters"
            )
        said = clean_text(message or "").strip() or None
        dismissed = QuestionReply(None, said)
        await self._end(
            request_id, lambda _: dismissed, by, session_id, location, shown
        )

    async def _end(
        self,
        request_id: str,
        reply: Callable[[tuple[Question, ...]], QuestionReply],
        by: str,
        session_id: str | None,
        location: Location | None,
        shown: str | None,
    ) -> None:
        def end(tx: LogTransaction) -> None:
            row, asked = _row(tx, request_id, session_id, location, shown)
            found = None if asked is None else QuestionRequest.of(asked)
            # What cannot be read any more can be dismissed, and not answered.
            said = reply(() if found is None else found.questions)
            tx.append(requests.ended(row, "answered", by, to_json(said), asked))

        with anyio.CancelScope(shield=True):
            await self._log.commit(end)


def _asking_for(questions: tuple[Question, ...], asker: Asker) -> Asking:
    body = to_json(QuestionBody(questions))
    return Asking(
        session_id=asker.session_id,
        what=WHAT,
        agent=asker.agent,
        identity=(orjson.dumps(body, option=orjson.OPT_SORT_KEYS).decode(),),
        body=body,
        message_id=asker.message_id,
        call_id=asker.call_id,
        begun=asker.begun,
        guard=asker.guard,
    )


def _row(
    tx: LogTransaction,
    request_id: str,
    session_id: str | None,
    location: Location | None,
    shown: str | None,
) -> tuple[RequestRow, RequestAsked | None]:
    known = [
        row
        for row in tx.rows.requests(request_id)
        if row.what == WHAT
        and session_id in (None, row.session_id)
        and (location is None or requests.is_in(tx.rows, row, location))
    ]
    row = requests.only_waiting(tx.rows, request_id, known)
    return requests.waiting(tx, row.session_id, request_id, shown)


def _answers(
    ended: RequestAnswered, questions: tuple[Question, ...]
) -> tuple[QuestionAnswer, ...]:
    """Return what was said. An end that cannot be read is no answer."""
    if ended.outcome == "expired":
        raise QuestionDismissedError("nobody answered in time")
    if ended.outcome != "answered":
        raise QuestionDismissedError("it was withdrawn before anybody answered it")
    try:
        said = from_json(dict(ended.answer), QuestionReply)
        if said.answers is not None:
            return checked_answers(questions, said.answers)
    except (UndecodableError, InvalidValueError):
        raise QuestionDismissedError("the answer cannot be read") from None
    raise QuestionDismissedError(said.message)


_NOBODY = "nobody can be asked here; decide it yourself, and say what you took for true"
