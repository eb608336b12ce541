"""The Safe Step Boundary: what enters history before a request is assembled.

Owns the one transaction in which that happens (law inbox.6): new input, what the model
must be told of its world, the facts that the Step rests on, and the beginning of the
Step; and whether there is anything to do at all. Knows nothing of requests and answers.

What is known here says only what to try. The transaction looks again, and where the log
holds more than was known, the boundary is tried anew (law execution.13).
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

from ..access.policy import Policy, keep
from ..context.algebra import Snapshot
from ..context.epoch import CurrentEpoch, InitialiseEpoch, NoChange, UpdateEpoch, decide
from ..contracts import AgentProfile, Rule
from ..history.circles import STOPPED_AFTER, TOLD_AFTER, Circles
from ..history.fold import CIRCLES
from ..history.history import History
from ..history.mending import PART_REFUSED
from ..jobs.record import still_runs
from ..location.services import LocationServices
from ..log.commit import LogTransaction
from ..log.reading import event_at, existing_session
from ..models.catalog import ResolvedModel
from ..ports import InputRow, Reader, SessionRow
from ..tools.registry import AdvertisedTools
from ..values.errors import ProviderFault
from ..values.events import (
    AvailabilityChanged,
    Event,
    NoticeAdded,
    PromptAdmitted,
    StepStarted,
)
from ..values.frozen import frozen
from ..values.ids import MessageId, new_id
from ..values.job import Job
from ..values.messages import AssistantMessage
from ..values.shortcut import changed
from ..values.tool import Failure
from . import promotion
from .answers import AGAIN
from .compacting import Compacting
from .coordinator import Outcome
from .execution import Execution
from .facts import facts_now
from .fallback import Fallback

logger = logging.getLogger(__name__)

LAST_STEP = (
    "This is the last Step of this run and tools cannot be called any more. Say what "
    "was done, what is left, and how to go on."
)
CUT_OFF = "Your last answer was cut off. Go on from where it stopped."
GO_ON = "Go on."
IN_CIRCLES = (
    "You have made the same calls several times with the same results, and nothing new "
    "came of them. Do not make them again: try another way, or say what keeps you from "
    "going on. To wait for something, use a tool that waits."
)
EMPTY_ANSWER: ProviderFault = "provider.empty_answer"
AFTER: Mapping[str, str] = {
    EMPTY_ANSWER: "Your last answer held neither text nor a tool call. Answer now.",
    PART_REFUSED: "Something in this conversation was refused by your provider. If a "
    "note above says what, it is left out; go on without it.",
}
"""What the model is told after a Step that failed like this; otherwise CUT_OFF."""


@frozen
class Prepared:
    """What a Step was prepared with."""

    message_id: MessageId
    """The message that it makes."""
    profile: AgentProfile
    model: ResolvedModel
    advertised: AdvertisedTools
    context: InitialiseEpoch | UpdateEpoch | None
    rules: tuple[Rule, ...]
    """What its calls are held to."""
    wanted: tuple[str | None, str | None]
    """The session's agent and model that this was prepared for."""


