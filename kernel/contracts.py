"""Contracts: what a plugin hands over.

Owns the shapes of tools, providers and their routes, context sources, skill sources
and agent profiles. Knows nothing of how the kernel keeps or calls them. Plugin objects
compare by identity: two equal-looking tools are two tools.
"""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Literal, Protocol, TypeVar

from attrs import field, frozen

from .values.ids import MessageId, SessionId
from .values.location import Location
from .values.request import ModelEvent, ModelInfo, ModelRequest
from .values.tool import Content, EffectClass, Json, ManagedPage

I = TypeVar("I")  # noqa: E741 - the input of a tool
O = TypeVar("O")  # noqa: E741 - its output


# --- tools ------------------------------------------------------------------------


class ToolContext(Protocol):
    """What one execution of one call may use."""

    @property
    def session_id(self) -> SessionId: ...

    @property
    def agent(self) -> str:
        """The name of the agent profile that the Step runs under."""
        ...

    @property
    def message_id(self) -> MessageId: ...

    @property
    def call_id(self) -> str: ...

    @property
    def effect_token(self) -> str:
        """The same for every execution of this call, ever: pass it on to whatever can
        tell a repeat from a new request (law recovery.2)."""
        ...

    @property
    def location(self) -> Location: ...

    async def ask(
        self,
        action: str,
        resources: Sequence[str],
        *,
        save: Sequence[str] = (),
        metadata: Mapping[str, Json] | None = None,
        begun: bool | None = None,
    ) -> None:
        """Return when the action on all resources is allowed.

        Rules and saved approvals decide first; otherwise a person is asked, and this
        waits for the answer, also over a restart of the process. Ask before reading
        or writing anything of the target (law access.1). ``save`` lists what an
        answer of ``always`` remembers, each taken literally; empty means that
        ``always`` counts as ``once``. A call that was stopped while it waited for its
        first answer counts as not begun, whatever its effect class, and may run again:
        ask before the first effect. ``begun`` says whether it may have had an effect
        before this question; None: where an earlier one was allowed already. A tool
        that asks several things before it does any says False with each.

        Raises:
            PermissionDeniedError: a rule denies it. Let it pass: the model is told.
            PermissionRejectedError: the person said no, perhaps with advice.
        """
        ...

    async def allowing(self, action: str) -> Callable[[str], bool]:
        """Return what tells of one resource whether the action is allowed as things
        stand now, without asking anybody and without leaving a trace.

        For tools that look at many things at once: what is denied, or would have to
        be asked for, is left out before it decides anything, and the result says how
        many were. Quick, synchronous, and good for the length of one call.
        """
        ...

    async def skill(self, name: str) -> "Skill":
        """Return the skill that the Location offers now under that name.

        Asks for no permission: that is the caller's to do first.

        Raises:
            SkillNotFoundError: there is none; the text lists the names there are.
        """
        ...

    async def managed(
        self, key: str, offset: int = 1, limit: int = 2_000
    ) -> ManagedPage:
        """Return lines of the complete output behind a result that was cut.

        ``key`` is what stands in the marker of such a result. Only what calls of this
        very session left is found. Lines are counted from 1; at most 2,000 a page.

        Raises:
            OutputNotFoundError: no settled call of this session left such an output,
                or it is lost.
            InvalidValueError: ``offset`` or ``limit`` is out of its range.
        """
        ...

    def saw(self, path: str, digest: str | None) -> None:
        """Say that this call read or wrote a file, and what it held afterwards.

        ``path`` is absolute; ``digest`` is the SHA-256 of the content in hexadecimal,
        None when the file is gone. Before a session goes on in another process, files
        that changed since are reported (law recovery.5). Counts when the call
        succeeds.
        """
        ...

    def progress(self, text: str) -> None:
        """Show a line to whoever watches now. Never stored, never waits."""
        ...


@frozen(eq=False)
class Tool(Generic[I, O]):
    """A named capability that a model can call.

    ``execute(input, context)`` gets the input decoded and checked, and returns a value
    of the output type. Raise ``ToolFailure`` for an expected failure that the model
    should read; any other exception is recorded for the operator, and the model is
    only told that the tool broke. Cancellation is never a result: let it pass.
    """

    name: str
    """``[A-Za-z][A-Za-z0-9_-]{0,63}``"""
    description: str
    """What the model reads to decide when to call it."""
    input: type[I]
    """An attrs class. Its fields become the JSON Schema; ``field(metadata=
    {"description": ...})`` describes one."""
    execute: Callable[[I, ToolContext], Awaitable[O]]
    output: type[O] = str  # type: ignore[assignment]
    """``str`` or an attrs class."""
    effect: EffectClass = "unsafe"
    """What a repeat would do. The default promises nothing."""
    render: Callable[[O], str | Sequence[Content]] | None = None
    """What the model is shown. None: a text as it is, anything else as JSON."""
    bound: Literal["middle", "end"] = "middle"
    """Which part of an over-long output is cut."""
    check: Callable[[I, ToolContext], Awaitable[O | None]] | None = None
    """For ``reconcilable`` tools, and required of them: asks the outside world whether
    the effect of a call whose outcome is unknown took place. Returns the output when
    it did and None when it did not; raising means that it cannot be told, and the call
    is not repeated. It must have no effect itself."""


# --- providers --------------------------------------------------------------------


