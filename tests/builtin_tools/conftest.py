"""What tests of the built-in tools share: a Location, its context, the tools."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from dovetail.builtin_tools import BuiltinTools
from dovetail.builtin_tools._search import find_ripgrep
from dovetail.kernel import Content, FileContent, Place, Tool
from support.tool_context import FakeToolContext


class Toolbox:
    """The tools of one Location, called by name with plain data."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = directory
        self.context = FakeToolContext(directory)
        self.tools: dict[str, Tool[Any, Any]] = {}
        place = Place(
            self.context.location, settings=settings or {}, environment=environment
        )
        BuiltinTools().dovetail_register_tools(self._register, place)

    def _register(self, tool: Tool[Any, Any]) -> None:
        self.tools[tool.name] = tool

    async def call(self, name: str, /, **given: Any) -> Any:
        """Call a tool and return its output value."""
        tool = self.tools[name]
        return await tool.execute(tool.input(**given), self.context)

    def show(self, name: str, output: Any) -> str:
        """Return the text that a model is shown."""
        render = self.tools[name].render
        shown: Any = output if render is None else render(output)
        if isinstance(shown, str):
            return shown
        return "\n".join(_text(one) for one in shown)

    async def text(self, name: str, /, **given: Any) -> str:
        """Call a tool and return the text that a model is shown."""
        return self.show(name, await self.call(name, **given))


def _text(content: Content) -> str:
    return "<file>" if isinstance(content, FileContent) else content.text


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty directory to be the Location; its parent is outside."""
    directory = tmp_path / "location"
    directory.mkdir()
    return directory


@pytest.fixture
def tools(place: Path) -> Toolbox:
    return Toolbox(place, os.environ)


@pytest.fixture(params=["ripgrep", "own"])
def searching(request: pytest.FixtureRequest, place: Path) -> Toolbox:
    """The tools, once for each way to search."""
    own = request.param == "own"
    if not own and find_ripgrep(os.environ) is None:
        pytest.skip("ripgrep is not installed")
    return Toolbox(place, os.environ, {"ripgrep": not own})


@pytest.fixture
def fill(place: Path) -> Callable[..., None]:
    """Return a function that writes files, given as path and text or bytes."""

    def fill(files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            path.write_bytes(data)

    return fill
