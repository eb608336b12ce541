"""Sent requests: listed, and written again from the log (law travel.1).

Owns the way from the events of a session to the bytes of a request that one of its
Steps sent: the transcript as it was then, what the request was made of besides, which
an event says, and the protocol that wrote it. Whether these are the very bytes, the
recorded digest tells.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import evolve

from ..contracts import ProviderProtocol
from ..history.canonical import CANONICAL, CanonicalWriter
from ..history.encoding import HistorySnapshot
from ..history.history import History
from ..history.sent import sent_in
from ..log.lineage import past_of
from ..log.reading import events_between, existing_session, readable
from ..ports import Reader
from ..values.codec import from_json, loads
from ..values.errors import (
    DovetailError,
    SentRequestLostError,
    SentRequestNotFoundError,
)
from ..values.events import (
    CompactionEnded,
    CompactionFailed,
    CompactionStarted,
    EpochStarted,
    RetryScheduled,
    SessionTitled,
    StepEnded,
    StepFailed,
    StepStarted,
    TitleFailed,
)
from ..values.frozen import frozen
from ..values.generation import NO_GENERATION
from ..values.ids import MessageId, SessionId
from ..values.messages import UserMessage
from ..values.request import ModelRequest
from ..values.sent import AskedText, RequestDescription, SentRequest
from ..values.tool import ToolDefinition

RequestPurpose = Literal["step", "summary", "title"]
"""``summary``: of older history, or a part of it. ``title``: of the session."""

Protocols = Mapping[str, ProviderProtocol]


@frozen
class RecordedRequest:
    """One Physical Attempt of a session, as its events tell of it."""

    number: int
    """Which one of the session, from 1."""
    message_id: MessageId | None
    """The message of its Step; None for one that is no Step's."""
    attempt: int
    """Which one of the Step, or of the event where it is no Step's, from 1."""
    seq: int
    """The last event that it was made of: that its Step began with, or where it was too
    long and was made shorter, the last of that. Of one that is no Step's, the event
    that holds all that it was made of."""
    model: str
    """``provider/model``."""
    protocol: str | None = None
    """Which protocol wrote it; None where that is not known."""
    ignored: tuple[str, ...] = ()
    """Generation options that were wanted and that the protocol or the model knows no
    word for."""
    sent: SentRequest | None = None
    """What was sent. None while it runs, where nothing was sent because it could not
    be written, and where the process ended before it could record what."""
    purpose: RequestPurpose = "step"
    """What it was for."""


@frozen
class RebuiltRequest:
    """A request that was written again."""

    recorded: RecordedRequest
    """What was recorded of it when it was sent."""
    body: bytes
    """All of it."""
    digest: str
    """SHA-256 of the body, in hexadecimal."""
    problem: str | None = None
    """Why these are not the bytes that were sent, as far as that can be told; None:
    they are (``proven``)."""

    @property
    def proven(self) -> bool:
        """Whether these are the bytes that were sent: their digest is the recorded."""
        return self.problem is None


class _Listing:
    """The requests of a session, collected from its events."""

    def __init__(self) -> None:
        self.found: list[RecordedRequest] = []
        self.described: dict[str, RequestDescription] = {}
        self._step: StepStarted | None = None
        self._made_at = -1
        """The last event that the request of the Step was made of."""
        self._attempt = 1
        self._sent: SentRequest | None = None
        self._refused = False
        """Whether the request of the Step was too long, and none was sent since."""
        self.asked: dict[int, AskedText] = {}
        """Those that are no Step's, by number."""

    def read(self, rows: Reader, session_id: str) -> None:
        # What a fork shares was sent by others; how it was made is known from there.
        for span in past_of(rows, session_id):
            for event in events_between(rows, span.session_id, -1, span.seq):
                self._learn(sent_in(event))
        for event in events_between(rows, session_id, -1):
            readable(event)
            if isinstance(event, StepStarted):
                self._step, self._attempt, self._sent = event, 1, None
                self._made_at, self._refused = event.seq, False
            elif isinstance(event, CompactionStarted) and event.request is not None:
                self._sent = event.request
                self._learn(event.request)
                self._end()
                self._attempt += 1
                self._refused = True
            elif isinstance(event, CompactionEnded | EpochStarted):
                # Within a Step whose request was too long: it is sent anew.
                self._made_at, self._refused = event.seq, False
            elif (sent := sent_in(event)) is not None:
                self._sent = sent
                self._learn(sent)
            if isinstance(event, _ASKING):
                self._add_asked(event)
            if isinstance(event, RetryScheduled):
                self._end()
                self._attempt += 1
            elif isinstance(event, StepEnded | StepFailed):
                self._end()
                self._step = None
        if self._step is not None:
            self._end()

    def _add_asked(self, event: "_Asking") -> None:
        for attempt, one in enumerate(event.asked, 1):
            self._learn(one.request)
            described = self.described.get(one.request.made_of)
            number = len(self.found) + 1
            self.asked[number] = one
            self.found.append(
                RecordedRequest(
                    number=number,
                    message_id=None,
                    attempt=attempt,
                    seq=event.seq,
                    model=one.model,
                    protocol=None if described is None else described.protocol,
                    sent=one.request,
                    purpose="title" if isinstance(event, _TITLING) else "summary",
                )
            )

    def _learn(self, sent: SentRequest | None) -> None:
        if sent is not None and sent.description is not None:
            self.described[sent.made_of] = sent.description

    def _end(self) -> None:
        step, sent, self._sent = self._step, self._sent, None
        if step is None or (sent is None and self._refused):
            return
        described = self.described.get(sent.made_of) if sent is not None else None
        self.found.append(
            RecordedRequest(
                number=len(self.found) + 1,
                message_id=step.message_id,
                attempt=self._attempt,
                seq=self._made_at,
                model=step.model,
                protocol=None if described is None else described.protocol,
                ignored=() if described is None else described.ignored,
                sent=sent,
            )
        )


