"""What tests of the built-in tools share: a Location, its context, the tools."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dovetail.builtin_tools import BuiltinTools
from dovetail.kernel import Content, FileContent, Place, Tool
from support.tool_context import FakeToolContext


class Toolbox:
    """The tools of one Location, called by name with plain data."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.directory = directory
        self.context = FakeToolContext(directory)
        self.tools: dict[str, Tool[Any, Any]] = {}
        place = Place(self.context.location, environment=environment)
        BuiltinTools().dovetail_register_tools(self._register, place)

    def _register(self, tool: Tool[Any, Any]) -> None:
        self.tools[tool.name] = tool

    async def call(self, name: str, **given: Any) -> Any:
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

    async def text(self, name: str, **given: Any) -> str:
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
