"""Configuration: what the user's and the Location's ``dovetail.toml`` say.

Owns where the files are, how they are read and checked, and how two of them make one.
Knows nothing of what the settings do: providers, plugins and skills interpret their
own tables. It reads files when it is asked to and never again.

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
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import platformdirs
from attrs import evolve, field, frozen

from ..contracts import AgentProfile, Rule, RuleEffect
from ..values.errors import ConfigurationError, ConfigurationUntrustedError
from ..values.location import Location
from ..values.tool import Json

FILE_NAME = "dovetail.toml"
VARIABLE = "DOVETAIL_CONFIG"

MAX_BYTES = 262_144
MAX_DEPTH = 32
"""Of tables and arrays inside each other."""

_ENDLESS_KEY = re.compile(
    r"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}"""
)
"""tomllib takes time that grows with the square of a dotted key's length."""

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
        home = _user_file(environment)
        user = _read(home[0], follow=True, required=home[1]) if home else None
        said = _Said.by(_Table.top(home[0], user)) if home and user else _Said()
        sources = [str(home[0])] if home and user is not None else []
        if location is None:
            return said.configuration(sources, trusted=False)
        trusted = os.path.realpath(location.directory) in said.trusted
        path = location.path / FILE_NAME
        if home and _same_file(home[0], path):
            return said.configuration(sources, trusted=trusted)
        data = _read(path, follow=False, required=False)
        if data is not None:
            sources.append(str(path))
            table = _Table.top(path, data)
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
    def by(cls, table: "_Table") -> "_Said":
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
        self, other: "_Said", table: "_Table", directory: Path
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
                key = f"agents.{_shown(name)}.rules"
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


def _provider(table: "_Table") -> dict[str, Json]:
    for key in ("base_url", "api_key", "api_key_env"):
        table.text(key)
    return table.json()


def _rules(table: "_Table") -> Iterator[Rule]:
    for each in table.tables("rules"):
        each.only("action", "resource", "effect")
        effect = each.required("effect")
        if effect not in get_args(RuleEffect):
            raise each.error("effect", 'must be "allow", "ask" or "deny"')
        yield Rule(each.required("action"), each.required("resource"), effect)  # type: ignore[arg-type]


def _agent(table: "_Table") -> AgentSettings:
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
    name: str, settings: Mapping[str, Json], table: "_Table", *, configured: bool
) -> None:
    """Refuse a provider's table that could send a key to whoever wrote the table."""
    key = f"providers.{_shown(name)}"
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


# --- reading ----------------------------------------------------------------------


