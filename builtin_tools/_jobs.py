"""Commands in the background: started under a supervisor, found again, ended.

Owns how a job of ``bash`` runs and how anybody tells what became of it, also in another
process than the one that began it: by the number of its supervisor with the instant at
which that started, and by what the supervisor wrote when it was done. Nothing is ended
because of its number alone (see ``_left``). Knows nothing of permissions.
"""

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
from dovetail.kernel import Job, JobEnd, JobWork, ToolFailure

from . import _supervisor
from ._left import (
    RUNNING,
    VARIABLE,
    LaterOutput,
    carries,
    end_left,
    host_mark,
    started_at,
)

DEFAULT_SECONDS = 8 * 3600
MAX_SECONDS = 24 * 3600
"""How long a job may run, and how far its end may be moved."""
MAX_BYTES = 64 * 1024 * 1024
"""Bytes that a job may print; then it is ended."""
LOOK_SECONDS = 0.5
"""Between looks where the system tells nobody of the end of a process."""
STOP_SECONDS = 5.0
"""The supervisor's own three, and time to write down how it ended."""

ELSEWHERE = (
    "It was begun on another machine, in another container or before a restart; "
    "whether it still runs there is not known."
)
KILLED = "What looked after it was killed; whatever of it still ran was ended."


class Background:
    """The background commands of one plugin, in all sessions."""

    def __init__(self, later: LaterOutput, *, most: int = MAX_BYTES) -> None:
        self._later = later
        self._most = most
        # Those that this process started, to be reaped by it.
        self._children: dict[int, subprocess.Popen[bytes]] = {}

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
                    *(token, *command),
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

    # --- looking after ------------------------------------------------------------

    async def _look(self, job: Job) -> JobEnd | None:
        return await anyio.to_thread.run_sync(self._found, job)

    async def _watch(self, job: Job) -> JobEnd:
        while (found := await self._look(job)) is None:
            assert job.process is not None
            await _gone(job.process.group, job.process.started)
            child = self._children.pop(job.process.group, None)
            if child is not None:
                child.poll()  # it is gone; reap it
        return found

    def _found(self, job: Job) -> JobEnd | None:
        mark = job.process
        if mark is None or mark.host != host_mark():
            return JobEnd("lost", said=ELSEWHERE)
        alive = bool(mark.started) and started_at(mark.group) == mark.started
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
        await anyio.to_thread.run_sync(self._end, job)

    def _end(self, job: Job) -> None:
        mark, token = job.process, job.effect_token
        if mark is None or mark.host != host_mark():
            return
        if started_at(mark.group) == mark.started and carries(mark.group, token):
            # It ends the rest, and writes down how.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(mark.group, signal.SIGTERM)
            until = time.monotonic() + STOP_SECONDS
            while started_at(mark.group) == mark.started and time.monotonic() < until:
                time.sleep(0.02)
        end_left((mark,), token)

    async def _extend(self, job: Job, seconds: float) -> None:
        if not (math.isfinite(seconds) and 0 < seconds <= MAX_SECONDS):
            raise ToolFailure(
                f"cannot let it run for {seconds:g} s more: at most {MAX_SECONDS}"
            )
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


async def _gone(process_id: int, started: str) -> None:
    """Return when a process has ended, whosever child it is."""
    try:
        watch = os.pidfd_open(process_id)
    except (AttributeError, OSError):
        # Gone, or a system without it.
        if started_at(process_id) == started:
            await anyio.sleep(LOOK_SECONDS)
        return
    try:
        if started_at(process_id) == started:
            await anyio.wait_readable(watch)
    finally:
        os.close(watch)
