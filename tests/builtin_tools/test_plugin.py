"""The plugin: what it offers, and that the kernel can use every bit of it."""

import hashlib
import json
import os
from contextlib import chdir
from importlib.metadata import entry_points
from itertools import cycle
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.builtin_tools import BuiltinTools, _walk, plugin
from dovetail.kernel import (
    Location,
    Place,
    Tool,
    open_runtime,
    testing,
)
from dovetail.kernel.tools.registry import AdvertisedTools, ToolRegistry
from dovetail.kernel.tools.settlement import Failed, Succeeded, settle
from dovetail.kernel.values.request import ToolCall
from support.bounds import HANG


def test_the_tools_come_through_the_entry_point() -> None:
    (found,) = entry_points(group="dovetail", name="tools")
    assert found.load() is plugin


@pytest.mark.law("tools.12")
@pytest.mark.parametrize(
    ("name", "configured", "offered"),
    [
        ("gpt-5", "", {"apply_patch"}),
        ("claude", "", {"edit", "write"}),
        ("claude", "tools.apply_patch.models = ['CLAUDE/*']", {"apply_patch"}),
        ("gpt-5", "tools.apply_patch.models = []", {"edit", "write"}),
        ("gpt-5", "tools.nothing.models = []", {"apply_patch"}),
    ],
)
async def test_a_model_changes_files_as_it_was_trained_to(
    name: str, configured: str, offered: set[str], place: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text(configured)
    environment = {**os.environ, "DOVETAIL_CONFIG": str(tmp_path / "mine.toml")}
    model = testing.ScriptedProvider(testing.text("Hello."), name=name)
    async with open_runtime(
        "sqlite://", plugins=[plugin, model], environment=environment
    ) as runtime:
        session = await runtime.sessions.create(location=place, model=model.model)
        await session.prompt("Hello?")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
    names = {tool.name for tool in model.requests[0].tools}
    assert names & {"apply_patch", "edit", "write"} == offered


@pytest.mark.parametrize(
    ("settings", "hurt"),
    [
        # A file of the Location must not choose the program that is run.
        ({"ripgrep": "./evil"}, {"glob", "grep"}),
        ({"private_hosts": "localhost"}, {"webfetch"}),
        ({"private_hosts": ["a host"]}, {"webfetch"}),
        ({"search": "searxng"}, {"websearch"}),
    ],
    ids=["ripgrep", "a text", "no host", "no table"],
)
def test_a_setting_that_is_a_mistake_takes_away_the_tools_that_it_is_for(
    settings: Any, hurt: set[str], place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def names(settings: Any) -> set[str]:
        found: list[Any] = []
        BuiltinTools().dovetail_register_tools(
            found.append, Place(Location.at(place), settings=settings)
        )
        return {tool.name for tool in found}

    assert names(settings) == names({}) - hurt
    [said] = [one for one in caplog.messages if "not offered, because" in one]
    assert all(
        name in said for name in (*hurt, f"plugins.tools.{next(iter(settings))}")
    )


# One white pixel.
DOT = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90400000000002c00000000010001000002024401"
    "003b"
)


def advertised(tools: Any) -> AdvertisedTools:
    registry = ToolRegistry()
    for tool in tools.tools.values():
        registry.register(tool, "tools")
    return registry.advertise()


async def settled(
    tools: Any, name: str, arguments: Any, among: AdvertisedTools | None = None
) -> Any:
    """Call a tool as the kernel does; who calls often has them advertised once."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = ToolCall("call_1", name, text)
    return await settle(call, among or advertised(tools), tools.context)


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("read", {"path": "a.txt"}),
    ("read", {"path": "."}),
    ("read", {"path": "a.gif"}),
    ("write", {"path": "b.txt", "content": "x"}),
    ("edit", {"path": "a.txt", "old_string": "needle", "new_string": "thread"}),
    (
        "apply_patch",
        {"input": "*** Begin Patch\n*** Delete File: a.txt\n*** End Patch"},
    ),
    ("glob", {"pattern": "*.txt"}),
    ("grep", {"pattern": "needle"}),
    ("bash", {"command": "echo needle"}),
]


@pytest.mark.parametrize(("name", "arguments"), CALLS)
async def test_every_tool_settles_through_the_kernel(
    tools: Any, fill: Any, name: str, arguments: dict[str, Any]
) -> None:
    fill({"a.txt": "needle\n", "a.gif": DOT})
    outcome = await settled(tools, name, arguments)
    assert isinstance(outcome, Succeeded), outcome
    assert outcome.content
    assert isinstance(outcome.data, dict)


async def test_what_is_shown_is_not_recorded_a_second_time(
    tools: Any, fill: Any
) -> None:
    fill({"a.txt": "needle\n" * 1000, "a.gif": DOT + b"x" * 1_000_000})
    for name, arguments in (
        ("read", {"path": "a.txt"}),
        ("read", {"path": "a.gif"}),
        ("grep", {"pattern": "needle"}),
        ("bash", {"command": "cat a.txt"}),
    ):
        outcome = await settled(tools, name, arguments)
        assert len(json.dumps(outcome.data)) < 300
        assert outcome.full is None


async def test_a_page_of_a_large_file_is_never_cut_again(tools: Any, fill: Any) -> None:
    fill(
        {
            "short.txt": "x\n" * 5000,
            "exact.txt": "x\n" * 2000,
            "wide.txt": "é" * 40 + "\n" + ("y" * 45 + "\r\n") * 5000,
        }
    )
    for name in ("short.txt", "exact.txt", "wide.txt"):
        outcome = await settled(tools, "read", {"path": name})
        assert outcome.full is None
    (content,) = outcome.content
    assert "go on with offset=" in content.text


@pytest.mark.law("tools.4")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("read", {}),
        ("read", {"path": 1}),
        ("read", {"path": ""}),
        ("read", {"path": "a", "offset": 0}),
        ("read", {"path": "a", "limit": 2001}),
        ("read", {"path": "a", "limit": "ten"}),
        ("read", {"path": "a", "file": "b"}),
        ("edit", {"path": "a", "old_string": "", "new_string": "b"}),
        ("grep", {"pattern": "x", "limit": 101}),
        ("bash", {"command": "true", "timeout_ms": 600_001}),
        ("bash", {"command": ["true"]}),
        ("skill", {"name": ""}),
    ],
)
async def test_input_that_does_not_fit_never_reaches_a_tool(
    tools: Any, name: str, arguments: dict[str, Any]
) -> None:
    outcome = await settled(tools, name, arguments)
    assert isinstance(outcome, Failed)
    assert outcome.failure.code == "tool.input_invalid"
    assert tools.context.asked == []


async def test_naughty_arguments_end_in_a_result_or_an_expected_failure(
    tools: Any, fill: Any, corpus: Any, anyio_backend: str
) -> None:
    """Never in a defect, and never outside the Location."""
    fill({"a.txt": "needle\n"})
    tools.context.deny = ("external_directory", "bash")
    strings = corpus("naughty-strings").json("blns.json")
    among = advertised(tools)
    # To a string it is the same which event loop runs: each has half of them.
    searches = cycle(
        [
            lambda text: ("glob", {"pattern": text}),
            lambda text: ("grep", {"pattern": "needle", "include": text}),
        ]
    )
    for text in strings[anyio_backend == "trio" :: 2]:
        for name, arguments in (
            ("read", {"path": text}),
            # Each starts a process, which takes the text as the same kind of pattern.
            next(searches)(text),
            ("edit", {"path": "a.txt", "old_string": text, "new_string": "x"}),
            ("bash", {"command": text, "workdir": text}),
        ):
            outcome = await settled(tools, name, arguments, among)
            if isinstance(outcome, Failed):
                assert outcome.defect is None, (name, text)
                assert outcome.failure.code in (
                    "tool.failed",
                    "tool.input_invalid",
                    "permission.denied",
                )


async def test_naughty_expressions_are_searched_or_refused(
    searching: Any, fill: Any, corpus: Any, anyio_backend: str
) -> None:
    fill({"a.txt": "needle\n"})
    strings = [one for one in corpus("naughty-strings").json("blns.json") if one]
    among = advertised(searching)
    # Each starts processes, of which an interpreter is the slow kind: some will do.
    # The next test has all of them.
    for text in strings[16 * (anyio_backend == "trio") :: 32]:
        outcome = await settled(searching, "grep", {"pattern": text}, among)
        if isinstance(outcome, Failed):
            assert outcome.failure.code == "tool.failed"
            assert outcome.defect is None


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_our_own_search_takes_every_naughty_expression_or_says_why_not(
    place: Path, fill: Any, corpus: Any, capsysbinary: Any
) -> None:
    """Its program, without a process for each of them."""
    fill({"a.txt": "needle\n"})
    request = {"include": None, "stdin": False, "skip": False, "also": None}
    with chdir(place):
        for text in corpus("naughty-strings").json("blns.json"):
            code = _walk.main([json.dumps({**request, "pattern": text})])
            said = capsysbinary.readouterr()
            assert (code, bool(said.err)) in ((0, False), (2, True)), text
            assert said.out in (b"", b"a.txt\x001:needle\n"), text


def test_tools_of_nested_locations_share_their_locks(tmp_path: Path) -> None:
    made: list[Tool[Any, Any]] = []
    one = BuiltinTools()
    for name in ("a", "a/b"):
        (tmp_path / name).mkdir()
        place = Place(Location.at(tmp_path / name), environment=dict(os.environ))
        one.dovetail_register_tools(made.append, place)
    writers = [tool.execute.args[0] for tool in made if tool.name == "write"]  # type: ignore[attr-defined]
    assert writers[0] is writers[1]


@pytest.mark.law("recovery.5")
async def test_tools_tell_what_the_files_they_touched_hold_afterwards(
    tools: Any, place: Path, fill: Any
) -> None:
    """The whole file counts, whatever part of it was shown."""
    fill({"a.txt": "needle\n" * 9000, "b.txt": "\ufeffneedle\r\n", "c.txt": "old"})
    await tools.call("read", path="a.txt", offset=10, limit=1)
    await tools.call("edit", path="b.txt", old_string="needle\n", new_string="x\n")
    await tools.call("write", path="c.txt", content="new")
    await tools.call("write", path="d/e.txt", content="new")
    await tools.call("read", path=".")
    assert tools.context.files == {
        str(place / name): hashlib.sha256((place / name).read_bytes()).hexdigest()
        for name in ("a.txt", "b.txt", "c.txt", "d/e.txt")
    }
