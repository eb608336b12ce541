"""The real process: a real client, signals, and kills at any moment.

What takes a second to import is imported by whoever needs it: every process of a run
imports this file, and one runs it.
"""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from anyio.from_thread import start_blocking_portal
from dovetail.kernel import DATABASE_VARIABLE, open_runtime
from dovetail.plugins.rehearsal import copy_sample, rehearsal_server
from support.acp_client import connected
from support.bounds import HANG
from support.programs import Forking

FIX = "Fix the failing test. The command is: python -B -m unittest"


@pytest.fixture
def anyio_backend() -> str:
    """The official client knows no other one."""
    return "asyncio"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of an agent whose model is a rehearsal."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(rehearsal_server(pace=0.0)) as server,
    ):
        config = tmp_path / "dovetail.toml"
        config.write_text(
            f'model = "rehearsal/{server.model}"\n'
            "[providers.rehearsal]\n"
            'protocol = "openai-chat"\n'
            f'base_url = "{server.base_url}"\n'
        )
        yield {
            **os.environ,
            "DOVETAIL_CONFIG": str(config),
            DATABASE_VARIABLE: f"sqlite:///{tmp_path}/agents.db",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    copy_sample(tmp_path / "project")
    return tmp_path / "project"


COMMAND = [sys.executable, "-m", "dovetail.plugins.cli", "acp"]


def block(words: str) -> Any:
    """Return words as a part of a prompt."""
    import acp

    return acp.text_block(words)


class Editor:
    """What an editor does with the official client."""

    def __init__(self) -> None:
        self.updates: list[Any] = []
        self.asked: list[Any] = []
        self.session_id = ""
        self.told: Callable[[], None] = lambda: None
        """Called at each update."""
        self.asked_first = anyio.Event()
        self.answers = True

    def on_connect(self, conn: Any) -> None:
        self.agent = conn

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.updates.append(update)
        self.told()

    async def request_permission(
        self, session_id: str, tool_call: Any, options: list[Any], **_: Any
    ) -> Any:
        from acp import schema

        self.asked.append(tool_call)
        self.asked_first.set()
        if not self.answers:
            await anyio.sleep_forever()
        return schema.RequestPermissionResponse(
            outcome=schema.AllowedOutcome(outcome="selected", option_id="once")
        )

    def said(self, kind: str = "agent_message_chunk") -> str:
        return "".join(
            one.content.text for one in self.updates if one.session_update == kind
        )


@asynccontextmanager
async def served(environment: dict[str, str]) -> AsyncIterator[tuple[Editor, Any, Any]]:
    """Yield an editor, its connection, and the process of the agent."""
    import acp

    editor = Editor()
    async with acp.spawn_agent_process(
        editor,  # type: ignore[arg-type] # what it does not offer is not asked for
        *COMMAND,
        env=environment,
        use_unstable_protocol=True,
        transport_kwargs={"stderr": None, "limit": 1 << 26},
    ) as (agent, process):
        with anyio.fail_after(HANG):
            await agent.initialize(protocol_version=1)
            yield editor, agent, process


async def test_the_official_client_has_a_test_fixed_and_ends_it(
    environment: dict[str, str], project: Path
) -> None:
    async with served(environment) as (editor, agent, process):
        session = await agent.new_session(cwd=str(project), mcp_servers=[])
        answer = await agent.prompt(session_id=session.session_id, prompt=[block(FIX)])
        assert answer.stop_reason == "end_turn"
        diffs = [
            content
            for one in editor.updates
            if one.session_update == "tool_call"
            for content in one.content or []
            if content.type == "diff"
        ]
        assert diffs
        assert {one.kind for one in editor.asked} == {"edit", "execute"}
        listed = await agent.list_sessions(cwd=str(project))
        assert [one.session_id for one in listed.sessions] == [session.session_id]

        # And once more, to be ended while it waits for a permission.
        editor.answers = False
        editor.asked_first = anyio.Event()
        answers: list[Any] = []

        async def prompt() -> None:
            answers.append(
                await agent.prompt(session_id=session.session_id, prompt=[block(FIX)])
            )

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(prompt)
            await editor.asked_first.wait()
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        assert answers[0].stop_reason == "cancelled"
    done = await anyio.run_process(
        [sys.executable, "-B", "-m", "unittest"], cwd=project, check=False
    )
    assert done.returncode == 0


def test_what_was_asked_before_the_end_is_answered_and_nothing_else_is_written(
    environment: dict[str, str], project: Path, forked: Forking
) -> None:
    lines = [
        {"id": 1, "method": "initialize", "params": {"protocolVersion": 1}},
        {
            "id": 2,
            "method": "session/new",
            "params": {"cwd": str(project), "mcpServers": []},
        },
    ]
    given = "".join(json.dumps({"jsonrpc": "2.0", **one}) + "\n" for one in lines)
    process = forked(*COMMAND[-1:], environment=environment)
    process.stdin.write(given)
    process.stdin.close()
    answers = [json.loads(line) for line in process.stdout]
    assert process.wait() == 0
    assert {one.get("id") for one in answers if "result" in one} == {1, 2}
    assert all(one["jsonrpc"] == "2.0" for one in answers)


def test_a_client_that_reads_no_more_ends_it(
    environment: dict[str, str], forked: Forking
) -> None:
    process = forked(*COMMAND[-1:], environment=environment)
    begin = {"id": 1, "method": "initialize", "params": {"protocolVersion": 1}}
    process.stdin.write(json.dumps({"jsonrpc": "2.0", **begin}) + "\n")
    process.stdin.flush()
    assert process.stdout.readline()
    process.stdout.close()
    process.stdin.write("{}[]\n")
    process.stdin.flush()
    assert process.wait() == 0


async def until_killed(editor: Editor, agent: Any, process: Any, after: int) -> None:
    """Return when the agent was killed, at its so manieth update, or the work ended."""
    over = anyio.Event()

    def told() -> None:
        if len(editor.updates) == after:
            process.kill()
            over.set()

    async def prompt() -> None:
        try:
            await agent.prompt(session_id=editor.session_id, prompt=[block(FIX)])
        except ConnectionError:
            # It broke off, as it must.
            return
        over.set()

    editor.updates.clear()
    editor.told = told
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(prompt)
        await over.wait()
        tasks.cancel_scope.cancel()


async def test_killed_at_any_moment_it_loads_each_thing_once(
    environment: dict[str, str], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    where: dict[str, Any] = {"cwd": str(project), "mcp_servers": []}
    async with served(environment) as (editor, agent, process):
        session_id = (await agent.new_session(**where)).session_id
        editor.session_id = session_id
        await until_killed(editor, agent, process, chance.randrange(2, 12))
    # Whoever goes on with it does the same in any process: here it is this one.
    for name in ("DOVETAIL_CONFIG", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, environment[name])
    async with (
        open_runtime(environment[DATABASE_VARIABLE], on_permission="allow") as runtime,
        connected(runtime) as client,
    ):
        await client.initialize()
        loaded = {"sessionId": session_id, "cwd": str(project), "mcpServers": []}
        await client.call("session/load", **loaded)
        assert client.said("user_message_chunk") == FIX
        ids = [one["toolCallId"] for one in client.updates("tool_call")]
        assert len(ids) == len({*ids})
        assert await client.prompt(session_id, FIX) == "end_turn"
        [verified] = await runtime.sessions.verify(session_id)
        assert verified.problem is None


def test_acpx_has_a_test_fixed(environment: dict[str, str], project: Path) -> None:
    acpx = shutil.which("acpx")
    if acpx is None:
        pytest.skip("acpx is not installed: npm install -g acpx")
    done = subprocess.run(
        [
            *(acpx, "--agent", shlex.join(COMMAND), "--cwd", str(project)),
            *("--approve-all", "exec", FIX),
        ],
        env={**environment, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "The tests pass now" in done.stdout
    assert "[done] end_turn" in done.stdout


async def test_toad_shows_what_the_agent_says(
    environment: dict[str, str], project: Path
) -> None:
    toad, tmux = shutil.which("toad"), shutil.which("tmux")
    if toad is None or tmux is None:
        pytest.skip("toad and tmux: pip install batrachian-toad (Python 3.14)")
    socket = str(project.parent / "tmux")

    def screen(*command: str) -> str:
        done = subprocess.run(
            [tmux, "-S", socket, *command],
            env={**environment, "TERM": "xterm-256color"},
            capture_output=True,
            text=True,
            timeout=HANG,
            check=True,
        )
        return done.stdout

    async def until(words: str) -> None:
        with anyio.fail_after(HANG):
            shown = ""
            while words not in shown:
                # tmux tells nobody when the screen has changed.
                await anyio.sleep(0.2)
                shown = await to_thread.run_sync(screen, "capture-pane", "-p")

    started = f"{shlex.quote(toad)} acp {shlex.quote(shlex.join(COMMAND))} ."
    where = ("-c", str(project), "-x", "120", "-y", "50")
    await to_thread.run_sync(screen, "new-session", "-d", *where, started)
    try:
        await until("dovetail")
        await to_thread.run_sync(screen, "send-keys", "-l", "Say hello")
        await to_thread.run_sync(screen, "send-keys", "Enter")
        await until("This is a rehearsal")
    finally:
        await to_thread.run_sync(screen, "kill-server")


def test_what_the_page_says_of_editors_starts_the_agent() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "acp.md"
    blocks = page.read_text().split("```json\n")[1:]
    assert len(blocks) == 2
    for block in blocks:
        said = json.loads(block.partition("```")[0])
        [agent] = said["agent_servers"].values()
        assert agent["command"].endswith("dovetail")
        assert agent["args"] == COMMAND[-1:]


def test_without_the_package_the_extra_is_named(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "acp.py").write_text(
        "raise ModuleNotFoundError('no module named acp', name='acp')\n"
    )
    done = subprocess.run(
        COMMAND,
        env={**environment, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert 'pip install "dovetail[acp]"' in done.stderr
    assert find_spec("acp") is not None
