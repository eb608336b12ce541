"""A plugin as authors write it for dovetail 0.1.0. Never edited; see the README.

It implements every hook with all of its arguments and uses every value that plugins
hand over or are handed, by position and by name, in the plain ways. What it is told is
kept in ``plugin.places``, by directory.
"""

import enum
import re
from contextlib import asynccontextmanager
from typing import Literal

import anyio
import attrs
from attrs import define, field, frozen

from dovetail.kernel import (
    Action,
    AgentProfile,
    AnswerLimits,
    AssistantMessage,
    CallNotice,
    Citation,
    Command,
    CompactionStrategy,
    CompactionWork,
    ContextSource,
    Credential,
    CredentialSource,
    ContextUnavailableError,
    Deed,
    FileContent,
    FilePart,
    Finish,
    JobEnd,
    JobWork,
    Location,
    ModelFacts,
    ModelFile,
    ModelInfo,
    ModelRequest,
    NoticeMessage,
    Observation,
    PermissionQuestion,
    Place,
    Price,
    PriceAbove,
    ProcessMark,
    PromptArgument,
    PromptCommand,
    PromptFile,
    PromptSource,
    Provider,
    ProviderError,
    ProviderProtocol,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningPart,
    Restoration,
    Rule,
    SessionSource,
    SessionView,
    Skill,
    SkillProblem,
    SkillSource,
    SummaryMessage,
    StepEnded,
    TextContent,
    TextDelta,
    TextEnd,
    TextPart,
    Tool,
    ToolCall,
    ToolDefinition,
    ToolFailed,
    ToolFailure,
    ToolInputDelta,
    ToolPart,
    ToolSucceeded,
    Usage,
    UserMessage,
    hookimpl,
    layer_of,
)
from dovetail.kernel.testing import open_memory_store

# --- the tools --------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@frozen
class Point:
    x: int
    y: float = 0.0


@frozen
class EverythingInput:
    """All kinds of fields."""

    text: str = field(metadata={"description": "A text", "maxLength": 100})
    count: int = field(metadata={"minimum": 1, "maximum": 9})
    ratio: float
    flag: bool
    colour: Colour
    mode: Literal["fast", "slow"]
    point: Point
    points: list[Point] = field(metadata={"maxItems": 3})
    pair: tuple[int, str]
    names: tuple[str, ...]
    numbers: dict[str, int]
    either: int | str
    nothing: str | None = None
    more: list[str] = field(factory=list)


@frozen
class EverythingOutput:
    point: Point
    colour: Colour
    told: dict[str, str]
    text: str = "none"


async def everything(input: EverythingInput, context) -> EverythingOutput:
    context.progress("half way")
    assert isinstance(input.points[0], Point)
    return EverythingOutput(
        point=input.point,
        colour=input.colour,
        told={
            "session": context.session_id,
            "agent": context.agent,
            "message": context.message_id,
            "call": context.call_id,
            "token": context.effect_token,
            "directory": context.location.directory,
            "folder": context.location.path.name,
        },
        text=f"{input.text} {input.count} {input.mode} {input.either}",
    )


@frozen
class PathInput:
    path: str


async def write(input: PathInput, context) -> str:
    path = context.location.path / input.path
    await context.ask("frozen_write", [str(path)], save=[str(path)], metadata={"n": 1})
    path.write_bytes(b"frozen")
    digest = "ffb304816a1090313e833215c08dae3d209cfad1ffd1f674f0909a2ae99e1394"
    context.saw(str(path), digest)
    return f"wrote {input.path}"


@frozen
class LetterInput:
    to: str


@frozen
class LetterOutput:
    number: int


@frozen
class KeyInput:
    key: str


@frozen
class NameInput:
    name: str


@frozen
class NoInput:
    pass


async def picture(input: NoInput, context) -> str:
    return "cG5n"


def shown(output: str):
    return [TextContent("a picture"), FileContent("image/png", output, name="a.png")]


async def fail(input: NoInput, context) -> str:
    raise ToolFailure("as expected")


async def break_down(input: NoInput, context) -> str:
    raise ValueError("a defect")


async def go_on(input: NoInput, context) -> str:
    return "\n".join(f"line {at}" for at in range(1, 5001))


async def page(input: KeyInput, context) -> str:
    found = await context.managed(input.key, offset=4000, limit=2)
    return f"{found.first} of {found.total}: {', '.join(found.lines)}"


