"""One Step: prepare, request, stream, settle.

Owns the order of one Step, which is where most laws meet:

1. Everything that enters history does so in one transaction, just before the request
   is assembled: the Safe Step Boundary (law inbox.6).
2. Exactly one request is streamed.
3. A complete call is durable before anything of it starts (law tools.1), and starts
   as soon as it is, while the stream goes on; calls run concurrently.
4. Every call is settled durably, then the Step itself, and in the same transaction
   the next decision is taken if it is to stop.

Knows nothing of who woke the session, nor of what happens after it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from random import random

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from attrs import evolve

from ..context.algebra import Snapshot
from ..context.epoch import InitialiseEpoch, UpdateEpoch, admit, decide
from ..contracts import AgentProfile, CallNotice
from ..history.mending import PART_REFUSED
from ..lifecycle.guests import Guest, contained
from ..location.services import LocationServices
from ..log.commit import LogTransaction
from ..log.reading import event_at, existing_session
from ..models.catalog import ResolvedModel
from ..ports import InputRow, Reader, SessionRow
from ..tools.registry import AdvertisedTools
from ..tools.settlement import Failed, Runnable, Succeeded, prepare
from ..values.codec import clean_text, sanitised
from ..values.errors import (
    DovetailError,
    ProviderError,
    ProviderFault,
    ToolError,
    ToolStaleError,
    problem_of,
)
from ..values.events import (
    Event,
    NoticeAdded,
    PromptAdmitted,
    RetryScheduled,
    StepEnded,
    StepFailed,
    StepStarted,
    ToolCalled,
    ToolFailed,
    ToolSpawned,
    ToolStarted,
)
from ..values.frozen import frozen
from ..values.ids import MessageId, new_id
from ..values.messages import AssistantMessage, ToolPart, Usage
from ..values.prompt import Budget
from ..values.request import Finish, ModelRequest, ToolCall
from ..values.tool import Failure, ProcessMark
from . import promotion
from .calls import CallContext, record, report_defect
from .continuation import OpenCall
from .coordinator import Outcome
from .execution import Execution
from .facts import facts_now, tool_digests
from .handover import broken, handed_over
from .outputs import ManagedOutputs
from .publisher import Publisher
from .recovery import (
    LEFT,
    STOPPED,
    cut_step,
    settle_open,
    settled_call,
    with_questions,
)

logger = logging.getLogger(__name__)

LAST_STEP = (
    "This is the last Step of this run and tools cannot be called any more. Say what "
    "was done, what is left, and how to go on."
)
CUT_OFF = "Your last answer was cut off. Go on from where it stopped."
GO_ON = "Go on."
EMPTY_ANSWER: ProviderFault = "provider.empty_answer"
AFTER: Mapping[str, str] = {
    EMPTY_ANSWER: "Your last answer held neither text nor a tool call. Answer now.",
    PART_REFUSED: "Something in this conversation was refused by your provider. If a "
    "note above says what, it is left out; go on without it.",
}
"""What the model is told after a Step that failed like this; otherwise CUT_OFF."""
_NAMED = 80
CALLS_AT_ONCE = 16
"""Calls of one Step that run at the same time; the others wait for their turn."""
EVENTS_AT_ONCE = 256
"""Events of one answer that are taken in before others have their turn."""
NO_STEPS_LEFT = "execution.step_limit"
REFUSED = "tool.refused"
UNCLEAR = "Whether something that it started still runs could not be found out."
CLEAR_SECONDS = 30
"""How long a tool may take to end what a call left running."""
REPEATABLE = ("pure", "idempotent")


@frozen
class _Prepared:
    """What is known before the boundary."""

    profile: AgentProfile
    model: ResolvedModel
    context: InitialiseEpoch | UpdateEpoch | None
    wanted: tuple[str | None, str | None]
    """The session's agent and model that this was prepared for."""


