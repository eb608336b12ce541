"""Settlement: one call, one outcome, and nothing guessed on the way."""

import base64
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
import pytest
from attrs import field, frozen
from dovetail.kernel import (
    Content,
    Failure,
    FileContent,
    ModelUnknownError,
    PermissionDeniedError,
    PermissionRejectedError,
    TextContent,
    Tool,
    ToolCall,
    ToolFailure,
)
from dovetail.kernel.tools.output import OutputLimits
from dovetail.kernel.tools.registry import AdvertisedTools, ToolRegistry
from dovetail.kernel.tools.settlement import (
    Failed,
    Runnable,
    Succeeded,
    prepare,
    settle,
)
from hypothesis import given, settings, strategies as st
from support.bounds import HANG


@frozen
class Input:
    path: str = "."
    limit: int = field(default=10, metadata={"minimum": 1})
    extra: Any = None


@frozen
class Found:
    name: str
    size: int


@frozen
class Output:
    found: tuple[Found, ...] = ()
    note: Any = None


CONTEXT: Any = object()
"""The executors here only hand it on."""


class Recorder:
    """An executor that keeps what it was given and returns what it was told to."""

    def __init__(self, result: object = "done") -> None:
        self.result = result
        self.ran: list[tuple[Any, Any]] = []

    async def __call__(self, given: Any, context: Any) -> Any:
        self.ran.append((given, context))
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def offering(
    execute: Callable[[Any, Any], Awaitable[Any]], **options: Any
) -> AdvertisedTools:
    registry = ToolRegistry()
    made = {"description": "reads", "input": Input, "execute": execute, **options}
    registry.register(Tool(name="read", **made), "test")
    return registry.advertise()


def call(arguments: str = "{}", tool: str = "read", *, cut: bool = False) -> ToolCall:
    return ToolCall("call_1", tool, arguments, cut=cut)


async def outcome(result: object, **options: Any) -> Any:
    return await settle(call(), offering(Recorder(result), **options), CONTEXT)


# --- input ------------------------------------------------------------------------


async def test_the_executor_gets_the_decoded_input_and_the_context() -> None:
    recorder = Recorder("text")

    settled = await settle(
        call('{"path": "a", "limit": 2}'), offering(recorder), CONTEXT
    )

    assert recorder.ran == [(Input("a", 2), CONTEXT)]
    assert settled == Succeeded((TextContent("text"),))


@pytest.mark.law("tools.6")
async def test_a_tool_has_the_bounds_that_are_configured_for_it() -> None:
    text = "line\n" * 100

    async def execute(input: Any, context: Any) -> str:
        return text

    registry = ToolRegistry(limits={"short": OutputLimits(lines=10)})
    for name in ("short", "usual"):
        registry.register(Tool(name, "reads", Input, execute), "test")
    tools = registry.advertise()
    for name, lines in (("short", 10), ("usual", 100)):
        settled: Any = await settle(call(tool=name), tools, CONTEXT)
        [shown] = settled.content
        assert shown.text.count("\n") == lines
        assert settled.full == (text if name == "short" else None)
    # An agent's bound counts where it is lower, and for all tools.
    for name, lines in (("short", 10), ("usual", 20)):
        settled = await settle(call(tool=name), tools.within(20, None), CONTEXT)
        assert settled.content[0].text.count("\n") == lines


async def test_nothing_and_white_space_mean_no_arguments() -> None:
    for nothing in ("", " ", "\n\t \r"):
        recorder = Recorder()
        await settle(call(nothing), offering(recorder), CONTEXT)
        assert recorder.ran == [(Input(), CONTEXT)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("{", "JSON text"),
        ("\x0c", "Expecting value"),
        ("{} {}", "Extra data"),
        ("[]", "expected an object, got an array"),
        ("null", "expected an object, got null"),
        ('"{"', "expected an object, got a string"),
        ('{"extra": NaN}', "NaN is not JSON"),
        ('{"extra": -Infinity}', "-Infinity is not JSON"),
        ('{"extra": 1e999}', "too large"),
        ('{"extra": ' + "9" * 5000 + "}", "too many digits"),
        ('{"extra": ' + "[" * 250 + "]" * 250 + "}", "nests too deeply"),
        ("[" * 100_000, "nests too deeply"),
        ('{"extra":' * 50_000, "nests too deeply"),
        ('{"path": 1}', "$.path: expected a string, got an integer"),
        ('{"limit": 1.5}', "$.limit: expected an integer, got a number"),
        ('{"limit": true}', "$.limit: expected an integer, got true or false"),
        ('{"limit": 0}', "$.limit: must be at least 1"),
        ('{"pth": "a"}', "unknown field 'pth'"),
    ],
)
@pytest.mark.law("tools.4")
async def test_arguments_that_do_not_fit_never_reach_the_executor(
    arguments: str, says: str
) -> None:
    recorder = Recorder()

    settled = await settle(call(arguments), offering(recorder), CONTEXT)

    assert isinstance(settled, Failed)
    assert settled.failure.code == "tool.input_invalid"
    assert says in settled.failure.message or says == "JSON text"
    assert settled.defect is None
    assert recorder.ran == []


