"""Session: one durable conversation, as an application holds it in its hands.

Owns the public face of one session: saying something, watching, stopping, changing
what it is set to. Every method is a short composition of the rooms below; nothing is
decided here.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..execution.coordinator import Coordinator, Outcome
from ..execution.late_runner import LateRunner
from ..jobs.keeper import PERSON, Jobs
from ..log.commit import EventLog, LogTransaction
from ..log.reading import existing_session
from ..ports import Reader
from ..values.errors import (
    ContinuationChangedError,
    InvalidValueError,
)
from ..values.events import (
    AgentSwitched,
    CompactionRequested,
    FallbackSet,
    ModelSwitched,
    SessionInstructed,
    SessionTitled,
)
from ..values.generation import Generation
from ..values.ids import SessionId, check_caller_id
from ..values.job import Job
from ..values.output import Output
from ..values.prompt import (
    AdmittedPrompt,
    Budget,
    Delivery,
    Input,
    Prompt,
    check_instructions,
    check_key,
)
from ..values.tool import Json
from . import inbox
from .children import Children
from .looking import Looking
from .output import value_of, wanted_output
from .settings import (
    budgeted,
    check_agent,
    check_fallback,
    check_model,
    check_title,
    generated,
    instructed,
)
from .travelling import Travelling

if TYPE_CHECKING:
    from ..execution.continuation import ContinuationReport


class Session(Looking, Travelling):
    """One durable conversation. Cheap to make; holds nothing that must be closed."""

    def __init__(
        self,
        id: SessionId,
        log: EventLog,
        coordinator: Coordinator,
        runner: LateRunner,
        jobs: Jobs,
        children: Children,
    ) -> None:
        super().__init__(id, log, coordinator, runner)
        self._jobs = jobs
        self._children = children

    def __repr__(self) -> str:
        return f"Session({self.id!r})"

    def _another(self, id: SessionId) -> "Session":
        return Session(
            id,
            self._log,
            self._coordinator,
            self._runner,
            self._jobs,
            self._children,
        )

    # --- saying something ---------------------------------------------------------

    async def prompt(
        self,
        prompt: str | Prompt,
        *,
        key: str | None = None,
        delivery: Delivery = "steer",
        resume: bool = True,
        budget: Budget | None = None,
        instructions: str | None = None,
        output: type | Mapping[str, Json] | Output | None = None,
        generation: Generation | None = None,
        id: str | None = None,
    ) -> AdmittedPrompt:
        """Admit a prompt; it is durable when this returns (law inbox.1).

        Never waits for a model, a plugin or a tool. With a ``key``, the same call
        gives the same receipt at any time, and wakes the session again (law inbox.3).
        ``id`` is what the message is to be called, and is the key where none is given.
        ``resume=False`` only admits: the prompt waits for ``resume()`` or the next
        prompt. ``budget`` limits the work that this prompt begins: where a limit is
        reached, the outcome is ``paused``. What joins that work lifts no limit of it
        without a budget of its own; a prompt after its end begins other work.
        ``instructions`` are as those of ``instruct``, said with this prompt: they count
        from the next Step on, also where the prompt waits longer. What only repeats a
        call says nothing new.

        ``output`` is the value that is wanted for an answer: an attrs class, a JSON
        Schema, or an ``Output`` with one. The model works as ever, with its tools, and
        its answer is held to it; where it is something else the model is told what is
        wrong, once (``Output.repairs``). ``wait`` gives the value, and ``value`` that
        of any prompt; where there is none, the outcome is ``failed`` with the code
        ``output.invalid``. One value is wanted at a time: a later steer that wants one
        takes the place of what was wanted (laws output.1 to output.4). ``generation``
        says how answers to this prompt are generated, before what ``set_generation``
        said; with a prompt that joins running work, all that follows of that work.

        Raises:
            PromptInvalidError: it says nothing, is too long, or is not text.
            KeyInvalidError: the key is not usable.
            InvalidValueError: a limit of the budget is no number from 0 on, the
                instructions are too long or no text, or the output or an option of the
                generation cannot be what it is.
            ToolDefinitionError: a field of the output's class has no place in JSON
                Schema.
            PromptConflictError: the key was used for something else (law inbox.4), or
                another message has the id.
            SessionNotFoundError: the session is gone.
            EventDamagedError, RowDamagedError: its past is not what was written, so
                that nothing can be built on it; see ``runtime.sessions.repair``.
        """
        checked = Prompt.of(prompt)
        if id is not None:
            check_caller_id("message id", id)
            key = id if key is None else key
        if key is not None:
            check_key(key)
        _check_delivery(delivery)
        Budget.checked(budget)
        said = check_instructions(instructions)
        wanted = wanted_output(output)
        options = Generation.checked(generation)

        def admitting(tx: LogTransaction) -> tuple[AdmittedPrompt, bool]:
            receipt = inbox.admit(
                tx,
                self._log.clock,
                self.id,
                checked,
                delivery,
                key,
                budget,
                wanted,
                options,
                id,
            )
            fresh = bool(tx.appended)
            if fresh:
                instructed(tx, self.id, said)
            return receipt, fresh

        await self._log.complete(self.id)
        receipt, fresh = await self._log.commit(admitting)
        if wanted is not None:
            self._runner().given.remember(self.id, receipt.id, output)
        if resume:
            # Who says something new wants the session to go on, whatever an earlier
            # process left; who only repeats a call does not say so.
            self._coordinator.wake(self.id, accept="prompt" if fresh else None)
        return receipt

    async def pending(self) -> Sequence[Input]:
        """Return admitted input that the model has not seen, in admission order."""
        await self._log.complete(self.id)
        return await self._log.read(lambda rows: inbox.pending(rows, self.id))

    async def withdraw(self, input_id: str) -> None:
        """Take a pending input back. Twice is once.

        Raises:
            InputNotFoundError: it was never admitted here.
            InputNotPendingError: the model has seen it.
        """
        await self._log.complete(self.id)
        await self._log.commit(lambda tx: inbox.withdraw(tx, self.id, input_id))

    async def deliver(self, input_id: str, delivery: Delivery) -> None:
        """Change how a pending input is delivered: from ``queue`` to ``steer``, say.

        Raises:
            InputNotFoundError: it was never admitted here.
            InputNotPendingError: it was promoted or withdrawn.
        """
        _check_delivery(delivery)
        await self._log.complete(self.id)
        await self._log.commit(
            lambda tx: inbox.redeliver(tx, self.id, input_id, delivery)
        )
        self._coordinator.wake(self.id)

    async def compact(self) -> int:
        """Ask for older history to be replaced by a summary, for the model only; the
        request is durable when this returns, and its position is returned.

        It waits its turn: what was admitted before it is promoted first, and what is
        admitted after it only when it is done. Asked for again while it waits, it is
        the same request. ``wait`` tells when all is done; the events after the position
        say what came of it: ``compaction.ended``, or ``compaction.failed`` where there
        was nothing to replace or no summary. Interrupted, it waits still.

        Raises:
            SessionNotFoundError: the session is gone.
            EventDamagedError: its past is not what was written.
        """

        def asking(tx: LogTransaction) -> int:
            due = tx.session(self.id).compaction_due
            if due >= 0:
                return due
            [asked] = tx.append(CompactionRequested(session_id=self.id))
            return asked.seq

        await self._log.complete(self.id)
        position = await self._log.commit(asking)
        self._coordinator.wake(self.id, accept="prompt")
        return position

    # --- running ------------------------------------------------------------------

    async def wait(self) -> Outcome:
        """Return how the work ended once the session is idle, whoever runs it.

        When nothing runs: how the last execution ended, as recorded, unless input waits
        that is newer, or work was left: then ``idle``, with a reason. While the store
        refuses, the work stands still and this waits; ``info().trouble`` says why.
        Cancelling the caller does not stop the work.

        Raises:
            EventDamagedError, RowDamagedError: nothing runs, and nothing can: its past
                is not what was written.
            StoreError: the store failed for good, so that the end could not be
                recorded.
        """
        while True:
            outcome = await self._coordinator.wait(self.id)
            if outcome is not None and outcome.status != "idle":
                break
            await self._check_sound()
            outcome = await self._runner().recorded(self.id)
            # It may have begun here meanwhile.
            if not self._coordinator.busy(self.id):
                break
        return self._runner().given.outcome(self.id, outcome)

    async def value(self, input_id: str) -> Any:
        """Return the value that answered a prompt which wanted one, by the id of its
        receipt: an instance, where this runtime was given its class, and JSON data
        elsewhere.

        Reads the log from the prompt on.

        Raises:
            InputNotFoundError: there is no such prompt, or it wanted no value.
            ValueNotGivenError: no answer has given it yet.
            OutputInvalidError: the model gave none, also when it was told why.
        """

        def read(rows: Reader) -> Json:
            return value_of(rows, self.id, input_id)

        await self._log.complete(self.id)
        found = await self._log.read(read)
        return self._runner().given.instance(self.id, input_id, found)

    async def resume(self, accept: str | None = None) -> Outcome:
        """Go on: make at least one Step (law execution.4), and return the outcome.

        Joins the running work when there is any. Where an earlier process left work
        and something is unknown or has moved since, the outcome is ``paused`` until
        the report is accepted: ``resume(accept=(await session.continuation()).digest)``
        (law recovery.4).

        Raises:
            ContinuationChangedError: the accepted report is not the present one.
            EventDamagedError, RowDamagedError: its past is not what was written.
        """
        return await (await self.begin(accept))()

    async def begin(
        self, accept: str | None = None
    ) -> Callable[[], Awaitable[Outcome]]:
        """Go on as ``resume`` does, and return as soon as that is begun: what is
        returned waits for the outcome, and nothing is lost where nobody calls it.

        Raises:
            As ``resume``.
        """
        await self._check_sound()
        if accept is not None:
            current = await self.continuation()
            if current.digest != accept:
                raise ContinuationChangedError(self.id, accept, current.digest)
        else:
            await self._log.read(lambda rows: existing_session(rows, self.id))
        ended = self._coordinator.begin(self.id, accept=accept)

        async def outcome() -> Outcome:
            reached = await ended()
            # Another worker was at it: its outcome counts.
            if reached.status == "idle":
                return await self.wait()
            return self._runner().given.outcome(self.id, reached)

        return outcome

    async def continuation(self) -> "ContinuationReport":
        """Return what is trusted of this session now, and what must be re-checked.

        Raises:
            SessionNotFoundError: the session is gone.
            LocationNotFoundError: its directory is gone.
            EventDamagedError: its past is not what was written.
        """
        await self._check_sound()
        await self._jobs.look(self.id)
        return await self._runner().continuation(self.id)

    async def interrupt(self, reason: str | None = None) -> bool:
        """Stop the running work, with every session that works for this one, and say
        whether there was any. What another process runs goes on.

        Accepted at once and settled in the background (``wait`` tells when). Pending
        input stays, and nothing starts again by itself (law execution.5).

        Raises:
            InvalidValueError: the reason is no text.
            SessionNotFoundError: the session is gone.
        """
        if reason is not None and not isinstance(reason, str):
            raise InvalidValueError("reason", reason, "a text that says why")
        await self._log.read(lambda rows: existing_session(rows, self.id))
        stopped = self._coordinator.interrupt(self.id, "user", reason)
        return await self._children.interrupt_below(self.id) or stopped

    # --- jobs ---------------------------------------------------------------------

    async def jobs(self) -> Sequence[Job]:
        """Return the jobs that calls of this session began, in that order.

        Each that runs has been looked at just now, which opens the session's Location:
        one that ended while nobody looked after it has its end (law jobs.3).

        Raises:
            SessionNotFoundError: the session is gone.
        """
        return await self._jobs.of(self.id)

    async def detach(self, message_id: str, call_id: str) -> Job:
        """Let a running call go on as a job, and return it: the model goes on at once,
        and is told of the end as of any job.

        For a command of ``bash`` that takes longer than anybody wants to wait. It has
        what it printed so far as its result, goes on as a child of the process that
        runs it, and ends with that, also where jobs are left at closing. Any process
        may ask for it; the one that runs the call sees to it within a second or so.

        Raises:
            CallNotDetachableError: it does not run, has ended, or its tool cannot.
            JobLimitError: as many jobs of the session run as may; the call goes on.
            SessionNotFoundError: the session is gone.
        """
        return await self._jobs.detach(self.id, message_id, call_id)

    def detachable(self) -> Sequence[tuple[str, str]]:
        """Return the calls that run in this process and can go on as jobs, each by the
        id of its message and its own: what ``detach`` is given."""
        return self._jobs.detachable_calls(self.id)

    async def wait_for_job(self, job_id: str, seconds: float | None = None) -> Job:
        """Return a job when it has ended, or as it is after so many seconds.

        Cancelling the caller does not stop it.

        Raises:
            JobNotFoundError: this session has none of this id.
        """
        return await self._jobs.wait(self.id, job_id, seconds)

    async def stop_job(self, job_id: str) -> Job:
        """End a job with everything that it started, and return it with its end.

        The model is told that a person stopped it, which wakes the session. One that
        has its end is returned as it is.

        Raises:
            JobNotFoundError: this session has none of this id.
            JobUnmanagedError: the tool that began it is not offered any more.
        """
        return await self._jobs.stop(self.id, job_id, PERSON)

    async def extend_job(self, job_id: str, seconds: float) -> Job:
        """Let a job run for so long from now on, if that is longer than it may.

        Raises:
            JobNotFoundError: this session has none of this id.
            JobUnmanagedError: the tool that began it is not offered any more.
        """
        return await self._jobs.extend(self.id, job_id, seconds)

    # --- changing -----------------------------------------------------------------

    async def switch_model(self, model: str | None) -> None:
        """Use another model from the next boundary on; None means the default."""
        check_model(model)

        def switching(tx: LogTransaction) -> None:
            if tx.session(self.id).model != model:
                tx.append(ModelSwitched(session_id=self.id, model=model))

        await self._log.commit(switching)

    async def set_fallback(self, models: Sequence[str] | None) -> None:
        """Have other models go on where the session's does not answer, in this order,
        until the next input (law models.7); None means the configured ones, and an
        empty list none.

        Raises:
            InvalidValueError: one is not of the form ``provider/model``.
        """
        chain = check_fallback(models)

        def setting(tx: LogTransaction) -> None:
            tx.session(self.id)
            tx.append(FallbackSet(session_id=self.id, models=chain))

        await self._log.commit(setting)

    async def switch_agent(self, agent: str | None) -> None:
        """Use another agent from the next boundary on; None means the default.

        Raises:
            InvalidValueError: it is no name.
        """
        check_agent(agent)

        def switching(tx: LogTransaction) -> None:
            if tx.session(self.id).agent != agent:
                tx.append(AgentSwitched(session_id=self.id, agent=agent))

        await self._log.commit(switching)

    async def set_generation(self, generation: Generation | None) -> None:
        """Say how the session's answers are generated, from the next boundary on, in
        place of what was said before; None for nothing any more. What its agent says
        counts where this says nothing, and what a prompt says counts before it.

        Raises:
            InvalidValueError: an option has a value that it cannot have.
            SessionNotFoundError: the session is gone.
        """
        options = Generation.checked(generation)
        await self._log.commit(lambda tx: generated(tx, self.id, options))

    async def set_budget(self, budget: Budget | None) -> None:
        """Limit all the work of the session; what was used before counts.

        Raises:
            InvalidValueError: a limit is no number from 0 on.
        """
        Budget.checked(budget)
        await self._log.commit(lambda tx: budgeted(tx, self.id, budget))

    async def instruct(self, instructions: str | None) -> None:
        """Say what the session is to keep to, in place of what was said before; None
        for nothing any more. The model is told at its next Step.

        Raises:
            InvalidValueError: it is no text, or over 8 KiB of UTF-8. A longer one is
                a file that is named in it, or a skill.
            SessionNotFoundError: the session is gone.
        """
        said = check_instructions(instructions)

        def instructing(tx: LogTransaction) -> None:
            tx.session(self.id)
            tx.append(SessionInstructed(session_id=self.id, instructions=said))

        await self._log.commit(instructing)

    async def rename(self, title: str) -> None:
        """Give the session a title of at most 200 characters."""
        check_title(title)

        def renaming(tx: LogTransaction) -> None:
            if tx.session(self.id).title != title:
                tx.append(SessionTitled(session_id=self.id, title=title))

        await self._log.commit(renaming)


# --- helpers ---------------------------------------------------------------------


def _check_delivery(delivery: str) -> None:
    if delivery not in ("steer", "queue"):
        raise InvalidValueError("delivery", delivery, "'steer' or 'queue'")
