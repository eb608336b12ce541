"""The calls of one Step: recorded, run side by side, settled.

Owns that a complete call is durable before anything of it starts (law tools.1), how
many run at a time, and what an executor leaves behind as events. When the Step is
settled is the ``record``'s to say; what an executor may use is in ``call_context``.
"""

import logging
import traceback
from collections.abc import Mapping, Sequence
from functools import partial

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint_if_cancelled
from attrs import evolve

from ..contracts import CallNotice, Rule
from ..history.todos import todos_of
from ..lifecycle.guests import take_back
from ..location.services import LocationServices
from ..log.commit import LogTransaction
from ..requests.asking import withdrawals
from ..tools.registry import AdvertisedTools
from ..tools.settlement import Failed, Runnable, Succeeded, prepare
from ..values.codec import clean_text, sanitised
from ..values.events import (
    Event,
    TodosReplaced,
    ToolCalled,
    ToolFailed,
    ToolProceeded,
    ToolSpawned,
    ToolStarted,
    ToolSucceeded,
)
from ..values.grant import Grant, Grants
from ..values.ids import MessageId, SessionId
from ..values.request import ToolCall
from ..values.sent import SentRequest
from ..values.shortcut import changed
from ..values.todo import Todo
from ..values.tool import Deed, Failure, ProcessMark
from .boundary import LAST_STEP
from .call_context import CallContext
from .changes import KeptChange, kept
from .children import SessionChildren
from .execution import Execution
from .outputs import ManagedOutputs
from .past import OwnPast
from .record import StepRecord
from .recovery import account

logger = logging.getLogger(__name__)

MAX_NAMED = 80
"""Characters of a tool's name as a model wrote it that are told of."""
CALLS_AT_ONCE = 16
"""Calls of one Step that run at the same time; the others wait for their turn."""
NO_STEPS_LEFT = "execution.step_limit"
REFUSED = "tool.refused"
REPEATABLE = ("pure", "idempotent")


