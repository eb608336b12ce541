"""Session History: the transcript decoded, as a fold of events.

Owns the one function from events to messages; the transcript that readers page
through and the history that a model is sent are both made by it, so they cannot
disagree. A running session keeps its History and extends it by sequence number: no
Step reads the session again, whatever its length.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any, Literal

from attrs import evolve

from ..context.algebra import told
from ..log.patience import Readable
from ..log.reading import PAGE, event_at, events_between, readable
from ..ports import MessageRow, Reader, took
from ..values import events as e
from ..values.errors import CONTINUATION_UNACCEPTED, EventDamagedError, EventGapError
from ..values.messages import (
    AssistantMessage,
    Message,
    NoticeMessage,
    Part,
    ReasoningPart,
    TextPart,
    ToolPart,
    UserMessage,
)
from ..values.prompt import Budget
from ..values.tool import Failure, ProcessMark
from .mending import CONTENT_REFUSED, PART_REFUSED, Mending

AT_ONCE = 1024
"""Events of a long past that are taken in before others have their turn."""

Reach = Literal["called", "started", "asking", "begun"]
"""How far a call without a result may have come: its executor did not run; it ran and
may have had its effect; it waits for the answer to a question that it asked before any
effect, so that it had none; it went on from a question, or was left by a worker while
it ran."""


class _Open:
    """An assistant message while its events come."""

    def __init__(self, event: e.StepStarted) -> None:
        self.message = AssistantMessage(
            id=event.message_id,
            session_id=event.session_id,
            seq=event.seq,
            created=event.created,
            agent=event.agent,
            model=event.model,
        )
        self.parts: list[Part] = []
        self._calls: dict[str, int] = {}
        self._reach: dict[str, Reach] = {}
        # Calls that another worker left after they may have had an effect: whatever
        # they ask now, they may have had it then.
        self._left: set[str] = set()
        self.spawned: dict[str, list[ProcessMark]] = {}

    def reach(self, call_id: str) -> Reach:
        """Return how far a call that has no result may have come."""
        return self._reach.get(call_id, "called")

    def taken_over(self) -> None:
        """Another worker goes on: who was asking has not gone on, nor will it."""
        for call_id, reach in self._reach.items():
            if reach == "asking":
                self._reach[call_id] = "called"
            elif reach in ("started", "begun"):
                self._reach[call_id] = "begun"
                self._left.add(call_id)

    def apply(self, event: e.Event) -> None:
        """Take in one event of this message."""
        if isinstance(event, e.TextEnded):
            self.parts.append(TextPart(event.text, event.metadata))
        elif isinstance(event, e.ReasoningEnded):
            self.parts.append(ReasoningPart(event.text, event.metadata))
        elif isinstance(event, e.ToolCalled):
            self._calls[event.call_id] = len(self.parts)
            self.parts.append(
                ToolPart(
                    event.call_id,
                    event.tool,
                    event.arguments,
                    effect=event.effect,
                    metadata=event.metadata,
                    reading=event.reading,
                )
            )
        elif isinstance(event, e.ToolStarted):
            self._change(event, state="started")
            fresh = self.reach(event.call_id) == "called"
            self._reach[event.call_id] = "started" if fresh else "begun"
        elif isinstance(event, e.RequestAsked):
            self._asked(event)
        elif isinstance(event, e.ToolSpawned):
            self.spawned.setdefault(event.call_id, []).append(event.process)
        elif isinstance(event, e.ToolSucceeded):
            self._change(event, state="succeeded", content=event.content)
        elif isinstance(event, e.ToolFailed):
            self._change(event, state="failed", failure=event.failure)
        elif isinstance(event, e.StepEnded):
            self.message = evolve(
                self.message,
                finish=event.finish,
                usage=event.usage,
                ended=event.created,
            )
        elif isinstance(event, e.StepFailed):
            self.message = evolve(
                self.message,
                failure=event.failure,
                usage=event.usage,
                ended=event.created,
            )

    def _asked(self, event: e.RequestAsked) -> None:
        call_id = event.call_id
        if (
            call_id is not None
            and not event.begun
            and call_id not in self._left
            and self.reach(call_id) in ("started", "begun")
        ):
            self._reach[call_id] = "asking"

    def _change(
        self, event: e.ToolStarted | e.ToolSucceeded | e.ToolFailed, **changes: Any
    ) -> None:
        index = self._calls.get(event.call_id)
        if index is None:
            problem = f"it is of call {event.call_id!r}, which nobody made"
            raise EventDamagedError(event.session_id, event.seq, problem)
        part = self.parts[index]
        assert isinstance(part, ToolPart)
        self.parts[index] = evolve(part, **changes)

    def build(self) -> AssistantMessage:
        """Return the message as far as it has come."""
        return evolve(self.message, parts=tuple(self.parts))


class Spent:
    """What work has used of its budget."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget
        self.steps = 0
        self.tokens = 0
        self.cost = 0.0

    def add(self, event: e.StepEnded | e.StepFailed) -> None:
        """Count one Step."""
        self.steps += 1
        self.tokens += (event.usage.input or 0) + (event.usage.output or 0)
        self.cost += event.cost or 0.0

    def exceeded(self, seconds: float, *, priced: bool) -> Failure | None:
        """Return which limit is reached, or None.

        ``seconds`` is the age of the execution; ``priced`` whether the model's price
        is known: without it a limit of money cannot be kept, so it counts as reached.
        """
        budget = self.budget
        if budget is None:
            return None
        if budget.steps is not None and self.steps >= budget.steps:
            return Failure("budget.steps", f"all {budget.steps} Steps are used")
        if budget.tokens is not None and self.tokens >= budget.tokens:
            return Failure(
                "budget.tokens", f"{self.tokens} of {budget.tokens} tokens are used"
            )
        if budget.cost is not None and (not priced or self.cost >= budget.cost):
            why = f"{self.cost:.4f} of {budget.cost:g} dollars are used"
            return Failure(
                "budget.cost", why if priced else "the model's price is not known"
            )
        if budget.seconds is not None and seconds >= budget.seconds:
            return Failure("budget.seconds", f"{budget.seconds:g} seconds are over")
        return None


