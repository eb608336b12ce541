"""The runner: drains a session, Step by Step, until nothing must continue.

Owns the drain: which History a session runs with, that its execution has a durable
beginning and a durable end whatever happens, and the loop around ``Step``. There is no
other agent loop and no decision that is not taken from durable state. Knows nothing of
who waits (the coordinator does).
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import anyio

from ..events.log import EventLog, existing_session
from ..ports import Reader, SessionRow
from ..values.errors import DovetailError, StoreError, problem_of
from ..values.events import Event
from ..values.ids import SessionId
from ..values.location import Location
from ..values.tool import Failure
from .coordinator import DrainControl, Outcome
from .history import History
from .recovery import settle_open
from .services import LocationServices
from .step import Execution, Step

logger = logging.getLogger(__name__)

KEPT_HISTORIES = 64
"""Idle sessions whose decoded history is kept. The others are read again when they
run again; a bound keeps the memory of a runtime with many sessions flat."""


class Runner:
    """Runs the drains of one runtime."""

    def __init__(
        self,
        log: EventLog,
        acquire: Callable[[Location], Awaitable[LocationServices]],
        owner: str,
    ) -> None:
        self._log = log
        self._acquire = acquire
        self._owner = owner
        self._histories: OrderedDict[str, History] = OrderedDict()
        self._end_observing = log.observe(self._observe)

    def close(self) -> None:
        """Stop following the log."""
        self._end_observing()

    def _observe(self, event: Event) -> None:
        history = self._histories.get(event.session_id)
        if history is not None:
            history.offer(event)

    def _history(self, session_id: str) -> History:
        history = self._histories.get(session_id)
        if history is None:
            history = self._histories[session_id] = History(session_id)
            if len(self._histories) > KEPT_HISTORIES:
                self._histories.popitem(last=False)
        self._histories.move_to_end(session_id)
        return history

    async def drain(self, session_id: str, control: DrainControl) -> None:
        """Promote what is due and run Steps until nothing must continue.

        Without due input and without ``control.force`` nothing happens and nothing is
        recorded (law execution.4). Otherwise the execution has a durable beginning and
        a durable end (law execution.7), whose outcome is left in ``control``.

        Raises:
            SessionNotFoundError: there is no such session.
            StoreError: the store failed, so the end could not be recorded.
        """

        def look(rows: Reader) -> tuple[SessionRow, bool]:
            row = existing_session(rows, session_id)
            return row, bool(rows.pending_inputs(session_id))

        row, pending = await self._log.read(look)
        if not pending and not control.force:
            return
        history = self._history(session_id)
        if history.behind:
            await self._log.read(history.catch_up)
        execution = Execution(
            SessionId(session_id), self._log, history, self._owner, control.force
        )
        try:
            services = await self._acquire(Location(row.directory, row.workspace))
            while await Step(execution, services).run():
                pass
        except StoreError:
            raise
        except DovetailError as error:
            await execution.end(Outcome("failed", Failure(**problem_of(error))))
        except Exception as error:
            # A defect of ours or of a plugin: the operator reads the log, the session
            # keeps a durable record, and whoever waits is told.
            logger.exception("the execution of %s broke", session_id)
            await execution.end(Outcome("failed", Failure(**problem_of(error))))
        except anyio.get_cancelled_exc_class():
            if execution.outcome is None:
                with anyio.CancelScope(shield=True):
                    await self._interrupted(execution, control)
            raise
        finally:
            control.outcome = execution.outcome

    async def _interrupted(self, execution: Execution, control: DrainControl) -> None:
        if not execution.started and control.reason != "user":
            return
        why = control.text or control.reason or "shutdown"
        left = execution.history.open if execution.started else None
        events = settle_open(left, "it was interrupted") if left else []
        await execution.end(
            Outcome("interrupted", Failure("execution.interrupted", why)), *events
        )
