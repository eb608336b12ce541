"""Another model goes on where one does not answer, until the next input."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    Budget,
    InvalidValueError,
    ModelFellBack,
    Price,
    ProviderError,
    ProviderFault,
    RetryPolicy,
    Session,
    StepEnded,
    StepStarted,
    TextDelta,
    Tool,
    ToolContext,
    Usage,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.testing import (
    Gate,
    ManualClock,
    ScriptedProvider,
    call,
    calls,
    text,
)
from dovetail.kernel.testing.memory_store import MemoryState
from dovetail.plugins.providers.anthropic import plugin as anthropic
from dovetail.plugins.providers.openai import plugin as openai
from dovetail.storage.plugin import plugin as sqlite
from support.bounds import HANG
from support.commands import calling
from support.crashes import copied, on
from support.hosts import Tools, host, kinds_of
from support.replay import JSON, Answer, serve, sse


@frozen
class Echo:
    text: str


async def _echo(input: Echo, context: ToolContext) -> str:
    return f"echo {input.text}"


ECHO = Tool("echo", "Echo a text.", Echo, _echo, effect="pure")
ONE, TWO, THREE = "one/model", "two/model", "three/model"
SECRET = "sk-do-not-show-me-1234"


def down(fault: ProviderFault = "provider.unavailable", **more: Any) -> list[Exception]:
    return [ProviderError(fault, "one", "it is down", **more)]


class World:
    """Three models, and a user's file that says which go on for which."""

    def __init__(self, folder: Path, words: str = "") -> None:
        self.folder = folder
        self.one = ScriptedProvider(name="one", price=Price(1.0, 1.0))
        self.two = ScriptedProvider(name="two", price=Price(10.0, 10.0))
        self.three = ScriptedProvider(name="three")
        self.file = folder / "mine.toml"
        self.file.write_text(words)

    def open(self, **options: Any) -> Any:
        options.setdefault("environment", {"DOVETAIL_CONFIG": str(self.file)})
        return host(
            self.folder, self.one, ECHO, plugins=[self.two, self.three], **options
        )


CHAIN = f'[fallback]\nmodels = ["{TWO}", "{THREE}"]\n'


async def asked(session: Session, words: str = "go") -> str:
    await session.prompt(words)
    with anyio.fail_after(HANG):
        return (await session.wait()).status


async def moves(session: Session) -> Sequence[tuple[str, str, str]]:
    return [
        (event.model, event.next, event.failure.code)
        async for event in session.events()
        if isinstance(event, ModelFellBack)
    ]


@pytest.mark.law("models.7")
@pytest.mark.parametrize(
    "fault",
    [
        "provider.unavailable",
        "provider.unreachable",
        "provider.rate_limited",
        "provider.quota",
        "provider.authentication",
        "provider.unknown_model",
        "provider.stream_broken",
        "provider.failed",
    ],
)
async def test_the_next_model_goes_on_and_the_first_is_asked_at_the_next_prompt(
    tmp_path: Path, fault: ProviderFault
) -> None:
    world = World(tmp_path, CHAIN)
    world.one.then(down(fault), text("back again"))
    world.two.then(text("for it"))
    async with world.open() as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=ONE)
        assert await asked(session) == "succeeded"
        assert await moves(session) == [(ONE, TWO, fault)]
        assert await asked(session, "more") == "succeeded"
        models = [
            event.model
            async for event in session.events()
            if isinstance(event, StepStarted)
        ]
        assert models == [ONE, TWO, ONE]
        kinds = await kinds_of(session)
        # One commit: whoever dies has done both or neither.
        at = kinds.index("model.fell_back")
        assert kinds[at + 1] == "step.failed"
    # Whoever goes on is shown what the first was shown, and no word about it.
    said = [one for one in world.two.histories[0] if one.type != "assistant"]
    assert said == [one for one in world.one.histories[0] if one.type != "assistant"]


@pytest.mark.law("models.7")
@pytest.mark.parametrize(
    "fault",
    [
        "provider.invalid_request",
        "provider.content_refused",
        "provider.context_overflow",
        "provider.answer_limit",
    ],
)
@pytest.mark.parametrize("stated", [False, True])
async def test_what_was_asked_is_to_blame_for_some_errors_unless_that_is_said(
    tmp_path: Path, fault: ProviderFault, stated: bool
) -> None:
    also = f'also_on = ["{fault}"]\n' if stated else ""
    world = World(tmp_path, CHAIN + also)
    world.one.then(down(fault))
    if stated:
        world.two.then(text("for it"))
    async with world.open() as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=ONE)
        assert await asked(session) == ("succeeded" if stated else "failed")
        assert len(await moves(session)) == (1 if stated else 0)


