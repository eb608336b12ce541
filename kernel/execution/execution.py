"""Execution: one busy period of a session, from its durable beginning to its end.

Owns what the Steps of one drain share: the right to append (a fence), the History, the
allowance, and the outcome. Everything an execution records goes through ``commit``,
which checks the fence inside the same transaction (law execution.2).
"""

from collections.abc import Callable, Mapping, Sequence

from attrs import define, field

from ..access.policy import Policy, policy_at
from ..context.registry import SessionSampler
from ..contracts import Rule
from ..history.history import History, is_of_no_consequence
from ..location.services import LocationServices
from ..log.commit import LogTransaction, WorkLog
from ..log.family import pass_on
from ..ports import Reader
from ..values.events import (
    CompactionFailed,
    Event,
    ExecutionEnded,
    ExecutionStarted,
    PromptAdmitted,
)
from ..values.frozen import frozen
from ..values.ids import SessionId
from ..values.tool import Failure
from . import ownership
from .answers import GivenClasses
from .coordinator import Outcome
from .ownership import Fence, Owner, Standing
from .settings import ExecutionSettings
from .silence import Silence
from .titling import Titling

LEFT = Failure("compaction.lost", "whoever worked on it left no outcome")
"""Why a compaction failed whose worker is gone."""


@frozen
class _Committed:
    """What came of one decision."""

    decided: bool
    outcome: Outcome | None
    fence: Fence | None
    seq: int
    """The last event in the log then."""


