"""Jobs: begun by a call, looked after, ended once, told once, found again."""

import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.builtin_tools import _supervisor, plugin as builtin
from dovetail.kernel import (
    CallNotDetachableError,
    Job,
    JobEnd,
    JobNotFoundError,
    JobUnmanagedError,
    JobWork,
    LiveDelta,
    Runtime,
    Session,
    Tool,
    ToolContext,
    ToolPart,
    UserMessage,
)
from dovetail.kernel.jobs.record import MAX_RUNNING
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import host, kinds_of
from support.processes import NamedPipe, Pipes, ended, longer, written
from support.programs import Forking

ENVIRONMENT = {"PATH": os.environ["PATH"], "DOVETAIL_CONFIG": ""}
HOLD = "read -r _ < go"
"""Wait for ``go.release()``."""


@pytest.fixture(autouse=True)
def go(pipe: Pipes, tmp_path: Path) -> NamedPipe:
    return pipe(tmp_path / "go")


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(builtin._later, "_folder", None)


@asynccontextmanager
async def opened(
    folder: Path, *script: Any, **options: Any
) -> AsyncIterator[tuple[Runtime, ScriptedProvider]]:
    provider = ScriptedProvider(*script)
    options.setdefault("on_permission", "allow")
    options.setdefault("environment", ENVIRONMENT)
    async with host(folder, provider, plugins=[builtin], **options) as runtime:
        yield runtime, provider


def background(command: str, id: str = "c1", **more: Any) -> Any:
    return call("bash", {"command": command, "background": True, **more}, id=id)


async def begun(runtime: Runtime, folder: Path) -> Session:
    """Return a session that has answered once."""
    session = await runtime.sessions.create(
        "s", location=folder, model="scripted/model"
    )
    await session.prompt("go")
    assert (await session.wait()).succeeded
    return session


async def results(session: Session) -> list[str]:
    page = await session.messages(order="asc", limit=200)
    return [
        part.text
        for message in page
        for part in getattr(message, "parts", ())
        if isinstance(part, ToolPart)
    ]


async def said(session: Session) -> Sequence[UserMessage]:
    """Return what stands where a person's words stand and is none."""
    page = await session.messages(order="asc", limit=200)
    return [
        message
        for message in page
        if isinstance(message, UserMessage) and message.job_id is not None
    ]


def lives(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return False
    return state not in ("Z", "X")


def parent(number: int) -> int:
    return int(Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2].split()[1])


def sizes(folder: Path) -> dict[str, int]:
    """Return how much was kept of each output, by its name."""
    return {one.name: one.stat().st_size for one in folder.glob("dovetail-*/*/*")}


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a file tells nobody that it is there
        await anyio.sleep(0.005)


@pytest.mark.law("jobs.1")
@pytest.mark.law("jobs.2")
async def test_a_job_goes_on_and_its_end_wakes_the_session_once(
    tmp_path: Path, go: NamedPipe
) -> None:
    command = f'echo one; echo two >&2; {HOLD}; echo th""ree; exit 3'
    script = (calls(background(command)), text("Waiting."), text("It failed."))
    with anyio.fail_after(HANG):
        async with opened(tmp_path, *script) as (runtime, provider):
            session = await begun(runtime, tmp_path)
            [job] = await session.jobs()
            assert job.running
            assert job.title == command
            [shown] = await results(session)
            assert f"It runs as {job.id}." in shown
            assert f'read path="{job.output}"' in shown
            go.release()
            ended = await session.wait_for_job(job.id)
            assert (ended.state, ended.exit_code) == ("failed", 3)
            assert (await session.wait()).succeeded
            [told] = await said(session)
            assert told.job_id == job.id
            assert "has failed (exit code 3)" in told.text
            # What a program prints does not stand where a person speaks.
            assert "three" not in told.text
            assert len(provider.requests) == 3
        # Nor is it told again by whoever opens the store next.
        async with opened(tmp_path, resume="always") as (runtime, provider):
            session = await runtime.sessions.get("s")
            assert [one.state for one in await session.jobs()] == ["failed"]
            assert len(await said(session)) == 1
            assert (await kinds_of(session)).count("job.ended") == 1
            assert provider.requests == []