@pytest.mark.law("models.7")
async def test_each_is_tried_once_and_the_last_error_is_the_outcome(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, CHAIN)
    world.one.then(down(), text("again"))
    world.two.then(down("provider.quota"))
    world.three.then(down("provider.unreachable"))
    async with world.open() as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=ONE)
        assert await asked(session) == "failed"
        outcome = (await session.info()).outcome
        assert outcome.reason is not None
        assert outcome.reason.code == "provider.unreachable"
        assert [one[:2] for one in await moves(session)] == [(ONE, TWO), (TWO, THREE)]
        # What begins anew begins with the first.
        with anyio.fail_after(HANG):
            assert (await session.resume()).succeeded


@pytest.mark.law("models.7")
async def test_nothing_moves_once_something_of_an_answer_is_durable(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, CHAIN)
    cut = ProviderError("provider.stream_broken", "one", "cut")
    world.one.then([TextDelta("0", "some words"), cut])
    async with world.open() as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=ONE)
        assert await asked(session) == "failed"
        assert await moves(session) == []


async def test_a_model_is_waited_for_as_long_as_is_said(tmp_path: Path) -> None:
    world = World(tmp_path, f"{CHAIN}wait = 10\n")
    world.one.then(
        down("provider.rate_limited", retryable=True, retry_after=6.0),
        down("provider.rate_limited", retryable=True, retry_after=6.0),
    )
    world.two.then(text("for it"))
    clock = ManualClock()
    retry = RetryPolicy(jitter=0)
    async with world.open(clock=clock, retry=retry) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=ONE)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            async with clock.jumping(longest=100):
                assert (await session.wait()).succeeded
        kinds = await kinds_of(session)
        assert kinds.count("retry.scheduled") == 1
        assert len(await moves(session)) == 1


@pytest.mark.law("models.7")
async def test_a_model_that_cannot_be_asked_at_all_is_passed_over(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, CHAIN)
    world.two.then(text("for it"), text("once more"))
    async with world.open() as runtime:
        session = await runtime.sessions.create(location=tmp_path, model="nobody/model")
        assert await asked(session) == "succeeded"
        assert await asked(session) == "succeeded"
        assert await moves(session) == [("nobody/model", TWO, "model.unknown")] * 2


async def test_what_another_model_costs_is_its_own_price_and_counts(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, CHAIN)
    world.one.then(down())
    usage = Usage(input=1_000_000, output=0)
    world.two.then(calls(call("echo", {"text": "x"}), usage=usage))
    async with world.open() as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=ONE)
        await session.prompt("go", budget=Budget(cost=5.0))
        with anyio.fail_after(HANG):
            assert (await session.wait()).status == "paused"
        costs = [
            event.cost
            async for event in session.events()
            if isinstance(event, StepEnded)
        ]
        assert costs == [10.0]
        assert (await session.info()).cost == 10.0


@pytest.mark.law("models.7")
async def test_a_session_says_for_itself_which_models_go_on(tmp_path: Path) -> None:
    world = World(tmp_path, CHAIN)
    world.one.then(down(), down(), down())
    world.three.then(text("its own"))
    world.two.then(text("the configured one"))
    async with world.open() as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=ONE, fallback=[THREE]
        )
        assert await asked(session) == "succeeded"
        await session.set_fallback([])
        assert await asked(session) == "failed"
        await session.set_fallback(None)
        assert await asked(session) == "succeeded"
        assert [one[1] for one in await moves(session)] == [THREE, TWO]
        for odd in (["x"], "a/b", [""], [None], ["a/b"] * 17):
            with pytest.raises(InvalidValueError):
                await session.set_fallback(odd)  # type: ignore[arg-type]


async def test_a_fork_has_the_chain_of_the_past_that_it_shares(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.one.then(text("first"), down(), down())
    world.three.then(text("of its own"))
    world.two.then(text("as it was said later"))
    async with world.open() as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=ONE, fallback=[THREE]
        )
        assert await asked(session) == "succeeded"
        fork = await session.fork()
        assert await asked(fork) == "succeeded"
        assert [one[1] for one in await moves(fork)] == [THREE]
        await session.set_fallback([TWO])
        other = await session.fork()
        assert await asked(other) == "succeeded"
        assert [one[1] for one in await moves(other)] == [TWO]


