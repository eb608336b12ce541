"""The reference servers of the protocol, where they are installed on this machine."""

import os
import shutil
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import open_runtime
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.plugins.mcp import McpPlugin
from mcp_plugin.test_misbehaving import parts_of, quiet, told
from support.bounds import HANG

EVERYTHING = "mcp-server-everything"


async def parts_after(
    plugin: McpPlugin, script: ScriptedProvider, place: Path
) -> dict[str, Any]:
    """Let a script call the servers of a plugin, and return what came of each call."""
    environment = {**quiet(place), "PATH": os.environ["PATH"]}
    async with (
        open_runtime(
            "sqlite://",
            plugins=[plugin, script],
            on_permission="allow",
            environment=environment,
        ) as runtime,
        runtime.location(place),
    ):
        servers = plugin.servers_in(str(place))
        assert servers is not None
        with anyio.fail_after(HANG):
            await servers.settled()
            session = await runtime.sessions.create(
                location=str(place), model=script.model
            )
            await session.prompt("Go")
            await session.wait()
        return await parts_of(session)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_everything_server_is_called(tmp_path: Path) -> None:
    program = shutil.which(EVERYTHING)
    if program is None:
        pytest.skip(f"{EVERYTHING} of npm is not installed here")
    plugin = McpPlugin({"all": {"command": program}})
    script = ScriptedProvider(
        calls(
            call("all_get-sum", {"a": 2, "b": 3}, id="sum"),
            call("all_get-tiny-image", {}, id="image"),
            call("all_get-structured-content", {"location": "Chicago"}, id="data"),
            call("all_get-sum", {"a": "two"}, id="wrong"),
        ),
        text("Done."),
    )
    parts = await parts_after(plugin, script, tmp_path)
    assert "5" in told(parts["sum"])
    # Its picture has a checksum that is wrong: no reader of ours unpacks it.
    assert "[an image (image/png, " in told(parts["image"])
    assert "temperature" in told(parts["data"])
    assert parts["wrong"].failure is not None
    assert parts["wrong"].failure.code == "tool.input_invalid"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("program", "arguments", "used", "given", "wanted"),
    [
        (
            "mcp-server-filesystem",
            ["."],
            "read_text_file",
            {"path": "note.txt"},
            "a note",
        ),
        (
            "mcp-server-memory",
            [],
            "create_entities",
            {
                "entities": [
                    {"name": "Ulm", "entityType": "city", "observations": ["old"]}
                ]
            },
            "Ulm",
        ),
        ("mcp-server-git", [], "git_status", {"repo_path": "."}, "note.txt"),
    ],
)
async def test_the_servers_for_files_memory_and_git_are_called(
    program: str,
    arguments: list[str],
    used: str,
    given: dict[str, Any],
    wanted: str,
    tmp_path: Path,
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed here")
    (tmp_path / "note.txt").write_text("a note")
    await anyio.run_process(["git", "init", "-q", str(tmp_path)])
    plugin = McpPlugin(
        {
            "s": {
                "command": [program, *arguments],
                "env": {"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")},
            }
        }
    )
    script = ScriptedProvider(calls(call(f"s_{used}", given, id="x")), text("Done."))
    parts = await parts_after(plugin, script, tmp_path)
    assert wanted in told(parts["x"])
