"""The runner: drains a session, Step by Step, until nothing must continue.

Owns the drain: which History a session runs with, that its execution has a durable
beginning and a durable end whatever happens, and the loop around ``Step``. There is no
other agent loop and no decision that is not taken from durable state. Where another
worker owns the session, the drain stands by and takes over when that one lets go or
its lease ends. Knows nothing of who waits (the coordinator does).
"""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup
from attrs import evolve

from ..history.history import History
from ..lifecycle.guests import kept
from ..lifecycle.loop import loop_caller
from ..lifecycle.watchdog import Watchdog
from ..location.services import LocationServices, Use
from ..log.bell import Bell
from ..log.commit import EventLog
from ..log.lookout import Held
from ..log.reading import damaged, existing_session
from ..ports import Reader, SessionRow
from ..values.errors import (
    EXECUTION_INTERRUPTED,
    DovetailError,
    EventDamagedError,
    OwnerFencedError,
    RowDamagedError,
    RuntimeClosedError,
    StoreError,
    problem_of,
)
from ..values.events import (
    Event,
    SessionPruned,
    SessionRemoved,
    SessionRepaired,
)
from ..values.frozen import frozen
from ..values.ids import SessionId
from ..values.location import Location
from ..values.tool import Failure
from . import ownership, recovery
from .answers import GivenClasses, given
from .coordinator import DrainControl, Outcome, outcome_of
from .execution import Execution
from .keeper import Keeper
from .ownership import Fence, LeaseHeldError, Owner, Standing
from .recovery import STOPPED, settle_open
from .settings import ExecutionSettings
from .silence import Silence
from .step import Step
from .titling import Titling

if TYPE_CHECKING:
    from ..contracts import ProviderProtocol
    from .continuation import ContinuationReport

logger = logging.getLogger(__name__)

KEPT_HISTORIES = 64
"""Idle sessions whose decoded history is kept. The others are read again when they
run again; a bound keeps the memory of a runtime with many sessions flat."""

LOST = Failure(
    "execution.lost",
    "whoever ran it left no end and holds it no more; resume() or a prompt goes on",
)
LEFT_BEHIND = Failure(
    EXECUTION_INTERRUPTED, "what was left of it was settled, for a revert"
)
WAITING = Failure("input.waiting", "input waits and nobody is at it; resume() goes on")


@frozen
class _Look:
    """What a drain finds before it does anything."""

    place: Location
    running: bool
    """Whether an execution has no end."""
    damaged: int | None
    """From which event on its log is not what was written."""
    seq: int
    """The last event in the log."""
    pending: bool
    held: Held | None
    """That another worker owns the session, as far as can be known."""
    lease: Standing
    remembered: bool = False
    """Whether it is what this process knows, and nobody looked."""


@frozen
class _Idle:
    """What is kept of a session that does not run."""

    history: History
    lease: Standing | None
    """How its lease stood when it was given back here; None: that is not known."""

    def look(self) -> _Look | None:
        """Return how things are as far as is known here, where that is enough to begin
        with: input waits, and nothing is left that somebody has to be asked about.

        It need not be so any more. The first transaction of an execution looks at all
        of it again, and writes nothing where it is not.
        """
        history, left = self.history, self.history.last_execution
        if (
            self.lease is None
            or history.place is None
            or history.damage is not None
            or not history.inputs.all
            or left.running
            or left.unaccepted
            or history.open is not None
        ):
            return None
        return _Look(
            history.place,
            running=False,
            damaged=None,
            seq=history.seq,
            pending=True,
            held=None,
            lease=self.lease,
            remembered=True,
        )


class _OutdatedError(Exception):
    """More is in the log than was known. Never leaves the runner, which looks again."""


