"""One Step: prepare, request, stream, settle.

Owns the order of one Step, which is where most laws meet:

1. Everything that enters history does so in one transaction, just before the request
   is assembled: the Safe Step Boundary (law inbox.6).
2. Exactly one request is streamed.
3. A complete call is durable before anything of it starts (law tools.1), and starts
   as soon as it is, while the stream goes on; calls run concurrently.
4. Every call is settled durably, then the Step itself, and in the same transaction
   the next decision is taken if it is to stop.

The first is in ``boundary``, a request and its stream in ``attempt``, the calls in
``calls``, what is committed and in which order in ``record``. Here is when there is
another attempt, and what an answer comes to. Going on with a Step that another worker
left is in ``takeover``. Knows nothing of who woke the session, nor of what happens
after it.
"""

from collections.abc import Sequence
from functools import partial
from random import random

import anyio
from anyio.abc import TaskGroup

from ..history.mending import PART_REFUSED
from ..location.services import LocationServices
from ..log.commit import LogTransaction
from ..values.errors import DovetailError, ProviderError, first_of, problem_of
from ..values.events import (
    Event,
    RetryScheduled,
    StepEnded,
    StepFailed,
    TextEnded,
)
from ..values.messages import Usage
from ..values.output import FINAL_ANSWER
from ..values.request import Finish, ToolCall
from ..values.tool import Failure
from .answers import Answering
from .attempt import Attempt
from .boundary import EMPTY_ANSWER, Boundary, Prepared
from .calls import NO_STEPS_LEFT, Calls, clean_call
from .compacting import TOO_LONG, Compacting
from .coordinator import Outcome
from .execution import Execution
from .fallback import Fallback
from .publisher import Publisher
from .record import Settlement, StepRecord
from .used import Used

MAX_PAUSES = 20
"""Answers in a row that their provider may pause. Anthropic runs up to ten of its own
tools in each."""


class Step:
    """Runs one Step of an execution."""

    def __init__(self, execution: Execution, services: LocationServices) -> None:
        self._execution = execution
        self._services = services

    async def run(self) -> bool:
        """Make one Step, and say whether the execution goes on.

        When it does not, its end is recorded. Cancelled, it settles what it left
        open and records nothing of the execution.

        Raises:
            DovetailError: nothing of the Step was recorded, and why.
        """
        boundary = Boundary(self._execution, self._services)
        prepared = await boundary.begin()
        if prepared is None:
            return False
        compacting = boundary.compacting
        await Answer(self._execution, self._services, prepared, compacting).take()
        return self._execution.outcome is None


