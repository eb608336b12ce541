"""The built-in tools: read, write, edit, glob, grep, bash, skill, question,
todowrite, webfetch.

One file per tool; the files with an underscore are their shared parts. They use only
public names of ``dovetail.kernel`` and arrive through the same entry point as a
stranger's tools.
"""

from functools import partial
from typing import Any

from dovetail.kernel import ConfigurationError, Place, Register, Tool, hookimpl

from ._addresses import Hosts
from ._files import Files
from ._http import Web, trusted
from ._keys import Keys
from ._left import LaterOutput
from ._search import Search
from .bash import bash_tool
from .edit import edit_tool
from .glob import glob_tool
from .grep import grep_tool
from .question import question_tool
from .read import read_tool
from .skill import skill_tool
from .todowrite import todowrite_tool
from .webfetch import webfetch_tool
from .write import write_tool


class BuiltinTools:
    """The plugin that offers the built-in tools in every Location.

    Setting ``ripgrep = false`` makes ``glob`` and ``grep`` use the search of this
    package even where ripgrep is installed. It cannot name a program: settings may come
    from a file of the Location, and that must not choose what is run.

    Setting ``private_hosts`` lists hosts of this machine and its network that
    ``webfetch`` may reach, such as ``"localhost:3000"`` or ``"wiki.lan"``.
    """

    def __init__(self) -> None:
        # Shared by all Locations, because Locations may lie in one another.
        self._files = Files()
        self._later = LaterOutput()

    @hookimpl
    def dovetail_register_tools(
        self, register: Register[Tool[Any, Any]], place: Place
    ) -> None:
        """Offer the tools."""
        ripgrep = place.settings.get("ripgrep", True)
        if not isinstance(ripgrep, bool):
            raise ConfigurationError("plugins.tools.ripgrep", "must be true or false")
        search = Search(place.environment, ripgrep=ripgrep)
        web = Web(partial(trusted, place.environment), _private_hosts(place))
        keys = Keys.of(place.environment, place.providers)
        register(read_tool(self._files, self._later))
        register(write_tool(self._files))
        register(edit_tool(self._files))
        register(glob_tool(search))
        register(grep_tool(search, self._files))
        register(bash_tool(place.environment, place.providers, self._later))
        register(skill_tool())
        register(question_tool())
        register(todowrite_tool())
        register(webfetch_tool(web, keys))


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
