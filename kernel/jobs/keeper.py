"""The keeper of jobs: looks after what runs, and records each end.

Owns which jobs this runtime looks after: those that its calls began, and those that it
found when their Location or session was looked at, whoever began them. Looking at a job
changes nothing, and its end is recorded once whoever sees it first (``record``); so
several runtimes may look after one. None is ever begun again. How a job is looked at
and ended is its tool's to say (``contracts.JobWork``).
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Literal, TypeVar

import anyio
from anyio.abc import TaskGroup
from attrs import evolve

from ..contracts import JobWork
from ..lifecycle.process import has_ended, name_of_process
from ..log.bell import Bell
from ..log.commit import EventLog, LogTransaction
from ..log.reading import events_between, existing_session
from ..ports import Reader
from ..values.codec import clean_text
from ..values.errors import (
    CallNotDetachableError,
    DovetailError,
    InvalidValueError,
    JobLimitError,
    JobUnmanagedError,
    RuntimeClosedError,
)
from ..values.events import JobStarted, JobWanted
from ..values.ids import JobId, MessageId, SessionId, new_id
from ..values.job import MAX_OUTPUT_NAME, MAX_TITLE, Job, JobEnd, checked_end
from ..values.location import Location
from ..values.tool import ProcessMark
from . import record

logger = logging.getLogger(__name__)

T = TypeVar("T")

WhenClosing = Literal["end", "leave"]
"""What becomes of the jobs of a runtime that closes: they are ended, or go on."""
Finding = Callable[[Location, Job], AbstractAsyncContextManager[JobWork | None]]
"""Opens a Location and says how a job of it is looked after."""

LOOK_SECONDS = 10.0
"""How long tools may take to look at the jobs of a session, all together, before what
is recorded must do."""

LISTEN_SECONDS = 0.5
"""How long a call runs before it is looked whether others want it to be a job."""
WANT_SECONDS = 15.0
"""How long another process may take to let a call go on as a job."""

Call = tuple[SessionId, MessageId, str]
"""What names a call: its session, its message, and its own id."""

ELSEWHERE = "It was begun in another store, and is not looked after here."
MODEL, PERSON, CLOSING = "model", "person", "closing"


class _Kept:
    """One job that this runtime looks after."""

    def __init__(self, job: Job, *, ours: bool, left: bool = False) -> None:
        self.job = job
        self.ours = ours
        """Whether closing this runtime may end it."""
        self.left = left
        """Whether a process began it that has ended since."""
        self.work: JobWork | None = None
        self.looked = anyio.Event()
        """Set when it was looked at once, and its end, if it had one, is recorded."""
        self.over = anyio.Event()
        self.by: str | None = None
        """Who is ending it."""
        self.scope = anyio.CancelScope()


class _Detachable:
    """One call that can go on as a job."""

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self.over = anyio.Event()
        self.listening = anyio.CancelScope()


class Jobs:
    """The jobs of one store, as one runtime looks after them."""

    def __init__(
        self,
        log: EventLog,
        tasks: TaskGroup,
        find: Finding,
        wake: Callable[[str], None],
        closing: WhenClosing = "end",
    ) -> None:
        """``wake`` is told of sessions that have something new to be told."""
        self._log = log
        self._tasks = tasks
        self._find = find
        self._wake = wake
        self._closing = closing
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._detachable: dict[Call, _Detachable] = {}
        # By session, those of processes that are gone which were found alive, until
        # the model was told.
        self._alive: dict[str, dict[str, Job]] = {}
        self._closed = False
        self._process = name_of_process()

    # --- beginning ----------------------------------------------------------------

    async def begin(
        self,
        call: Call,
        tool: str,
        title: str,
        output: str,
        process: ProcessMark | None,
        guard: Callable[[LogTransaction], None],
        session: str | None = None,
    ) -> Job:
        """Record a job of a call, durably, and look after it from then on.

        ``session`` is the session that it is, if it is one; of each there is one job.

        Raises:
            InvalidValueError: it does not say what it does, or too much.
            JobLimitError: as many jobs of the session run as may.
            RuntimeClosedError: the runtime closes.
        """
        if not title.strip():
            raise InvalidValueError("title of a job", title, "it must say something")
        if len(output) > MAX_OUTPUT_NAME:
            rule = f"at most {MAX_OUTPUT_NAME} characters"
            raise InvalidValueError("output of a job", output[:80], rule)
        if self._closed:
            raise RuntimeClosedError
        session_id, message_id, call_id = call
        started = JobStarted(
            session_id=session_id,
            job_id=JobId(new_id("job", self._log.clock)),
            message_id=message_id,
            call_id=call_id,
            tool=tool,
            title=clean_text(title[:MAX_TITLE]),
            output=clean_text(output),
            process=process,
            worker=self._process,
            session=session,
        )

        def begin(tx: LogTransaction) -> tuple[Job, Location]:
            guard(tx)
            if session is not None:
                for known in record.jobs_of(tx.rows, session_id):
                    if known.session == session:
                        return known, _location_of(tx.rows, session_id)
            return record.begin(tx, started), _location_of(tx.rows, session_id)

        # What is recorded is looked after, also when the call is cancelled.
        with anyio.CancelScope(shield=True):
            job, location = await self._log.of_work(session_id).commit(begin)
            if job.running:
                self._keep(job, location, ours=True)
        return job

    @contextmanager
    def detachable(self, call: Call) -> Iterator[anyio.Event]:
        """Say, for as long as it is entered, that a call can go on as a job; the event
        is set when somebody wants that, in whatever process."""
        entry = self._detachable[call] = _Detachable()
        if not self._closed:
            self._tasks.start_soon(self._listen, call, entry, name=f"call {call[2]}")
        try:
            yield entry.asked
        finally:
            del self._detachable[call]
            entry.over.set()
            entry.listening.cancel()

    def detachable_calls(self, session_id: str) -> Sequence[tuple[MessageId, str]]:
        """Return the calls of a session that run here and can go on as jobs, by their
        message and their own id, in the order in which they began."""
        return [call[1:] for call in self._detachable if call[0] == session_id]

    async def _listen(self, call: Call, entry: _Detachable) -> None:
        """Look out for others who want a call to go on as a job."""
        session_id, message_id, call_id = call
        with entry.listening:
            # Most calls are over before anybody could want it.
            await self._log.clock.sleep(LISTEN_SECONDS)
            bell = self._log.bell(session_id)
            after: int | None = None

            def look(rows: Reader) -> tuple[int, bool]:
                at = after
                if at is None:
                    opened = [row.body_seq for row in rows.open_messages(session_id)]
                    if not opened:
                        return -1, False
                    at = max(opened)
                wanted = False
                for event in events_between(rows, session_id, at):
                    at = event.seq
                    wanted = wanted or (
                        isinstance(event, JobWanted)
                        and (event.message_id, event.call_id) == (message_id, call_id)
                    )
                return at, wanted

            try:
                while not entry.asked.is_set():
                    after, wanted = await self._log.read(look)
                    if wanted:
                        entry.asked.set()
                    elif not await bell.wait():
                        return
            except DovetailError as error:
                # Here it can be detached all the same.
                logger.warning("call %s: nobody else can detach it: %s", call_id, error)
            finally:
                self._log.forget_bell(session_id, bell)

    async def detach(self, session_id: str, message_id: str, call_id: str) -> Job:
        """Have a running call go on as a job, whichever process runs it, and return
        that.

        Raises:
            SessionNotFoundError: there is no such session.
            CallNotDetachableError: it does not run, or cannot.
            JobLimitError: as many jobs of the session run as may.
        """

        def running(rows: Reader) -> tuple[int, bool, bool]:
            runs = record.call_runs(rows, session_id, message_id, call_id)
            held = self._log.lookout.held(rows.lease(session_id)) is not None
            return len(rows.running_jobs(session_id=session_id)), runs, held

        count, runs, held = await self._log.read(running)
        call = (SessionId(session_id), MessageId(message_id), call_id)
        entry = self._detachable.get(call)
        if entry is None and not (runs and held):
            raise CallNotDetachableError(call_id)
        if count >= record.MAX_RUNNING:
            # Before it is asked for: what cannot become one is better left alone.
            raise JobLimitError(session_id, count)
        if entry is not None:
            entry.asked.set()
            await entry.over.wait()
        else:
            await self._want(call)
        for job in await self._log.read(lambda rows: record.jobs_of(rows, session_id)):
            if (job.message_id, job.call_id) == (message_id, call_id):
                return job
        raise CallNotDetachableError(call_id)  # it had ended by then

    async def _want(self, call: Call) -> None:
        """Say to the process that runs a call that it is to go on as a job, and wait
        until that is so, or cannot be any more."""
        session_id, message_id, call_id = call
        wanted = JobWanted(
            session_id=session_id, message_id=message_id, call_id=call_id
        )

        def begun(rows: Reader) -> bool:
            if not record.call_runs(rows, session_id, message_id, call_id):
                return True
            jobs = record.jobs_of(rows, session_id)
            return any((one.message_id, one.call_id) == call[1:] for one in jobs)

        bell = self._log.bell(session_id)
        try:
            await self._log.append(wanted)
            with anyio.move_on_after(WANT_SECONDS):
                while not await self._log.read(begun):
                    if not await bell.wait():
                        raise RuntimeClosedError
        finally:
            self._log.forget_bell(session_id, bell)

    async def adopt(
        self, *, session_id: str | None = None, directory: str | None = None
    ) -> Sequence[_Kept]:
        """Look after the running jobs of a session, or of a Location's directory.

        Returns what is looked after now; each has been looked at when ``looked`` is
        set, which needs its Location to be open.
        """
        if self._closed:
            return ()

        def read(rows: Reader) -> list[tuple[Job, Location, bool]]:
            running = rows.running_jobs(session_id=session_id, directory=directory)
            found = [record.job_at(rows, row) for row in running]
            return [
                (job, _location_of(rows, job.session_id), record.is_of_here(rows, job))
                for job in found
                if job is not None
            ]

        kept = []
        for job, location, here in await self._log.read(read):
            if not here:
                await self._record(job, JobEnd("lost", said=ELSEWHERE), None)
                continue
            # Of a process that lives, it is that one's to end it.
            left = job.worker != self._process and has_ended(job.worker)
            ours = left or job.worker == self._process
            kept.append(self._keep(job, location, ours=ours, left=left))
        return kept

    def _keep(
        self, job: Job, location: Location, *, ours: bool, left: bool = False
    ) -> _Kept:
        key = (job.session_id, job.id)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(job, ours=ours, left=left)
            self._tasks.start_soon(
                self._look_after, kept, location, name=f"job {job.id}"
            )
        return kept

    # --- looking ------------------------------------------------------------------

    async def look(self, session_id: str) -> None:
        """Return when each running job of a session was looked at, and the ends that
        were found are recorded. A tool that takes its time is not waited for longer."""
        kept = await self.adopt(session_id=session_id)
        with anyio.move_on_after(LOOK_SECONDS):
            for one in kept:
                await one.looked.wait()

    def found_alive(self, session_id: str) -> Sequence[Job]:
        """Return the jobs of a session that were begun by a process which has ended,
        and found to run on, of which the model was not told yet."""
        found = self._alive.get(session_id)
        return tuple(found.values()) if found else ()

    def told_alive(self, session_id: str, jobs: Sequence[Job]) -> None:
        """Say that the model was told of these, or need not be any more."""
        found = self._alive.get(session_id, {})
        for job in jobs:
            found.pop(job.id, None)
        if not found:
            self._alive.pop(session_id, None)

    async def of(self, session_id: str) -> Sequence[Job]:
        """Return the jobs of a session in the order in which they began.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        await self.look(session_id)
        return await self._log.read(lambda rows: record.jobs_of(rows, session_id))

    async def wait(self, session_id: str, job_id: str, seconds: float | None) -> Job:
        """Return a job when it has ended, or as it is when the time is over.

        Raises:
            JobNotFoundError: the session has none of this id.
        """
        await self.look(session_id)
        clock = self._log.clock
        until = None if seconds is None else clock.monotonic() + seconds
        bell = self._log.bell(session_id)
        try:
            while True:
                job = await self._get(session_id, job_id)
                rest = None if until is None else until - clock.monotonic()
                if not job.running:
                    kept = self._kept.get((session_id, job_id))
                    if kept is not None:
                        # Until its session is woken, too, so that who waits for that
                        # next does not find it idle.
                        await kept.over.wait()
                    return job
                if rest is not None and rest <= 0:
                    return job
                if not await self._rung_within(bell, rest):
                    raise RuntimeClosedError
        finally:
            self._log.forget_bell(session_id, bell)

    async def _rung_within(self, bell: Bell, seconds: float | None) -> bool:
        """Wait for the bell or the time; False when the bell is closed."""
        if seconds is None:
            return await bell.wait()
        rung = True
        async with anyio.create_task_group() as tasks:

            async def later() -> None:
                await self._log.clock.sleep(seconds)
                tasks.cancel_scope.cancel()

            tasks.start_soon(later)
            rung = await bell.wait()
            tasks.cancel_scope.cancel()
        return rung

    async def _get(self, session_id: str, job_id: str) -> Job:
        return await self._log.read(
            lambda rows: record.job_of(rows, session_id, job_id)
        )

    # --- ending -------------------------------------------------------------------

    async def stop(self, session_id: str, job_id: str, by: str) -> Job:
        """End a job, and return it with its end. One that has its end is returned so.

        Raises:
            JobNotFoundError: the session has none of this id.
            JobUnmanagedError: its tool is not offered any more.
        """
        kept, work = await self._managed(session_id, job_id)
        if kept is not None and work is not None:
            kept.by = kept.by or by
            await work.stop(kept.job)
            await kept.over.wait()
        return await self._get(session_id, job_id)

    async def extend(self, session_id: str, job_id: str, seconds: float) -> Job:
        """Let a job run for so long from now on, if that is longer than it may.

        Raises:
            JobNotFoundError: the session has none of this id.
            JobUnmanagedError: its tool is not offered any more.
        """
        kept, work = await self._managed(session_id, job_id)
        if kept is not None and work is not None:
            await work.extend(kept.job, seconds)
        return await self._get(session_id, job_id)

    async def _managed(
        self, session_id: str, job_id: str
    ) -> tuple[_Kept | None, JobWork | None]:
        """Return how a job is looked after; nothing when it has its end."""
        await self.look(session_id)
        job = await self._get(session_id, job_id)
        kept = self._kept.get((session_id, job_id))
        if not job.running:
            return None, None
        if kept is None or kept.work is None:
            raise JobUnmanagedError(job_id, job.tool)
        return kept, kept.work

    async def aclose(self, within: float) -> Sequence[str]:
        """End what is ours, or leave it, as the policy says; look after nothing more.

        ``within`` is in seconds. Returns the jobs that did not end by then.
        """
        self._closed = True
        left = []
        with anyio.move_on_after(within):
            async with anyio.create_task_group() as tasks:
                for kept in tuple(self._kept.values()):
                    if self._closing == "end" and kept.ours:
                        tasks.start_soon(self._end_now, kept)
        rest = tuple(self._kept.values())
        for kept in rest:
            if self._closing == "end" and kept.ours:
                left.append(kept.job.id)
            kept.scope.cancel()
        with anyio.move_on_after(within):
            # What cannot be left behind is ended by its tool now.
            for kept in rest:
                await kept.over.wait()
        return left

    async def _end_now(self, kept: _Kept) -> None:
        kept.by = kept.by or CLOSING
        await kept.looked.wait()
        try:
            if kept.work is not None and not kept.over.is_set():
                await kept.work.stop(kept.job)
                await kept.over.wait()
        except Exception as error:
            # It stays recorded as running, and is found by whoever looks next.
            logger.error("job %s was not ended: %s", kept.job.id, error)

    # --- looking after ------------------------------------------------------------

    async def _look_after(self, kept: _Kept, location: Location) -> None:
        job = kept.job
        try:
            with kept.scope:
                async with self._find(location, job) as work:
                    if work is None:
                        logger.warning("%s", JobUnmanagedError(job.id, job.tool))
                        return
                    kept.work = work
                    found = await work.look(job)
                    if found is None:
                        if kept.left:
                            self._alive.setdefault(job.session_id, {})[job.id] = job
                        kept.looked.set()
                        found = await work.watch(job)
                    await self._record(job, checked_end(found), kept.by)
        except Exception as error:
            # A tool's, or the store's. It stays recorded as running, and is looked at
            # again by whoever asks next.
            known = isinstance(error, DovetailError)
            logger.error(
                "job %s is not looked after: %s",
                job.id,
                error,
                exc_info=None if known else error,
            )
        finally:
            self._kept.pop((job.session_id, job.id), None)
            self.told_alive(job.session_id, (job,))
            kept.looked.set()
            kept.over.set()

    async def _record(self, job: Job, found: JobEnd, by: str | None) -> None:
        if found.state == "lost" and by is not None:
            # Ended so hard that nothing was left to say how.
            found = evolve(found, state="stopped")
        by = by if found.state == "stopped" else None
        # What the model ended itself, it knows.
        tell = None if by == MODEL else MessageId(new_id("msg", self._log.clock))

        def end(tx: LogTransaction) -> bool:
            if not record.end(tx, job, found, by, tell):
                return False
            session = tx.session(job.session_id)
            # Whoever interrupted it wants nothing to start by itself (execution.5).
            stopped = session.status == "idle" and session.outcome == "interrupted"
            return tell is not None and not stopped

        with anyio.CancelScope(shield=True):
            wanted = await self._log.of_work(job.session_id).commit(end)
        if wanted and not self._closed:
            self._wake(job.session_id)


def _location_of(rows: Reader, session_id: str) -> Location:
    row = existing_session(rows, session_id)
    return Location(row.directory, row.workspace)
