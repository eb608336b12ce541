"""What servers cost before anybody needs one: nothing, and no Step waits for it."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import open_runtime
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.plugins.mcp import McpPlugin
from mcp_plugin.servers import FakeServer, tool
from mcp_plugin.test_misbehaving import quiet
from support.bounds import HANG

pytestmark = pytest.mark.law("mcp.2")

OPENS = """
import anyio, sys
from dovetail.kernel import open_runtime
from dovetail.plugins.mcp import McpPlugin
async def main():
    plugin = McpPlugin({"s": {"command": "no-such-program"}})
    async with open_runtime("sqlite://", plugins=[plugin]) as runtime:
        async with runtime.location(sys.argv[1]) as here:
            assert plugin.servers_in(sys.argv[1]) is not None
    print(sorted(one for one in sys.modules if one.partition(".")[0] in PACKAGES))
PACKAGES = ("mcp", "mcp_types", "pydantic")
anyio.run(main)
"""


def test_a_location_that_needs_no_server_loads_nothing_of_the_protocol(
    tmp_path: Path,
) -> None:
    found = subprocess.run(
        [sys.executable, "-c", OPENS, str(tmp_path)],
        env=quiet(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == "[]\n"


class Slow(McpPlugin):
    """One for which loading takes as long as a test wants."""

    go: threading.Event
    broken = False

    def _made(self, *given: Any) -> Any:
        assert self.go.wait(HANG)
        if self.broken:
            raise ImportError("a part of it is missing")
        return super()._made(*given)


@pytest.mark.parametrize("broken", [False, True])
async def test_a_first_step_does_not_wait_for_what_is_loaded(
    broken: bool, tmp_path: Path
) -> None:
    server = FakeServer(tool("echo"))
    plugin = Slow({"s": {"command": "in memory"}}, transport=server.transport)
    plugin.go, plugin.broken = threading.Event(), broken
    script = ScriptedProvider(text("One."), text("Two."))
    environment = {**quiet(tmp_path), "DOVETAIL_MCP_CODE_WAIT": "0"}
    async with (
        open_runtime(
            "sqlite://", plugins=[plugin, script], environment=environment
        ) as runtime,
        runtime.location(tmp_path),
    ):
        servers = plugin.servers_in(str(tmp_path))
        assert servers is not None
        session = await runtime.sessions.create(
            location=str(tmp_path), model=script.model
        )
        with anyio.fail_after(HANG):
            await session.prompt("Go")
            await session.wait()
            plugin.go.set()
            await servers.settled()
            await session.prompt("Go on")
            await session.wait()
        said = [one.text for one in (await session.messages()).items]
    first, second = script.requests
    assert "The MCP server s is being begun" in str(first.system)
    assert [one.name for one in second.tools if "MCP" in one.description] == (
        [] if broken else ["s_echo"]
    )
    assert any("a part of it is missing" in one for one in said) == broken


@pytest.mark.law("mcp.1")
def test_what_is_wrong_with_servers_is_found_by_the_check_of_plugins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dovetail.plugins.mcp.commands import problems
    from dovetail.plugins.mcp.plugin import plugin

    mine = tmp_path / "mine.toml"
    monkeypatch.chdir(tmp_path)
    for name, value in {**quiet(tmp_path), "DOVETAIL_CONFIG": str(mine)}.items():
        monkeypatch.setenv(name, value)
    mine.write_text("")
    assert problems(plugin) == []
    mine.write_text('[mcp.gone]\ncommand = "no-such-program"\n[mcp.odd]\nurl = 3\n')
    wrong, gone = problems(plugin)
    assert "mcp.odd.url" in wrong
    assert "MCP server 'gone': there is no program" in gone
