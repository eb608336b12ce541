"""The tool bash: output, exit, time, groups of processes, secrets."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from attrs import evolve
from dovetail.builtin_tools import _marks, _process
from dovetail.builtin_tools._marks import VARIABLE, LaterOutput, carries, mark_of
from dovetail.builtin_tools._process import Capture
from dovetail.builtin_tools._terminal import plain
from dovetail.builtin_tools.bash import (
    PROVIDER_KEYS,
    UNATTENDED,
    BashInput,
    command_environment,
)
from dovetail.kernel import ProcessMark, ToolFailure
from dovetail.kernel.tools.meaning import meant_arguments
from dovetail.kernel.tools.schema import input_decoder
from hypothesis import given, strategies as st
from support.bounds import HANG
from support.processes import Pipes, ended, longer, written

from .conftest import Toolbox


def alive(number: int) -> bool:
    """Tell whether a process runs; a zombie has ended."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(") ")[2][:1]
    except FileNotFoundError:
        return False
    return state not in ("Z", "X")


async def test_output_error_output_and_exit_code_come_back(tools: Any) -> None:
    shown = await tools.text("bash", command="echo out; echo err >&2; exit 3")
    assert shown == "out\nerr\n\n(exit code 3)"
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
    assert output.output == f"{place}\n" * 3
    output = await tools.call("bash", command="pwd; ls ..", workdir="sub")
    assert output.output == f"{place}/sub\nsub\n"


async def test_there_is_no_input_and_no_terminal(tools: Any) -> None:
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command="cat; tty; echo x > /dev/tty")
    assert output.output.startswith("not a tty\n")
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


async def stopped(tools: Any, command: str, begun: Path) -> Any:
    """Have a command stopped by its time limit once it has written into a file."""
    limits = longer(500)
    while True:
        output = await tools.call("bash", command=command, timeout_ms=next(limits))
        if written(begun):
            return output
        for number in output.unended:
            os.kill(number, signal.SIGKILL)


async def test_a_timeout_keeps_the_output_and_ends_the_whole_group(
    tools: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_process, "STOP_SECONDS", 0.05)
    command = (
        "echo before; (trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > pid; "
        "while :; do sleep 100; done') & wait"
    )
    with anyio.fail_after(HANG):
        output = await stopped(tools, command, place / "pid")
        # It ignored SIGTERM and was not the shell's own child.
        await ended(int((place / "pid").read_text()))
    assert output.output == "before\n"
    assert output.timed_out
    assert output.exit_code is None
    assert "the time was over" in tools.show("bash", output)


LEAVES = "setsid sh -c 'echo $$ > pid; exec sleep 100' & wait; sleep 100"


async def test_what_left_the_group_of_a_command_whose_time_is_over_is_ended_too(
    tools: Any, place: Path
) -> None:
    with anyio.fail_after(HANG):
        output = await stopped(tools, LEAVES, place / "pid")
    assert output.timed_out
    assert not alive(int((place / "pid").read_text()))


async def test_what_left_the_group_of_a_cancelled_command_is_ended_too(
    tools: Any, place: Path, pipe: Pipes
) -> None:
    pid = pipe(place / "pid")
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: tools.call("bash", command=LEAVES))
            number = await pid.number()
            group.cancel_scope.cancel()
    assert not alive(number)


NAMELESS = "env -i setsid sh -c 'echo $$ > pid; exec sleep 1000' & wait; touch later"
"""It leaves the group and carries no token."""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_what_left_the_group_and_the_environment_ends_with_a_stopped_command(
    tools: Any, place: Path
) -> None:
    with anyio.fail_after(HANG):
        output = await stopped(tools, NAMELESS, place / "pid")
    assert output.timed_out
    assert not output.still_running
    assert not alive(int((place / "pid").read_text()))
    # Nor did the shell go on with its next command meanwhile.
    assert not (place / "later").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_what_could_not_be_ended_is_told(
    tools: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_marks.Family, "send", lambda self, number: None)
    monkeypatch.setattr(_process, "STOP_SECONDS", 0.05)
    monkeypatch.setattr(_process, "LINGER_SECONDS", 0.05)
    with anyio.fail_after(HANG):
        output = await stopped(tools, NAMELESS, place / "pid")
    number = int((place / "pid").read_text())
    os.kill(number, signal.SIGKILL)
    assert output.still_running
    told = f"not all of it could be ended; this still runs: {number}"
    assert told in tools.show("bash", output)


