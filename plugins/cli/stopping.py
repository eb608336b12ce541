"""Stopping: what a person, a signal or a time limit does to a run that goes on.

Owns Ctrl-C and SIGTERM, the detach key with the calls that go on by themselves because
of it, and ``--timeout``. Knows nothing of what is shown of the work, nor of how its end
is told.
"""

import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import NoReturn

import anyio
from anyio.abc import TaskStatus
from dovetail.kernel import DovetailError, Outcome, Session

from ..console.exits import INTERRUPTED
from ..console.terminal import Terminal, visible
from .answering import Answering
from .detach_key import KEY, detach_key, put_key_back

HINT_SECONDS = 5.0
HINT = f"{KEY} lets it go on in the background, and the model with it"
WAITING = "waiting for what was detached; Ctrl-C ends it"

Hint = Callable[[str], Awaitable[None]]


class Stopping:
    """What ends a run, or a part of it, before it ends by itself.

    ``timeout`` is in seconds. ``hint`` says something once, where a person reads along.
    """

    def __init__(self, terminal: Terminal, timeout: float | None, hint: Hint) -> None:
        self._terminal = terminal
        self._timeout = timeout
        self._say = hint
        self.interrupted = False
        """Whether a signal asked for the end."""
        self.timed_out = False
        self.waited = 0.0
        """Seconds of the time that it has that are over before it begins."""
        self.session: Session | None = None
        """Set while there is something to interrupt."""
        self.answering: Answering | None = None
        """What is stopped first, where somebody answers what is asked."""
        self.key: signal.Signals | None = None
        """What the key sends by which a person detaches what runs."""
        self._detached: set[tuple[str, str]] = set()
        """The calls, by message and id, that a person wants to go on by themselves."""
        self._waiting: anyio.CancelScope | None = None

    @contextmanager
    def detachable(self, *, afar: bool) -> Iterator[None]:
        """Have the detach key for as long as this is entered; not where a server runs
        it, since that goes on without this process in any case."""
        with nullcontext() if afar else detach_key() as self.key:
            yield

    # --- signals ------------------------------------------------------------------

    async def watch(
        self,
        everything: anyio.CancelScope,
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Do what signals ask for, until there is nothing left to wait for."""
        wanted = [signal.SIGINT, signal.SIGTERM]
        if self.key is not None:
            wanted.append(self.key)
        async with anyio.create_task_group() as tasks:
            with anyio.open_signal_receiver(*wanted) as signals:
                task_status.started()
                async for number in signals:
                    if number == self.key:
                        # Beside: a tool that takes its time must not hold up Ctrl-C.
                        tasks.start_soon(self._detach)
                    elif await self._interrupt(everything):
                        return

    async def _interrupt(self, everything: anyio.CancelScope) -> bool:
        """Interrupt the run; True when there is nothing of it to wait for."""
        if self.interrupted:
            _end_at_once()
        self.interrupted = True
        if self.session is None:
            everything.cancel()
            return True
        self._terminal.tell("\ninterrupting; once more ends at once")
        self._stop_waiting()
        await self.session.interrupt()
        return False

    def _stop_waiting(self) -> None:
        if self.answering is not None:
            self.answering.stop()
        if self._waiting is not None:
            self._waiting.cancel()

    # --- time ---------------------------------------------------------------------

    async def end_in_time(self, session: Session) -> None:
        """Interrupt the work when its time is up."""
        if self._timeout is None:
            return
        await anyio.sleep(max(0.0, self._timeout - self.waited))
        self.timed_out = True
        self._stop_waiting()
        await session.interrupt(f"--timeout {self._timeout:g}s")

    # --- what goes on by itself ---------------------------------------------------

    async def hint(self, session: Session) -> None:
        """Say once, where a command takes its time, that it need not be waited for."""
        if self.key is None:
            return
        seen: Sequence[tuple[str, str]] = ()
        while not (slow := set(seen).intersection(session.detachable())):
            seen = session.detachable()
            await anyio.sleep(HINT_SECONDS)
        assert slow
        await self._say(HINT)

    def detached(self, message_id: str, call_id: str) -> None:
        """Take note of a call that is to go on by itself."""
        self._detached.add((message_id, call_id))

    async def _detach(self) -> None:
        """Let what runs go on as jobs, where it can."""
        session = self.session
        running = session.detachable() if session is not None else ()
        if session is None or not running:
            self._terminal.tell("\nnothing runs that could go on by itself")
            return
        for message_id, call_id in running:
            try:
                await session.detach(message_id, call_id)
            except DovetailError as error:
                self._terminal.tell(f"\n{visible(str(error))}")
            else:
                self.detached(message_id, call_id)

    async def with_detached(self, session: Session, outcome: Outcome) -> Outcome:
        """Wait for what the person detached, which ends with this process; return how
        the work ended that the ends of it began."""
        told = False
        while self._detached and outcome.succeeded and not self.interrupted:
            left = [
                one.id
                for one in await session.jobs()
                if one.running and (one.message_id, one.call_id) in self._detached
            ]
            if not left:
                break
            # Before anybody reads that it can be cancelled.
            waiting = self._waiting = anyio.CancelScope()
            if not told:
                told = True
                await self._say(WAITING)
            with waiting:
                await session.wait_for_job(left[0])
                outcome = await session.wait()
        return outcome


def _end_at_once() -> NoReturn:
    # Nothing is lost by it: what was accepted is durable.
    put_key_back()
    os._exit(INTERRUPTED)