class Boundary:
    """One Safe Step Boundary of an execution, tried until it holds."""

    def __init__(self, execution: Execution, services: LocationServices) -> None:
        self._execution = execution
        self._services = services
        self._log = execution.log
        self._session_id = execution.session_id
        self._sample: Snapshot | None = None
        self._sampled_for: str | None = None
        self.compacting = Compacting(execution, services, self._sampled)
        self._found_alive: Sequence[Job] = ()

    async def begin(self) -> Prepared | None:
        """Promote what is due and begin the Step; None when there is nothing to do."""
        execution = self._execution
        history = execution.history
        # What is known here is only what to try first: the transaction looks again.
        wanted, waiting = history.wanted, history.inputs.any
        while True:
            if history.place not in (None, self._services.location):
                return None  # it moved: the next Step is made there
            if history.restoring is not None:
                await self._restore()
                wanted, waiting = await self._look()
                continue
            prepare = partial(self._prepare, *wanted)
            if await self.compacting.take_turn(prepare):
                wanted, waiting = await self._look()
                continue
            known = history.seq
            wants_step = history.wants_step
            if wants_step or execution.force or waiting:
                prepared = await prepare()
                if await self.compacting.make_room(prepared, idle=not wants_step):
                    wanted, waiting = await self._look()
                    continue
                if await self._commit(prepared, known, wants_step=wants_step):
                    return prepared
            elif execution.started:
                await self._finish_if_idle(known)
            elif await execution.stand_back():
                return None
            if execution.outcome is not None:
                return None
            wanted, waiting = await self._look()

    async def _restore(self) -> None:
        """Finish what a revert, or its undoing, was about to do to files: the model is
        not to go on in a tree that is half of one time and half of another."""
        # Here, because hardly any session is left like that.
        from .restoring import finish

        turn = self._execution.history.restoring
        assert turn is not None
        made = await finish(self._log, self._services, turn)
        if made.left:
            logger.warning(
                "session %s goes on, and these files are not as they were to be: %s",
                self._session_id,
                made.left,
            )
        self._sample = None

    async def _look(self) -> tuple[tuple[str | None, str | None], bool]:
        """Return the session's agent and model and whether input waits, as the log has
        it, which the History then holds."""
        session_id = self._session_id

        def look(rows: Reader) -> tuple[SessionRow, bool]:
            row = existing_session(rows, session_id)
            waiting = rows.has_pending_input(session_id) or row.compaction_due >= 0
            return row, waiting

        row, waiting = await self._log.read(look)
        await self._execution.catch_up()
        return (row.agent, row.model), waiting

    async def _finish_if_idle(self, known: int) -> None:
        execution = self._execution
        await execution.commit(
            lambda tx: execution.end_unless_waiting(tx, Outcome("succeeded")),
            knowing=known,
        )

    async def _prepare(self, agent: str | None, model: str | None) -> Prepared:
        services = self._services
        profile = services.agent(agent)
        wanted = services.model_for(profile, model)
        resolved = await Fallback(self._execution, services, wanted).resolved()
        approvals = services.permissions.approvals
        if approvals.moved:
            await approvals.look(self._log)
        above, only = await self._execution.bound()
        # Before the tools: what a source waits for may offer some.
        context = await self._context_due(profile)
        return Prepared(
            MessageId(new_id("msg", self._log.clock)),
            profile,
            resolved,
            services.advertise(profile, resolved.name, only),
            context,
            (*services.rules(profile.name), *above),
            (agent, model),
        )

    async def _context_due(
        self, profile: AgentProfile
    ) -> InitialiseEpoch | UpdateEpoch | None:
        """Return what the model must be told of its world: all of it where an epoch
        begins, and otherwise what changed."""
        current = self._execution.history.epoch
        sample = await self._sampled(profile)
        cause = current.cause(profile.instructions)
        epoch = None
        if cause is None and current.baseline is not None:
            epoch = CurrentEpoch(current.baseline, current.sources, current.removals)
        decision = decide(
            epoch,
            sample,
            cause=cause or "",
            instructions=profile.instructions,
            redact=self._services.redact,
        )
        return None if isinstance(decision, NoChange) else decision

    async def _sampled(self, profile: AgentProfile) -> Snapshot:
        """Return what the sources say to an agent: once, however often the boundary is
        tried."""
        execution = self._execution
        if self._sample is None or self._sampled_for != profile.name:
            view = execution.history.view(profile.name)
            sources = execution.sources_in(self._services)
            self._sample = await sources.sample(view)
            self._sampled_for = profile.name
            execution.history.epoch.availability.see(self._sample)
        return self._sample

    async def _commit(
        self, prepared: Prepared, known: int, *, wants_step: bool
    ) -> bool:
        """Commit the boundary, unless the log holds more than is known, or the
        session's agent or model moved meanwhile."""
        execution = self._execution
        begun = False
        promoted = 0
        away = self._availability(prepared)

        def boundary(tx: LogTransaction) -> Outcome | None:
            nonlocal begun, promoted
            begun = False
            row = tx.session(self._session_id)
            if (row.agent, row.model) != prepared.wanted:
                return None
            due = promotion.due(
                tx.rows,
                self._session_id,
                idle=not wants_step,
                barrier=execution.history.inputs.asked_for,
            )
            if not due and not wants_step and not execution.force:
                # What was due may be gone, withdrawn or done by another worker. An
                # execution that never began has no end either (law execution.4).
                if not execution.started:
                    return None
                return execution.end_unless_waiting(tx, Outcome("succeeded"))
            info = prepared.model.info
            priced = info is not None and info.price is not None
            fresh = _admitted(tx, execution.history, due)
            reached = execution.exceeded(
                fresh, priced=priced
            ) or execution.exceeded_above(tx.rows, priced=priced)
            if reached is None and not due:
                reached = circling(execution.history.circles)
            if reached is not None:
                return execution.stop(tx, Outcome("paused", reached))
            begun = True
            tx.append(
                *execution.opening(),
                *([] if away is None else [away]),
                *promotion.promotions(self._session_id, due),
                *self._updated(prepared),
                *self._entering(tx, prepared, due),
                StepStarted(
                    session_id=self._session_id,
                    message_id=prepared.message_id,
                    agent=prepared.profile.name,
                    model=prepared.model.name,
                ),
            )
            promoted = len(due)
            return None

        if await execution.commit(boundary, knowing=known) and begun:
            self._report_left_out(prepared, away)
            self._services.jobs.told_alive(self._session_id, self._found_alive)
            execution.force = False
            execution.steps_used = 1 if promoted else execution.steps_used + 1
            if promoted:
                execution.titling.begin(self._session_id, self._services)
            return True
        return False

    def _updated(self, prepared: Prepared) -> list[Event]:
        """Return what is newly true: after new input or the results of calls, which
        it is the latest of."""
        if not isinstance(prepared.context, UpdateEpoch):
            return []
        message_id = MessageId(new_id("msg", self._log.clock))
        return [prepared.context.event(self._session_id, message_id)]

    def _availability(self, prepared: Prepared) -> AvailabilityChanged | None:
        """Return which sources can or cannot be observed any more, where that is other
        than was recorded; the beginning of an epoch says it itself."""
        if self._sample is None or isinstance(prepared.context, InitialiseEpoch):
            return None
        availability = self._execution.history.epoch.availability
        return availability.due(self._sample, self._session_id, self._services.redact)

    def _report_left_out(
        self, prepared: Prepared, away: AvailabilityChanged | None
    ) -> None:
        if isinstance(prepared.context, InitialiseEpoch):
            how, named = "begins", prepared.context.left_out
        elif away is not None:
            how, named = "goes on", away.unavailable
        else:
            return
        for key, one in named.items():
            logger.warning(
                "session %s %s without context source %r of plugin %r: %s",
                self._session_id,
                how,
                key,
                one.plugin,
                one.reason,
            )

    def _entering(
        self, tx: LogTransaction, prepared: Prepared, due: Sequence[InputRow]
    ) -> list[Event]:
        """Return what enters history at this boundary besides new input."""
        execution = self._execution
        events: list[Event] = []
        if isinstance(prepared.context, InitialiseEpoch):
            events.append(prepared.context.event(self._session_id))
        facts = facts_now(
            self._session_id,
            self._services,
            prepared.profile.name,
            prepared.model.name,
            self._services.permissions.approvals.ids(tx.rows, self._session_id),
            prepared.advertised,
            prepared.rules,
        )
        known = execution.history.facts
        if known is None or changed(known, seq=-1, created=0) != facts:
            keep(tx.rows, Policy(prepared.rules))
            events.append(facts)
        if alive := self._services.jobs.found_alive(self._session_id):
            events.append(self._notice(still_runs(alive)))
            self._found_alive = alive
        circles = execution.history.circles
        if not due and not circles.noticed and circles.repeats >= TOLD_AFTER:
            events.append(self._notice(IN_CIRCLES, about=CIRCLES))
        used = 1 if due else execution.steps_used + 1
        last = _last_answer(execution.history)
        allowance = prepared.profile.steps
        problem = execution.history.answers.problem
        if not due and last is not None and _goes_on(last, prepared):
            # Anything after the turn would end it (law execution.18).
            pass
        elif allowance is not None and used >= allowance:
            events.append(self._notice(LAST_STEP))
        elif (
            problem is not None
            and isinstance(last, AssistantMessage)
            and not last.calls
        ):
            # Where it was a call, its result says so.
            events.append(self._notice(AGAIN.format(problem=problem)))
        elif not due and last is not None:
            # Some models refuse a request that ends with their own words.
            failure = last.failure
            # Nothing of an answer was cut off where nothing of one came.
            told = CUT_OFF if failure and last.parts else GO_ON
            told = AFTER.get(failure.code, told) if failure else told
            events.append(self._notice(told))
        return events

    def _notice(self, text: str, about: str | None = None) -> NoticeAdded:
        return NoticeAdded(
            session_id=self._session_id,
            message_id=MessageId(new_id("msg", self._log.clock)),
            text=text,
            about=about,
        )


