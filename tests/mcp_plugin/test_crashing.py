"""A process that dies while servers are called, at every one of its instants."""

import os
from collections.abc import Callable

import pytest
from attrs import frozen
from dovetail.kernel.testing import (
    CrashScenario,
    CrashWorld,
    FaultPoint,
    call,
    calls,
    crash_test,
)
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


EVERYWHERE = "DOVETAIL_CRASH_EVERYWHERE" in os.environ


def around_the_call(point: FaultPoint) -> bool:
    """Whether a death here is one in the middle of the call: all others are as they
    always are, and ``DOVETAIL_CRASH_EVERYWHERE=1`` dies there as well."""
    return EVERYWHERE or point.name.startswith("effect")


@pytest.mark.law("mcp.6")
@pytest.mark.parametrize("which", [distrusted, trusted])
def test_a_call_that_a_crash_cut_off_is_made_again_only_where_a_server_may_say_so(
    which: Callable[[CrashWorld], CrashScenario],
) -> None:
    # In the process that the others are forked from: it takes a second.
    import dovetail.plugins.mcp.servers  # noqa: F401

    crash_test(
        which,
        depth=2 if EVERYWHERE else 1,
        distinct=not EVERYWHERE,
        only=around_the_call,
    )
