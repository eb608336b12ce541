"""Configuration: what the user's and the Location's ``dovetail.toml`` say.

Owns the settings, and how those of two files make one: what the Location's may say over
the user's, and what a file may that nobody vouched for. Neighbours: ``file`` below
reads, ``table`` checks. Knows nothing of what the settings do: providers, plugins and
skills interpret their own tables. It reads files when it is asked to and never again.

The user's file is ``dovetail.toml`` in the user's configuration folder, or the file
that ``DOVETAIL_CONFIG`` names (empty: none). The Location's is ``dovetail.toml`` in its
directory, and in no folder above it::

    model = "openai/gpt-5.2"
    agent = "build"
    disable_plugins = ["weather"]
    plugin_files = ["tools.py"]               # run as plugins, where they are trusted
    trusted = ["/home/me/work"]               # in the user's file only

    [providers.local]
    base_url = "http://127.0.0.1:11434/v1"

    [permissions]
    rules = [{ action = "bash", resource = "git status *", effect = "allow" }]

    [agents.reviewer]
    instructions = "Review; change nothing."
    tools = ["read", "grep"]

    [skills]
    folders = ["skills"]

    [plugins.weather]
    units = "metric"

A Location's file is other people's data: it came with a clone or a download. Unless
the user's file lists the directory under ``trusted``, it can make things stricter,
and can never grant a right, choose another agent, reach a plugin, lead outside of the
directory, or send a key of the user's to another machine. The first three are ignored
with a notice; for the last two the file is refused.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from ..contracts import AgentProfile, Rule, RuleEffect
from ..values.location import Location
from ..values.tool import Json
from .file import FILE_NAME, read, same_file, user_file
from .table import Table, shown

_SETTINGS = (
    "model",
    "agent",
    "providers",
    "permissions",
    "plugins",
    "agents",
    "skills",
    "disable_plugins",
    "plugin_files",
    "trusted",
)


@frozen
class AgentSettings:
    """What one file says about one agent. None is nothing said."""

    description: str | None = None
    instructions: str | None = None
    model: str | None = None
    steps: int | None = None
    rules: tuple[Rule, ...] = ()
    """Added after the profile's own."""
    tools: tuple[str, ...] | None = None
    trusted: bool = True
    """Whether ``tools`` may add to what the profile is offered."""

    def applied_to(self, base: AgentProfile) -> AgentProfile:
        """Return the profile with these settings on top."""
        tools = base.tools if self.tools is None else self.tools
        if not self.trusted and tools is not None and base.tools is not None:
            tools = [name for name in tools if name in base.tools]
        return evolve(
            base,
            description=_given(self.description, base.description),
            instructions=_given(self.instructions, base.instructions),
            model=_given(self.model, base.model),
            steps=_given(self.steps, base.steps),
            rules=(*base.rules, *self.rules),
            tools=tools,
        )


@frozen
class Configuration:
    """The settings that hold in one Location, or outside of any."""

    model: str | None = None
    agent: str | None = None
    providers: Mapping[str, Mapping[str, Json]] = field(factory=dict, repr=False)
    """The ``[providers.NAME]`` tables. They may hold keys."""
    rules: tuple[Rule, ...] = ()
    """The user's, then the Location's: they come after an agent profile's."""
    plugins: Mapping[str, Mapping[str, Json]] = field(factory=dict, repr=False)
    """The ``[plugins.NAME]`` tables. They may hold keys."""
    agents: Mapping[str, tuple[AgentSettings, ...]] = field(factory=dict)
    """By agent, one entry for each file that names it, in order; see ``profile``."""
    skill_folders: tuple[str, ...] = ()
    """Absolute, the user's first. They need not exist."""
    disabled_plugins: tuple[str, ...] = ()
    plugin_files: tuple[str, ...] = ()
    """Absolute, the user's first."""
    sources: tuple[str, ...] = ()
    """The files that were read."""
    trusted: bool = False
    """Whether the user vouches for the Location."""
    notices: tuple[str, ...] = ()
    """What the Location's file says and what was ignored, one line each."""

    @classmethod
    def load(
        cls, location: Location | None, environment: Mapping[str, str]
    ) -> "Configuration":
        """Read the user's file and the Location's, and return what they say together.

        The Location's values win over the user's, table by table; lists are joined,
        the user's first. A file that is absent says nothing.

        Raises:
            ConfigurationError: a file cannot be read, is no TOML, or has a key or a
                type that it should not have. The message names file and key, and
                never a value.
            ConfigurationUntrustedError: the Location's file asks for what only that
                of a trusted Location may.
        """
        home = user_file(environment)
        user = read(home[0], follow=True, required=home[1]) if home else None
        said = _Said.by(Table.top(home[0], user)) if home and user else _Said()
        sources = [str(home[0])] if home and user is not None else []
        if location is None:
            return said.configuration(sources, trusted=False)
        trusted = os.path.realpath(location.directory) in said.trusted
        path = location.path / FILE_NAME
        if home and same_file(home[0], path):
            return said.configuration(sources, trusted=trusted)
        data = read(path, follow=False, required=False)
        if data is not None:
            sources.append(str(path))
            table = Table.top(path, data)
            if "trusted" in data:
                raise table.error("trusted", "belongs in the user's own file only")
            local = _Said.by(table)
            said = (
                said.then(local)
                if trusted
                else said.then_untrusted(local, table, location.path)
            )
        return said.configuration(sources, trusted=trusted)

    def profile(self, name: str, base: AgentProfile) -> AgentProfile:
        """Return an agent profile with the ``[agents.NAME]`` settings on top.

        Its rules do not yet hold ``rules``, which are for all agents.
        """
        for settings in self.agents.get(name, ()):
            base = settings.applied_to(base)
        return base


