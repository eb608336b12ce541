"""Configuration: what the user's and the Location's ``dovetail.toml`` say.

Owns how two files make one. Neighbours: ``file`` below reads, ``table`` and
``file_settings`` check, ``trust`` decides what a file may that nobody vouched for.
Knows nothing of what settings do: providers, plugins and skills interpret their own
tables. It reads files when it is asked to and never again.

The user's file is ``dovetail.toml`` in the user's configuration folder, or the file
that ``DOVETAIL_CONFIG`` names (empty: none). The Location's is ``dovetail.toml`` in its
directory, and in no folder above it::

    model = "openai/gpt-5.2"
    small_model = "openai/gpt-5.2-mini"
    model_titles = false                      # the small model names no sessions
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

    [tools.apply_patch]
    models = ["*gpt-5*", "local/coder"]       # the models that are offered it

    [tools.bash]
    lines = 400                               # of one result; and bytes
    bytes = 20_000

    [outputs]                                 # in the user's file only
    days = 30                                 # complete outputs are kept so long
    megabytes = 1024                          # and so much of them
    [fallback]
    models = ["local/coder"]                  # go on where another does not answer

    [compaction]
    window = 32_000                           # of models of which nobody knows it

    [skills]
    folders = ["skills"]

    [plugins.weather]
    units = "metric"

    [mcp.files]                               # a server of the Model Context Protocol
    command = ["mcp-server-files", "/srv"]

A Location's file is other people's data: it came with a clone or a download. Unless
the user's file lists the directory under ``trusted``, it can make things stricter, and
never laxer: ``trust`` has the whole answer, key by key.
"""

import os
from collections.abc import Mapping, Sequence

from attrs import evolve, field

from ..contracts import AgentProfile, Rule
from ..values.errors import ConfigurationError
from ..values.frozen import frozen
from ..values.location import Location
from ..values.outputs import OutputPolicy
from ..values.tool import Json
from .compaction import CompactionSettings
from .fallback import FallbackSettings
from .file import FILE_NAME, read, same_file, user_file
from .file_settings import AgentSettings, FileSettings, OutputBounds
from .keys import Keys
from .table import Table


@frozen
class Configuration:
    """The settings that hold in one Location, or outside of any."""

    model: str | None = None
    """The model of sessions that name none, as ``provider/model``."""
    small_model: str | None = None
    """The model for small work, such as a search, as ``provider/model``."""
    model_titles: bool = True
    """Whether the small model, where there is one, is asked for titles of sessions."""
    agent: str | None = None
    """The agent of sessions that name none."""
    providers: Mapping[str, Mapping[str, Json]] = field(factory=dict, repr=False)
    """The ``[providers.NAME]`` tables. They may hold keys."""
    rules: tuple[Rule, ...] = ()
    """The user's, then the Location's: they come after an agent profile's."""
    plugins: Mapping[str, Mapping[str, Json]] = field(factory=dict, repr=False)
    """The ``[plugins.NAME]`` tables. They may hold keys."""
    mcp: Mapping[str, Mapping[str, Json]] = field(factory=dict, repr=False)
    """The ``[mcp.NAME]`` tables. They may hold keys."""
    agents: Mapping[str, tuple[AgentSettings, ...]] = field(factory=dict)
    """By agent, one entry for each file that names it, in order; see ``profile``."""
    skill_folders: tuple[str, ...] = ()
    """Absolute, the user's first. They need not exist."""
    disabled_plugins: tuple[str, ...] = ()
    """Plugins that are not opened in the Location."""
    plugin_files: tuple[str, ...] = ()
    """Absolute, the user's first."""
    tool_models: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """By tool, patterns of the models that are offered it; other tools say so
    themselves."""
    tool_bounds: Mapping[str, OutputBounds] = field(factory=dict)
    """By tool, how much of one result the model is shown."""
    outputs: OutputPolicy | None = None
    """Which complete outputs of calls are cleaned up, as the user's file says."""
    compaction: CompactionSettings = CompactionSettings()
    """When older history is replaced by a summary, and by which."""
    fallback: FallbackSettings = FallbackSettings()
    """Which models go on where one does not answer."""
    keys: Mapping[str, str] = field(factory=dict, repr=False)
    """The keys of providers that the user keeps on this machine, by provider."""
    keys_problem: str | None = None
    """Why the file of keys is not used."""
    sources: tuple[str, ...] = ()
    """The files that were read."""
    trusted: bool = False
    """Whether the user vouches for the Location."""
    trusted_folders: frozenset[str] = frozenset()
    """The real directories that the user vouches for."""
    notices: tuple[str, ...] = ()
    """What the Location's file says and what was ignored, one line each."""
    ignored: tuple[str, ...] = ()
    """The settings of the Location's file of which nothing counts, because the user
    does not vouch for it: such as ``model``, or ``tools.NAME.models`` of any tool."""

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
        settings = (
            FileSettings.by(Table.top(home[0], user))
            if home and user
            else FileSettings()
        )
        sources = [str(home[0])] if home and user is not None else []
        if location is None:
            return _configuration(settings, sources, trusted=False)
        keys, problem = _keys(environment)
        trusted = os.path.realpath(location.directory) in settings.trusted
        path = location.path / FILE_NAME
        if home and same_file(home[0], path):
            made = _configuration(settings, sources, trusted=trusted)
            return evolve(made, keys=keys, keys_problem=problem)
        data = read(path, follow=False, required=False)
        if data is not None:
            sources.append(str(path))
            table = Table.top(path, data)
            for key in ("trusted", "outputs"):
                if key in data:
                    raise table.error(key, "belongs in the user's own file only")
            local = FileSettings.by(table)
            if not trusted:
                from .trust import restrained

                local = restrained(local, settings, table, location.path)
            settings = settings.then(local)
        made = _configuration(settings, sources, trusted=trusted)
        return evolve(made, keys=keys, keys_problem=problem)

    def profile(self, name: str, base: AgentProfile) -> AgentProfile:
        """Return an agent profile with the ``[agents.NAME]`` settings on top.

        Its rules do not yet hold ``rules``, which are for all agents.
        """
        for settings in self.agents.get(name, ()):
            base = settings.applied_to(base)
        return base


def _keys(environment: Mapping[str, str]) -> tuple[Mapping[str, str], str | None]:
    """Return the user's keys; none, and why, where their file may not be used: work
    that needs none of them goes on."""
    try:
        return Keys.at(environment).read(), None
    except ConfigurationError as error:
        return {}, str(error)


def _configuration(
    settings: FileSettings, sources: Sequence[str], *, trusted: bool
) -> Configuration:
    return Configuration(
        model=settings.model,
        small_model=settings.small_model,
        model_titles=settings.model_titles is not False,
        agent=settings.agent,
        providers=settings.providers,
        rules=settings.rules,
        plugins=settings.plugins,
        mcp=settings.mcp,
        agents=settings.agents,
        skill_folders=tuple(dict.fromkeys(settings.skill_folders)),
        disabled_plugins=settings.disabled_plugins,
        plugin_files=settings.plugin_files,
        tool_models=settings.tool_models,
        tool_bounds=settings.tool_bounds,
        outputs=settings.outputs,
        compaction=settings.compaction,
        fallback=settings.fallback,
        sources=tuple(sources),
        trusted=trusted,
        trusted_folders=settings.trusted,
        notices=settings.notices,
        ignored=settings.ignored,
    )
