"""What an editor does for the tools: it writes files, and shows what commands print."""

import json
import os
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from dovetail.kernel import Runtime, ToolFailed, ToolSucceeded, open_runtime
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from dovetail.plugins.acp import files, screens
from dovetail.plugins.acp.screens import harmless
from support.acp_client import Client, connected, opened
from support.bounds import HANG


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for an editor as long as for anything: the machine may be busy."""
    for name in ("SECONDS", "READER_SECONDS", "DRAIN_SECONDS"):
        monkeypatch.setattr(screens, name, HANG)
    for name in ("SECONDS", "WRITE_SECONDS"):
        monkeypatch.setattr(files, name, HANG)


BOTH_LOOPS = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


def writing(**more: Any) -> ScriptedProvider:
    given = {"path": "a.txt", "content": "two\n"} | more
    return ScriptedProvider(calls(call("write", given)), text("Done."))


def running(command: str, **more: Any) -> ScriptedProvider:
    return ScriptedProvider(
        calls(call("bash", {"command": command, **more})), text(".")
    )


async def settled(runtime: Runtime, session_id: str) -> ToolSucceeded | ToolFailed:
    session = await runtime.sessions.get(session_id)
    async with session.events() as tail:
        found = [e async for e in tail if isinstance(e, ToolSucceeded | ToolFailed)]
    return found[-1]


def save(path: str, content: str) -> None:
    Path(path).write_text(content)


def started(params: dict[str, Any]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [params["command"], *params["args"]],
        cwd=params["cwd"],
        env={**os.environ, **{e["name"]: e["value"] for e in params["env"]}},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


# --- files ------------------------------------------------------------------------


@BOTH_LOOPS
@pytest.mark.law("tools.20")
async def test_the_editor_writes_once_it_is_allowed(tmp_path: Path) -> None:
    async with opened(tmp_path, writing(), fs={"writeTextFile": True}) as (
        _,
        client,
        session_id,
    ):
        order: list[str] = []

        async def allow(params: object) -> object:
            order.append("asked")
            return {"outcome": {"outcome": "selected", "optionId": "once"}}

        async def write(params: dict[str, str]) -> None:
            order.append("written")
            assert params["sessionId"] == session_id
            save(params["path"], params["content"])

        client.answering["session/request_permission"] = allow
        client.answering["fs/write_text_file"] = write
        assert await client.prompt(session_id, "go") == "end_turn"
        assert order == ["asked", "written"]
        assert (tmp_path / "a.txt").read_text() == "two\n"
        # Nobody was asked what is not saved: that was not offered.
        assert client.requests("fs/read_text_file") == []


@pytest.mark.law("access.1")
async def test_what_is_rejected_never_reaches_the_editor(tmp_path: Path) -> None:
    async with (
        open_runtime("sqlite://", plugins=[writing()], on_permission="deny") as runtime,
        connected(runtime) as client,
    ):
        await client.initialize(
            fs={"writeTextFile": True, "readTextFile": True}, terminal=True
        )
        await client.prompt(await client.new(tmp_path), "go")
        assert client.requests("fs/write_text_file") == []
        assert client.requests("fs/read_text_file") == []


@pytest.mark.parametrize(
    ("number", "written"), [(-32601, "two\n"), (-32603, None)], ids=["unknown", "no"]
)
@pytest.mark.law("tools.20")
async def test_a_refusal_is_no_write_and_a_missing_method_is_the_disks(
    tmp_path: Path, number: int, written: str | None
) -> None:
    async with opened(
        tmp_path, writing(), on_permission="allow", fs={"writeTextFile": True}
    ) as (runtime, client, session_id):
        prompt = await client.begin_prompt(session_id, "go")
        [asked] = await client.until(lambda: client.requests("fs/write_text_file"))
        error = {"code": number, "message": "read-only\x1b[2J"}
        await client.write({"jsonrpc": "2.0", "id": asked["id"], "error": error})
        await client.end(prompt)
        event = await settled(runtime, session_id)
        if written is None:
            assert isinstance(event, ToolFailed)
            assert "would not write it: read-only\\u001b[2J" in event.failure.message
            assert not (tmp_path / "a.txt").exists()
        else:
            assert (tmp_path / "a.txt").read_text() == written


@BOTH_LOOPS
@pytest.mark.law("tools.20")
async def test_an_editor_that_never_answers_leaves_it_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "WRITE_SECONDS", 0.1)
    (tmp_path / "a.txt").write_text("one\n")
    async with opened(
        tmp_path, writing(), on_permission="allow", fs={"writeTextFile": True}
    ) as (runtime, client, session_id):
        assert await client.prompt(session_id, "go") == "end_turn"
        event = await settled(runtime, session_id)
        assert isinstance(event, ToolFailed)
        assert "whether it writes it is not known" in event.failure.message


@pytest.mark.law("recovery.1")
async def test_an_editor_that_dies_while_it_writes_leaves_what_the_disk_shows(
    tmp_path: Path,
) -> None:
    async with open_runtime(
        "sqlite://", plugins=[writing()], on_permission="allow"
    ) as runtime:
        async with connected(runtime) as client:
            await client.initialize(fs={"writeTextFile": True})
            session_id = await client.new(tmp_path)
            await client.begin_prompt(session_id, "go")
            [asked] = await client.until(lambda: client.requests("fs/write_text_file"))
            save(asked["params"]["path"], "two\n")
        session = await runtime.sessions.get(session_id)
        await session.wait()
        [made] = [m for m in await session.messages() if m.type == "assistant"]
        [part] = made.calls
        # Either is true: that it is there, or that nobody knows. Never that it is not.
        assert part.failure is None or part.failure.code != "tool.not_begun"
        assert (tmp_path / "a.txt").read_text() == "two\n"


# --- terminals --------------------------------------------------------------------


class Terminals:
    """An editor's terminals: each command is run, as editors run them."""

    def __init__(self, client: Client) -> None:
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.printed: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.params: dict[str, Any] = {}
        for name in ("create", "output", "wait_for_exit", "kill", "release"):
            client.answering[f"terminal/{name}"] = getattr(self, name)

    async def create(self, params: dict[str, Any]) -> object:
        self.asked.append("create")
        self.params = params
        name = f"t{len(self.running)}"
        self.running[name] = started(params)
        return {"terminalId": name}

    async def wait_for_exit(self, params: dict[str, Any]) -> object:
        self.asked.append("wait_for_exit")
        process = self.running[params["terminalId"]]
        data, _ = await anyio.to_thread.run_sync(process.communicate)
        self.printed[params["terminalId"]] = data
        return {"exitCode": process.returncode, "signal": None}

    async def output(self, params: dict[str, Any]) -> object:
        self.asked.append("output")
        return {
            "output": self.printed[params["terminalId"]].decode(),
            "truncated": False,
        }

    async def kill(self, params: dict[str, Any]) -> object:
        self.asked.append("kill")
        self.running[params["terminalId"]].kill()
        return {}

    async def release(self, params: dict[str, Any]) -> object:
        self.asked.append("release")
        process = self.running[params["terminalId"]]
        process.kill()
        await anyio.to_thread.run_sync(process.wait)
        assert process.stdout is not None
        process.stdout.close()
        return {}


