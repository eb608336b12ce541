"""The record of one Step: what is committed of it, and in which order.

Owns that every call is settled durably before the Step is, and that the decision which
ends the execution is in the transaction that settles the Step: whoever finds no open
call left records both. Knows nothing of what the events are about.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import anyio

from ..log.commit import LogTransaction
from ..values.events import Event, FileMade, StepEnded, StepFailed, ToolFailed
from ..values.request import ToolCall
from ..values.sent import SentRequest
from ..values.shortcut import changed
from .changes import KeptChange, kept
from .coordinator import Outcome
from .execution import Execution
from .recovery import STOPPED, settle_open
from .used import Used

Settlement = StepEnded | StepFailed


class StepRecord:
    """What is recorded of one Step while its calls run side by side."""

    def __init__(
        self, execution: Execution, verdict: Callable[[Settlement], Outcome | None]
    ) -> None:
        self.open: dict[str, ToolCall] = {}
        """The calls that are not settled."""
        self.settlement: Settlement | None = None
        """What settles the Step, once nothing but open calls is to be waited for."""
        self.files: dict[str, bytes] = {}
        """What the model made, by key, until it is kept."""
        self.after: Sequence[Event] = ()
        """What is recorded with the settlement, right behind it."""
        self._execution = execution
        self._verdict = verdict
        self._committing = 0
        self._others_done: anyio.Event | None = None
        self._refused = False

    async def commit(self, make: Callable[[LogTransaction], list[Event]]) -> None:
        """Commit events, and with the last of them the Step and perhaps the end."""
        settlement = self.settlement if not self.open else None
        if settlement is not None:
            self.settlement = None
        verdict = self._verdict(settlement) if settlement else None

        def recording(tx: LogTransaction) -> Outcome | None:
            # A copy: this may run more than once, and adds to it.
            events = [*make(tx)]
            self._keep(tx, events)
            if settlement is None:
                tx.append(*events)
                return None
            events += (settlement, *self.after)
            if verdict is None:
                tx.append(*events)
                return None
            return self._execution.end_unless_waiting(tx, verdict, events)

        # What was taken out of memory must reach the log, also when this is cancelled.
        with anyio.CancelScope(shield=True):
            await self._in_order(recording, last=settlement is not None)

    def _keep(self, tx: LogTransaction, events: Sequence[Event]) -> None:
        """Keep the bytes of files that the model made, before their events are."""
        for event in events:
            if isinstance(event, FileMade) and event.managed in self.files:
                tx.rows.put_blob(self.files[event.managed])

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

    async def settle_cancelled(
        self,
        held: Sequence[Event],
        idle: Collection[str],
        changes: Mapping[str, Sequence[KeptChange]],
        request: SentRequest | None,
        spent: Used,
    ) -> None:
        """Leave a valid transcript behind (law execution.5).

        ``held`` is what was complete and not recorded, ``idle`` the calls whose
        executor was not entered, ``changes`` what the others did to files, ``request``
        what was sent, if nothing records it yet, and ``spent`` what that took.
        """
        execution = self._execution
        history = execution.history

        def release(tx: LogTransaction) -> None:
            self._keep(tx, held)
            _append(tx, held)

        await execution.commit(release)

        def settle(tx: LogTransaction) -> None:
            events = [
                _with_changes(tx, one, changes)
                for one in settle_open(tx.rows, history, STOPPED, idle)
            ]
            if events and isinstance(events[-1], StepFailed):
                events[-1] = changed(
                    events[-1],
                    request=request,
                    usage=spent.usage,
                    cost=spent.cost,
                    unpriced=spent.unpriced,
                )
            _append(tx, events)

        while history.open is not None:
            await execution.commit(settle, knowing=history.seq)


def _with_changes(
    tx: LogTransaction, event: Event, changes: Mapping[str, Sequence[KeptChange]]
) -> Event:
    made = changes.get(event.call_id) if isinstance(event, ToolFailed) else None
    return changed(event, changes=kept(tx.rows, made)) if made else event


def _append(tx: LogTransaction, events: Sequence[Event]) -> None:
    tx.append(*events)
