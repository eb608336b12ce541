"""The agent profiles of a Location: what plugins offer, and what files say of it.

Owns how settings become profiles: what ships and what plugins register is the base, on
which lie, in this order, the agent files (the user's, then the checkout's from its root
down), and the ``[agents.NAME]`` tables of the user's and the Location's
``dovetail.toml``. A file that cannot be used is a problem with a name, and nothing else
of it.
"""

from collections.abc import Mapping, Sequence

from attrs import evolve

from ..access.rules import DEFAULT_RULES
from ..configuration.agent_files import AgentFile, find_agent_files
from ..configuration.file_settings import AgentSettings
from ..contracts import AgentProblem, AgentProfile
from ..values.errors import ConfigurationError
from .services import LocationServices

OWNER = "configuration"
"""Whose a profile is that files say something of."""


def offered_by_files(
    services: LocationServices, environment: Mapping[str, str], home: str | None
) -> tuple[Sequence[AgentProfile], Sequence[AgentProblem]]:
    """Return the profiles that files say something of, and what of the files is not
    used.

    Looks at the disk; call it in a thread, when everything is registered.
    """
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