@asynccontextmanager
async def begun(
    place: Path,
) -> AsyncIterator[tuple[Client, "subprocess.Popen[bytes]", Terminals, Any]]:
    """Yield a client whose terminal has shown the first line of a command, and what
    lets that go on and returns when the prompt is answered."""
    gate = place / "gate"
    os.mkfifo(gate)
    command = f"echo begun; cat {shlex.quote(str(gate))}; echo ended"
    async with opened(
        place, running(command), on_permission="allow", terminal=True
    ) as (_, client, session_id):
        terminals = Terminals(client)
        prompt = await client.begin_prompt(session_id, "go")
        await client.until(lambda: terminals.running)
        process = terminals.running["t0"]
        assert process.stdout is not None
        first = await anyio.to_thread.run_sync(os.read, process.stdout.fileno(), 100)
        assert first == b"begun\n"

        async def go_on() -> None:
            await anyio.to_thread.run_sync(gate.write_bytes, b"")
            await client.end(prompt)

        yield client, process, terminals, go_on


def last_content(client: Client) -> list[dict[str, Any]]:
    updates = [one for one in client.updates("tool_call_update") if one.get("status")]
    found: list[dict[str, Any]] = updates[-1]["content"]
    return found


async def test_a_terminal_is_made_once_and_when_the_command_is_allowed(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, running("echo one"), terminal=True) as (
        _,
        client,
        session_id,
    ):
        terminals = Terminals(client)

        async def allow(params: object) -> object:
            assert terminals.asked == []
            return {"outcome": {"outcome": "selected", "optionId": "once"}}

        client.answering["session/request_permission"] = allow
        await client.prompt(session_id, "go")
        assert terminals.asked.count("create") == 1
        assert terminals.printed == {"t0": b"one\n"}


@BOTH_LOOPS
async def test_what_a_command_prints_is_in_a_terminal_of_the_editor(
    tmp_path: Path,
) -> None:
    model = running("printf 'one\\n'; printf '\\033[32mtwo\\033[0m\\n'; exit 3")
    async with opened(tmp_path, model, on_permission="allow", terminal=True) as (
        _,
        client,
        session_id,
    ):
        terminals = Terminals(client)
        assert await client.prompt(session_id, "go") == "end_turn"
        assert terminals.printed == {"t0": b"one\n\x1b[32mtwo\x1b[0m\n"}
        assert terminals.running["t0"].returncode == 3
        assert [*dict.fromkeys(terminals.asked)] == [
            *("create", "wait_for_exit", "output", "release")
        ]
        assert [one["type"] for one in last_content(client)] == ["terminal", "content"]
        assert last_content(client)[1]["content"]["text"] == "(exit code 3)"
        # The command itself is none of the editor's: no argument of it is run there.
        assert terminals.params["args"][2].startswith("printf 'one")
        [folder] = [one["value"] for one in terminals.params["env"]]
        assert not await anyio.Path(folder).exists()