async def test_its_output_is_read_by_page_while_it_grows(
    tmp_path: Path, go: NamedPipe
) -> None:
    command = f"echo one; echo two; {HOLD}; echo three"

    def reads(job: Job) -> Any:
        return call("read", {"path": job.output, "offset": 2}, id="c2")

    script: list[Any] = [calls(background(command)), text("Waiting.")]
    with anyio.fail_after(HANG):
        async with opened(tmp_path, *script) as (runtime, provider):
            session = await begun(runtime, tmp_path)
            [job] = await session.jobs()
            name = job.output.removeprefix("running:")
            await until(lambda: sizes(tmp_path)[name] == len("one\ntwo\n"))
            provider.then(calls(reads(job)), text("Two."))
            await session.prompt("read it")
            await session.wait()
            assert (await results(session))[-1] == "2\ttwo"
            provider.then(text("Ended."))
            go.release()
            await session.wait_for_job(job.id)
            await session.wait()
            provider.then(
                calls(call("job", {"action": "wait", "job": job.id}, id="c3")),
                text("Three."),
            )
            await session.prompt("and now")
            await session.wait()
            assert (await results(session))[-1].endswith("\n\none\ntwo\nthree")


@pytest.mark.law("jobs.2")
async def test_what_the_model_stops_itself_it_is_not_told_again(
    tmp_path: Path, pipe: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin._background, "_grace", 0.05)
    pid = pipe(tmp_path / "pid")
    command = "trap '' TERM; echo $$ > pid; (setsid sleep 1000 &); sleep 1000; sleep 1"
    with anyio.fail_after(HANG):
        script = (calls(background(command)), text("Begun."))
        async with opened(tmp_path, *script) as (runtime, provider):
            session = await begun(runtime, tmp_path)
            [job] = await session.jobs()
            number = await pid.number()
            stop = {"action": "stop", "job": job.id}
            provider.then(calls(call("job", stop, id="c2")), text("Stopped."))
            await session.prompt("stop it")
            assert (await session.wait()).succeeded
            [job] = await session.jobs()
            assert (job.state, job.by) == ("stopped", "model")
            assert not lives(number)
            assert await said(session) == []
            assert f"{job.id} (stopped)" in (await results(session))[-1]


async def test_a_person_stops_one_and_the_model_is_told_who(tmp_path: Path) -> None:
    script = (calls(background("sleep 1000")), text("Begun."), text("I see."))
    with anyio.fail_after(HANG):
        async with opened(tmp_path, *script) as (runtime, _):
            session = await begun(runtime, tmp_path)
            [job] = await session.jobs()
            stopped = await session.stop_job(job.id)
            assert (stopped.state, stopped.by) == ("stopped", "person")
            # Twice is once.
            assert await session.stop_job(job.id) == stopped
            await session.wait()
            [told] = await said(session)
            assert "was stopped by a person" in told.text
            with pytest.raises(JobNotFoundError):
                await session.stop_job("job_none")


async def test_an_interrupted_session_is_not_woken_by_a_job(
    tmp_path: Path, go: NamedPipe
) -> None:
    with anyio.fail_after(HANG):
        script = (calls(background(HOLD), call("question", QUESTION, id="c2")),)
        async with opened(tmp_path, *script, on_question="ask") as (runtime, provider):
            session = await runtime.sessions.create(
                "s", location=tmp_path, model="scripted/model"
            )
            await session.prompt("go")
            async with session.events(follow=True) as tail:
                kinds = set()
                async for event in tail:
                    kinds.add(event.kind)
                    if {"job.started", "request.asked"} <= kinds:
                        break
            await session.interrupt()
            await session.wait()
            go.release()
            [job] = await session.jobs()
            assert (await session.wait_for_job(job.id)).state == "succeeded"
            [waiting] = await session.pending()
            assert waiting.job_id == job.id
            assert len(provider.requests) == 1


QUESTION = {"questions": [{"question": "Which?"}]}


