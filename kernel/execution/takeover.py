"""Takeover: going on with the Step that another worker left.

Owns how an open message is settled once its Continuation Report was accepted: which
calls run again, with the effect token they had, which are asked about first, and what
is said of the others (law recovery.2). It makes no request; the next Step does.
"""

import logging
from collections.abc import Sequence

import anyio
from attrs import evolve

from ..access.policy import policy_at
from ..contracts import AgentProfile, Rule
from ..lifecycle.guests import take_back
from ..location.services import LocationServices
from ..tools.registry import AdvertisedTools
from ..tools.settlement import Failed, Runnable, Settled, Succeeded, prepare
from ..values.codec import clean_text
from ..values.errors import (
    AgentNotFoundError,
    DovetailError,
    ToolError,
    ToolFailure,
    ToolStaleError,
    first_of,
    problem_of,
)
from ..values.events import ToolFailed
from ..values.messages import AssistantMessage, ToolPart
from ..values.request import ToolCall
from ..values.tool import Failure
from .call_context import CallContext
from .calls import Calls
from .continuation import OpenCall
from .coordinator import Outcome
from .execution import Execution
from .facts import tool_digests
from .record import Settlement, StepRecord
from .recovery import LEFT, cut_step, settled_call, with_questions
from .used import Used

logger = logging.getLogger(__name__)

UNCLEAR = "Whether something that it started still runs could not be found out."
MAX_SAID = 2_000
"""Characters of what a check says when it cannot tell."""
CLEAR_SECONDS = 30
"""How long a tool may take to end what a call left running."""


