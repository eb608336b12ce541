"""A runtime that is killed while a command runs: what becomes of the command."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from dovetail.kernel import AssistantMessage, open_runtime
from dovetail.kernel.testing import ScriptedProvider, text
from support.bounds import HANG

WORKER = """
import sys, anyio
from dovetail.kernel import open_runtime
from dovetail.kernel.testing import ScriptedProvider, call, calls, text

async def main(url, place, command):
    model = ScriptedProvider(calls(call("bash", {"command": command})), text("Done."))
    async with open_runtime(url, plugins=[model], on_permission="allow",
                            lease_seconds=0.1, environment=ENVIRONMENT) as runtime:
        session = await runtime.sessions.create(location=place, model=model.model)
        await session.prompt("go")
        print(session.id, flush=True)
        await session.wait()

anyio.run(main, *sys.argv[1:])
"""


def state(number: int) -> str:
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return "gone"
    return "gone" if stat.rpartition(") ")[2][0] in "ZX" else "runs"


async def until(condition: Any) -> None:
    """Return when something in another process has happened."""
    while not condition():
        await anyio.to_thread.run_sync(os.sched_yield)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.law("recovery.8")
async def test_what_a_killed_runtime_left_is_ended_before_the_model_goes_on(
    tmp_path: Path,
) -> None:
    """The shell ends with its parent; what it had started is found and ended before
    the call is settled, and the model is told."""
    place = tmp_path / "place"
    place.mkdir()
    environment = {"PATH": os.environ["PATH"], "DOVETAIL_CONFIG": ""}
    url = f"sqlite:///{tmp_path / 'agents.db'}"
    command = "echo $$ > shell; (echo $BASHPID > child; sleep 1000; :) & wait; :"
    program = WORKER.replace("ENVIRONMENT", repr(environment))
    async with await anyio.open_process(
        [sys.executable, "-c", program, url, str(place), command], stderr=None
    ) as worker:
        with anyio.fail_after(HANG):
            paths = [place / "shell", place / "child"]
            await until(lambda: all(one.exists() and one.read_text() for one in paths))
            shell, child = (int(one.read_text()) for one in paths)
            assert worker.stdout is not None
            session_id = (await worker.stdout.receive()).decode().strip()
            worker.kill()
            await worker.wait()
    with anyio.fail_after(HANG):
        await until(lambda: state(shell) == "gone")
        assert state(child) == "runs"

        model = ScriptedProvider(text("I see."))
        async with open_runtime(
            url,
            plugins=[model],
            on_permission="allow",
            environment=environment,
        ) as runtime:
            session = await runtime.sessions.get(session_id)
            await session.prompt("And now?")
            outcome = await session.wait()
            seen = state(child)
            history = await session.messages(order="asc")
    assert outcome.status == "succeeded"
    assert seen == "gone"
    [told] = [
        part.failure.message
        for message in history.items
        if isinstance(message, AssistantMessage)
        for part in message.calls
        if part.failure
    ]
    assert "outcome of the call is unknown" in told
    assert told.endswith("still ran and got ended.")


PATCHING = """
import os, signal, sys, anyio
from dovetail.builtin_tools._files import Files
from dovetail.kernel import open_runtime
from dovetail.kernel.testing import ScriptedProvider, call, calls, text

rename = Files.rename

def dies(*args):
    if AFTER:
        rename(*args)
    os.kill(os.getpid(), signal.SIGKILL)

Files.rename = dies

async def main(url, place, patch):
    model = ScriptedProvider(
        calls(call("apply_patch", {"input": patch})), text("Done."), name="gpt-5"
    )
    async with open_runtime(url, plugins=[model], on_permission="allow",
                            lease_seconds=0.1, environment=ENVIRONMENT) as runtime:
        session = await runtime.sessions.create("it", location=place, model=model.model)
        await session.prompt("go")
        await session.wait()

anyio.run(main, *sys.argv[1:])
"""

PATCH = """\
*** Begin Patch
*** Add File: new.txt
+new
*** Update File: a.txt
*** Move to: b.txt
@@
-a
+b
*** Delete File: c.txt
*** End Patch"""


@pytest.mark.law("recovery.9")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_what_a_killed_patch_applied_is_told_to_the_model_and_to_the_person(
    after: bool, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "a.txt").write_text("a\n")
    (place / "c.txt").write_text("c\n")
    environment = {"PATH": os.environ["PATH"], "DOVETAIL_CONFIG": ""}
    url = f"sqlite:///{tmp_path / 'agents.db'}"
    program = PATCHING.replace("ENVIRONMENT", repr(environment))
    program = program.replace("AFTER", repr(after))
    with anyio.fail_after(HANG):
        died = await anyio.run_process(
            [sys.executable, "-c", program, url, str(place), PATCH],
            check=False,
            stderr=None,
        )
        assert died.returncode == -signal.SIGKILL
        model = ScriptedProvider(text("I see."), name="gpt-5")
        async with open_runtime(
            url, plugins=[model], on_permission="allow", environment=environment
        ) as runtime:
            session = await runtime.sessions.get("it")
            [call] = (await session.continuation()).calls
            await session.prompt("And now?")
            assert (await session.wait()).status == "succeeded"
    assert call.done == ("add new.txt", "update a.txt")
    assert call.doing == ("move a.txt to b.txt",)
    said = model.histories[0][1].calls[0].text  # type: ignore[union-attr]
    assert "It had done this: add new.txt; update a.txt." in said
    assert "may or may not be done: move a.txt to b.txt." in said
    seen = "this was done" if after else "this was not done"
    assert f"move a.txt to b.txt: {seen}, as the file shows; 1 of 4 changes" in said
    assert sorted(os.listdir(place)) == [
        "b.txt" if after else "a.txt",
        "c.txt",
        "new.txt",
    ]
