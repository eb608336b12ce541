"""Session History: the transcript decoded, as a fold of events.

Owns the fold over the events of a session. The transcript that readers page through
and the history that a model is sent are both made by the functions of ``messages``, so
they cannot disagree. A running session keeps its History and extends it by sequence
number: no Step reads the session again, whatever its length.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

from attrs import evolve

from ..contracts import SessionView
from ..log.lineage import Span, past_of
from ..log.patience import Readable
from ..log.reading import PAGE, events_between, readable
from ..ports import Reader, made_here
from ..values import events as e
from ..values.errors import EventDamagedError, EventGapError
from ..values.ids import SessionId
from ..values.location import Location
from ..values.messages import (
    AssistantMessage,
    Message,
    SummaryMessage,
    UserMessage,
)
from ..values.prompt import Budget
from ..values.shortcut import changed
from ..values.tool import Deed, ProcessMark
from .circles import Circles
from .cutting import shortened, summary_message
from .encoding import Encoded, HistorySnapshot
from .fallen import Fallen
from .mending import CONTENT_REFUSED, PART_REFUSED, Mending
from .messages import OpenMessage, Progress, Receipt, notice_message, user_message
from .sent import SentRequests
from .size import Size
from .spent import Spent
from .takeover import LastExecution
from .told import Told
from .turns import Turns
from .wanted import WantedAnswers

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

# What an event of another store says of this does not hold here: the model is told of
# this machine anew, and no process of this one is anybody's who lives elsewhere.
_ONLY_HERE = frozenset((e.EpochStarted, e.ToolSpawned))

# What tells which request was sent.
_CARRIES = (e.ToolCalled, e.StepEnded, e.StepFailed, e.RetryScheduled)
_ENDS = (e.StepEnded, e.StepFailed)

# From here on the events before are not what they were.
_REWRITES = (e.SessionPruned, e.SessionRepaired)


CIRCLES = "circles"
"""What a notice is about that tells the model that it goes in circles."""


class History:
    """The messages of one session, extended by its events in order."""

    def __init__(self, session_id: str, *, as_made: bool = False) -> None:
        """``as_made``: what other stores recorded counts as it did there."""
        self.session_id = session_id
        self._as_made = as_made
        self._rewritten = -1
        self._turns: dict[str, Turns] = {}
        """What is hidden in each log, as far as events were seen that say so."""
        self._imported: tuple[tuple[int, int], ...] = ()
        """The last event that changed the ones before it, which were read since."""
        self._begin()

    def _begin(self) -> None:
        self.seq = -1
        """The last event that was taken in."""
        self._past: deque[Span] | None = None
        """What is left to take in of the past that it shares; None: nobody looked."""
        self._past_seq = -1
        """The last event of the first of these that was taken in."""
        self.damage: EventDamagedError | None = None
        """Why the next one cannot be taken in, nor anything after it."""
        self.wanted: tuple[str | None, str | None] = (None, None)
        """The session's agent and model."""
        self.place: Location | None = None
        """Where the session works; None while nobody said."""
        self.open_place: Location | None = None
        """Where it worked when the Step began that is open, or was the last one."""
        self.answers = WantedAnswers()
        """How the next answer is wanted."""
        self.fallen = Fallen()
        """Which models did not answer, and which one goes on."""
        self.told = Told()
        """What the model was told of its world."""
        self.parent: str | None = None
        """Whose child the session is."""
        self.within: str | None = None
        """The digest of the policy that bounds it."""
        self.last_execution = LastExecution()
        """What the execution that is running, or was lost, has done so far."""
        self.session = Spent()
        self.activity = Spent()
        """The work that goes on, since input began it or brought a budget to it."""
        self._ended: int | None = None
        """The end of the last execution, while nothing was begun after it."""
        self.facts: e.FactsRecorded | None = None
        self.steps = 0
        """Steps since somebody said something, or since an execution ended."""
        self.circles = Circles()
        """What the model does again and again."""
        self.background: dict[str, str] = {}
        """The sessions that work for this one as jobs, by job, until those end."""
        self.policy: str | None = None
        """The digest of what the calls of the last Step are held to, if that was made
        here."""
        self.files: dict[str, str | None] = {}
        """What each file held when a call last read or wrote it, by digest; the latest
        last."""
        self.sent = SentRequests()
        """The requests that were sent, and what each was made of."""
        self.restoring: e.SessionReverted | e.SessionUnreverted | None = None
        """What says that files are about to be restored here, and has no receipt."""
        self.managed: set[str] = set()
        """The keys of the complete outputs that calls of this session left."""
        self.size = Size()
        """How many tokens its messages have."""
        self.compaction: e.CompactionEnded | None = None
        """The last one that replaced anything."""
        self.compacting: e.CompactionStarted | None = None
        """The one that goes on, or was lost with whoever was at it."""
        self.asked_for: int | None = None
        """The compaction.requested that waits for its turn."""
        self.shortened: int = -1
        """Up to where old tool results were last shortened."""
        self._settled: list[Message] = []
        self._open: OpenMessage | None = None
        # Whether the last Step failed in an execution that goes on: a stream that
        # broke off, or a Step that another worker left.
        self._cut = False
        self._prompts: dict[str, e.PromptAdmitted] = {}
        self._steers: set[str] = set()
        """Those of them that join the work that goes on."""
        self._encoded: dict[str, Encoded] = {}
        self._updates: list[int] = []
        """Where the messages are that the current epoch was updated in."""
        self._outdated: set[int] = set()
        """Where those of earlier epochs are, which no model is shown any more."""
        self._mending = Mending()
        self._budget_here = False
        self._hiding = False
        """Whether the event that is taken in is one that is hidden from the model."""

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
            if isinstance(event, e.SessionCreated):
                self.wanted = (event.agent, event.model)
                self.fallen.apply(event, here=True, hidden=False)
                self.answers.apply(event)
            else:
                self._apply(readable(event))
            self._past_seq = event.seq
        if self._past_seq >= span.seq:
            self._cross(span)
        return False

    def _cross(self, span: Span) -> None:
        """Go on with the log of the fork: the past is shared, and what goes on in the
        session that it came from is not (law travel.3)."""
        assert self._past is not None
        self._past.popleft()
        self._past_seq = -1
        count = span.seq + 1
        self._settled = [changed(one, seq=one.seq - count) for one in self._settled]
        self.shortened -= count
        if self.compaction is not None:
            said = self.compaction.said
            self.compaction = evolve(
                self.compaction,
                kept=self.compaction.kept - count,
                said=tuple(evolve(one, seq=one.seq - count) for one in said),
            )
        self.fallen.cross()
        self.last_execution = LastExecution()
        self.session, self.activity, self._ended = Spent(), Spent(), None
        self.facts = self.compacting = self.asked_for = self._open = None
        self.restoring = None
        self._cut = self._budget_here = False
        self._prompts, self.background, self.policy = {}, {}, None
        self._steers = set()
        self.answers.cross()
        self._anew()
        self.told.begin_anew("fork")

    def _check_moved(self, before: tuple[object, ...]) -> None:
        if self._place == before:
            raise EventGapError(self.session_id, self.seq + 1, "it is not in the log")

    def _turned(self, event: e.Event) -> bool:
        """Whether an event hides others, or ends that, and is heard of for the first
        time: then what came before it is not what it was."""
        if not isinstance(event, e.SessionReverted | e.SessionUnreverted):
            return False
        return self._turns.setdefault(event.session_id, Turns()).turn(event)

    def _apply(self, event: e.Event) -> None:
        kind = type(event)
        here = made_here(self._imported, event.seq)
        turns = self._turns.get(event.session_id)
        self._hiding = turns is not None and turns.hides(event)
        self.last_execution.apply(event, here=here)
        if not self._hiding or kind is e.SessionInstructed:
            # What a caller says for the session is no part of what was said in it.
            self.told.apply(event, here=here)
        self.fallen.apply(event, here=here, hidden=self._hiding)
        if not self._hiding or kind is e.GenerationSet:
            self.answers.apply(event)
        if not here and kind in _ONLY_HERE:
            return
        _TAKING.get(kind, History._of_message)(self, event, here)

    # --- what each kind of event changes ------------------------------------------

    def _admitted(self, event: e.PromptAdmitted, _: bool) -> None:
        self._prompts[event.input_id] = event
        if event.delivery == "steer":
            self._steers.add(event.input_id)

    def _promoted(self, event: e.PromptPromoted, _: bool) -> None:
        admitted = self._prompts.pop(event.input_id, None)
        self._steers.discard(event.input_id)
        if admitted is None:
            problem = f"it promotes input {event.input_id!r}, which does not wait"
            raise EventDamagedError(event.session_id, event.seq, problem)
        self._settle(user_message(admitted, event.seq))
        self._anew()
        if not self._hiding:
            self._mending.asked()
            begins = _begins(admitted, self._ended)
            self.answers.promoted(admitted, begins=begins)
        self.activity, self._ended = self._joined(self.activity, self._ended, admitted)

    def _withdrawn(self, event: e.PromptWithdrawn, _: bool) -> None:
        self._prompts.pop(event.input_id, None)
        self._steers.discard(event.input_id)

    def _redelivered(self, event: e.PromptRedelivered, _: bool) -> None:
        if event.input_id in self._prompts:
            self._prompts[event.input_id] = evolve(
                self._prompts[event.input_id], delivery=event.delivery
            )
            steers = event.delivery == "steer"
            (self._steers.add if steers else self._steers.discard)(event.input_id)

    def _noticed(self, event: e.NoticeAdded, _: bool) -> None:
        self._settle(notice_message(event))
        if event.about == CIRCLES:
            self.circles.told = True

    def _updated(self, event: e.ContextUpdated, _: bool) -> None:
        if not self._hiding:
            self._updates.append(len(self._settled))
        self._settle(notice_message(event))

    def _epoch_started(self, _: e.EpochStarted, __: bool) -> None:
        if not self._hiding:
            self._outdate()
        self.sent.begin_epoch()

    def _facts_recorded(self, event: e.FactsRecorded, here: bool) -> None:
        self.facts = event
        # What calls were held to elsewhere is nothing that holds here.
        self.policy = event.policy if here else None

    def _created(self, event: e.SessionCreated, here: bool) -> None:
        self.wanted = (event.agent, event.model)
        self.parent, self.within = event.parent, event.within
        self.place = Location(event.directory, event.workspace)
        self._budget(event.budget, here=here)

    def _moved(self, event: e.SessionMoved, _: bool) -> None:
        self.place = Location(event.directory, event.workspace)
        self.told.begin_anew("move")

    def _agent_switched(self, event: e.AgentSwitched, _: bool) -> None:
        self.wanted = (event.agent, self.wanted[1])

    def _model_switched(self, event: e.ModelSwitched, _: bool) -> None:
        self.wanted = (self.wanted[0], event.model)

    def _budgeted(self, event: e.SessionBudgeted, here: bool) -> None:
        self._budget(event.budget, here=here)

    def _job_started(self, event: e.JobStarted, here: bool) -> None:
        if here and event.session is not None:
            self.background[event.job_id] = event.session

    def _job_ended(self, event: e.JobEnded, _: bool) -> None:
        self.background.pop(event.job_id, None)

    def _child_spent(self, event: e.ChildSpent, _: bool) -> None:
        self.session.add(event)
        self.activity.add(event)

    def _step_started(self, event: e.StepStarted, _: bool) -> None:
        self._open = OpenMessage(event)
        self.open_place = self.place
        self._ended = None
        self.steps += 1

    def _execution_started(self, _: e.ExecutionStarted, __: bool) -> None:
        if self._open is not None:
            self._open.taken_over()

    def _execution_ended(self, event: e.ExecutionEnded, _: bool) -> None:
        self._cut = self._cut and self.last_execution.unaccepted
        self._ended = event.seq
        self._anew()

    def _call_settled(self, event: e.ToolSucceeded | e.ToolFailed, here: bool) -> None:
        if here and event.managed:
            self.managed.add(event.managed)
        self._of_message(event, here)

    def _of_message(self, event: e.Event, here: bool) -> None:
        """Take in what may be of the message that is open."""
        if self._open is None or self._open.message.id != getattr(
            event, "message_id", None
        ):
            return
        self._open.apply(event)
        if isinstance(event, e.RetryScheduled):
            self._count(event)
        if isinstance(event, _CARRIES) and event.request is not None:
            self.sent.record(event.request)
        # A model knows nothing of a file that it was shown behind a message that a
        # revert went back to.
        if here and isinstance(event, e.ToolSucceeded) and not self._hiding:
            for path, digest in event.files.items():
                self.files.pop(path, None)
                self.files[path] = digest
        if isinstance(event, _ENDS):
            self.session.add(event)
            self.activity.add(event)
            message = self._open.build()
            waiting = self._open.waiting
            self._open = None
            self._cut = isinstance(event, e.StepFailed)
            if not self._hiding:
                self._settle(message)
                self.size.tell(event.usage, message)
                self.circles.step(message.calls, waiting)
                self._mend(event)

    def _compaction_ended(self, event: e.CompactionEnded, _: bool) -> None:
        if self._hiding:
            self._compacted(event)
        else:
            self._replace(event)

    def _compaction_started(self, event: e.CompactionStarted, _: bool) -> None:
        self.compacting = event
        self._count(event)
        if event.request is not None:
            self.sent.record(event.request)

    def _compaction_failed(self, event: e.CompactionFailed, _: bool) -> None:
        self._compacted(event)

    def _compaction_requested(self, event: e.CompactionRequested, _: bool) -> None:
        self.asked_for = event.seq

    def _outputs_shortened(self, event: e.OutputsShortened, _: bool) -> None:
        if not self._hiding:
            self._shorten(event)

    def _turned_back(
        self, event: e.SessionReverted | e.SessionUnreverted, here: bool
    ) -> None:
        self._cut = False
        self._anew()
        self.told.begin_anew("revert")
        self.restoring = event if here and event.files else None

    def _restored(self, _: e.FilesRestored, __: bool) -> None:
        self.restoring = None

    def _titled(self, event: e.SessionTitled | e.TitleFailed, _: bool) -> None:
        self.session.add_request(event)

    # --- what follows from that ---------------------------------------------------

    def _anew(self) -> None:
        """What was done before is no part of what is done from here on."""
        self.steps = 0
        self.circles.begin()

    def _settle(self, message: Message) -> None:
        if not self._hiding:
            self._settled.append(message)
            self.size.add(message)

    def _count(
        self,
        event: e.RetryScheduled
        | e.CompactionStarted
        | e.CompactionEnded
        | e.CompactionFailed,
    ) -> None:
        """Count what was asked of a model besides what settles a Step."""
        self.session.add_request(event)
        self.activity.add_request(event)

    def _compacted(self, event: e.CompactionEnded | e.CompactionFailed) -> None:
        self._count(event)
        self.compacting = None
        self.size.tried()
        if event.requested is not None and event.requested == self.asked_for:
            self.asked_for = None

    def _replace(self, event: e.CompactionEnded) -> None:
        """Go on with a summary in the place of older messages."""

        def change(message: Message) -> Message:
            if event.longest is None:
                return message
            return shortened(message, event.longest)

        self._rewrite([summary_message(event)], event.kept, change)
        # How it was asked for is of no use here, and long.
        self.compaction = changed(event, asked=())
        self._compacted(event)

    def _shorten(self, event: e.OutputsShortened) -> None:
        def change(message: Message) -> Message:
            if message.seq >= event.before:
                return message
            return shortened(message, event.longest, event.spared)

        summary = self._settled[:1]
        first = [one for one in summary if isinstance(one, SummaryMessage)]
        self._rewrite(first, 0, change)
        self.shortened = event.before
        self.size.tried()

    def _rewrite(
        self,
        first: Sequence[Message],
        since: int,
        change: Callable[[Message], Message],
    ) -> None:
        """Go on with other messages; snapshots that there are keep theirs.

        What the model was told of its world meanwhile goes: the new Baseline that
        begins with this tells all that is true now, and an older word behind it would
        be read as the newer one.
        """
        untold = self._outdated.union(self._updates)
        kept = [
            place
            for place, message in enumerate(self._settled)
            if message.seq >= since
            and not isinstance(message, SummaryMessage)
            and place not in untold
        ]
        places = {place: new for new, place in enumerate(kept, len(first))}
        self._mending.moved(places, change)
        self._settled = [*first, *(change(self._settled[place]) for place in kept)]
        self._updates, self._outdated = [], set()
        self._encoded = {}
        self.size.restart(self._settled)

    def activity_with(self, inputs: Sequence[e.PromptAdmitted]) -> Spent:
        """Return the work that goes on once these inputs are promoted."""
        work, ended = self.activity, self._ended
        for admitted in inputs:
            work, ended = self._joined(work, ended, admitted)
        return work

    def _joined(
        self, work: Spent, ended: int | None, admitted: e.PromptAdmitted
    ) -> tuple[Spent, int | None]:
        """Return which work an input belongs to, and the end that nothing follows yet.

        Input begins work of its own when it waited until the session would be idle,
        or was said after an execution had ended. Whatever joins work that goes on, and
        what nobody said, lifts no limit of it; nor does input from elsewhere.
        """
        begins = _begins(admitted, ended)
        here = made_here(self._imported, admitted.seq) or work.budget is None
        if here and (begins or admitted.budget is not None):
            work = Spent(admitted.budget)
        return work, None if begins else ended

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
                made.forget(changed)

    def _outdate(self) -> None:
        """Show no model what earlier epochs were updated by: the Baseline has it."""
        if self._updates:
            self._outdated = self._outdated | set(self._updates)
            for made in self._encoded.values():
                made.forget(self._updates[0])
            self._updates = []

    @property
    def mends(self) -> bool:
        """Whether a request that is refused for something in its messages would be
        another one the next time."""
        return self._mending.helps(self._settled)

    def view(self, agent: str) -> SessionView:
        """Return what Context Sources are shown of the session."""
        return SessionView(
            SessionId(self.session_id), agent, self.files, self.told.instructed
        )

    @property
    def hidden(self) -> tuple[tuple[int, int], ...]:
        """Which events of its own log are hidden from the model: the first and the last
        of each run."""
        turns = self._turns.get(self.session_id)
        return turns.ranges if turns is not None else ()

    def hides(self, session_id: str, seq: int) -> bool:
        """Return whether an event of its own log, or of one that it shares, is hidden
        from the model."""
        turns = self._turns.get(session_id)
        return turns is not None and any(a <= seq <= b for a, b in turns.ranges)

    @property
    def reverted(self) -> bool:
        """Whether something is hidden that can still be seen again."""
        return bool(self.open_turns)

    @property
    def open_turns(self) -> tuple[tuple[int, int], ...]:
        """Those runs of hidden events that can be seen again."""
        turns = self._turns.get(self.session_id)
        return turns.open if turns is not None else ()

    @property
    def open(self) -> AssistantMessage | None:
        """The message of the Step that is not settled, as far as it has come."""
        return self._open.build() if self._open else None

    def progress(self, call_id: str) -> Progress:
        """Return how far a call of the open message may have come."""
        return self._open.progress(call_id) if self._open else "called"

    def spawned(self, call_id: str) -> tuple[ProcessMark, ...]:
        """Return the processes that a call of the open message started."""
        return tuple(self._open.spawned.get(call_id, ())) if self._open else ()

    def deeds(self, call_id: str) -> tuple[Deed, ...]:
        """Return what a call of the open message recorded of what it does."""
        return tuple(self._open.deeds.get(call_id, ())) if self._open else ()

    def receipt(self, call_id: str) -> Receipt:
        """Return what a call of the open message did, as far as is known."""
        return self._open.receipt(call_id) if self._open else Receipt()

    @property
    def messages(self) -> Sequence[Message]:
        """The settled messages. Every call in them has its result."""
        return self.snapshot().messages

    @property
    def last(self) -> Message | None:
        """The last settled message."""
        return self._settled[-1] if self._settled else None

    @property
    def waiting(self) -> bool:
        """Whether input was admitted that is neither promoted nor withdrawn, or a
        compaction asked for, as far as this process knows."""
        return bool(self._prompts) or self.asked_for is not None

    @property
    def inputs(self) -> Sequence[e.PromptAdmitted]:
        """The input that waits, in the order of its admission, as far as this process
        knows."""
        return tuple(self._prompts.values())

    def coming(self, *, idle: bool) -> Sequence[e.PromptAdmitted]:
        """Return the input that the next boundary promotes, as far as this process
        knows: what steers, or where the session would be ``idle`` the first that waits
        for that; what was admitted after a compaction was asked for waits for it."""

        def before(one: e.PromptAdmitted) -> bool:
            return self.asked_for is None or one.seq < self.asked_for

        due = [one for key in self._steers if before(one := self._prompts[key])]
        if not due and idle:
            first = next(iter(self._prompts.values()), None)
            due = [first] if first is not None and before(first) else []
        return due

    def admitted(self, input_id: str) -> e.PromptAdmitted | None:
        """Return how an input was admitted that waits, as far as this process knows."""
        return self._prompts.get(input_id)

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
                if message.id == self.answers.closed:
                    return False
                more = bool(message.calls) or message.finish == "continues"
                return more or self.answers.problem is not None
            # A notice alone asks for nothing, and neither does a summary.
        return False

    def snapshot(self) -> HistorySnapshot:
        """Return the settled messages as they are now, for one request."""
        return HistorySnapshot(
            self._settled, 0, len(self._settled), self._encoded, self._outdated
        )