# --- what one file says -----------------------------------------------------------


@frozen(kw_only=True)
class _Said:
    """The content of one file, or of several together."""

    model: str | None = None
    agent: str | None = None
    providers: Mapping[str, Mapping[str, Json]] = field(factory=dict)
    rules: tuple[Rule, ...] = ()
    plugins: Mapping[str, Mapping[str, Json]] = field(factory=dict)
    agents: Mapping[str, tuple[AgentSettings, ...]] = field(factory=dict)
    skill_folders: tuple[str, ...] = ()
    disabled_plugins: tuple[str, ...] = ()
    plugin_files: tuple[str, ...] = ()
    trusted: frozenset[str] = frozenset()
    notices: tuple[str, ...] = ()

    @classmethod
    def by(cls, table: "Table") -> "_Said":
        table.only(*_SETTINGS)
        permissions = table.table("permissions").only("rules")
        skills = table.table("skills").only("folders")
        return cls(
            model=table.text("model"),
            agent=table.text("agent"),
            providers={
                name: _provider(each) for name, each in table.named("providers")
            },
            rules=tuple(_rules(permissions)),
            plugins={name: each.json() for name, each in table.named("plugins")},
            agents={name: (_agent(each),) for name, each in table.named("agents")},
            skill_folders=tuple(
                _absolute(table.path.parent, folder)
                for folder in skills.texts("folders") or ()
            ),
            disabled_plugins=table.texts("disable_plugins") or (),
            plugin_files=tuple(
                _absolute(table.path.parent, file)
                for file in table.texts("plugin_files") or ()
            ),
            trusted=frozenset(
                os.path.realpath(_absolute(table.path.parent, folder))
                for folder in table.texts("trusted") or ()
            ),
        )

    def then(self, other: "_Said") -> "_Said":
        """Add what a file says that is trusted as much as this."""
        return _Said(
            model=_given(other.model, self.model),
            agent=_given(other.agent, self.agent),
            providers=_merged(self.providers, other.providers),
            rules=self.rules + other.rules,
            plugins=_merged(self.plugins, other.plugins),
            agents={
                name: self.agents.get(name, ()) + other.agents.get(name, ())
                for name in {**self.agents, **other.agents}
            },
            skill_folders=self.skill_folders + other.skill_folders,
            disabled_plugins=tuple(
                dict.fromkeys(self.disabled_plugins + other.disabled_plugins)
            ),
            plugin_files=tuple(dict.fromkeys(self.plugin_files + other.plugin_files)),
            trusted=self.trusted,
            notices=self.notices + other.notices,
        )

    def then_untrusted(
        self, other: "_Said", table: "Table", directory: Path
    ) -> "_Said":
        """Add what a file says that nobody vouched for."""
        for name, settings in other.providers.items():
            _check_endpoint(name, settings, table, configured=name in self.providers)
        for folder in other.skill_folders:
            if not Path(os.path.realpath(folder)).is_relative_to(
                os.path.realpath(directory)
            ):
                raise table.untrusted(
                    "skills.folders", "leads out of the Location's directory"
                )
        notices: list[str] = []
        if any(rule.effect == "allow" for rule in other.rules):
            notices.append(table.ignored("permissions.rules", "rules that allow"))
        for name, layers in other.agents.items():
            if any(rule.effect == "allow" for one in layers for rule in one.rules):
                key = f"agents.{shown(name)}.rules"
                notices.append(table.ignored(key, "rules that allow"))
        # Another agent may have more rights, and a plugin's settings may lead anywhere.
        unheard = {
            "agent": other.agent is not None,
            "disable_plugins": bool(other.disabled_plugins),
            "plugin_files": bool(other.plugin_files),
            "plugins": bool(other.plugins),
        }
        notices += [
            table.ignored(key, "all of it") for key, said in unheard.items() if said
        ]
        merged = self.then(
            evolve(
                other,
                rules=_tightening(other.rules),
                agents={
                    name: tuple(
                        evolve(one, rules=_tightening(one.rules), trusted=False)
                        for one in layers
                    )
                    for name, layers in other.agents.items()
                },
                agent=None,
                plugins={},
                disabled_plugins=(),
                plugin_files=(),
                notices=tuple(notices),
            )
        )
        # A provider's table stands alone: joined with the user's of the same name,
        # its endpoint would be sent the user's key.
        return evolve(merged, providers={**self.providers, **other.providers})

    def configuration(self, sources: list[str], *, trusted: bool) -> Configuration:
        return Configuration(
            model=self.model,
            agent=self.agent,
            providers=self.providers,
            rules=self.rules,
            plugins=self.plugins,
            agents=self.agents,
            skill_folders=tuple(dict.fromkeys(self.skill_folders)),
            disabled_plugins=self.disabled_plugins,
            plugin_files=self.plugin_files,
            sources=tuple(sources),
            trusted=trusted,
            notices=self.notices,
        )


