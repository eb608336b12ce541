"""What a model wrote that can mean only one thing is taken so, and said."""

import enum
import json
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from attrs import field, frozen
from dovetail.kernel import (
    AssistantMessage,
    CallNotice,
    Tool,
    ToolCall,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing import ScriptedProvider, calls, text
from dovetail.kernel.tools.meaning import meant_arguments, meant_tool, unwrapped
from dovetail.kernel.tools.schema import input_decoder
from dovetail.kernel.values.errors import UndecodableError
from hypothesis import given, strategies as st
from support.bounds import HANG
from support.hosts import host

NAMES = ("bash", "grep", "mcp__files__read", "read_file", "Read")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("bash", "bash"),
        ("Bash", "bash"),
        (" bash\n", "bash"),
        ("`bash`", "bash"),
        ("functions.bash", "bash"),
        ("functions.bash:0", "bash"),
        ("default_api:bash", "bash"),
        ("tools/bash", "bash"),
        ("bash()", "bash"),
        ("bash<|channel|>commentary", "bash"),
        ("Read-File", "read_file"),
        ("mcp__files__read", "mcp__files__read"),
        ("x.mcp__files__read", "mcp__files__read"),
        ("read", "Read"),
        ("mcp__other__read", "Read"),
        ("bas", None),
        ("bash2", None),
        ("", None),
        (".", None),
        ("bash and grep", None),
    ],
)
def test_a_name_means_the_one_tool_that_it_can_mean(
    written: str, meant: str | None
) -> None:
    assert meant_tool(written, NAMES) == meant


def test_a_name_that_can_mean_two_tools_means_none() -> None:
    assert meant_tool("READ", ("read", "Read")) is None
    assert meant_tool("read", ("read", "Read")) == "read"


@given(st.text(max_size=40))
def test_any_text_is_a_tool_or_none(written: str) -> None:
    meant = meant_tool(written, NAMES)
    assert meant is None or meant in NAMES


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


@frozen
class Inner:
    count: int = 1


@frozen
class Input:
    whole: int = 0
    number: float = 0.0
    flag: bool = False
    words: str = ""
    choice: Literal["on", "off", 3] = "on"
    size: Size = Size.SMALL
    many: list[int] = field(factory=list)
    pair: tuple[int, str] = (0, "")
    table: dict[str, int] = field(factory=dict)
    inner: Inner = field(factory=Inner)
    maybe: int | None = None
    either: int | bool = 0
    several: list[str] | str = ""
    milliseconds: int = field(default=1, metadata={"formerly": ("time", "many")})


DECODE = input_decoder(Input)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"whole": "10"}, Input(whole=10)),
        ({"whole": " -3 "}, Input(whole=-3)),
        ({"whole": 10.0}, Input(whole=10)),
        ({"whole": "10.0"}, Input(whole=10)),
        ({"number": "1.5"}, Input(number=1.5)),
        ({"flag": "False"}, Input(flag=False)),
        ({"flag": "true"}, Input(flag=True)),
        ({"choice": "OFF"}, Input(choice="off")),
        ({"choice": "3"}, Input(choice=3)),
        ({"size": "Large"}, Input(size=Size.LARGE)),
        ({"many": ["1", 2.0]}, Input(many=[1, 2])),
        ({"many": "[1, 2]"}, Input(many=[1, 2])),
        ({"pair": ["1", "2"]}, Input(pair=(1, "2"))),
        ({"table": {"a": "1"}}, Input(table={"a": 1})),
        ({"inner": '{"count": "2"}'}, Input(inner=Inner(2))),
        ({"maybe": "4"}, Input(maybe=4)),
        ({"either": "5"}, Input(either=5)),
        ({"either": "true"}, Input(either=True)),
        ({"whole": None, "flag": None, "inner": {"count": None}}, Input()),
        ({"time": 5}, Input(milliseconds=5)),
        ({"time": "5"}, Input(milliseconds=5)),
    ],
)
def test_arguments_that_mean_one_thing_are_taken_so(
    written: dict[str, Any], meant: Input
) -> None:
    with pytest.raises(UndecodableError):
        DECODE(written)
    data, notes = meant_arguments(Input, written)
    assert DECODE(data) == meant
    assert notes
    assert all(note.startswith("$.") for note in notes)


@pytest.mark.parametrize(
    "written",
    [
        {"whole": "ten"},
        {"whole": 1.5},
        {"whole": True},
        {"whole": "0x10"},
        {"whole": "1_000"},
        {"number": "NaN"},
        {"number": "inf"},
        {"flag": 1},
        {"flag": "yes"},
        {"words": True},
        {"words": 7},
        {"words": None, "x": 1},
        {"choice": "o"},
        {"many": "1, 2"},
        {"many": 1},
        {"inner": "count"},
        {"unknown": None},
    ],
)
@pytest.mark.law("tools.8")
def test_what_may_mean_something_else_is_not_guessed(written: dict[str, Any]) -> None:
    data, _ = meant_arguments(Input, written)
    with pytest.raises(UndecodableError):
        DECODE(data)


def test_what_fits_is_never_read_differently() -> None:
    sound = {
        "whole": 1,
        "words": "10",
        "maybe": None,
        "either": False,
        "several": "[1]",
        "many": [1],
    }
    assert meant_arguments(Input, sound) == (sound, [])


def test_json_within_json_is_what_it_holds() -> None:
    inner = {"whole": 1}
    assert unwrapped(json.dumps(inner))[0] == inner
    for other in ("text", "[1]", '"x"', inner, [1], None):
        assert unwrapped(other) == (other, [])


json_data: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from(["whole", "flag", "many", "inner", "several", "size"]),
        json_data,
    )
)
def test_no_data_breaks_the_reading(written: dict[str, Any]) -> None:
    meant_arguments(Input, written)


@pytest.mark.law("tools.8")
async def test_the_log_keeps_what_was_sent_and_the_model_is_told(
    tmp_path: Path,
) -> None:
    seen: list[Input] = []

    async def execute(input: Input, context: ToolContext) -> str:
        seen.append(input)
        return "done"

    noticed: list[CallNotice] = []

    class Guard:
        @hookimpl
        def dovetail_prepare_tool_call(self, call: CallNotice) -> None:
            noticed.append(call)

    written = json.dumps('{"whole": "2"}')
    provider = ScriptedProvider(
        calls(ToolCall("c1", "functions.Act", written)), text("ok")
    )
    tool = Tool("act", "Act.", Input, execute, effect="pure")
    async with host(tmp_path, provider, tool, plugins=[Guard()]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        events = [event async for event in session.events()]
    assert seen == [Input(whole=2)]
    assert [(one.tool, one.arguments) for one in noticed] == [("act", '{"whole":2}')]
    (called,) = [event for event in events if event.kind == "tool.called"]
    assert (called.tool, called.named) == ("act", "functions.Act")
    assert called.arguments == written
    (part,) = next(
        m for m in provider.histories[1] if isinstance(m, AssistantMessage)
    ).calls
    assert part.text == "done"
    assert part.reading == called.reading
    assert part.reading == (
        "the tool 'functions.Act' was read as 'act'",
        "$: a text of JSON was read as the object in it",
        "$.whole: '2' was read as 2",
    )