@pytest.mark.law("jobs.2")
async def test_several_runtimes_look_after_a_job_and_its_end_is_told_once(
    tmp_path: Path,
    go: NamedPipe,
) -> None:
    script = (calls(background(HOLD)), text("Waiting."), text("Ended."))
    with anyio.fail_after(HANG):
        async with opened(tmp_path, *script) as (one, first):
            session = await begun(one, tmp_path)
            async with opened(tmp_path, text("Ended.")) as (other, second):
                same = await other.sessions.get("s")
                [job] = await same.jobs()
                assert job.running
                go.release()
                assert (await same.wait_for_job(job.id)).state == "succeeded"
                assert (await session.wait_for_job(job.id)).state == "succeeded"
                await session.wait()
                await same.wait()
                kinds = await kinds_of(session)
                assert kinds.count("job.ended") == 1
                assert len(await said(session)) == 1
                # One of them, whichever was quicker, told the model.
                assert len(first.requests) + len(second.requests) == 3


# --- jobs of other tools ------------------------------------------------------------


@frozen
class Nothing:
    pass


class Deploys:
    """A tool whose jobs are no processes."""

    def __init__(self) -> None:
        self.ended = Gate()
        self.broken = self.slow = False
        self.extended: list[float] = []

    async def execute(self, input: Nothing, context: ToolContext) -> str:
        return (await context.jobs.begin("deploy it")).id

    async def look(self, job: Job) -> JobEnd | None:
        if self.slow:
            await anyio.sleep_forever()
        return None

    async def watch(self, job: Job) -> JobEnd:
        await self.ended.pass_through()
        if self.broken:
            raise SystemExit(3)
        return JobEnd("succeeded", said="It is out.")

    async def stop(self, job: Job) -> None:
        self.ended.open()

    async def extend(self, job: Job, seconds: float) -> None:
        self.extended.append(seconds)

    def tool(self) -> Tool[Nothing, str]:
        work = JobWork(self.look, self.watch, self.stop, self.extend)
        return Tool("deploy", "Deploy it.", Nothing, self.execute, jobs=work)


async def test_a_tool_says_itself_how_its_jobs_end(tmp_path: Path) -> None:
    deploys = Deploys()
    provider = ScriptedProvider(calls(call("deploy")), text("Soon."), text("Out."))
    with anyio.fail_after(HANG):
        async with host(tmp_path, provider, deploys.tool()) as runtime:
            session = await begun(runtime, tmp_path)
            [job] = await session.jobs()
            assert (job.tool, job.process, job.output) == ("deploy", None, "")
            await session.extend_job(job.id, 5.0)
            assert deploys.extended == [5.0]
            deploys.ended.open()
            assert (await session.wait_for_job(job.id)).said == "It is out."
            await session.wait()
            [told] = await said(session)
            assert told.text == (
                f"[Nobody wrote this.] Job {job.id} has ended well: deploy it\n"
                "It is out."
            )


async def test_a_tool_that_breaks_or_hangs_over_its_jobs_holds_up_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dovetail.kernel.jobs.keeper.LOOK_SECONDS", 0.05)
    deploys = Deploys()
    provider = ScriptedProvider(calls(call("deploy")), text("Soon."))
    with anyio.fail_after(HANG):
        async with host(
            tmp_path, provider, deploys.tool(), jobs_at_close="leave"
        ) as runtime:
            session = await begun(runtime, tmp_path)
            deploys.broken = True
            await deploys.ended.reached()
            deploys.ended.open()
            # It is looked at again, and does not even answer.
            deploys.slow = True
            await until(lambda: "is not looked after" in caplog.text)
            [job] = await session.jobs()
            assert job.running
            provider.then(text("Still here."))
            await session.prompt("and now?")
            assert (await session.wait()).succeeded
        # Nor does a runtime without the tool end what it knows nothing of.
        async with host(tmp_path, ScriptedProvider()) as runtime:
            session = await runtime.sessions.get("s")
            assert [one.running for one in await session.jobs()] == [True]
            with pytest.raises(JobUnmanagedError, match="deploy"):
                await session.stop_job(job.id)