class Calls:
    """The calls of one message."""

    def __init__(
        self,
        execution: Execution,
        services: LocationServices,
        record: StepRecord,
        message_id: MessageId,
        agent: str,
        advertised: AdvertisedTools,
        rules: tuple[Rule, ...],
        model: str,
        *,
        last: bool = False,
        taken_over: bool = False,
    ) -> None:
        self._execution = execution
        self._services = services
        self._log = execution.log
        self._session_id = execution.session_id
        self._record = record
        self._message_id = message_id
        self._agent = agent
        self._advertised = advertised
        self._rules = rules
        self._model = model
        self._last = last
        """Whether nothing may be called any more."""
        self._taken_over = taken_over
        """Whether another worker left them, so that no start is recorded yet."""
        self._slots = anyio.Semaphore(CALLS_AT_ONCE, fast_acquire=True)
        self.any = False
        """Whether the model made a call."""
        self.idle: set[str] = set()
        """Calls whose executor was not entered here: the start of some is recorded
        before their turn comes."""
        self.changes: dict[str, Sequence[KeptChange]] = {}
        """What the executors that run changed so far, by call: it counts however their
        calls end."""
        self.rejected: Failure | None = None
        """What a person said no to, and nothing else: the run stops then."""

    async def begin(
        self,
        call: ToolCall,
        before: Sequence[Event],
        tasks: TaskGroup,
        request: SentRequest | None = None,
    ) -> None:
        """Record what came before a complete call, and the call; then start it.

        ``request`` is what was sent, where nothing records it yet.
        """
        self.any = True
        call = clean_call(call)
        meant = self._advertised.meant(call.tool)
        named: str | None = None
        reading: tuple[str, ...] = ()
        if meant is not None and meant != call.tool:
            named, call = call.tool, evolve(call, tool=meant)
            reading = (f"the tool {named[:MAX_NAMED]!r} was read as {meant!r}",)
        if self._last:
            plan: Runnable | Failed = Failed(Failure(NO_STEPS_LEFT, LAST_STEP))
        else:
            plan = prepare(call, self._advertised, redact=self._services.redact)
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
                waits=isinstance(plan, Runnable) and plan.waits,
                request=request,
            ),
        ]
        if isinstance(plan, Failed):
            failed = plan
            report_defect(self._services, call, failed)
            await self._record.commit(
                lambda tx: [
                    *events,
                    record(tx, self._session_id, self._message_id, call, failed, {}),
                ]
            )
            return
        self._record.open[call.call_id] = call
        self.idle.add(call.call_id)
        if effect in REPEATABLE:
            # A repeat is harmless, so nothing is lost by recording the start at once.
            events.append(self._start_of(call))
        await self._record.commit(lambda _: events)
        tasks.start_soon(self.run, call, plan)

    def _start_of(self, call: ToolCall, granted: tuple[Grant, ...] = ()) -> ToolStarted:
        return ToolStarted(
            session_id=self._session_id,
            message_id=self._message_id,
            call_id=call.call_id,
            granted=granted,
        )

    async def run(self, call: ToolCall, plan: Runnable) -> None:
        """Run an executor when its turn comes, and settle the call."""
        async with self._slots:
            # Its turn may have come because those before it were cancelled, as it is.
            await checkpoint_if_cancelled()
            await self._run_now(call, plan)

    async def _run_now(self, call: ToolCall, plan: Runnable) -> None:
        refusal = self._services.refusal(self._noticed(call, plan))
        await take_back()
        if refusal is not None:
            failed = Failed(Failure(REFUSED, clean_text(refusal)))
            await self.settle(call, failed, self.context(call))
            return
        if self._taken_over or self._advertised.effect(call.tool) not in REPEATABLE:
            await self._record.commit(lambda _: [self._start_of(call)])
        context = self.context(call)
        self.idle.discard(call.call_id)
        self.changes[call.call_id] = context.changes
        try:
            settled = await plan.run(context)
        except anyio.get_cancelled_exc_class() as error:
            if not await take_back():
                raise
            settled = plan.cancelled_itself(error)
        else:
            await take_back()
        if isinstance(settled, Failed) and settled.defect is not None:
            settled = await self._with_receipt(call, settled)
        await self.settle(call, settled, context)

    async def _with_receipt(self, call: ToolCall, broken: Failed) -> Failed:
        """Return the failure of a tool that broke, with what the call had done."""
        await self._execution.catch_up()
        told = account(self._execution.history.receipt(call.call_id))
        if not told:
            return broken
        message = f"{broken.failure.message}. {told}"
        return evolve(broken, failure=evolve(broken.failure, message=message))

    def _noticed(self, call: ToolCall, plan: Runnable) -> CallNotice:
        return CallNotice(
            session_id=self._session_id,
            message_id=self._message_id,
            call_id=call.call_id,
            tool=call.tool,
            arguments=plan.arguments,
            effect=self._advertised.effect(call.tool),
        )

    def context(self, call: ToolCall) -> CallContext:
        """Return what one execution of a call may use."""
        return CallContext(
            self._services,
            self._log.live,
            self._execution.guard,
            self._session_id,
            self._agent,
            self._rules,
            self._message_id,
            call.call_id,
            call.tool,
            ManagedOutputs(self._log, self._execution.history),
            partial(self._go_on, call),
            partial(self._spawn, call),
            partial(self._keep_todos, call),
            self._execution.history.spawned(call.call_id),
            partial(self._proceed, call),
            self._execution.history.deeds(call.call_id),
            OwnPast(self._log, self._execution.history),
            SessionChildren(
                self._execution,
                self._services,
                (self._session_id, self._message_id, call.call_id),
                call.tool,
                self._rules,
                self._advertised.names,
                self._model,
            ),
        )

    async def _spawn(
        self, call: ToolCall, process: ProcessMark, grants: Grants
    ) -> None:
        """Record a process before it starts, unless the session is lost already."""
        spawned = ToolSpawned(
            session_id=self._session_id,
            message_id=self._message_id,
            call_id=call.call_id,
            process=process,
            granted=grants.take(),
        )
        await self._execution.commit(lambda tx: _append(tx, spawned))

    async def _proceed(self, call: ToolCall, deed: Deed, grants: Grants) -> None:
        """Record what a call does next, unless the session is lost already."""
        proceeded = ToolProceeded(
            session_id=self._session_id,
            message_id=self._message_id,
            call_id=call.call_id,
            deed=deed,
            granted=grants.take(),
        )
        await self._execution.commit(lambda tx: _append(tx, proceeded))

    async def _keep_todos(self, call: ToolCall, todos: tuple[Todo, ...]) -> None:
        """Replace the session's list; the same again leaves no event."""
        replaced = TodosReplaced(
            session_id=self._session_id,
            todos=todos,
            message_id=self._message_id,
            call_id=call.call_id,
        )

        def replace(tx: LogTransaction) -> None:
            if todos_of(tx.rows, self._session_id) != todos:
                tx.append(replaced)

        await self._execution.commit(replace)

    async def _go_on(self, call: ToolCall, grants: Grants) -> None:
        """Record that an executor goes on from its question, before it does.

        Until then it is proven that it has not begun (law recovery.3); and a worker
        that lost the session while it waited stops here (law execution.2).
        """
        await self._execution.catch_up()
        if self._execution.history.progress(call.call_id) == "asking":
            started = self._start_of(call, grants.take())
            await self._record.commit(lambda _: [started])

    async def settle(
        self, call: ToolCall, settled: Succeeded | Failed, context: CallContext
    ) -> None:
        """Record what became of a call."""
        if isinstance(settled, Failed):
            report_defect(self._services, call, settled)
            if context.rejected:
                self.rejected = settled.failure
        # Between here and handing the commit over there is no await: whoever finds
        # no open call left records the Step's end in the same transaction.
        del self._record.open[call.call_id]
        self.changes.pop(call.call_id, None)
        granted = context.grants.take()
        await self._record.commit(
            lambda tx: [
                *self._left_asking(tx, call),
                record(
                    tx,
                    self._session_id,
                    self._message_id,
                    call,
                    settled,
                    context.files,
                    granted,
                    context.changes,
                ),
            ]
        )

    def _left_asking(self, tx: LogTransaction, call: ToolCall) -> Sequence[Event]:
        """Return the ends of what the call asked in an earlier process and did not ask
        again: a tool that is another one inside asks for something else, or nothing."""
        if not self._taken_over:
            return ()
        return withdrawals(
            tx.rows, self._session_id, {(self._message_id, call.call_id)}
        )