class Left:
    """What an execution has done, as far as whoever takes it over must know."""

    def __init__(self) -> None:
        self.owner: str | None = None
        """Who ran it last."""
        self.running = False
        """Whether it has no durable end."""
        self.unaccepted = False
        """Whether its end was a report that nobody has accepted yet."""
        self.since = 0
        """The sequence number of its beginning."""
        self.trusted = -1
        """The last event before anything that was only said about it."""
        self.imported = False
        """Whether that was made in another store."""
        self.promoted: list[str] = []
        self.withdrawn: list[str] = []
        self.reported: str | None = None
        """The digest of the last report."""
        self.attempts = 0
        """How often it was continued by itself since a Step last ended."""

    def apply(self, event: e.Event, *, here: bool) -> None:
        """Take in one event; ``here`` says whether it was made in this store."""
        if isinstance(event, e.ContinuationReported):
            self.reported = event.digest if here else None
            return
        if isinstance(event, e.ContinuationAccepted):
            # Who accepted it elsewhere did not accept it here.
            if here:
                self.unaccepted = False
                self.attempts = event.attempt
            return
        if isinstance(event, e.ExecutionEnded):
            self.running = False
            if (
                event.reason is not None
                and event.reason.code == CONTINUATION_UNACCEPTED
            ):
                self.unaccepted = True
                return
        elif isinstance(event, e.ExecutionStarted):
            self.owner, self.running, self.since = event.owner, True, event.seq
            self.unaccepted = False
            self.promoted, self.withdrawn = [], []
        elif isinstance(event, e.PromptPromoted):
            self.promoted.append(event.input_id)
        elif isinstance(event, e.PromptWithdrawn):
            self.withdrawn.append(event.input_id)
        elif isinstance(event, e.StepEnded):
            self.attempts = 0
        if not isinstance(event, _SAID):
            self.trusted = event.seq
            self.imported = not here


