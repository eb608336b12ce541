"""What was sent is recorded, can be written again, and goes on from what was."""

import hashlib
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve, frozen
from dovetail.kernel import (
    AgentProfile,
    EpochStarted,
    ModelRequest,
    ProviderError,
    Register,
    RetryPolicy,
    SentRequest,
    SentRequestLostError,
    SentRequestNotFoundError,
    Session,
    StepEnded,
    Tool,
    ToolCalled,
    ToolContext,
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
from hypothesis import HealthCheck, given, settings, strategies as st
from support.bounds import HANG
from support.compactions import shipped
from support.hosts import host, kinds_of
from support.wire import Wire

PROTOCOLS = (
    "openai-chat",
    "anthropic-messages",
    "openai-responses",
    "google-generate",
    "ollama-chat",
    "bedrock-converse",
)


@frozen
class Echo:
    text: str


async def _echo(input: Echo, context: ToolContext) -> str:
    return f"echo {input.text}"


ECHO = Tool("echo", "Echo a text.", Echo, _echo, effect="pure")


class Agents:
    """Three agents, the instructions of which may be others the next time."""

    name = "agents"

    def __init__(self, said: str = "") -> None:
        self._said = said

    @hookimpl
    def dovetail_register_agents(self, register: Register[AgentProfile]) -> None:
        for name, steps in (("build", 50), ("terse", 50), ("hasty", 2)):
            said = f"You are {name}.{self._said}"
            register(AgentProfile(name, instructions=said, steps=steps))


class Tuning:
    """Adds an option to each request."""

    name = "tuning"

    def __init__(self, **options: Any) -> None:
        self._options = options

    @hookimpl
    def dovetail_prepare_request(self, request: ModelRequest) -> ModelRequest:
        return evolve(request, options=self._options, max_output=77)


async def say(session: Session, words: str = "Go on") -> None:
    await session.prompt(words)
    with anyio.fail_after(HANG):
        await session.wait()


async def records(session: Session) -> list[SentRequest]:
    """Return what the events of a session carry, in order."""
    found = [getattr(one, "request", None) async for one in session.events()]
    return [one for one in found if one is not None]


async def proven(session: Session, bodies: list[bytes]) -> None:
    """Check that exactly these bytes are recorded and written again."""
    listed = await session.requests()
    assert [one.number for one in listed] == list(range(1, len(bodies) + 1))
    for one, body in zip(listed, bodies, strict=True):
        made = await session.request(one.number)
        assert made.proven, made.problem
        assert made.body == body
        assert one.sent is not None
        assert one.sent.digest == made.digest == hashlib.sha256(body).hexdigest()
        assert one.sent.bytes == len(body)
        start = body[: one.sent.prefix]
        assert one.sent.prefix_digest == hashlib.sha256(start).hexdigest()


@pytest.mark.law("travel.1")
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_was_sent_is_written_again_after_everything_else_changed(
    tmp_path: Path, protocol: str
) -> None:
    answers = calls(call("echo", {"text": "a"})), text("Done."), text("More.")
    before = Wire(protocol, *answers, options={"seed": 5})
    plugins = [Agents(), Tuning(user="u")]
    async with host(tmp_path, before, ECHO, plugins=plugins) as runtime:
        session = await runtime.sessions.create(
            "s", location=tmp_path, model=before.model
        )
        await say(session, "Echo a")
        await say(session)
        await proven(session, before.bodies)

    # Another time: other tools, other options, no hook; then other instructions too.
    bodies = list(before.bodies)
    for said in ("", " Be kind."):
        after = Wire(protocol, text("New."), options={"seed": 6})
        async with host(tmp_path, after, plugins=[Agents(said)]) as runtime:
            session = await runtime.sessions.get("s")
            await say(session)
            bodies += after.bodies
            await proven(session, bodies)
            parted = [one.parted for one in await records(session)]
    # Other instructions begin another epoch.
    assert parted == [None] * 3 + ["settings, tools, max_output, options", None]


@pytest.mark.law("travel.1")
async def test_a_route_of_plain_code_has_its_request_recorded(tmp_path: Path) -> None:
    provider = ScriptedProvider(calls(call("echo", {"text": "a"})), text("Done."))
    async with host(tmp_path, provider, ECHO) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await say(session)
        first, second = await session.requests()
        assert (first.protocol, first.attempt) == ("canonical", 1)
        made = await session.request(second.message_id)
        assert made.proven
        assert made.recorded == second
        assert b'"echo a"' in made.body


@pytest.mark.law("travel.1")
async def test_the_record_travels_in_events_that_are_written_anyway(
    tmp_path: Path,
) -> None:
    down = ProviderError("provider.unavailable", "scripted", "down", retryable=True)
    answers = [down], calls(call("echo", {"text": "a"})), text("Done.")
    provider = Wire(PROTOCOLS[0], *answers)
    retry = RetryPolicy(retries=1, first=0.0)
    async with host(tmp_path, provider, ECHO, retry=retry) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await say(session)
        carried = [
            one.kind
            async for one in session.events()
            if getattr(one, "request", None) is not None
        ]
        assert carried == ["retry.scheduled", "tool.called", "step.ended"]
        assert "request.sent" not in await kinds_of(session)
        assert [one.attempt for one in await session.requests()] == [1, 2, 1]
        await proven(session, provider.bodies)
        # What it was made of is said once, and the second time by its name alone.
        told = [one.description for one in await records(session)]
        assert [one is not None for one in told] == [True, False, False]


@pytest.mark.law("travel.1")
async def test_a_step_that_is_interrupted_says_what_it_had_sent(tmp_path: Path) -> None:
    gate = Gate()
    provider = Wire(PROTOCOLS[0], [gate, finish()])
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("Go on")
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.interrupt()
            await session.wait()
        await proven(session, provider.bodies)


@pytest.mark.law("travel.1")
async def test_what_cannot_be_proven_is_said_with_its_reason(tmp_path: Path) -> None:
    provider = Wire(PROTOCOLS[0], text("Secret."), text("Done."))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            "s", location=tmp_path, model=provider.model
        )
        await say(session, "A secret")
        await say(session)
        with pytest.raises(SentRequestNotFoundError):
            await session.request(3)
        await runtime.sessions.prune("s", ("transcript",))
        with pytest.raises(SentRequestLostError, match="pruning"):
            await session.request(1)

    plain = ScriptedProvider()
    async with host(tmp_path, plain) as runtime:
        other = await runtime.sessions.create("t", location=tmp_path, model=plain.model)
        plain.then([ProviderError("provider.key_missing", "scripted", "no key")])
        await say(other)
        (one,) = await other.requests()
        assert one.sent is not None


