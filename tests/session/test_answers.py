"""Answers that are odd, empty, endless or refused: what each comes to."""

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AnswerLimits,
    AssistantMessage,
    FileContent,
    Finish,
    ModelInfo,
    Prompt,
    PromptFile,
    Provider,
    ProviderError,
    ReasoningDelta,
    ReasoningEnd,
    RetryPolicy,
    TextContent,
    TextDelta,
    TextEnd,
    TextPart,
    Tool,
    ToolCall,
    ToolContext,
    ToolInputDelta,
    Usage,
    UserMessage,
    hookimpl,
)
from dovetail.kernel.testing import (
    Gate,
    ManualClock,
    ScriptedProvider,
    call,
    calls,
    finish,
    reasoning,
    text,
)
from support.bounds import HANG
from support.hosts import host, kinds_of

PNG = base64.b64encode(b"\x89PNG").decode()
AT_ONCE = RetryPolicy(first=0.001, longest=0.001)


@frozen
class Nothing:
    pass


def tool(ran: list[str]) -> Tool[Any, Any]:
    async def execute(input: Nothing, context: ToolContext) -> str:
        ran.append(context.call_id)
        return "done"

    return Tool("act", "Act.", Nothing, execute)


class Odd:
    """A provider that hands over whatever it is told to."""

    def __init__(self, *handed: Any, limits: AnswerLimits | None = None) -> None:
        self.handed = handed
        self.limits = limits or AnswerLimits()
        self.asked = 0
        self.closed = 0

    @hookimpl
    def dovetail_register_providers(self, register: Any) -> None:
        register(
            Provider(
                "odd",
                lambda _: self,
                models=[ModelInfo("odd/m")],
                silence=None,
                limits=self.limits,
            )
        )

    @asynccontextmanager
    async def stream(self, request: Any) -> AsyncIterator[Any]:
        self.asked += 1
        try:
            yield self._play()
        finally:
            self.closed += 1

    async def _play(self) -> AsyncIterator[Any]:
        for one in self.handed:
            yield one


async def run(tmp_path: Path, *given: Any, model: str, **options: Any) -> Any:
    """Return the outcome, the messages and the kinds of the events of one prompt."""
    options.setdefault("retry", AT_ONCE)
    async with host(tmp_path, *given, **options) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        return outcome, await session.history(), await kinds_of(session)


# --- what a provider hands over ---------------------------------------------------