# What callers say about a session is no part of what its execution did.
_SAID = (
    e.PromptAdmitted,
    e.PromptWithdrawn,
    e.PromptRedelivered,
    e.RequestAnswered,
    e.SessionTitled,
    e.ModelSwitched,
    e.AgentSwitched,
    e.SessionPruned,
    e.SessionRepaired,
    e.EventSetAside,
)

# Of these, what no decision about a Step rests on: see ``is_only_said``.
_SAID_KINDS = frozenset(
    one.kind
    for one in (
        e.PromptAdmitted,
        e.PromptWithdrawn,
        e.PromptRedelivered,
        e.SessionTitled,
    )
)

# What an event of another store says of this does not hold here: the model is told of
# this machine anew, and no process of this one is anybody's who lives elsewhere.
_ONLY_HERE = (e.EpochStarted, e.ToolSpawned)

# From here on the events before are not what they were.
_REWRITES = (e.SessionPruned, e.SessionRepaired)


class History:
    """The messages of one session, extended by its events in order."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self._rewritten = -1
        self._imported: tuple[tuple[int, int], ...] = ()
        """The last event that changed the ones before it, which were read since."""
        self._begin()

    def _begin(self) -> None:
        self.seq = -1
        """The last event that was taken in."""
        self.damage: EventDamagedError | None = None
        """Why the next one cannot be taken in, nor anything after it."""
        self.wanted: tuple[str | None, str | None] = (None, None)
        """The session's agent and model."""
        self.baseline: str | None = None
        """The rendered Baseline of the current Context Epoch."""
        self.left = Left()
        """What the execution that is running, or was lost, has done so far."""
        self.session = Spent()
        self.activity = Spent()
        """Since the last promoted input that came with a budget."""
        self.facts: e.FactsRecorded | None = None
        self.sources: dict[str, str] = {}
        """What the model was told of each Context Source, by digest."""
        self.left_out: set[str] = set()
        """The Context Sources that the Baseline lacks, and nothing has told since."""
        self.files: dict[str, str | None] = {}
        """What each file held when a call last read or wrote it, by digest."""
        self.managed: set[str] = set()
        """The keys of the complete outputs that calls of this session left."""
        self._settled: list[Message] = []
        self._open: _Open | None = None
        # Whether the last Step failed in an execution that goes on: a stream that
        # broke off, or a Step that another worker left.
        self._cut = False
        self._prompts: dict[str, e.PromptAdmitted] = {}
        self._encoded: dict[str, list[bytes]] = {}
        self._mending = Mending()
        self._budget_here = False

    def offer(self, event: e.Event) -> None:
        """Take in the next event. One that is not the next is left to be read."""
        if isinstance(event, _REWRITES) and event.seq > self._rewritten:
            self._rewritten = event.seq
            self._begin()
        elif self.damage is not None:
            return  # what follows it is not known to follow from anything
        elif event.seq == self.seq + 1:
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

    def catch_up(self, rows: Reader) -> None:
        """Take in everything that is in the log.

        Raises:
            EventDamagedError: an event of it is not what was written, or does not
                follow from those before it.
            EventGapError: an event is missing there.
        """
        head = rows.head(self.session_id)
        while head is not None and self.seq < head.seq:
            before = self._place
            self._imported = head.imported
            self._take_in(events_between(rows, self.session_id, self.seq))
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
            missing = partial(_missing, self.session_id, self.seq)
            self._imported, found = await log.read(missing)
            self._take_in(found)
            self._check_moved(before)

    @property
    def _place(self) -> tuple[int, int]:
        return self._rewritten, self.seq

    def _take_in(self, events: Iterable[e.Event]) -> None:
        for event in events:
            self.offer(event)
        self._check()

    def _check_moved(self, before: tuple[int, int]) -> None:
        if self._place == before:
            raise EventGapError(self.session_id, self.seq + 1, "it is not in the log")

    def _apply(self, event: e.Event) -> None:
        here = took(self._imported, event.seq)
        self.left.apply(event, here=here)
        if not here and isinstance(event, _ONLY_HERE):
            return
        if here and isinstance(event, e.ToolSucceeded | e.ToolFailed) and event.managed:
            self.managed.add(event.managed)
        if isinstance(event, e.PromptAdmitted):
            self._prompts[event.input_id] = event
        elif isinstance(event, e.PromptPromoted):
            admitted = self._prompts.pop(event.input_id, None)
            if admitted is None:
                problem = f"it promotes input {event.input_id!r}, which does not wait"
                raise EventDamagedError(event.session_id, event.seq, problem)
            self._settled.append(_user_message(admitted, event.seq))
            self._mending.asked()
            if admitted.budget is not None and (
                took(self._imported, admitted.seq) or self.activity.budget is None
            ):
                self.activity = Spent(admitted.budget)
        elif isinstance(event, e.PromptWithdrawn):
            self._prompts.pop(event.input_id, None)
        elif isinstance(event, e.NoticeAdded):
            self._settled.append(_notice(event))
        elif isinstance(event, e.ContextUpdated):
            self._settled.append(_notice(event))
            if here:
                self.sources = told(self.sources, event.sources)
                self.left_out -= event.sources.keys()
        elif isinstance(event, e.EpochStarted):
            self.baseline = event.baseline
            self.sources = dict(event.sources)
            self.left_out = set(event.left_out)
        elif isinstance(event, e.FactsRecorded):
            self.facts = event
        elif isinstance(event, e.SessionCreated):
            self.wanted = (event.agent, event.model)
            self._budget(event.budget, here=here)
        elif isinstance(event, e.AgentSwitched):
            self.wanted = (event.agent, self.wanted[1])
        elif isinstance(event, e.ModelSwitched):
            self.wanted = (self.wanted[0], event.model)
        elif isinstance(event, e.SessionBudgeted):
            self._budget(event.budget, here=here)
        elif isinstance(event, e.StepStarted):
            self._open = _Open(event)
        elif isinstance(event, e.ExecutionStarted):
            if self._open is not None:
                self._open.taken_over()
        elif self._open is not None and self._open.message.id == getattr(
            event, "message_id", None
        ):
            self._open.apply(event)
            if here and isinstance(event, e.ToolSucceeded):
                self.files.update(event.files)
            if isinstance(event, e.StepEnded | e.StepFailed):
                self.session.add(event)
                self.activity.add(event)
                self._settled.append(self._open.build())
                self._open = None
                self._cut = isinstance(event, e.StepFailed)
                self._mend(event)
        elif isinstance(event, e.ExecutionEnded):
            self._cut = self._cut and self.left.unaccepted

    def _budget(self, budget: Budget | None, *, here: bool) -> None:
        """Take a budget of the session; one from elsewhere lifts none of here."""
        if here or not self._budget_here:
            self.session.budget = budget
            self._budget_here = here

    def _mend(self, event: e.StepEnded | e.StepFailed) -> None:
        """Leave out what the provider refused, or learn that it was right to."""
        changed, refused = None, self._settled[-1]
        assert isinstance(refused, AssistantMessage)
        if isinstance(event, e.StepEnded):
            self._mending.answered(len(self._settled) - 1)
        elif event.failure.code == PART_REFUSED:
            changed = self._mending.refused(self._settled)
        elif event.failure.code == CONTENT_REFUSED and not refused.parts:
            changed = self._mending.withhold(self._settled)
        elif event.failure.code == "provider.invalid_request":
            changed = self._mending.put_back(self._settled)
        if changed is not None:
            for made in self._encoded.values():
                del made[changed:]

    @property
    def mends(self) -> bool:
        """Whether a request that is refused for something in its messages would be
        another one the next time."""
        return self._mending.helps(self._settled)

    @property
    def open(self) -> AssistantMessage | None:
        """The message of the Step that is not settled, as far as it has come."""
        return self._open.build() if self._open else None

    def reach(self, call_id: str) -> Reach:
        """Return how far a call of the open message may have come."""
        return self._open.reach(call_id) if self._open else "called"

    def spawned(self, call_id: str) -> tuple[ProcessMark, ...]:
        """Return the processes that a call of the open message started."""
        return tuple(self._open.spawned.get(call_id, ())) if self._open else ()

    @property
    def messages(self) -> Sequence[Message]:
        """The settled messages. Every call in them has its result."""
        return tuple(self._settled)

    @property
    def last(self) -> Message | None:
        """The last settled message."""
        return self._settled[-1] if self._settled else None

    @property
    def waiting(self) -> bool:
        """Whether input was admitted that is neither promoted nor withdrawn, as far as
        this process knows."""
        return bool(self._prompts)

    @property
    def wants_step(self) -> bool:
        """Whether the model has not answered what it was told last.

        This is the decision after every Step, taken from durable facts alone.
        """
        for message in reversed(self._settled):
            if isinstance(message, UserMessage):
                return True
            if isinstance(message, AssistantMessage):
                if message.failure is not None:
                    return self._cut
                return bool(message.calls)
            # A notice alone asks for nothing.
        return False

    def snapshot(self) -> "HistorySnapshot":
        """Return the settled messages as they are now, for one request."""
        return HistorySnapshot(self._settled, len(self._settled), self._encoded)