@pytest.mark.law("tools.4")
async def test_a_call_that_was_cut_off_is_never_run() -> None:
    recorder = Recorder()

    settled = await settle(call("{}", cut=True), offering(recorder), CONTEXT)

    assert isinstance(settled, Failed)
    assert settled.failure.code == "tool.input_invalid"
    assert "cut off" in settled.failure.message
    assert recorder.ran == []


async def test_a_tool_that_was_not_advertised_is_unknown() -> None:
    recorder = Recorder()

    settled = await settle(call(tool="raed"), offering(recorder), CONTEXT)

    assert settled == Failed(
        Failure("tool.unknown", "there is no tool 'raed'; offered: read")
    )
    assert recorder.ran == []


def test_an_absurd_tool_name_gives_a_short_message() -> None:
    settled = prepare(call(tool="\ud800\x00" * 10_000), offering(Recorder()))

    assert isinstance(settled, Failed)
    assert len(settled.failure.message) < 1000
    settled.failure.message.encode()


def test_many_problems_give_a_short_message() -> None:
    names = ", ".join(f'"{"x" * 500}{number}": 1' for number in range(1000))
    settled = prepare(call("{" + names + "}"), offering(Recorder()))

    assert isinstance(settled, Failed)
    assert len(settled.failure.message) < 10_000


async def test_integers_of_any_size_arrive_exactly() -> None:
    for number in (2**63, -(2**64) - 1, 10**400):
        recorder = Recorder()
        await settle(
            call('{"extra": ' + str(number) + "}"), offering(recorder), CONTEXT
        )
        assert recorder.ran[0][0].extra == number


async def test_lone_surrogates_arrive_as_replacement_characters() -> None:
    for text in (r'{"path": "a\ud800b"}', '{"path": "a\ud800b"}'):
        recorder = Recorder()
        await settle(call(text), offering(recorder), CONTEXT)
        assert recorder.ran[0][0].path == "a\ufffdb"

    recorder = Recorder()
    await settle(call(r'{"path": "\ud83d\ude00"}'), offering(recorder), CONTEXT)
    assert recorder.ran[0][0].path == "😀"


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec=None, exclude_categories=[])))
def test_no_argument_text_ever_breaks_preparation(arguments: str) -> None:
    plan = prepare(call(arguments), offering(Recorder()))

    assert isinstance(plan, Runnable | Failed)


def test_preparing_runs_nothing_of_the_tool() -> None:
    recorder = Recorder()

    plan = prepare(call('{"path": "a"}'), offering(recorder))

    assert isinstance(plan, Runnable)
    assert plan.input == Input("a")
    assert plan.call == call('{"path": "a"}')
    assert recorder.ran == []


# --- stale ------------------------------------------------------------------------


@pytest.mark.law("tools.3")
async def test_a_tool_that_was_closed_after_the_request_is_stale() -> None:
    registry, old, new = ToolRegistry(), Recorder("old"), Recorder("new")
    made = {"description": "reads", "input": Input}
    entry = registry.register(Tool(name="read", execute=old, **made), "a")  # type: ignore[arg-type]
    advertised = registry.advertise()
    plan = prepare(call(), advertised)
    assert isinstance(plan, Runnable)

    entry.close()
    registry.register(Tool(name="read", execute=new, **made), "a")  # type: ignore[arg-type]

    for settled in (
        await plan.run(CONTEXT),
        await settle(call(), advertised, CONTEXT),
    ):
        assert isinstance(settled, Failed)
        assert settled.failure.code == "tool.stale"
    assert old.ran == new.ran == []
    assert await settle(call(), registry.advertise(), CONTEXT) == Succeeded(
        (TextContent("new"),)
    )


@pytest.mark.law("tools.3")
async def test_a_call_runs_the_tool_that_was_advertised_not_one_that_shadows_it() -> (
    None
):
    registry, below, above = ToolRegistry(), Recorder("below"), Recorder("above")
    made = {"description": "reads", "input": Input}
    registry.register(Tool(name="read", execute=below, **made), "a")  # type: ignore[arg-type]
    advertised = registry.advertise()
    registry.register(Tool(name="read", execute=above, **made), "b")  # type: ignore[arg-type]

    settled = await settle(call(), advertised, CONTEXT)

    assert settled == Succeeded((TextContent("below"),))
    assert above.ran == []


