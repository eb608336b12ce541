"""Values for answers: wanted with a prompt, held to a schema, and given."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, field, frozen
from dovetail.kernel import (
    AgentProfile,
    Finish,
    FinishReason,
    InputNotFoundError,
    InvalidValueError,
    MessageId,
    ModelInfo,
    ModelRequest,
    NamedTool,
    Outcome,
    Output,
    OutputAccepted,
    OutputInvalidError,
    OutputRefused,
    PromptConflictError,
    Provider,
    Session,
    TextDelta,
    Tool,
    ToolContext,
    ToolDefinitionError,
    ValueNotGivenError,
    hookimpl,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from support.hosts import host

LIST: dict[str, Any] = {"type": "array", "items": {"type": "integer"}}


@frozen
class Invoice:
    """An invoice, as it was read."""

    number: str
    total: float = field(metadata={"minimum": 0})
    currency: str | None = None


GOOD = {"number": "A-1", "total": 3.5}


@frozen
class Nothing:
    pass


def lookup(ran: list[str]) -> Tool[Any, Any]:
    async def execute(input: Nothing, context: ToolContext) -> str:
        ran.append(context.call_id)
        return "the number is A-1"

    return Tool("lookup", "Look it up.", Nothing, execute)


class Native(ScriptedProvider):
    """Plays a model whose provider has schemas for answers."""

    mode: Any = "native"

    def output_mode(self, request: ModelRequest) -> Any:
        assert request.output is not None
        return self.mode


def code_of(outcome: Outcome) -> str | None:
    return None if outcome.reason is None else outcome.reason.code


async def kinds(session: Session) -> list[str]:
    return [event.kind async for event in session.events()]


@pytest.mark.law("output.1")
async def test_a_value_is_given_to_whoever_waits_in_whatever_process(
    tmp_path: Path,
) -> None:
    model = Native(text('{"number": "A-1", "total": 3.5, "currency": null}'))
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create("s", tmp_path, model=model.model)
        receipt = await session.prompt("Read it", output=Invoice)
        outcome = await session.wait()
        assert outcome.succeeded
        assert outcome.value == Invoice("A-1", 3.5)
        assert outcome.data == {**GOOD, "currency": None}
        assert outcome.input_id == receipt.id
        assert (await kinds(session))[-3:] == [
            "step.ended",
            "output.accepted",
            "execution.ended",
        ]
        [given] = [
            event
            async for event in session.events()
            if isinstance(event, OutputAccepted)
        ]
        assert given.value == outcome.data
        asked = model.requests[0].output
        assert asked is not None
        assert (asked.name, asked.description) == (
            "Invoice",
            "An invoice, as it was read.",
        )
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.get("s")
        again = await session.wait()
        assert again.value == again.data == outcome.data
        assert again.value_as(Invoice) == Invoice("A-1", 3.5)
        assert await session.value(receipt.id) == outcome.data


@pytest.mark.law("output.1")
async def test_who_repeats_the_prompt_after_a_restart_is_given_an_instance(
    tmp_path: Path,
) -> None:
    model = Native(text('{"number": "A-1", "total": 3.5}'))
    for _ in range(2):
        async with host(tmp_path, model) as runtime:
            session = await runtime.sessions.create("s", tmp_path, model=model.model)
            await session.prompt("Read it", key="k", output=Invoice)
            assert (await session.wait()).value == Invoice("A-1", 3.5)
            with pytest.raises(PromptConflictError):
                await session.prompt("Read it", key="k", output=LIST)
    assert len(model.requests) == 1


@pytest.mark.law("output.4")
async def test_a_tool_is_called_first_and_then_the_value_is_given(
    tmp_path: Path,
) -> None:
    ran: list[str] = []
    model = ScriptedProvider(
        calls(call("lookup", id="c1")), calls(call("final_answer", GOOD))
    )
    async with host(tmp_path, model, lookup(ran)) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("Read it", output=Invoice)
        assert (await session.wait()).value == Invoice("A-1", 3.5)
    assert ran == ["c1"]
    names = [tool.name for tool in model.requests[0].tools]
    assert {"final_answer", "lookup"} <= set(names)
    assert names == sorted(names)
    assert [one.tool_choice for one in model.requests] == ["required", "required"]


@pytest.mark.law("output.4")
async def test_a_value_beside_other_calls_ends_the_work_when_they_are_settled(
    tmp_path: Path,
) -> None:
    ran: list[str] = []
    model = ScriptedProvider(calls(call("final_answer", GOOD), call("lookup")))
    async with host(tmp_path, model, lookup(ran)) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("Read it", output=Invoice)
        outcome = await session.wait()
        [message] = [one for one in await session.messages() if one.type == "assistant"]
        assert [part.state for part in message.calls] == ["succeeded", "succeeded"]
    assert outcome.value == Invoice("A-1", 3.5)
    assert ran == ["call_lookup"]


@pytest.mark.law("output.3")
@pytest.mark.parametrize("mode", ["native", "prompt", "tool"])
async def test_a_wrong_answer_is_told_to_the_model_once(
    tmp_path: Path, mode: str
) -> None:
    wrong, right = {"number": "A-1"}, GOOD
    model = Native()
    model.mode = mode
    if mode == "tool":
        model.then(*(calls(call("final_answer", one)) for one in (wrong, right)))
    else:
        model.then(
            text('{"number": "A-1"}'),
            text('```json\n{"number": "A-1", "total": 3.5}\n```'),
        )
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("Read it", output=Invoice)
        assert (await session.wait()).value == Invoice("A-1", 3.5)
        refused = [
            event
            async for event in session.events()
            if isinstance(event, OutputRefused)
        ]
    assert [(one.problem, one.final) for one in refused] == [
        ("$.total: required and missing", False)
    ]
    last = model.histories[1][-1]
    words = last.calls[0].text if last.type == "assistant" else last.text
    assert "$.total: required and missing" in words
    if mode == "prompt":
        assert '"required":["number","total"]' in model.requests[0].system[-1]


@pytest.mark.law("output.3")
@pytest.mark.parametrize("by", ["text", "call"])
async def test_a_second_wrong_answer_is_the_end_and_its_text_is_kept(
    tmp_path: Path, by: str
) -> None:
    wrong = text("It is 3.5.") if by == "text" else calls(call("final_answer", {}))
    model = ScriptedProvider(wrong, wrong)
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create("s", tmp_path, model=model.model)
        receipt = await session.prompt("Read it", output=Invoice)
        outcome = await session.wait()
        assert outcome.status == "failed"
        assert code_of(outcome) == "output.invalid"
        with pytest.raises(OutputInvalidError):
            outcome.value_as(Invoice)
        with pytest.raises(OutputInvalidError):
            await session.value(receipt.id)
        [message] = await session.messages(limit=1)
        assert message.type == "assistant"
        assert message.text == "It is 3.5." or message.calls[0].arguments == "{}"
        # What follows is nobody's answer to it.
        model.then(text("Hello."))
        await session.prompt("Say hello", delivery="queue")
        assert (await session.wait()).input_id is None
    assert model.requests[-1].output is None
    assert not model.unused


@pytest.mark.law("output.3")
async def test_how_often_it_is_asked_again_is_counted_across_a_restart(
    tmp_path: Path,
) -> None:
    model = ScriptedProvider(text("no"), RuntimeErrorAnswer, text("no"))
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create("s", tmp_path, model=model.model)
        await session.prompt("Read it", output=Invoice)
        assert (await session.wait()).status == "failed"
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.get("s")
        outcome = await session.resume()
    assert code_of(outcome) == "output.invalid"


def RuntimeErrorAnswer(request: ModelRequest) -> list[Any]:  # an answer
    raise RuntimeError("the provider's code broke")


async def test_an_answer_that_was_cut_off_is_none(tmp_path: Path) -> None:
    cut = [TextDelta("0", '{"number": "A-1", "to'), Finish("length")]
    model = Native(cut, text('{"number": "A-1", "total": 1}'))
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("Read it", output=Invoice)
        assert (await session.wait()).value == Invoice("A-1", 1.0)
    assert "cut off" in model.histories[1][-1].text


@pytest.mark.law("output.3")
@pytest.mark.parametrize("reason", ["length", "unknown"])
async def test_what_reads_as_a_value_is_none_while_its_end_may_be_missing(
    tmp_path: Path, reason: FinishReason
) -> None:
    def cut() -> list[Any]:
        return [TextDelta("0", "12"), Finish(reason)]

    model = Native(cut(), text("12345"), cut(), cut())
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("A number", output={"type": "integer"})
        assert (await session.wait()).data == 12345
        await session.prompt("Another", output={"type": "integer"})
        outcome = await session.wait()
    assert (code_of(outcome), outcome.data) == ("output.invalid", None)
    assert not model.unused


async def test_a_value_that_is_no_object_is_asked_for_in_one(tmp_path: Path) -> None:
    model = Native(text('{"value": [1, 2]}'), text("[3]"))
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("List them", output=LIST)
        assert (await session.wait()).value == [1, 2]
        await session.prompt("Again", output=LIST)
        assert (await session.wait()).value == [3]
    asked = model.requests[0].output
    assert asked is not None
    assert asked.asked["required"] == ["value"]


async def test_what_only_a_class_knows_is_told_to_the_model_too(
    tmp_path: Path,
) -> None:
    def even(_: Any, __: Any, value: int) -> None:
        if value % 2:
            raise ValueError("it must be even")

    @frozen
    class Even:
        number: int = field(validator=even)

    model = Native(text('{"number": 1}'), text('{"number": 2}'))
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("A number", output=Even)
        assert (await session.wait()).value == Even(2)
    assert "it must be even" in model.histories[1][-1].text


async def test_the_last_step_of_an_allowance_may_give_the_value(
    tmp_path: Path,
) -> None:
    class Agents:
        @hookimpl
        def dovetail_register_agents(self, register: Any, place: Any) -> None:
            register(AgentProfile("brief", steps=1))

    model = ScriptedProvider(calls(call("final_answer", GOOD)))
    async with host(tmp_path, model, plugins=[Agents()]) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=model.model, agent="brief"
        )
        await session.prompt("Read it", output=Invoice)
        assert (await session.wait()).value == Invoice("A-1", 3.5)
    assert model.requests[0].tool_choice == NamedTool("final_answer")


async def test_each_prompt_has_its_own_value(tmp_path: Path) -> None:
    model = Native(text('{"value": [1]}'), text('{"value": [2]}'), text("plain"))
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        one = await session.prompt("1", output=LIST, delivery="queue", resume=False)
        other = await session.prompt("2", output=LIST, delivery="queue", resume=False)
        last = await session.prompt("3", delivery="queue", resume=False)
        with pytest.raises(ValueNotGivenError):
            await session.value(one.id)
        outcome = await session.resume()
        assert (outcome.status, outcome.input_id) == ("succeeded", None)
        assert await session.value(one.id) == [1]
        assert await session.value(other.id) == [2]
        with pytest.raises(InputNotFoundError):
            await session.value(last.id)
        with pytest.raises(InputNotFoundError):
            await session.value(MessageId("msg_unknown"))


@pytest.mark.law("output.2")
async def test_what_cannot_be_wanted_is_refused_before_anything_is_recorded(
    tmp_path: Path,
) -> None:
    @frozen
    class Odd:
        held: set[str]

    model = ScriptedProvider()
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        good = Output(LIST)
        for wrong in (
            7,
            {"type": "text"},
            {"contains": {}},
            evolve(good, name="with spaces"),
            evolve(good, mode="guess"),  # type: ignore[arg-type] # refused
            evolve(good, repairs=99),
            Output({"type": "array", "items": {"$ref": "#/$defs/A/items"}}),
            Output({"description": "x" * 70_000}),
        ):
            with pytest.raises(InvalidValueError):
                await session.prompt("Hi", output=wrong)  # type: ignore[arg-type] # refused
        with pytest.raises(ToolDefinitionError):
            await session.prompt("Hi", output=Odd)
        assert await session.pending() == []


async def test_a_later_answer_without_tools_still_knows_of_the_earlier_call(
    tmp_path: Path,
) -> None:
    """Some providers refuse a history with calls of a tool that is not offered."""

    class Agents:
        @hookimpl
        def dovetail_register_agents(self, register: Any, place: Any) -> None:
            register(AgentProfile("bare", tools=()))

    model = ScriptedProvider(calls(call("final_answer", GOOD)), text("It was A-1."))
    async with host(tmp_path, model, plugins=[Agents()]) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=model.model, agent="bare"
        )
        await session.prompt("Read it", output=Invoice)
        assert (await session.wait()).succeeded
        await session.prompt("Which?")
        assert (await session.wait()).succeeded
    assert [one.name for one in model.requests[1].tools] == ["final_answer"]
    assert model.requests[1].tool_choice == "none"


async def test_a_model_without_tools_is_asked_in_words(tmp_path: Path) -> None:
    class Bare(ScriptedProvider):
        @hookimpl
        def dovetail_register_providers(self, register: Any, place: Any) -> None:
            info = ModelInfo(self.model, abilities=("image",))
            register(Provider(self.name, lambda _: self, (info,), silence=None))

    model = Bare(text('{"number": "A-1", "total": 1}'))
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("Read it", output=Invoice)
        assert (await session.wait()).value == Invoice("A-1", 1.0)
    [request] = model.requests
    assert "fits this JSON Schema" in request.system[-1]
    assert request.tool_choice == "auto"