# --- bounds -------------------------------------------------------------------------


@pytest.mark.law("jobs.4")
async def test_a_job_ends_at_its_bounds_with_everything_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin._background, "_most", 10_000)
    with anyio.fail_after(HANG):
        for milliseconds in longer(1000):
            folder = made(tmp_path / f"{milliseconds}")
            await bounded(folder, milliseconds)
            if written(folder / "left"):
                break
    assert not lives(int(written(folder / "left")))


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def bounded(folder: Path, milliseconds: int) -> None:
    """Run a job to the end of its time, and one beyond what it may print."""
    leaves = "(setsid sleep 1000 & echo $! > left); sleep 1000"
    script = (
        calls(
            background(leaves, timeout_ms=milliseconds),
            background("while :; do echo more; done", id="c2"),
        ),
        text("Begun."),
        *(text("I see.") for _ in range(2)),
    )
    async with opened(folder, *script) as (runtime, _):
        session = await begun(runtime, folder)
        timed, printed = sorted(await session.jobs(), key=lambda job: job.call_id)
        timed = await session.wait_for_job(timed.id)
        printed = await session.wait_for_job(printed.id)
        assert timed.state == "timed_out"
        assert printed.state == "overflowed"
        name = printed.output.removeprefix("running:")
        assert sizes(folder.parent)[name] == 10_000
        await session.wait()
        assert len(await said(session)) == 2


NAMELESS = (
    "env -i setsid sh -c 'echo $$ > one; exec sleep 1000' & "
    # Its parent ends at once.
    'env -i setsid sh -c \'(exec setsid sh -c "echo \\$\\$ > two; exec sleep 1000") '
    ">/dev/null 2>&1 &'; sleep 1000"
)
"""Processes that leave the group and carry no token."""


@pytest.mark.law("jobs.4")
@pytest.mark.skipif(sys.platform != "linux", reason="nothing is adopted elsewhere")
@pytest.mark.parametrize("how", ["stopped", "closed", "time"])
async def test_a_job_ends_with_what_left_its_group_and_its_environment(
    tmp_path: Path, pipe: Pipes, how: str
) -> None:
    with anyio.fail_after(HANG):
        for milliseconds in longer(1000):
            folder = made(tmp_path / f"{milliseconds}")
            pipes = [pipe(folder / name) for name in ("one", "two")]
            bound = {"timeout_ms": milliseconds} if how == "time" else {}
            script = (
                calls(background(NAMELESS, **bound)),
                text("Begun."),
                text("I see."),
            )
            async with opened(folder, *script) as (runtime, _):
                session = await begun(runtime, folder)
                [job] = await session.jobs()
                if how == "time":
                    job = await session.wait_for_job(job.id)
                    assert (job.state, job.said) == ("timed_out", "")
                    if not all(one.heard() for one in pipes):
                        continue
                numbers = [await one.number() for one in pipes]
                if how == "stopped":
                    job = await session.stop_job(job.id)
                    assert (job.state, job.said) == ("stopped", "")
                await session.wait()
            break
    assert not any(map(lives, numbers))


WEAK = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("supervisor", sys.argv.pop(1))
supervisor = importlib.util.module_from_spec(spec)
spec.loader.exec_module(supervisor)
supervisor.KILL_SECONDS = 0.05
descendants = supervisor.descendants
def send(group, token, number):
    if any(os.getpgid(one) == group for one in descendants()):
        os.killpg(group, number)
