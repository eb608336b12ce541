"""Scenarios that are killed at every fault point, with the kernel's own tools' ways.

Each prints how many fault points were found and how many were exercised.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from dovetail.builtin_tools import plugin as builtin_tools
from dovetail.builtin_tools.subagent import subagent_tool
from dovetail.kernel import (
    ChildSpent,
    CompactionEnded,
    ContextSource,
    ContextUpdated,
    ContinuationReported,
    EffectClass,
    EpochStarted,
    FactsRecorded,
    FilesRestored,
    JobEnded,
    JobStarted,
    ModelRequest,
    NoticeAdded,
    Observation,
    Place,
    PromptPromoted,
    ProviderError,
    Register,
    SessionReverted,
    SessionUnreverted,
    StepEnded,
    StepFailed,
    StepStarted,
    SummaryMessage,
    TextDelta,
    Tool,
    ToolCall,
    ToolCalled,
    ToolContext,
    UserMessage,
    hookimpl,
)
from dovetail.kernel.testing import (
    Attempts,
    CrashEnd,
    CrashRun,
    CrashScenario,
    CrashWorld,
    FaultPoint,
    call,
    calls,
    crash_storm,
    crash_test,
    finish,
    reasoning,
    text,
)
from dovetail.plugins.providers.anthropic import MessagesProtocol
from dovetail.plugins.providers.contents import GeminiProtocol
from dovetail.plugins.providers.converse import ConverseProtocol
from dovetail.plugins.providers.endpoints import Endpoint
from dovetail.plugins.providers.openai import ChatProtocol
from dovetail.plugins.providers.responses import ResponsesProtocol
from dovetail.storage.plugin import plugin as sqlite
from support.bounds import HANG
from support.compactions import is_for_summary, shipped
from support.corpora import find_corpus
from support.shapes import Shape, plain, refusal, shape_of


@frozen
class Input:
    word: str = ""
    ask: bool = False


class Acting:
    """A plugin with one tool of each effect class; each acts on the world."""

    name = "acting"

    def __init__(self, world: CrashWorld) -> None:
        self.world = world

    @hookimpl
    def dovetail_register_tools(
        self, register: Register[Tool[Any, Any]], place: Place
    ) -> None:
        for effect in ("pure", "idempotent", "unsafe"):
            register(self.tool(effect))
        register(self.reconcilable())

    def tool(self, effect: EffectClass) -> Tool[Input, str]:
        return Tool(effect, f"It is {effect}.", Input, self.act, effect=effect)

    def reconcilable(self) -> Tool[Input, str]:
        async def check(input: Input, context: ToolContext) -> str | None:
            return "it had happened" if self.world.knows(context) else None

        return Tool(
            "reconcilable",
            "It can be asked.",
            Input,
            self.act,
            effect="reconcilable",
            check=check,
        )

    async def act(self, input: Input, context: ToolContext) -> str:
        if input.ask:
            await context.ask("act", [input.word])
        self.world.act(context)
        return f"did {input.word}"


# --- what providers accept --------------------------------------------------------

ENDPOINT = Endpoint("test", "https://example.invalid", {})
"""Nothing is sent there: the encoders want to know whom they write to."""


def unacceptable(request: ModelRequest) -> Iterable[str]:
    """Say what is wrong with a request, as each protocol writes it."""
    chat = json.loads(ChatProtocol(ENDPOINT, "m").encode(request))["messages"]
    messages = json.loads(MessagesProtocol(ENDPOINT, "m").encode(request))["messages"]
    items = json.loads(ResponsesProtocol(ENDPOINT, "m").encode(request))["input"]
    converse = json.loads(ConverseProtocol(ENDPOINT, "m").encode(request))["messages"]
    contents = json.loads(GeminiProtocol(ENDPOINT, "m").encode(request))["contents"]
    for protocol, body in (
        ("openai-chat", chat),
        ("anthropic-messages", messages),
        ("openai-responses", items),
        ("gemini", contents),
        ("bedrock-converse", converse),
    ):
        shape = shape_of(protocol, body)
        if (why := refusal(shape)) is not None:
            yield f"{protocol}: {why}: {shape}"
        if plain(shape) in _recorded_refusals():
            yield f"{protocol}: a provider refused such a history: {shape}"
    for message in chat:
        if not (message.get("content") or message.get("tool_calls")):
            yield f"openai-chat: an empty message: {message}"
    if messages[-1]["role"] != "user":
        yield "anthropic-messages: it does not end with what has to be answered"
    roles = [message["role"] for message in messages]
    if ("assistant", "assistant") in pairwise(roles):
        yield "anthropic-messages: two answers in a row"
    for message in messages:
        if isinstance(message["content"], list):
            texts = [b["text"] for b in message["content"] if b["type"] == "text"]
            if not message["content"] or "" in texts:
                yield f"anthropic-messages: an empty block: {message}"


CASES = find_corpus("provider-recovery-rules")


@cache
def _recorded_refusals() -> frozenset[Shape]:
    cases = CASES.lines("cases.jsonl") if CASES else ()
    return frozenset(
        plain(shape_of(case["protocol"], case["messages"]))
        for case in cases
        if case["status"] == 400
    )


@pytest.mark.law("recovery.1")
def test_what_is_refused_here_is_what_providers_refused() -> None:
    if CASES is None:
        pytest.skip("the real-data set 'provider-recovery-rules' is not there")
    cases = list(CASES.lines("cases.jsonl"))
    assert {case["status"] for case in cases} == {200, 400}
    for case in cases:
        shape = shape_of(case["protocol"], case["messages"])
        assert (refusal(shape) is None) == (case["status"] == 200), (case["id"], shape)


# --- scenarios --------------------------------------------------------------------


def scenario(world: CrashWorld, *model: Any, **fields: Any) -> CrashScenario:
    return CrashScenario(
        # The store is handed over, so that nothing installed has to be looked for.
        [sqlite, Acting(world)],
        model=model,
        installed=(),
        check_request=unacceptable,
        **fields,
    )


def pure_call(world: CrashWorld) -> CrashScenario:
    return scenario(world, calls(call("pure")))


def idempotent_call(world: CrashWorld) -> CrashScenario:
    return scenario(world, calls(call("idempotent")))


def reconcilable_call(world: CrashWorld) -> CrashScenario:
    return scenario(world, calls(call("reconcilable")))


def unsafe_call(world: CrashWorld) -> CrashScenario:
    return scenario(world, calls(call("unsafe")))


def parallel_calls(world: CrashWorld) -> CrashScenario:
    every = [
        call(effect) for effect in ("pure", "idempotent", "unsafe", "reconcilable")
    ]
    return scenario(
        world,
        [TextDelta("0", "All at once."), *calls(*every)],
        text("All done."),
        backends=("asyncio", "trio"),
    )


def steer_and_queue(world: CrashWorld) -> CrashScenario:
    async def play(run: CrashRun) -> None:
        session = await run.session()

        async def meanwhile() -> None:
            await run.prompt(session, "Later.", delivery="queue")
            await run.prompt(session, "Mind this.")
            await run.prompt(session, "And that.")

        run.at("tool unsafe", meanwhile)
        await run.prompt(session, "Go.")
        await run.settle(session)
        await meanwhile()

    return scenario(
        world, calls(call("unsafe")), text("Minded."), text("Later."), play=play
    )


def permission_pending(world: CrashWorld) -> CrashScenario:
    asking = call("unsafe", {"word": "x", "ask": True}, id="1")
    again = call("idempotent", {"word": "y", "ask": True}, id="2")
    return scenario(world, calls(asking), calls(again), answer="once")


def streaming(world: CrashWorld) -> CrashScenario:
    return scenario(
        world,
        [
            reasoning("Let me see."),
            TextDelta("1", "One, "),
            TextDelta("1", "two, "),
            call("idempotent"),
            TextDelta("2", "three."),
            finish("tool_calls"),
        ],
        text("Four, ", "five."),
        backends=("asyncio", "trio"),
    )


def retried(world: CrashWorld) -> CrashScenario:
    overloaded = ProviderError(
        "provider.unavailable", "crash", "come again", retryable=True
    )
    cut = ProviderError("provider.stream_broken", "crash", "cut", retryable=True)
    return scenario(
        world,
        Attempts([[overloaded], [overloaded], calls(call("unsafe"))]),
        Attempts([[TextDelta("0", "Half a"), cut], text("nswer.")]),
    )


def long_session(world: CrashWorld) -> CrashScenario:
    steps = [calls(call("pure", id=f"call-{n}")) for n in range(3)]
    return scenario(world, *steps, text("Long."))


def as_recorded(world: CrashWorld) -> CrashScenario:
    """What the recorded histories are of: two lookups at once, cut off."""
    city = {"word": "Paris"}
    return scenario(
        world,
        [
            TextDelta("0", "I should use both lookup tools."),
            call("unsafe", city, id="call_weather"),
            call("pure", city, id="call_time"),
            finish("tool_calls"),
        ],
        text("It is sunny, at noon."),
        prompts=["Look up the weather and local time in Paris.", "Thanks."],
    )


def two_sessions(world: CrashWorld) -> CrashScenario:
    async def play(run: CrashRun) -> None:
        sessions = [await run.session(name) for name in ("one", "two")]
        for session in sessions:
            await run.prompt(session, f"Go, {session.id}.")
        for session in sessions:
            await run.settle(session)

    return CrashScenario(
        [sqlite, Acting(world)],
        installed=(),
        model={
            "one": [calls(call("unsafe", id="1"))],
            "two": [calls(call("idempotent", id="2")), text("Second.")],
        },
        play=play,
        check_request=unacceptable,
    )


def keyed_prompts(world: CrashWorld) -> CrashScenario:
    """A caller that never heard of a receipt says the same again, and again."""

    async def play(run: CrashRun) -> None:
        session = await run.session()
        for word in ("First.", "Second."):
            for _ in range(2):
                await run.prompt(session, word, key=f"key of {word}")
        await run.settle(session)
        await run.prompt(session, "First.", key="key of First.")

    return scenario(world, text("Heard."), text("Heard again."), play=play)


class Moving(Acting):
    """Whose tools, and whose name, are others in every process."""

    def __init__(self, world: CrashWorld) -> None:
        super().__init__(world)
        self.name = f"moving-{world.generation}"

    def tool(self, effect: EffectClass) -> Tool[Input, str]:
        tool = super().tool(effect)
        return evolve(tool, description=f"As of process {self.world.generation}.")

    @hookimpl
    def dovetail_register_context(self, register: Register[ContextSource]) -> None:
        async def observe() -> Observation:
            return Observation(f"It is process {self.world.generation}.")

        register(ContextSource("test/process", observe))


def everything_moves(world: CrashWorld) -> CrashScenario:
    def check(end: CrashEnd) -> Iterable[str]:
        for event in end.events["main"]:
            if isinstance(event, ContinuationReported) and event.seq > 2:
                codes = {one["code"] for one in event.report["moved"]}
                if codes and not codes >= {"tool.changed", "plugin.added"}:
                    yield f"the report of event {event.seq} names only {codes}"

    return CrashScenario(
        [sqlite, Moving(world)],
        installed=(),
        model=[calls(call("idempotent"), call("unsafe"))],
        resume=("always", "report", "clean"),
        check=check,
        check_request=unacceptable,
    )


class Telling(Acting):
    """Whose calls change what a Context Source says."""

    name = "telling"

    @hookimpl
    def dovetail_register_context(self, register: Register[ContextSource]) -> None:
        async def observe() -> Observation:
            return Observation(f"{self.world.acts.total()} effects.")

        register(ContextSource("test/effects", observe))


def told(world: CrashWorld) -> CrashScenario:
    """A world that each call changes, so that the model is told at each boundary."""

    def check(end: CrashEnd) -> Iterable[str]:
        known, events = "", end.events["main"]
        for event, after in pairwise(events):
            if isinstance(event, EpochStarted | ContextUpdated):
                digest = event.sources.get("test/effects")
                if digest in (None, known):
                    yield f"event {event.seq} tells what is known, or that it is gone"
                known = digest or ""
            if isinstance(event, ContextUpdated) and not isinstance(
                after, StepStarted | FactsRecorded | NoticeAdded
            ):
                yield f"event {event.seq} is told to no Step"
        texts = [one.text for one in events if isinstance(one, ContextUpdated)]
        if not texts or texts[-1] != f"{world.acts.total()} effects.":
            yield f"the last Step knows another world: {texts}"

    return CrashScenario(
        [sqlite, Telling(world)],
        installed=(),
        model=[calls(call("idempotent")), calls(call("reconcilable"))],
        check=check,
        check_request=unacceptable,
    )


def interrupted(world: CrashWorld) -> CrashScenario:
    async def play(run: CrashRun) -> None:
        session = await run.session()

        async def stop() -> None:
            await session.interrupt("enough")

        run.at("tool unsafe", stop)
        await run.prompt(session, "Go.")
        await run.settle(session)
        await run.prompt(session, "What now?")

    return scenario(world, calls(call("unsafe")), text("Nothing."), play=play)


def compacted(world: CrashWorld) -> CrashScenario:
    """A provider that refuses a long history, and a person who asks for a summary."""

    def answer(request: ModelRequest) -> Any:
        messages = request.history.messages
        if is_for_summary(request):
            return text("It went well.")
        asked = isinstance(messages[-1], UserMessage)
        if len(messages) > 5 and not isinstance(messages[0], SummaryMessage):
            long = ProviderError("provider.context_overflow", "crash", "too long")
            return [long]
        return calls(call("unsafe", {"word": "x" * 600})) if asked else text("Done.")

    async def play(run: CrashRun) -> None:
        session = await run.session()
        for word in ("One.", "Two.", "Three."):
            await run.prompt(session, word)
            await run.settle(session)
        await session.compact()
        await run.prompt(session, "Four.")
        await run.settle(session)

    def check(end: CrashEnd) -> Iterable[str]:
        ended = [one for one in end.events["main"] if isinstance(one, CompactionEnded)]
        if not ended:
            yield "no history was replaced"
        elif "> [" not in ended[-1].text or "One." not in ended[-1].text:
            yield f"what was said first is lost: {ended[-1].text}"

    return CrashScenario(
        [sqlite, Acting(world), shipped],
        installed=(),
        model=[answer] * 50,
        play=play,
        check=check,
        check_request=unacceptable,
    )


def forked_and_reverted(world: CrashWorld) -> CrashScenario:
    """A past that goes two ways, and a person who goes back and forth in one."""

    async def play(run: CrashRun) -> None:
        session = await run.session()
        (run.location / "f").touch()
        for word in ("One.", "Two."):
            await run.prompt(session, word)
            await run.settle(session)
        first = next(one for one in await session.history() if one.text == "1 done.")
        fork = await session.fork(first.id, id="fork")
        await run.prompt(fork, "Aside.")
        await run.settle(fork)
        await session.revert(first.id)
        await session.unrevert()

    def check(end: CrashEnd) -> Iterable[str]:
        held = (end.location / "f").read_text()
        if held != "2":
            yield f"the file holds {held!r}"
        for name, own, other in (
            ("main", "Two.", "Aside."),
            ("fork", "Aside.", "Two."),
        ):
            texts = [one.text for one in end.histories[name]]
            if texts[0] != "One." or "1 done." not in texts:
                yield f"{name} has lost what is shared: {texts}"
            if own not in texts or other in texts:
                yield f"{name} went the other way: {texts}"
        receipts = [one for one in end.events["main"] if isinstance(one, FilesRestored)]
        if len(receipts) < 2 or any(one.left for one in receipts):
            yield f"what became of the files is not as it should be: {receipts}"

    def answer(request: ModelRequest) -> Any:
        messages = request.history.messages
        number = sum(isinstance(one, UserMessage) for one in messages)
        if any(one.text == "Aside." for one in messages):
            return text("Aside done.")
        if isinstance(messages[-1], UserMessage):
            given = {"path": "f", "content": str(number)}
            return calls(call("write", given, id=f"w{number}"))
        return text(f"{number} done.")

    return CrashScenario(
        [sqlite, builtin_tools],
        installed=(),
        model={"main": [answer] * 50, "fork": [answer] * 50},
        play=play,
        check=check,
        check_request=unacceptable,
    )


def reverted(world: CrashWorld) -> CrashScenario:
    """A person goes back, and whatever happens meanwhile, says something then."""
    return _travelling(world, back=False)


def unreverted(world: CrashWorld) -> CrashScenario:
    """Likewise, after all was brought back."""
    return _travelling(world, back=True)


def _travelling(world: CrashWorld, *, back: bool) -> CrashScenario:
    """Whoever is killed does it no second time: the prompt alone has it finished."""
    place = world.path.parent / "place"
    new = {"f": "2", "g": "2", "sub/h": "2"}
    expected = new if back else {"f": "1", "g": None, "sub/h": None}

    async def play(run: CrashRun) -> None:
        assert run.location == place
        session = await run.session()
        (run.location / "f").touch()
        for word in ("One.", "Two."):
            await run.prompt(session, word)
            await run.settle(session)
        events = [one async for one in session.events()]
        if not any(isinstance(one, SessionReverted) for one in events):
            history = await session.history()
            await session.revert(next(o.id for o in history if o.text == "1 done."))
        if back and not any(isinstance(one, SessionUnreverted) for one in events):
            await session.unrevert()
        await run.prompt(session, "Three.")
        await run.settle(session)

    def holds(location: Path) -> dict[str, str | None]:
        files = {name: location / name for name in new}
        return {
            name: one.read_text() if one.exists() else None
            for name, one in files.items()
        }

    def sound(request: ModelRequest) -> Iterable[str]:
        yield from unacceptable(request)
        if _said_last(request) == "Three." and holds(place) != expected:
            yield f"the model went on in a tree that holds {holds(place)}"

    def check(end: CrashEnd) -> Iterable[str]:
        if holds(end.location) != expected:
            yield f"the files hold {holds(end.location)}"
        texts = [one.text for one in end.histories["main"]]
        if ("Two." in texts) != back or texts[-1] != "Three. done.":
            yield f"the history is not as it should be: {texts}"
        receipts = [one for one in end.events["main"] if isinstance(one, FilesRestored)]
        if len(receipts) != 1 + back or any(one.left for one in receipts):
            yield f"what became of the files is not as it should be: {receipts}"

    def answer(request: ModelRequest) -> Any:
        said = _said_last(request)
        if isinstance(request.history.messages[-1], UserMessage) and said != "Three.":
            given = {"f": "1"} if said == "One." else new
            return calls(
                *(
                    call(
                        "write", {"path": path, "content": content}, id=f"{said}{path}"
                    )
                    for path, content in given.items()
                )
            )
        return text("1 done." if said == "One." else f"{said} done.")

    return CrashScenario(
        [sqlite, builtin_tools],
        installed=(),
        model=[answer] * 50,
        play=play,
        check=check,
        check_request=sound,
    )


def _said_last(request: ModelRequest) -> str:
    messages = reversed(request.history.messages)
    return next(one.text for one in messages if isinstance(one, UserMessage))


def agent_at_work(world: CrashWorld) -> CrashScenario:
    """An agent gives work to another one, and waits for it."""
    return _agents(world, call("subagent", PART, id="waits"))


def agents_at_work(world: CrashWorld) -> CrashScenario:
    """An agent gives work to two others, one of them in the background."""
    return _agents(
        world,
        call("subagent", PART, id="waits"),
        call("subagent", {**PART, "background": True}, id="goes on"),
    )


PART = {"agent": "build", "prompt": "Do your part."}


def _agents(world: CrashWorld, *given: ToolCall) -> CrashScenario:
    def first(request: ModelRequest) -> Any:
        if _asked_first(request) != "Go.":
            return calls(call("unsafe", id="act"))
        return calls(*given)

    async def play(run: CrashRun) -> None:
        session = await run.session()
        await run.prompt(session, "Go.")
        await run.settle(session)
        for job in await session.jobs():
            await session.wait_for_job(job.id)
        await run.settle(session)

    return CrashScenario(
        [sqlite, Acting(world), Subagents()],
        model=[first, text("It is done.")],
        play=play,
        installed=(),
        check=_of_agents,
        check_request=unacceptable,
    )


class Subagents:
    name = "subagents"

    @hookimpl
    def dovetail_register_tools(
        self, register: Register[Tool[Any, Any]], place: Place
    ) -> None:
        register(subagent_tool())


def _asked_first(request: ModelRequest) -> str:
    messages = request.history.messages
    return next(one.text for one in messages if isinstance(one, UserMessage))


def _of_agents(end: CrashEnd) -> Iterable[str]:
    """Law agents.7 to agents.11: each is begun once, counted once and told of once."""
    parent = end.events["main"]
    calls_of = [one for one in parent if isinstance(one, ToolCalled)]
    if len(end.events) != 1 + len(calls_of):
        yield f"{len(calls_of)} calls made {len(end.events)} sessions"
    spent = Counter(one.child for one in parent if isinstance(one, ChildSpent))
    for name, events in end.events.items():
        settled = sum(isinstance(one, StepEnded | StepFailed) for one in events)
        if name != "main" and spent[name] != settled:
            yield f"{name} settled {settled} Steps, of which {spent[name]} count"
        prompts = sum(isinstance(one, PromptPromoted) for one in events)
        if name != "main" and not prompts:
            yield f"{name} never saw what it was asked"
    jobs = Counter(map(type, parent))
    if jobs[JobStarted] != jobs[JobEnded]:
        yield f"{jobs[JobStarted]} jobs began, and {jobs[JobEnded]} ended"
    if jobs[JobStarted] > 1:
        yield f"{jobs[JobStarted]} jobs were begun for one call"


# Each differs from ``unsafe_call``, which dies everywhere, at some of its points and
# in what these leave. Where it is as in another scenario, nothing is learnt from dying
# there once more; nor is it where nothing was written since the point before.

Points = Callable[[FaultPoint], bool]


def _everywhere(point: FaultPoint) -> bool:
    return True


def named(*beginnings: str) -> Points:
    return lambda point: point.name.startswith(beginnings)


_of_the_call = named("stream ToolCall", "commit tool.", "tool ", "check ", "effect ")


def _of_the_answer(point: FaultPoint) -> bool:
    """Once the model is asked."""
    beginning = (
        *("prompt", "commit session.created", "commit prompt.admitted", "request"),
        "commit execution.started + prompt.promoted + context.epoch_started",
    )
    return point.number > 1 or not point.name.startswith(beginning)


def _of_an_update(point: FaultPoint) -> bool:
    return "context.updated" in point.name or point.name.startswith("request")


def _of_the_second(point: FaultPoint) -> bool:
    """Where the other session is at work as well, and where each of them calls."""
    return point.number > 1 or point.name.startswith(("tool ", "commit tool."))


def _of_what_comes_in(point: FaultPoint) -> bool:
    """Once something is said to a session at work, until all of it was heard."""
    again = point.name.startswith("prompt") and point.number > 4
    calling = _of_the_call(point) and "effect" not in point.name
    return _of_the_answer(point) and not calling and not again


def _of_the_question(point: FaultPoint) -> bool:
    asked = ("ask", "commit request.", "permission", "tool ", "effect", "commit tool.")
    return point.name.startswith(asked)


def _of_the_failure(point: FaultPoint) -> bool:
    return _of_the_answer(point) and not _of_the_call(point)


def _of_later_steps(point: FaultPoint) -> bool:
    """In the third and last Step that calls, and in what is told afterwards."""
    return point.number > 2 or "notice" in point.name


def _of_a_key(point: FaultPoint) -> bool:
    return "prompt" in point.name


def _of_the_summary(point: FaultPoint) -> bool:
    asking = point.name == "request" and point.number > 4
    return "compaction" in point.name or asking


def _of_a_way_back(point: FaultPoint) -> bool:
    """Where a session is forked, goes back, or records what became of its files."""
    events = ("session.reverted", "session.unreverted", "files.restored")
    forking = "session.created" in point.name and point.number > 1
    return forking or any(one in point.name for one in events)


def _of_an_agent(point: FaultPoint) -> bool:
    """Where something happens that only sessions do that work for one another."""
    return (
        "child." in point.name
        or "prompt.admitted + tool.proceeded" in point.name
        or point.name.startswith(("tool subagent", "commit execution."))
    )


def _of_going_back(point: FaultPoint) -> bool:
    """Where files are restored, until the model may go on."""
    events = ("session.reverted", "session.unreverted", "files.restored", "restore ")
    return any(one in point.name for one in events)


def _of_coming_back(point: FaultPoint) -> bool:
    """Likewise, once that is undone."""
    if point.name.startswith("restore "):
        return point.number > 3
    first = point.name == "commit files.restored" and point.number == 1
    return _of_going_back(point) and "session.reverted" not in point.name and not first


CRASHED: list[tuple[Callable[[CrashWorld], CrashScenario], Points, int]] = [
    (unsafe_call, _everywhere, 2),
    (everything_moves, _everywhere, 2),
    # Before, nobody knows of the call; afterwards, nobody looks at its class.
    (pure_call, _of_the_call, 2),
    (idempotent_call, _of_the_call, 2),
    (reconcilable_call, _of_the_call, 2),
    (parallel_calls, _of_the_call, 2),
    (permission_pending, _of_the_question, 2),
    (compacted, _of_the_summary, 2),
    (forked_and_reverted, _of_a_way_back, 2),
    (reverted, _of_going_back, 2),
    (agent_at_work, _of_an_agent, 2),
    # How what they leave is taken over is not their own: once is enough.
    (as_recorded, _of_the_call, 1),
    (streaming, _of_the_answer, 1),
    (interrupted, _of_the_answer, 1),
    (retried, _of_the_failure, 1),
    (long_session, _of_later_steps, 1),
    (two_sessions, _of_the_second, 1),
    (keyed_prompts, _of_a_key, 1),
    (steer_and_queue, _of_what_comes_in, 1),
    (told, _of_an_update, 1),
    (unreverted, _of_coming_back, 1),
]
"""What is crashed, at which of its points, and how often in one run."""
RACES = (agent_at_work,)
"""Where two sessions are taken over at a time, in no order, so that a recovery comes to
a point once and not again. What one of them writes is part of the recovery or not, as
the other has asked its model by then or not; that is where a recovery ends. And whoever
accepts what was left of both may meet a report that is another one by now, because the
other session went on, and is told once more. Of six recoveries from one death, between
one and five came to such a point."""
EVERYWHERE = "DOVETAIL_CRASH_EVERYWHERE" in os.environ


@pytest.mark.law("recovery.1")
@pytest.mark.law("recovery.2")
@pytest.mark.law("recovery.3")
@pytest.mark.law("recovery.4")
@pytest.mark.law("tools.1")
@pytest.mark.law("tools.2")
@pytest.mark.law("compaction.7")
@pytest.mark.law("travel.3")
@pytest.mark.law("travel.4")
@pytest.mark.parametrize(
    ("crashed", "where", "depth"), CRASHED, ids=[one.__name__ for one, *_ in CRASHED]
)
def test_a_crash_at_any_instant_breaks_no_law(
    crashed: Callable[[CrashWorld], CrashScenario],
    where: Points,
    depth: int,
    record_property: Callable[[str, object], None],
) -> None:
    """``DOVETAIL_CRASH_EVERYWHERE=1`` lets each scenario die at all of its points, and
    its recovery too."""
    only = None if EVERYWHERE or where is _everywhere else where
    depth = 2 if EVERYWHERE else depth
    distinct = not EVERYWHERE and crashed is not unsafe_call
    report = crash_test(crashed, only=only, depth=depth, distinct=distinct, limit=HANG)
    record_property("told", str(report))
    assert not report.failures, report
    missed = set(report.found) - set(report.exercised)
    if crashed in RACES:
        missed = {kills for kills in missed if len(kills) == 1}
    assert not missed, report
    assert len(report.exercised) > (3 if only else 20), report


# --- at random instants -----------------------------------------------------------


def busy(world: CrashWorld) -> CrashScenario:
    """Several sessions that call everything at once, and people who talk into it."""
    every = ("pure", "idempotent", "unsafe", "reconcilable")

    async def play(run: CrashRun) -> None:
        sessions = [await run.session(f"s{n}") for n in range(4)]
        for word in ("One.", "Two.", "Three."):
            for session in sessions:
                await run.prompt(session, word, delivery="queue")
                await run.prompt(session, f"And {word}")
        for session in sessions:
            await run.settle(session)

    return CrashScenario(
        [sqlite, Acting(world)],
        installed=(),
        model={
            f"s{n}": [
                [
                    TextDelta("0", "Now. "),
                    *calls(*(call(one, id=one) for one in every)),
                ],
                text("So far."),
                calls(call("unsafe", id="again")),
            ]
            for n in range(4)
        },
        play=play,
        backends=("asyncio", "trio"),
        check_request=unacceptable,
    )


@pytest.mark.law("agents.7")
@pytest.mark.law("agents.11")
def test_a_crash_at_a_random_instant_leaves_agents_that_go_on_together(
    record_property: Callable[[str, object], None],
) -> None:
    """``DOVETAIL_CRASH_KILLS=1000 DOVETAIL_CRASH_SEED=7`` makes it longer."""
    kills = int(os.environ.get("DOVETAIL_CRASH_KILLS", "6"))
    seed = int(os.environ.get("DOVETAIL_CRASH_SEED", "0"))
    report = crash_storm(
        agents_at_work, kills=kills, seed=seed, seconds=HANG + 3 * kills, limit=HANG
    )
    record_property("told", str(report))
    assert report.sound, report


@pytest.mark.law("recovery.1")
@pytest.mark.law("recovery.2")
def test_a_crash_at_a_random_instant_breaks_no_law(
    record_property: Callable[[str, object], None],
) -> None:
    """``DOVETAIL_CRASH_KILLS=1000 DOVETAIL_CRASH_SEED=7`` makes it longer."""
    kills = int(os.environ.get("DOVETAIL_CRASH_KILLS", "20"))
    seed = int(os.environ.get("DOVETAIL_CRASH_SEED", "0"))
    report = crash_storm(
        busy, kills=kills, seed=seed, seconds=HANG + 3 * kills, limit=HANG
    )
    record_property("told", str(report))
    assert report.sound, report
    assert report.kills >= min(kills, 10)
