"""What one call leaves in the store is bounded, whatever a tool returns or asks."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.builtin_tools import BuiltinTools
from dovetail.kernel import (
    AssistantMessage,
    Tool,
    ToolContext,
    ToolFailure,
    open_runtime,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.storage.plugin import plugin as sqlite
from support.bounds import HANG
from support.hosts import Tools


@frozen
class What:
    kind: str


@frozen
class Rows:
    rows: tuple[str, ...]


HUGE = 40_000_000


async def _huge(input: What, context: ToolContext) -> str:
    match input.kind:
        case "fails":
            raise ToolFailure("x" * HUGE)
        case "asks":
            await context.ask("huge", ["r"], metadata={"shown": ["y"] * HUGE})
        case "says":
            context.progress("z" * HUGE)
            for number in range(20_000):
                context.saw(f"/file/{number}", "0" * 64)
            return "said"
    return "line\n" * (HUGE // 5)


async def _rows(input: What, context: ToolContext) -> Rows:
    return Rows(("row" * 1000,) * 10_000)


@pytest.mark.law("tools.7")
@pytest.mark.parametrize(
    ("tool", "kind", "shown"),
    [
        ("huge", "returns", "bytes more that were too much to keep; to see them, "),
        ("huge", "fails", "bytes more that were too much to keep; to see them, "),
        ("huge", "asks", "at most 1048576 characters of resources"),
        ("huge", "says", "said"),
        ("rows", "", "10000 rows"),
    ],
)
async def test_no_call_fills_the_store(
    tool: str, kind: str, shown: str, tmp_path: Path
) -> None:
    tools: Any = (
        Tool("huge", "Huge.", What, _huge),
        Tool(
            "rows",
            "Rows.",
            What,
            _rows,
            Rows,
            render=lambda out: f"{len(out.rows)} rows",
        ),
    )
    model = ScriptedProvider(calls(call(tool, {"kind": kind})), text("done"))
    with anyio.fail_after(HANG):
        async with open_runtime(
            f"sqlite:///{tmp_path / 'agents.db'}",
            plugins=[sqlite, BuiltinTools(), Tools(*tools), model],
            load_entry_points=False,
            environment={"DOVETAIL_CONFIG": ""},
        ) as runtime:
            session = await runtime.sessions.create(
                location=tmp_path, model=model.model
            )
            await session.prompt("go")
            assert (await session.wait()).succeeded
            [part] = [
                part
                for message in await session.history()
                if isinstance(message, AssistantMessage)
                for part in message.calls
            ]
    assert shown in part.text
    # What is left in it is in the file itself: closing has emptied the log beside it.
    assert (tmp_path / "agents.db").stat().st_size < 20_000_000