def _missing(
    session_id: str, after: int, rows: Reader
) -> tuple[tuple[tuple[int, int], ...], list[e.Event]]:
    head = rows.head(session_id)
    imported = () if head is None else head.imported
    return imported, list(islice(events_between(rows, session_id, after), AT_ONCE))


class HistorySnapshot:
    """The history of one request: a ``RequestHistory``.

    It shares what the History settles and encodes, both of which only grow at their
    end; a History that begins anew leaves them to the snapshots that there are.
    """

    def __init__(
        self, settled: Sequence[Message], end: int, made: dict[str, list[bytes]]
    ) -> None:
        self._settled = settled
        self._end = end
        self._made = made

    @property
    def messages(self) -> Sequence[Message]:
        return tuple(self._settled[: self._end])

    def encoded(self, dialect: str, encode: Callable[[Message], bytes]) -> list[bytes]:
        made = self._made.setdefault(dialect, [])
        for message in self._settled[len(made) : self._end]:
            made.append(encode(message))
        return made[: self._end]


def is_only_said(rows: Reader, session_id: str, after: int) -> bool:
    """Whether all that came after an event is what callers say while somebody works.

    Nothing that is decided from a History rests on that: it enters history at a
    boundary, which looks at the rows of the inbox. So it may come in between at any
    time, however often, and holds nobody up.
    """
    facts = rows.facts(session_id, after=after, limit=PAGE)
    return len(facts) < PAGE and all(kind in _SAID_KINDS for _, kind, *_ in facts)