def clean_call(call: ToolCall) -> ToolCall:
    """Return the call with text that can be stored: models cut surrogates in two."""
    return changed(
        call,
        call_id=clean_text(call.call_id),
        tool=clean_text(call.tool),
        arguments=clean_text(call.arguments),
        metadata=sanitised(call.metadata),
    )


def _append(tx: LogTransaction, event: Event) -> None:
    tx.append(event)


def record(
    tx: LogTransaction,
    session_id: SessionId,
    message_id: MessageId,
    call: ToolCall,
    settled: Succeeded | Failed,
    files: Mapping[str, str | None],
    granted: tuple[Grant, ...] = (),
    changes: Sequence[KeptChange] = (),
) -> Event:
    """Return the settlement of a call as an event, and keep its complete output, and
    what the files held that it changed."""
    managed = None
    changed_files = kept(tx.rows, changes)
    if settled.full is not None:
        managed = tx.rows.put_blob(settled.full.encode())
        settled = settled.kept_as(managed)
    if isinstance(settled, Failed):
        return ToolFailed(
            session_id=session_id,
            message_id=message_id,
            call_id=call.call_id,
            failure=settled.failure,
            managed=managed,
            changes=changed_files,
            granted=granted,
        )
    return ToolSucceeded(
        session_id=session_id,
        message_id=message_id,
        call_id=call.call_id,
        content=settled.content,
        data=settled.data,
        managed=managed,
        files=dict(files),
        changes=changed_files,
        granted=granted,
    )


def report_defect(services: LocationServices, call: ToolCall, settled: Failed) -> None:
    """Tell the operator about a tool that broke; the model was told less."""
    if settled.defect is not None:
        told = "".join(traceback.format_exception(settled.defect))
        clean = services.redact(told)
        logger.error(
            "tool %r broke in call %r at %s%s",
            call.tool,
            call.call_id,
            services.location.directory,
            "" if clean == told else f"\n{clean}",
            # A traceback with a key in it is told as a text, without it.
            exc_info=settled.defect if clean == told else None,
        )