@pytest.mark.law("models.7")
async def test_whoever_takes_over_goes_on_with_the_model_that_went_on(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, CHAIN)
    gate = Gate()
    world.one.then(down())
    world.two.then([gate, *text("too late")])
    state = MemoryState()
    environment = {"DOVETAIL_CONFIG": str(world.file)}
    plugins = [world.one, world.two, world.three]
    async with on(state, ECHO, plugins=plugins, environment=environment) as runtime:
        session = await runtime.sessions.create("it", location=tmp_path, model=ONE)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
        left = copied(state)
        gate.open()
    one, two = ScriptedProvider(name="one"), ScriptedProvider(text("done"), name="two")
    async with on(
        left,
        ECHO,
        lives=1,
        plugins=[one, two, world.three],
        environment=environment,
    ) as runtime:
        session = await runtime.sessions.get("it")
        report = await session.continuation()
        assert report.moved == ()
        with anyio.fail_after(HANG):
            assert (await session.resume(accept=report.digest)).succeeded
    assert one.requests == []
    assert len(two.requests) == 1


@pytest.mark.law("models.7")
async def test_whoever_dies_right_after_the_move_has_moved(tmp_path: Path) -> None:
    world = World(tmp_path, CHAIN)
    world.one.then(down())
    state = MemoryState()
    left: list[MemoryState] = []

    class Watcher:
        @hookimpl
        def dovetail_observe_event(self, event: Any) -> None:
            if event.kind == "step.failed" and not left:
                left.append(copied(state))

    environment = {"DOVETAIL_CONFIG": str(world.file)}
    gate = Gate()
    world.two.then([gate, *text("too late")])
    watcher = Watcher()
    plugins = [world.one, world.two, world.three, watcher]
    async with on(state, ECHO, plugins=plugins, environment=environment) as runtime:
        session = await runtime.sessions.create("it", location=tmp_path, model=ONE)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
        gate.open()
    one, two = ScriptedProvider(name="one"), ScriptedProvider(text("done"), name="two")
    async with on(
        left[0],
        ECHO,
        lives=1,
        plugins=[one, two, world.three, watcher],
        environment=environment,
    ) as runtime:
        session = await runtime.sessions.get("it")
        report = await session.continuation()
        assert report.moved == ()
        with anyio.fail_after(HANG):
            assert (await session.resume(accept=report.digest)).succeeded
    assert one.requests == []


async def test_an_unusable_chain_is_refused_with_its_place(tmp_path: Path) -> None:
    for words in (
        'models = ["x"]',
        "models = [1]",
        'also_on = ["provider.quota"]',
        "wait = 0",
        "other = 1",
    ):
        world = World(tmp_path, f"[fallback]\n{words}\n")
        async with world.open() as runtime:
            session = await runtime.sessions.create(location=tmp_path, model=ONE)
            assert await asked(session) == "failed"
            reason = (await session.info()).outcome.reason
            assert reason is not None
            assert reason.code == "config.invalid"


# --- between protocols ------------------------------------------------------------


@pytest.mark.law("models.7")
async def test_what_one_protocol_attached_is_not_told_to_another(
    tmp_path: Path,
) -> None:
    """A model thinks and calls, then its provider is out of credit; another one, of
    another protocol, goes on from the result of the call."""
    calls_once = calling(("echo", {"text": "hi"}), said="I will call.")
    refused = Answer(
        json.dumps(
            {"error": {"code": "insufficient_quota", "message": SECRET}}
        ).encode(),
        429,
        JSON,
    )
    said = sse(
        {
            "type": "message_start",
            "message": {"id": "m", "usage": {"input_tokens": 3, "output_tokens": 0}},
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "for it"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
    )
    async with serve(calls_once, refused) as first, serve(Answer(said)) as second:
        file = tmp_path / "mine.toml"
        file.write_text(
            f'[providers.first]\nbase_url = "{first.url}/v1"\napi_key = "{SECRET}"\n'
            f'[providers.second]\nbase_url = "{second.url}"\n'
            'protocol = "anthropic-messages"\n'
            '[fallback]\nmodels = ["second/m"]\n'
        )
        async with open_runtime(
            f"sqlite:///{tmp_path / 'a.db'}",
            plugins=[sqlite, openai, anthropic, Tools(ECHO)],
            load_entry_points=False,
            environment={"DOVETAIL_CONFIG": str(file)},
            retry=RetryPolicy(retries=0),
        ) as runtime:
            session = await runtime.sessions.create(location=tmp_path, model="first/m")
            assert await asked(session) == "succeeded"
            [moved] = await moves(session)
            assert moved == ("first/m", "second/m", "provider.quota")
            recorded = [repr(event) async for event in session.events()]
            assert SECRET not in "\n".join(recorded)
            *_, last = await session.history()
            assert isinstance(last, AssistantMessage)
            assert (last.text, last.model) == ("for it", "second/m")
        (asked_second,) = second.requests
        roles = [one["role"] for one in asked_second.json()["messages"]]
        assert roles == ["user", "assistant", "user"]
        result = asked_second.json()["messages"][2]["content"][0]
        assert result["type"] == "tool_result"
