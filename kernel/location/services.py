"""The services of one Location: what a Step there works with, and its public face.

Owns nothing of its own: it is the bundle that ``runtime`` puts together when a
Location opens, and the handle through which an application looks at it.
"""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Literal, TypeVar

from anyio import to_thread
from attrs import define, evolve, field

from ..access.approvals import SavedApproval
from ..access.names import Ground, check_rule
from ..access.permissions import Permissions
from ..access.request import AskRequest, PermissionRequest
from ..access.rules import WorkingFolder, decide
from ..configuration.merging import Configuration
from ..context.registry import ContextRegistry, SourceState
from ..contracts import (
    Action,
    AgentProfile,
    CallNotice,
    PermissionQuestion,
    Provider,
    Rule,
    RuleEffect,
    Skill,
    SkillProblem,
)
from ..lifecycle.registrations import Rank, Registration, Registrations
from ..lifecycle.scope import Scope
from ..models.catalog import ModelCatalog
from ..plugins.instance import Add, LocationPlugin, LocationPlugins
from ..skills.registry import SkillRegistry
from ..tools.registry import ToolRegistry
from ..values.codec import sanitised
from ..values.errors import (
    AgentNotFoundError,
    ConfigurationError,
    InvalidValueError,
    ModelNotSelectedError,
    PluginError,
)
from ..values.events import PermissionReply
from ..values.ids import SessionId
from ..values.location import Location
from ..values.patterns import MAX_RULES, matches
from ..values.request import AnswerLimits, ModelInfo, ModelRequest
from ..values.tool import ToolDefinition

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_AGENT = "build"
MAX_NAME = 128
"""Characters of a name that a plugin gives to what it offers."""
PREPARE = "dovetail_prepare_request"
PREPARE_CALL = "dovetail_prepare_tool_call"
DECIDE = "dovetail_decide_permission"
RULES = "dovetail_register_rules"

Use = Callable[[Location], "AbstractAsyncContextManager[LocationServices]"]
"""Opens a Location, if it is not, and keeps it open for as long as it is entered."""

_STRICTNESS: dict[RuleEffect, int] = {"allow": 0, "ask": 1, "deny": 2}
_EFFECTS = tuple(_STRICTNESS)
"""To compare what a stranger gave with, which need not be hashable."""


