"""The tool bash: output, exit, time, groups of processes, secrets."""

import os
import re
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.builtin_tools._process import Capture
from dovetail.builtin_tools.bash import PROVIDER_KEYS, command_environment
from dovetail.kernel import ToolFailure
from hypothesis import given, strategies as st
from support.bounds import HANG


def alive(number: int) -> bool:
    """Tell whether a process runs; a zombie has ended."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][:1]
    except FileNotFoundError:
        return False
    return state not in ("Z", "X")


async def until(condition: Callable[[], bool]) -> None:
    """Return when something in another process has happened."""
    while not condition():
        await anyio.wait_all_tasks_blocked()
        await anyio.to_thread.run_sync(os.sched_yield)


async def test_output_error_output_and_exit_code_come_back(tools: Any) -> None:
    shown = await tools.text("bash", command="echo out; echo err >&2; exit 3")
    assert shown == "out\n\nstderr:\nerr\n\n(exit code 3)"
    assert await tools.text("bash", command="true") == "(no output)\n\n(exit code 0)"
    assert tools.context.asked[0] == ("bash", ("echo out; echo err >&2; exit 3",))
    assert tools.context.saves[0] == ("echo out; echo err >&2; exit 3",)


async def test_a_system_that_cannot_wait_without_reaping_will_do(
    tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "waitid")
    with anyio.fail_after(HANG):
        assert (await tools.call("bash", command="exit 7")).exit_code == 7
        output = await tools.call("bash", command="sleep 100", timeout_ms=100)
    assert output.timed_out


async def test_it_runs_in_the_location_or_the_named_folder(
    tools: Any, place: Path
) -> None:
    (place / "sub").mkdir()
    output = await tools.call("bash", command="pwd; echo $PWD; pwd -P")
    assert output.stdout == f"{place}\n" * 3
    output = await tools.call("bash", command="pwd; ls ..", workdir="sub")
    assert output.stdout == f"{place}/sub\nsub\n"


async def test_there_is_no_input_and_no_terminal(tools: Any) -> None:
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command="cat; tty; echo x > /dev/tty")
    assert output.stdout == "not a tty\n"
    assert output.exit_code != 0


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("a\0b", "NUL"),
        ("a\ud800", "not valid Unicode"),
    ],
)
async def test_what_cannot_be_run_is_refused_before_anything_is_asked(
    tools: Any, command: str, why: str
) -> None:
    tool = tools.tools["bash"]
    if not command:
        with pytest.raises(ValueError, match="command"):
            tool.input(command=command)
        return
    with pytest.raises(ToolFailure, match=why):
        await tools.call("bash", command=command)
    assert tools.context.asked == []


async def test_a_command_that_is_too_long_for_the_system_is_a_failure(
    tools: Any,
) -> None:
    with pytest.raises(ToolFailure, match="cannot run the command: argument list"):
        await tools.call("bash", command="# " + "x" * 3_000_000)


async def test_a_signal_is_named(tools: Any) -> None:
    output = await tools.call("bash", command="kill -SEGV $$")
    assert output.exit_code == -signal.SIGSEGV
    assert "ended by SIGSEGV" in tools.show("bash", output)


async def test_a_timeout_keeps_the_output_and_ends_the_whole_group(
    tools: Any, place: Path
) -> None:
    command = (
        "echo before; (trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > pid; "
        "while :; do sleep 100; done') & wait"
    )
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command=command, timeout_ms=500)
        # It ignored SIGTERM and was not the shell's own child.
        await until(lambda: not alive(int((place / "pid").read_text())))
    assert output.stdout == "before\n"
    assert output.timed_out
    assert output.exit_code is None
    assert "the time was over" in tools.show("bash", output)


async def test_what_a_command_says_while_it_is_stopped_still_counts(
    tools: Any,
) -> None:
    command = "trap 'echo cleaned up; exit' TERM; echo started; sleep 100 & wait"
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command=command, timeout_ms=500)
    assert output.stdout == "started\ncleaned up\n"


async def test_cancelling_ends_the_whole_group(tools: Any, place: Path) -> None:
    command = "sh -c 'echo $$ > child; sleep 100' & echo $$ > shell; wait; touch late"
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: tools.call("bash", command=command))

            def written() -> bool:
                paths = place / "child", place / "shell"
                return all(path.exists() and path.read_text() for path in paths)

            await until(written)
            group.cancel_scope.cancel()
        for name in ("child", "shell"):
            number = int((place / name).read_text())
            await until(lambda number=number: not alive(number))
    assert not (place / "late").exists()


async def test_a_background_child_that_holds_the_pipes_does_not_block(
    tools: Any, place: Path
) -> None:
    command = (
        "sh -c 'echo $$ > pid; exec sleep 100' & until [ -s pid ]; do :; done; echo on"
    )
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command=command)
    child = int((place / "pid").read_text())
    try:
        assert output.stdout == "on\n"
        assert output.exit_code == 0
        assert output.still_running
        assert "still runs" in tools.show("bash", output)
        assert alive(child)
    finally:
        os.kill(child, signal.SIGKILL)


async def test_a_background_child_with_its_own_output_is_left_alone(
    tools: Any, place: Path
) -> None:
    command = "nohup sleep 100 > log 2>&1 & echo $!"
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command=command)
    child = int(output.stdout)
    try:
        assert not output.still_running
        assert alive(child)
    finally:
        os.kill(child, signal.SIGKILL)


async def test_much_output_is_kept_at_both_ends_in_bounded_memory(tools: Any) -> None:
    with anyio.fail_after(HANG):
        output = await tools.call(
            "bash",
            command="echo first; head -c 20000000 /dev/zero | tr '\\0' x; echo last",
        )
    assert output.stdout.startswith("first\nxxx")
    assert output.stdout.endswith("xxxlast\n")
    assert len(output.stdout) < 1_100_000
    assert output.stdout_dropped == 20_000_000 + 11 - 1_048_576
    assert "of stdout were not kept" in tools.show("bash", output)


async def test_both_streams_may_be_large_at_once(tools: Any) -> None:
    half = "head -c 3000000 /dev/zero | tr '\\0' x"
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command=f"{half} & {half} >&2; wait")
    assert output.stdout_dropped == output.stderr_dropped == 3_000_000 - 1_048_576


async def test_bytes_that_are_not_utf8_are_replaced_as_the_web_does(
    tools: Any, place: Path, corpus: Any
) -> None:
    folder = corpus("utf8tests").path
    raw = (folder / "utf8tests.bin").read_bytes()
    (place / "a.bin").write_bytes(raw)
    output = await tools.call("bash", command="cat a.bin")
    assert output.stdout == (folder / "utf8.replace.ref.txt").read_bytes().decode()


async def test_lines_are_shown_while_it_runs(tools: Any) -> None:
    await tools.call("bash", command="echo one; echo two >&2")
    assert set(tools.context.lines) == {"one", "two"}


async def test_a_commands_description_and_folder_are_told_to_the_person(
    tools: Any,
) -> None:
    await tools.call("bash", command="true", description="Do nothing")
    assert tools.context.metadata == [{"workdir": ".", "description": "Do nothing"}]


@pytest.mark.law("access.6")
async def test_keys_of_providers_do_not_reach_a_command(place: Path) -> None:
    environment = {name: f"secret-{name}" for name in PROVIDER_KEYS}
    environment |= {"PATH": os.environ["PATH"], "GITHUB_TOKEN": "needed", "A": "1"}
    environment |= {"MY_ROUTER": "hidden-1", "COPY": "hidden-2"}
    providers = {"acme": {"api_key_env": "MY_ROUTER", "api_key": "hidden-2", "n": 3}}
    kept = command_environment(environment, providers)
    assert kept == {
        "PATH": os.environ["PATH"],
        "GITHUB_TOKEN": "needed",
        "A": "1",
    }


async def test_a_command_sees_the_environment_of_the_runtime(
    tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was when the runtime was opened, not as it is now."""
    monkeypatch.setenv("LATER", "x")
    output = await tools.call("bash", command="echo [$LATER] [$HOME]")
    assert output.stdout == f"[] [{os.environ['HOME']}]\n"