class Answer:
    """The model's answer in one Step: attempts until it came, and what it comes to."""

    def __init__(
        self,
        execution: Execution,
        services: LocationServices,
        prepared: Prepared,
        compacting: Compacting,
    ) -> None:
        self._execution = execution
        self._services = services
        self._prepared = prepared
        self._compacting: Compacting | None = compacting
        """What makes room where the request was too long; None when it was tried."""
        self._log = execution.log
        self._session_id = execution.session_id
        allowance = prepared.profile.steps
        self._last = allowance is not None and execution.steps_used >= allowance
        """Whether nothing may be called any more."""
        self._spent: Used | None = None
        """What the answer took, once its stream has ended."""
        self._again: float | None = None
        """After how many seconds another Step goes on from one that failed."""
        self._answering = Answering.of(
            execution.history.answers,
            execution.session_id,
            prepared.message_id,
            execution.given,
        )
        """What becomes of the value that is wanted for an answer; None: none is."""
        self._record = StepRecord(execution, self._verdict)
        self._calls = Calls(
            execution,
            services,
            self._record,
            prepared.message_id,
            prepared.profile.name,
            prepared.advertised,
            prepared.rules,
            prepared.model.name,
            last=self._last,
        )
        self._fallback = Fallback(
            execution,
            services,
            services.model_for(prepared.profile, prepared.wanted[1]),
        )
        self._attempt = self._new_attempt()

    async def take(self) -> None:
        """Have the request answered, its calls run, and all of it settled."""
        try:
            await self._attempts()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                held = self._attempt.release()
                unsaid = self._attempt.sending.taken()
                spent = self._spent or self._attempt.spent(None)
                await self._record.settle_cancelled(
                    held, self._calls.idle, self._calls.changes, unsaid, spent
                )
            raise
        if self._execution.outcome is None and self._again is not None:
            await self._log.clock.sleep(self._again)

    def _new_attempt(self) -> Attempt:
        return Attempt(
            self._execution,
            self._services,
            self._prepared,
            self._record.files,
            last=self._last,
        )

    async def _attempts(self) -> None:
        """Stream the request, again where that is allowed, and settle the Step."""
        try:
            async with anyio.create_task_group() as tasks:
                number = 1
                while True:
                    error = await self._attempt.run(partial(self._call, tasks))
                    if await self._shorter(error):
                        self._attempt = self._new_attempt()
                        continue
                    delay = self._delay(error, number)
                    if delay is not None:
                        delay = self._fallback.bounded(error, delay)
                    if delay is None or self._attempt.publisher.has_output:
                        break
                    # Nothing came of it that anybody could have relied on
                    # (law execution.8).
                    number += 1
                    if not await self._wait_to_retry(error, number, delay):
                        break
                    self._attempt = self._new_attempt()
                await self._streamed(self._attempt, error)
        except BaseExceptionGroup as group:
            raise first_of(group) from group

    async def _shorter(self, error: DovetailError | None) -> bool:
        """Make room where the provider refused the request as too long and nothing
        came of it, once in a Step; say whether the same Step is to be asked again."""
        compacting = self._compacting
        if (
            compacting is None
            or error is None
            or error.code != TOO_LONG
            or self._attempt.publisher.has_output
        ):
            return False
        self._compacting = None
        return await compacting.make_room_again(
            self._prepared,
            self._attempt.sending.taken,
            lambda: self._attempt.spent(error),
        )

    async def _call(
        self, tasks: TaskGroup, call: ToolCall, before: Sequence[Event]
    ) -> None:
        request = self._attempt.sending.taken()
        if call.tool == FINAL_ANSWER and self._answering is not None:
            self._calls.any = True
            settled = self._answering.called(clean_call(call), request)
            await self._record.commit(lambda _: [*before, *settled])
            return
        await self._calls.begin(call, before, tasks, request)

    def _recorded(self, error: DovetailError) -> Failure:
        told = problem_of(error)
        # A provider of a stranger may have told more than it should (law access.14).
        return Failure(told["code"], self._services.redact(told["message"]))

    def _delay(self, error: DovetailError | None, number: int) -> float | None:
        """Return how long to wait before going on after a failure; None: do not."""
        if not isinstance(error, ProviderError) or not error.retryable:
            return None
        return self._execution.settings.retry.delay(number, error.retry_after, random())

    async def _wait_to_retry(
        self, error: DovetailError | None, number: int, delay: float
    ) -> bool:
        """Record that the request is sent again and wait until it is; return whether it
        is. It is not where what failed used a budget up, or the wait did."""
        assert error is not None
        spent = self._attempt.spent(error)
        scheduled = RetryScheduled(
            session_id=self._session_id,
            message_id=self._prepared.message_id,
            attempt=number,
            delay_ms=int(delay * 1000),
            failure=self._recorded(error),
            request=self._attempt.sending.taken(),
            usage=spent.usage,
            cost=spent.cost,
            unpriced=spent.unpriced,
        )
        await self._execution.commit(lambda tx: _append(tx, scheduled))
        if not self._used_up():
            await self._log.clock.sleep(delay)
        if self._used_up():
            # The boundary before the next Step stops the work, and says why.
            self._again = 0.0
            return False
        return True

    def _used_up(self) -> bool:
        """Whether a budget of the session or of its work is used up by now."""
        info = self._prepared.model.info
        priced = info is not None and info.price is not None
        return self._execution.exceeded((), priced=priced) is not None

    async def _streamed(self, attempt: Attempt, error: DovetailError | None) -> None:
        """Record the rest of the answer, and the Step when no call is open."""
        execution = self._execution
        held = attempt.release()
        finish = attempt.publisher.finish or Finish("error", Usage())
        spent = self._spent = attempt.spent(error)
        if error is None:
            error = self._unlike_an_answer(attempt.publisher, finish)
        failure = None if error is None else self._recorded(error)
        execution.broken = 0 if failure is None else execution.broken + 1
        empty = failure is not None and failure.code == EMPTY_ANSWER
        execution.empty = execution.empty + 1 if empty else 0
        paused = finish.reason == "continues"
        execution.turns_paused = execution.turns_paused + 1 if paused else 0
        if attempt.publisher.has_output:
            # What broke off is kept, and another message goes on from there.
            self._again = self._delay(error, execution.broken)
        elif failure and failure.code == PART_REFUSED and execution.history.shown.mends:
            # The next request is another one.
            self._again = 0.0
        elif not self._calls.any and self._again is None:
            moved = self._fallback.moved(error, self._prepared.message_id)
            if moved is not None:
                # Of another model; that this one was asked counts for nothing.
                held = [*held, moved]
                self._again = 0.0
                execution.broken = execution.empty = 0
                execution.steps_used -= 1
        if failure is not None and not (self._calls.any and self._again is not None):
            self._record.settlement = StepFailed(
                session_id=self._session_id,
                message_id=self._prepared.message_id,
                failure=failure,
                usage=spent.usage,
                cost=spent.cost,
                unpriced=spent.unpriced,
                request=attempt.sending.taken(),
            )
        else:
            # A call that was run is part of no Step that is tried again: where the
            # answer broke off after it, its result is what the next Step goes on from.
            self._record.settlement = StepEnded(
                session_id=self._session_id,
                message_id=self._prepared.message_id,
                finish="error" if failure else finish.reason,
                usage=spent.usage,
                cost=spent.cost,
                unpriced=spent.unpriced,
                broke_off=failure,
                request=attempt.sending.taken(),
            )
        answered = failure is None and not paused and not self._calls.any
        if self._answering is not None and answered:
            texts = [one.text for one in held if isinstance(one, TextEnded)]
            self._answering.said(texts, finish.reason)
        if held or not self._record.open:
            await self._record.commit(lambda _: held)

    def _unlike_an_answer(
        self, publisher: Publisher, finish: Finish
    ) -> ProviderError | None:
        """Return why a complete answer is no success, or None when it is one."""
        provider = self._prepared.model.provider
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
        if publisher.has_answer:
            return None
        if finish.reason == "continues" and publisher.thought:
            # The provider paused between its own tools, before it said a word.
            return None
        thought = "thoughts alone" if publisher.thought else "nothing"
        cut = ", and no output was left" if finish.reason == "length" else ""
        again = self._execution.empty == 0
        return ProviderError(
            EMPTY_ANSWER,
            provider,
            f"the answer held {thought}{cut}" + ("" if again else ", twice in a row"),
            retryable=again,
        )

    def _verdict(self, settlement: Settlement) -> Outcome | None:
        """Return how the execution ends with this Step; None when it goes on."""
        if isinstance(settlement, StepFailed) and self._again is not None:
            return None
        if isinstance(settlement, StepFailed):
            return Outcome("failed", settlement.failure)
        outcome = None
        if self._answering is not None:
            self._record.after, outcome = self._answering.settle(final=self._last)
        if self._calls.rejected is not None:
            return Outcome("interrupted", self._calls.rejected)
        if outcome is not None or self._record.after:
            return outcome
        goes_on = isinstance(settlement, StepEnded) and settlement.finish == "continues"
        if not self._calls.any and not goes_on:
            return Outcome("succeeded", finish=settlement.finish)
        if self._last:
            return Outcome("paused", Failure(NO_STEPS_LEFT, "no Steps are left"))
        if self._execution.turns_paused >= MAX_PAUSES:
            told = f"the provider paused its turn {MAX_PAUSES} times in a row; resume"
            return Outcome("paused", Failure("execution.circling", told))
        return None


def _append(tx: LogTransaction, event: Event) -> None:
    tx.append(event)