class Step:
    """Runs one Step of an execution."""

    def __init__(self, execution: Execution, services: LocationServices) -> None:
        self._execution = execution
        self._services = services
        self._log = execution.log
        self._session_id = execution.session_id
        self._message_id = MessageId(new_id("msg", execution.log.clock))
        # What is complete and not yet committed: it goes with the next commit.
        self._held: list[Event] = []
        self._open: dict[str, ToolCall] = {}
        # Calls whose executor was not entered here: the start of some is recorded
        # before their turn comes.
        self._idle: set[str] = set()
        self._called = False
        self._slots = anyio.Semaphore(CALLS_AT_ONCE)
        self._promoted = 0
        self._last = False
        self._sample: Snapshot | None = None
        self._going_on = False
        self._again: float | None = None
        self._rejected: Failure | None = None
        self._committing = 0
        self._others_done: anyio.Event | None = None
        self._refused = False
        self._settlement: StepEnded | StepFailed | None = None
        self._advertised = AdvertisedTools()
        # What was found of calls that another worker left.
        self._found: dict[str, str] = {}

    async def run(self) -> bool:
        """Make one Step, and say whether the execution goes on.

        When it does not, its end is recorded. Cancelled, it settles what it left
        open and records nothing of the execution.

        Raises:
            DovetailError: nothing of the Step was recorded, and why.
        """
        execution = self._execution
        prepared = await self._boundary()
        if prepared is None:
            return False
        self._profile = prepared.profile
        self._model = prepared.model
        info = prepared.model.info
        self._price = info.price if info else None
        self._last = execution.steps_used >= prepared.profile.steps
        try:
            await self._attempt(prepared)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._settle_cancelled(self._release())
            raise
        if execution.outcome is None and self._again is not None:
            await self._log.clock.sleep(self._again)
        return execution.outcome is None

    async def go_on_with(
        self, message: AssistantMessage, calls: Sequence[OpenCall]
    ) -> None:
        """Settle the message that another worker left open, as its report says.

        Calls that may run again do so with the effect token they had; the others are
        settled with what is not known about them (law recovery.2).
        """
        row = await self._log.read(lambda rows: rows.session(self._session_id))
        assert row is not None
        self._profile = self._services.agent(row.agent)
        self._advertised = self._services.tools.advertise(self._profile.tools)
        self._message_id = message.id
        self._going_on = True
        parts = {part.call_id: part for part in message.calls}
        self._settlement = cut_step(message, LEFT)
        await self._clear(parts, calls)
        plans = {call.call_id: self._plan_again(message, parts, call) for call in calls}
        done: list[ToolFailed] = []
        for call_id, plan in plans.items():
            if isinstance(plan, Runnable):
                self._open[call_id] = plan.call
            elif plan is not None:
                done.append(plan)
        try:
            async with anyio.create_task_group() as tasks:
                if done or not self._open:
                    await self._record(lambda tx: with_questions(tx.rows, done))
                for call in calls:
                    plan = plans[call.call_id]
                    if isinstance(plan, Runnable):
                        again = self._reconcile if call.action == "check" else None
                        tasks.start_soon(again or self._execute, plan.call, plan)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._settle_cancelled([])
            raise
        except BaseExceptionGroup as group:
            raise _only(group) from group

    def _plan_again(
        self,
        message: AssistantMessage,
        parts: Mapping[str, ToolPart],
        call: OpenCall,
    ) -> Runnable | ToolFailed | None:
        """Return the call ready to run, its settlement, or None: it has one."""
        part = parts[call.call_id]
        if call.action == "none":
            return None
        if call.action == "settle":
            return self._left(message, part)
        facts = self._execution.history.facts
        known = facts.tools.get(call.tool) if facts else None
        if tool_digests(self._advertised).get(call.tool) != known:
            # Not the tool that was advertised (law tools.3).
            if call.known == "unknown":
                return self._left(message, part)
            stale: DovetailError = ToolStaleError(call.tool)
            return ToolFailed(
                session_id=self._session_id,
                message_id=message.id,
                call_id=call.call_id,
                failure=_recorded(stale),
            )
        plan = prepare(
            ToolCall(part.call_id, part.tool, part.arguments, part.metadata),
            self._advertised,
        )
        if isinstance(plan, Failed):
            return ToolFailed(
                session_id=self._session_id,
                message_id=message.id,
                call_id=call.call_id,
                failure=plan.failure,
            )
        return plan

    async def _clear(
        self, parts: Mapping[str, ToolPart], calls: Sequence[OpenCall]
    ) -> None:
        """Have the tools end what calls of unknown outcome left running, before anybody
        relies on what is said of these calls (law recovery.8)."""
        async with anyio.create_task_group() as tasks:
            for call in calls:
                if call.known == "unknown":
                    tasks.start_soon(self._clear_one, parts[call.call_id])

    async def _clear_one(self, part: ToolPart) -> None:
        call = ToolCall(part.call_id, part.tool, part.arguments, part.metadata)
        plan = prepare(call, self._advertised)
        if isinstance(plan, Failed):
            return
        found: str | None = UNCLEAR
        try:
            with anyio.move_on_after(CLEAR_SECONDS):
                found = await plan.clear(self._context(call))
        except ToolError as error:
            logger.warning("%s", error, exc_info=error)
        if found:
            self._found[part.call_id] = found

    def _left(self, message: AssistantMessage, part: ToolPart) -> ToolFailed:
        progress = self._execution.history.progress(part.call_id)
        settled = settled_call(message, part, progress, LEFT)
        found = self._found.get(part.call_id)
        if found is None:
            return settled
        said = f"{settled.failure.message} {found}"
        return evolve(settled, failure=evolve(settled.failure, message=said))

    async def _reconcile(self, call: ToolCall, plan: Runnable) -> None:
        """Ask the tool what became of a call before deciding about it."""
        context = self._context(call)
        settled: Succeeded | Failed
        try:
            found = await plan.check(context)
        except ToolError as error:
            logger.warning("%s", error)
            message = self._execution.history.open
            assert message is not None
            [part] = [one for one in message.calls if one.call_id == call.call_id]
            settled = Failed(self._left(message, part).failure)
        else:
            if found is None:
                await self._execute(call, plan)
                return
            settled = found
        await self._settle(call, settled, context)

    # --- 1. the boundary ----------------------------------------------------------

    async def _boundary(self) -> _Prepared | None:
        """Promote what is due and begin the Step; None when there is nothing to do."""
        execution = self._execution
        history = execution.history
        # What is known here is only what to try first: the transaction looks again.
        wanted, waiting = history.wanted, history.waiting
        while True:
            known = history.seq
            wants_step = history.wants_step
            if wants_step or execution.force or waiting:
                prepared = await self._prepare(*wanted)
                if await self._begin(prepared, known, wants_step=wants_step):
                    return prepared
            elif execution.started:
                await self._finish_if_idle(known)
            elif await execution.stand_back():
                return None
            if execution.outcome is not None:
                return None
            wanted, waiting = await self._look()

    async def _look(self) -> tuple[tuple[str | None, str | None], bool]:
        """Return the session's agent and model and whether input waits, as the log has
        it, which the History then holds."""
        session_id = self._session_id

        def look(rows: Reader) -> tuple[SessionRow, bool]:
            waiting = rows.has_pending_input(session_id)
            return existing_session(rows, session_id), waiting

        row, waiting = await self._log.read(look)
        await self._execution.catch_up()
        return (row.agent, row.model), waiting

    async def _finish_if_idle(self, known: int) -> None:
        await self._execution.commit(
            lambda tx: self._ending(tx, Outcome("succeeded"), []), knowing=known
        )

    def _ending(
        self, tx: LogTransaction, outcome: Outcome, events: Sequence[Event]
    ) -> Outcome | None:
        """Append events, and the end of the execution unless input is waiting."""
        execution = self._execution
        waiting = tx.rows.has_pending_input(self._session_id)
        # New input brings new Steps: only a failure or a stop leaves it waiting.
        ends = outcome.status in ("failed", "interrupted") or not waiting
        ending = [execution.ended(outcome)] if ends else []
        tx.append(*execution.opening(), *events, *ending)
        return outcome if ends else None

    def _stop(self, tx: LogTransaction, outcome: Outcome) -> Outcome:
        """Append the end of the execution, whatever is waiting."""
        execution = self._execution
        tx.append(*execution.opening(), execution.ended(outcome))
        return outcome

    async def _prepare(self, agent: str | None, model: str | None) -> _Prepared:
        services = self._services
        profile = services.agent(agent)
        resolved = services.catalog.resolve(services.model_for(profile, model))
        self._advertised = services.tools.advertise(profile.tools)
        return _Prepared(profile, resolved, await self._context_due(), (agent, model))

    async def _context_due(self) -> InitialiseEpoch | UpdateEpoch | None:
        """Return what the model must be told of its world before anything else."""
        history = self._execution.history
        if history.baseline is not None and not history.left_out:
            return None
        if self._sample is None:
            # Once, however often the boundary is tried.
            self._sample = await self._services.context.sample()
        if history.baseline is not None:
            return admit(history.left_out, self._sample)
        decision = decide(None, self._sample)
        assert isinstance(decision, InitialiseEpoch)
        return decision

    async def _begin(
        self, prepared: _Prepared, known: int, *, wants_step: bool
    ) -> bool:
        """Commit the boundary, unless the log holds more than is known, or the
        session's agent or model moved meanwhile."""
        execution = self._execution
        begun = False

        def boundary(tx: LogTransaction) -> Outcome | None:
            nonlocal begun
            begun = False
            row = tx.session(self._session_id)
            if (row.agent, row.model) != prepared.wanted:
                return None
            due = promotion.due(tx.rows, self._session_id, idle=not wants_step)
            if not due and not wants_step and not execution.force:
                # What was due may be gone, withdrawn or done by another worker. An
                # execution that never began has no end either (law execution.4).
                if not execution.started:
                    return None
                return self._ending(tx, Outcome("succeeded"), [])
            info = prepared.model.info
            priced = info is not None and info.price is not None
            reached = execution.exceeded(_new_budget(tx, due), priced=priced)
            if reached is not None:
                return self._stop(tx, Outcome("paused", reached))
            begun = True
            tx.append(
                *execution.opening(),
                *self._admitted(prepared),
                *promotion.promotions(self._session_id, due),
                *self._entering(tx, prepared, due),
                StepStarted(
                    session_id=self._session_id,
                    message_id=self._message_id,
                    agent=prepared.profile.name,
                    model=prepared.model.name,
                ),
            )
            self._promoted = len(due)
            return None

        if await execution.commit(boundary, knowing=known) and begun:
            self._report_left_out(prepared)
            execution.force = False
            execution.steps_used = 1 if self._promoted else execution.steps_used + 1
            return True
        return False

    def _admitted(self, prepared: _Prepared) -> list[Event]:
        """Return what could not be told when the epoch began, and can be now: before
        new input, which may be about it."""
        if not isinstance(prepared.context, UpdateEpoch):
            return []
        message_id = MessageId(new_id("msg", self._log.clock))
        return [prepared.context.event(self._session_id, message_id)]

    def _report_left_out(self, prepared: _Prepared) -> None:
        if isinstance(prepared.context, InitialiseEpoch):
            for key, one in prepared.context.left_out.items():
                logger.warning(
                    "session %s begins without context source %r of plugin %r: %s",
                    self._session_id,
                    key,
                    one.plugin,
                    one.reason,
                )

    def _entering(
        self, tx: LogTransaction, prepared: _Prepared, due: Sequence[InputRow]
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
            self._services.permissions.approvals.ids(tx.rows),
            self._advertised,
        )
        known = execution.history.facts
        if known is None or evolve(known, seq=-1, created=0) != facts:
            events.append(facts)
        used = 1 if due else execution.steps_used + 1
        last = execution.history.last
        if used >= prepared.profile.steps:
            events.append(self._notice(LAST_STEP))
        elif not due and isinstance(last, AssistantMessage) and not last.calls:
            # Some models refuse a request that ends with their own words.
            failure = last.failure
            # Nothing of an answer was cut off where nothing of one came.
            told = CUT_OFF if failure and last.parts else GO_ON
            told = AFTER.get(failure.code, told) if failure else told
            events.append(self._notice(told))
        return events

    def _notice(self, text: str) -> NoticeAdded:
        return NoticeAdded(
            session_id=self._session_id,
            message_id=MessageId(new_id("msg", self._log.clock)),
            text=text,
        )

    # --- 2. the request -----------------------------------------------------------

    def _request(self, prepared: _Prepared) -> ModelRequest:
        history = self._execution.history
        system = (history.baseline or "", prepared.profile.instructions)
        request = ModelRequest(
            model=prepared.model.model,
            system=tuple(text for text in system if text),
            history=history.snapshot(),
            tools=self._advertised.definitions,
            tool_choice="none" if self._last else "auto",
        )
        return self._services.prepare(request, self._session_id)

    async def _attempt(self, prepared: _Prepared) -> None:
        """Stream the request, again where that is allowed, and settle the Step."""
        try:
            async with anyio.create_task_group() as calls:
                attempt = 1
                while True:
                    error = await self._stream(prepared, calls)
                    delay = self._delay(error, attempt)
                    if delay is None or self._publisher.has_output:
                        break
                    # Nothing came of it that anybody could have relied on
                    # (law execution.8).
                    attempt += 1
                    await self._wait_to_retry(error, attempt, delay)
                await self._streamed(error)
        except BaseExceptionGroup as group:
            raise _only(group) from group

    async def _stream(
        self, prepared: _Prepared, calls: TaskGroup
    ) -> DovetailError | None:
        """Make one Physical Attempt; return why it failed, or None."""
        model = prepared.model
        provider = model.entry.item
        self._publisher = publisher = Publisher(
            self._session_id,
            self._message_id,
            model.provider,
            self._log.live,
            provider.limits,
        )
        complete = False
        try:
            request = self._request(prepared)
            silence = self._execution.settings.silence
            if silence is None:
                silence = provider.silence
            listening = self._execution.silence.listening(model.provider, silence)
            with contained(_guest(model)), model.entry.busy(), listening as heard:
                async with handed_over(model.provider, model.route, request) as stream:
                    count = 0
                    async for event in stream:
                        heard()
                        self._held += publisher.take(event)
                        if isinstance(event, ToolCall):
                            await self._call(event, calls)
                        count += 1
                        if not count % EVENTS_AT_ONCE:
                            # What comes without waiting must not keep others waiting.
                            await anyio.lowlevel.checkpoint()
                    complete = publisher.finish is not None
            if publisher.finish is None:
                raise ProviderError(
                    "provider.stream_broken",
                    model.provider,
                    "the stream ended before the response was complete",
                    retryable=True,
                )
        except DovetailError as error:
            if not complete:
                return error
            # The answer was whole; what broke was only its goodbye.
            logger.warning("%s", error)
        except Exception as error:
            # Boundary: a provider plugin is a stranger's code.
            made = broken(model.provider, error)
            if not complete:
                return made
        return None

    def _delay(self, error: DovetailError | None, attempt: int) -> float | None:
        """Return how long to wait before going on after a failure; None: do not."""
        if not isinstance(error, ProviderError) or not error.retryable:
            return None
        return self._execution.settings.retry.delay(
            attempt, error.retry_after, random()
        )

    async def _wait_to_retry(
        self, error: DovetailError | None, attempt: int, delay: float
    ) -> None:
        assert error is not None
        scheduled = RetryScheduled(
            session_id=self._session_id,
            message_id=self._message_id,
            attempt=attempt,
            delay_ms=int(delay * 1000),
            failure=_recorded(error),
        )
        await self._execution.commit(lambda tx: _append(tx, [scheduled]))
        await self._log.clock.sleep(delay)

    async def _streamed(self, error: DovetailError | None) -> None:
        """Record the rest of the answer, and the Step when no call is open."""
        execution = self._execution
        held = self._release()
        finish = self._publisher.finish or Finish("error", Usage())
        if error is None:
            error = self._unlike_an_answer(finish)
        failure = None if error is None else _recorded(error)
        execution.broken = 0 if failure is None else execution.broken + 1
        empty = failure is not None and failure.code == EMPTY_ANSWER
        execution.empty = execution.empty + 1 if empty else 0
        if self._publisher.has_output:
            # What broke off is kept, and another message goes on from there.
            self._again = self._delay(error, execution.broken)
        elif failure and failure.code == PART_REFUSED and execution.history.mends:
            # The next request is another one.
            self._again = 0.0
        cost = None
        if self._price and finish.usage != Usage():
            cost = self._price.of(finish.usage)
        if failure is not None and not (self._called and self._again is not None):
            self._settlement = StepFailed(
                session_id=self._session_id,
                message_id=self._message_id,
                failure=failure,
                usage=finish.usage,
                cost=cost,
            )
        else:
            # A call that was run is part of no Step that is tried again: where the
            # answer broke off after it, its result is what the next Step goes on from.
            self._settlement = StepEnded(
                session_id=self._session_id,
                message_id=self._message_id,
                finish="error" if failure else finish.reason,
                usage=finish.usage,
                cost=cost,
                broke_off=failure,
            )
        if held or not self._open:
            await self._record(lambda _: held)

    def _unlike_an_answer(self, finish: Finish) -> ProviderError | None:
        """Return why a complete answer is no success, or None when it is one."""
        provider = self._model.provider
        if finish.reason == "content_filter":
            return ProviderError(
                "provider.content_refused", provider, "the provider refused"
            )
        if finish.reason == "error":
            return ProviderError(
                "provider.failed",
                provider,
                "it ended its answer with an error, and did not say which",
                retryable=True,
            )
        if self._publisher.has_answer:
            return None
        thought = "thoughts alone" if self._publisher.thought else "nothing"
        cut = ", and no output was left" if finish.reason == "length" else ""
        again = self._execution.empty == 0
        return ProviderError(
            EMPTY_ANSWER,
            provider,
            f"the answer held {thought}{cut}" + ("" if again else ", twice in a row"),
            retryable=again,
        )

    def _release(self) -> list[Event]:
        held, self._held = [*self._held, *self._publisher.flush()], []
        return held

    # --- 3. the calls -------------------------------------------------------------

    async def _call(self, call: ToolCall, calls: TaskGroup) -> None:
        """Record a complete call, then start it."""
        self._called = True
        call = _clean(call)
        meant = self._advertised.meant(call.tool)
        named: str | None = None
        reading: tuple[str, ...] = ()
        if meant is not None and meant != call.tool:
            named, call = call.tool, evolve(call, tool=meant)
            reading = (f"the tool {named[:_NAMED]!r} was read as {meant!r}",)
        before, self._held = self._held, []
        if self._last:
            plan: Runnable | Failed = Failed(Failure(NO_STEPS_LEFT, LAST_STEP))
        else:
            plan = prepare(call, self._advertised)
        if isinstance(plan, Runnable):
            reading = (*reading, *plan.reading)
        effect = self._advertised.effect(call.tool)
        events = [
            *before,
            ToolCalled(
                session_id=self._session_id,
                message_id=self._message_id,
                call_id=call.call_id,
                tool=call.tool,
                arguments=call.arguments,
                effect=effect,
                metadata=call.metadata,
                named=named,
                reading=reading,
            ),
        ]
        if isinstance(plan, Failed):
            failed = plan
            report_defect(self._services, call, failed)
            await self._record(
                lambda tx: [
                    *events,
                    record(tx, self._session_id, self._message_id, call, failed, {}),
                ]
            )
            return
        self._open[call.call_id] = call
        self._idle.add(call.call_id)
        if effect in REPEATABLE:
            # A repeat is harmless, so nothing is lost by recording the start at once.
            events.append(self._start_of(call))
        await self._record(lambda _: events)
        calls.start_soon(self._execute, call, plan)

    def _start_of(self, call: ToolCall) -> ToolStarted:
        return ToolStarted(
            session_id=self._session_id,
            message_id=self._message_id,
            call_id=call.call_id,
        )

    async def _execute(self, call: ToolCall, plan: Runnable) -> None:
        async with self._slots:
            await self._execute_now(call, plan)

    async def _execute_now(self, call: ToolCall, plan: Runnable) -> None:
        refusal = self._services.refusal(self._noticed(call, plan))
        if refusal is not None:
            failed = Failed(Failure(REFUSED, clean_text(refusal)))
            await self._settle(call, failed, self._context(call))
            return
        if self._going_on or self._advertised.effect(call.tool) not in REPEATABLE:
            await self._record(lambda _: [self._start_of(call)])
        context = self._context(call)
        self._idle.discard(call.call_id)
        await self._settle(call, await plan.run(context), context)

    def _noticed(self, call: ToolCall, plan: Runnable) -> CallNotice:
        return CallNotice(
            session_id=self._session_id,
            message_id=self._message_id,
            call_id=call.call_id,
            tool=call.tool,
            arguments=plan.arguments,
            effect=self._advertised.effect(call.tool),
        )

    def _context(self, call: ToolCall) -> CallContext:
        return CallContext(
            self._services,
            self._log.live,
            self._execution.guard,
            self._session_id,
            self._profile.name,
            self._message_id,
            call.call_id,
            ManagedOutputs(self._log, self._execution.history),
            partial(self._go_on, call),
            partial(self._spawn, call),
            self._execution.history.spawned(call.call_id),
        )

    async def _spawn(self, call: ToolCall, process: ProcessMark) -> None:
        """Record a process before it starts, unless the session is lost already."""
        spawned = ToolSpawned(
            session_id=self._session_id,
            message_id=self._message_id,
            call_id=call.call_id,
            process=process,
        )
        await self._execution.commit(lambda tx: _append(tx, [spawned]))

    async def _go_on(self, call: ToolCall) -> None:
        """Record that an executor goes on from its question, before it does.

        Until then it is proven that it has not begun (law recovery.3); and a worker
        that lost the session while it waited stops here (law execution.2).
        """
        await self._execution.catch_up()
        if self._execution.history.progress(call.call_id) == "asking":
            await self._record(lambda _: [self._start_of(call)])

    async def _settle(
        self, call: ToolCall, settled: Succeeded | Failed, context: CallContext
    ) -> None:
        if isinstance(settled, Failed):
            report_defect(self._services, call, settled)
            if context.rejected:
                self._rejected = settled.failure
        # Between here and handing the commit over there is no await: whoever finds
        # no open call left records the Step's end in the same transaction.
        del self._open[call.call_id]
        await self._record(
            lambda tx: [
                record(
                    tx, self._session_id, self._message_id, call, settled, context.files
                )
            ]
        )

    # --- 4. the settlement --------------------------------------------------------

    async def _record(self, make: Callable[[LogTransaction], list[Event]]) -> None:
        """Commit events, and with the last of them the Step and perhaps the end."""
        settlement = self._settlement if not self._open else None
        if settlement is not None:
            self._settlement = None
        verdict = self._verdict(settlement) if settlement else None

        def recording(tx: LogTransaction) -> Outcome | None:
            # A copy: this may run more than once, and adds to it.
            events = [*make(tx)]
            if settlement is None:
                tx.append(*events)
                return None
            events.append(settlement)
            if verdict is None:
                tx.append(*events)
                return None
            return self._ending(tx, verdict, events)

        # What was taken out of memory must reach the log, also when this is cancelled.
        with anyio.CancelScope(shield=True):
            await self._in_order(recording, last=settlement is not None)

    async def _in_order(
        self, recording: Callable[[LogTransaction], Outcome | None], *, last: bool
    ) -> None:
        """Commit what was recorded, and what settles the Step after all else.

        A store that refused another call's result may take what comes after it first,
        and the Step would be settled without it.
        """
        self._committing += 1
        try:
            if last and self._committing > 1:
                self._others_done = anyio.Event()
                await self._others_done.wait()
                if self._refused:
                    return  # whoever met it ends the Step
            await self._execution.commit(recording)
        except BaseException:
            self._refused = True
            raise
        finally:
            self._committing -= 1
            if self._others_done is not None and self._committing == 1:
                self._others_done.set()

    def _verdict(self, settlement: StepEnded | StepFailed) -> Outcome | None:
        """Return how the execution ends with this Step; None when it goes on."""
        if self._going_on:
            return Outcome("interrupted", self._rejected) if self._rejected else None
        if isinstance(settlement, StepFailed) and self._again is not None:
            return None
        if isinstance(settlement, StepFailed):
            return Outcome("failed", settlement.failure)
        if self._rejected is not None:
            return Outcome("interrupted", self._rejected)
        if not self._called:
            return Outcome("succeeded")
        if self._last:
            return Outcome("paused", Failure(NO_STEPS_LEFT, "no Steps are left"))
        return None

    async def _settle_cancelled(self, held: list[Event]) -> None:
        """Leave a valid transcript behind (law execution.5)."""
        execution = self._execution
        history = execution.history
        await execution.commit(lambda tx: _append(tx, held))
        while history.open is not None:
            await execution.commit(
                lambda tx: _append(
                    tx, settle_open(tx.rows, history, STOPPED, self._idle)
                ),
                knowing=history.seq,
            )


def _new_budget(tx: LogTransaction, due: Sequence[InputRow]) -> Budget | None:
    """Return the budget that the last of these inputs with one came with."""
    for row in reversed(due):
        admitted = event_at(tx.rows, row.session_id, row.seq)
        if isinstance(admitted, PromptAdmitted) and admitted.budget is not None:
            return admitted.budget
    return None


def _guest(model: ResolvedModel) -> Guest:
    return Guest(model.entry.owner, f"provider {model.provider!r}")


def _append(tx: LogTransaction, events: list[Event]) -> None:
    tx.append(*events)


def _clean(call: ToolCall) -> ToolCall:
    """Return the call with text that can be stored: models cut surrogates in two."""
    return evolve(
        call,
        call_id=clean_text(call.call_id),
        tool=clean_text(call.tool),
        arguments=clean_text(call.arguments),
        metadata=sanitised(call.metadata),
    )


def _recorded(error: DovetailError) -> Failure:
    return Failure(**problem_of(error))


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception of a group that is not a cancellation."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