@pytest.mark.law("travel.1")
async def test_a_protocol_that_nobody_speaks_any_more_is_named(tmp_path: Path) -> None:
    provider = Wire(PROTOCOLS[1], text("Done."))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            "s", location=tmp_path, model=provider.model
        )
        await say(session)
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.get("s")
        with pytest.raises(SentRequestLostError, match="anthropic-messages"):
            await session.request(1)


class Replacing:
    """Puts other messages in the place of the transcript's."""

    name = "replacing"

    @hookimpl
    def dovetail_prepare_request(self, request: ModelRequest) -> ModelRequest:
        history: Any = request.history

        class Shorter:
            messages = history.messages[-1:]

            def encoded(self, dialect: str, encode: Any, join: Any = None) -> Any:
                return [encode(one) for one in self.messages]

        return evolve(request, history=Shorter())


@pytest.mark.law("travel.1")
async def test_other_messages_than_the_transcript_s_are_said_to_be_others(
    tmp_path: Path,
) -> None:
    provider = Wire(PROTOCOLS[0], text("One."), text("Two."))
    async with host(tmp_path, provider, plugins=[Replacing()]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await say(session)
        await say(session)
        made = await session.request(2)
        assert not made.proven
        assert made.problem is not None
        assert "a plugin had put other messages" in made.problem


@pytest.mark.law("access.6")
async def test_no_key_is_in_what_is_recorded_of_a_request(tmp_path: Path) -> None:
    key = "sk-0123456789abcdefghij"
    provider = Wire(PROTOCOLS[0], text("Done."), options={"user": key})

    class Keyed:
        name = "keyed"

        @hookimpl
        def dovetail_register_providers(self, register: Register[Any]) -> None:
            from dovetail.kernel import Provider, Redactor

            register(
                Provider("keyed", route=lambda _: provider, redact=Redactor([key]))
            )

    async with host(tmp_path, provider, plugins=[Keyed()]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await say(session)
        assert key.encode() in provider.bodies[0]
        made = await session.request(1)
        assert not made.proven
        assert key.encode() not in made.body
    assert key.encode() not in (tmp_path / "test.db").read_bytes()


@pytest.mark.law("travel.2")
@pytest.mark.law("context.1")
async def test_a_request_goes_on_from_the_last_one_of_an_earlier_process(
    tmp_path: Path,
) -> None:
    bodies: list[bytes] = []
    for _ in range(3):
        provider = Wire(PROTOCOLS[1], text("Done."), text("More."))
        async with host(tmp_path, provider) as runtime:
            session = await runtime.sessions.create(
                "s", location=tmp_path, model=provider.model
            )
            await say(session)
            await say(session)
            bodies += provider.bodies
            told = await records(session)
    assert [one.parted for one in told] == [None] * 6
    for one, before, body in zip(told, bodies, bodies[1:], strict=False):
        assert body[: one.prefix] == before[: one.prefix]


@pytest.mark.law("travel.2")
async def test_what_changed_between_two_requests_is_named(tmp_path: Path) -> None:
    answers = calls(call("echo", {"text": "a"})), text("Done."), text("Done.")
    provider = Wire(PROTOCOLS[0], *answers)
    async with host(tmp_path, provider, ECHO, plugins=[Agents()]) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=provider.model, agent="hasty"
        )
        await say(session)
        await say(session)
        told = await records(session)
        # The last Step of an allowance may call nothing.
        assert [one.parted for one in told] == [None, "tool_choice", "tool_choice"]
        # What is known by its name is not told again.
        described = [one.description is not None for one in told]
        assert described == [True, True, False]


@pytest.mark.law("travel.2")
async def test_a_turn_that_goes_on_is_told_from_one_that_changed(
    tmp_path: Path,
) -> None:
    broken = ProviderError("provider.failed", "scripted", "broke")
    provider = Wire(PROTOCOLS[0], [broken], text("Done."))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await say(session, "A long prompt, so that its end is not all there is: " * 4)
        await say(session, "And more")
        first, second = await records(session)
        assert (first.parted, second.parted) == (None, "message 2 goes on")


ACTS = st.lists(
    st.sampled_from(
        ("say", "call", "two calls", "agent", "fail", "retry", "break off", "restart")
    ),
    min_size=1,
    max_size=10,
)


@pytest.mark.law("travel.1")
@pytest.mark.law("travel.2")
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(acts=ACTS, protocol=st.sampled_from(PROTOCOLS))
def test_every_request_of_a_random_session_can_be_proven(
    tmp_path_factory: pytest.TempPathFactory, acts: list[str], protocol: str
) -> None:
    anyio.run(_random_session, tmp_path_factory.mktemp("s"), acts, protocol)


async def _random_session(folder: Path, acts: list[str], protocol: str) -> None:
    bodies: list[bytes] = []
    agents = ("build", "terse", "hasty")
    left = list(acts)
    while left:
        provider = Wire(protocol)
        retry = RetryPolicy(retries=1, first=0.0)
        plugins = [Agents(f" {len(left)}")]
        async with host(
            folder, provider, ECHO, plugins=plugins, retry=retry
        ) as runtime:
            session = await runtime.sessions.create(
                "s", location=folder, model=provider.model
            )
            while left and (act := left.pop()) != "restart":
                number = len(left)
                if act == "agent":
                    await session.switch_agent(agents[number % 3])
                    continue
                one = call("echo", {"text": "a"}, id=f"one{number}")
                two = call("echo", {"text": "b"}, id=f"two{number}")
                down = ProviderError(
                    "provider.unavailable", "scripted", "down", retryable=act == "retry"
                )
                provider.then(
                    *{
                        "say": [text("Done.")],
                        "call": [calls(one), text("Done.")],
                        "two calls": [calls(one, two), text("Done.")],
                        "fail": [[down]],
                        "retry": [[down], text("Done.")],
                        "break off": [[*text("Do")[:1], down]],
                    }[act]
                )
                await say(session, f"Act {number}")
                provider._answers.clear()
            bodies += provider.bodies
            await proven(session, bodies)
            told, fresh = await _with_epochs(session)
            for at in range(1, len(told)):
                begun = bodies[at - 1][: told[at - 1].prefix]
                goes_on = at in fresh or bodies[at].startswith(begun)
                assert goes_on == (told[at].parted is None)


async def _with_epochs(session: Session) -> tuple[list[SentRequest], set[int]]:
    """Return what was sent, and which of it were the first ones of their epochs."""
    told: list[SentRequest] = []
    fresh: set[int] = set()
    async for event in session.events():
        if isinstance(event, EpochStarted):
            fresh.add(len(told))
        elif getattr(event, "request", None) is not None:
            told.append(event.request)  # type: ignore[attr-defined]
    return told, fresh


@pytest.mark.law("travel.1")
async def test_the_first_call_holds_what_was_sent_before_it_runs(
    tmp_path: Path,
) -> None:
    seen: list[Any] = []

    async def look(input: Echo, context: ToolContext) -> str:
        seen.extend([one async for one in sessions[0].events()])
        return "looked"

    sessions: list[Session] = []
    provider = Wire(PROTOCOLS[0], calls(call("look", {"text": "a"})), text("Done."))
    tool = Tool("look", "Look.", Echo, look, effect="pure")
    async with host(tmp_path, provider, tool) as runtime:
        sessions.append(
            await runtime.sessions.create(location=tmp_path, model=provider.model)
        )
        await say(sessions[0])
    (called,) = [one for one in seen if isinstance(one, ToolCalled)]
    assert called.request is not None
    assert called.request.digest == hashlib.sha256(provider.bodies[0]).hexdigest()
    assert not any(isinstance(one, StepEnded) for one in seen)


# --- what is asked besides the Steps ----------------------------------------------

TOO_LONG = ProviderError("provider.context_overflow", "scripted", "too long")
GONE = ProviderError("provider.unavailable", "scripted", "gone for good")
BROKEN = ProviderError("provider.unavailable", "scripted", "no", retryable=True)


@pytest.mark.law("travel.1")
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_asked_for_a_summary_is_written_again_too(
    tmp_path: Path, protocol: str
) -> None:
    """Those that were refused or failed as well, each where it was sent."""
    wire = Wire(
        protocol,
        *(calls(call("echo", {"text": letter * 3_000})) for letter in "abcd"),
        [TOO_LONG],
        [BROKEN],
        text("## Goal\n</record> Echo \U0001f600"),
        text("Done."),
        text("## Goal\nEcho more"),
    )
    retry = RetryPolicy(retries=1, first=0.0)
    plugins = [Agents(), Tuning(user="u"), shipped]
    async with host(tmp_path, wire, ECHO, plugins=plugins, retry=retry) as runtime:
        session = await runtime.sessions.create(
            "s", location=tmp_path, model=wire.model
        )
        await say(session, "Echo </record> \u202e")
        await session.compact()
        with anyio.fail_after(HANG):
            await session.wait()
    again = Wire(protocol)
    async with host(tmp_path, again, plugins=[again]) as runtime:
        session = await runtime.sessions.get("s")
        await proven(session, wire.bodies)
        listed = await session.requests()
        assert [one.purpose for one in listed] == [
            *(["step"] * 5),
            *(["summary"] * 2),
            "step",
            "summary",
        ]
        assert [one.attempt for one in listed] == [1, 1, 1, 1, 1, 1, 1, 2, 1]
        assert [one.message_id is None for one in listed] == [
            one.purpose == "summary" for one in listed
        ]
        # What retention removed of it cannot be proven any more, and that is said.
        await runtime.sessions.prune(session.id, ["transcript"])
        assert len(await session.requests()) == len(listed)
        for one in listed:
            with pytest.raises(SentRequestLostError, match="pruning"):
                await session.request(one.number)


@pytest.mark.law("travel.1")
async def test_a_refused_request_whose_compaction_failed_is_listed_once(
    tmp_path: Path,
) -> None:
    wire = Wire(
        "openai-chat",
        *(calls(call("echo", {"text": letter * 3_000})) for letter in "abcd"),
        [TOO_LONG],
        [GONE],
        text("Done."),
    )
    async with host(tmp_path, wire, ECHO, plugins=[shipped]) as runtime:
        session = await runtime.sessions.create(
            "s", location=tmp_path, model=wire.model
        )
        await say(session)
        await proven(session, wire.bodies)
        await say(session)
        await proven(session, wire.bodies)


@pytest.mark.law("travel.1")
@pytest.mark.parametrize(
    ("answer", "title"), [(text("Echoes"), "Echoes"), ([GONE], "Echo \U0001f600")]
)
async def test_what_asked_for_a_title_is_written_again_too(
    tmp_path: Path, answer: list[Any], title: str
) -> None:
    wire = Wire("anthropic-messages", text("Done."))
    small = ScriptedProvider(answer, name="small")
    (tmp_path / "user.toml").write_text('small_model = "small/model"\n')
    where = {"DOVETAIL_CONFIG": str(tmp_path / "user.toml")}
    async with host(tmp_path, wire, plugins=[small], environment=where) as runtime:
        session = await runtime.sessions.create(
            "s", location=tmp_path, model=wire.model
        )
        await say(session, "Echo \U0001f600")
        with anyio.fail_after(HANG):
            async with session.events(follow=True) as tail:
                async for event in tail:
                    if event.kind in ("session.titled", "session.title_failed"):
                        break
        [asked] = [one for one in await session.requests() if one.purpose == "title"]
        assert asked.model == "small/model"
        made = await session.request(asked.number)
        assert made.proven
        assert "Echo \U0001f600".encode() in made.body
        assert b"You name conversations" in made.body
        assert (await session.info()).title == title