@pytest.mark.law("execution.12")
@pytest.mark.parametrize(
    ("handed", "named"),
    [
        ("text", "the text 'text' is no model event"),
        (b"bytes", "a value of type bytes is no model event"),
        (None, "None is no model event"),
        (TextDelta("0", b"x"), "text of TextDelta must be a text"),  # type: ignore[arg-type]
        (TextDelta(0, "x"), "part of TextDelta must be a text, got 0"),  # type: ignore[arg-type]
        (TextEnd("0", "x"), "metadata of TextEnd must be an object"),  # type: ignore[arg-type]
        (ReasoningEnd("0", {"a": b"x"}), "metadata of ReasoningEnd must be JSON"),
        (ToolCall("", "act", "{}"), "call_id of ToolCall must be a text, not empty"),
        (ToolCall("a", "act", {}), "arguments of ToolCall must be a text"),  # type: ignore[arg-type]
        (ToolInputDelta("a", None, "x"), "tool of ToolInputDelta must be a text"),  # type: ignore[arg-type]
        (Finish("done"), "reason of Finish must be one of stop, length"),  # type: ignore[arg-type]
        (Finish("stop", {"input": 1}), "usage of Finish must be a Usage"),  # type: ignore[arg-type]
        (
            Finish("stop", Usage(input="many")),
            "usage of Finish counts must be whole numbers",
        ),  # type: ignore[arg-type]
        (
            Finish("stop", Usage(output=-1)),
            "usage of Finish counts must be whole numbers",
        ),
        (
            Finish("stop", Usage(output=True)),
            "usage of Finish counts must be whole numbers",
        ),
    ],
)
async def test_rubbish_is_named_with_the_event_and_the_rule(
    tmp_path: Path, handed: Any, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    provider = Odd(TextDelta("0", "kept"), handed, Finish("stop"))
    outcome, history, _ = await run(tmp_path, provider, model="odd/m")
    assert outcome.status == "failed"
    assert outcome.reason.code == "provider.invalid_output"
    assert "provider 'odd'" in outcome.reason.message
    assert f"event 2: {named}" in outcome.reason.message
    assert (provider.asked, provider.closed) == (1, 1)
    assert history[-1].failure == outcome.reason
    assert history[-1].text == "kept"
    assert "internal" not in caplog.text


@pytest.mark.law("execution.12")
async def test_a_route_that_opens_no_stream_is_named_with_what_it_gave(
    tmp_path: Path,
) -> None:
    class Bare(Odd):
        def stream(self, request: Any) -> Any:
            return self._play()

    class Waited(Odd):
        async def stream(self, request: Any) -> Any:
            return self._play()

    class Listed(Odd):
        @asynccontextmanager
        async def stream(self, request: Any) -> AsyncIterator[Any]:
            yield [Finish("stop")]

    for kind, named in (
        (Bare, "must return an async context manager"),
        (Waited, "must return an async context manager"),
        (Listed, "must open an async iterator"),
    ):
        outcome, _, _ = await run(tmp_path, kind(), model="odd/m")
        assert outcome.reason.code == "provider.invalid_output"
        assert named in outcome.reason.message


@pytest.mark.law("execution.12")
async def test_an_error_with_odd_values_is_recorded_with_sound_ones(
    tmp_path: Path,
) -> None:
    class Raising(Odd):
        @asynccontextmanager
        async def stream(self, request: Any) -> AsyncIterator[Any]:
            raise ProviderError(
                "my.own",  # type: ignore[arg-type]
                "odd",
                "no \ud800",
                status="x",  # type: ignore[arg-type]
                retry_after="soon",  # type: ignore[arg-type]
                retryable="yes",  # type: ignore[arg-type]
            )
            yield

    outcome, _, _ = await run(tmp_path, Raising(), model="odd/m")
    assert outcome.reason.code == "provider.failed"
    assert outcome.reason.message == "provider 'odd': no \ufffd"


# --- bounds -----------------------------------------------------------------------

BOUNDS = AnswerLimits(
    text=100, reasoning=100, arguments=100, calls=3, parts=5, events=1000
)


@pytest.mark.law("execution.9")
@pytest.mark.parametrize(
    ("endless", "named"),
    [
        ([TextDelta("0", "x" * 30)] * 4, "100 characters of text"),
        ([ReasoningDelta("0", "x" * 30)] * 4, "100 characters of reasoning"),
        ([ReasoningEnd("0", {"a": "x" * 100})], "100 characters of reasoning"),
        ([ToolInputDelta("a", "act", "x" * 60)] * 2, "arguments of one call"),
        ([ToolCall("a", "act", "x" * 101)], "arguments of one call"),
        ([ToolCall(f"c{at}", "act", "{}") for at in range(4)], "3 calls"),
        ([TextDelta(f"{at}", "x") for at in range(6)], "5 parts"),
        ([TextDelta("0", "")] * 1001, "1000 events"),
    ],
    ids=[
        "text",
        "reasoning",
        "metadata",
        "input",
        "arguments",
        "calls",
        "parts",
        "nil",
    ],
)
async def test_a_bound_ends_the_step_with_its_reason_and_keeps_what_was_complete(
    tmp_path: Path, endless: Sequence[Any], named: str
) -> None:
    ran: list[str] = []
    provider = Odd(*endless, Finish("stop"), limits=BOUNDS)
    outcome, history, kinds = await run(
        tmp_path, provider, tool(ran), model="odd/m", on_permission="allow"
    )
    assert outcome.status == "failed"
    assert outcome.reason.code == "provider.answer_limit"
    assert named in outcome.reason.message
    assert (provider.asked, provider.closed) == (1, 1)
    assert kinds.count("step.failed") == 1
    last = history[-1]
    assert isinstance(last, AssistantMessage)
    assert all(part.settled for part in last.calls)
    if named == "3 calls":
        assert sorted(ran) == ["c0", "c1", "c2"]
    if named == "100 characters of text":
        assert last.text == "x" * 90


@pytest.mark.law("execution.9")
async def test_only_so_many_calls_run_at_once(tmp_path: Path) -> None:
    from dovetail.kernel.execution.calls import CALLS_AT_ONCE

    running, most, gate = [0], [0], Gate()

    async def execute(input: Nothing, context: ToolContext) -> str:
        running[0] += 1
        most[0] = max(most[0], running[0])
        if running[0] == CALLS_AT_ONCE:
            gate.open()
        await gate.pass_through()
        await anyio.lowlevel.checkpoint()
        running[0] -= 1
        return "done"

    count = 3 * CALLS_AT_ONCE
    made = [call("act", id=f"c{at}") for at in range(count)]
    provider = ScriptedProvider(calls(*made), text("ok"))
    outcome, history, _ = await run(
        tmp_path,
        provider,
        Tool("act", "Act.", Nothing, execute, effect="pure"),
        model=provider.model,
    )
    assert outcome.succeeded
    assert most[0] == CALLS_AT_ONCE
    assert [part.state for part in history[1].calls] == ["succeeded"] * count


@pytest.mark.law("execution.9")
async def test_a_stream_without_a_sign_ends_by_the_default_of_its_provider(
    tmp_path: Path,
) -> None:
    class Stalled(Odd):
        gate = Gate()

        @hookimpl
        def dovetail_register_providers(self, register: Any) -> None:
            register(Provider("odd", lambda _: self, models=[ModelInfo("odd/m")]))

        async def _play(self) -> AsyncIterator[Any]:
            yield TextDelta("0", f"{self.asked}")
            if self.asked == 1:
                await self.gate.pass_through()
            yield Finish("stop")

    clock, provider = ManualClock(), Stalled()
    retry = RetryPolicy(first=0.0)
    async with host(tmp_path, provider, clock=clock, retry=retry) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model="odd/m")
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await provider.gate.reached()
            await anyio.wait_all_tasks_blocked()
            clock.advance(1799)
            await anyio.wait_all_tasks_blocked()
            assert provider.closed == 0
            async with clock.jumping(longest=1800):
                outcome = await session.wait()
        assert outcome.succeeded
        assert (provider.asked, provider.closed) == (2, 2)
        first = [m for m in await session.history() if isinstance(m, AssistantMessage)]
        assert first[0].failure is not None
        assert first[0].failure.code == "provider.stream_broken"


