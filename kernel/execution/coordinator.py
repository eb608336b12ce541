"""The coordinator: one doorbell per session, one task that answers it.

Owns which sessions of this process run, who waits for them, and how they are stopped.
Knows nothing of what a drain does. Every transition is a synchronous method: state is
never changed on both sides of an ``await`` (law execution.1 within the process).
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Literal, TypeVar

import anyio
from anyio.abc import TaskGroup
from attrs import field

from ..ports import SessionRow
from ..tools.schema import input_decoder
from ..values.errors import OutputInvalidError, RuntimeClosedError
from ..values.frozen import frozen
from ..values.ids import MessageId
from ..values.tool import Failure, Json

T = TypeVar("T")

StopReason = Literal["user", "shutdown"]
SHUTDOWN: StopReason = "shutdown"
"""Why work stops that nobody stopped: the runtime closes."""


@frozen
class Outcome:
    """How an execution ended.

    ``idle``: the session never executed; with a reason, there is input that is newer
    than the last execution, or work that was left, and nobody is at it.
    """

    # The same as OutcomeStatus, and idle; in one, so that it can be read from JSON.
    status: Literal["succeeded", "failed", "interrupted", "paused", "idle"]
    """How it ended."""
    reason: Failure | None = None
    """Why, unless it succeeded."""
    data: Json = None
    """The value that the prompt wanted which was answered last, as JSON data; see
    ``input_id``."""
    input_id: MessageId | None = None
    """That prompt; None: no value was wanted, or there is none."""
    value: Any = None
    """The same as ``data``; an instance of the class that the prompt was given, where
    this runtime was given it."""
    finish: str | None = field(default=None, eq=False)
    """A FinishReason: why the model stopped, where its answer in words ended the
    execution. ``length``: it was cut off at the model's limit; ``unknown``: nobody said
    that it is whole. None: something else ended it, or ``info`` tells of it."""

    @property
    def succeeded(self) -> bool:
        """Whether the model finished what it was asked."""
        return self.status == "succeeded"

    def value_as(self, kind: type[T]) -> T:
        """Return the value as an instance of an attrs class.

        Raises:
            OutputInvalidError: the model gave none.
            UndecodableError: the value is none of that class.
        """
        if self.input_id is None:
            told = "no value was given" if self.reason is None else self.reason.message
            raise OutputInvalidError(kind.__name__, (told,))
        return input_decoder(kind)(self.data)


def outcome_of(row: SessionRow) -> Outcome:
    """Return how the last execution of a session ended, as recorded."""
    if row.outcome is None:
        return Outcome("idle")
    code = row.reason_code
    reason = None if code is None else Failure(code, row.reason_message or "")
    return Outcome(row.outcome, reason)  # type: ignore[arg-type]


class DrainControl:
    """What the coordinator and one running drain tell each other."""

    def __init__(
        self, *, force: bool, accept: str | None = None, leave: bool = False
    ) -> None:
        self.leave = leave
        """Whether what another worker left is only settled, and nothing goes on."""
        self.force = force
        """Whether at least one request must be made."""
        self.accept = accept
        """What a caller accepts: the digest of a Continuation Report, or ``prompt``
        for whatever is found, or None."""
        self.reason: StopReason | None = None
        """Why the drain is being cancelled."""
        self.text: str | None = None
        self.outcome: Outcome | None = None
        """How the execution ended, set by the drain once that is durable."""
        self.again = False
        """Set when the drain lost the session to another worker: look once more."""
        self.scope = anyio.CancelScope()


Drain = Callable[[str, DrainControl], Awaitable[None]]
"""Promote and run Steps until nothing must continue. Does nothing when there is
nothing to do. Records its own end durably, also when it is cancelled."""


class _Busy:
    """One busy period of one session."""

    def __init__(self, *, force: bool, accept: str | None) -> None:
        self.rung = True
        self.leave = False
        self.force = force
        self.accept = accept
        self.control = DrainControl(force=force, accept=accept)
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self.idle = anyio.Event()


class Coordinator:
    """Runs drains in the runtime's task group, at most one per session.

    A session is in one of these states, and each call changes it in one go:

    1. *Quiet*: it has no entry. A ring makes one and starts its task; waiting for it
       returns at once.
    2. *Busy*: its task is in a drain. A ring marks the entry, and the task drains once
       more before anybody who waits is told; what rings asked for adds up (any of them
       forces a Step, the latest acceptance counts).
    3. *Stopped*: busy, and its drain is cancelled. The rings before are forgotten, so
       nothing starts by itself. A ring from now on is as in 2: it is of somebody who
       wants more than what was stopped, and gets a control of its own.
    4. *Over*: the drain returned or raised and no ring is left. The entry goes, and
       everybody who waited has the outcome, or the error. Quiet again.
    5. *Closed*, for all sessions: every ring is refused, everything busy is stopped.
    """

    def __init__(self, tasks: TaskGroup, drain: Drain) -> None:
        self._tasks = tasks
        self._drain = drain
        self._busy: dict[str, _Busy] = {}
        self._closed = False

    def wake(self, session_id: str, *, accept: str | None = None) -> None:
        """Say that durable work may exist. Coalesces; never waits.

        A wake that finds nothing to do makes no request (law execution.4).
        """
        self._ring(session_id, force=False, accept=accept)

    async def run(self, session_id: str, *, accept: str | None = None) -> Outcome:
        """Make at least one Step, or join the running work, and return its outcome.

        Cancelling the caller does not stop the work (law execution.3).
        """
        return await self.begin(session_id, accept=accept)()

    def begin(
        self, session_id: str, *, accept: str | None = None
    ) -> Callable[[], Awaitable[Outcome]]:
        """Do the same, and return at once what waits for its outcome."""
        return partial(self._joined, self._ring(session_id, force=True, accept=accept))

    async def wait(self, session_id: str) -> Outcome | None:
        """Return the outcome of the running work once the session is idle, or None
        when nothing runs in this process."""
        outcome = None
        while (busy := self._busy.get(session_id)) is not None:
            outcome = await self._joined(busy)
        return outcome

    async def leave(self, session_id: str) -> None:
        """Have what another worker left settled, and nothing go on; do nothing where
        the session runs in this process.

        Who rings meanwhile is served afterwards, by a drain as any other.
        """
        if session_id in self._busy:
            return
        busy = self._ring(session_id, force=False, accept=None)
        busy.rung, busy.leave = False, True
        await self._joined(busy)

    def busy(self, session_id: str) -> bool:
        """Whether the session runs in this process."""
        return session_id in self._busy

    def stopping(self, session_id: str) -> StopReason | None:
        """Return why the running work is being stopped, if it is."""
        busy = self._busy.get(session_id)
        return None if busy is None else busy.control.reason

    def running(self) -> tuple[str, ...]:
        """Return the sessions that run in this process."""
        return tuple(self._busy)

    def interrupt(
        self,
        session_id: str,
        reason: StopReason = "user",
        text: str | None = None,
    ) -> bool:
        """Stop the running work, and say whether there was any.

        Accepted at once; what runs is settled in the background. Rings that came
        before are forgotten, so nothing starts by itself (law execution.5).
        """
        busy = self._busy.get(session_id)
        if busy is None:
            return False
        busy.rung = busy.force = busy.leave = False
        if busy.control.reason is None:
            busy.control.reason, busy.control.text = reason, text
            busy.control.scope.cancel()
        return True

    async def aclose(self, within: float) -> Sequence[str]:
        """Stop everything, and return when all of it is settled or time is over.

        ``within`` is in seconds. Returns the sessions that did not stop by then.
        """
        self._closed = True
        for session_id in tuple(self._busy):
            self.interrupt(session_id, SHUTDOWN)
        with anyio.move_on_after(within):
            for busy in tuple(self._busy.values()):
                await busy.idle.wait()
        return tuple(self._busy)

    async def _joined(self, busy: _Busy) -> Outcome:
        await busy.idle.wait()
        if busy.error is not None:
            raise busy.error
        return busy.outcome or Outcome("idle")

    def _ring(self, session_id: str, *, force: bool, accept: str | None) -> _Busy:
        if self._closed:
            raise RuntimeClosedError
        busy = self._busy.get(session_id)
        if busy is not None:
            busy.rung = True
            busy.force = busy.force or force
            busy.accept = accept or busy.accept
            return busy
        busy = self._busy[session_id] = _Busy(force=force, accept=accept)
        self._tasks.start_soon(self._work, session_id, busy, name=f"drain {session_id}")
        return busy

    async def _work(self, session_id: str, busy: _Busy) -> None:
        try:
            if busy.leave:
                control = busy.control = DrainControl(force=False, leave=True)
                with control.scope:
                    await self._drain(session_id, control)
                busy.outcome = control.outcome
            while busy.rung:
                # A ring after an interruption finds the bell cleared and a new
                # control: somebody wants more than what was stopped.
                control = busy.control = DrainControl(
                    force=busy.force, accept=busy.accept
                )
                busy.rung = busy.force = False
                busy.accept = None
                with control.scope:
                    await self._drain(session_id, control)
                busy.outcome = control.outcome or busy.outcome
                busy.rung = busy.rung or control.again
        except Exception as error:
            busy.error = error
        except BaseException:
            busy.error = RuntimeClosedError()
            raise
        finally:
            del self._busy[session_id]
            busy.idle.set()
