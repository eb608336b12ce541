"""The services of one Location: what a Step there works with.

Holds what ``runtime`` puts together when a Location opens, and owns what takes several
of them to answer: which rules hold for an agent and what they decide, which agent and
model a name means, and where each contribution of a plugin goes. Neighbour:
``handles``, through which an application looks at it.
"""

import logging
import os
from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from copy import deepcopy
from typing import Any, TypeVar

from attrs import define, evolve, field

from ..access.basis import Basis, definition_text
from ..access.names import Ground, check_rule
from ..access.permissions import Permissions
from ..access.request import AskRequest
from ..access.rules import WorkingFolder, decide
from ..configuration.file import FILE_NAME
from ..configuration.merging import Configuration
from ..context.registry import ContextRegistry
from ..contracts import (
    Action,
    AgentProblem,
    AgentProfile,
    CallNotice,
    CompactionStrategy,
    Editor,
    JobWork,
    ModelFacts,
    PermissionQuestion,
    Provider,
    Restoration,
    Rule,
    RuleEffect,
)
from ..jobs.keeper import Jobs
from ..lifecycle.guests import Guest, contained
from ..lifecycle.registrations import Rank, Registration, Registrations
from ..lifecycle.scope import Scope
from ..models.catalog import ModelCatalog
from ..models.credentials import LocationCredentials
from ..plugins.location_plugins import LocationPlugins
from ..plugins.opening import Add
from ..requests.questions import Questions
from ..skills.registry import Offers, SkillRegistry
from ..tools.registry import AdvertisedTools, ToolRegistry
from ..values.codec import sanitised
from ..values.errors import (
    AgentNotFoundError,
    ConfigurationError,
    DovetailError,
    InvalidValueError,
    ModelNotSelectedError,
    PluginError,
)
from ..values.ids import SessionId
from ..values.location import Location
from ..values.patterns import MAX_RULES, matches
from ..values.request import AnswerLimits, ModelInfo, ModelRequest
from ..values.secrets import Redactor
from .children import ChildSessions
from .prompts import Prompts
from .shipped import DEFAULT_AGENT

logger = logging.getLogger(__name__)

T = TypeVar("T")

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

MOST_EFFECTS = 4_096
"""Resources of which it is kept what the rules say."""