def _given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _merged(
    below: Mapping[str, Mapping[str, Json]], above: Mapping[str, Mapping[str, Json]]
) -> dict[str, Mapping[str, Json]]:
    return {
        name: {**below.get(name, {}), **above.get(name, {})}
        for name in {**below, **above}
    }


def _tightening(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    return tuple(
        evolve(rule, tightens=True) for rule in rules if rule.effect != "allow"
    )


def _absolute(base: Path, folder: str) -> str:
    return os.path.normpath(base / os.path.expanduser(folder))


def _provider(table: "Table") -> dict[str, Json]:
    for key in ("base_url", "api_key", "api_key_env"):
        table.text(key)
    return table.json()


def _rules(table: "Table") -> Iterator[Rule]:
    for each in table.tables("rules"):
        each.only("action", "resource", "effect")
        effect = each.required("effect")
        if effect not in get_args(RuleEffect):
            raise each.error("effect", 'must be "allow", "ask" or "deny"')
        yield Rule(each.required("action"), each.required("resource"), effect)  # type: ignore[arg-type]


def _agent(table: "Table") -> AgentSettings:
    table.only("description", "instructions", "model", "steps", "rules", "tools")
    return AgentSettings(
        description=table.text("description"),
        instructions=table.text("instructions"),
        model=table.text("model"),
        steps=table.count("steps"),
        rules=tuple(_rules(table)),
        tools=table.texts("tools"),
    )


# --- whose key goes where ---------------------------------------------------------


def _check_endpoint(
    name: str, settings: Mapping[str, Json], table: "Table", *, configured: bool
) -> None:
    """Refuse a provider's table that could send a key to whoever wrote the table."""
    key = f"providers.{shown(name)}"
    endpoints = list(_endpoints(settings))
    if endpoints and all(_on_this_machine(endpoint) for endpoint in endpoints):
        return
    if any(_names_environment(settings)):
        raise table.untrusted(
            key, "takes a key from the environment and sends it off this machine"
        )
    if endpoints and "api_key" not in settings:
        # Which provider has which key in the environment is known to plugins only,
        # so every endpoint that brings no key of its own might be sent one.
        raise table.untrusted(
            key, "names an endpoint on another machine and no api_key of its own"
        )
    if configured and not endpoints:
        raise table.untrusted(key, "changes a provider of the user's own file")


def _endpoints(settings: Json, key: str = "") -> Iterator[str]:
    if isinstance(settings, str):
        if "://" in settings or key == "base_url":
            yield settings
    elif isinstance(settings, Mapping):
        for name, value in settings.items():
            yield from _endpoints(value, name)
    elif isinstance(settings, list):
        for value in settings:
            yield from _endpoints(value, key)


def _names_environment(settings: Json) -> Iterator[bool]:
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            yield name.lower().endswith("_env") or name.lower() == "env"
            yield from _names_environment(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from _names_environment(value)


def _on_this_machine(address: str) -> bool:
    # Two programs that read one odd address differently are how a key gets out:
    # whatever is odd is not this machine.
    if not re.fullmatch(r"[!-~]+", address) or "@" in address or "\\" in address:
        return False
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https", "ws", "wss"):
            return False
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
