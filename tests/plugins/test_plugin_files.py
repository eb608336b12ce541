"""Plugins that are a file, in a directory that the user trusts."""

import json
import sys
import textwrap
from pathlib import Path

import anyio
import pytest
from dovetail.kernel import HookLimits, LocationPlugin, PluginNotFoundError
from dovetail.kernel.testing import ScriptedProvider
from support.bounds import HANG
from support.hosts import host

TOOLS = """
    from __future__ import annotations

    import attrs
    from dovetail.kernel import Tool, hookimpl

    COUNT = []

    @attrs.frozen
    class Input:
        words: list[Word]

    @attrs.frozen
    class Word:
        text: str

    async def execute(input, context):
        return ""

    @hookimpl
    def dovetail_register_tools(register):
        COUNT.append(1)
        register(Tool(f"local{len(COUNT)}", "From a file.", Input, execute))
"""


class Place:
    """A directory with a file of plugins, and a user who may trust it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.folder = folder / "place"
        self.folder.mkdir()

    def write(self, code: str, name: str = "tools.py") -> None:
        (self.folder / name).write_text(textwrap.dedent(code))

    def configure(self, text: str, *, trusted: bool = True) -> dict[str, str]:
        (self.folder / "dovetail.toml").write_text(text)
        mine = self.home / "mine.toml"
        folders = [str(self.folder)] if trusted else []
        mine.write_text(f"trusted = {json.dumps(folders)}\n")
        return {"DOVETAIL_CONFIG": str(mine)}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def modules() -> list[str]:
    return [name for name in sys.modules if name.startswith("dovetail_plugin_file")]


async def opened(
    place: Place, environment: dict[str, str], open_seconds: float = HANG
) -> tuple[list[str], dict[str, LocationPlugin]]:
    async with host(
        place.home,
        ScriptedProvider(),
        environment=environment,
        hook_limits=HookLimits(open_seconds=open_seconds),
    ) as runtime:
        here = runtime.location(place.folder)
        tools = [one.name for one in await here.tools()]
        return tools, {one.name: one for one in await here.plugins.list()}


async def test_a_file_of_a_trusted_directory_is_a_plugin_there(place: Place) -> None:
    place.write(TOOLS)
    environment = place.configure('plugin_files = ["tools.py"]')
    tools, plugins = await opened(place, environment)
    assert tools == ["local1"]
    assert plugins["tools"].state == "open"
    assert plugins["tools"].origin == str(place.folder / "tools.py")
    # Nothing of it is left, and the next opening runs it anew.
    assert modules() == []
    assert (await opened(place, environment))[0] == ["local1"]


async def test_a_file_of_an_untrusted_directory_is_never_run(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.write(f"open({str(place.home / 'ran')!r}, 'w')\n{textwrap.dedent(TOOLS)}")
    environment = place.configure('plugin_files = ["tools.py"]', trusted=False)
    tools, plugins = await opened(place, environment)
    assert tools == []
    assert "tools" not in plugins
    assert not (place.home / "ran").exists()
    assert "plugin_files: all of it is ignored" in caplog.text


@pytest.mark.law("plugins.4")
async def test_two_locations_share_nothing_of_a_file(place: Place) -> None:
    other = place.home / "other"
    other.mkdir()
    place.write(TOOLS)
    (place.folder / "dovetail.toml").write_text('plugin_files = ["tools.py"]')
    (other / "dovetail.toml").write_text('plugin_files = ["../place/tools.py"]')
    mine = place.home / "mine.toml"
    mine.write_text(f"trusted = {json.dumps([str(place.folder), str(other)])}")
    async with host(
        place.home, ScriptedProvider(), environment={"DOVETAIL_CONFIG": str(mine)}
    ) as runtime:
        for folder in (place.folder, other):
            tools = await runtime.location(folder).tools()
            assert [one.name for one in tools] == ["local1"]
        assert len(modules()) == 2
        with pytest.raises(PluginNotFoundError):
            runtime.plugins.state("tools")


@pytest.mark.law("plugins.1")
@pytest.mark.parametrize(
    ("code", "file", "problem"),
    [
        ("raise RuntimeError('no luck')", "tools.py", "RuntimeError: no luck"),
        ("import sys; sys.exit(3)", "tools.py", "SystemExit: 3"),
        ("def broken(:", "tools.py", "SyntaxError"),
        ("x = 1", "tools.py", "implements no hook"),
        ("import time; time.sleep(1)", "tools.py", "was not loaded after 0.5 s"),
        ("", "absent.py", "is not a Python file"),
        ("", "../place", "is not a Python file"),
    ],
)
async def test_a_file_that_cannot_be_loaded_is_named_and_disturbs_nobody(
    place: Place, code: str, file: str, problem: str
) -> None:
    place.write(TOOLS, "sound.py")
    place.write(code)
    environment = place.configure(f'plugin_files = ["sound.py", "{file}"]')
    with anyio.fail_after(HANG):
        tools, plugins = await opened(
            place, environment, 0.5 if "sleep" in code else HANG
        )
    assert tools == ["local1"]
    wrong = plugins[Path(file).stem]
    assert wrong.state == "failed"
    assert problem in (wrong.error or "")
    assert plugins["sound"].state == "open"
    assert modules() == []


async def test_a_file_takes_the_name_of_no_other_plugin(place: Place) -> None:
    place.write(TOOLS, "SqlitePlugin.py")
    (place.folder / "more").mkdir()
    place.write(TOOLS, "tools.py")
    place.write(TOOLS, "more/tools.py")
    files = ["SqlitePlugin.py", "tools.py", "more/tools.py"]
    environment = place.configure(f"plugin_files = {json.dumps(files)}")
    tools, plugins = await opened(place, environment)
    assert tools == ["local1"]
    assert plugins["SqlitePlugin"].state == plugins["tools"].state == "open"
    for file in (files[0], files[2]):
        refused = plugins[str(place.folder / file)]
        assert refused.state == "failed"
        assert "that of another plugin" in (refused.error or "")