# --- failures ---------------------------------------------------------------------


@pytest.mark.law("tools.5")
async def test_an_expected_failure_is_told_to_the_model() -> None:
    settled = await outcome(ToolFailure("no such file: a"))

    assert settled == Failed(Failure("tool.failed", "no such file: a"))


@pytest.mark.law("tools.5")
async def test_a_defect_is_kept_for_the_operator_and_hidden_from_the_model() -> None:
    error = ValueError("password is hunter2")

    settled = await outcome(error)

    assert settled.failure == Failure("internal", "tool 'read' broke (ValueError)")
    assert settled.defect is error
    assert "hunter2" not in repr(settled.failure)


async def test_a_refusal_and_its_advice_are_told_to_the_model() -> None:
    denied = await outcome(PermissionDeniedError("read", ["/etc/passwd"]))
    rejected = await outcome(
        PermissionRejectedError("edit", ["a.py"], "look at b.py first")
    )

    assert denied.failure.code == "permission.denied"
    assert "/etc/passwd" in denied.failure.message
    assert rejected.failure.code == "permission.rejected"
    assert "look at b.py first" in rejected.failure.message
    assert denied.defect is rejected.defect is None


async def test_another_error_of_ours_keeps_its_code() -> None:
    settled = await outcome(ModelUnknownError("a/b"))

    assert settled.failure.code == "model.unknown"
    assert settled.defect is None


async def test_a_failure_in_a_task_group_is_the_failure_itself() -> None:
    async def execute(given: Input, context: Any) -> str:
        async with anyio.create_task_group():
            raise ToolFailure("within")
        return "never"

    settled = await settle(call(), offering(execute), CONTEXT)

    assert settled == Failed(Failure("tool.failed", "within"))


async def test_several_failures_in_a_task_group_are_a_defect() -> None:
    both = ExceptionGroup("two", [ToolFailure("a"), ValueError("b")])

    settled = await outcome(both)

    assert settled.failure.code == "internal"
    assert settled.defect is both


async def test_a_failure_without_words_still_says_something() -> None:
    assert (await outcome(ToolFailure())).failure.message == "the tool failed"


async def test_an_over_long_failure_is_bounded_and_kept() -> None:
    text = "\ud800line\n" * 5000
    settled = await outcome(ToolFailure(text))

    assert isinstance(settled, Failed)
    assert len(settled.failure.message.encode()) <= 50 * 1024
    assert settled.full == text.replace("\ud800", "\ufffd")
    kept = settled.kept_as("out_7")
    assert 'read path="managed:out_7" with offset=' in kept.failure.message
    assert kept.failure.code == "tool.failed"
    assert kept.full == settled.full
    short = Failed(Failure("tool.failed", "short"))
    assert short.kept_as("out_7") is short


@pytest.mark.law("tools.5")
async def test_cancellation_passes_through_and_is_no_outcome() -> None:
    started = anyio.Event()
    settled: list[Any] = []

    async def execute(given: Input, context: Any) -> str:
        started.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def run() -> None:
        settled.append(await settle(call(), offering(execute), CONTEXT))

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await started.wait()
            group.cancel_scope.cancel()

    assert settled == []


@pytest.mark.law("tools.5")
async def test_a_persons_ctrl_c_passes_through() -> None:
    """Run by hand: neither event loop lets it through unchanged."""

    async def interrupted(input: object, context: object) -> str:
        default = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, default)
        return "unreachable"

    plan = prepare(call(), offering(interrupted))
    assert isinstance(plan, Runnable)

    with pytest.raises(KeyboardInterrupt):
        plan.run(CONTEXT).send(None)


@pytest.mark.law("plugins.8")
async def test_one_that_the_tool_raises_itself_is_its_defect() -> None:
    settled = await settle(call(), offering(Recorder(KeyboardInterrupt())), CONTEXT)

    assert isinstance(settled, Failed)
    assert settled.failure.message.endswith("broke (KeyboardInterrupt)")


@pytest.mark.law("tools.5")
async def test_a_tool_that_wants_to_exit_has_a_defect() -> None:
    settled = await settle(call(), offering(Recorder(SystemExit(3))), CONTEXT)

    assert isinstance(settled, Failed)
    assert settled.failure.code == "internal"
    # By its own name, not that of what it was put into here.
    assert settled.failure.message.endswith("broke (SystemExit)")
    assert settled.defect is not None
    assert isinstance(settled.defect.__cause__, SystemExit)