async def read_skill(input: NameInput, context) -> str:
    skill = await context.skill(input.name)
    return f"{skill.name}: {skill.body}"


def tools_for(resource: "Resource"):
    async def send(input: LetterInput, context) -> LetterOutput:
        await context.ask("frozen_send", [input.to])
        await context.spawns(ProcessMark(group=1, started="never", host="nowhere"))
        number = resource.settings.first_number + len(resource.letters())
        await context.does(f"post letter {number}", {"number": number})
        with open(resource.post, "a") as file:
            file.write(f"{context.effect_token} {number}\n")
        return LetterOutput(number)

    async def was_sent(input: LetterInput, context) -> LetterOutput | None:
        number = resource.letters().get(context.effect_token)
        return None if number is None else LetterOutput(number)

    async def clear(input: LetterInput, context) -> str | None:
        told = [f"{one.group} of {one.host}" for one in context.processes]
        done = [one == Deed(one.text, one.data) and one.text for one in context.deeds]
        return f"It had started {told} and begun {done}." if told else None

    async def look(job):
        return None if job.running else JobEnd("lost")

    async def watch(job):
        return JobEnd(state="succeeded", exit_code=0, said="It is sent.")

    async def stop(job):
        assert job.title and job.effect_token

    async def extend(job, seconds):
        assert seconds > 0

    async def restore(location: Location, file: Restoration) -> str | None:
        held = (file.now, file.then)
        return None if file.look or held == (None, None) else f"not {file.path}"

    yield Tool("frozen_everything", "Take everything.", EverythingInput, everything,
               EverythingOutput, "pure")
    yield Tool(name="frozen_write", description="Write.", input=PathInput, execute=write,
               effect="idempotent", restore=restore,
               asks=[Action("frozen_write", resource="path", about="writes")])
    yield Tool(name="frozen_send", description="Send a letter.", input=LetterInput,
               output=LetterOutput, execute=send, effect="reconcilable", check=was_sent,
               clear=clear, render=lambda output: f"letter {output.number}",
               jobs=JobWork(look=look, watch=watch, stop=stop, extend=extend))
    yield Tool("frozen_picture", "Draw.", NoInput, picture, render=shown)
    yield Tool("frozen_fail", "Fail.", NoInput, fail, effect="unsafe")
    yield Tool("frozen_break", "Break.", NoInput, break_down, effect="pure")
    yield Tool("frozen_stopped", "Never runs.", NoInput, fail, effect="pure")
    yield Tool("frozen_long", "Say a lot.", NoInput, go_on, effect="pure", bound="end")
    yield Tool("frozen_page", "Page.", KeyInput, page, effect="pure", bound="middle")
    yield Tool("frozen_skill", "Load a skill.", NameInput, read_skill, effect="pure")


# --- the provider -----------------------------------------------------------------


