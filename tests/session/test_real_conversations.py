"""Recorded conversations of an agent, played again: each request is their prefix.

The model says what it said, the tools return what they returned, the person says what
the person said; and at every request the history that is sent must be the recorded
conversation up to there, also when every Step runs in a runtime of its own.
"""

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import field, frozen, make_class
from dovetail.kernel import (
    AgentProfile,
    Budget,
    ModelRequest,
    Register,
    Session,
    TextDelta,
    Tool,
    ToolCall,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing import ScriptedProvider, finish
from dovetail.plugins.providers.endpoints import Endpoint
from dovetail.plugins.providers.openai import ChatProtocol
from support.bounds import HANG
from support.corpora import find_corpus
from support.hosts import host

SET = "tau-bench-trajectories"
COUNT = 20


@frozen
class Conversation:
    """One recorded conversation."""

    system: str
    messages: Sequence[Mapping[str, Any]]

    @property
    def prompts(self) -> Iterator[str]:
        for message in self.messages:
            if message["role"] == "user":
                yield message["content"]

    @property
    def answers(self) -> Iterator[list[Any]]:
        for message in self.messages:
            if message["role"] == "assistant":
                yield list(_beats(message))
        if self.messages[-1]["role"] != "assistant":
            yield [TextDelta("0", "(the record ends here)"), finish()]

    def prefix(self, requests: int) -> list[Any]:
        """Return what the model had been told when it was asked for the n-th time."""
        asked = [n for n, one in enumerate(self.messages) if one["role"] == "assistant"]
        upto = asked[requests] if requests < len(asked) else len(self.messages)
        return [_told(message) for message in self.messages[:upto]]


def _beats(message: Mapping[str, Any]) -> Iterator[Any]:
    if message["content"]:
        yield TextDelta("0", message["content"])
    made = message.get("tool_calls") or ()
    for one in made:
        yield ToolCall(one["id"], one["function"]["name"], one["function"]["arguments"])
    yield finish("tool_calls" if made else "stop")


def _told(message: Mapping[str, Any]) -> Any:
    """Return what counts of a message in the words of Chat."""
    # Providers refuse empty results, so a model is told that a tool said nothing.
    nothing = "(no output)" if message["role"] == "tool" else ""
    return (
        message["role"],
        message["content"] or nothing,
        message.get("tool_call_id"),
        [
            (one["id"], one["function"]["name"], one["function"]["arguments"])
            for one in message.get("tool_calls") or ()
        ],
    )


@cache
def conversations() -> Sequence[Conversation]:
    corpus = find_corpus(SET)
    if corpus is None:
        pytest.skip(f"the real-data set {SET!r} is not beside this checkout")
    found = []
    system = ""
    for line in corpus.lines("gpt-4o-airline-20.jsonl"):
        first, *rest = line["traj"]
        # It is spelled out in the first line and referred to afterwards.
        system = system or first["content"]
        found.append(Conversation(system, rest))
    assert len(found) == COUNT
    return found


class Recorded:
    """A plugin that plays one conversation: its tools, and an agent with its system."""

    name = "recorded"

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._results: dict[str, deque[str]] = defaultdict(deque)
        fields: dict[str, set[str]] = defaultdict(set)
        for message in conversation.messages:
            if message["role"] == "tool":
                self._results[message["tool_call_id"]].append(message["content"])
            for one in message.get("tool_calls") or ():
                function = one["function"]
                fields[function["name"]] |= set(json.loads(function["arguments"]))
        self.tools = [self._tool(name, names) for name, names in fields.items()]

    def _tool(self, name: str, names: set[str]) -> Tool[Any, Any]:
        async def execute(input: Any, context: ToolContext) -> str:
            return self._results[context.call_id].popleft()

        taken = {one: field(default=None, type=Any) for one in sorted(names)}
        return Tool(
            name, f"It is {name}.", make_class(name, taken, frozen=True), execute
        )

    @hookimpl
    def dovetail_register_tools(self, register: Register[Tool[Any, Any]]) -> None:
        for tool in self.tools:
            register(tool)

    @hookimpl
    def dovetail_register_agents(self, register: Register[AgentProfile]) -> None:
        system = self._conversation.system
        register(AgentProfile("airline", instructions=system))


class Sent:
    """What was sent, as Chat writes it."""

    def __init__(self) -> None:
        self._chat = ChatProtocol(Endpoint("scripted", "https://example.invalid"), "m")

    def messages(self, request: ModelRequest) -> Any:
        return json.loads(self._chat.encode(request))["messages"]


LOOPS = ("asyncio", "trio")
CIRCLING = "You have made the same calls several times with the same results"
PLAYED = [
    # To what is sent it is the same which loop runs: each conversation once on each,
    # the one way or the other.
    pytest.param(
        number,
        reopened,
        LOOPS[(number + reopened) % 2],
        id=f"{'step by step' if reopened else 'at once'}-{number}",
    )
    for reopened in (False, True)
    for number in range(COUNT)
]


@pytest.mark.law("tools.2")
@pytest.mark.parametrize(("number", "reopened", "anyio_backend"), PLAYED)
async def test_each_request_is_the_recorded_prefix(
    number: int, reopened: bool, tmp_path: Path
) -> None:
    conversation = conversations()[number]
    provider = ScriptedProvider(*conversation.answers)
    recorded = Recorded(conversation)
    play = _play_in_pieces if reopened else _play
    with anyio.fail_after(HANG):
        await play(tmp_path, conversation, provider, recorded)
    assert provider.unused == 0
    sent = Sent()
    for made, request in enumerate(provider.requests):
        system, *messages = sent.messages(request)
        assert system["content"].strip() == conversation.system.strip()
        # One of the recorded models asked the same three times, and is told so here.
        told = [_told(one) for one in messages if CIRCLING not in str(one["content"])]
        assert told == conversation.prefix(made)
    assert not any(recorded._results.values())


async def _play(
    folder: Path,
    conversation: Conversation,
    provider: ScriptedProvider,
    recorded: Recorded,
) -> None:
    async with host(folder, provider, plugins=[recorded]) as runtime:
        session = await runtime.sessions.create(
            location=folder, model=provider.model, agent="airline"
        )
        for prompt in conversation.prompts:
            await session.prompt(prompt)
            assert (await session.wait()).succeeded


async def _play_in_pieces(
    folder: Path,
    conversation: Conversation,
    provider: ScriptedProvider,
    recorded: Recorded,
) -> None:
    """Close the database after every Step and go on with it in another runtime."""
    steps = 0
    for number, prompt in enumerate(conversation.prompts):
        done = False
        said = False
        while not done:
            steps += 1
            async with host(folder, provider, plugins=[recorded]) as runtime:
                session = await runtime.sessions.create(
                    id="it", location=folder, model=provider.model, agent="airline"
                )
                await session.set_budget(Budget(steps=steps))
                if said:
                    assert (await session.continuation()).clean
                    await session.resume()
                else:
                    await session.prompt(prompt, key=f"prompt {number}")
                    said = True
                done = await _is_answered(session)
                assert len(provider.requests) == steps


async def _is_answered(session: Session) -> bool:
    outcome = await session.wait()
    if outcome.succeeded:
        return True
    assert outcome.reason is not None
    assert (outcome.status, outcome.reason.code) == ("paused", "budget.steps")
    return False