_TAKING: Mapping[type[e.Event], Callable[[History, Any, bool], None]] = {
    e.PromptAdmitted: History._admitted,
    e.PromptPromoted: History._promoted,
    e.PromptWithdrawn: History._withdrawn,
    e.PromptRedelivered: History._redelivered,
    e.NoticeAdded: History._noticed,
    e.ContextUpdated: History._updated,
    e.EpochStarted: History._epoch_started,
    e.FactsRecorded: History._facts_recorded,
    e.SessionCreated: History._created,
    e.SessionMoved: History._moved,
    e.AgentSwitched: History._agent_switched,
    e.ModelSwitched: History._model_switched,
    e.SessionBudgeted: History._budgeted,
    e.JobStarted: History._job_started,
    e.JobEnded: History._job_ended,
    e.ChildSpent: History._child_spent,
    e.StepStarted: History._step_started,
    e.ExecutionStarted: History._execution_started,
    e.ExecutionEnded: History._execution_ended,
    e.ToolSucceeded: History._call_settled,
    e.ToolFailed: History._call_settled,
    e.CompactionStarted: History._compaction_started,
    e.CompactionEnded: History._compaction_ended,
    e.CompactionFailed: History._compaction_failed,
    e.CompactionRequested: History._compaction_requested,
    e.OutputsShortened: History._outputs_shortened,
    e.SessionReverted: History._turned_back,
    e.SessionUnreverted: History._turned_back,
    e.FilesRestored: History._restored,
    e.SessionTitled: History._titled,
    e.TitleFailed: History._titled,
}
"""How each kind of event is taken in; the others say something of a message, or are of
no account here."""


def _begins(admitted: e.PromptAdmitted, ended: int | None) -> bool:
    """Whether an input begins work of its own, after an end that nothing follows."""
    return admitted.job_id is None and (
        admitted.delivery == "queue" or (ended is not None and admitted.seq > ended)
    )


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