async def test_what_a_command_says_while_it_is_stopped_still_counts(
    tools: Any, place: Path
) -> None:
    command = (
        "trap 'echo cleaned up; exit' TERM; echo started; sleep 100 & "
        "echo > begun; wait"
    )
    with anyio.fail_after(HANG):
        output = await stopped(tools, command, place / "begun")
    assert output.output == "started\ncleaned up\n"


async def test_cancelling_ends_the_whole_group(tools: Any, place: Path) -> None:
    command = (
        "sh -c 'echo $$ > child; echo > ready; sleep 100' & "
        "echo $$ > shell; echo > ready; wait; touch late"
    )
    os.mkfifo(place / "ready")
    # Both ends, so that it does not end when one has written and the other has not.
    ready = os.open(place / "ready", os.O_RDWR | os.O_NONBLOCK)
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: tools.call("bash", command=command))
            for _ in range(2):
                await anyio.wait_readable(ready)
                os.read(ready, 1)
            group.cancel_scope.cancel()
        for name in ("child", "shell"):
            await ended(int((place / name).read_text()))
    os.close(ready)
    assert not (place / "late").exists()


async def test_what_is_left_running_goes_on_and_its_output_can_be_read_on(
    tools: Any, place: Path, pipe: Pipes
) -> None:
    go, survived = pipe(place / "go"), pipe(place / "survived")
    command = (
        "sh -c 'read -r _ < go; echo later; echo more >&2; echo > survived; "
        "exec sleep 100' & echo $!"
    )
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command=command)
    child = int(output.output)
    try:
        assert output.exit_code == 0
        assert output.still_running
        shown = tools.show("bash", output)
        assert f"still runs; to end it: kill -- -{output.group}" in shown
        assert f'read path="running:{output.later}"' in shown
        path = f"running:{output.later}"
        assert "nothing was printed yet" in await tools.text("read", path=path)
        go.release()
        with anyio.fail_after(HANG):
            await survived.line()
            while "more" not in (read := await tools.text("read", path=path)):
                await anyio.lowlevel.checkpoint()
        assert read == "1\tlater\n2\tmore"
        assert alive(child)
        # Another session does not find it, whatever it is called.
        tools.context.session_id = "ses_other"
        for name in (path, "running:../x", "running:"):
            with pytest.raises(ToolFailure, match="no command of this session"):
                await tools.call("read", path=name)
        assert os.getpgid(child) == output.group
    finally:
        os.killpg(output.group, signal.SIGKILL)


async def test_where_later_output_cannot_be_kept_what_is_left_running_goes_on(
    tools: Any, place: Path, pipe: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/dev/null")
    go, survived = pipe(place / "go"), pipe(place / "survived")
    command = "sh -c 'read -r _ < go; echo later; echo > survived' & echo on"
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command=command)
        assert output.later is None
        go.release()
        await survived.line()


def test_later_output_is_kept_where_nobody_else_can_look(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="not a private folder"):
        LaterOutput(folder).create("ses_1", "eff_1")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(PermissionError, match="not a private folder"):
        LaterOutput(tmp_path / "link").create("ses_1", "eff_1")
    own = LaterOutput(tmp_path / "own")
    name, descriptor = own.create("ses_1", "eff_1")
    os.close(descriptor)
    [path] = (tmp_path / "own").glob(f"*/{name}")
    assert path.stat().st_mode & 0o777 == 0o600
    os.utime(path, (1, 1))
    other, descriptor = own.create("ses_1", "eff_2")
    os.close(descriptor)
    assert [one.name for one in path.parent.iterdir()] == [other]


# --- a terminal's output as text -----------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("\x1b[1;31mred\x1b[0m plain\x1b[K\n", "red plain\n"),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", "alink\n"),
        ("\x1b(B\x1b=\x1b[?25lx\x1b[?25h\x07", "x"),
        (" 10%\r 50%\r100%\ndone\n", "100%\ndone\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("x\r\n 1%\r 2%\r\n", "x\n 2%\n"),
        ("n\x08na\x08am\x08me _\x08u", "name u"),
        ("tab\tand é\n", "tab\tand é\n"),
        ("\x1b", ""),
        ("unended \x1b[31", "unended "),
        ("a\u202eb\u2066c\u2069 \u200fd", "abc \u200fd"),
        ("\x1b\u202e[31mred", "red"),
    ],
)
def test_a_terminal_s_output_becomes_the_text_that_is_seen(raw: str, text: str) -> None:
    assert plain(raw)[0] == text