# --- output -----------------------------------------------------------------------


async def test_structured_output_is_shown_as_json_and_kept_as_data() -> None:
    settled = await outcome(Output((Found("a", 1),)), output=Output)

    assert settled == Succeeded(
        (TextContent('{"found":[{"name":"a","size":1}],"note":null}'),),
        {"found": [{"name": "a", "size": 1}], "note": None},
    )


async def test_render_decides_what_the_model_sees() -> None:
    image = FileContent("image/png", base64.b64encode(b"png").decode())

    def render(output: Output) -> Sequence[Content]:
        return [TextContent(f"{len(output.found)} found"), image]

    settled = await outcome(Output(), output=Output, render=render)

    assert settled.content == (TextContent("0 found"), image)
    assert settled.data == {"found": [], "note": None}
    worded = await outcome("abc", render=lambda text: text.upper())
    assert worded == Succeeded((TextContent("ABC"),))


@pytest.mark.law("tools.4")
@pytest.mark.parametrize(
    ("result", "options"),
    [
        (None, {}),
        (3, {}),
        (b"bytes", {}),
        ("text", {"output": Output}),
        ({"found": []}, {"output": Output}),
        (Input(), {"output": Output}),
        (Output((Found("a", "1"),)), {"output": Output}),  # type: ignore[arg-type]
        (Output((Found("a", True),)), {"output": Output}),
        (Output(None), {"output": Output}),  # type: ignore[arg-type]
        ("text", {"render": lambda text: None}),
        ("text", {"render": lambda text: b"bytes"}),
        ("text", {"render": lambda text: [text]}),
        ("text", {"render": lambda text: [TextContent(3)]}),  # type: ignore[arg-type]
        ("text", {"render": lambda text: {"a": 1}}),
        ("text", {"render": lambda text: [FileContent("image/png", "?")]}),
        ("text", {"render": lambda text: [FileContent("png", "AAAA")]}),
        ("text", {"render": lambda text: [FileContent("a/b", b"AAAA")]}),  # type: ignore[arg-type]
    ],
)
async def test_an_output_that_is_not_of_its_type_never_becomes_a_success(
    result: object, options: dict[str, Any]
) -> None:
    settled = await outcome(result, **options)

    assert isinstance(settled, Failed)
    assert settled.failure.code == "tool.output_invalid"
    assert settled.defect is not None


async def test_a_broken_render_is_a_defect() -> None:
    def render(text: str) -> str:
        raise KeyError("secret")

    settled = await outcome("text", render=render)

    assert settled.failure == Failure("internal", "tool 'read' broke (KeyError)")
    assert isinstance(settled.defect, KeyError)


async def test_output_that_json_cannot_say_is_made_safe() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    note = {"big": 2**70, "nan": float("nan"), "bad": "\udc00", "deep": deep}

    settled = await outcome(Output(note=note), output=Output)

    assert settled.data["note"]["big"] == str(2**70)
    assert settled.data["note"]["nan"] == "nan"
    assert settled.data["note"]["bad"] == "\ufffd"


async def test_output_that_contains_itself_is_no_success() -> None:
    loop: list[Any] = []
    loop.append(loop)

    settled = await outcome(Output(note=loop), output=Output)

    assert settled.failure.code == "tool.output_invalid"


@pytest.mark.law("tools.6")
async def test_over_long_output_is_cut_in_one_place_and_kept() -> None:
    text = "line\n" * 60_000

    settled = await outcome(text)
    ended = await outcome(text, bound="end")

    assert len(settled.content[0].text.encode()) <= 50 * 1024
    assert settled.full == text
    assert settled.content[0].text.endswith("line\n")
    assert not ended.content[0].text.endswith("line\n")
    kept = settled.kept_as("out_1")
    assert 'read path="managed:out_1" with offset=' in kept.content[0].text
    assert (kept.full, kept.data) == (settled.full, settled.data)
    short = Succeeded((TextContent("short"),))
    assert short.kept_as("out_1") is short


async def test_over_large_data_is_left_out_and_can_be_kept() -> None:
    limits = OutputLimits(data=100)
    output = Output(tuple(Found("x", number) for number in range(10)))
    advertised = offering(
        Recorder(output), output=Output, render=lambda output: "ten found"
    )

    settled = await settle(call(), advertised, CONTEXT, limits)

    assert isinstance(settled, Succeeded)
    assert settled.content == (TextContent("ten found"),)
    assert settled.data is None
    assert settled.full is not None
    assert settled.full.startswith('{"found":[{"name":"x","size":0}')


async def test_empty_output_is_shown_as_a_text() -> None:
    assert (await outcome("")).content == (TextContent("(no output)"),)
