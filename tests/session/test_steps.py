"""One Step and the drain around it, seen from outside."""

from pathlib import Path

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    Place,
    ProviderError,
    TextDelta,
    Tool,
    ToolCall,
    ToolContext,
    ToolFailure,
    UserMessage,
    hookimpl,
)
from dovetail.kernel.testing.scripted import (
    Gate,
    ScriptedProvider,
    call,
    calls,
    finish,
    text,
)
from support.bounds import HANG
from support.hosts import Tools, host, kinds_of


@frozen
class Echo:
    text: str


async def _echo(input: Echo, context: ToolContext) -> str:
    return f"echo {input.text}"


ECHO = Tool("echo", "Echo a text.", Echo, _echo, effect="pure")


@pytest.mark.law("inbox.1")
async def test_a_prompt_is_answered_and_the_transcript_is_durable(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("Hel", "lo"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        receipt = await session.prompt("Say hello")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.succeeded
        user, answer = await session.history()
        assert isinstance(user, UserMessage)
        assert (user.id, user.text) == (receipt.id, "Say hello")
        assert isinstance(answer, AssistantMessage)
        assert (answer.text, answer.finish) == ("Hello", "stop")
        assert await kinds_of(session) == [
            "session.created",
            "prompt.admitted",
            "execution.started",
            "prompt.promoted",
            "context.epoch_started",
            "facts.recorded",
            "step.started",
            "text.ended",
            "step.ended",
            "execution.ended",
        ]


@pytest.mark.law("tools.1")
@pytest.mark.law("tools.2")
async def test_calls_run_at_once_and_all_are_settled_before_the_next_request(
    tmp_path: Path,
) -> None:
    gates = {"a": Gate(), "b": Gate()}

    async def wait(input: Echo, context: ToolContext) -> str:
        await gates[input.text].pass_through()
        return input.text.upper()

    provider = ScriptedProvider(
        calls(call("wait", {"text": "a"}, id="1"), call("wait", {"text": "b"}, id="2")),
        text("done"),
    )
    tool = Tool("wait", "Wait.", Echo, wait)
    async with host(tmp_path, provider, tool) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gates["a"].reached()
            await gates["b"].reached()
            gates["b"].open()
            assert len(provider.requests) == 1
            gates["a"].open()
            assert (await session.wait()).succeeded
        [_, asked, _] = await session.history()
        assert isinstance(asked, AssistantMessage)
        assert [part.content[0].text for part in asked.calls] == ["A", "B"]  # type: ignore[union-attr]
        sent = provider.histories[1]
        assert sent[-1] == asked


@pytest.mark.law("tools.1")
async def test_a_call_is_durable_before_its_executor_starts(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    async def look(input: Echo, context: ToolContext) -> str:
        session = await opened[0].sessions.get(context.session_id)
        seen.append(await kinds_of(session))
        return "ok"

    provider = ScriptedProvider(calls(call("look", {"text": ""})), text("done"))
    opened = []
    async with host(tmp_path, provider, Tool("look", "Look.", Echo, look)) as runtime:
        opened.append(runtime)
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await session.wait()
    assert seen[0][-2:] == ["tool.called", "tool.started"]


async def test_a_tool_starts_while_the_stream_goes_on(tmp_path: Path) -> None:
    started, more = Gate(), Gate()

    async def begin(input: Echo, context: ToolContext) -> str:
        await started.pass_through()
        return "ok"

    provider = ScriptedProvider(
        [call("begin", {"text": ""}), more, TextDelta("1", "after"), finish()],
        text("done"),
    )
    async with host(
        tmp_path, provider, Tool("begin", "Begin.", Echo, begin)
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await more.reached()
            await started.reached()
            started.open()
            more.open()
            assert (await session.wait()).succeeded


@pytest.mark.law("tools.4")
@pytest.mark.parametrize(
    ("made", "code"),
    [
        (call("nosuch", {}), "tool.unknown"),
        (call("echo", {"text": 3}), "tool.input_invalid"),
        (call("echo", '{"text": "a'), "tool.input_invalid"),
        (ToolCall("c", "echo", '{"text": "a"}', cut=True), "tool.input_invalid"),
    ],
    ids=["unknown tool", "wrong type", "broken JSON", "cut off"],
)
async def test_a_call_that_cannot_run_fails_alone_and_the_model_is_told(
    tmp_path: Path, made: ToolCall, code: str
) -> None:
    provider = ScriptedProvider(calls(made), text("sorry"))
    async with host(tmp_path, provider, ECHO) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        [_, asked, _] = await session.history()
        assert isinstance(asked, AssistantMessage)
        [part] = asked.calls
        assert part.failure is not None
        assert part.failure.code == code
        assert part.arguments == made.arguments


@pytest.mark.law("tools.5")
async def test_failure_and_defect_of_a_tool_stay_different_things(
    tmp_path: Path,
) -> None:
    async def fail(input: Echo, context: ToolContext) -> str:
        if input.text == "expected":
            raise ToolFailure("no such page")
        raise RuntimeError("secret-in-a-traceback")

    provider = ScriptedProvider(
        calls(
            call("fail", {"text": "expected"}, id="1"),
            call("fail", {"text": "defect"}, id="2"),
        ),
        text("done"),
    )
    async with host(tmp_path, provider, Tool("fail", "Fail.", Echo, fail)) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        [_, asked, _] = await session.history()
        assert isinstance(asked, AssistantMessage)
        first, second = (part.failure for part in asked.calls)
        assert first is not None
        assert second is not None
        assert (first.code, first.message) == ("tool.failed", "no such page")
        assert second.code != "tool.failed"
        assert "secret-in-a-traceback" not in second.message


@pytest.mark.law("execution.7")
@pytest.mark.parametrize(
    "answer",
    [
        [ProviderError("provider.rate_limited", "scripted", "slow down", status=429)],
        [
            TextDelta("0", "par"),
            ProviderError("provider.stream_broken", "scripted", "x"),
        ],
        [TextDelta("0", "par")],
        [],
    ],
    ids=["refused", "broken off", "no end", "nothing"],
)
async def test_a_failing_request_leaves_a_typed_durable_record(
    tmp_path: Path, answer: list[object]
) -> None:
    provider = ScriptedProvider(answer)  # type: ignore[arg-type]
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.status == "failed"
        assert outcome.reason is not None
        assert outcome.reason.code.startswith("provider.")
        [_, kept] = await session.history()
        assert isinstance(kept, AssistantMessage)
        assert kept.failure == outcome.reason
        assert kept.text == ("par" if TextDelta("0", "par") in answer else "")
        assert (await session.info()).outcome == outcome


@pytest.mark.law("execution.4")
async def test_resume_tries_again_after_a_failure(tmp_path: Path) -> None:
    provider = ScriptedProvider(
        [ProviderError("provider.unavailable", "scripted", "down", status=500)],
        text("better"),
    )
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).status == "failed"
            assert (await session.resume()).succeeded
        assert provider.unused == 0


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (None, "model.not_selected"),
        ("nosuch/model", "model.unknown"),
    ],
)
async def test_without_a_usable_model_nothing_is_promoted(
    tmp_path: Path, model: str | None, code: str
) -> None:
    provider = ScriptedProvider()
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.reason is not None
        assert (outcome.status, outcome.reason.code) == ("failed", code)
        assert [one.prompt.text for one in await session.pending()] == ["go"]


async def test_the_last_step_is_asked_to_finish_without_tools(tmp_path: Path) -> None:
    provider = ScriptedProvider(
        *(calls(call("echo", {"text": "x"})) for _ in range(2)), text("that was all")
    )
    (tmp_path / "dovetail.toml").write_text("[agents.build]\nsteps = 3\n")
    async with host(tmp_path, provider, ECHO) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
    assert [request.tool_choice for request in provider.requests] == [
        "auto",
        "auto",
        "none",
    ]
    assert provider.histories[2][-1].type == "notice"


async def test_an_agent_that_never_stops_is_paused_with_a_durable_reason(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(*(calls(call("echo", {"text": "x"})) for _ in range(2)))
    (tmp_path / "dovetail.toml").write_text("[agents.build]\nsteps = 2\n")
    async with host(tmp_path, provider, ECHO) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.status == "paused"
        assert outcome.reason is not None
        assert outcome.reason.code == "execution.step_limit"
        provider.then(text("fresh Steps"))
        await session.prompt("go on")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded


@pytest.mark.law("tools.3")
async def test_a_call_of_a_tool_that_was_closed_after_the_request_is_stale(
    tmp_path: Path,
) -> None:
    gate = Gate()
    provider = ScriptedProvider(
        [gate, call("echo", {"text": "x"}), finish("tool_calls")], text("done")
    )
    async with host(tmp_path, provider, ECHO) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            services = await runtime._locations.acquire((await session.info()).location)
            for one in services.tools._registrations.all():
                one.close()
            gate.open()
            assert (await session.wait()).succeeded
        [_, asked, _] = await session.history()
        assert isinstance(asked, AssistantMessage)
        assert asked.calls[0].failure is not None
        assert asked.calls[0].failure.code == "tool.stale"


@pytest.mark.law("plugins.6")
async def test_a_plugin_that_breaks_while_preparing_ends_the_step(
    tmp_path: Path,
) -> None:
    class Guard:
        name = "guard"

        @hookimpl
        def dovetail_prepare_request(self, request: object, place: Place) -> None:
            raise ValueError("no")

    provider = ScriptedProvider()
    async with host(tmp_path, provider, plugins=[Guard()]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.reason is not None
        assert outcome.reason.code == "plugin.failed"
        assert "guard" in outcome.reason.message
        assert provider.requests == []


async def test_plugins_observe_what_was_committed_in_order(tmp_path: Path) -> None:
    class Observer:
        name = "observer"

        def __init__(self) -> None:
            self.kinds: list[str] = []
            self.ended = anyio.Event()

        @hookimpl
        def dovetail_observe_event(self, event: object, place: Place) -> None:
            self.kinds.append(event.kind)  # type: ignore[attr-defined]
            if self.kinds[-1] == "execution.ended":
                self.ended.set()
            raise ValueError("an observer that always breaks")

    observer = Observer()
    provider = ScriptedProvider(text("hi"))
    async with host(tmp_path, provider, plugins=[observer, Tools(ECHO)]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await runtime.location(tmp_path)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await observer.ended.wait()
        kinds = await kinds_of(session)
    assert observer.kinds == kinds[-len(observer.kinds) :]
    assert observer.kinds[0] == "prompt.admitted"
