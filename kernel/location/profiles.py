"""The agent profiles of a Location: what plugins offer, and what files say of it.

Owns how settings become profiles: what ships and what plugins register is the base, on
which lie, in this order, the agent files (the user's, then the checkout's from its root
down), and the ``[agents.NAME]`` tables of the user's and the Location's
``dovetail.toml``. A file that cannot be used is a problem with a name, and nothing else
of it.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence

from attrs import evolve

from ..access.rules import DEFAULT_RULES, decide
from ..configuration.agent_files import AgentFile, find_agent_files
from ..configuration.file_settings import AgentSettings
from ..contracts import AgentProblem, AgentProfile, ContextSource, Observation
from ..values.codec import clean_text
from ..values.errors import ConfigurationError
from ..values.frozen import frozen
from .services import LocationServices

logger = logging.getLogger(__name__)

OWNER = "configuration"
"""Whose a profile is that files say something of."""


@frozen
class OfferedByFiles:
    """What files say of the agents of a Location."""

    profiles: Sequence[AgentProfile]
    """Those that they say something of."""
    problems: Sequence[AgentProblem]
    """What of the files is not used."""
    odd: Sequence[str]
    """What is odd about the rules that hold with these profiles, a line each."""


def offered_by_files(
    services: LocationServices, environment: Mapping[str, str], home: str | None
) -> OfferedByFiles:
    """Return what files say of agents, having told of what is not used of them.

    Looks at the disk; call it in a thread, when everything is registered.

    Raises:
        ConfigurationError: a rule of the Location can never match anything.
    """
    profiles, problems = _found(services, environment, home)
    for problem in problems:
        # What of a file does not count is for whoever asks: many files of other
        # programs say something of the kind.
        level = logging.DEBUG if problem.used else logging.WARNING
        logger.log(level, "%s: %s", problem.path, problem.problem)
    return OfferedByFiles(profiles, problems, services.check_rules(profiles))


def _found(
    services: LocationServices, environment: Mapping[str, str], home: str | None
) -> tuple[Sequence[AgentProfile], Sequence[AgentProblem]]:
    configuration = services.configuration
    layers: dict[str, list[tuple[AgentSettings, str]]] = {}
    problems: list[AgentProblem] = []
    for one in find_agent_files(
        services.location,
        environment,
        home,
        configuration.trusted_folders,
        lambda resource: services.effect("read", resource),
    ):
        problem = one if isinstance(one, AgentProblem) else _wrong(services, one)
        if problem is not None:
            problems.append(problem)
        elif isinstance(one, AgentFile):
            layers.setdefault(one.name, []).append((one.settings, one.path))
            problems += (AgentProblem(one.path, told, True) for told in one.notices)
    for name, tables in configuration.agents.items():
        of_tables = [(table, table.source or OWNER) for table in tables]
        layers.setdefault(name, []).extend(of_tables)
    made = [_profile(services, name, said) for name, said in layers.items()]
    return made, problems


def _profile(
    services: LocationServices, name: str, said: Sequence[tuple[AgentSettings, str]]
) -> AgentProfile:
    base = services.agents.get(name) or AgentProfile(name, rules=DEFAULT_RULES)
    for settings, _ in said:
        base = settings.applied_to(base)
    paths = dict.fromkeys(path for _, path in said)
    return evolve(base, sources=(*base.sources, *paths))


def _wrong(services: LocationServices, file: AgentFile) -> AgentProblem | None:
    """Return what is wrong with the rules of a file, in this Location."""
    try:
        services.meant(file.settings.rules)
    except ConfigurationError as error:
        told = str(error).removeprefix(f"{file.path}: ")
        return AgentProblem(file.path, told)
    return None


# --- what a model is told ---------------------------------------------------------

SUBAGENT = "subagent"
"""The tool, and the action, by which an agent gives work to another one."""
MAX_LISTED = 100
MAX_DESCRIPTION = 300
"""Characters of a description that a model is told."""


def agents_source(services: LocationServices) -> ContextSource:
    """Return the Context Source that tells a model which agents it can give work to.

    It has nothing to say where no tool does that, nor to an agent that may not.
    """

    async def observe() -> Observation:
        seen = _generation(services)

        def holds() -> bool:
            return _generation(services) == seen

        listed = [
            [one.item.name, one.item.description, one.item.vouched]
            for one in services.agents.offer().values()
        ]
        there = SUBAGENT in services.tools.advertise().names
        return evolve(_observation(listed if there else []), holds=holds)

    def tell(found: Observation, agent: str) -> Observation:
        profile, rules = services.agents.get(agent), services.rules(agent)
        if profile is None or not _is_offered(profile):
            return _observation([])
        return _observation(
            [
                one
                for one in found.value or ()
                if decide(SUBAGENT, [one[0]], rules) != "deny"
            ]
        )

    return ContextSource("core/subagents", observe, tell=tell)


def _generation(services: LocationServices) -> tuple[int, ...]:
    registries = (services.agents, services.tools, services.plugin_rules)
    return tuple(one.generation for one in registries)


def _is_offered(profile: AgentProfile) -> bool:
    tools = profile.tools
    return SUBAGENT not in profile.without and (tools is None or SUBAGENT in tools)


def _observation(offered: Sequence[Sequence[object]]) -> Observation:
    if not offered:
        return Observation("")
    listing = "\n".join(_lines(offered))
    return Observation(
        f"Agents to which the tool `{SUBAGENT}`, where you are offered it, gives a "
        f"part of your work, by name:\n\n{listing}",
        f"The agents to which `{SUBAGENT}` gives work are now:\n\n{listing}",
        value=offered,
        removal=f"There are no agents to which `{SUBAGENT}` could give work any more.",
    )


def _lines(offered: Sequence[Sequence[object]]) -> Iterator[str]:
    for name, description, vouched in offered[:MAX_LISTED]:
        words = " ".join(clean_text(str(description)).split())[:MAX_DESCRIPTION]
        if not vouched:
            words = f"> {words} (says a file that came with this directory, unvouched)"
        yield f"- {name}: {words}" if words else f"- {name}"
    if len(offered) > MAX_LISTED:
        yield f"- [and {len(offered) - MAX_LISTED} more, too many to list]"