supervisor.send = send
supervisor.main()
"""
"""A supervisor that reaches the group only."""


@pytest.mark.law("jobs.4")
@pytest.mark.skipif(sys.platform != "linux", reason="nothing is adopted elsewhere")
async def test_what_of_a_job_could_not_be_ended_is_written_down(
    tmp_path: Path, pipe: Pipes
) -> None:
    one, two = pipe(tmp_path / "one"), pipe(tmp_path / "two")
    end = tmp_path / "end"
    arguments = (str(end), str(tmp_path / "until"), "1000", "1000", "0.05", "eff_x")
    with anyio.fail_after(HANG):
        async with await anyio.open_process(
            [
                *(sys.executable, "-c", WEAK, _supervisor.__file__),
                *(*arguments, "sh", "-c", NAMELESS),
            ],
            cwd=tmp_path,
        ) as process:
            assert process.stdin is not None
            await process.stdin.send(b"\n")
            numbers = [await one.number(), await two.number()]
            process.terminate()
            await process.wait()
    for number in numbers:
        os.kill(number, signal.SIGKILL)
    told = json.loads(end.read_text())
    assert told["state"] == "stopped"
    before, _, named = told["said"].rstrip(".").partition(": ")
    assert before == "Not all of it could be ended; this still runs"
    # On a busy machine maybe also what is about to end.
    assert set(numbers) <= set(map(int, named.split(", ")))


@pytest.mark.law("jobs.4")
async def test_how_a_job_ended_has_its_room_before_the_job_can_fill_the_disk(
    tmp_path: Path, go: NamedPipe, pipe: Pipes
) -> None:
    script = (
        calls(background(f"echo > begun; {HOLD}")),
        *(text("I see.") for _ in range(2)),
    )
    with anyio.fail_after(HANG):
        async with opened(tmp_path, *script) as (runtime, _):
            begins = pipe(tmp_path / "begun")
            session = await begun(runtime, tmp_path)
            await begins.line()
            [job] = await session.jobs()
            name = job.output.removeprefix("running:")
            taken = sizes(tmp_path)[f"{name}.end.new"]
            go.release()
            assert (await session.wait_for_job(job.id)).state == "succeeded"
            assert sizes(tmp_path)[f"{name}.end"] == taken > 0
            await session.wait()


@pytest.mark.law("jobs.4")
async def test_more_jobs_than_may_run_are_refused_and_nothing_of_them_begins(
    tmp_path: Path,
) -> None:
    many = [background(HOLD, id=f"c{n}") for n in range(MAX_RUNNING)]
    script = (
        calls(*many),
        calls(background("touch begun", id="over")),
        text("Too many."),
    )
    with anyio.fail_after(HANG):
        async with opened(tmp_path, *script) as (runtime, _):
            session = await begun(runtime, tmp_path)
            assert "16 jobs of session 's' run" in (await results(session))[-1]
            assert len(await session.jobs()) == MAX_RUNNING
        assert not (tmp_path / "begun").exists()


async def test_a_job_may_be_let_run_longer(tmp_path: Path, pipe: Pipes) -> None:
    extend = {"action": "extend", "timeout_ms": 60_000}
    with anyio.fail_after(HANG):
        for milliseconds in longer(1000):
            folder = made(tmp_path / f"{milliseconds}")
            go, bound = pipe(folder / "go"), milliseconds / 1000
            over = time.monotonic() + bound
            script = (calls(background(HOLD, timeout_ms=milliseconds)), text("Begun."))
            async with opened(folder, *script) as (runtime, provider):
                session = await begun(runtime, folder)
                [job] = await session.jobs()
                provider.then(
                    calls(call("job", {**extend, "job": job.id}, id="c2")),
                    text("Longer."),
                )
                await session.prompt("longer")
                await session.wait()
                if time.monotonic() >= over:
                    # It may have been over before anybody could let it run.
                    continue
                # Past the first bound, by a wait that ends because its time is over.
                assert (await session.wait_for_job(job.id, bound + 0.5)).running
                provider.then(text("Well."))
                go.release()
                assert (await session.wait_for_job(job.id)).state == "succeeded"
                await session.wait()
            return


# --- a call that is detached --------------------------------------------------------


@asynccontextmanager
async def at_work(
    runtime: Runtime, folder: Path, printed: str
) -> AsyncIterator[tuple[Session, str]]:
    """Open a session whose command has printed something, with its message's id."""
    session = await runtime.sessions.create(
        "s", location=folder, model="scripted/model"
    )
    async with runtime.live(session_id="s") as live:
        await session.prompt("go")
        async for event in live:
            if isinstance(event, LiveDelta) and event.text == printed:
                yield session, event.message_id
                break


