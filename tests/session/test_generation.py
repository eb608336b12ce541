"""How answers are generated: by the agent, the session and the prompt."""

from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from dovetail.kernel import (
    AgentProfile,
    Generation,
    InvalidValueError,
    NamedTool,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from support.hosts import host


@frozen
class Nothing:
    pass


async def done(input: Nothing, context: ToolContext) -> str:
    return "done"


ACT: Tool[Any, Any] = Tool("act", "Act.", Nothing, done)


class Agents:
    @hookimpl
    def dovetail_register_agents(self, register: Any, place: Any) -> None:
        generation = Generation(
            temperature=0.1, seed=1, top_k=1, provider={"p": {"a": 1, "b": 1}}
        )
        register(AgentProfile("mine", generation=generation))


@pytest.mark.law("output.5")
async def test_a_prompt_counts_before_its_session_and_that_before_the_agent(
    tmp_path: Path,
) -> None:
    model = ScriptedProvider(text("1"), text("2"), text("3"), text("4"))
    async with host(tmp_path, model, plugins=[Agents()]) as runtime:
        session = await runtime.sessions.create(
            "s",
            tmp_path,
            model=model.model,
            agent="mine",
            generation=Generation(seed=2, top_k=2, provider={"p": {"b": 2}}),
        )
        await session.prompt("1", generation=Generation(top_k=3, max_output=9))
        await session.wait()
        await session.prompt("2")
        await session.wait()
        await session.set_generation(None)
        fork = await session.fork()
        await session.prompt("3")
        await session.wait()
    async with host(tmp_path, model, plugins=[Agents()]) as runtime:
        session = await runtime.sessions.get(fork.id)
        await session.set_generation(Generation(temperature=0.9))
        await session.prompt("4")
        await session.wait()
    told = [
        (one.generation.temperature, one.generation.seed, one.generation.top_k)
        for one in model.requests
    ]
    assert told == [(0.1, 2, 3), (0.1, 2, 2), (0.1, 1, 1), (0.9, 1, 1)]
    assert [one.max_output for one in model.requests] == [9, None, None, None]
    assert model.requests[0].generation.provider == {"p": {"a": 1, "b": 2}}


async def test_what_a_prompt_says_holds_for_all_the_work_that_it_begins(
    tmp_path: Path,
) -> None:
    model = ScriptedProvider(calls(call("act")), text("done"), text("hello"))
    async with host(tmp_path, model, ACT) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("Act", generation=Generation(temperature=0))
        await session.wait()
        await session.prompt("Hello")
        await session.wait()
    told = [one.generation.temperature for one in model.requests]
    assert told == [0, 0, None]


@pytest.mark.parametrize("choice", ["required", NamedTool("act")])
async def test_a_call_is_demanded_until_there_was_one(
    tmp_path: Path, choice: Any
) -> None:
    """Who must always call a tool can never answer."""
    model = ScriptedProvider(calls(call("act")), text("done"))
    async with host(tmp_path, model, ACT) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("Act", generation=Generation(tool_choice=choice))
        assert (await session.wait()).succeeded
    assert [one.tool_choice for one in model.requests] == [choice, "auto"]


async def test_a_tool_that_is_not_offered_cannot_be_demanded(tmp_path: Path) -> None:
    model = ScriptedProvider()
    async with host(tmp_path, model, ACT) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        wanted = Generation(tool_choice=NamedTool("gone"))
        await session.prompt("Act", generation=wanted)
        outcome = await session.wait()
    assert outcome.reason is not None
    assert outcome.reason.code == "provider.invalid_request"
    assert "'gone' must be called and is not offered" in outcome.reason.message


@pytest.mark.law("output.5")
@pytest.mark.parametrize(
    "wrong",
    [
        {"tool_choice": "maybe"},
        {"tool_choice": NamedTool("with space")},
        {"stop": "END"},
        {"stop": [""]},
        {"stop": ["\ud800"]},
        {"temperature": 3},
        {"temperature": True},
        {"temperature": float("nan")},
        {"top_p": -0.1},
        {"top_k": 0},
        {"top_k": 1.5},
        {"max_output": 0},
        {"seed": 2**70},
        {"presence_penalty": 3},
        {"service_tier": "no such thing"},
        {"reasoning": "very"},
        {"parallel_calls": "no"},
        {"provider": {"p": 1}},
        {"provider": {"p": {"a": object()}}},
        {"provider": {"p": {"a": "x" * 20_000}}},
        *(
            {"provider": {"openai": {name: "x"}}}
            for name in (
                *("api_key", "Authorization", "extra_headers", "x-api-key"),
                *("base_url", "access_token", "password"),
            )
        ),
    ],
)
async def test_an_option_that_cannot_be_is_refused_wherever_it_is_said(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    generation = Generation(**wrong)
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create("s", tmp_path)
        with pytest.raises(InvalidValueError, match="generation option"):
            await session.prompt("Hi", generation=generation)
        with pytest.raises(InvalidValueError, match="generation option"):
            await session.set_generation(generation)
        with pytest.raises(InvalidValueError, match="generation option"):
            await runtime.sessions.create("t", tmp_path, generation=generation)
        with pytest.raises(InvalidValueError):
            await session.prompt("Hi", generation=3)  # type: ignore[arg-type] # refused
        assert await session.pending() == []


async def test_a_file_says_how_an_agent_answers(tmp_path: Path) -> None:
    (tmp_path / ".dovetail" / "agents").mkdir(parents=True)
    (tmp_path / ".dovetail" / "agents" / "brief.md").write_text(
        "---\nname: brief\ndescription: Brief.\n"
        "generation: {temperature: 0, max_output: 50, stop: [END]}\n---\nBe brief.\n"
    )
    own = tmp_path / "own.toml"
    own.write_text(
        f'trusted = ["{tmp_path}"]\n[agents.brief.generation]\nseed = 7\n'
        'tool_choice = "none"\n'
    )
    model = ScriptedProvider(text("Hi"))
    environment = {"DOVETAIL_CONFIG": str(own)}
    async with host(tmp_path, model, ACT, environment=environment) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=model.model, agent="brief"
        )
        await session.prompt("Hi")
        assert (await session.wait()).succeeded
    [request] = model.requests
    assert request.generation == Generation(temperature=0.0, stop=("END",), seed=7)
    assert (request.max_output, request.tool_choice) == (50, "none")


async def test_what_was_ignored_is_recorded_with_the_request(tmp_path: Path) -> None:
    from contextlib import asynccontextmanager

    from dovetail.kernel import RequestBody

    class Plain(ScriptedProvider):
        tells_body = True

        @asynccontextmanager
        async def stream(self, request: Any) -> Any:
            request.sends(RequestBody("plain", b"{", (), b"}", ignored=("seed",)))
            async with super().stream(request) as events:
                yield events

    model = Plain(text("Hi"))
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await session.prompt("Hi", generation=Generation(seed=1, temperature=1))
        await session.wait()
        [sent] = await session.requests()
    assert sent.ignored == ("seed",)
    assert sent.sent is not None
    assert sent.sent.description is not None
    assert sent.sent.description.generation == Generation(seed=1, temperature=1.0)
