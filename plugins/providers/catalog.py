"""The catalog plugin: what is publicly known of well-known models.

Owns which copy is read, and when a newer one is fetched: by ``dovetail models
--refresh``, or daily where ``[plugins.catalog]`` says so, and never as something
starts. What is in a copy is ``snapshot``'s, and getting a newer one ``renewal``'s; both
are imported when somebody asks.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from attrs import frozen
from dovetail.kernel import (
    ModelFacts,
    ModelFactsError,
    ModelInfo,
    Place,
    Register,
    hookimpl,
)

if TYPE_CHECKING:
    from .snapshot import Snapshot

logger = logging.getLogger(__name__)

URL = "https://models.dev/api.json"
"""Facts of models.dev, which are under the MIT licence."""
FOLDER = "DOVETAIL_CACHE"
"""The variable that names the folder for copies in place of the user's own."""
FILE = "models.jsonl"
DAY = 86_400.0
SOON = 60.0
"""Seconds that a process has run before it looks whether a day has passed."""


@frozen
class Settings:
    """``[plugins.catalog]``"""

    url: str = URL
    """Where newer facts are, in the form of models.dev."""
    daily: bool = False
    """Whether they are fetched when the copy is a day old and a process has run for a
    minute."""


def copy_in(environment: Mapping[str, str]) -> Path:
    """Return where the copy of this user is kept, whether there is one or not."""
    named = environment.get(FOLDER)
    if named:
        return Path(named).expanduser().absolute() / FILE
    import platformdirs

    return platformdirs.user_cache_path("dovetail", appauthor=False) / FILE


class Shelf:
    """The facts of one Location: read when somebody asks, and again when the copy is
    another one."""

    def __init__(self, copy: Path, url: str) -> None:
        self._copy = copy
        self._url = url

    def _snapshot(self) -> "Snapshot":
        from .snapshot import newest

        return newest(self._copy)

    def models(self, provider: str) -> Sequence[ModelInfo]:
        """Return what is known of a provider's models."""
        return self._snapshot().models(provider)

    def info(self, name: str) -> ModelInfo | None:
        """Return what is known of one model."""
        return self._snapshot().info(name)

    async def refresh(self) -> str:
        """Fetch newer facts, and keep them if they are sound."""
        from .renewal import renewed

        return await renewed(self._url, self._copy)

    async def keep_fresh(self, day: float = DAY, soon: float = SOON) -> None:
        """Fetch newer facts whenever the copy is a day old, for as long as this
        runs."""
        while True:
            age = await to_thread.run_sync(self._age)
            await anyio.sleep(max(soon, day - age))
            if await to_thread.run_sync(self._age) < day:
                continue  # another process was quicker
            try:
                logger.info("%s", await self.refresh())
            except ModelFactsError as error:
                logger.warning("%s", error)
                # Not again at once: what is known stays known.
                await anyio.sleep(day / 24)

    def _age(self) -> float:
        """Return how many seconds old the copy is; of none, a very long time."""
        from .snapshot import age_of

        return age_of(self._copy)


class CatalogPlugin:
    """Knows the limits, prices and abilities of well-known models."""

    name = "catalog"
    Settings = Settings

    @hookimpl
    @asynccontextmanager
    async def dovetail_open_location(self, place: Place) -> AsyncIterator[Shelf]:
        shelf = Shelf(copy_in(place.environment), place.settings.url)
        if not place.settings.daily:
            yield shelf
            return
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(shelf.keep_fresh)
            yield shelf
            tasks.cancel_scope.cancel()

    @hookimpl
    def dovetail_register_models(
        self, register: Register[ModelFacts], place: Place
    ) -> None:
        shelf: Shelf = place.resource
        register(
            ModelFacts(
                "catalog",
                models=shelf.models,
                info=shelf.info,
                refresh=shelf.refresh,
            )
        )


plugin = CatalogPlugin()