@pytest.mark.law("jobs.2")
async def test_a_running_command_is_detached_and_its_end_told(
    tmp_path: Path, go: NamedPipe
) -> None:
    command = f"echo one; {HOLD}; echo two; exit 3"
    script = (
        calls(call("bash", {"command": command}, id="c1")),
        text("It goes on."),
        text("It failed."),
    )
    with anyio.fail_after(HANG):
        async with opened(tmp_path, *script) as (runtime, _):
            async with at_work(runtime, tmp_path, "one") as (session, message_id):
                job = await session.detach(message_id, "c1")
            assert (await session.wait()).succeeded
            [shown] = await results(session)
            assert shown.startswith(f"one\n\nIt runs as {job.id}.")
            with pytest.raises(CallNotDetachableError):
                await session.detach(message_id, "c1")
            go.release()
            ended = await session.wait_for_job(job.id)
            assert (ended.state, ended.exit_code) == ("failed", 3)
            assert (await session.wait()).succeeded
            assert len(await said(session)) == 1
            name = job.output.removeprefix("running:")
            assert sizes(tmp_path)[name] == len("one\ntwo\n")


@pytest.mark.law("jobs.6")
async def test_any_process_detaches_a_command_that_another_one_runs(
    tmp_path: Path, go: NamedPipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dovetail.kernel.jobs.keeper.LISTEN_SECONDS", 0.01)
    wait = "dovetail.kernel.jobs.keeper.WANT_SECONDS"
    script = (
        calls(call("bash", {"command": f"echo one; {HOLD}"}, id="c1")),
        text("It goes on."),
        text("It ended."),
    )
    with anyio.fail_after(HANG):
        async with (
            opened(tmp_path, *script) as (runtime, provider),
            opened(tmp_path) as (other, _),
        ):
            async with at_work(runtime, tmp_path, "one") as (session, message_id):
                assert session.detachable() == [(message_id, "c1")]
                same = await other.sessions.get("s")
                assert same.detachable() == []
                # Nobody answers to these, and somebody, some time, to the right one.
                monkeypatch.setattr(wait, 0.1)
                for wrong in ((message_id, "c2"), ("msg_none", "c1")):
                    with pytest.raises(CallNotDetachableError):
                        await same.detach(*wrong)
                monkeypatch.setattr(wait, HANG)
                job = await same.detach(message_id, "c1")
            assert (await session.wait()).succeeded
            assert (await results(session))[0].startswith(f"one\n\nIt runs as {job.id}")
            with pytest.raises(CallNotDetachableError):
                await same.detach(message_id, "c1")
            go.release()
            assert (await same.wait_for_job(job.id)).state == "succeeded"
            await session.wait()
            assert (await kinds_of(session)).count("job.wanted") == 1
            assert len(provider.requests) == 3


@pytest.mark.law("jobs.3")
async def test_a_detached_command_is_found_after_a_crash_and_told(
    tmp_path: Path, go: NamedPipe, pipe: Pipes, forked: Forking
) -> None:
    """The system ends it with the process that it is a child of."""
    command = f"echo $$ > pid; echo one; {HOLD}"
    with anyio.fail_after(HANG):
        pid = pipe(tmp_path / "pid")
        await killed(forked, tmp_path, command, pipe(tmp_path / "now"), "detached")
        await ended(await pid.number())
        async with opened(tmp_path, text("I see."), text("Well.")) as (runtime, _):
            session = await runtime.sessions.get("s")
            [job] = await session.jobs()
            assert job.state == "lost"
            report = await session.continuation()
            assert [one.found for one in report.jobs] == ["lost"]
            assert (await session.resume(accept=report.digest)).succeeded
            [told] = await said(session)
            assert told.job_id == job.id
            name = job.output.removeprefix("running:")
            assert sizes(tmp_path)[name] == len("one\n")


@pytest.mark.parametrize("how", ["stopped", "closed", "bounds"])
async def test_a_detached_command_ends_with_everything_it_started(
    tmp_path: Path, go: NamedPipe, how: str
) -> None:
    command = (
        "setsid sleep 1000 & echo $! > left; echo one; "
        f"{HOLD}; while :; do echo more; done"
    )
    script = (
        calls(call("bash", {"command": command}, id="c1")),
        *(text("I see.") for _ in range(2)),
    )
    left = tmp_path / "left"
    most, builtin._background._most = builtin._background._most, 10_000
    try:
        with anyio.fail_after(HANG):
            async with opened(tmp_path, *script, jobs_at_close="leave") as (runtime, _):
                async with at_work(runtime, tmp_path, "one") as (session, message_id):
                    job = await session.detach(message_id, "c1")
                await session.wait()
                if how == "stopped":
                    assert (await session.stop_job(job.id)).state == "stopped"
                elif how == "bounds":
                    go.release()
                    ended = await session.wait_for_job(job.id)
                    assert ended.state == "overflowed"
            child = job.process
            assert child is not None
            assert not lives(child.group)
            assert how == "closed" or not lives(int(left.read_text()))
            async with opened(tmp_path) as (runtime, _):
                session = await runtime.sessions.get("s")
                [found] = await session.jobs()
                assert found.state == ("overflowed" if how == "bounds" else "stopped")
                assert not lives(int(left.read_text()))
    finally:
        builtin._background._most = most


# --- permission ---------------------------------------------------------------------


async def test_it_is_asked_for_before_it_begins_as_any_command(tmp_path: Path) -> None:
    script = (calls(background("touch begun")), text("No."))
    with anyio.fail_after(HANG):
        async with opened(tmp_path, *script, on_permission="deny") as (runtime, _):
            session = await begun(runtime, tmp_path)
            assert await session.jobs() == []
            assert "denied" in (await results(session))[0]
    assert not (tmp_path / "begun").exists()


# --- closing ------------------------------------------------------------------------


@pytest.mark.law("jobs.5")
async def test_jobs_end_with_their_runtime_and_the_model_is_told_later(
    tmp_path: Path,
    pipe: Pipes,
) -> None:
    script = (calls(background("echo $$ > pid; sleep 1000")), text("Begun."))
    pid = pipe(tmp_path / "pid")
    with anyio.fail_after(HANG):
        async with opened(tmp_path, *script) as (runtime, _):
            await begun(runtime, tmp_path)
            number = await pid.number()
        assert not lives(number)
        async with opened(tmp_path, text("I see.")) as (runtime, provider):
            session = await runtime.sessions.get("s")
            [job] = await session.jobs()
            assert (job.state, job.by) == ("stopped", "closing")
            [waiting] = await session.pending()
            assert waiting.job_id == job.id
            assert "the program that ran this session was closed" in waiting.prompt.text
            assert provider.requests == []


@pytest.mark.law("jobs.5")
async def test_jobs_that_are_left_are_looked_after_by_the_next_runtime(
    tmp_path: Path,
    go: NamedPipe,
) -> None:
    script = (calls(background(HOLD)), text("Begun."))
    with anyio.fail_after(HANG):
        async with opened(tmp_path, *script, jobs_at_close="leave") as (runtime, _):
            await begun(runtime, tmp_path)
        async with opened(tmp_path, text("Ended."), resume="always") as (runtime, _):
            session = await runtime.sessions.get("s")
            [job] = await session.jobs()
            assert job.running
            go.release()
            assert (await session.wait_for_job(job.id)).state == "succeeded"
            assert (await session.wait()).succeeded
            assert len(await said(session)) == 1


# --- after the runtime was killed ---------------------------------------------------

WORKER = """
import os, signal, sys, anyio
from dovetail.kernel import open_runtime
from dovetail.kernel.jobs.record import MAX_RUNNING
from dovetail.kernel.testing import ScriptedProvider, call, calls, text

async def main(url, place, command, how):
    arguments = {"command": command, "background": how == "background"}
    model = ScriptedProvider(calls(call("bash", arguments, id="c1")),
                             calls(call("bash", {"command": "echo > now; sleep 1000"})))
    environment = {"PATH": os.environ["PATH"], "DOVETAIL_CONFIG": ""}
    async with open_runtime(url, plugins=[model], on_permission="allow",
                            lease_seconds=0.1, environment=environment) as runtime:
        session = await runtime.sessions.create("s", location=place, model=model.model)
        async with runtime.live(session_id="s") as live:
            await session.prompt("go")
            async for event in live:
                if how == "background" or getattr(event, "text", None) == "one":
                    break
        if how == "detached":
            [call_that_runs] = session.detachable()
            await session.detach(*call_that_runs)
        await session.wait()

anyio.run(main, *sys.argv[1:])
"""


async def killed(
    forked: Forking,
    folder: Path,
    command: str,
    now: NamedPipe,
    how: str = "background",
) -> None:
    """Have a runtime begin a job, and kill it while the model's next call runs."""
    url = f"sqlite:///{folder / 'test.db'}"
    environment = {**os.environ, "TMPDIR": str(folder)}
    process = forked(url, folder, command, how, program=WORKER, environment=environment)
    await now.line()
    process.kill()
    process.wait()


@pytest.mark.law("jobs.3")
@pytest.mark.parametrize(
    ("became", "anyio_backend"),
    [
        ("running", "asyncio"),
        ("running", "trio"),
        # Of these nobody waits for an end, which each loop does in its own way.
        ("succeeded", "asyncio"),
        ("lost", "trio"),
    ],
)
async def test_after_a_crash_each_job_is_found_as_it_is_and_none_begins_again(
    tmp_path: Path, go: NamedPipe, pipe: Pipes, became: str, forked: Forking
) -> None:
    command = f"echo x >> begun; echo $$ > pid; {HOLD}; echo $PPID > done"
    with anyio.fail_after(HANG):
        pid = pipe(tmp_path / "pid")
        await killed(forked, tmp_path, command, pipe(tmp_path / "now"))
        child = await pid.number()
        assert lives(child)
        supervisor = parent(child)
        if became == "lost":
            os.kill(supervisor, signal.SIGKILL)
            await ended(supervisor)
        elif became == "succeeded":
            go.release()
            await ended(supervisor)
        async with opened(tmp_path, text("I see."), text("Well.")) as (
            runtime,
            _,
        ):
            session = await runtime.sessions.get("s")
            report = await session.continuation()
            [found] = report.jobs
            assert found.found == became
            assert found.title == command
            # What the job did since is told by an input, once the report is accepted.
            assert len(report.pending) == (became != "running")
            outcome = await session.resume(accept=report.digest)
            assert outcome.succeeded
            notices = [
                message.text
                for message in await session.history()
                if message.type == "notice" and "still run" in message.text
            ]
            assert len(notices) == (became == "running")
            if became == "running":
                assert f"- {found.job_id}, which prints to running:" in notices[0]
                assert lives(child)
                go.release()
                [job] = await session.jobs()
                assert (await session.wait_for_job(job.id)).state == "succeeded"
                assert (await session.wait()).succeeded
            [told] = await said(session)
            assert told.job_id == found.job_id
            assert not lives(child)
    assert (tmp_path / "begun").read_text() == "x\n"


@pytest.mark.law("jobs.3")
async def test_a_job_that_came_with_a_log_from_elsewhere_is_lost_here(
    tmp_path: Path,
    pipe: Pipes,
) -> None:
    """Whatever process has its number: nothing here was begun by it."""
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    script = (calls(background("echo $$ > pid; sleep 1000")), text("Begun."))
    pid = pipe(tmp_path / "there" / "pid")
    with anyio.fail_after(HANG):
        async with (
            opened(tmp_path / "there", *script) as (there, _),
            opened(tmp_path / "here", text("I see.")) as (here, _),
        ):
            source = await begun(there, tmp_path / "there")
            number = await pid.number()
            async with source.export() as events:
                await here.sessions.replay(events)
            copy = await here.sessions.get("s")
            [job] = await copy.jobs()
            assert job.state == "lost"
            assert lives(number)
            assert [one.running for one in await source.jobs()] == [True]