class ProviderRoute(Protocol):
    """A way to one model: protocol x endpoint x authentication x framing."""

    def stream(
        self, request: ModelRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[ModelEvent]]:
        """Send exactly one request and yield what comes, in order.

        Entering sends it and returns once the provider began to answer. The iterator
        ends after exactly one ``Finish``. Leaving early closes the connection. A route
        never repeats a request by itself and never runs a tool.

        Raises:
            ProviderError: on entering or while iterating; see its codes. No key ever
                appears in it.
        """
        ...


@frozen(eq=False)
class Provider:
    """Who serves models. Handed over by ``dovetail_register_providers``.

    Nothing here reaches the network until a route streams.
    """

    name: str
    """The part of a model's name before the slash."""
    route: Callable[[str], ProviderRoute]
    """Makes the route to a model by its own name. May raise ProviderError
    ``provider.key_missing``."""
    models: Sequence[ModelInfo] = ()
    """The models that are known by name."""
    open: bool = True
    """Whether models that are not listed may be asked for too."""


# --- agents, context, skills ------------------------------------------------------

RuleEffect = Literal["allow", "ask", "deny"]


@frozen
class Rule:
    """One permission rule. In a list the last rule that matches wins (law access.3).

    In patterns ``*`` stands for any text and ``?`` for one character; a pattern that
    ends in a space and ``*`` also matches without them.
    """

    action: str
    resource: str
    effect: RuleEffect
    tightens: bool = False
    """Such a rule only ever makes the answer stricter, wherever it stands in the list.
    Rules out of a file that nobody vouched for are of this kind."""


@frozen(eq=False)
class AgentProfile:
    """How an agent behaves: its instructions, its Steps, its rights."""

    name: str
    description: str = ""
    instructions: str = ""
    """Added to the system text after the Baseline."""
    model: str | None = None
    """Used when the session names none."""
    steps: int = 50
    """Steps per activity; the last one is asked to finish without tools."""
    rules: Sequence[Rule] = ()
    tools: Sequence[str] | None = None
    """The tools it is offered; None means all."""


@frozen
class Observation:
    """The value of a Context Source as the model is told about it."""

    baseline: str
    """The full text at the start of an epoch. No clock, no random id."""
    update: str | None = None
    """What is said when it changed later; None means the baseline text."""


@frozen(eq=False)
class ContextSource:
    """One independently observed value that the model is told about.

    ``observe`` returns None when there is nothing to say, and raises
    ``ContextUnavailableError`` when it cannot tell now, which is not the same. It is
    called at most once per Step.
    """

    key: str
    """``namespace/name``, lower case. Sources are told in key order."""
    observe: Callable[[], Awaitable[Observation | None]]


@frozen
class Skill:
    """A named instruction package that the model can load on demand."""

    name: str
    description: str
    body: str
    directory: str | None = None
    """Where its files are; None for a skill that is not a folder."""
    files: tuple[str, ...] = ()
    """Some of the files beside it, relative to ``directory``, sorted."""
    offered: bool = True
    """Whether models are told of it. False for a skill that only a person names."""


@frozen
class SkillProblem:
    """Why something that looked like a skill is not offered."""

    path: str
    problem: str


@frozen(eq=False)
class SkillSource:
    """A place where skills are found. Of equal names the later source wins."""

    key: str
    find: Callable[[], Awaitable[Sequence[Skill | SkillProblem]]]


@frozen(eq=False)
class Command:
    """A command of the command line, added by a plugin.

    ``load`` returns a click command; it is called only when this command is run or
    shown, so that a plugin costs the others nothing.
    """

    name: str
    help: str
    load: Callable[[], Any]


# --- what hooks are told about -----------------------------------------------------


@frozen
class PermissionQuestion:
    """Something that a call wants to do, before it is allowed."""

    session_id: SessionId
    agent: str
    action: str
    resources: tuple[str, ...]
    message_id: MessageId | None = None
    call_id: str | None = None
    metadata: Mapping[str, Json] = field(factory=dict, repr=False)


@frozen
class CallNotice:
    """One call of a tool. The three ids name it wherever it is spoken of."""

    session_id: SessionId
    message_id: MessageId
    call_id: str
    tool: str
    arguments: str = field(repr=False)
    """The JSON text that the model wrote, parsed by nobody."""
    effect: EffectClass | None = None
    """None when no such tool was offered."""


# --- what registering hooks are handed --------------------------------------------


def _allow(action: str, resource: str) -> RuleEffect:
    return "allow"


@frozen
class Place:
    """Where a registering hook is called: one plugin in one Location."""

    location: Location
    settings: Any = field(factory=dict, repr=False)
    """The plugin's own table of the configuration, ``[plugins.NAME]``: an instance of
    its class ``Settings``, or a mapping where it declares none."""
    environment: Mapping[str, str] = field(factory=dict, repr=False)
    """The process environment as it was when the runtime was opened."""
    resource: Any = None
    """What the plugin's own ``dovetail_open_location`` yielded."""
    providers: Mapping[str, Mapping[str, Json]] = field(factory=dict, repr=False)
    """The configured ``[providers.NAME]`` tables, for provider plugins."""
    skill_folders: Sequence[str] = ()
    """The configured folders to look for skills in."""
    effect: Callable[[str, str], RuleEffect] = field(default=_allow, repr=False)
    """What the rules of the Location's own agent say of an action on one resource, for
    contributions that touch something while nobody calls a tool. Any thread may call
    it, once everything is registered."""


R = TypeVar("R", contravariant=True)


class Register(Protocol[R]):
    """Hands one item over; it is removed when the plugin's scope closes.

    An item that is wrong is refused alone: the refusal is recorded and logged under
    the plugin's name, the call returns, and what comes after it is taken.
    """

    def __call__(self, item: R) -> None: ...