def _goes_on(last: AssistantMessage, prepared: Prepared) -> bool:
    """Whether the model that is asked goes on with the turn that was paused."""
    return last.finish == "continues" and last.model == prepared.model.name


def _last_answer(history: History) -> AssistantMessage | None:
    """Return what the model said last, where that is the last word: a model that did
    not answer said nothing, and whoever goes on for it is shown what it was shown."""
    last = history.shown.last
    if not isinstance(last, AssistantMessage) or last.calls:
        return None
    return None if history.fallen.message_id == last.id else last


def circling(circles: Circles) -> Failure | None:
    """Return why a model that goes in circles is stopped, or None (law agents.13)."""
    if circles.repeats < STOPPED_AFTER:
        return None
    tools = ", ".join(circles.tools)
    return Failure(
        "execution.circling",
        f"the same calls of {tools} came with the same results {circles.repeats + 1} "
        "times, and nothing new came between; say what to do instead, or resume",
    )


def _admitted(
    tx: LogTransaction, history: History, due: Sequence[InputRow]
) -> list[PromptAdmitted]:
    """Return these inputs as they were admitted, and as they are delivered now."""
    found: list[PromptAdmitted] = []
    for row in due:
        # Most are known already, and what an event says never changes.
        event: Event | None = history.inputs.get(row.id)
        if event is None:
            event = event_at(tx.rows, row.session_id, row.seq)
        if isinstance(event, PromptAdmitted):
            found.append(changed(event, delivery=row.delivery))
    return found