class Takeover:
    """One open message, and what becomes of its calls."""

    def __init__(
        self,
        execution: Execution,
        services: LocationServices,
        message: AssistantMessage,
        advertised: AdvertisedTools,
        rules: tuple[Rule, ...],
    ) -> None:
        self._execution = execution
        self._session_id = execution.session_id
        self._message = message
        self._parts = {part.call_id: part for part in message.calls}
        self._advertised = advertised
        self._record = StepRecord(execution, self._verdict)
        self._record.settlement = cut_step(message, LEFT)
        self._calls = Calls(
            execution,
            services,
            self._record,
            message.id,
            message.agent,
            self._advertised,
            rules,
            message.model,
            taken_over=True,
        )
        # What was found of calls whose outcome is unknown.
        self._found: dict[str, str] = {}

    @classmethod
    async def of(
        cls,
        execution: Execution,
        services: LocationServices,
        message: AssistantMessage,
    ) -> "Takeover":
        """Return the takeover of a message: its calls are those of the agent that made
        them, and are held to what the Step was held to that made them, whatever the
        session's agent or its profile is by now.
        """
        history = execution.history
        try:
            profile = services.agent(message.agent)
        except AgentNotFoundError:
            # What it was held to is known all the same.
            profile = AgentProfile(message.agent)
        if history.facts is not None:
            profile = evolve(profile, tools=tuple(history.facts.tools), without=())
        above, only = await execution.bound()
        advertised = services.advertise(profile, message.model, only)
        digest = history.policy
        if digest is None:
            rules = (*services.rules(profile.name), *above)
        else:
            policy = await execution.log.read(lambda rows: policy_at(rows, digest))
            rules = policy.rules
        return cls(execution, services, message, advertised, rules)

    async def go_on(self, calls: Sequence[OpenCall]) -> None:
        """Settle the message as its report says."""
        await self._clear(calls)
        plans = {call.call_id: self._plan(call) for call in calls}
        record = self._record
        done: list[ToolFailed] = []
        for call_id, plan in plans.items():
            if isinstance(plan, Runnable):
                record.open[call_id] = plan.call
            elif plan is not None:
                done.append(plan)
        try:
            async with anyio.create_task_group() as tasks:
                if done or not record.open:
                    await record.commit(lambda tx: with_questions(tx.rows, done))
                for call in calls:
                    plan = plans[call.call_id]
                    if isinstance(plan, Runnable):
                        again = self._reconcile if call.action == "check" else None
                        tasks.start_soon(again or self._calls.run, plan.call, plan)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await record.settle_cancelled(
                    [], self._calls.idle, self._calls.changes, None, Used(unpriced=1)
                )
            raise
        except BaseExceptionGroup as group:
            raise first_of(group) from group

    def _verdict(self, settlement: Settlement) -> Outcome | None:
        """Return how the execution ends with this message; None when it goes on."""
        rejected = self._calls.rejected
        return Outcome("interrupted", rejected) if rejected else None

    def _plan(self, call: OpenCall) -> Runnable | ToolFailed | None:
        """Return the call ready to run, its settlement, or None: it has one.

        1. It was settled: nothing is to be done.
        2. The report says that it is not run again: what is known of it is said.
        3. The tool is not the one that was advertised (law tools.3). Where nobody knows
           what the call did, that is said, and otherwise that the tool is stale.
        4. Its input or its tool is refused by now: that is its settlement.
        5. It runs, with the effect token that it had.
        """
        part = self._parts[call.call_id]
        if call.action == "none":
            return None
        if call.action == "settle":
            return self._left(part)
        facts = self._execution.history.facts
        known = facts.tools.get(call.tool) if facts else None
        if tool_digests(self._advertised).get(call.tool) != known:
            # Not the tool that was advertised (law tools.3).
            if call.known == "unknown":
                return self._left(part)
            stale: DovetailError = ToolStaleError(call.tool)
            return ToolFailed(
                session_id=self._session_id,
                message_id=self._message.id,
                call_id=call.call_id,
                failure=Failure(**problem_of(stale)),
            )
        plan = prepare(
            ToolCall(part.call_id, part.tool, part.arguments, part.metadata),
            self._advertised,
        )
        if isinstance(plan, Failed):
            return ToolFailed(
                session_id=self._session_id,
                message_id=self._message.id,
                call_id=call.call_id,
                failure=plan.failure,
            )
        return plan

    async def _clear(self, calls: Sequence[OpenCall]) -> None:
        """Have the tools end what calls of unknown outcome left running, before anybody
        relies on what is said of these calls (law recovery.8)."""
        async with anyio.create_task_group() as tasks:
            for call in calls:
                if call.known == "unknown":
                    tasks.start_soon(self._clear_one, self._parts[call.call_id])

    async def _clear_one(self, part: ToolPart) -> None:
        call = ToolCall(part.call_id, part.tool, part.arguments, part.metadata)
        plan = prepare(call, self._advertised)
        if isinstance(plan, Failed):
            return
        found: str | None = UNCLEAR
        try:
            with anyio.move_on_after(CLEAR_SECONDS):
                found = await plan.clear(self._calls.context(call))
        except ToolError as error:
            logger.warning("%s", error, exc_info=error)
        if found:
            self._found[part.call_id] = found

    def _left(self, part: ToolPart) -> ToolFailed:
        history = self._execution.history
        progress = history.progress(part.call_id)
        receipt = history.receipt(part.call_id)
        settled = settled_call(self._message, part, progress, LEFT, receipt)
        found = self._found.get(part.call_id)
        if found is None:
            return settled
        said = f"{settled.failure.message} {found}"
        return evolve(settled, failure=evolve(settled.failure, message=said))

    async def _reconcile(self, call: ToolCall, plan: Runnable) -> None:
        """Ask the tool what became of a call before deciding about it."""
        context = self._calls.context(call)
        settled: Succeeded | Failed
        try:
            found = await _checked(plan, context)
        except ToolError as error:
            logger.warning("%s", error)
            failure = self._left(self._parts[call.call_id]).failure
            if isinstance(error.__cause__, ToolFailure):
                # What the tool found out all the same, in words for the model.
                says = clean_text(str(error.__cause__)[:MAX_SAID])
                message = f"{failure.message} Its tool says: {says}"
                failure = evolve(failure, message=message)
            settled = Failed(failure)
        else:
            if found is None:
                await self._calls.run(call, plan)
                return
            settled = found
        await self._calls.settle(call, settled, context)


async def _checked(plan: Runnable, context: CallContext) -> Settled | None:
    """Ask the tool, in a task that it may have cancelled itself.

    Raises:
        ToolError: it cannot be told.
    """
    try:
        return await plan.check(context)
    except anyio.get_cancelled_exc_class() as error:
        if not await take_back():
            raise
        raise ToolError(f"{plan.call.tool} cannot tell") from error
    finally:
        await take_back()
