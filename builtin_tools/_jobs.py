"""Commands in the background: started under a supervisor, found again, ended.

Owns how a job of ``bash`` runs and how anybody tells what became of it, also in another
process than the one that began it: by the number of its supervisor with the instant at
which that started, and by what the supervisor wrote when it was done. Nothing is ended
because of its number alone (see ``_left``). Knows nothing of permissions.
"""

import fcntl
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread
from attrs import define, evolve
from dovetail.kernel import Job, JobEnd, JobWork, ToolFailure

from . import _supervisor
from ._marks import (
    RUNNING,
    STOP_SECONDS,
    UNENDED,
    VARIABLE,
    LaterOutput,
    carries,
    end_left,
    host_mark,
    started_at,
)
from ._process import Child, Ended

DEFAULT_SECONDS = 8 * 3600
MAX_SECONDS = 24 * 3600
"""How long a job may run, and how far its end may be moved."""
MAX_BYTES = 64 * 1024 * 1024
"""Bytes that a job may print; then it is ended."""
LOOK_SECONDS = 0.5
"""Between looks where the system tells nobody of the end of a process."""
SETTLE_SECONDS = _supervisor.KILL_SECONDS + 2.0
"""What the supervisor takes after SIGKILL at most, and to write down how it ended."""

ELSEWHERE = (
    "It was begun on another machine, in another container or before a restart; "
    "whether it still runs there is not known."
)
CLOSED = "It could not go on without the program that began it, which was closed."
KILLED = "What looked after it was killed; what of it was still found was ended."


@define(eq=False)
class _Detached:
    """A command that was detached: a child of this process, which reads on."""

    child: Child
    output: int
    """Where it is written; locked, by which other processes know that it is held."""
    until: float
    """On the monotonic clock."""
    printed: int
    most: int
    carried: bool = False
    """Whether a runtime reads it by now."""
    stopped: bool = False
    unkept: str = ""
    """Why what it prints could not be kept."""

    def feed(self, chunk: bytes) -> bool:
        kept = chunk[: max(0, self.most - self.printed)]
        self.printed += len(chunk)
        try:
            while kept:
                kept = kept[os.write(self.output, kept) :]
        except OSError as error:
            self.unkept = os.strerror(error.errno or 0)
        return self.printed > self.most or bool(self.unkept)

    def rest(self) -> float:
        return -math.inf if self.stopped else self.until


