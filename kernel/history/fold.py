"""The fold: what a session's events make of it for the work that goes on.

Owns what each kind of event changes. The parts that are a matter of their own have a
module each, beside this one; what is left here are the facts that a decision about the
next Step rests on, and which part hears of which event. The transcript that readers
page through and the history that a model is sent are both made by the functions of
``messages``, so they cannot disagree. Knows nothing of where events come from (see
``history``).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..contracts import SessionView
from ..ports import made_here
from ..values import events as e
from ..values.ids import SessionId
from ..values.location import Location
from ..values.messages import AssistantMessage, Message, UserMessage
from ..values.tool import Deed, Failure, ProcessMark
from .budgets import Budgets
from .circles import Circles
from .epoch import EpochFold
from .fallen import Fallen
from .inputs import Inputs
from .messages import OpenMessage, Progress, Receipt, notice_message, user_message
from .sent import SentRequests
from .shown import Shown
from .takeover import LastExecution
from .turns import Turns
from .wanted import WantedAnswers

# What an event of another store says of this does not hold here: the model is told of
# this machine anew, and no process of this one is anybody's who lives elsewhere.
_ONLY_HERE = frozenset((e.EpochStarted, e.ToolSpawned))

# What tells which request was sent.
_CARRIES = (e.ToolCalled, e.StepEnded, e.StepFailed, e.RetryScheduled)
_ENDS = (e.StepEnded, e.StepFailed)

CIRCLES = "circles"
"""What a notice is about that tells the model that it goes in circles."""


class Fold:
    """What the events of one session come to."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self._turns: dict[str, Turns] = {}
        """What is hidden in each log, as far as events were seen that say so."""
        self._imported: tuple[tuple[int, int], ...] = ()
        """Which events of the log that is taken in came from another store."""
        self._begin()

    def _begin(self) -> None:
        """Begin with nothing, but for what is hidden."""
        self.inputs = Inputs()
        """What waits to be told to the model."""
        self.shown = Shown()
        """The settled messages."""
        self.budgets = Budgets()
        """What is used of what the session may."""
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
        self.epoch = EpochFold()
        """What the model was told of its world."""
        self.parent: str | None = None
        """Whose child the session is."""
        self.within: str | None = None
        """The digest of the policy that bounds it."""
        self.last_execution = LastExecution()
        """What the execution that is running, or was lost, has done so far."""
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
        self.compacting: e.CompactionStarted | None = None
        """The one that goes on, or was lost with whoever was at it."""
        self._open: OpenMessage | None = None
        # Whether the last Step failed in an execution that goes on: a stream that
        # broke off, or a Step that another worker left.
        self._cut = False
        self._hiding = False
        """Whether the event that is taken in is one that is hidden from the model."""

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
            self.epoch.apply(event, here=here)
        self.fallen.apply(event, here=here, hidden=self._hiding)
        if not self._hiding or kind is e.GenerationSet:
            self.answers.apply(event)
        if not here and kind in _ONLY_HERE:
            return
        _TAKING.get(kind, Fold._of_message)(self, event, here)

    def _apply_shared(self, event: e.Event) -> None:
        """Take in an event of the past that the session shares: how the session was
        made whose log that is counts as far as it is of what was said there."""
        if isinstance(event, e.SessionCreated):
            self.wanted = (event.agent, event.model)
            self.fallen.apply(event, here=True, hidden=False)
            self.answers.apply(event)
        else:
            self._apply(event)

    def _cross(self, count: int) -> None:
        """Go on with the log of the fork, whose own events are numbered anew: the past
        is shared, and what goes on in the session that it came from is not (law
        travel.3)."""
        self.shown.cross(count)
        self.fallen.cross()
        self.last_execution = LastExecution()
        self.inputs, self.budgets = Inputs(), Budgets()
        self.facts = self.compacting = self._open = None
        self.restoring = None
        self._cut = False
        self.background, self.policy = {}, None
        self.answers.cross()
        self._anew()
        self.epoch.begin_anew("fork")

    # --- what each kind of event changes ------------------------------------------

    def _admitted(self, event: e.PromptAdmitted, _: bool) -> None:
        self.inputs.admit(event)

    def _promoted(self, event: e.PromptPromoted, _: bool) -> None:
        admitted = self.inputs.promote(event)
        self._anew()
        if not self._hiding:
            self.shown.prompt(user_message(admitted, event.seq))
            begins = self.budgets.begins(admitted)
            self.answers.promoted(admitted, begins=begins)
        self.budgets.promote(admitted, self._imported)

    def _withdrawn(self, event: e.PromptWithdrawn, _: bool) -> None:
        self.inputs.withdraw(event)

    def _redelivered(self, event: e.PromptRedelivered, _: bool) -> None:
        self.inputs.redeliver(event)

    def _noticed(self, event: e.NoticeAdded, _: bool) -> None:
        if not self._hiding:
            self.shown.add(notice_message(event))
        if event.about == CIRCLES:
            self.circles.noticed = True

    def _updated(self, event: e.ContextUpdated, _: bool) -> None:
        if not self._hiding:
            self.shown.update(notice_message(event))

    def _epoch_started(self, _: e.EpochStarted, __: bool) -> None:
        if not self._hiding:
            self.shown.begin_epoch()
        self.sent.begin_epoch()

    def _facts_recorded(self, event: e.FactsRecorded, here: bool) -> None:
        self.facts = event
        # What calls were held to elsewhere is nothing that holds here.
        self.policy = event.policy if here else None

    def _created(self, event: e.SessionCreated, here: bool) -> None:
        self.wanted = (event.agent, event.model)
        self.parent, self.within = event.parent, event.within
        self.place = Location(event.directory, event.workspace)
        self.budgets.limit(event.budget, here=here)

    def _moved(self, event: e.SessionMoved, _: bool) -> None:
        self.place = Location(event.directory, event.workspace)
        self.epoch.begin_anew("move")

    def _agent_switched(self, event: e.AgentSwitched, _: bool) -> None:
        self.wanted = (event.agent, self.wanted[1])

    def _model_switched(self, event: e.ModelSwitched, _: bool) -> None:
        self.wanted = (self.wanted[0], event.model)

    def _budgeted(self, event: e.SessionBudgeted, here: bool) -> None:
        self.budgets.limit(event.budget, here=here)

    def _job_started(self, event: e.JobStarted, here: bool) -> None:
        if here and event.session is not None:
            self.background[event.job_id] = event.session

    def _job_ended(self, event: e.JobEnded, _: bool) -> None:
        self.background.pop(event.job_id, None)

    def _child_spent(self, event: e.ChildSpent, _: bool) -> None:
        self.budgets.add(event)

    def _step_started(self, event: e.StepStarted, _: bool) -> None:
        self._open = OpenMessage(event)
        self.open_place = self.place
        self.budgets.step()
        self.steps += 1

    def _execution_started(self, _: e.ExecutionStarted, __: bool) -> None:
        if self._open is not None:
            self._open.taken_over()

    def _execution_ended(self, event: e.ExecutionEnded, _: bool) -> None:
        self._cut = self._cut and self.last_execution.unaccepted
        self.budgets.end(event.seq)
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
            self.budgets.add_request(event)
        if isinstance(event, _CARRIES) and event.request is not None:
            self.sent.record(event.request)
        # A model knows nothing of a file that it was shown behind a message that a
        # revert went back to.
        if here and isinstance(event, e.ToolSucceeded) and not self._hiding:
            for path, digest in event.files.items():
                self.files.pop(path, None)
                self.files[path] = digest
        if isinstance(event, _ENDS):
            self.budgets.add(event)
            message = self._open.build()
            waiting = self._open.waiting
            self._open = None
            self._cut = isinstance(event, e.StepFailed)
            if not self._hiding:
                self.shown.answer(message, event)
                self.circles.step(message.calls, waiting)

    def _compaction_ended(self, event: e.CompactionEnded, _: bool) -> None:
        if not self._hiding:
            self.shown.replace(event)
        self._compacted(event)

    def _compaction_started(self, event: e.CompactionStarted, _: bool) -> None:
        self.compacting = event
        self.budgets.add_request(event)
        if event.request is not None:
            self.sent.record(event.request)

    def _compaction_failed(self, event: e.CompactionFailed, _: bool) -> None:
        self._compacted(event)

    def _compaction_requested(self, event: e.CompactionRequested, _: bool) -> None:
        self.inputs.asked_for = event.seq

    def _outputs_shortened(self, event: e.OutputsShortened, _: bool) -> None:
        if not self._hiding:
            self.shown.shorten(event)

    def _turned_back(
        self, event: e.SessionReverted | e.SessionUnreverted, here: bool
    ) -> None:
        self._cut = False
        self._anew()
        self.epoch.begin_anew("revert")
        self.restoring = event if here and event.files else None

    def _restored(self, _: e.FilesRestored, __: bool) -> None:
        self.restoring = None

    def _titled(self, event: e.SessionTitled | e.TitleFailed, _: bool) -> None:
        self.budgets.session.add_request(event)

    # --- what follows from that ---------------------------------------------------

    def _anew(self) -> None:
        """What was done before is no part of what is done from here on."""
        self.steps = 0
        self.circles.begin()

    def _compacted(self, event: e.CompactionEnded | e.CompactionFailed) -> None:
        self.budgets.add_request(event)
        self.compacting = None
        self.shown.size.tried()
        self.inputs.compacted(event)

    # --- what there is ------------------------------------------------------------

    def exceeded(
        self, inputs: Sequence[e.PromptAdmitted], seconds: float, *, priced: bool
    ) -> Failure | None:
        """Return which limit of the session or of its work is reached once these inputs
        are promoted, or None; see ``Spent.exceeded``."""
        return self.budgets.exceeded(inputs, self._imported, seconds, priced=priced)

    def view(self, agent: str) -> SessionView:
        """Return what Context Sources are shown of the session."""
        return SessionView(
            SessionId(self.session_id), agent, self.files, self.epoch.instructed
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
        return self.shown.snapshot().messages

    @property
    def wants_step(self) -> bool:
        """Whether the model has not answered what it was told last.

        This is the decision after every Step, taken from durable facts alone.
        """
        for message in reversed(self.shown):
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


_TAKING: Mapping[type[e.Event], Callable[[Fold, Any, bool], None]] = {
    e.PromptAdmitted: Fold._admitted,
    e.PromptPromoted: Fold._promoted,
    e.PromptWithdrawn: Fold._withdrawn,
    e.PromptRedelivered: Fold._redelivered,
    e.NoticeAdded: Fold._noticed,
    e.ContextUpdated: Fold._updated,
    e.EpochStarted: Fold._epoch_started,
    e.FactsRecorded: Fold._facts_recorded,
    e.SessionCreated: Fold._created,
    e.SessionMoved: Fold._moved,
    e.AgentSwitched: Fold._agent_switched,
    e.ModelSwitched: Fold._model_switched,
    e.SessionBudgeted: Fold._budgeted,
    e.JobStarted: Fold._job_started,
    e.JobEnded: Fold._job_ended,
    e.ChildSpent: Fold._child_spent,
    e.StepStarted: Fold._step_started,
    e.ExecutionStarted: Fold._execution_started,
    e.ExecutionEnded: Fold._execution_ended,
    e.ToolSucceeded: Fold._call_settled,
    e.ToolFailed: Fold._call_settled,
    e.CompactionStarted: Fold._compaction_started,
    e.CompactionEnded: Fold._compaction_ended,
    e.CompactionFailed: Fold._compaction_failed,
    e.CompactionRequested: Fold._compaction_requested,
    e.OutputsShortened: Fold._outputs_shortened,
    e.SessionReverted: Fold._turned_back,
    e.SessionUnreverted: Fold._turned_back,
    e.FilesRestored: Fold._restored,
    e.SessionTitled: Fold._titled,
    e.TitleFailed: Fold._titled,
}
"""How each kind of event is taken in; the others say something of a message, or are of
no account here."""