async def test_a_terminal_shows_while_the_command_runs(tmp_path: Path) -> None:
    async with begun(tmp_path) as (_, _, terminals, go_on):
        await go_on()
        assert terminals.printed["t0"] == b"ended\n"


@pytest.mark.parametrize("answer", [None, {"terminalId": 5}], ids=str)
async def test_without_an_answer_of_use_the_output_is_told_as_text(
    tmp_path: Path, answer: object
) -> None:
    model = ScriptedProvider(
        calls(call("bash", {"command": "echo one"})),
        calls(call("bash", {"command": "echo two"})),
        text("."),
    )
    async with (
        open_runtime("sqlite://", plugins=[model], on_permission="allow") as runtime,
        connected(runtime) as client,
    ):
        await client.initialize(terminal=True)

        async def odd(params: object) -> object:
            return answer

        client.answering["terminal/create"] = odd
        await client.prompt(await client.new(tmp_path), "go")
        assert last_content(client)[0]["content"]["text"] == "two\n\n(exit code 0)"
        # It is not asked for a second one.
        assert len(client.requests("terminal/create")) == 1


async def test_a_terminal_that_shows_nothing_is_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screens, "READER_SECONDS", 0.0)
    async with opened(
        tmp_path, running("echo one"), on_permission="allow", terminal=True
    ) as (_, client, session_id):

        async def made(params: object) -> object:
            return {"terminalId": "nothing runs in it"}

        for name in ("create", "kill", "release"):
            client.answering[f"terminal/{name}"] = made
        await client.prompt(session_id, "go")
        assert last_content(client)[-1]["content"]["text"] == "one\n\n(exit code 0)"
        assert client.requests("terminal/release")


async def test_killing_the_terminal_ends_no_command(tmp_path: Path) -> None:
    async with begun(tmp_path) as (client, process, _, go_on):
        os.killpg(process.pid, signal.SIGKILL)
        await anyio.to_thread.run_sync(process.wait)
        await go_on()
        told = last_content(client)[-1]["content"]["text"]
        assert told == "begun\nended\n\n(exit code 0)"


async def test_a_client_that_shows_what_it_is_sent_has_no_terminal_made(
    tmp_path: Path,
) -> None:
    async with (
        open_runtime(
            "sqlite://", plugins=[running("echo one; exit 2")], on_permission="allow"
        ) as runtime,
        connected(runtime) as client,
    ):
        await client.initialize(terminal=True, _meta={"terminal_output": True})
        await client.prompt(await client.new(tmp_path), "go")
        [start] = client.updates("tool_call")
        name = start["toolCallId"]
        info = {"terminal_id": name, "cwd": str(tmp_path)}
        assert start["_meta"] == {"terminal_info": info}
        told = [u["_meta"] for u in client.updates("tool_call_update") if "_meta" in u]
        assert (
            told
            == [
                {"terminal_output": {"terminal_id": name, "data": "one\n"}},
                {"terminal_exit": {"terminal_id": name, "exit_code": 2}},
            ]
            or told[-1]["terminal_exit"]["exit_code"] == 2
        )
        assert client.requests("terminal/create") == []
        assert last_content(client)[0] == {"type": "terminal", "terminalId": name}


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["plain\n"], "plain\n"),
        (["\x1b[31mred\x1b[0m"], "\x1b[31mred\x1b[0m"),
        (["a\x1b[2Jb\x1b[1;1Hc"], "abc"),
        (["a\x1b]52;c;aGk=\x07b\x1b]0;title\x1b\\c"], "abc"),
        (["a\x1bPq#0\x1b\\b\x9b31mc"], "ab31mc"),
        (["10%\r20%\r\x1b[K"], "10%\r20%\r\x1b[K"),
        (["a\x1b", "[3", "1mb\x1b]0;ti", "tle\x07c"], "a\x1b[31mbc"),
        (["\x1b[31"], ""),
        (["a\x00\x07\x05b\x1bcx"], "abx"),
    ],
    ids=range(9),
)
def test_nothing_that_is_printed_does_more_than_to_be_seen(
    pieces: Sequence[str], shown: str
) -> None:
    screen = screens.Screen()
    for piece in pieces:
        screen.feed(piece.encode("latin-1") if piece.isascii() else piece.encode())
    screen.feed(b"", final=True)
    assert screen.waiting == shown
    assert harmless(shown) == shown


def test_a_screen_that_nobody_looks_at_stays_small() -> None:
    screen = screens.Screen()
    for number in range(200):
        screen.feed(json.dumps([number] * 3000).encode())
    assert len(screen.waiting) <= screens.MAX_WAITING
    assert not screen.whole
