"""The built-in tools: read, write, edit, apply_patch, glob, grep, bash, job, skill,
subagent, question, todowrite, recall, webfetch, and websearch where an engine is
configured.

One file per tool; the files with an underscore are their shared parts. They use only
public names of ``dovetail.kernel`` and arrive through the same entry point as a
stranger's tools.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dovetail.kernel import (
    ConfigurationError,
    Place,
    Register,
    SkillSource,
    Tool,
    hookimpl,
)

from ._addresses import Hosts
from ._files import Files
from ._http import Web, trusted
from ._jobs import Background
from ._keys import Keys
from ._marks import LaterOutput
from ._search import Search
from .apply_patch import apply_patch_tool
from .bash import bash_tool
from .edit import edit_tool
from .glob import glob_tool
from .grep import grep_tool
from .job import job_tool
from .question import question_tool
from .read import read_tool
from .recall import recall_tool
from .skill import skill_tool
from .subagent import subagent_tool
from .todowrite import todowrite_tool
from .webfetch import webfetch_tool
from .write import write_tool

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from .catalogues import Catalogues
    from .websearch import (
        SearchEngine as SearchEngine,
        SearchResult as SearchResult,
        websearch_tool as websearch_tool,
    )

logger = logging.getLogger("dovetail.builtin_tools")

T = TypeVar("T")

__all__ = [
    "BuiltinTools",
    "SearchEngine",
    "SearchResult",
    "plugin",
    "websearch_tool",
]


class BuiltinTools:
    """The plugin that offers the built-in tools in every Location.

    Setting ``ripgrep = false`` makes ``glob`` and ``grep`` use the search of this
    package even where ripgrep is installed. It cannot name a program: settings may come
    from a file of the Location, and that must not choose what is run.

    Setting ``subagent_depth`` says how many agents may work for one another, below the
    one that a person talks to: 1, unless it says otherwise.

    Setting ``private_hosts`` lists hosts of this machine and its network that
    ``webfetch`` may reach, such as ``"localhost:3000"`` or ``"wiki.lan"``. The table
    ``search`` names the engine of ``websearch``: ``engine = "searxng"`` with its
    ``url``, or ``engine = "brave"`` with a key in the environment. ``skill_catalogues``
    lists URLs of catalogues of skills.
    """

    def __init__(self) -> None:
        # Shared by all Locations, because Locations may lie in one another.
        self._files = Files()
        self._later = LaterOutput()
        self._background = Background(self._later)

    @hookimpl
    def dovetail_open_location(
        self, place: Place
    ) -> "AbstractAsyncContextManager[Catalogues] | None":
        """Open the catalogues of skills, where some are named."""
        given = place.settings.get("skill_catalogues", [])
        if not given:
            return None
        # Here and not above: most people name none.
        import platformdirs

        from .catalogues import Catalogues

        private = _private_hosts(place)
        web = Web(partial(trusted, place.environment), private)
        cache = platformdirs.user_cache_path("dovetail", appauthor=False)
        try:
            found = Catalogues.of(given, web, private, cache / "skill-catalogues")
        except ValueError as error:
            raise ConfigurationError(
                "plugins.tools.skill_catalogues", str(error)
            ) from error
        return found.open()

    @hookimpl
    def dovetail_register_skills(
        self, register: Register[SkillSource], place: Place
    ) -> None:
        """Offer the skills of the catalogues."""
        if place.resource is not None:
            for source in place.resource.sources():
                register(source)

    @hookimpl
    def dovetail_register_tools(
        self, register: Register[Tool[Any, Any]], place: Place
    ) -> None:
        """Offer the tools."""
        search = _sound(["glob", "grep"], partial(_search_in, place))
        trust = partial(trusted, place.environment)
        web = _sound(["webfetch"], lambda: Web(trust, _private_hosts(place)))
        key, searching = "", None
        if (table := place.settings.get("search")) is not None:
            # Here and not above: most processes have none.
            from ._engines import engine_of
            from .websearch import websearch_tool

            engine = _sound(
                ["websearch"], partial(engine_of, table, place.environment, trust)
            )
            if engine is not None:
                searching, key = partial(websearch_tool, engine[0]), engine[1]
            else:
                key = _named_key(table, place.environment)
        keys = Keys.of(place.environment, place.providers, [key])
        # A command has no use for it, whatever the variable is called.
        environment = {
            name: value
            for name, value in place.environment.items()
            if not key or value != key
        }
        register(read_tool(self._files, self._later, place.effect))
        register(write_tool(self._files))
        register(edit_tool(self._files))
        register(apply_patch_tool(self._files))
        if search is not None:
            register(glob_tool(search))
            register(grep_tool(search, self._files))
        register(bash_tool(environment, place.providers, self._later, self._background))
        register(job_tool(self._later))
        register(skill_tool())
        if (depth := _sound(["subagent"], partial(_depth, place))) is not None:
            register(subagent_tool(depth))
        register(question_tool())
        register(todowrite_tool())
        register(recall_tool())
        if web is not None:
            register(webfetch_tool(web, keys))
        if searching is not None:
            register(searching(keys))


def _sound(tools: Sequence[str], made: Callable[[], T]) -> T | None:
    """Return what some tools need; None, and it is said, where a setting of theirs is
    a mistake: the other tools have nothing to do with it."""
    try:
        return made()
    except ConfigurationError as error:
        logger.warning("%s: not offered, because %s", " and ".join(tools), error)
        return None


def _named_key(table: object, environment: Mapping[str, str]) -> str:
    """Return the key that a table names that makes no engine: no command has a use for
    it all the same."""
    name = table.get("api_key_env") if isinstance(table, Mapping) else None
    return environment.get(name, "") if isinstance(name, str) else ""


def _search_in(place: Place) -> Search:
    ripgrep = place.settings.get("ripgrep", True)
    if not isinstance(ripgrep, bool):
        raise ConfigurationError("plugins.tools.ripgrep", "must be true or false")
    return Search(place.environment, ripgrep=ripgrep)


def _depth(place: Place) -> int:
    depth = place.settings.get("subagent_depth", 1)
    if type(depth) is not int or not 1 <= depth <= 5:
        raise ConfigurationError("plugins.tools.subagent_depth", "must be from 1 to 5")
    return depth


def _private_hosts(place: Place) -> Hosts:
    key, given = "plugins.tools.private_hosts", place.settings.get("private_hosts", [])
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ConfigurationError(key, "must be a list of hosts")
    try:
        return Hosts.of(given)
    except ValueError as error:
        why = f"{str(error)[:100]!r} is no host like 'wiki.lan' or 'localhost:3000'"
        raise ConfigurationError(key, why) from error


plugin = BuiltinTools()


def __getattr__(name: str) -> Any:
    """Import what a plugin with a search engine needs, when it is wanted."""
    if name in ("SearchEngine", "SearchResult", "websearch_tool"):
        from . import websearch

        return getattr(websearch, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