@define(eq=False)
class LocationServices:
    """Everything that one Location offers, while it is open."""

    location: Location
    scope: Scope
    configuration: Configuration
    tools: ToolRegistry
    catalog: ModelCatalog
    context: ContextRegistry
    skills: SkillRegistry
    agents: Registrations[AgentProfile]
    permissions: Permissions
    plugins: LocationPlugins
    providers: Registrations[Provider]
    plugin_rules: Registrations[Rule]
    ground: Ground
    _rules: dict[str, tuple[tuple[int, ...], tuple[Rule, ...]]] = field(
        factory=dict, init=False
    )
    """By agent, and by the generations of what they were made of."""
    _meant: dict[Rule, tuple[Rule, ...]] = field(factory=dict, init=False)
    _meant_in: int = field(default=-1, init=False)
    """The generation of the tools that these are for."""

    def rules(self, agent: str) -> Sequence[Rule]:
        """Return an agent's rules: what plugins allow, the profile's, then the
        configuration's. The last that matches wins, so that what a plugin allows is
        a default; what it forbids is in ``forbidding``. With each stands what else it
        means here."""
        generation = (
            self.tools.generation,
            self.agents.generation,
            self.plugin_rules.generation,
        )
        known = self._rules.get(agent)
        if known is None or known[0] != generation:
            found = tuple(self._here(self._written(agent)))
            known = self._rules[agent] = generation, found
        return known[1]

    def _written(self, agent: str) -> Sequence[Rule]:
        profile = self.agents.get(agent)
        allowing = [one.item for one in self.plugin_rules.all()]
        return (
            *(rule for rule in allowing if rule.effect == "allow"),
            *(profile.rules if profile else ()),
            *self.configuration.rules,
        )

    def _here(self, rules: Iterable[Rule]) -> Iterator[Rule]:
        """Yield each rule and what else it means in this Location."""
        generation = self.tools.generation
        if self._meant_in != generation:
            # Which resources are paths is known from the tools.
            self._meant, self._meant_in = {}, generation
        actions: Mapping[str, Action] | None = None
        for rule in rules:
            meant = self._meant.get(rule)
            if meant is None:
                actions = self.tools.actions() if actions is None else actions
                meant = self._meant[rule] = self.ground.meant(rule, actions)
            yield from meant

    def check_rules(self) -> Sequence[str]:
        """Return what is odd about the rules of this Location, a line each.

        Looks at the disk; call it in a thread.

        Raises:
            ConfigurationError: a rule can never match anything.
        """
        written = [*self.configuration.rules]
        for one in self.agents.offer().values():
            written += one.item.rules
        odd = self._odd(rule for rule in written if rule.source is not None)
        # What every question will need is found out now, and not while one waits.
        for name in self.agents.offer():
            self.rules(name)
        return odd

    def meant(self, rules: Iterable[Rule]) -> tuple[Sequence[Rule], Sequence[str]]:
        """Return what rules mean here, and what is odd about them; see
        ``check_rules``."""
        given = tuple(rules)
        return tuple(self._here(given)), self._odd(given)

    def _odd(self, rules: Iterable[Rule]) -> Sequence[str]:
        actions = self.tools.actions()
        asked = [*actions, *self.tools.silent()]
        odd = []
        for rule in dict.fromkeys(rules):
            where = rule.source or "a rule"
            why = self.ground.nothing(rule, actions)
            if why is not None:
                raise ConfigurationError(
                    where,
                    f"a rule about {rule.resource!r} can never match: {why}",
                )
            if not any(matches(rule.action, name) for name in asked):
                near = get_close_matches(rule.action, asked, 1)
                advice = f"; did you mean {near[0]!r}" if near else ""
                there_are = f"(there are: {', '.join(sorted(asked))})"
                odd.append(
                    f"{where}: no tool here is known to ask for {rule.action!r}{advice}"
                    f" {there_are}"
                )
        return odd

    def forbidding(self) -> Sequence[Registration[Rule]]:
        """Return the rules of plugins that deny or ask; of these the strictest wins."""
        return [one for one in self.plugin_rules.all() if one.item.effect != "allow"]

    def effect(self, action: str, resource: str) -> RuleEffect:
        """Return what the rules of the Location's own agent say of one resource."""
        rules = self.rules(self.configuration.agent or DEFAULT_AGENT)
        effects = [decide(action, (resource,), rules)]
        for one in self.forbidding():
            effects.append(self._objection(one.item, action, resource))
        return max(effects, key=_STRICTNESS.__getitem__)

    def _objection(
        self, rule: Rule, action: str, resource: str, folder: str | None = None
    ) -> RuleEffect:
        """Return what a rule that only restricts says against one resource."""
        where = WorkingFolder(self.location.directory, folder or ".")
        alone = (Rule("*", "*", "allow"), *self._here([rule]))
        return decide(action, (resource,), alone, where=where)

    def decide(self, request: AskRequest) -> tuple[RuleEffect, str] | None:
        """Return the strictest answer of the plugins, and whose it is.

        One that breaks, or cannot be called, denies (law plugins.6).
        """
        try:
            self.plugins.calling(RULES)
            deciding = self.plugins.calling(DECIDE)
        except PluginError as error:
            return "deny", error.plugin
        answers = [
            (effect, one.owner)
            for one in self.forbidding()
            for resource in request.resources
            if (
                effect := self._objection(
                    one.item, request.action, resource, request.folder
                )
            )
            != "allow"
        ]
        if not deciding:
            return max(answers, key=lambda each: _STRICTNESS[each[0]], default=None)
        question = PermissionQuestion(
            session_id=request.session_id,
            agent=request.agent,
            action=request.action,
            resources=request.resources,
            message_id=request.message_id,
            call_id=request.call_id,
        )
        metadata = sanitised(dict(request.metadata))
        for one in deciding:
            answer: Any = "deny"
            # For each its own: what one does to it in place, the next does not see.
            asked = evolve(question, metadata=deepcopy(metadata))
            try:
                answer = self.plugins.call(
                    one, DECIDE, session_id=request.session_id, question=asked
                )
            except PluginError as error:
                logger.debug("denied, because %s", error)
            if answer is None:
                continue
            if answer not in _EFFECTS:
                self.plugins.refuse(one, DECIDE, f"it answered {type(answer).__name__}")
                answer = "deny"
            answers.append((answer, one.name))
        return max(answers, key=lambda each: _STRICTNESS[each[0]], default=None)

    def refusal(self, call: CallNotice) -> str | None:
        """Return why a plugin does not let a call run; None when all do."""
        try:
            guarding = self.plugins.calling(PREPARE_CALL)
            for one in guarding:
                reason: Any = self.plugins.call(
                    one, PREPARE_CALL, session_id=call.session_id, call=call
                )
                if isinstance(reason, str):
                    return f"plugin {one.name!r} does not let it run: {reason}"
                if reason is not None:
                    raise self.plugins.refuse(
                        one, PREPARE_CALL, f"it answered {type(reason).__name__}"
                    )
        except PluginError as error:
            # What the exception says is for the operator, who has it in the log.
            return f"plugin {error.plugin!r} guards calls and cannot decide"
        return None

    def registering(self) -> Sequence[tuple[str, "Add"]]:
        """Return each registering hook with what takes its items."""
        return (
            ("dovetail_register_tools", self.tools.register),
            ("dovetail_register_providers", self._add_provider),
            ("dovetail_register_context", self.context.register),
            ("dovetail_register_skills", self.skills.register),
            ("dovetail_register_agents", self._add_agent),
            (RULES, self._add_rule),
        )

    def _add_rule(self, rule: Rule, owner: str, rank: Rank) -> Registration[Rule]:
        check_rule(rule)
        key = f"{rule.effect} {rule.action} {rule.resource}"
        return self.plugin_rules.add(owner, key, rule, rank)

    def _add_provider(
        self, provider: Provider, owner: str, rank: Rank
    ) -> Registration[Provider]:
        if not isinstance(provider, Provider):
            raise InvalidValueError("provider", provider, "give a Provider")
        name = _checked_name("provider name", provider.name)
        if "/" in name:
            raise InvalidValueError("provider name", name, "it must be without '/'")
        if not callable(provider.route):
            raise InvalidValueError("provider", name, "its route must be a function")
        models = _all_of(ModelInfo, "models of a provider", provider.models)
        for one in models:
            _checked_name("model name", one.name)
        silence = provider.silence
        number = isinstance(silence, int | float) and not isinstance(silence, bool)
        if silence is not None and not (number and silence > 0):
            raise InvalidValueError(
                "silence of a provider", silence, "a number of seconds, or None"
            )
        if not isinstance(provider.limits, AnswerLimits):
            raise InvalidValueError(
                "limits of a provider", provider.limits, "give AnswerLimits"
            )
        checked = evolve(provider, models=models)
        return self.providers.add(owner, name, checked, rank)

    def _add_agent(
        self, profile: AgentProfile, owner: str, rank: Rank
    ) -> Registration[AgentProfile]:
        if not isinstance(profile, AgentProfile):
            raise InvalidValueError("agent profile", profile, "give an AgentProfile")
        name = _checked_name("agent profile", profile.name)
        texts = (profile.description, profile.instructions, profile.model or "")
        if not all(isinstance(one, str) for one in texts):
            raise InvalidValueError("agent profile", name, "its texts must be texts")
        if type(profile.steps) is not int or profile.steps < 1:
            raise InvalidValueError("agent profile", name, "at least one Step")
        rules = _all_of(Rule, "rules of an agent profile", profile.rules)
        for rule in rules:
            check_rule(rule)
        if len(rules) > MAX_RULES:
            raise InvalidValueError("agent profile", name, f"{MAX_RULES} rules at most")
        tools = profile.tools
        if tools is not None:
            tools = _all_of(str, "tools of an agent profile", tools)
        return self.agents.add(
            owner, name, evolve(profile, rules=rules, tools=tools), rank
        )

    def agent(self, name: str | None) -> AgentProfile:
        """Return the agent profile of a session.

        Raises:
            AgentNotFoundError: nobody offers it.
        """
        wanted = name or self.configuration.agent or DEFAULT_AGENT
        profile = self.agents.get(wanted)
        if profile is None:
            offered = ", ".join(repr(known) for known in self.agents.offer())
            raise AgentNotFoundError(wanted, f"offered here: {offered}")
        return profile

    def model_for(self, profile: AgentProfile, model: str | None) -> str:
        """Return the name of a session's model: its own, its agent's, or the
        configured one.

        Raises:
            ModelNotSelectedError: none of them names one.
        """
        name = model or profile.model or self.configuration.model
        if name is None:
            raise ModelNotSelectedError(self.catalog.askable())
        return name

    def prepare(self, request: ModelRequest, session_id: SessionId) -> ModelRequest:
        """Return the request as the plugins adjusted it, each in its turn.

        Raises:
            PluginError: a plugin broke; the request must not be sent (law plugins.6).
        """
        preparing = self.plugins.calling(PREPARE)
        if preparing:
            # The definitions are those of all sessions here: what a plugin does to
            # them in place must stay in this request.
            copied = [evolve(one, schema=deepcopy(one.schema)) for one in request.tools]
            request = evolve(
                request, tools=tuple(copied), options=deepcopy(request.options)
            )
        for one in preparing:
            changed: Any = self.plugins.call(
                one, PREPARE, session_id=session_id, request=request
            )
            if isinstance(changed, ModelRequest):
                request = changed
            elif changed is not None:
                raise self.plugins.refuse(
                    one, PREPARE, f"it answered {type(changed).__name__}"
                )
        return request