@given(st.text(st.sampled_from("a\x1b[]0;m\r\n\b\x07\\ é\0\u202e"), max_size=60))
def test_whatever_a_program_prints_no_escape_is_left(raw: str) -> None:
    shown, folded = plain(raw)
    assert not re.search("[\x07\x08\r\x1b\u202e]", shown)
    assert plain(shown) == (shown, 0)
    assert folded <= raw.count("\r")


async def test_both_streams_come_in_order_and_folded_progress_is_told(
    tools: Any,
) -> None:
    command = (
        "for i in 1 2 3; do echo out$i; echo err$i >&2; done; printf 'a\\rb\\rc\\n'"
    )
    shown = await tools.text("bash", command=command)
    assert shown == (
        "out1\nerr1\nout2\nerr2\nout3\nerr3\nc\n\n"
        "(exit code 0; 2 lines of progress that others wrote over are not shown)"
    )


async def test_nothing_waits_for_a_person(tools: Any, place: Path) -> None:
    command = (
        "git init -q . && git config user.email a@b && git config user.name a && "
        "touch a && git add a && git commit; git commit -qm first && git log; "
        "git rebase -i --root && $PAGER a; $EDITOR a; python3 -c 'print(1); input()'"
    )
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command=command)
    assert "Aborting commit due to empty commit message" in output.output
    assert "first" in output.output
    assert "EOFError" in output.output


async def test_nothing_asks_for_a_password_in_a_window_or_at_another_terminal(
    place: Path,
) -> None:
    window = place / "window"
    window.write_text("#!/bin/sh\necho asked >> asked; echo secret\n")
    window.chmod(0o755)
    theirs = {
        **os.environ,
        "GIT_ASKPASS": str(window),
        "SSH_ASKPASS": str(window),
        "SSH_ASKPASS_REQUIRE": "force",
        "GPG_TTY": "/dev/pts/0",
        "DISPLAY": ":0",
        "GIT_SSH_COMMAND": "ssh -i theirs",
    }
    tools = Toolbox(place, theirs)
    ask = "printf 'protocol=https\\nhost=example.invalid\\n\\n' | git credential fill"
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command=f"{ask}; echo $SSH_ASKPASS_REQUIRE")
        kept = await tools.call("bash", command='echo "$GIT_SSH_COMMAND,$GPG_TTY"')
    assert not (place / "asked").exists()
    assert "password=" not in output.output
    assert output.output.endswith("never\n")
    # How keys are chosen is no question to anybody.
    assert kept.output == "ssh -i theirs,\n"


async def test_the_older_name_of_the_time_limit_is_understood(place: Path) -> None:
    decode = input_decoder(BashInput)
    meant, notes = meant_arguments(BashInput, {"command": "x", "timeout": 5000})
    assert decode(meant) == BashInput("x", timeout_ms=5000)
    assert notes == ["$.timeout was read as timeout_ms"]
    both = {"command": "x", "timeout": 1, "timeout_ms": 2}
    assert meant_arguments(BashInput, both) == (both, [])


async def test_a_locale_that_is_utf8_is_kept_and_another_replaced(place: Path) -> None:
    for given_, expected in (
        ({}, "C.UTF-8"),
        ({"LANG": "de_DE.UTF-8"}, None),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, "C.UTF-8"),
    ):
        assert command_environment(given_, {}).get("LC_ALL") == expected


# --- before it begins ----------------------------------------------------------------


@pytest.mark.law("recovery.8")
async def test_its_process_group_is_recorded_before_the_command_begins(
    tools: Any, place: Path
) -> None:
    seen: list[bool] = []

    async def spawns(process: ProcessMark) -> None:
        # It waits: however long recording takes, nothing of the command has run.
        seen.append(alive(process.group) and not (place / "begun").exists())
        assert process.started
        tools.context.processes.append(process)

    tools.context.spawns = spawns
    output = await tools.call("bash", command="touch begun; echo $$")
    assert seen == [True]
    assert (place / "begun").exists()
    [mark] = tools.context.processes
    assert mark.group == output.group == int(output.output)