_TITLING = (SessionTitled, TitleFailed)
_ASKING = (CompactionEnded, CompactionFailed, SessionTitled, TitleFailed)
_Asking = CompactionEnded | CompactionFailed | SessionTitled | TitleFailed


def recorded_requests(rows: Reader, session_id: str) -> Sequence[RecordedRequest]:
    """Return the requests of a session, in the order in which they were sent.

    Raises:
        SessionNotFoundError: there is no such session.
        EventDamagedError: its past is not what was written.
    """
    existing_session(rows, session_id)
    listing = _Listing()
    listing.read(rows, session_id)
    return listing.found


@frozen
class Materials:
    """What one request is written again from."""

    recorded: RecordedRequest
    described: RequestDescription
    request: ModelRequest

    @property
    def plain(self) -> bool:
        """Whether no protocol is needed to write it."""
        return self.described.protocol == CANONICAL


def materials(rows: Reader, session_id: str, which: int | str) -> Materials:
    """Return what a request was made of, from the log alone.

    ``which`` is its number, or a message: then the last request for that.

    Raises:
        SentRequestNotFoundError: there is none.
        SentRequestLostError: nothing was recorded of it, or what it was made of is
            gone.
        SessionNotFoundError: there is no such session.
        EventDamagedError: its past is not what was written.
    """
    existing_session(rows, session_id)
    listing = _Listing()
    listing.read(rows, session_id)
    recorded = next(
        (
            one
            for one in reversed(listing.found)
            if which == one.number or (which == one.message_id is not None)
        ),
        None,
    )
    if recorded is None:
        raise SentRequestNotFoundError(str(which))
    if recorded.sent is None:
        raise SentRequestLostError(
            recorded.number,
            "nothing was recorded of it: it was not sent, or whoever sent it ended "
            "before it could say what",
        )
    described = listing.described.get(recorded.sent.made_of)
    if described is None:
        raise SentRequestLostError(
            recorded.number, "what it was made of was removed by pruning"
        )
    asked = listing.asked.get(recorded.number)
    if asked is not None:
        baseline, snapshot = "", _only(session_id, asked.text)
    else:
        head = rows.head(session_id)
        here = head is None or head.made_here(recorded.seq)
        history = History(session_id, as_made=not here)
        history.catch_up(rows, recorded.seq)
        baseline, snapshot = history.epoch.baseline or "", history.shown.snapshot()
    tools = from_json(loads(described.tools), tuple[ToolDefinition, ...], "tools")
    request = ModelRequest(
        model=described.model,
        system=tuple(baseline if one is None else one for one in described.system),
        history=snapshot,
        tools=tools,
        tool_choice=described.tool_choice,
        max_output=described.max_output,
        options=described.options,
        generation=described.generation or NO_GENERATION,
        output=described.output,
        reads=described.reads,
    )
    return Materials(recorded, described, request)


def _only(session_id: str, text: str) -> HistorySnapshot:
    """Return the history of a request that had one message."""
    made = UserMessage(MessageId("msg_asked"), SessionId(session_id), 0, 0, text)
    return HistorySnapshot([made], 0, 1, {})


def rebuilt(found: Materials, protocols: Protocols) -> RebuiltRequest:
    """Write a request again, and compare it with what was recorded of it.

    Raises:
        SentRequestLostError: no plugin here speaks its protocol, or what does cannot
            write it.
    """
    recorded, described = found.recorded, found.described
    assert recorded.sent is not None
    if found.plain:
        body = CanonicalWriter().write(found.request)
    else:
        protocol = protocols.get(described.protocol)
        if protocol is None or protocol.write is None:
            raise SentRequestLostError(
                recorded.number,
                f"no plugin here writes the protocol {described.protocol!r}; plugin "
                f"{described.plugin!r} did",
            )
        try:
            body = protocol.write(found.request, described.settings)
            data = body.data
        except Exception as error:
            # Boundary: a stranger's code, of another version than the one that sent it.
            told = error if isinstance(error, DovetailError) else type(error).__name__
            raise SentRequestLostError(
                recorded.number, f"the protocol {described.protocol!r} broke: {told}"
            ) from error
    data = body.data
    made = RebuiltRequest(recorded, data, hashlib.sha256(data).hexdigest())
    if made.digest == recorded.sent.digest:
        return made
    if described.altered:
        problem = "a plugin had put other messages in the place of the transcript's"
    else:
        problem = (
            f"they are not those that were sent, of which SHA-256 was "
            f"{recorded.sent.digest}: content was removed by pruning, or plugin "
            f"{described.plugin!r} writes {described.protocol!r} differently now"
        )
    return evolve(made, problem=problem)