def _checked_name(what: str, name: object) -> str:
    """Return a name that can be shown, ordered and looked up, or refuse it."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise InvalidValueError(what, name, "it must be printable, and not empty")
    if len(name) > MAX_NAME:
        raise InvalidValueError(what, name, f"at most {MAX_NAME} characters")
    return name


def _all_of(kind: type[T], what: str, items: object) -> tuple[T, ...]:
    """Return items as what nobody changes later, each of one type, or refuse them."""
    found = items if isinstance(items, list | tuple) else [None]
    if not all(isinstance(one, kind) for one in found):
        raise InvalidValueError(what, items, f"give a list of {kind.__name__}")
    return tuple(found)


class LocationHandle:
    """A Location as an application sees it. It opens on first use.

    ``await handle`` opens it now; ``async with handle`` keeps it open for as long as
    it is entered. Otherwise it closes when it was not used for a while, and the next
    use opens it again. Everything here describes what is offered at the moment of the
    call.
    """

    def __init__(self, location: Location, use: Use) -> None:
        self.location = location
        self._use = use
        self._entered: list[AbstractAsyncContextManager[LocationServices]] = []

    def __repr__(self) -> str:
        return f"LocationHandle({self.location.directory!r})"

    def __await__(self) -> Generator[Any, None, "LocationHandle"]:
        return self._opened().__await__()

    async def _opened(self) -> "LocationHandle":
        async with self._use(self.location):
            return self

    async def __aenter__(self) -> "LocationHandle":
        use = self._use(self.location)
        await use.__aenter__()
        self._entered.append(use)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._entered.pop().__aexit__(None, None, None)

    def _services(self) -> "AbstractAsyncContextManager[LocationServices]":
        return self._use(self.location)

    async def tools(self) -> Sequence[ToolDefinition]:
        """Return the tools that models are offered, in name order."""
        async with self._services() as services:
            return services.tools.advertise().definitions

    async def models(self) -> Sequence[ModelInfo]:
        """Return the models that are known by name; others may be accepted."""
        async with self._services() as services:
            return services.catalog.models()

    async def skills(self) -> Sequence[Skill]:
        """Return the skills that are offered, in name order."""
        async with self._services() as services:
            return await services.skills.skills()

    async def skill_problems(self) -> Sequence[SkillProblem]:
        """Return what looked like a skill and is not offered, and why."""
        async with self._services() as services:
            await services.skills.skills()
            return services.skills.problems()

    async def context(self) -> Sequence[SourceState]:
        """Return the Context Sources, in key order, each as it is now.

        One that cannot be observed is left out of what new sessions are told, or keeps
        them from beginning where it is required.
        """
        async with self._services() as services:
            return await services.context.states()

    async def agents(self) -> Sequence[AgentProfile]:
        """Return the agent profiles, in name order."""
        async with self._services() as services:
            return [one.item for one in services.agents.offer().values()]

    async def model_for(
        self, model: str | None = None, agent: str | None = None
    ) -> str:
        """Return the name of the model that a session here uses, if it is given this
        model and this agent. It can be asked as far as that shows without a network.

        Raises:
            AgentNotFoundError: nobody offers the agent.
            ModelNotSelectedError: neither they nor the configuration name a model.
            ModelUnknownError: nobody here serves it.
            ProviderError: ``provider.key_missing``; its provider has no key.
        """
        async with self._services() as services:
            name = services.model_for(services.agent(agent), model)
            return services.catalog.resolve(name).name

    @property
    def plugins(self) -> "PluginsHandle":
        """The plugins of this Location."""
        return PluginsHandle(self._services)

    @property
    def permissions(self) -> "PermissionsHandle":
        """Permission requests that wait for an answer, and saved approvals."""
        return PermissionsHandle(self._services)


class PermissionsHandle:
    """The permissions of a Location as an application sees them."""

    def __init__(
        self, services: "Callable[[], AbstractAsyncContextManager[LocationServices]]"
    ) -> None:
        self._services = services

    async def pending(
        self, session_id: str | None = None
    ) -> Sequence[PermissionRequest]:
        """Return the unanswered requests, the oldest first, also those of an earlier
        process (law access.5)."""
        async with self._services() as services:
            return await services.permissions.pending(session_id)

    async def meaning(
        self, rules: Sequence[Rule]
    ) -> tuple[Sequence[Rule], Sequence[str]]:
        """Return rules with what else they mean in this Location, to decide by them as
        it would, and a line for each that is about something no tool here asks.

        Raises:
            ConfigurationError: one of them can never match anything.
        """
        async with self._services() as services:
            return await to_thread.run_sync(services.meant, rules)

    async def reply(
        self,
        request_id: str,
        reply: PermissionReply,
        message: str | None = None,
        *,
        by: Literal["person", "policy"] = "person",
    ) -> None:
        """Answer a request, exactly once.

        ``always`` also remembers what the request offered to save. ``reject`` with a
        message tells the model what to do instead; without one the run stops. ``by``
        is recorded: ``policy`` is for what was decided before anybody asked.

        Raises:
            RequestNotFoundError: it is unknown here, or answered already.
            InvalidValueError: an argument is none of the above.
        """
        if by not in ("person", "policy"):
            raise InvalidValueError("by", by, '"person" or "policy"')
        async with self._services() as services:
            await services.permissions.reply(request_id, reply, message, by=by)

    async def saved(self) -> Sequence[SavedApproval]:
        """Return the saved approvals of this Location."""
        async with self._services() as services:
            return await services.permissions.approvals.saved()

    async def revoke(self, approval_id: str) -> None:
        """Forget a saved approval.

        Raises:
            ApprovalNotFoundError: there is none of this id here.
        """
        async with self._services() as services:
            await services.permissions.approvals.revoke(approval_id)


class PluginsHandle:
    """The plugins of a Location as an application sees and changes them.

    What is changed here is changed in this Location and in no other, for as long as
    the runtime is open. Changes under one name wait for each other (law plugins.4).
    """

    def __init__(
        self, services: "Callable[[], AbstractAsyncContextManager[LocationServices]]"
    ) -> None:
        self._services = services

    async def list(self) -> Sequence[LocationPlugin]:
        """Return the plugins, in the order in which they are called."""
        async with self._services() as services:
            return services.plugins.known()

    async def add(self, plugin: object, name: str | None = None) -> LocationPlugin:
        """Open a plugin here, and offer what it contributes from now on.

        Without a name it is called as one that is given to ``open_runtime``. It comes
        after all installed and given ones. Cancelled, nothing is added.

        Raises:
            ConflictError: the name is taken.
            PluginError: its hooks are wrong, it cannot be opened, or something that it
                offers is refused. Nothing of it is left.
        """
        async with self._services() as services:
            return await services.plugins.add(plugin, name)

    async def replace(self, name: str, plugin: object) -> LocationPlugin:
        """Put a plugin in the place of another, without a gap.

        The new one is opened and what it offers is proven; then both change places at
        once; then the old one is closed. A call that was advertised with a tool of the
        old one and did not start yet fails as stale; one that runs goes on, and finds
        what the old one opened closed. Cancelled before they changed places, the old
        one stays.

        Raises:
            PluginNotFoundError: there is no plugin of this name.
            PluginError: as in ``add``. The old one works on (law plugins.3).
        """
        async with self._services() as services:
            return await services.plugins.replace(name, plugin)

    async def remove(self, name: str) -> None:
        """Take a plugin out; what it hid is offered again (law plugins.2).

        Raises:
            PluginNotFoundError: there is no plugin of this name.
        """
        async with self._services() as services:
            await services.plugins.remove(name)