# --- answers of nothing -----------------------------------------------------------


@pytest.mark.law("execution.10")
@pytest.mark.parametrize(
    "empty",
    [
        [finish()],
        [TextDelta("0", " \n"), finish()],
        [reasoning("hm"), finish()],
        [reasoning("hm"), finish("length")],
        [finish("tool_calls")],
    ],
)
async def test_an_answer_of_nothing_is_asked_for_again_once_and_then_told(
    tmp_path: Path, empty: list[Any]
) -> None:
    provider = ScriptedProvider(empty, text("four"))
    outcome, history, _ = await run(tmp_path, provider, model=provider.model)
    assert outcome.succeeded
    assert history[-1].text == "four"
    asked = provider.histories[1][-1]
    assert "neither text nor a tool call" in getattr(asked, "text", "")

    provider = ScriptedProvider(empty, empty)
    outcome, _, kinds = await run(tmp_path, provider, model=provider.model)
    assert outcome.status == "failed"
    assert outcome.reason.code == "provider.empty_answer"
    assert kinds.count("step.failed") == 2
    assert provider.unused == 0


@pytest.mark.law("execution.10")
async def test_an_answer_that_ends_with_an_error_is_no_success(tmp_path: Path) -> None:
    provider = ScriptedProvider([TextDelta("0", "a"), finish("error")], text("b"))
    outcome, history, _ = await run(tmp_path, provider, model=provider.model)
    assert outcome.succeeded
    assert [m.text for m in history if isinstance(m, AssistantMessage)] == ["a", "b"]