def message_of(rows: Reader, row: MessageRow) -> Message:
    """Return one message of the transcript, read from its own events.

    Raises:
        EventDamagedError: an event that the message is made of cannot be read.
    """
    first = readable(event_at(rows, row.session_id, row.body_seq))
    if isinstance(first, e.PromptAdmitted):
        return _user_message(first, row.seq)
    if isinstance(first, e.NoticeAdded | e.ContextUpdated):
        return _notice(first)
    if not isinstance(first, e.StepStarted):
        raise EventDamagedError(
            row.session_id, row.body_seq, f"message {row.id!r} does not begin here"
        )
    opened = _Open(first)
    for event in events_between(rows, row.session_id, row.body_seq, row.end_seq):
        if getattr(readable(event), "message_id", None) == row.id:
            opened.apply(event)
    return opened.build()


def _user_message(event: e.PromptAdmitted, seq: int) -> UserMessage:
    return UserMessage(
        id=event.input_id,
        session_id=event.session_id,
        seq=seq,
        created=event.created,
        text=event.prompt.text,
        files=event.prompt.files,
    )


def _notice(event: e.NoticeAdded | e.ContextUpdated) -> NoticeMessage:
    return NoticeMessage(
        id=event.message_id,
        session_id=event.session_id,
        seq=event.seq,
        created=event.created,
        text=event.text,
    )
