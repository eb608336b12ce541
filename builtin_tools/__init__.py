"""The built-in tools: read, write, edit, glob, grep, bash, skill, question,
todowrite.

One file per tool; the files with an underscore are their shared parts. They use only
public names of ``dovetail.kernel`` and arrive through the same entry point as a
stranger's tools.
"""

from typing import Any

from dovetail.kernel import ConfigurationError, Place, Register, Tool, hookimpl

from ._files import Files
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
from .write import write_tool


class BuiltinTools:
    """The plugin that offers the built-in tools in every Location.

    Setting ``ripgrep = false`` makes ``glob`` and ``grep`` use the search of this
    package even where ripgrep is installed. It cannot name a program: settings may come
    from a file of the Location, and that must not choose what is run.
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
        register(read_tool(self._files, self._later))
        register(write_tool(self._files))
        register(edit_tool(self._files))
        register(glob_tool(search))
        register(grep_tool(search, self._files))
        register(bash_tool(place.environment, place.providers, self._later))
        register(skill_tool())
        register(question_tool())
        register(todowrite_tool())


plugin = BuiltinTools()
