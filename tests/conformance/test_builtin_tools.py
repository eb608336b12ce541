"""The built-in tools keep what the suite for tools asks of a stranger's."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from dovetail.builtin_tools import BuiltinTools, plugin
from dovetail.kernel import Location, Place, Skill
from dovetail.kernel.testing.conformance import ToolConformance, ToolExample
from support.websites import Website, answer, redirect, website

pytestmark = pytest.mark.law("plugins.7")

NOTES = "alpha\nbeta\ngamma\n"
PATCH = """\
*** Begin Patch
*** Add File: new/file.txt
+one
*** Update File: notes.txt
*** Move to: kept.txt
@@ alpha
-beta
+BETA
*** Delete File: src/main.py
*** End Patch"""


class Builtin(ToolConformance):
    version = 1
    plugin = plugin

    def prepare(self, folder: Path) -> None:
        (folder / "notes.txt").write_text(NOTES)
        (folder / "src").mkdir()
        (folder / "src" / "main.py").write_text("print('beta')\n")


class TestRead(Builtin):
    tool = "read"
    examples = (
        ToolExample({"path": "notes.txt"}),
        ToolExample({"path": ".", "limit": 1}),
        ToolExample({"path": "absent.txt"}, fails=True),
    )


class TestWrite(Builtin):
    tool = "write"
    examples = (
        ToolExample({"path": "new/file.txt", "content": "one\n"}),
        ToolExample({"path": "notes.txt", "content": "other\n"}),
    )


class TestEdit(Builtin):
    tool = "edit"
    examples = (
        ToolExample({"path": "notes.txt", "old_string": "beta", "new_string": "BETA"}),
        ToolExample(
            {"path": "notes.txt", "old_string": "delta", "new_string": "x"}, fails=True
        ),
    )


class TestApplyPatch(Builtin):
    tool = "apply_patch"
    examples = (
        ToolExample({"input": PATCH}),
        ToolExample({"input": PATCH.replace("-beta", "-delta")}, fails=True),
        ToolExample({"input": "no patch"}, fails=True),
    )


class TestGlob(Builtin):
    tool = "glob"
    examples = (ToolExample({"pattern": "**/*.py"}),)


class TestGrep(Builtin):
    tool = "grep"
    examples = (ToolExample({"pattern": "beta"}),)


class TestBash(Builtin):
    tool = "bash"
    examples = (ToolExample({"command": "cat notes.txt && echo more >> notes.txt"}),)


class TestJob(Builtin):
    tool = "job"
    examples = (
        ToolExample({}),
        ToolExample({"action": "stop"}, fails=True),
        ToolExample({"action": "wait"}, fails=True),
    )


class TestSkill(Builtin):
    tool = "skill"
    examples = (ToolExample({"name": "sums"}),)
    skills = (Skill("sums", "How to add up.", "Add one after the other."),)


class TestSubagent(Builtin):
    tool = "subagent"
    examples = (
        ToolExample({"agent": "explore", "prompt": "Where is it?"}),
        ToolExample({"agent": "build", "prompt": "Do it.", "background": True}),
        ToolExample({"agent": "explore", "prompt": " "}, fails=True),
    )


class TestQuestion(Builtin):
    tool = "question"
    examples = (
        ToolExample(
            {"questions": [{"question": "A or B?", "options": [{"label": "A"}]}]}
        ),
        ToolExample({"questions": [{"question": "?", "custom": False}]}, fails=True),
    )


class TestTodowrite(Builtin):
    tool = "todowrite"
    examples = (
        ToolExample({"todos": [{"id": "1", "content": "look", "priority": "high"}]}),
        ToolExample({"todos": [{"id": "1", "content": " "}]}, fails=True),
    )


class TestRecall(Builtin):
    tool = "recall"
    examples = (
        ToolExample({"query": "needle"}),
        ToolExample({}, fails=True),
        ToolExample({"position": 3}, fails=True),
    )


class Named(BuiltinTools):
    """As it is installed: there its name is that of its entry point."""

    name = "tools"


SITES: dict[str, Website] = {}
"""The website of each try, by the Location's directory."""


def at(path: str, **more: Any) -> Any:
    """Return arguments that name a page of the website of a try."""

    def given(folder: str) -> Mapping[str, Any]:
        return {"url": SITES[folder].url + path, **more}

    return given


class OnTheWeb(Builtin):
    """Runs a website around each try."""

    plugin = Named()

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        self._folder = str(folder)

    @asynccontextmanager
    async def surroundings(self) -> AsyncIterator[Website]:
        found = b'{"results": [{"url": "https://a.example/", "title": "A"}]}'
        pages = {
            "/page": answer("<p>text"),
            "/moved": redirect("/page"),
            "/search?q=tea&format=json": answer(found, "application/json"),
        }
        async with website(pages) as site:
            SITES[self._folder] = site
            try:
                yield site
            finally:
                del SITES[self._folder]


class TestWebfetch(OnTheWeb):
    configuration = '[plugins.tools]\nprivate_hosts = ["localhost"]\n'
    tool = "webfetch"
    examples = (
        ToolExample(at("/page")),
        ToolExample(at("/moved", format="text")),
        ToolExample(at("/absent"), fails=True),
        ToolExample({"url": "http://169.254.169.254/"}, fails=True),
    )


class TestWebsearch(OnTheWeb):
    configuration = '[plugins.tools.search]\nengine = "searxng"\nurl = "{url}/search"\n'
    tool = "websearch"
    examples = (
        ToolExample({"query": "tea"}),
        ToolExample({"query": "coffee", "limit": 1}, fails=True),
    )


def test_no_builtin_tool_goes_without_the_suite(tmp_path: Path) -> None:
    offered: list[str] = []
    search = {"engine": "searxng", "url": "http://localhost/search"}
    place = Place(Location.at(tmp_path), settings={"search": search}, environment={})
    BuiltinTools().dovetail_register_tools(
        lambda tool: offered.append(tool.name), place
    )
    suites = [one for one in globals().values() if isinstance(one, type)]
    tried = [
        one.tool
        for one in suites
        if issubclass(one, Builtin) and one.__name__.startswith("Test")
    ]
    assert sorted(offered) == sorted(tried)
