"""Trust: what a file may say that came with a directory, when nobody vouched for it.

Owns the one answer, key by key (``CLAUSES``), and applies it. Whatever it does not
name is ignored. The page ``docs/configuration.md`` shows the same table.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from attrs import evolve, field

from ..contracts import Rule
from ..values.frozen import frozen
from ..values.generation import NO_GENERATION
from ..values.tool import Json
from .compaction import CompactionSettings
from .fallback import FallbackSettings
from .file_settings import USUAL, AgentSettings, FileSettings, OutputBounds
from .table import Table, shown

MAX_FOREIGN_RULES = 200
"""Rules of one untrusted file that are kept, in the order that they stand in. Each is
looked at for each resource."""
MAX_FOREIGN_TEXT = 16_384
"""Characters of instructions of one agent."""

May = Literal["nothing", "stricter", "quoted", "inside"]
"""What a key of an untrusted file does: it is ignored; it only ever makes something
stricter; the model is told it as the file's own words; it is kept where it leads
nowhere out of the directory."""


@frozen
class Clause:
    """What one key of an untrusted file may do."""

    key: str
    may: May
    how: str
    """In a sentence, for the documentation."""
    refused: str | None = None
    """What of it refuses the whole file, because it is an attack or cannot be meant."""


CLAUSES: tuple[Clause, ...] = (
    Clause("model", "nothing", "You choose the model."),
    Clause("small_model", "nothing", "You choose the model."),
    Clause("model_titles", "nothing", "You choose what your models are asked."),
    Clause("fallback", "nothing", "You choose the models."),
    Clause("agent", "nothing", "Another agent may have more rights."),
    Clause("disable_plugins", "nothing", "A plugin may be what guards you."),
    Clause("compaction", "nothing", "You choose what your models are shown."),
    Clause("plugin_files", "nothing", "Code is run only where you trust it."),
    Clause("plugins.NAME", "nothing", "A plugin's settings may lead anywhere."),
    Clause("mcp.NAME", "nothing", "A server is a program that is run."),
    Clause(
        "trusted",
        "nothing",
        "Nobody vouches for themselves.",
        "always, also in a trusted directory",
    ),
    Clause(
        "outputs",
        "nothing",
        "What is kept of other sessions is not for it to say.",
        "always, also in a trusted directory",
    ),
    Clause(
        "providers.NAME",
        "nothing",
        "No provider is redirected or added, whatever its address.",
        "a provider of your own file, a variable of the environment, a command or the "
        "keyring for a key, or an address on another machine without a key of its own",
    ),
    Clause(
        "permissions.rules",
        "stricter",
        f"`ask` and `deny` count where they are stricter, the first "
        f"{MAX_FOREIGN_RULES} of the file; `allow` is ignored.",
    ),
    Clause("tools.NAME.models", "nothing", "You choose what your models are offered."),
    Clause("tools.NAME.lines", "stricter", "It lowers the bound and never raises it."),
    Clause("tools.NAME.bytes", "stricter", "As `tools.NAME.lines`."),
    Clause(
        "agents.NAME.rules",
        "stricter",
        "As `permissions.rules`, for one agent.",
    ),
    Clause("agents.NAME.steps", "stricter", "It lowers the limit and never raises it."),
    Clause("agents.NAME.tools", "stricter", "It takes tools away and never adds one."),
    Clause("agents.NAME.without", "stricter", "It takes tools away."),
    Clause("agents.NAME.options", "nothing", "Requests are as you say."),
    Clause("agents.NAME.generation", "nothing", "As `agents.NAME.options`."),
    Clause("agents.NAME.lines", "stricter", "As `tools.NAME.lines`, for one agent."),
    Clause("agents.NAME.bytes", "stricter", "As `tools.NAME.lines`, for one agent."),
    Clause("agents.NAME.model", "nothing", "You choose the model."),
    Clause(
        "agents.NAME.description",
        "quoted",
        "It describes an agent that has no description.",
    ),
    Clause(
        "agents.NAME.instructions",
        "quoted",
        "Added after the agent's own, in quotes, under the name of the file; at most "
        f"{MAX_FOREIGN_TEXT} characters.",
    ),
    Clause(
        "skills.folders",
        "inside",
        "Folders of the directory.",
        "a folder outside of it",
    ),
)


def restrained(
    other: FileSettings, user: FileSettings, table: Table, directory: Path
) -> FileSettings:
    """Return what an untrusted file may say of what it says, with a notice for each
    key of which something is ignored.

    Raises:
        ConfigurationUntrustedError: it asks for what no such file may ask for.
    """
    for name, settings in other.providers.items():
        _check_provider(name, settings, table, configured=name in user.providers)
    root = os.path.realpath(directory)
    for folder in other.skill_folders:
        if not Path(os.path.realpath(folder)).is_relative_to(root):
            raise table.untrusted(
                "skills.folders", "leads out of the Location's directory"
            )
    kept = Restraint(table)
    agents = {
        name: tuple(kept.agent(name, one) for one in layers)
        for name, layers in other.agents.items()
    }
    rules = kept.rules("permissions.rules", other.rules)
    bounds = {
        name: kept.bounds(name, one, user.tool_bounds.get(name, OutputBounds()))
        for name, one in other.tool_bounds.items()
    }
    ignored = {
        "model": other.model is not None,
        "small_model": other.small_model is not None,
        "model_titles": other.model_titles is not None,
        "fallback": other.fallback != FallbackSettings(),
        "agent": other.agent is not None,
        "disable_plugins": bool(other.disabled_plugins),
        "compaction": other.compaction != CompactionSettings(),
        "plugin_files": bool(other.plugin_files),
        "plugins": bool(other.plugins),
        "mcp": bool(other.mcp),
        "providers": bool(other.providers),
        "tools.NAME.models": bool(other.tool_models),
    }
    whole = tuple(key for key, said in ignored.items() if said)
    notices = [table.ignored(key, "all of it") for key in whole]
    return FileSettings(
        rules=rules,
        agents=agents,
        skill_folders=other.skill_folders,
        tool_bounds={
            name: one for name, one in bounds.items() if one != OutputBounds()
        },
        notices=(*kept.notices, *notices),
        ignored=whole,
    )


@frozen
class Restraint:
    """What is kept of one untrusted file, and notices of what is not."""

    _table: Table
    _folder: Path | None = None
    """Whom one would have to vouch for, where that is not where the file lies."""
    notices: list[str] = field(factory=list)
    _taken: list[Rule] = field(factory=list)

    def _ignore(self, key: str, what: str) -> None:
        self.notices.append(self._table.ignored(key, what, self._folder))

    def rules(self, key: str, rules: Sequence[Rule]) -> tuple[Rule, ...]:
        stricter = [rule for rule in rules if rule.effect != "allow"]
        if len(stricter) < len(rules):
            self._ignore(key, "rules that allow")
        room = MAX_FOREIGN_RULES - len(self._taken)
        if len(stricter) > room:
            self._ignore(key, f"each rule after the first {MAX_FOREIGN_RULES}")
        kept = [evolve(rule, tightens=True) for rule in stricter[:room]]
        self._taken.extend(kept)
        return tuple(kept)

    def bounds(self, name: str, said: OutputBounds, user: OutputBounds) -> OutputBounds:
        lowest = USUAL.then(user)
        found: dict[str, int] = {}
        for key in ("lines", "bytes"):
            value, most = getattr(said, key), getattr(lowest, key)
            if value is None:
                continue
            if value > most:
                self._ignore(f"tools.{shown(name)}.{key}", f"what is over {most:,}")
            else:
                found[key] = value
        return OutputBounds(**found)

    def agent(self, name: str, said: AgentSettings) -> AgentSettings:
        """Return what is kept of what it says about one agent."""
        key = f"agents.{shown(name)}"
        instructions = said.instructions
        if said.model is not None:
            self._ignore(f"{key}.model", "all of it")
        if said.options:
            self._ignore(f"{key}.options", "all of it")
        if said.generation != NO_GENERATION:
            self._ignore(f"{key}.generation", "all of it")
        if instructions is not None and len(instructions) > MAX_FOREIGN_TEXT:
            self._ignore(f"{key}.instructions", f"what is over {MAX_FOREIGN_TEXT}")
            instructions = None
        return evolve(
            said,
            model=None,
            options={},
            generation=NO_GENERATION,
            instructions=instructions,
            rules=self.rules(f"{key}.rules", said.rules),
            author=str(self._table.path),
        )


# --- whose key goes where ---------------------------------------------------------


def _check_provider(
    name: str, settings: Mapping[str, Json], table: Table, *, configured: bool
) -> None:
    """Refuse a provider's table that could send a key to whoever wrote the table."""
    key = f"providers.{shown(name)}"
    if any(_names_environment(settings)):
        raise table.untrusted(key, "takes a key from the environment")
    if any("command" in name.lower() or "keyring" in name.lower() for name in settings):
        raise table.untrusted(key, "runs a command for a key, or opens the keyring")
    endpoints = list(_endpoints(settings))
    away = not all(_on_this_machine(endpoint) for endpoint in endpoints)
    if away and "api_key" not in settings:
        # Which provider has which key in the environment is known to plugins only,
        # so every endpoint that brings no key of its own might be sent one.
        raise table.untrusted(
            key, "names an endpoint on another machine and no api_key of its own"
        )
    if configured:
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
