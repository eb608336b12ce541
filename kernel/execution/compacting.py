"""Compacting: when the model is shown less of an older history, and what is recorded.

Owns the order of it, of which only the last commit changes anything:

1. At a Safe Step Boundary the next request is measured. One that would not fit makes
   old tool results shorter, or older history is replaced by a summary.
2. ``compaction.started`` is durable before a model is asked for the summary.
3. ``compaction.ended`` and the Context Epoch that begins with it are one commit: killed
   before it, the session is as it was, and killed after it, as it is to be.
4. What somebody asks for is done when everything that was admitted before it was
   promoted, and before anything that was admitted after it is.

What is replaced is chosen in ``compaction.plan``. Knows nothing of how a summary is
written: a strategy of a plugin does that.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from random import random
from typing import Protocol
from weakref import WeakKeyDictionary

import anyio

from ..compaction.carried import Carried, rendered
from ..compaction.limits import Limits
from ..compaction.plan import SHORT, SPARED, Cut, Shortening, cut, shortening
from ..configuration.compaction import STRATEGY
from ..context.algebra import Snapshot
from ..context.epoch import InitialiseEpoch, decide
from ..contracts import AgentProfile, CompactionStrategy, CompactionWork
from ..history.messages import user_message
from ..history.size import BYTES_PER_TOKEN, tokens_of, tokens_of_text
from ..history.todos import todos_of
from ..jobs.record import job_at
from ..lifecycle.guests import Guest, contained
from ..lifecycle.registrations import Registration
from ..location.services import LocationServices
from ..log.commit import LogTransaction
from ..models.catalog import ResolvedModel
from ..ports import Reader
from ..tools.registry import AdvertisedTools
from ..values.codec import clean_text, dumps, to_json
from ..values.errors import (
    EXECUTION_INTERRUPTED,
    DovetailError,
    ModelError,
    ProviderError,
    ProviderFault,
    problem_of,
    raised,
)
from ..values.events import (
    CompactionEnded,
    CompactionFailed,
    CompactionReason,
    CompactionStarted,
    Event,
    OutputsShortened,
)
from ..values.frozen import frozen
from ..values.ids import MessageId, new_id
from ..values.messages import Usage
from ..values.sent import SentRequest
from ..values.shortcut import changed
from ..values.tool import Failure
from .asking import TextAsker
from .execution import Execution
from .used import Used

logger = logging.getLogger(__name__)

RECALL = "recall"
"""The tool with which a model looks at what it is not shown any more."""
TOO_LONG: ProviderFault = "provider.context_overflow"
LEAST_OUTPUT = 4_000
"""Tokens that an answer with a summary may have at least: some of them are thoughts."""
UNWRITTEN = (
    "provider.empty_answer",
    "provider.content_refused",
    "provider.context_overflow",
    "provider.answer_limit",
    "provider.invalid_output",
    "compaction.empty",
)
"""What a model that is there, and writes no summary, fails with."""
NO_SUMMARY = "No summary could be written of it; what else is here is from the record."
CUT = "\n[the end of this summary is left out]"


class Request(Protocol):
    """What the next request is made of besides messages."""

    @property
    def profile(self) -> AgentProfile: ...

    @property
    def model(self) -> ResolvedModel: ...

    @property
    def advertised(self) -> AdvertisedTools: ...


_sizes: WeakKeyDictionary[AdvertisedTools, int] = WeakKeyDictionary()


def _size_of_tools(advertised: AdvertisedTools) -> int:
    size = _sizes.get(advertised)
    if size is None:
        text = dumps(to_json(list(advertised.definitions))).decode()
        size = _sizes[advertised] = tokens_of_text(text)
    return size


class Compacting:
    """What one Step does about a history that is too long."""

    def __init__(
        self,
        execution: Execution,
        services: LocationServices,
        sample: Callable[[AgentProfile], Awaitable[Snapshot]],
    ) -> None:
        """``sample`` returns what the Context Sources say to an agent at this Step."""
        self._execution = execution
        self._services = services
        self._sample = sample
        self._session_id = execution.session_id
        self._settings = services.configuration.compaction

    # --- when -----------------------------------------------------------------------

    async def make_room(self, request: Request, *, idle: bool) -> bool:
        """Make the history smaller if the next request would not fit, and say whether
        anything was recorded of that, so that one must look again.

        ``idle`` is whether the Step is one that only new input makes.
        """
        info = request.model.info
        known = (info is not None and info.context) or self._settings.window
        if not known or self._settings.auto is False:
            return False
        history, limits = self._execution.history, self._limits(request)
        estimate = history.shown.size.estimate(limits.besides) + self._coming(idle)
        if limits.limit is None or estimate <= limits.limit:
            return False
        if limits.cramped:
            self._tell_cramped(request, limits)
            return False
        if history.shown.size.tries and history.shown.size.grown < limits.step:
            return False  # it was tried, and what came since is too little
        if self._out_of_budget(request, asked=False) is not None:
            return False  # the boundary stops the run and says why
        less = shortening(history.messages, limits, estimate, history.shown.shortened)
        if less is not None:
            return await self._shorten(request.profile, less, estimate)
        plan = cut(history.messages, limits, asked=False)
        if plan is None or plan.frees < limits.step:
            return False
        return await self._compact(request, limits, plan, "full", estimate)

    def _tell_cramped(self, request: Request, limits: Limits) -> None:
        size = self._execution.history.shown.size
        if not size.cramped:
            size.cramped = True
            logger.warning(
                "session %s: the system text and the tools take about %s of the %s "
                "tokens that a request to %s may have; no summary is made, because it "
                "could not help",
                self._session_id,
                limits.besides,
                limits.limit,
                request.model.name,
            )

    async def make_room_again(
        self,
        request: Request,
        sent: Callable[[], SentRequest | None],
        spent: Callable[[], Used],
    ) -> bool:
        """Make the history smaller since its provider refused it as too long, and say
        whether it is. ``sent`` takes what was sent, and ``spent`` what that took, to be
        recorded."""
        history, limits = self._execution.history, self._limits(request)
        estimate = history.shown.size.estimate(limits.besides)
        limits = limits.below(estimate)
        if self._settings.auto is False:
            return False
        if self._out_of_budget(request, asked=False) is not None:
            return False
        plan = cut(history.messages, limits, asked=False)
        if plan is None or plan.frees < limits.step:
            return False
        before = history.shown.compaction
        await self._compact(
            request,
            limits,
            plan,
            "overflow",
            estimate,
            refused_request=sent,
            spent=spent,
        )
        return history.shown.compaction is not before

    async def take_turn(self, prepare: Callable[[], Awaitable[Request]]) -> bool:
        """Do what was asked for if its turn has come, and say whether it was."""
        history = self._execution.history
        asked = history.inputs.asked_for
        if asked is None or not await self._execution.log.read(
            lambda rows: _is_next(rows, self._session_id, asked)
        ):
            return False
        request = await prepare()
        limits = self._limits(request)
        estimate = history.shown.size.estimate(limits.besides)
        plan = cut(history.messages, limits, asked=True)
        return await self._compact(request, limits, plan, "asked", estimate, asked)

    def _limits(self, request: Request) -> Limits:
        besides = tokens_of_text(self._execution.history.epoch.baseline or "")
        besides += tokens_of_text(request.profile.instructions)
        besides += _size_of_tools(request.advertised)
        return Limits.of(request.model.info, self._settings, besides)

    def _coming(self, idle: bool) -> int:
        """Return the tokens of the input that is about to be promoted."""
        due = self._execution.history.inputs.coming(idle=idle)
        return sum(tokens_of(user_message(one, one.seq)) for one in due)

    def _out_of_budget(self, request: Request, *, asked: bool) -> Failure | None:
        execution, info = self._execution, request.model.info
        priced = info is not None and info.price is not None
        if asked:
            seconds = execution.log.clock.monotonic() - execution.began
            return execution.history.budgets.session.exceeded(seconds, priced=priced)
        return execution.exceeded(execution.history.inputs.all, priced=priced)

    # --- shortening -----------------------------------------------------------------

    async def _shorten(
        self, profile: AgentProfile, less: Shortening, estimate: int
    ) -> bool:
        execution = self._execution
        events: list[Event] = [
            OutputsShortened(
                session_id=self._session_id,
                before=less.before,
                longest=SHORT,
                spared=SPARED,
                results=less.results,
                tokens_before=estimate,
                tokens_after=estimate - less.tokens,
            ),
            (await self._epoch(profile, "shortened")).event(self._session_id),
        ]
        await execution.commit(
            lambda tx: _append(tx, [*execution.opening(), *events]),
            knowing=execution.history.seq,
        )
        return True

    async def _epoch(self, profile: AgentProfile, cause: str) -> InitialiseEpoch:
        decision = decide(
            None,
            await self._sample(profile),
            cause=cause,
            instructions=profile.instructions,
            redact=self._services.redact,
        )
        assert isinstance(decision, InitialiseEpoch)
        return decision

    # --- a summary ------------------------------------------------------------------

    async def _compact(
        self,
        request: Request,
        limits: Limits,
        plan: Cut | None,
        reason: CompactionReason,
        estimate: int,
        asked: int | None = None,
        refused_request: Callable[[], SentRequest | None] | None = None,
        spent: Callable[[], Used] = Used,
    ) -> bool:
        """Have a summary made and replace what it stands for; say whether anything was
        recorded. ``refused_request`` takes the one that was too long, if one was, and
        ``spent`` what it took."""
        execution = self._execution
        strategy = self._strategy()
        refused = self._refusal(request, strategy, plan, asked)
        if refused is not None or strategy is None or plan is None:
            if asked is None or refused is None:
                return False
            return await self._record(self._failed(refused, asked), opening=True)
        asker = self._asker(request.model)
        lost = spent()
        started = CompactionStarted(
            session_id=self._session_id,
            reason=reason,
            strategy=strategy.key,
            model=asker.model.name,
            tokens=estimate,
            limit=limits.limit,
            requested=asked,
            request=refused_request() if refused_request is not None else None,
            usage=lost.usage,
            cost=lost.cost,
            unpriced=lost.unpriced,
        )
        if not await self._record(started, opening=True):
            return True  # the log holds more than was known: look again
        again = changed(started, request=None, usage=Usage(), cost=None, unpriced=0)
        number = 1
        while True:
            try:
                ended = await self._summarised(
                    request, limits, plan, strategy, asker, estimate, asked
                )
            except anyio.get_cancelled_exc_class():
                # Whoever asked for it asked for one that is done: it waits still.
                with anyio.CancelScope(shield=True):
                    why = Failure(EXECUTION_INTERRUPTED, "it was interrupted")
                    await self._record(self._failed(why, None, asker))
                raise
            if not isinstance(ended, ProviderError | Failure):
                return await self._end(ended)
            delay = self._delay(ended, number)
            failure = ended if isinstance(ended, Failure) else self._failure_of(ended)
            last = delay is None
            await self._record(self._failed(failure, asked if last else None, asker))
            if delay is None:
                logger.warning(
                    "session %s: no summary was made: %s",
                    self._session_id,
                    failure.message,
                )
                if reason != "overflow" or failure.code not in UNWRITTEN:
                    return True
                # Nothing else lets the session go on: the record alone stands for it.
                await self._record(again)
                return await self._end_without_summary(request, limits, plan, estimate)
            number += 1
            asker = self._asker(request.model)
            await execution.log.clock.sleep(delay)
            await self._record(again)

    def _strategy(self) -> Registration[CompactionStrategy] | None:
        return self._services.strategies.offer().get(
            self._settings.strategy or STRATEGY
        )

    def _refusal(
        self,
        request: Request,
        strategy: Registration[CompactionStrategy] | None,
        plan: Cut | None,
        asked: int | None,
    ) -> Failure | None:
        """Return why there is no summary to be made, or None."""
        if strategy is None:
            name = self._settings.strategy or STRATEGY
            offered = ", ".join(map(repr, self._services.strategies.offer())) or "none"
            return Failure(
                "compaction.no_strategy",
                f"no plugin offers a strategy {name!r}; offered here: {offered}",
            )
        if plan is None:
            return Failure(
                "compaction.nothing_older",
                "there is nothing older than what stays word for word",
            )
        return self._out_of_budget(request, asked=asked is not None)

    def _asker(self, own: ResolvedModel) -> TextAsker:
        """Return what asks the small model, if there is one, and else the session's."""
        execution, model = self._execution, own
        small = self._services.configuration.small_model
        if small is not None:
            try:
                model = self._services.catalog.resolve(small)
            except ModelError as error:
                logger.warning("the small model cannot be used: %s", error)
        return TextAsker(
            self._services,
            model,
            self._session_id,
            execution.log.clock,
            execution.silence,
            execution.settings.silence,
        )

    async def _summarised(
        self,
        request: Request,
        limits: Limits,
        plan: Cut,
        strategy: Registration[CompactionStrategy],
        asker: TextAsker,
        estimate: int,
        asked: int | None,
    ) -> "_Ended | ProviderError | Failure":
        """Return what is to be recorded, or why there is nothing."""
        history = self._execution.history
        room = limits.summary
        window = asker.model.info.context if asker.model.info else None
        window = window or self._settings.window
        most = max(2 * room, LEAST_OUTPUT)
        if window is not None:
            most = min(most, window // 2)
        work = CompactionWork(
            session_id=self._session_id,
            location=self._services.location,
            messages=plan.replaced,
            room=room,
            window=window,
            ask=partial(asker.ask, max_output=most),
            tokens=tokens_of_text,
        )
        guest = Guest(strategy.owner, f"compaction strategy {strategy.key!r}")
        try:
            with contained(guest):
                summary = await strategy.item.summarise(work)
            if not isinstance(summary, str) or not summary.strip():
                return Failure(
                    "compaction.empty", f"strategy {strategy.key!r} made no text"
                )
            epoch = await self._epoch(request.profile, "compaction")
        except ProviderError as error:
            return error
        except DovetailError as error:
            return self._failure_of(error)
        except Exception as error:
            # Boundary: a strategy is a stranger's code.
            logger.error("%s broke", guest, exc_info=error)
            return Failure(
                "compaction.failed", f"{guest} broke: {type(raised(error)).__name__}"
            )
        summary = self._services.redact(clean_text(summary))
        if tokens_of_text(summary) > room:
            head = summary.encode()[: room * BYTES_PER_TOKEN]
            summary = head.decode(errors="ignore") + CUT
        return _Ended(
            summary,
            Carried.of(plan.replaced, history.shown.compaction, limits.carried),
            limits,
            plan,
            epoch,
            asker,
            estimate,
            asked,
            recall=request.advertised.get(RECALL) is not None,
        )

    async def _end_without_summary(
        self, request: Request, limits: Limits, plan: Cut, estimate: int
    ) -> bool:
        """Replace older history by what is carried of it."""
        history = self._execution.history
        ended = _Ended(
            NO_SUMMARY,
            Carried.of(plan.replaced, history.shown.compaction, limits.carried),
            limits,
            plan,
            await self._epoch(request.profile, "compaction"),
            self._asker(request.model),
            estimate,
            None,
            recall=request.advertised.get(RECALL) is not None,
        )
        return await self._end(ended)

    async def _end(self, ended: "_Ended") -> bool:
        execution = self._execution
        message_id = MessageId(new_id("msg", execution.log.clock))

        def ending(tx: LogTransaction) -> None:
            event = ended.event(tx, execution, message_id)
            tx.append(event, ended.epoch.event(self._session_id))

        # A summary that is paid for must not be lost to a cancellation.
        with anyio.CancelScope(shield=True):
            await execution.commit(ending)
        return True

    def _failure_of(self, error: DovetailError) -> Failure:
        told = problem_of(error)
        return Failure(told["code"], self._services.redact(told["message"]))

    def _delay(self, failed: ProviderError | Failure, number: int) -> float | None:
        if not isinstance(failed, ProviderError) or not failed.retryable:
            return None
        retry = self._execution.settings.retry
        return retry.delay(number, failed.retry_after, random())

    def _failed(
        self, failure: Failure, asked: int | None, asker: TextAsker | None = None
    ) -> CompactionFailed:
        if asker is None:
            return CompactionFailed(
                session_id=self._session_id, failure=failure, requested=asked
            )
        return CompactionFailed(
            session_id=self._session_id,
            failure=failure,
            usage=asker.usage,
            cost=asker.cost,
            unpriced=asker.unpriced,
            requested=asked,
            asked=tuple(asker.asked),
        )

    async def _record(self, event: Event, *, opening: bool = False) -> bool:
        execution = self._execution
        return await execution.commit(
            lambda tx: _append(tx, [*execution.opening(), event]),
            knowing=execution.history.seq if opening else None,
        )


@frozen
class _Ended:
    """A summary, and all that goes with it."""

    summary: str
    carried: Carried
    limits: Limits
    plan: Cut
    epoch: InitialiseEpoch
    asker: TextAsker
    estimate: int
    asked: int | None
    recall: bool

    def event(
        self, tx: LogTransaction, execution: Execution, message_id: MessageId
    ) -> CompactionEnded:
        """Return the event, with the lists as they stand in this transaction."""
        session_id, plan = execution.session_id, self.plan
        running = [
            job_at(tx.rows, row) for row in tx.rows.running_jobs(session_id=session_id)
        ]
        text = rendered(
            self.summary,
            self.carried,
            todos_of(tx.rows, session_id),
            [job for job in running if job is not None],
            room=self.limits.carried,
            recall=self.recall,
        )
        stays = self.limits.besides + tokens_of_text(text) + plan.stays
        return CompactionEnded(
            session_id=session_id,
            message_id=message_id,
            text=text,
            kept=plan.kept,
            longest=plan.longest,
            replaced=len(plan.replaced),
            tokens_before=self.estimate,
            tokens_after=stays,
            said=self.carried.said,
            skills=self.carried.skills,
            names=self.carried.names,
            model=self.asker.model.name,
            usage=self.asker.usage,
            cost=self.asker.cost,
            unpriced=self.asker.unpriced,
            requested=self.asked,
            asked=tuple(self.asker.asked),
        )


def _is_next(rows: Reader, session_id: str, asked: int) -> bool:
    """Return whether nothing that was admitted before an event waits still."""
    first = rows.pending_inputs(session_id, None, 1)
    return not first or first[0].seq > asked


def _append(tx: LogTransaction, events: list[Event]) -> None:
    tx.append(*events)