def _user_file(environment: Mapping[str, str]) -> tuple[Path, bool] | None:
    """Return the user's file, and whether it must exist."""
    named = environment.get(VARIABLE)
    if named is None:
        folder = platformdirs.user_config_dir("dovetail", appauthor=False)
        return Path(folder) / FILE_NAME, False
    if not named:
        return None
    if "\0" in named:
        raise ConfigurationError(VARIABLE, "is not a path")
    return Path(os.path.expanduser(named)).absolute(), True


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _read(path: Path, *, follow: bool, required: bool) -> dict[str, Any] | None:
    """Return the content of a file, or None where there is none."""
    data = _bytes(path, follow=follow, required=required)
    if data is None:
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigurationError(str(path), f"line {line} is not UTF-8") from None
    if _ENDLESS_KEY.search(text):
        raise ConfigurationError(str(path), "a dotted key has too many parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigurationError(str(path), "it nests too deeply") from None
    except ValueError as error:
        # A number of too many digits is a plain ValueError without a line.
        problem = "a number has too many digits"
        if isinstance(error, tomllib.TOMLDecodeError):
            last = len(text.splitlines()) or 1
            problem = str(error).replace("end of document", f"the end, line {last}")
        raise ConfigurationError(str(path), f"it is not TOML: {problem}") from None


def _bytes(path: Path, *, follow: bool, required: bool) -> bytes | None:
    # A link, a pipe or a device in somebody's clone must neither be followed nor make
    # the open wait. Windows has neither flag.
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
        if path.is_symlink():
            raise ConfigurationError(str(path), "it must be a file, not a link")
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        if not required:
            return None
        raise ConfigurationError(
            str(path), f"there is no such file; {VARIABLE} names it"
        ) from None
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise ConfigurationError(str(path), f"it cannot be read: {problem}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigurationError(str(path), "it must be a regular file")
    with open(descriptor, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigurationError(str(path), f"it is over {MAX_BYTES} bytes")
    return data


def _shown(name: str) -> str:
    """Return a key as TOML would write it, cut to a bearable length."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        return name
    return repr(name if len(name) <= 64 else f"{name[:61]}...")


class _Table:
    """A table of a file, at a path of keys, that is asked for what it should hold."""

    def __init__(self, path: Path, keys: str, data: Mapping[str, Any]) -> None:
        self.path = path
        self._keys = keys
        self._data = data

    @classmethod
    def top(cls, path: Path, data: Mapping[str, Any]) -> "_Table":
        return cls(path, "", data)

    # --- complaints ---------------------------------------------------------------

    def error(self, key: str, problem: str) -> ConfigurationError:
        return ConfigurationError(str(self.path), f"{self._at(key)} {problem}")

    def untrusted(self, key: str, problem: str) -> ConfigurationUntrustedError:
        return ConfigurationUntrustedError(
            str(self.path),
            f"{key} {problem}; if you trust this directory, add "
            f"{str(self.path.parent)!r} to `trusted` in your own {FILE_NAME}",
        )

    def ignored(self, key: str, what: str) -> str:
        return (
            f"{self.path}: {key}: {what} is ignored, because "
            f"{str(self.path.parent)!r} is not in `trusted` of your own {FILE_NAME}"
        )

    def _at(self, key: str) -> str:
        return f"{self._keys}.{_shown(key)}" if self._keys else _shown(key)

    def _wrong(self, key: str, wanted: str) -> ConfigurationError:
        return self.error(key, f"must be {wanted}, not {_type(self._data[key])}")

    def only(self, *known: str) -> "_Table":
        """Refuse every other key."""
        for key in self._data:
            if key not in known:
                near = get_close_matches(key[:64], known, 1)
                advice = f"; did you mean {near[0]!r}?" if near else ""
                raise self.error(key, f"is not a known setting{advice}")
        return self

    # --- values -------------------------------------------------------------------

    def text(self, key: str) -> str | None:
        value = self._data.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        if not value.strip():
            raise self.error(key, "must not be empty")
        if "\0" in value:
            raise self.error(key, "must not hold a NUL character")
        return value

    def required(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise self.error(key, "is missing")
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        value = self._data.get(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self._wrong(key, "an array of texts")
        for at, item in enumerate(value):
            if not isinstance(item, str) or not item.strip() or "\0" in item:
                raise self.error(key, f"must hold texts only; item {at} is none")
        return tuple(value)

    def count(self, key: str) -> int | None:
        value = self._data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, "a whole number")
        if not 1 <= value < 2**31:
            raise self.error(key, "must be at least 1 and below 2**31")
        return value

    def table(self, key: str) -> "_Table":
        """Return a table; one that is absent is empty."""
        value = self._data.get(key, {})
        if not isinstance(value, dict):
            raise self._wrong(key, "a table")
        return _Table(self.path, self._at(key), value)

    def named(self, key: str) -> list[tuple[str, "_Table"]]:
        """Return the tables of a table, by name."""
        outer = self.table(key)
        return [(name, outer.table(name)) for name in outer._data]

    def tables(self, key: str) -> list["_Table"]:
        """Return an array of tables; one that is absent is empty."""
        value = self._data.get(key, [])
        if not isinstance(value, list):
            raise self._wrong(key, "an array of tables")
        for at, item in enumerate(value):
            if not isinstance(item, dict):
                raise self.error(key, f"must hold tables only; item {at} is none")
        return [
            _Table(self.path, f"{self._at(key)}[{at}]", item)
            for at, item in enumerate(value)
        ]

    def json(self) -> dict[str, Json]:
        """Return the whole table as JSON data."""
        return {key: self._json(key, value, 1) for key, value in self._data.items()}

    def _json(self, key: str, value: Any, depth: int) -> Json:
        if depth > MAX_DEPTH:
            raise self.error(key, "nests too deeply")
        if isinstance(value, dict):
            return {
                name: self._json(key, item, depth + 1) for name, item in value.items()
            }
        if isinstance(value, list):
            return [self._json(key, item, depth + 1) for item in value]
        if isinstance(value, str | bool):
            return value
        if isinstance(value, int) and -(2**63) <= value < 2**64:
            return value
        if isinstance(value, float) and value - value == 0:
            return value
        raise self.error(key, f"holds {_type(value)}, which is not JSON; write a text")


def _type(value: object) -> str:
    return _TYPES.get(type(value), "a date or time")


_TYPES: dict[type, str] = {
    str: "a text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    dict: "a table",
    list: "an array",
}