@define(eq=False)
class LocationServices:
    """Everything that one Location offers, while it is open."""

    location: Location
    scope: Scope
    configuration: Configuration
    tools: ToolRegistry
    catalog: ModelCatalog
    facts: Registrations[ModelFacts]
    credentials: LocationCredentials
    context: ContextRegistry
    skills: SkillRegistry
    agents: Registrations[AgentProfile]
    providers: Registrations[Provider]
    plugin_rules: Registrations[Rule]
    strategies: Registrations[CompactionStrategy]
    ground: Ground
    questions: Questions
    jobs: Jobs
    children: ChildSessions
    _make_plugins: "Callable[[LocationServices], LocationPlugins]"
    """Makes what is told of the others, and is asked by them; so is the next."""
    _make_permissions: "Callable[[LocationServices], Permissions]"
    plugins: LocationPlugins = field(init=False)
    permissions: Permissions = field(init=False)
    _rules: dict[str, tuple[tuple[int, ...], tuple[Rule, ...]]] = field(
        factory=dict, init=False
    )
    """By agent, and by the generations of what they were made of."""
    _bases: dict[str | None, tuple[tuple[int, ...], Basis]] = field(
        factory=dict, init=False
    )
    """Likewise; by None: for every agent."""
    _effects: dict[tuple[str, str, str], tuple[Sequence[Rule], RuleEffect]] = field(
        factory=dict, init=False
    )
    """By action, resource and agent, what these rules say."""
    _meant: dict[Rule, tuple[Rule, ...]] = field(factory=dict, init=False)
    agent_problems: Sequence[AgentProblem] = field(factory=list, init=False)
    """Files that look like agent profiles and are not used, or not all of them."""
    prompts: Prompts = field(factory=Prompts, init=False)
    editors: dict[str, Editor] = field(factory=dict, init=False)
    """By session, the editor that shows it."""
    _keys: Redactor = field(factory=Redactor, init=False, repr=False)
    """What takes the keys out that providers brought when they were registered."""
    _meant_in: int = field(default=-1, init=False)
    """The generation of the tools that these are for."""

    def __attrs_post_init__(self) -> None:
        self.plugins = self._make_plugins(self)
        self.permissions = self._make_permissions(self)

    @property
    def redact(self) -> Redactor:
        """What takes the keys of this Location's providers out of any text."""
        return self.credentials.hiding(self._keys)

    def editor_for(self, session_id: str) -> Editor | None:
        """Return the editor that shows a session, or else any that shows another one
        here: it may have the same files."""
        return self.editors.get(session_id) or next(iter(self.editors.values()), None)

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

    def basis(self, agent: str | None) -> Basis:
        """Return what approvals for an agent's calls rest on now; None: for those of
        every agent."""
        generation = (
            self.tools.generation,
            self.agents.generation,
            self.plugin_rules.generation,
        )
        known = self._bases.get(agent)
        if known is None or known[0] != generation:
            forbidding = [one.item for one in self.forbidding()]
            common = (*forbidding, *self._written(None))
            local = str(self.location.path / FILE_NAME)
            made = Basis(
                {
                    name: definition_text(
                        one.item.definition, one.item.tool.effect, one.owner
                    )
                    for name, one in self.tools.offered().items()
                },
                (*forbidding, *self._written(agent)),
                common,
                tuple(
                    rule
                    for rule in common
                    if rule.source is None or not rule.source.startswith(f"{local}: ")
                ),
            )
            known = self._bases[agent] = generation, made
        return known[1]

    def _written(self, agent: str | None) -> Sequence[Rule]:
        profile = None if agent is None else self.agents.get(agent)
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

    def check_rules(self, profiles: Sequence[AgentProfile]) -> Sequence[str]:
        """Return what is odd about the rules of this Location, a line each.

        ``profiles`` are those that come in the place of what is offered so far. Looks
        at the disk; call it in a thread.

        Raises:
            ConfigurationError: a rule can never match anything.
        """
        agents = {name: one.item for name, one in self.agents.offer().items()}
        agents |= {one.name: one for one in profiles}
        written = [*self.configuration.rules]
        for profile in agents.values():
            written += profile.rules
        odd = self._odd(rule for rule in written if rule.source is not None)
        # What every question will need is found out now, and not while one waits.
        written += (one.item for one in self.plugin_rules.all())
        for _ in self._here(written):
            pass
        return odd

    def meant(self, rules: Iterable[Rule]) -> tuple[Sequence[Rule], Sequence[str]]:
        """Return what rules mean here, and what is odd about them; see
        ``check_rules``."""
        given = tuple(rules)
        return tuple(self._here(given)), self._odd(given)

    def _odd(self, rules: Iterable[Rule]) -> Sequence[str]:
        actions = self.tools.actions()
        asked = [*actions, *self.tools.silent()]
        # Tools that come and go, such as those of a server, ask by the name of their
        # plugin or what begins with it, and none of them need be there yet.
        plugins = self.plugins.versions()
        known = [*asked, *plugins]
        begun = tuple(f"{name}_" for name in plugins)
        odd = []
        for rule in dict.fromkeys(rules):
            where = rule.source or "a rule"
            why = self.ground.nothing(rule, actions)
            if why is not None:
                raise ConfigurationError(
                    where,
                    f"a rule about {rule.resource!r} can never match: {why}",
                )
            if not rule.action.startswith(begun) and not any(
                matches(rule.action, name) for name in known
            ):
                from difflib import get_close_matches

                near = get_close_matches(rule.action, known, 1)
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

    def effect(
        self, action: str, resource: str, agent: str | None = None
    ) -> RuleEffect:
        """Return what the rules of an agent say of one resource; without a name of the
        Location's own."""
        effects = [self._ruled(action, resource, self.agent_name(agent))]
        for one in self.forbidding():
            effects.append(self._objection(one.item, action, resource))
        return max(effects, key=_STRICTNESS.__getitem__)

    def _ruled(self, action: str, resource: str, agent: str) -> RuleEffect:
        """Return what an agent's rules say; the same is asked at every boundary."""
        rules = self.rules(agent)
        known = self._effects.get((action, resource, agent))
        if known is not None and known[0] is rules:
            return known[1]
        effect = decide(action, (resource,), rules)
        if len(self._effects) >= MOST_EFFECTS:
            self._effects.clear()
        self._effects[action, resource, agent] = rules, effect
        return effect

    def skill_offers(self, agent: str) -> Offers:
        """Return which skills an agent of this name may load."""
        profile = self.agents.get(self.agent_name(agent))

        def effect(name: str) -> RuleEffect:
            if profile is not None:
                visible = profile.tools is None or "skill" in profile.tools
                if not visible or "skill" in profile.without:
                    return "deny"
            return self.effect("skill", name, agent or None)

        return Offers(
            effect,
            (
                self.tools.generation,
                self.agents.generation,
                self.plugin_rules.generation,
            ),
        )

    def _objection(
        self, rule: Rule, action: str, resource: str, folder: str | None = None
    ) -> RuleEffect:
        """Return what a rule that only restricts says against one resource."""
        directory = self.location.directory
        where = WorkingFolder(directory, folder or ".", os.path.realpath)
        alone = (Rule("*", "*", "allow"), *self._here([rule]))
        return decide(action, (resource,), alone, where=where)

    def decide(self, request: AskRequest) -> tuple[RuleEffect, str] | None:
        """Return the strictest answer of the plugins, and whose it is.

        One that breaks, or cannot be called, denies (law plugins.6).
        """
        try:
            self.plugins.hooks.implementing(RULES)
            deciding = self.plugins.hooks.implementing(DECIDE)
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
                answer = self.plugins.hooks.call(
                    one, DECIDE, session_id=request.session_id, question=asked
                )
            except PluginError as error:
                logger.debug("denied, because %s", error)
            if answer is None:
                continue
            if answer not in _EFFECTS:
                self.plugins.hooks.refuse(
                    one, DECIDE, f"it answered {type(answer).__name__}"
                )
                answer = "deny"
            answers.append((answer, one.name))
        return max(answers, key=lambda each: _STRICTNESS[each[0]], default=None)

    def refusal(self, call: CallNotice) -> str | None:
        """Return why a plugin does not let a call run; None when all do."""
        try:
            guarding = self.plugins.hooks.implementing(PREPARE_CALL)
            for one in guarding:
                reason: Any = self.plugins.hooks.call(
                    one, PREPARE_CALL, session_id=call.session_id, call=call
                )
                if isinstance(reason, str):
                    return f"plugin {one.name!r} does not let it run: {reason}"
                if reason is not None:
                    raise self.plugins.hooks.refuse(
                        one, PREPARE_CALL, f"it answered {type(reason).__name__}"
                    )
        except PluginError as error:
            # What the exception says is for the operator, who has it in the log.
            return f"plugin {error.plugin!r} guards calls and cannot decide"
        return None

    def job_work(self, tool: str) -> JobWork | None:
        """Return how a tool that is offered here looks after its jobs; what it raises
        ends nothing but that. None when it is not offered, or has no jobs."""
        entry = self.tools.advertise().get(tool)
        work = None if entry is None else entry.item.tool.jobs
        if entry is None or work is None:
            return None
        guest = Guest(entry.owner, f"jobs of tool {tool!r}")
        return JobWork(
            *(
                _kept_apart(guest, one)
                for one in (work.look, work.watch, work.stop, work.extend)
            )
        )

    def restoring(
        self, tool: str
    ) -> Callable[[Location, Restoration], Awaitable[str | None]] | None:
        """Return how a tool that is offered here restores files that it changed; None
        when it is not offered, or cannot."""
        entry = self.tools.advertise().get(tool)
        restore = None if entry is None else entry.item.tool.restore
        if entry is None or restore is None:
            return None
        found = entry

        async def call(location: Location, wanted: Restoration) -> str | None:
            with contained(Guest(found.owner, f"restore of tool {tool!r}")):
                try:
                    answer: object = await restore(location, wanted)
                except DovetailError:
                    raise
                except Exception as error:
                    # Boundary: a tool is a stranger's code.
                    logger.exception("tool %r broke while it restored", tool)
                    return f"its tool broke: {type(error).__name__}"
            return None if answer is None else str(answer)

        return call

    def registering(self) -> Sequence[tuple[str, "Add"]]:
        """Return each registering hook with what takes its items."""
        return (
            ("dovetail_register_tools", self.tools.register),
            ("dovetail_register_models", self._add_facts),
            ("dovetail_register_credentials", self.credentials.register),
            ("dovetail_register_providers", self._add_provider),
            ("dovetail_register_context", self.context.register),
            ("dovetail_register_skills", self.skills.register),
            ("dovetail_register_prompts", self.prompts.register),
            ("dovetail_register_agents", self._add_agent),
            ("dovetail_register_compaction", self._add_strategy),
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
        for own in (provider.default, provider.small):
            if own is not None:
                _checked_name("model name", own)
        silence = provider.silence
        number = isinstance(silence, int | float) and not isinstance(silence, bool)
        if silence is not None and not (number and silence > 0):
            raise InvalidValueError(
                "silence of a provider", silence, "a number of seconds, or None"
            )
        if not isinstance(provider.redact, Redactor):
            raise InvalidValueError("redact of a provider", None, "give a Redactor")
        if not isinstance(provider.limits, AnswerLimits):
            raise InvalidValueError(
                "limits of a provider", provider.limits, "give AnswerLimits"
            )
        checked = evolve(provider, models=models)
        # Also when it goes again: what has its keys may be read later.
        self._keys = self._keys.with_telling(provider.redact)
        return self.providers.add(owner, name, checked, rank)

    def _add_facts(
        self, facts: ModelFacts, owner: str, rank: Rank
    ) -> Registration[ModelFacts]:
        if not isinstance(facts, ModelFacts):
            raise InvalidValueError("model facts", facts, "give a ModelFacts")
        name = _checked_name("model facts", facts.name)
        if facts.provider is not None:
            _checked_name("provider name", facts.provider)
        if not callable(facts.models) or not callable(facts.info):
            raise InvalidValueError("model facts", name, "they must be functions")
        return self.facts.add(owner, name, facts, rank)

    def _add_agent(
        self, profile: AgentProfile, owner: str, rank: Rank
    ) -> Registration[AgentProfile]:
        if not isinstance(profile, AgentProfile):
            raise InvalidValueError("agent profile", profile, "give an AgentProfile")
        name = _checked_name("agent profile", profile.name)
        texts = (profile.description, profile.instructions, profile.model or "")
        if not all(isinstance(one, str) for one in texts):
            raise InvalidValueError("agent profile", name, "its texts must be texts")
        steps = profile.steps
        if steps is not None and (type(steps) is not int or steps < 1):
            raise InvalidValueError("agent profile", name, "at least one Step")
        rules = _all_of(Rule, "rules of an agent profile", profile.rules)
        for rule in rules:
            check_rule(rule)
        if len(rules) > MAX_RULES:
            raise InvalidValueError("agent profile", name, f"{MAX_RULES} rules at most")
        tools = profile.tools
        if tools is not None:
            tools = _all_of(str, "tools of an agent profile", tools)
        without = _all_of(str, "tools of an agent profile", profile.without)
        if not isinstance(profile.options, Mapping):
            raise InvalidValueError("agent profile", name, "its options are a mapping")
        checked = evolve(
            profile,
            rules=rules,
            tools=tools,
            without=without,
            options=sanitised(dict(profile.options)),
            sources=(f"plugin {owner}",),
        )
        return self.agents.add(owner, name, checked, rank)

    def _add_strategy(
        self, strategy: CompactionStrategy, owner: str, rank: Rank
    ) -> Registration[CompactionStrategy]:
        if not isinstance(strategy, CompactionStrategy):
            raise InvalidValueError("strategy", strategy, "give a CompactionStrategy")
        name = _checked_name("strategy", strategy.name)
        if not callable(strategy.summarise):
            raise InvalidValueError("strategy", name, "summarise must be a function")
        return self.strategies.add(owner, name, strategy, rank)

    def agent(self, name: str | None) -> AgentProfile:
        """Return the agent profile of a session.

        Raises:
            AgentNotFoundError: nobody offers it.
        """
        wanted = self.agent_name(name)
        profile = self.agents.get(wanted)
        if profile is None:
            offered = ", ".join(repr(known) for known in self.agents.offer())
            raise AgentNotFoundError(wanted, f"offered here: {offered}")
        return profile

    def advertise(
        self,
        profile: AgentProfile,
        model: str,
        only: Collection[str] | None = None,
    ) -> AdvertisedTools:
        """Return the tools that a Step of an agent with a model is offered, of these or
        of all."""
        names = profile.tools
        if only is not None:
            names = [name for name in only if names is None or name in names]
        if profile.without:
            offered = self.tools.advertise(names, model).names
            names = [name for name in offered if name not in profile.without]
        return self.tools.advertise(names, model).within(profile.lines, profile.bytes)

    def agent_name(self, name: str | None) -> str:
        """Return which agent that is, whether anybody offers it or not."""
        return name or self.configuration.agent or DEFAULT_AGENT

    def names_model(self, profile: AgentProfile) -> bool:
        """Return whether an agent has a model of its own here."""
        small = self.configuration.small_model if profile.small else None
        return bool(profile.model or small)

    def model_for(self, profile: AgentProfile, model: str | None) -> str:
        """Return the name of a session's model: its own, its agent's, the configured
        one, or that of the first provider that has what it needs; of an agent that
        makes do with it, the small one.

        Raises:
            ModelNotSelectedError: nothing names one, and no provider has a usual one.
        """
        configured = self.configuration
        small = configured.small_model if profile.small else None
        name = model or profile.model or small or configured.model
        if name is None:
            # Only where all of it is left to us: whoever chose a model has chosen who
            # is told what is said.
            name = self.catalog.default(small=profile.small)
        if name is None:
            raise ModelNotSelectedError(self.catalog.askable())
        return name

    def prepare(self, request: ModelRequest, session_id: SessionId) -> ModelRequest:
        """Return the request as the plugins adjusted it, each in its turn.

        Raises:
            PluginError: a plugin broke; the request must not be sent (law plugins.6).
        """
        preparing = self.plugins.hooks.implementing(PREPARE)
        if preparing:
            # The definitions are those of all sessions here: what a plugin does to
            # them in place must stay in this request.
            copied = [evolve(one, schema=deepcopy(one.schema)) for one in request.tools]
            request = evolve(
                request, tools=tuple(copied), options=deepcopy(request.options)
            )
        for one in preparing:
            changed: Any = self.plugins.hooks.call(
                one, PREPARE, session_id=session_id, request=request
            )
            if isinstance(changed, ModelRequest):
                request = changed
            elif changed is not None:
                raise self.plugins.hooks.refuse(
                    one, PREPARE, f"it answered {type(changed).__name__}"
                )
        return request


def _kept_apart(
    guest: Guest, function: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[Any]]:
    """Return a function of a stranger's that ends nothing but itself."""

    async def call(*given: Any) -> Any:
        with contained(guest):
            return await function(*given)

    return call


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
