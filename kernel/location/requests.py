"""The requests of the whole store, as an application sees and answers them.

Owns one listing and one answer for every kind of request, in whatever Location it was
asked. Knows of permissions only that their answers are taken where their rules are; an
answer of any other kind goes to whoever waits for it as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, cast

from ..access.request import WHAT as PERMISSION
from ..log.commit import EventLog
from ..log.family import above
from ..log.reading import existing_session
from ..ports import Reader, RequestRow
from ..requests.asking import Requests, only_waiting, pending
from ..requests.questions import WHAT as QUESTION, QuestionReply, Questions
from ..values.codec import from_json
from ..values.errors import InvalidValueError
from ..values.events import PermissionReply, RequestAsked
from ..values.frozen import frozen
from ..values.ids import MessageId, RequestId, SessionId
from ..values.location import Location
from ..values.tool import Json
from .services import LocationServices


@frozen
class PendingRequest:
    """One request that waits for a person."""

    id: RequestId
    """What it is answered by, together with its session."""
    session_id: SessionId
    """The session whose call waits."""
    above: tuple[str, ...]
    """The sessions that it works for, the nearest first; none for one that works for
    nobody."""
    what: str
    """The kind of request: ``permission``, for example."""
    directory: str
    """The directory of the Location that it was asked in."""
    agent: str
    """Whose call it is."""
    body: Mapping[str, Json]
    """What is asked, in the shape of its kind."""
    message_id: MessageId | None
    """The message of the call; None where no call asks."""
    call_id: str | None
    """The call, as its provider named it; None where no call asks."""
    created: int
    """Milliseconds since 1970."""
    expires: int | None
    """Milliseconds since 1970 from which on no answer counts; None: never."""
    shown: str | None = None
    """Names exactly what is asked here. Given with the answer, it makes sure that this
    is what is answered."""


class RequestsHandle:
    """Everything that waits for a person, in all Locations of the store."""

    def __init__(
        self,
        log: EventLog,
        requests: Requests,
        questions: Questions,
        use: Callable[[Location], AbstractAsyncContextManager[LocationServices]],
    ) -> None:
        self._log = log
        self._requests = requests
        self._questions = questions
        self._use = use

    async def pending(
        self,
        *,
        session_id: str | None = None,
        location: str | None = None,
        what: str | None = None,
    ) -> Sequence[PendingRequest]:
        """Return the unanswered requests, the oldest first, also those of an earlier
        process (law access.5). ``location`` is a directory. Those of a session are its
        own and those of the sessions that work for it; each says whose it is."""
        directory = None if location is None else Location.at(location).directory

        def look(
            rows: Reader,
        ) -> list[tuple[RequestRow, RequestAsked, tuple[str, ...]]]:
            found = pending(
                rows,
                directory=directory,
                session_id=session_id,
                what=what,
                below=True,
            )
            return [
                (row, asked, tuple(above(rows, row.session_id))) for row, asked in found
            ]

        found = await self._log.read(look)
        return [
            PendingRequest(
                id=asked.request_id,
                session_id=asked.session_id,
                above=lineage,
                what=asked.what,
                directory=row.directory,
                agent=asked.agent,
                body=asked.body,
                message_id=asked.message_id,
                call_id=asked.call_id,
                created=asked.created,
                expires=asked.expires,
                shown=asked.shown,
            )
            for row, asked, lineage in found
        ]

    async def reply(
        self,
        request_id: str,
        answer: str | Mapping[str, Json],
        message: str | None = None,
        *,
        session_id: str | None = None,
        by: Literal["person", "policy"] = "person",
        shown: str | None = None,
    ) -> None:
        """Answer a request, exactly once; durable when this returns.

        A permission is answered with ``once``, ``always`` or ``reject``, as by
        ``runtime.location(...).permissions.reply``. Any other kind takes a mapping, in
        the shape of its kind: questions one of ``QuestionReply``, where ``answers`` is
        null to dismiss them. ``session_id`` is needed only where two sessions have
        requests of one id, as copies of a session have.

        Raises:
            RequestNotFoundError: there is no request of this id.
            RequestEndedError: it has its end; by whom, when and how is told.
            RequestChangedError: it is not what was ``shown``. Nothing was answered.
            InvalidValueError: the answer is not one of its kind, or the id alone does
                not say which request is meant.
            UndecodableError: the answer to questions has another shape.
        """
        if by not in ("person", "policy"):
            raise InvalidValueError("by", by, '"person" or "policy"')
        row, location = await self._log.read(
            lambda rows: _the_one(rows, request_id, session_id)
        )
        if row.what == PERMISSION:
            if not isinstance(answer, str):
                raise InvalidValueError("answer", answer, "a permission takes a word")
            async with self._use(location) as services:
                await services.permissions.reply(
                    request_id,
                    cast("PermissionReply", answer),
                    message,
                    by=by,
                    session_id=row.session_id,
                    shown=shown,
                )
            return
        if not isinstance(answer, Mapping) or message is not None:
            raise InvalidValueError("answer", answer, _mapping_rule(row.what))
        if row.what == QUESTION:
            said = from_json(dict(answer), QuestionReply, "answers")
            if said.answers is None:
                await self._questions.dismiss(
                    request_id,
                    said.message,
                    by=by,
                    session_id=row.session_id,
                    shown=shown,
                )
            else:
                await self._questions.reply(
                    request_id,
                    said.answers,
                    by=by,
                    session_id=row.session_id,
                    shown=shown,
                )
            return
        await self._requests.answer(row.session_id, request_id, answer, by, shown)


def _mapping_rule(what: str) -> str:
    example = ', such as {"answers": [{"text": "Blue."}]}' if what == QUESTION else ""
    return f"a {what} takes a mapping, and its message in there{example}"


def _the_one(
    rows: Reader, request_id: str, session_id: str | None
) -> tuple[RequestRow, Location]:
    known = [
        row for row in rows.requests(request_id) if session_id in (None, row.session_id)
    ]
    row = only_waiting(rows, request_id, known)
    session = existing_session(rows, row.session_id)
    return row, Location(session.directory, session.workspace)
