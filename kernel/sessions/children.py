"""Children: who runs the sessions that work for others.

Owns that a child is run and waited for on behalf of a call, that it stops with the
session that it works for, and how one that is a job is looked at. How a child begins,
and what binds it, is ``execution.children``'s.
"""

from functools import partial

import anyio

from ..contracts import ChildAnswer, JobWork
from ..execution.coordinator import Coordinator, Outcome
from ..execution.late_runner import LateRunner
from ..location.children import ChildSessions
from ..log.bell import Bell
from ..log.commit import EventLog
from ..log.family import below
from ..log.reading import existing_session
from ..ports import Reader
from ..values.errors import CONTINUATION_UNACCEPTED, RuntimeClosedError
from ..values.ids import SessionId
from ..values.job import Job, JobEnd
from ..values.messages import AssistantMessage

MAX_ANSWER = 200_000
"""Characters of an answer that are handed on; what a model is shown is less."""
LOOKED_THROUGH = 50
"""Messages from the end in which an answer is looked for."""
STOPPED = "the session that it works for was interrupted"


class Children(ChildSessions):
    """Runs the sessions of one runtime that work for others."""

    def __init__(
        self, log: EventLog, coordinator: Coordinator, runner: LateRunner
    ) -> None:
        self._log = log
        self._coordinator = coordinator
        self._runner = runner
        self._stopped: dict[str, anyio.Event] = {}
        """By session that is a job: set when somebody ends it."""
        self._work = JobWork(self._look, self._watch, self._stop, self._extend)

    @property
    def work(self) -> JobWork:
        return self._work

    async def run(
        self, session_id: str, parent: str, accept: str | None
    ) -> ChildAnswer:
        try:
            self._coordinator.wake(session_id, accept=accept)
            await self._coordinator.wait(session_id)
            await self._runner().recorded(session_id)
            return await self.answer(session_id)
        except anyio.get_cancelled_exc_class():
            # Otherwise another worker goes on with both, or everything stops anyway.
            if self._coordinator.stopping(parent) == "user":
                self._coordinator.interrupt(session_id, "user", STOPPED)
            raise

    def go_on(self, session_id: str, accept: str | None) -> None:
        if not self._coordinator.busy(session_id):
            self._coordinator.wake(session_id, accept=accept)

    async def interrupt_below(self, session_id: str) -> bool:
        """Stop everything that works for a session, and say if there was anything."""
        working = await self._log.read(lambda rows: below(rows, session_id))
        stopped = [self._coordinator.interrupt(one, "user", STOPPED) for one in working]
        return any(stopped)

    async def answer(self, session_id: str) -> ChildAnswer:
        outcome = await self._outcome(session_id)
        text = await self._log.read(partial(_said_last, session_id))
        return ChildAnswer(
            SessionId(session_id),
            "running" if outcome is None else outcome.status,
            None if outcome is None else outcome.reason,
            text[:MAX_ANSWER],
            max(0, len(text) - MAX_ANSWER),
        )

    async def _outcome(self, session_id: str) -> Outcome | None:
        """Return how a session ended; None while it is at work somewhere."""
        if self._coordinator.busy(session_id):
            return None

        def look(rows: Reader) -> bool:
            existing_session(rows, session_id)
            return self._log.lookout.held(rows.lease(session_id)) is not None

        if await self._log.read(look):
            return None
        return await self._runner().recorded(session_id)

    # --- as a job -----------------------------------------------------------------

    async def _look(self, job: Job) -> JobEnd | None:
        assert job.session is not None
        return _end_of(await self._outcome(job.session))

    async def _watch(self, job: Job) -> JobEnd:
        assert job.session is not None
        stopped = self._stopped.setdefault(job.session, anyio.Event())
        bell = self._log.bell(job.session)
        try:
            while True:
                await self._coordinator.wait(job.session)
                end = await self._look(job)
                if end is None and stopped.is_set():
                    # Nobody is at it, and whoever wanted it ended need not wait.
                    if not self._coordinator.busy(job.session):
                        return JobEnd("stopped")
                elif end is not None:
                    return end
                await self._either(stopped, bell)
        finally:
            self._stopped.pop(job.session, None)
            self._log.forget_bell(job.session, bell)

    async def _either(self, stopped: anyio.Event, bell: Bell) -> None:
        """Return when somebody wants it ended, or when its log was written to."""
        rung = True
        async with anyio.create_task_group() as tasks:

            async def wait() -> None:
                await stopped.wait()
                tasks.cancel_scope.cancel()

            if not stopped.is_set():
                tasks.start_soon(wait)
            rung = await bell.wait()
            tasks.cancel_scope.cancel()
        if not rung:
            raise RuntimeClosedError

    async def _stop(self, job: Job) -> None:
        assert job.session is not None
        self._coordinator.interrupt(job.session, "user", "its job was stopped")
        self._stopped.setdefault(job.session, anyio.Event()).set()

    async def _extend(self, job: Job, seconds: float) -> None:
        """A session has no time of its own that could be over."""


def _end_of(outcome: Outcome | None) -> JobEnd | None:
    """Return the end of a job that is a session, by how that ended."""
    if outcome is None or outcome.status == "idle":
        return None
    reason = outcome.reason
    if reason is not None and reason.code == CONTINUATION_UNACCEPTED:
        return None  # it goes on when that is accepted
    if outcome.status == "succeeded":
        return JobEnd("succeeded")
    if outcome.status == "interrupted":
        return JobEnd("stopped")
    # Its code alone: what a provider says of a failure is nobody's word here.
    word = "It paused" if outcome.status == "paused" else "It failed"
    return JobEnd("failed", said="" if reason is None else f"{word}: {reason.code}.")


def _said_last(session_id: str, rows: Reader) -> str:
    # Here, because most processes wait for no child.
    from ..history.messages import message_of

    found = rows.messages(session_id, newest_first=True, limit=LOOKED_THROUGH)
    for row in found:
        if row.type == "assistant":
            message = message_of(rows, row)
            if isinstance(message, AssistantMessage) and message.text:
                return message.text
    return ""