@define(eq=False)
class Execution:
    """One busy period: what its Steps share."""

    session_id: SessionId
    log: WorkLog
    history: History
    owner: Owner
    force: bool
    """Whether at least one request must be made."""
    settings: "ExecutionSettings"
    silence: Silence
    began: float
    """When it was taken up, by the monotonic clock."""
    seen: Standing
    """How its lease stood when the session was looked at."""
    above: Callable[[Reader, str, bool], Failure | None]
    """Says which limit of a session above this one is reached, by its id and whether
    prices are known."""
    titling: Titling
    """Names sessions beside their work."""
    given: GivenClasses
    """The classes of values that are wanted for answers."""
    looked: int = -1
    """The last event that was known when it was taken up."""
    steps_used: int = 0
    """Steps since the last new input."""
    turns_paused: int = 0
    """Answers in a row that their provider paused."""
    broken: int = 0
    """Answers that broke off in a row."""
    empty: int = 0
    """Answers in a row that held neither text nor a call."""
    sampled: SessionSampler | None = None
    """What the sources that speak to this session said last."""
    fence: Fence | None = None
    """Set once execution.started is durable."""
    outcome: Outcome | None = None
    """How it ended, once that is durable."""
    accepted: Mapping[str, str] = field(factory=dict)
    """By session that works for this one: what was accepted of it, together with what
    another worker left of this one."""
    _bound: Policy | None = None
    _layers: tuple[Rule, ...] = ()

    @property
    def started(self) -> bool:
        """Whether execution.started is durable."""
        return self.fence is not None

    async def commit(
        self,
        decide: Callable[[LogTransaction], Outcome | None],
        *,
        knowing: int | None = None,
    ) -> bool:
        """Commit a decision of this execution; what it returns is how that ends.

        The first commit takes the lease and records the beginning, the one that ends
        the execution gives the lease back. A decision that appends nothing begins
        nothing.

        ``knowing`` is the last event that a decision from the History knows of. Where
        the log holds more by now that it could rest on, it is not asked, nothing is
        written and False is returned: look again. So a copy that is behind costs a
        read, and never makes an outcome (law execution.13). Without it the decision
        rests on nothing but its transaction and what this Step itself did.

        Afterwards the History holds all that was in the log by then.

        Raises:
            OwnerFencedError: another worker owns the session now. Nothing was written.
            LeaseHeldError: another worker owns it still, or did since it was looked
                at. Nothing was written.
        """

        def deciding(tx: LogTransaction) -> _Committed:
            fence = self.fence
            if fence is not None:
                ownership.check(tx.rows, fence)
            before = tx.head(self.session_id).seq
            if (
                knowing is not None
                and before != knowing
                and not is_of_no_consequence(tx.rows, self.session_id, knowing)
            ):
                return _Committed(False, None, fence, before)
            outcome = decide(tx)
            if self.history.parent is not None:
                pass_on(tx, self.session_id)
            if fence is None and tx.appended:
                fence = ownership.take(
                    tx.rows,
                    self.session_id,
                    self.owner,
                    tx.now,
                    self.log.lookout,
                    self.seen,
                    grown=before != self.looked,
                )
            if fence is not None and outcome is not None:
                ownership.release(tx.rows, fence)
            return _Committed(True, outcome, fence, tx.head(self.session_id).seq)

        done = await self.log.commit(deciding)
        self.fence = done.fence
        self.outcome = done.outcome or self.outcome
        await self.history.follow_up(self.log, done.seq)
        return done.decided

    def sources_in(self, services: LocationServices) -> SessionSampler:
        """Return what samples the Context Sources of the Location for this session."""
        if self.sampled is None or self.sampled.registry is not services.context:
            self.sampled = services.context.of_session(self.session_id)
        return self.sampled

    async def bound(self) -> tuple[tuple[Rule, ...], tuple[str, ...] | None]:
        """Return what the session may do at most, whatever its agent may: layers of
        rules, and the tools that there are for it, where that is not all."""
        if self.history.within is None:
            return (), None
        if self._bound is None:
            digest = self.history.within
            self._bound = await self.log.read(lambda rows: policy_at(rows, digest))
            self._layers = self._bound.bound()
        return self._layers, self._bound.tools

    def guard(self, tx: LogTransaction) -> None:
        """Refuse a transaction that others make on behalf of this execution.

        Raises:
            OwnerFencedError: another worker owns the session now.
        """
        assert self.fence is not None
        ownership.check(tx.rows, self.fence)

    async def stand_back(self) -> bool:
        """Return whether nothing is left to do here, so that nothing need begin.

        Raises:
            LeaseHeldError: another worker is doing it; its outcome is to be waited for.
        """
        session_id, known, lookout = self.session_id, self.history.seq, self.log.lookout

        def look(rows: Reader) -> tuple[bool, bool]:
            head = rows.head(session_id)
            moved = head is not None and head.seq != known
            row = rows.session(session_id)
            asked = row is not None and row.compaction_due >= 0
            left = moved or asked or rows.has_pending_input(session_id)
            return left, lookout.held(rows.lease(session_id)) is not None

        left, held = await self.log.read(look)
        if not left and held:
            raise ownership.LeaseHeldError(session_id, moved=True)
        return not left

    def opening(self) -> list[Event]:
        """Return what must be recorded before anything else of this execution: that it
        began, and the end of a compaction whose worker is gone."""
        if self.started:
            return []
        began = ExecutionStarted(session_id=self.session_id, owner=self.owner.name)
        if self.history.compacting is None:
            return [began]
        return [began, CompactionFailed(session_id=self.session_id, failure=LEFT)]

    async def catch_up(self) -> None:
        """Take in all that is in the log, whoever committed it.

        Raises:
            OwnerFencedError: another worker owns the session now.
        """
        fence = self.fence

        def look(rows: Reader) -> int:
            if fence is not None:
                ownership.check(rows, fence)
            head = rows.head(self.session_id)
            return -1 if head is None else head.seq

        await self.history.follow_up(self.log, await self.log.read(look))

    async def end(
        self,
        outcome: Outcome,
        settle: Callable[[Reader], Sequence[Event]] | None = None,
    ) -> None:
        """Record how the execution ended (law execution.7), after what it settles.

        ``settle`` decides from the History.
        """

        def ending(tx: LogTransaction) -> Outcome:
            before = settle(tx.rows) if settle else ()
            tx.append(*self.opening(), *before, self.ended(outcome))
            return outcome

        if settle is None:
            await self.commit(ending)
            return
        while not await self.commit(ending, knowing=self.history.seq):
            pass  # it is known now

    def end_unless_waiting(
        self, tx: LogTransaction, outcome: Outcome, events: Sequence[Event] = ()
    ) -> Outcome | None:
        """Append events, and the end of the execution unless input is waiting."""
        waiting = self.waiting(tx)
        # New input brings new Steps: only a failure or a stop leaves it waiting.
        ends = outcome.status in ("failed", "interrupted") or not waiting
        ending = [self.ended(outcome)] if ends else []
        tx.append(*self.opening(), *events, *ending)
        return outcome if ends else None

    def waiting(self, tx: LogTransaction) -> bool:
        """Return whether input waits, or a compaction that was asked for."""
        return (
            tx.rows.has_pending_input(self.session_id)
            or tx.session(self.session_id).compaction_due >= 0
        )

    def stop(self, tx: LogTransaction, outcome: Outcome) -> Outcome:
        """Append the end of the execution, whatever is waiting."""
        tx.append(*self.opening(), self.ended(outcome))
        return outcome

    def exceeded(
        self, inputs: Sequence[PromptAdmitted], *, priced: bool
    ) -> Failure | None:
        """Return the limit of a budget that is reached, or None.

        ``inputs`` are about to be promoted.
        """
        seconds = self.log.clock.monotonic() - self.began
        return self.history.exceeded(inputs, seconds, priced=priced)

    def exceeded_above(self, rows: Reader, *, priced: bool) -> Failure | None:
        """Return the limit of a session that this one works for that is reached."""
        parent = self.history.parent
        return None if parent is None else self.above(rows, parent, priced)

    def ended(self, outcome: Outcome) -> ExecutionEnded:
        """Return the event that ends it."""
        assert outcome.status != "idle"
        return ExecutionEnded(
            session_id=self.session_id, status=outcome.status, reason=outcome.reason
        )
