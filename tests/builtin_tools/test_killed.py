"""A runtime that is killed while a command runs: what becomes of the command."""

import os
import signal
import sys
from itertools import cycle
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from dovetail.kernel import AssistantMessage, open_runtime
from dovetail.kernel.testing import ScriptedProvider, text
from support.bounds import HANG
from support.programs import Forking

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
    tmp_path: Path, forked: Forking
) -> None:
    """The shell ends with its parent; what it had started is found and ended before
    the call is settled, and the model is told."""
    place = tmp_path / "place"
    place.mkdir()
    environment = {"PATH": os.environ["PATH"], "DOVETAIL_CONFIG": ""}
    url = f"sqlite:///{tmp_path / 'agents.db'}"
    command = "echo $$ > shell; (echo $BASHPID > child; sleep 1000; :) & wait; :"
    program = WORKER.replace("ENVIRONMENT", repr(environment))
    worker = forked(url, place, command, program=program)
    with anyio.fail_after(HANG):
        paths = [place / "shell", place / "child"]
        await until(lambda: all(one.exists() and one.read_text() for one in paths))
        shell, child = (int(one.read_text()) for one in paths)
        session_id = worker.stdout.readline().strip()
        worker.kill()
        worker.wait()
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
# Each starts a process, and to what a patch left it is the same which loop looks.
@pytest.mark.parametrize(
    ("after", "anyio_backend"),
    [
        pytest.param(False, "asyncio", id="before"),
        pytest.param(True, "trio", id="after"),
    ],
)
async def test_what_a_killed_patch_applied_is_told_to_the_model_and_to_the_person(
    after: bool, tmp_path: Path, forked: Forking
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
        died = forked(url, place, PATCH, program=program)
        assert died.wait() == -signal.SIGKILL
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


REPLACING = """
import os, signal, sys, anyio
from dovetail.kernel import open_runtime
from dovetail.kernel.testing import ScriptedProvider, call, calls, text

rename = os.replace

def dies(old, new, **options):
    if sys.argv[3] == "revert" and open(old, **opener(options)).read() != "old":
        return rename(old, new, **options)
    os.kill(os.getpid(), signal.SIGKILL)

def opener(options):
    folder = options["src_dir_fd"]
    return {"opener": lambda path, flags: os.open(path, flags, dir_fd=folder)}

os.replace = dies

async def main(url, place, tool, input):
    named = "write" if tool == "revert" else tool
    model = ScriptedProvider(
        calls(call(named, eval(input))), text("Done."), name=MODEL
    )
    async with open_runtime(url, plugins=[model], on_permission="allow",
                            lease_seconds=0.1, environment=ENVIRONMENT) as runtime:
        session = await runtime.sessions.create("it", location=place, model=model.model)
        await session.prompt("go")
        await session.wait()
        page = await session.messages(order="asc")
        await session.revert(page.items[0].id)

anyio.run(main, *sys.argv[1:])
"""

REPLACEMENTS: dict[str, dict[str, Any]] = {
    "write": {"path": "a.txt", "content": "new"},
    "edit": {"path": "a.txt", "old_string": "old", "new_string": "new"},
    "apply_patch": {
        "input": "*** Begin Patch\n*** Add File: b.txt\n+b\n"
        "*** Update File: a.txt\n@@\n-old\n+new\n*** End Patch"
    },
    "revert": {"path": "a.txt", "content": "new"},
}


@pytest.mark.law("recovery.10")
@pytest.mark.parametrize(
    ("tool", "anyio_backend"),
    # Each starts a process: every tool on one of the loops.
    list(zip(REPLACEMENTS, cycle(["asyncio", "trio"]), strict=False)),
    ids=list(REPLACEMENTS),
)
async def test_nothing_stays_beside_a_file_whose_replacement_was_killed(
    tool: str, tmp_path: Path, forked: Forking
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "a.txt").write_text("old")
    strange = ".dovetail-0123456789abcdef-01234567.tmp"
    (place / strange).write_text("of somebody else")
    environment = {"PATH": os.environ["PATH"], "DOVETAIL_CONFIG": ""}
    url = f"sqlite:///{tmp_path / 'agents.db'}"
    # Which tools are offered depends on the model.
    name = "gpt-5" if tool == "apply_patch" else "model"
    program = REPLACING.replace("ENVIRONMENT", repr(environment))
    program = program.replace("MODEL", repr(name))
    with anyio.fail_after(HANG):
        died = forked(url, place, tool, repr(REPLACEMENTS[tool]), program=program)
        assert died.wait() == -signal.SIGKILL
        assert len(list(place.glob(".dovetail-*"))) == 2
        model = ScriptedProvider(text("I see."), name=name)
        async with open_runtime(
            url, plugins=[model], on_permission="allow", environment=environment
        ) as runtime:
            session = await runtime.sessions.get("it")
            if tool == "revert":
                page = await session.messages(order="asc")
                await session.revert(page.items[0].id)
                assert (place / "a.txt").read_text() == "old"
            else:
                await session.prompt("And now?")
                assert (await session.wait()).status == "succeeded"
    assert [one.name for one in place.glob(".dovetail-*")] == [strange]


@pytest.mark.law("recovery.10")
async def test_what_could_not_be_removed_beside_a_file_is_named(
    tools: Any, place: Path
) -> None:
    """Another name of somebody's file is none of ours, whatever it is called."""
    (place / "a.txt").write_text("old")
    kept = place / "kept"
    kept.write_text("content")
    replace = os.replace
    seen: list[str] = []

    def watched(old: str, new: str, **folders: int) -> None:
        seen.append(old)
        replace(old, new, **folders)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "replace", watched)
        await tools.call("write", path="a.txt", content="new")
    os.link(kept, place / seen[0])
    tool = tools.tools["write"]
    said = await tool.clear(tool.input(path="a.txt", content="new"), tools.context)
    assert said == f"Its temporary file {seen[0]} could not be removed."
    (place / seen[0]).unlink()
    assert await tool.clear(tool.input(path="a.txt", content=""), tools.context) is None
    assert kept.read_text() == "content"