class Route:
    """A model that plays a part which depends on what it was told."""

    def __init__(self, resource: "Resource", model: str) -> None:
        self.resource = resource
        self.model = model

    @asynccontextmanager
    async def stream(self, request: ModelRequest):
        self.resource.requests.append(request)
        self.resource.bodies.append(
            b",".join(request.history.encoded("frozen/1", self.encode))
        )
        *_, last = request.history.messages
        if isinstance(last, UserMessage) and last.text == "busy" and not self.tried():
            raise ProviderError("provider.rate_limited", "frozen", "later", status=429,
                                retryable=True, retry_after=0.01)
        if isinstance(last, UserMessage) and last.text == "refuse":
            raise ProviderError("provider.content_refused", "frozen", "no")
        yield self.events(request, last)

    def tried(self) -> bool:
        self.resource.attempts += 1
        return self.resource.attempts > 1

    def encode(self, message) -> bytes:
        kinds = {
            UserMessage: "user",
            AssistantMessage: "model",
            NoticeMessage: "notice",
            SummaryMessage: "summary",
        }
        made = [kinds[type(message)], message.id, message.text]
        for part in getattr(message, "parts", ()):
            if isinstance(part, ToolPart):
                assert part.settled
                made += [part.call_id, part.tool, part.arguments, part.state, part.text]
            elif isinstance(part, ReasoningPart):
                made += [part.text, str(dict(part.metadata))]
            elif isinstance(part, FilePart):
                assert part.type == "file"
                made += [part.mime, part.key, str(part.bytes), part.text]
            else:
                assert isinstance(part, TextPart)
        return "|".join(made).encode()

    async def events(self, request: ModelRequest, last):
        names = [tool.name for tool in request.tools]
        assert names == sorted(names)
        assert all(isinstance(tool, ToolDefinition) for tool in request.tools)
        if isinstance(last, UserMessage) and last.text == "tools":
            yield ReasoningDelta("r", "Let me ")
            yield ReasoningDelta("r", "see.")
            yield ReasoningEnd("r", {"signature": "frozen"})
            yield TextDelta("t", "I use ")
            yield TextDelta("t", "all tools.")
            yield TextEnd("t", {}, (Citation(url="https://example.org"),))
            yield ModelFile("f", "image/png", "AAAA", {"kept": True})
            for number, (tool, arguments) in enumerate(CALLS):
                yield ToolInputDelta(f"c{number}", tool, arguments)
                yield ToolCall(f"c{number}", tool, arguments, metadata={"n": number})
            yield Finish("tool_calls", Usage(input=10, output=5, reasoning=1,
                                             cache_read=2, cache_write=3))
        elif isinstance(last, AssistantMessage) and len(last.calls) > 1:
            [long] = [part for part in last.calls if part.tool == "frozen_long"]
            key = re.search(r"managed:([0-9a-zA-Z_]+)", long.text)[1]
            yield ToolCall("p0", "frozen_page", '{"key": "%s"}' % key)
            yield Finish("tool_calls")
        elif isinstance(last, AssistantMessage):
            yield TextDelta("t", last.calls[0].text)
            yield Finish("stop", Usage(input=1))
        else:
            yield TextDelta("t", f"You said: {last.text}")
            yield Finish(reason="stop", usage=Usage())


CALLS = [
    (
        "frozen_everything",
        '{"text": "T", "count": 3, "ratio": 0.5, "flag": true, "colour": "blue",'
        ' "mode": "fast", "point": {"x": 1}, "points": [{"x": 2, "y": 0.5}],'
        ' "pair": [1, "one"], "names": ["a", "b"], "numbers": {"n": 1}, "either": "e"}',
    ),
    ("frozen_write", '{"path": "frozen.txt"}'),
    ("frozen_write", '{"path": "denied.txt"}'),
    ("frozen_send", '{"to": "Ann"}'),
    ("frozen_send", '{"to": "nobody"}'),
    ("frozen_picture", "{}"),
    ("frozen_fail", "{}"),
    ("frozen_break", "{}"),
    ("frozen_stopped", "{}"),
    ("frozen_long", "{}"),
    ("frozen_skill", '{"name": "frozen-skill"}'),
    ("frozen_everything", '{"text": 1}'),
]


# --- what lives as long as a Location ---------------------------------------------


@frozen
class Settings:
    first_number: int = 1
    words: list[str] = field(factory=list)
    token: str = field(default="", repr=False, metadata={"secret": True})


@define
class Resource:
    location: Location
    settings: Settings
    open: bool = True
    attempts: int = 0
    ticks: int = 0
    requests: list = field(factory=list)
    bodies: list = field(factory=list)
    questions: list = field(factory=list)
    prepared: list = field(factory=list)
    succeeded: list = field(factory=list)
    failed: list = field(factory=list)
    events: list = field(factory=list)

    @property
    def post(self):
        return self.location.path / "letters.txt"

    def letters(self) -> dict[str, int]:
        if not self.post.exists():
            return {}
        lines = self.post.read_text().split()
        return dict(zip(lines[::2], map(int, lines[1::2]), strict=True))


# --- the plugin -------------------------------------------------------------------