class Background:
    """The background commands of one plugin, in all sessions."""

    def __init__(
        self,
        later: LaterOutput,
        *,
        most: int = MAX_BYTES,
        grace: float = STOP_SECONDS,
    ) -> None:
        """``most`` are the bytes that a job may print, ``grace`` the seconds that it
        has between SIGTERM and SIGKILL."""
        self._later = later
        self._most = most
        self._grace = grace
        # Those that this process started, to be reaped by it.
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        # By the name of their output.
        self._detached: dict[str, _Detached] = {}

    @property
    def work(self) -> JobWork:
        """How these jobs are looked at and ended."""
        return JobWork(self._look, self._watch, self._stop, self._extend)

    async def start(
        self,
        command: Sequence[str],
        *,
        cwd: str,
        environment: Mapping[str, str],
        seconds: float,
        session_id: str,
        token: str,
        begin: Callable[[str, int], Awaitable[Job]],
    ) -> Job:
        """Start a command that goes on by itself, and return its job.

        ``begin`` is told the name of its output and the number of its supervisor, and
        makes the job durable; the command begins when it has returned, and what it
        raises passes: nothing was run then.

        Raises:
            OSError: it cannot be started.
            ToolFailure: there is nothing that could look after it.
        """
        if not sys.executable:
            raise ToolFailure(
                "cannot run it in the background: this program has no Python to look "
                "after it; run it in the foreground"
            )
        gate, go = os.pipe()
        try:
            # Starting it is waited for, also when the call is cancelled.
            name, process = await anyio.to_thread.run_sync(
                self._spawn,
                *(command, cwd, environment, seconds, session_id, token, gate),
            )
        except BaseException:
            os.close(go)
            raise
        finally:
            os.close(gate)
        self._children[process.pid] = process
        try:
            # Once it is recorded it begins, also when the call is cancelled: what is
            # said to run must run.
            with anyio.CancelScope(shield=True):
                job = await begin(f"{RUNNING}{name}", process.pid)
                with suppress(BrokenPipeError):  # ended from outside before it began
                    os.write(go, b"\n")
        except BaseException:
            os.close(go)
            # Without its line it ends by itself.
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._children.pop(process.pid).wait)
            raise
        os.close(go)
        return job

    def _spawn(
        self,
        command: Sequence[str],
        cwd: str,
        environment: Mapping[str, str],
        seconds: float,
        session_id: str,
        token: str,
        gate: int,
    ) -> "tuple[str, subprocess.Popen[bytes]]":
        name, output = self._later.create(session_id, token)
        try:
            path = self._later.path_of(session_id, name)
            process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", _supervisor.__file__),
                    *(f"{path}.end", f"{path}.until", str(self._most), str(seconds)),
                    *(str(self._grace), token, *command),
                ],
                cwd=cwd,
                env={**environment, VARIABLE: token},
                stdin=gate,
                stdout=output,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            os.close(output)
        return name, process

    async def detach(
        self,
        child: Child,
        printed: bytes,
        *,
        session_id: str,
        token: str,
        begin: Callable[[str], Awaitable[Job]],
    ) -> Job:
        """Go on with a command that ran in the foreground, and return its job.

        ``printed`` is what it printed so far, ``begin`` is told the name of its output.
        It stays a child of this process, and ends with it.

        Raises:
            OSError: its output cannot be kept; it was ended.
            Exception: what ``begin`` raises; it was ended.
        """
        name = ""
        with anyio.CancelScope(shield=True):
            try:
                name, output = await anyio.to_thread.run_sync(
                    self._later.create, session_id, token
                )
                until = time.monotonic() + DEFAULT_SECONDS
                left = _Detached(child, output, until, 0, self._most)
                self._detached[name] = left
                fcntl.flock(output, fcntl.LOCK_EX)
                left.feed(printed)
                job = await begin(f"{RUNNING}{name}")
            except BaseException:
                if name:
                    os.close(self._detached.pop(name).output)
                await child.stop()
                await child.finish()
                child.close()
                raise
        return job

    # --- looking after ------------------------------------------------------------

    async def _look(self, job: Job) -> JobEnd | None:
        return await anyio.to_thread.run_sync(self._found, job)

    async def _watch(self, job: Job) -> JobEnd:
        name = job.output.removeprefix(RUNNING)
        left = self._detached.get(name)
        if left is not None and not left.carried:
            left.carried = True
            return await self._carry_on(job, left)
        # Another runtime of this process reads it, maybe in another thread; its end is
        # written down.
        while name in self._detached:  # noqa: ASYNC110 - so there is no event to wait for
            await anyio.sleep(LOOK_SECONDS)
        while (found := await self._look(job)) is None:
            assert job.process is not None
            await _gone(job.process.group, job.process.started)
            child = self._children.pop(job.process.group, None)
            if child is not None:
                child.poll()  # it is gone; reap it
        return found

    async def _carry_on(self, job: Job, left: _Detached) -> JobEnd:
        try:
            try:
                ended = await left.child.carry_on(left.feed, left.rest)
                found = _end_of(left, ended)
            except anyio.get_cancelled_exc_class():
                # It cannot go on without this process.
                with anyio.CancelScope(shield=True):
                    found = JobEnd("stopped", said=CLOSED)
                    await self._wind_up(job, found, left.child.running)
                raise
            found = await self._wind_up(job, found, ended.running)
        finally:
            self._detached.pop(job.output.removeprefix(RUNNING), None)
            os.close(left.output)
        return found

    async def _wind_up(
        self, job: Job, found: JobEnd, running: tuple[int, ...]
    ) -> JobEnd:
        """End what had left the group of a command that was ended, and write it down
        before it is let go of: whoever else looks finds how it ended. Returns that
        with what of it is still ``running``."""

        def wind_up() -> JobEnd:
            unended = set(running)
            if found.state not in ("succeeded", "failed") and job.process is not None:
                unended |= set(end_left((job.process,), job.effect_token).running)
            end = found
            if unended:
                numbers = ", ".join(map(str, sorted(unended)))
                told = f"{UNENDED[0].upper()}{UNENDED[1:]}: {numbers}."
                end = evolve(found, said=f"{found.said} {told}".strip())
            self._write(job, end)
            return end

        return await anyio.to_thread.run_sync(wind_up)

    def _write(self, job: Job, found: JobEnd) -> None:
        path = self._path(job, ".end")
        if path is not None:
            told = {"state": found.state, "code": found.exit_code, "said": found.said}
            made = path.with_name(f"{path.name}.new")
            with suppress(OSError):  # it is recorded all the same
                made.write_text(json.dumps(told))
                made.replace(path)

    def _held(self, job: Job) -> bool:
        """Return whether the process that began a detached command reads on."""
        name = job.output.removeprefix(RUNNING)
        descriptor = self._later.open(job.session_id, name)
        if descriptor is None:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _found(self, job: Job) -> JobEnd | None:
        mark = job.process
        if mark is None or mark.host != host_mark():
            return JobEnd("lost", said=ELSEWHERE)
        if job.output.removeprefix(RUNNING) in self._detached:
            return None
        alive = bool(mark.started) and started_at(mark.group) == mark.started
        # Whoever holds it has yet to write down how it ended.
        alive = alive or self._held(job)
        # In this order: it may end between.
        found = self._written(job)
        if found is not None or alive:
            return found
        end_left((mark,), job.effect_token)
        return JobEnd("lost", said=KILLED)

    def _written(self, job: Job) -> JobEnd | None:
        """Return what the supervisor wrote, if it is done."""
        try:
            path = self._path(job, ".end")
            told = json.loads(path.read_text()) if path else {}
            state, code = told["state"], told["code"]
            return JobEnd(state, code, told.get("said", ""))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def _path(self, job: Job, ending: str) -> Path | None:
        name = job.output.removeprefix(RUNNING)
        path = self._later.path_of(job.session_id, name)
        return None if path is None else path.with_name(f"{name}{ending}")

    async def _stop(self, job: Job) -> None:
        left = self._detached.get(job.output.removeprefix(RUNNING))
        if left is not None:
            left.stopped = True
            left.child.interrupt()
            return
        await anyio.to_thread.run_sync(self._end, job)

    def _end(self, job: Job) -> None:
        mark, token = job.process, job.effect_token
        if mark is None or mark.host != host_mark():
            return
        if started_at(mark.group) == mark.started and carries(mark.group, token):
            # It ends the rest, and writes down how.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(mark.group, signal.SIGTERM)
            until = time.monotonic() + self._grace + SETTLE_SECONDS
            while started_at(mark.group) == mark.started and time.monotonic() < until:
                time.sleep(0.02)
        end_left((mark,), token)

    async def _extend(self, job: Job, seconds: float) -> None:
        if not (math.isfinite(seconds) and 0 < seconds <= MAX_SECONDS):
            raise ToolFailure(
                f"cannot let it run for {seconds:g} s more: at most {MAX_SECONDS}"
            )
        left = self._detached.get(job.output.removeprefix(RUNNING))
        if left is not None:
            left.until = max(left.until, time.monotonic() + seconds)
            return
        await anyio.to_thread.run_sync(self._move, job, time.monotonic() + seconds)

    def _move(self, job: Job, until: float) -> None:
        path = self._path(job, ".until")
        if path is None:
            return
        made = path.with_name(f"{path.name}.new")
        with suppress(OSError, ValueError):
            until = max(until, float(path.read_text()))
        made.write_text(repr(until))
        made.replace(path)


def _end_of(left: _Detached, ended: Ended) -> JobEnd:
    if left.stopped:
        return JobEnd("stopped")
    if ended.timed_out:
        return JobEnd("timed_out")
    if left.printed > left.most:
        return JobEnd("overflowed")
    if left.unkept:
        return JobEnd("failed", said=left.unkept)
    return JobEnd("succeeded" if ended.code == 0 else "failed", ended.code)


async def _gone(process_id: int, started: str) -> None:
    """Return when a process has ended, whosever child it is."""
    try:
        watch = os.pidfd_open(process_id)
    except (AttributeError, OSError):
        # Gone, or a system without it.
        await anyio.sleep(LOOK_SECONDS)
        return
    try:
        if started_at(process_id) == started:
            await anyio.wait_readable(watch)
        else:
            await anyio.sleep(LOOK_SECONDS)
    finally:
        os.close(watch)
