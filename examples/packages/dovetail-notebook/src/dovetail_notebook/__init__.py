"""A plugin for dovetail: a notebook for each Location, and tools that use it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import platformdirs
from attrs import frozen
from dovetail.kernel import Place, Register, Rule, Tool, hookimpl

from .notebook import Notebook, file_of
from .tools import notebook_tools


@frozen
class Settings:
    """The table ``[plugins.notebook]``."""

    folder: str | None = None
    """Where the notebooks are kept; None means the person's own data folder."""


class NotebookPlugin:
    """Opens the notebook of a Location and offers the tools that use it."""

    name = "notebook"
    """What it is called where it is given in code; installed, as its entry point."""
    requires_dovetail = ">=0.1,<0.2"
    Settings = Settings

    @hookimpl
    def dovetail_open_location(self, place: Place) -> object:
        return self._opened(place)

    @asynccontextmanager
    async def _opened(self, place: Place) -> AsyncIterator[Notebook]:
        folder = place.settings.folder or platformdirs.user_data_dir(
            "dovetail-notebook", appauthor=False
        )
        notebook = Notebook(file_of(place.location.directory, Path(folder)))
        await notebook.open()
        try:
            yield notebook
        finally:
            await notebook.close()

    @hookimpl
    def dovetail_register_tools(
        self, register: Register[Tool[Any, Any]], place: Place
    ) -> None:
        for tool in notebook_tools(place.resource):
            register(tool)

    @hookimpl
    def dovetail_register_rules(self, register: Register[Rule]) -> None:
        # Of writing nothing is said: a person is asked.
        register(Rule("read_note", "*", "allow"))


plugin = NotebookPlugin()