class Runner:
    """Runs the drains of one runtime."""

    def __init__(
        self,
        log: EventLog,
        use: Use,
        owner: Owner,
        policy: recovery.Policy,
        settings: ExecutionSettings,
        watchdog: Watchdog,
        tasks: TaskGroup,
    ) -> None:
        self._log = log
        self._use = use
        self._owner = owner
        self._settings = settings
        self._policy = policy
        self._idle: OrderedDict[str, _Idle] = OrderedDict()
        """Of sessions that do not run: the History of one that runs is its own."""
        self._running: dict[str, tuple[Execution, DrainControl]] = {}
        self._end_observing = log.observe(self._observe, foreign=False)
        self.given = GivenClasses()
        """The classes that prompts were given."""
        self.silence = Silence(log.clock)
        """What listens to the streams of all sessions; its ``watch`` must run."""
        self.titling = Titling(log, use, self.silence, settings.silence, tasks)
        """What asks the small model for titles; it must be closed before Locations."""
        self._keeper = Keeper(
            log.store,
            log.clock,
            settings.lease_seconds,
            call=loop_caller(),
            fences=self._fences,
            lost=self._lost,
            given_up=self._given_up,
        )
        self._watchdog = watchdog

    def close(self) -> None:
        """Stop following the log."""
        self._end_observing()

    # --- history ------------------------------------------------------------------

    def _observe(self, event: Event) -> None:
        running = self._running.get(event.session_id)
        kept = running[0] if running else self._idle.get(event.session_id)
        if kept is not None:
            kept.history.offer(event)
        if isinstance(event, SessionPruned | SessionRepaired | SessionRemoved):
            # What forks share of it is not what it was, and they hold a copy.
            self._idle.clear()

    def _keep(self, execution: Execution) -> None:
        """Keep what is known of a session that runs no more, in the place of the one
        that ran least lately."""
        fence, ended = execution.fence, execution.outcome is not None
        lease = Standing(fence.number) if fence is not None and ended else None
        self._idle[execution.session_id] = _Idle(execution.history, lease)
        if execution.sampled is not None:
            sampled = execution.sampled
            sampled.registry.keep(execution.session_id, sampled)
        while len(self._idle) > KEPT_HISTORIES:
            self._idle.popitem(last=False)

    def _exceeded(self, rows: Reader, session_id: str, priced: bool) -> Failure | None:
        """Return the limit of a session, or of one above it, that what works for it
        has reached."""
        seen: set[str] = set()
        above: str | None = session_id
        while above is not None and above not in seen:
            seen.add(above)
            running = self._running.get(above)
            if running is not None:
                history = running[0].history
                found = running[0].exceeded((), priced=priced)
            else:
                kept = self._idle.get(above)
                if kept is not None:
                    history = kept.history
                else:
                    # Long ago, or in another process: no copy of it is kept here.
                    if rows.session(above) is None:
                        return None
                    history = History(above)
                    history.catch_up(rows)
                found = history.exceeded((), 0, priced=priced)
            if found is not None:
                return Failure(found.code, f"of session {above}: {found.message}")
            above = history.parent
        return None

    # --- the lease ----------------------------------------------------------------

    async def keep_leases(self) -> None:
        """Have the leases of what runs here renewed, as long as the runtime is open.

        An execution that lost its lease is stopped; what it wanted to write since was
        refused anyway.
        """
        try:
            await anyio.sleep_forever()
        finally:
            await self._keeper.aclose()

    def _fences(self) -> Sequence[Fence]:
        # Another thread asks: a copy is made in one go.
        running = [execution for execution, _ in self._running.copy().values()]
        return [
            one.fence
            for one in running
            if one.fence is not None and one.outcome is None
        ]

    def _given_up(self) -> str | None:
        """Return why nobody may count on what runs here, if that is so."""
        seconds, most = self._watchdog.silence(), self._settings.blocked_seconds
        if seconds <= most:
            return None
        told = "; ".join(str(one) for one in self._watchdog.now() if one.loop)
        return (
            f"the event loop has stood still for {seconds:.0f} s, and may for {most:g} "
            f"s ({told}): another process may take over what runs here"
        )

    def _lost(self, fence: Fence) -> None:
        execution, control = self._running.get(fence.session_id, (None, None))
        if execution is not None and control is not None and execution.fence is fence:
            control.again = True
            control.scope.cancel()

    async def _look(self, session_id: str) -> _Look:
        lookout = self._log.lookout

        def look(rows: Reader) -> _Look:
            row, head = existing_session(rows, session_id), rows.head(session_id)
            return _Look(
                Location(row.directory, row.workspace),
                running=row.status == "running",
                damaged=row.damaged,
                seq=head.seq if head else -1,
                pending=rows.has_pending_input(session_id) or row.compaction_due >= 0,
                held=lookout.held(rows.lease(session_id)),
                lease=ownership.standing(rows, session_id),
            )

        return await self._log.of_work(session_id).read(look)

    async def _stand_by(self, session_id: str, control: DrainControl) -> _Look:
        """Return how things are once no other worker owns the session.

        1. Nobody else holds it: as it is.
        2. Somebody holds it: look again whenever the log is written to, and when its
           lease would be over.
        3. It was renewed meanwhile, or is another lease by now: that worker lives. What
           was accepted here is not what it may leave behind, and counts no more.
        4. It let go, or ran out: whoever forced a Step is served where that worker left
           work, and not where it came to an end, which is the outcome waited for.
        5. The runtime closes: ``RuntimeClosedError``.
        """
        look = await self._look(session_id)
        if look.held is None:
            return look
        first = look.held.sign
        bell = self._log.bell(session_id)
        try:
            while True:
                look = await self._look(session_id)
                if look.held is not None and look.held.sign != first:
                    # It lives: what was accepted is not what it may leave behind.
                    control.accept = None
                if look.held is None:
                    control.force = control.force and look.running
                    return look
                await self._rung_or_later(bell, look.held.seconds)
        finally:
            self._log.forget_bell(session_id, bell)

    async def _rung_or_later(self, bell: Bell, seconds: float) -> None:
        async with anyio.create_task_group() as tasks:

            async def later() -> None:
                await self._log.clock.sleep(seconds)
                tasks.cancel_scope.cancel()

            tasks.start_soon(later)
            if not await bell.wait():
                raise RuntimeClosedError
            tasks.cancel_scope.cancel()

    # --- the drain ----------------------------------------------------------------

    async def drain(self, session_id: str, control: DrainControl) -> None:
        """Promote what is due and run Steps until nothing must continue.

        Without due input and without ``control.force`` nothing happens and nothing is
        recorded (law execution.4). Otherwise the execution has a durable beginning and
        a durable end (law execution.7), whose outcome is left in ``control``.

        While the store refuses for a time, the work stands where it is and goes on by
        itself afterwards, for as long as the runtime is open.

        Raises:
            SessionNotFoundError: there is no such session.
            EventDamagedError, RowDamagedError: its past is not what was written.
            StoreError: the store is gone for good, or the runtime closes meanwhile, so
                that the end could not be recorded.
        """
        try:
            await self._log.patience.outlast(
                session_id, lambda: self._drain(session_id, control)
            )
        except RuntimeClosedError:
            raise
        except DovetailError as error:
            # Whoever waits is told. Nothing that would follow from a damaged past is
            # worth recording behind it, and nothing is tried again by itself.
            logger.error("the work of session %s stopped: %s", session_id, error)
            self._log.patience.note(session_id, error)
            if isinstance(error, EventDamagedError | RowDamagedError):
                self._idle.pop(session_id, None)
            if isinstance(error, EventDamagedError):
                await self._log.mark(error)
            raise
        except Exception:
            logger.exception("the work of session %s stopped", session_id)
            raise

    async def _drain(self, session_id: str, control: DrainControl) -> None:
        await self._log.complete(session_id)
        idle = self._idle.get(session_id)
        look = idle.look() if idle is not None and not control.leave else None
        while True:
            if control.leave:
                look = await self._look(session_id)
                if look.held is not None:
                    return  # somebody is at it
            elif look is None:
                look = await self._stand_by(session_id, control)
            # Work that was lost is found by any wake (law inbox.7).
            if not (look.pending or control.force or look.running or control.leave):
                return
            if look.damaged is not None:
                raise damaged(session_id, look.damaged)
            try:
                await self._execute(session_id, look, control)
                return
            except LeaseHeldError as error:
                if error.moved and not look.remembered:
                    # What was accepted is not what a later worker may have left.
                    control.accept = None
            except _OutdatedError:
                pass
            except OwnerFencedError as error:
                # Stopped past its lease, and somebody else went on: nothing was
                # written, and what is known here is not the truth any more.
                logger.warning("%s", error)
                self._idle.pop(session_id, None)
                control.force = False
            except StoreError:
                # What is left now is not what was accepted.
                control.accept = None
                raise
            look = None

    async def _execute(
        self, session_id: str, look: _Look, control: DrainControl
    ) -> None:
        idle = self._idle.pop(session_id, None)
        history = History(session_id) if idle is None else idle.history
        execution = Execution(
            SessionId(session_id),
            self._log.of_work(session_id),
            history,
            self._owner,
            control.force,
            self._settings,
            self.silence,
            self._log.clock.monotonic(),
            look.lease,
            self._exceeded,
            self.titling,
            self.given,
        )
        self._running[session_id] = (execution, control)
        self._keeper.begin()
        try:
            # Another process may have committed since this one last did.
            await history.follow_up(execution.log, look.seq)
            execution.looked = history.seq
            # What another worker used of the allowance is used.
            execution.steps_used = history.steps
            await self._work(execution, look.place, control)
        finally:
            del self._running[session_id]
            self._keep(execution)
            control.outcome = execution.outcome

    async def _work(
        self, execution: Execution, begins: Location, control: DrainControl
    ) -> None:
        """Run Steps until nothing must continue, and record whatever ends that."""
        try:
            history = execution.history
            place: Location | None = begins
            if history.open is not None and history.open_place is not None:
                # What an earlier worker left is settled where it was begun.
                place = history.open_place
            admitted = False
            while place is not None:
                async with self._use(place) as services:
                    with services.plugins.notices.serving(execution.session_id):
                        admitted = admitted or await kept(
                            self._admitted(execution, services, control)
                        )
                        while admitted and await kept(Step(execution, services).run()):
                            pass
                going = admitted and execution.outcome is None
                # Where it was moved meanwhile, it goes on there.
                moved = history.place not in (None, place)
                place = history.place if going and moved else None
        except (StoreError, OwnerFencedError):
            raise
        except DovetailError as error:
            await self._failed(execution, error)
        except LeaseHeldError:
            raise
        except Exception as error:
            # A defect of ours or of a plugin: the operator reads the log, the session
            # keeps a durable record, and whoever waits is told.
            logger.exception("the execution of %s broke", execution.session_id)
            # What is recorded already stands.
            if execution.outcome is None:
                await self._failed(execution, error)
        except anyio.get_cancelled_exc_class():
            if execution.outcome is None:
                with anyio.CancelScope(shield=True):
                    await self._interrupted(execution, control)
            raise

    async def _failed(self, execution: Execution, error: Exception) -> None:
        """Record that an execution failed.

        Raises:
            _OutdatedError: it never began, and more is in the log than was known when
                it failed.
        """
        outcome = Outcome("failed", Failure(**problem_of(error)))
        if execution.started:
            await execution.end(outcome)
        elif not await execution.commit(
            lambda tx: execution.stop(tx, outcome), knowing=execution.history.seq
        ):
            raise _OutdatedError

    async def _admitted(
        self,
        execution: Execution,
        services: LocationServices,
        control: DrainControl,
    ) -> bool:
        """Go on with what another worker left, if that may be; say if to run Steps."""
        history = execution.history
        left = history.last_execution
        if not (left.running or left.unaccepted or history.open):
            if control.leave:
                return False
            self._go_on_below(execution, services, control)
            return True
        report = await recovery.admit(execution, services, control, self._policy)
        if report is None:
            return False
        calls = report.calls
        if control.leave:
            calls = tuple(
                one if one.action == "none" else evolve(one, action="settle")
                for one in calls
            )
        else:
            self._go_on_below(execution, services, control)
        if history.open is not None:
            # Here, because few sessions are taken over.
            from .takeover import Takeover

            takeover = await Takeover.of(execution, services, history.open)
            await takeover.go_on(calls)
        if control.leave and execution.outcome is None:
            await execution.end(Outcome("interrupted", LEFT_BEHIND))
        return execution.outcome is None

    def _go_on_below(
        self, execution: Execution, services: LocationServices, control: DrainControl
    ) -> None:
        """Have the sessions that work for this one as jobs go on, too."""
        said = "prompt" if control.accept == "prompt" else None
        for child in execution.history.background.values():
            services.children.go_on(child, execution.accepted.get(child, said))

    async def recorded(self, session_id: str) -> Outcome:
        """Return how the last execution of a session ended, once no other worker runs
        it. Nothing is told that is older than the input that waits.

        ``idle`` with a reason: input waits, or work was left, and nobody is at it.

        Raises:
            SessionNotFoundError: there is no such session.
            RuntimeClosedError: the runtime closes.
        """
        bell = self._log.bell(session_id)
        try:
            while True:
                look = await self._log.read(partial(self._recorded, session_id))
                if isinstance(look, Outcome):
                    return look
                await self._rung_or_later(bell, look.seconds)
        finally:
            self._log.forget_bell(session_id, bell)

    def _recorded(self, session_id: str, rows: Reader) -> Outcome | Held:
        """Return an outcome, or how another worker holds the session."""
        row = existing_session(rows, session_id)
        held = self._log.lookout.held(rows.lease(session_id))
        if held is not None:
            return held
        trouble = self._log.patience.trouble(session_id)
        if row.status == "running":
            return Outcome("idle", trouble or LOST)
        # What was there when an execution ended was left by it on purpose.
        if (
            rows.has_pending_input(session_id, after=row.ended_seq)
            or row.compaction_due > row.ended_seq
        ):
            return Outcome("idle", trouble or WAITING)
        return given(rows, row, outcome_of(row))

    async def continuation(self, session_id: str) -> "ContinuationReport":
        """Return the Continuation Report of a session as things are now.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        from .continuation import report_of

        history = History(session_id)

        def read(rows: Reader) -> SessionRow:
            row = existing_session(rows, session_id)
            history.catch_up(rows)
            return row

        row = await self._log.read(read)
        async with self._use(Location(row.directory, row.workspace)) as services:
            taker = "" if session_id in self._running else self._owner.name
            return await report_of(self._log, services, history, taker)

    async def protocols(self, session_id: str) -> "Mapping[str, ProviderProtocol]":
        """Return what plugins of a session's Location write requests with, by name.

        Raises:
            SessionNotFoundError: there is no such session.
            LocationNotFoundError: its directory is gone.
        """
        async with self.services_of(session_id) as services:
            return services.plugins.protocols

    @asynccontextmanager
    async def services_of(self, session_id: str) -> AsyncIterator[LocationServices]:
        """Open a session's Location, and keep it open for as long as it is entered.

        Raises:
            SessionNotFoundError: there is no such session.
            LocationNotFoundError: its directory is gone.
        """
        row = await self._log.read(lambda rows: existing_session(rows, session_id))
        async with self._use(Location(row.directory, row.workspace)) as services:
            yield services

    async def _interrupted(self, execution: Execution, control: DrainControl) -> None:
        if control.reason is None or (
            not execution.started and control.reason != "user"
        ):
            return
        why = control.text or control.reason
        if execution.started:
            # What was committed last may not have been taken in when it was cancelled.
            await execution.catch_up()
        history = execution.history if execution.started else None

        def settling(rows: Reader) -> Sequence[Event]:
            return settle_open(rows, history, STOPPED) if history else ()

        await execution.end(
            Outcome("interrupted", Failure(EXECUTION_INTERRUPTED, why)), settling
        )