@pytest.mark.law("recovery.8")
async def test_a_command_whose_start_cannot_be_recorded_does_not_begin(
    tools: Any, place: Path
) -> None:
    marks: list[ProcessMark] = []

    async def spawns(process: ProcessMark) -> None:
        marks.append(process)
        raise ToolFailure("the disk is full")

    tools.context.spawns = spawns
    with anyio.fail_after(HANG), pytest.raises(ExceptionGroup) as caught:
        await tools.call("bash", command="touch begun")
    assert caught.group_contains(ToolFailure)
    assert not alive(marks[0].group)
    assert not (place / "begun").exists()


# --- after the runtime was killed ---------------------------------------------------


def start(command: str, token: str, place: Path) -> ProcessMark:
    """Start a command as the tool does, and forget it as a killed runtime would."""
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=place,
        env={**os.environ, VARIABLE: token},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
    )
    # Whoever is left by its parent is somebody else's to wait for.
    threading.Thread(target=process.wait, daemon=True).start()
    return mark_of(process.pid)


@pytest.mark.law("recovery.8")
async def test_what_a_killed_runtime_left_running_is_found_and_ended(
    tools: Any, place: Path, pipe: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell, what ignores SIGTERM, a job with a group of its own, and what left the
    session altogether."""
    monkeypatch.setattr("dovetail.builtin_tools._marks.STOP_SECONDS", 0.05)
    command = (
        "echo $$ > 1; (trap '' TERM; sh -c 'echo $$ > 2; sleep 1000; sleep 1000') & "
        "setsid sh -c 'echo $$ > 3; sleep 1000; :' & "
        "set -m; sh -c 'echo $$ > 4; sleep 1000; :' & wait"
    )
    told = [pipe(place / name) for name in "12345"]
    mark = start(command, tools.context.effect_token, place)
    stranger = start("echo $$ > 5; sleep 1000; :", "eff_other", place)
    with anyio.fail_after(HANG):
        numbers = [await one.number() for one in told][:4]
        tools.context.processes = [mark]
        tool = tools.tools["bash"]
        said = await tool.clear(tool.input(command=command), tools.context)
    assert re.fullmatch(r"Of what it started, \d+ still ran and got ended\.", said)
    assert not any(map(alive, numbers))
    assert alive(stranger.group)
    os.killpg(stranger.group, signal.SIGKILL)
    again = await tool.clear(tool.input(command=command), tools.context)
    assert again == "Nothing that it started runs any more."


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")
async def test_where_the_system_lists_no_processes_the_first_one_is_ended(
    tools: Any, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dovetail.builtin_tools._marks._PROC", place / "none")
    tool = tools.tools["bash"]
    for token, said in (
        (tools.context.effect_token, "Of what it started, 1 still ran and got ended."),
        ("eff_other", "What it started may still run and was not ended: "),
    ):
        mark = start("sleep 1000; :", token, place)
        tools.context.processes = [mark]
        told = await tool.clear(tool.input(command="x"), tools.context)
        assert told.startswith(said)
        assert alive(mark.group) is (token == "eff_other")
        # What the first one had started is nobody's to find here, and left.
        os.killpg(mark.group, signal.SIGKILL)


@pytest.mark.law("recovery.8")
async def test_no_process_is_ended_because_of_its_number_alone(
    tools: Any, place: Path
) -> None:
    """Numbers are given again, and a log may say anything."""
    stranger = start("echo $$ > 1; sleep 1000; :", "eff_other", place)
    tool = tools.tools["bash"]
    try:
        for mark in (
            evolve(stranger, started="1"),
            evolve(stranger, started=""),
            evolve(stranger, host="another"),
            stranger,
        ):
            tools.context.processes = [mark]
            said = await tool.clear(tool.input(command="x"), tools.context)
            assert ("on another machine" in said) is (mark.host == "another")
            # One that it is, to the letter, but that shows no sign of this call.
            told = f"may still run and was not ended: {stranger.group}." in said
            assert told is (mark == stranger)
            assert alive(stranger.group)
    finally:
        os.killpg(stranger.group, signal.SIGKILL)


async def test_a_background_child_with_its_own_output_is_left_alone(
    tools: Any, place: Path
) -> None:
    command = "nohup sleep 100 > log 2>&1 & echo $!"
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command=command)
    child = int(output.output)
    try:
        assert alive(child)
        # Nothing of it is lost to whoever looks into its file, so no other is named.
        assert (output.still_running, output.later) == (True, None)
        assert f"kill -- -{output.group})" in tools.show("bash", output)
        assert not (await tools.call("bash", command="true")).still_running
    finally:
        os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
def test_a_process_is_known_while_it_becomes_another_program() -> None:
    """It runs itself anew 200 times; in between it shows no environment."""
    again = 'n=$1; [ $n -gt 0 ] && exec sh -c "$2" sh $((n-1)) "$2"; echo; read end'
    environment = {**os.environ, VARIABLE: "it"}
    with subprocess.Popen(
        ("sh", "-c", again, "sh", "200", again),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        looks = 0
        while not select.select([process.stdout], [], [], 0)[0]:
            assert carries(process.pid, "it")
            assert not carries(process.pid, "another")
            looks += 1
        assert looks > 20
        process.stdin.close()


async def test_much_output_is_kept_at_both_ends_in_bounded_memory(tools: Any) -> None:
    with anyio.fail_after(HANG):
        output = await tools.call(
            "bash",
            command="echo first; head -c 10000000 /dev/zero | tr '\\0' x; echo last",
        )
    assert output.output.startswith("first\nxxx")
    assert output.output.endswith("xxxlast\n")
    assert len(output.output) < 8_100_000
    assert output.dropped == 10_000_000 + 11 - 8_000_000
    assert "in the middle were not kept" in tools.show("bash", output)


async def test_both_streams_may_be_large_at_once(tools: Any) -> None:
    half = "head -c 5000000 /dev/zero | tr '\\0' x"
    with anyio.fail_after(HANG):
        output = await tools.call("bash", command=f"{half} & {half} >&2; wait")
    assert output.dropped == 10_000_000 - 8_000_000


async def test_bytes_that_are_not_utf8_are_replaced_as_the_web_does(
    tools: Any, place: Path, corpus: Any
) -> None:
    folder = corpus("utf8tests").path
    raw = (folder / "utf8tests.bin").read_bytes()
    (place / "a.bin").write_bytes(raw)
    output = await tools.call("bash", command="cat a.bin")
    assert output.output == (folder / "utf8.replace.ref.txt").read_bytes().decode()


async def test_lines_are_shown_while_it_runs(tools: Any) -> None:
    await tools.call("bash", command="echo one; echo two >&2")
    # The newest of each chunk: whether they come in one is the system's affair.
    assert tools.context.lines in (["two"], ["one", "two"])


async def test_a_commands_description_and_folder_are_told_to_the_person(
    tools: Any,
) -> None:
    await tools.call("bash", command="true", description="Do nothing")
    assert tools.context.metadata == [{"description": "Do nothing"}]
    assert tools.context.folders == ["."]


@pytest.mark.law("access.6")
async def test_keys_of_providers_do_not_reach_a_command(place: Path) -> None:
    environment = {name: f"secret-{name}" for name in PROVIDER_KEYS}
    environment |= {"PATH": os.environ["PATH"], "GITHUB_TOKEN": "needed", "A": "1"}
    environment |= {"MY_ROUTER": "hidden-1", "COPY": "hidden-2"}
    providers = {"acme": {"api_key_env": "MY_ROUTER", "api_key": "hidden-2", "n": 3}}
    environment |= {"DOVETAIL_ACME_API_KEY": "hidden-3", "DOVETAIL_DB": "sqlite://"}
    kept = command_environment(environment, providers)
    assert {name: kept[name] for name in kept if name not in UNATTENDED} == {
        "PATH": os.environ["PATH"],
        "GITHUB_TOKEN": "needed",
        "A": "1",
        "DOVETAIL_DB": "sqlite://",
        "LC_ALL": "C.UTF-8",
    }


async def test_a_command_sees_the_environment_of_the_runtime(
    tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was when the runtime was opened, not as it is now."""
    monkeypatch.setenv("LATER", "x")
    output = await tools.call("bash", command="echo [$LATER] [$HOME]")
    assert output.output == f"[] [{os.environ['HOME']}]\n"


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
            assert output.output.strip("\n") == expected[2].strip("\n")
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