@pytest.mark.law("execution.10")
async def test_a_call_that_was_run_is_part_of_no_step_that_is_tried_again(
    tmp_path: Path,
) -> None:
    ran: list[str] = []
    broke = ProviderError("provider.stream_broken", "scripted", "gone", retryable=True)
    provider = ScriptedProvider([call("act", id="c1"), broke], text("so"))
    async with host(
        tmp_path, provider, tool(ran), on_permission="allow", retry=AT_ONCE
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        events = [event async for event in session.events()]
    assert ran == ["c1"]
    ended = [event for event in events if event.kind == "step.ended"]
    assert "step.failed" not in [event.kind for event in events]
    assert [one.finish for one in ended] == ["error", "stop"]
    assert ended[0].broke_off.code == "provider.stream_broken"
    (seen,) = [m for m in provider.histories[1] if isinstance(m, AssistantMessage)]
    assert [(one.call_id, one.state) for one in seen.calls] == [("c1", "succeeded")]


@pytest.mark.law("execution.11")
async def test_a_call_that_the_provider_refused_goes_back_as_a_failed_one(
    tmp_path: Path,
) -> None:
    ran: list[str] = []
    refused = ToolCall("c1", "act", '{"a"', refused="not in the schema")
    provider = ScriptedProvider(calls(refused), text("so"))
    outcome, history, _ = await run(
        tmp_path, provider, tool(ran), model=provider.model, on_permission="allow"
    )
    assert outcome.succeeded
    assert ran == []
    (part,) = history[1].calls
    assert (part.state, part.failure.code) == ("failed", "tool.input_invalid")
    assert "the provider refused the call: not in the schema" in part.text


# --- histories that are refused ---------------------------------------------------


class Picky(ScriptedProvider):
    """Refuses any request with something in it, and answers the others."""

    def __init__(self, what: str, *first: Any) -> None:
        super().__init__(*first)
        self.what = what

    @asynccontextmanager
    async def stream(self, request: Any) -> AsyncIterator[Any]:
        held = repr(request.history.messages)
        if self.what in held:
            self.histories.append(tuple(request.history.messages))
            raise ProviderError(
                "provider.part_refused", self.name, "no such thing", status=400
            )
        if not self._answers:
            self.then(text("fine"))
        async with super().stream(request) as stream:
            yield stream


@pytest.mark.law("execution.11")
async def test_an_image_that_a_provider_refused_is_told_of_from_then_on(
    tmp_path: Path,
) -> None:
    provider = Picky("FileContent")

    async def show(input: Nothing, context: ToolContext) -> str:
        return "an image"

    def rendered(_: Any) -> list[Any]:
        return [TextContent("seen"), FileContent("image/png", PNG, "t.png")]

    provider.then(calls(call("act")))
    tool = Tool("act", "Act.", Nothing, show, render=rendered, effect="pure")
    async with host(tmp_path, provider, tool, retry=AT_ONCE) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        for _ in range(2):
            await session.prompt("look")
            with anyio.fail_after(HANG):
                assert (await session.wait()).succeeded
        sent = provider.histories[-1]
        message = next(m for m in sent if isinstance(m, AssistantMessage) and m.calls)
        assert [one.text for one in message.calls[0].content] == [
            "seen",
            "[t.png (image/png) is left out: the provider refused it]",
        ]
        # The transcript keeps what was there.
        shown = await session.messages(order="asc")
        kept = next(m for m in shown if isinstance(m, AssistantMessage) and m.calls)
        assert isinstance(kept.calls[0].content[1], FileContent)
        assert (await kinds_of(session)).count("step.failed") == 1


@pytest.mark.law("execution.11")
async def test_what_was_not_the_reason_is_put_back(tmp_path: Path) -> None:
    """An image is left out first; the signature was it."""
    provider = Picky("bad signature", [TextDelta("0", "hi"), finish()])
    signed = [
        TextDelta("0", "hm"),
        TextEnd("0", {"attached": {"s": "bad signature"}}),
        finish(),
    ]
    file = PromptFile("a.png", "image/png", PNG)
    async with host(tmp_path, provider, retry=AT_ONCE) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt(Prompt("look", files=(file,)))
        with anyio.fail_after(HANG):
            await session.wait()
        provider.then(signed)
        await session.prompt("again")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        await session.prompt("and again")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
    sent = provider.histories[-1]
    assert next(m for m in sent if isinstance(m, UserMessage)).files == (file,)
    said = [part for m in sent if isinstance(m, AssistantMessage) for part in m.parts]
    assert TextPart("hm") in said


@pytest.mark.law("execution.11")
async def test_a_refusal_that_nothing_helps_against_ends_and_loses_nothing(
    tmp_path: Path,
) -> None:
    provider = Picky("look")
    file = PromptFile("a.png", "image/png", PNG)
    async with host(tmp_path, provider, retry=AT_ONCE) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt(Prompt("look", files=(file,)))
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.reason is not None
        assert outcome.reason.code == "provider.part_refused"
        assert len(provider.histories) == 2
        provider.what = "nothing at all"
        await session.prompt("now")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
    sent = provider.histories[-1]
    assert next(m for m in sent if isinstance(m, UserMessage)).files == (file,)


@pytest.mark.law("execution.12")
async def test_an_error_in_a_group_is_that_error(tmp_path: Path) -> None:
    class Grouped(Odd):
        async def _play(self) -> AsyncIterator[Any]:
            down = ProviderError("provider.unavailable", "odd", "down")
            raise ExceptionGroup("tasks", [ExceptionGroup("more", [down])])
            yield

    outcome, _, _ = await run(tmp_path, Grouped(), model="odd/m")
    assert outcome.reason.code == "provider.unavailable"


async def test_a_whole_answer_stays_whole_when_its_stream_breaks_in_closing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Breaking(Odd):
        @asynccontextmanager
        async def stream(self, request: Any) -> AsyncIterator[Any]:
            yield self._play()
            raise ValueError

    provider = Breaking(TextDelta("0", "a"), Finish("stop"))
    outcome, history, _ = await run(tmp_path, provider, model="odd/m")
    assert outcome.succeeded
    assert history[-1].text == "a"
    assert "provider 'odd': its code broke: ValueError" in caplog.text


@pytest.mark.law("execution.11")
async def test_what_a_provider_will_not_answer_is_left_out_of_later_requests(
    tmp_path: Path,
) -> None:
    class Prudish(Picky):
        @asynccontextmanager
        async def stream(self, request: Any) -> AsyncIterator[Any]:
            try:
                async with super().stream(request) as stream:
                    yield stream
            except ProviderError:
                raise ProviderError(
                    "provider.content_refused", self.name, "no", status=400
                ) from None

    provider = Prudish("something bad")
    async with host(tmp_path, provider, retry=AT_ONCE) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        statuses = []
        for prompt in ("hello", "something bad", "hello again"):
            await session.prompt(prompt)
            with anyio.fail_after(HANG):
                statuses.append((await session.wait()).status)
        shown = await session.messages(order="asc")
    assert statuses == ["succeeded", "failed", "succeeded"]
    said = [m.text for m in provider.histories[-1] if isinstance(m, UserMessage)]
    assert said == [
        "hello",
        "[left out: the provider refused to answer this]",
        "hello again",
    ]
    assert "something bad" in [m.text for m in shown if isinstance(m, UserMessage)]
