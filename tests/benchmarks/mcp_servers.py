"""Benchmarks of MCP servers: a call over standard input and output, over the bare
package of the protocol; and a first Step with three servers, over one with none.

What is measured of a call is everything between the executor of the tool and its
result, without what a session makes durable, which `tools` measures.
"""

import os
import sys
from pathlib import Path
from typing import Any

import anyio
from dovetail.kernel import open_runtime
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.plugins.mcp import McpPlugin
from measure import Bench, Line, interleaved, timed

SERVER = Path(__file__).parents[1] / "mcp_plugin" / "bad_server.py"
COMMAND = [sys.executable, str(SERVER), "good"]
AT_ONCE = 50
"""Calls of one round."""


class _Context:
    """What the executor of a tool uses of its context."""

    session_id = "ses_bench"
    effect_token = "eff_bench"

    async def ask(self, *given: Any, **more: Any) -> None:
        return None

    def progress(self, words: str) -> None:
        return None


def environment(bench: Bench) -> dict[str, str]:
    return {
        "DOVETAIL_CONFIG": "",
        "DOVETAIL_MCP_LOGS": str(bench.folder()),
        "PATH": os.environ["PATH"],
    }


async def mcp_calls(bench: Bench) -> list[Line]:
    """A call of a tool, one after another, over one of the package's own client."""
    from mcp import Client, StdioServerParameters

    plugin = McpPlugin({"s": {"command": COMMAND}})
    folder = bench.folder()
    parameters = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:])
    async with (
        open_runtime(
            "sqlite://", plugins=[plugin], environment=environment(bench)
        ) as runtime,
        runtime.location(folder),
        Client(parameters) as bare,
    ):
        servers = plugin.servers_in(str(folder))
        assert servers is not None
        await servers.settled()
        calls = servers.kept["s"].calls

        async def ours() -> None:
            context: Any = _Context()
            for _ in range(AT_ONCE):
                await calls.call(
                    "s_echo", "echo", {"text": "hi"}, context, lambda: True
                )

        async def theirs() -> None:
            for _ in range(AT_ONCE):
                await bare.call_tool("echo", {"text": "hi"})

        found = await interleaved(
            {"ours": timed(ours), "bare": timed(theirs)}, bench.of(5, 30)
        )
    what = f"{AT_ONCE} calls of an MCP server over stdio"
    return [Line(what, "ms", found["ours"], found["bare"], "at most 1.5")]


async def mcp_first_step(bench: Bench) -> list[Line]:
    """A first Step in a Location with three servers, over one with none: the servers
    are begun in it."""
    import mcp.client  # noqa: F401 - once for the process, before anything is measured

    async def step(count: int) -> None:
        plugin = McpPlugin({f"s{one}": {"command": COMMAND} for one in range(count)})
        model = ScriptedProvider(text("Done."))
        async with open_runtime(
            "sqlite://", plugins=[plugin, model], environment=environment(bench)
        ) as runtime:
            session = await runtime.sessions.create(
                location=bench.folder(), model=model.model
            )
            await session.prompt("Go on.")
            with anyio.fail_after(60):
                await session.wait()

    found = await interleaved(
        {"three": timed(lambda: step(3)), "none": timed(lambda: step(0))},
        bench.of(3, 10),
        warm_up=1,
    )
    what = "a first Step with three MCP servers, over none"
    return [Line(what, "ms", found["three"], found["none"])]
