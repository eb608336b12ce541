"""Two sessions in two Locations at once: same runtime, nothing shared but the store.

Each Location has its own instructions and its own tool state; both sessions run at the
same time, and each of them sees only its own.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    Place,
    Register,
    Tool,
    ToolContext,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text


@frozen
class Nothing:
    pass


class Counter:
    """A plugin with a resource per Location: a counter that is opened and closed."""

    name = "counter"

    def __init__(self) -> None:
        self.closed: list[str] = []

    @hookimpl
    def dovetail_open_location(self, place: Place) -> object:
        return self._opened(place)

    @asynccontextmanager
    async def _opened(self, place: Place) -> AsyncIterator[list[str]]:
        yield []
        self.closed.append(place.location.path.name)

    @hookimpl
    def dovetail_register_tools(
        self, register: Register[Tool[Nothing, str]], place: Place
    ) -> None:
        seen: list[str] = place.resource

        async def count(input: Nothing, context: ToolContext) -> str:
            seen.append(context.call_id)
            return f"{len(seen)} in {context.location.path.name}"

        register(Tool("count", "Count.", Nothing, count))


async def main(folder: Path) -> None:
    gate = Gate()
    answers = [[gate, *calls(call("count"))], text("done")]
    models = [ScriptedProvider(*answers, name=name) for name in ("north", "south")]
    counter = Counter()
    async with open_runtime(
        f"sqlite:///{folder}/agents.db", plugins=[*models, counter]
    ) as runtime:
        sessions = []
        for model in models:
            place = folder / model.name
            place.mkdir()
            (place / "AGENTS.md").write_text(f"You are in the {model.name}.")
            session = await runtime.sessions.create(location=place, model=model.model)
            await session.prompt("count once")
            sessions.append(session)
        await gate.reached()  # both run: neither waits for the other
        gate.open()
        for model, session in zip(models, sessions, strict=True):
            assert (await session.wait()).succeeded
            _, asked, _ = await session.history()
            assert isinstance(asked, AssistantMessage)
            [part] = asked.calls
            print(part.text)
            assert part.text == f"1 in {model.name}"
            told = "\n".join(model.requests[0].system)
            assert f"You are in the {model.name}." in told
        assert "You are in the south." not in "\n".join(models[0].requests[0].system)
    assert sorted(counter.closed) == ["north", "south"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        anyio.run(main, Path(name))