async def test_recorded_commands_give_the_recorded_observations(
    tools: Any, corpus: Any
) -> None:
    messages = corpus("mini-swe-agent-trajectories").json("local.traj.json")
    block = re.compile(r"```mswea_bash_command\n(.*?)\n```", re.S)
    answer = re.compile(
        r"<returncode>(\d+)</returncode>\n<output>\n?(.*?)\n?</output>", re.S
    )
    checked = 0
    for said, observed in pairwise(messages):
        command, expected = (
            block.search(said["content"]),
            answer.search(observed["content"]),
        )
        if said["role"] == "assistant" and command and expected:
            output = await tools.call("bash", command=command[1])
            assert output.exit_code == int(expected[1])
            assert output.stdout.strip("\n") == expected[2].strip("\n")
            checked += 1
    assert checked


async def test_many_commands_run_at_once(tools: Any) -> None:
    """More than there are worker threads for files: none waits for another."""
    seen: list[int] = []

    async def one(number: int) -> None:
        command = f"touch {number}; until [ $(ls | wc -l) -ge 45 ]; do sleep 0.1; done"
        output = await tools.call("bash", command=command)
        seen.append(output.exit_code)

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            for number in range(45):
                group.start_soon(one, number)
    assert seen == [0] * 45


@given(st.binary(max_size=400), st.integers(1, 50), st.integers(2, 300))
def test_captured_bytes_are_kept_at_both_ends(
    data: bytes, size: int, limit: int
) -> None:
    capture = Capture(limit)
    for start in range(0, len(data), size):
        capture.feed(data[start : start + size])
    assert capture.total == len(data)
    assert capture.dropped == max(0, len(data) - limit)
    if not capture.dropped:
        assert capture.text() == data.decode("utf-8", "replace")


@given(st.text(max_size=300), st.integers(8, 100))
def test_a_cut_never_damages_a_character(text: str, limit: int) -> None:
    data = text.encode()
    capture = Capture(limit)
    capture.feed(data)
    if capture.dropped:
        head, _, tail = capture.text().partition(
            f"\n\n... {capture.dropped} bytes were not kept ...\n\n"
        )
        assert text.startswith(head)
        assert text.endswith(tail)
        assert len(head.encode()) + len(tail.encode()) >= limit - 6
