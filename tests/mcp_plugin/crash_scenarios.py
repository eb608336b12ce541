"""Scenarios of a process that dies while servers are called.

A module of its own, because whoever imports it imports the protocol: once, in the
process that all others are forked from.
"""

import dovetail.plugins.mcp.servers  # noqa: F401
from attrs import frozen
from dovetail.kernel.testing import CrashScenario, CrashWorld, call, calls
from dovetail.plugins.mcp import McpPlugin
from mcp_plugin.servers import FakeServer, said, tool


@frozen
class _Acting:
    """What the world is told of a call: the token that its server was shown."""

    effect_token: str


def scenario(world: CrashWorld, *, trusted: bool, hint: str) -> CrashScenario:
    async def act(server: FakeServer, params: dict[str, object]) -> object:
        meta = params["_meta"]
        assert isinstance(meta, dict)
        world.act(_Acting(meta["dovetail/effect-token"]), params["name"])  # type: ignore[arg-type]
        return said("done")

    server = FakeServer(tool("do", annotations={hint: True}), call=act)
    plugin = McpPlugin(
        {"s": {"command": "in memory", "trusted": trusted}},
        transport=server.transport,
        pause=0.01,
    )
    return CrashScenario([plugin], model=[calls(call("s_do", {"text": "a"}))])


def distrusted(world: CrashWorld) -> CrashScenario:
    return scenario(world, trusted=False, hint="readOnlyHint")


def trusted(world: CrashWorld) -> CrashScenario:
    return scenario(world, trusted=True, hint="idempotentHint")
