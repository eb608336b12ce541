"""The plugin ``skills``: finds skills in the folders where people keep them.

The search, and the YAML reader with it, is loaded at the first use, in a worker thread.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from anyio import to_thread
from dovetail.kernel import (
    Looks,
    Place,
    Register,
    Skill,
    SkillProblem,
    SkillSource,
    hookimpl,
)


class SkillsPlugin:
    """Offers one source to every Location: its folders, the user's, the configured."""

    @hookimpl
    def dovetail_register_skills(
        self, register: Register[SkillSource], place: Place
    ) -> None:
        """Offer the source ``core/folders``."""

        latest: list[Looks] = []
        """How all of it looked when it was searched last."""

        def search() -> Sequence[Skill | SkillProblem]:
            # Here and not above: a Location without use for skills pays nothing.
            from .folders import find_skills, skill_folders

            location, looks = place.location.path, Looks()
            folders = skill_folders(location, place.skill_folders, None, _home())
            reading = partial(place.effect, "read")
            found = find_skills(location, folders, reading, looks)
            latest[:] = [looks]
            return found

        def holds() -> bool:
            return all(looks.hold() for looks in latest)

        async def find() -> Sequence[Skill | SkillProblem]:
            return await to_thread.run_sync(search, abandon_on_cancel=True)

        register(SkillSource("core/folders", find, holds))


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # an account without a home
        return None


plugin = SkillsPlugin()
