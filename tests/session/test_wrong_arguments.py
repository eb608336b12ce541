"""What a tool hands to its context is checked there, and an error names it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import AssistantMessage, Tool, ToolContext, ToolPart, open_runtime
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import Tools


@frozen
class Nothing:
    pass


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda context: context.ask(None, ["a"]), "action"),
        (lambda context: context.ask("", ["a"]), "action"),
        (lambda context: context.ask("act", "a"), "resources"),
        (lambda context: context.ask("act", None), "resources"),
        (lambda context: context.ask("act", [Path("a")]), "one of resources"),
        (lambda context: context.ask("act", ["a"], save="a"), "save"),
        (lambda context: context.ask("act", ["a"], save=[1]), "one of save"),
        (lambda context: context.ask("act", ["a"], folder=Path("a")), "folder"),
        (lambda context: context.ask("act", ["a"], metadata=["a"]), "metadata"),
        (lambda context: context.ask("act", ["a"], begun="no"), "begun"),
        (lambda context: context.allowing(1), "action"),
        (lambda context: context.does(None), "text of a deed"),
        (lambda context: context.does(b"x"), "text of a deed"),
        (lambda context: context.does(""), "deed"),
    ],
)
async def test_a_wrong_argument_is_named(
    wrong: Callable[[Any], Any], named: str, tmp_path: Path
) -> None:
    async def execute(input: object, context: ToolContext) -> str:
        await wrong(context)
        return "no"

    tool = Tool("try", "Try.", Nothing, execute)
    model = ScriptedProvider(calls(call("try")), text("Ok."))
    async with open_runtime(
        "sqlite://", plugins=[model, Tools(tool)], on_permission="allow"
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        [part] = [
            part
            for message in await session.messages()
            if isinstance(message, AssistantMessage)
            for part in message.parts
            if isinstance(part, ToolPart)
        ]
    assert part.failure is not None
    assert part.failure.code == "value.invalid"
    assert part.failure.message.startswith(f"{named} ")