class FrozenPlugin:
    name = "frozen"
    requires_dovetail = ">=0.1"
    before = ("zebra",)
    after = ["aardvark"]
    Settings = Settings

    def __init__(self) -> None:
        self.places: dict[str, Resource] = {}
        self.urls: list[str] = []

    @hookimpl
    def dovetail_open_store(self, url: str):
        self.urls.append(url)
        return open_memory_store() if url.startswith("frozen:") else None

    @hookimpl
    def dovetail_register_commands(self, register):
        register(
            Command(
                "frozen", "Say that it is cold.", self.load_command, self.check_command
            )
        )
        register(Command("thaw", "Say that it is warm.", self.load_command))

    def check_command(self):
        return ["it is too warm"]

    def load_command(self):
        import click

        @click.command()
        @click.option("--degrees", type=int, default=0)
        def frozen_command(degrees: int) -> None:
            """Say that it is cold."""
            click.echo(f"it is {degrees} degrees")

        return frozen_command

    @hookimpl
    def dovetail_open_runtime(self, runtime):
        return self.beside(runtime)

    @asynccontextmanager
    async def beside(self, runtime):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runtime.sessions.list)
            yield
            tasks.cancel_scope.cancel()

    @hookimpl
    def dovetail_register_protocols(self, register):
        register(ProviderProtocol("frozen-chat", provider="frozen", common=False))

    @hookimpl
    def dovetail_register_models(self, register, place: Place):
        known = ModelInfo(
            "frozen/known",
            context=10,
            output=5,
            abilities=("tools",),
            released="2026-01-01",
            knowledge="2025-01",
            deprecated=False,
        )

        async def refresh() -> str:
            return "nothing new"

        register(
            ModelFacts(
                "frozen-facts",
                models=lambda provider: [known],
                info={known.name: known}.get,
                provider="frozen",
                refresh=refresh,
            )
        )

    @hookimpl
    def dovetail_register_credentials(self, register, place: Place):
        async def token(refused: Credential | None) -> Credential:
            return Credential("frozen-token-0001", expires=None, bearer=True)

        register(
            CredentialSource(
                "frozen-login", fetch=token, account="me", about="a frozen login"
            )
        )
        assert place.credentials.stored("frozen-login") is None

    @hookimpl
    def dovetail_open_location(self, place: Place):
        return self.opened(place)

    @asynccontextmanager
    async def opened(self, place: Place):
        resource = Resource(place.location, place.settings)
        self.places[place.location.directory] = resource

        async def tick() -> None:
            resource.ticks += 1
            await anyio.sleep_forever()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tick)
            yield resource
            tasks.cancel_scope.cancel()
        resource.open = False

    @hookimpl
    def dovetail_register_tools(self, register, place: Place):
        for tool in tools_for(place.resource):
            register(tool)

    @hookimpl
    def dovetail_register_providers(self, register, place: Place):
        assert isinstance(dict(place.providers), dict)
        register(
            Provider(
                name="frozen",
                route=lambda model: Route(place.resource, model),
                models=[
                    ModelInfo(
                        "frozen/model",
                        100_000,
                        8_000,
                        Price(1.0, 2.0, 0.1, 1.5, (PriceAbove(9_000, 2.0, 4.0),)),
                    ),
                    ModelInfo(name="frozen/small"),
                ],
                limits=AnswerLimits(calls=100),
                open=False,
                assumed=False,
                local=False,
                served=None,
            )
        )

    @hookimpl
    def dovetail_register_compaction(self, register, place: Place):
        async def summarise(work: CompactionWork) -> str:
            assert work.room > 0 and work.tokens("word") > 0
            told = [one.text for one in work.messages if one.type == "user"]
            return await work.ask("Say it in one line.", "\n".join(told))

        register(CompactionStrategy("frozen", summarise=summarise))

    @hookimpl
    def dovetail_register_context(self, register, place: Place):
        async def observe():
            word = place.environment.get("FROZEN_WORD", "ice")
            return Observation(f"The word is {word}.", update=f"The word is now {word}.")

        async def nothing():
            return None

        async def sometimes():
            if place.resource is None:
                raise ContextUnavailableError("frozen/sometimes", "not now")
            return Observation(baseline="It can be told.")

        async def parts():
            assert place.now() > 0
            found = Observation("One.", "Now one.", {"n": 1}, "No one.", common=True)
            return Observation(
                baseline="Parts:", parts={"one": found}, holds=lambda: True
            )

        async def of_session(view: SessionView):
            assert isinstance(view.session_id, str) and isinstance(view.agent, str)
            assert view.instructions is None or isinstance(view.instructions, str)
            return Observation(
                f"{len(view.files) >= 0}.", holds=lambda view: view.agent != ""
            )

        register(ContextSource("frozen/parts", parts, agents=["frozen-agent"],
                               tell=lambda found, agent: found if agent else None))
        register(SessionSource("frozen/session", of_session))
        register(SessionSource(key="frozen/other", observe=of_session,
                               required=False, agents=("frozen-agent",)))
        register(ContextSource("frozen/word", observe))
        async def ready():
            return ["the ice is not there"]

        register(ContextSource("frozen/nothing", nothing, ready=ready))
        register(ContextSource(key="frozen/sometimes", observe=sometimes))

    @hookimpl
    def dovetail_register_skills(self, register, place: Place):
        assert list(place.skill_folders) == []

        async def find():
            return [
                Skill("frozen-skill", "How to freeze.", "Take ice."),
                Skill(name="frozen-hidden", description="For persons.", body="Hidden.",
                      directory=None, files=(), offered=False, license="MIT",
                      compatibility="Needs ice.", metadata={"by": "ann"},
                      allowed_tools=("read",), broken=("it has no folder",)),
                SkillProblem("/nowhere/SKILL.md", "it has no name"),
            ]

        register(SkillSource("frozen/skills", find))
        register(SkillSource("frozen/more", find, holds=lambda: True, gives_way=True))

    @hookimpl
    def dovetail_register_prompts(self, register, place: Place):
        async def write(given):
            return f"Freeze {given['what']}."

        greet = PromptCommand("frozen:greet", write)
        freeze = PromptCommand(
            name="frozen:freeze",
            write=write,
            description="Freeze something.",
            arguments=[PromptArgument("what", "What.", required=True),
                       PromptArgument(name="how")],
        )

        async def commands():
            return [greet, freeze]

        async def find(name):
            return freeze if name == freeze.name else None

        async def attach(name):
            if name != "frozen:ice":
                return None
            return [PromptFile.of(b"cold", name="ice")]

        register(PromptSource("frozen/none"))
        register(PromptSource("frozen/prompts", commands=commands, find=find,
                              attach=attach))

    @hookimpl
    def dovetail_register_agents(self, register, place: Place):
        register(AgentProfile("frozen-default"))
        register(
            AgentProfile(
                name="frozen-agent",
                description="A cold one.",
                instructions="Stay cold.",
                model="frozen/model",
                steps=7,
                rules=[Rule("frozen_write", "*", "allow"),
                       Rule("frozen_write", "*denied.txt", "deny"),
                       *layer_of("frozen", [Rule("*", "*", "allow")])],
                tools=None,
                without=["frozen_nothing"],
                options={"temperature": 0.5},
            )
        )

    @hookimpl
    def dovetail_register_rules(self, register, place: Place):
        register(Rule("frozen_never", "*", "deny"))
        register(Rule(action="frozen_other", resource="*", effect="ask", tightens=True))

    @hookimpl
    def dovetail_decide_permission(self, question: PermissionQuestion, place: Place):
        place.resource.questions.append(question)
        if question.action == "frozen_send":
            return "allow" if question.resources == ("Ann",) else "deny"
        return None

    @hookimpl
    def dovetail_prepare_request(self, request: ModelRequest, place: Place):
        return attrs.evolve(request, options={**request.options, "frozen": True})

    @hookimpl
    def dovetail_prepare_tool_call(self, call: CallNotice, place: Place):
        place.resource.prepared.append(call)
        return "it is frozen" if call.tool == "frozen_stopped" else None

    @hookimpl
    def dovetail_tool_succeeded(self, call: CallNotice, outcome: ToolSucceeded, place: Place):
        place.resource.succeeded.append((call.call_id, call.tool, outcome.content))

    @hookimpl
    def dovetail_tool_failed(self, call: CallNotice, outcome: ToolFailed, place: Place):
        place.resource.failed.append((call.call_id, call.tool, outcome.failure.code))

    @hookimpl
    def dovetail_observe_event(self, event, place: Place):
        place.resource.events.append((event.seq, event.kind, event.session_id))
        if isinstance(event, StepEnded):
            assert event.message_id
            assert event.created


plugin = FrozenPlugin()


# --- a module can be a plugin, too, and take only what it needs --------------------


@hookimpl
def dovetail_register_rules(register):
    register(Rule("frozen_module", "*", "deny"))


@hookimpl(specname="dovetail_prepare_tool_call")
def stop_what_is_not_ours(call):
    return None


@hookimpl(optionalhook=True)
def dovetail_of_another_release(whatever):
    raise AssertionError("there is no such hook in 0.1.0")
