"""The plugin ``context``: the first sources of System Context.

``core/environment``, ``core/git``, ``core/date``, ``core/instructions`` and, for each
session, ``core/caller``, ``core/files`` and ``core/instructions.nested``. What touches
the disk is observed in a worker thread, and not again while nothing moved there.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import platformdirs
from dovetail.kernel import ContextSource, Place, Register, SessionSource, hookimpl

from .caller import caller_source
from .changed_files import changed_files_source
from .environment import date_source, environment_source, git_source
from .instructions import instructions_source
from .nested import nested_source


class ContextPlugin:
    """Offers the sources to every Location."""

    @hookimpl
    def dovetail_register_context(
        self, register: Register[ContextSource | SessionSource], place: Place
    ) -> None:
        """Offer the sources."""
        location = place.location
        reading = partial(place.effect, "read")
        register(environment_source(location))
        register(git_source(location))
        register(date_source(place.now))
        own = _own(place.environment)
        register(instructions_source(location.path, _home(), reading, own))
        register(caller_source())
        register(changed_files_source(location))
        register(nested_source(location.path, reading))


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except (OSError, RuntimeError):  # an account without a home
        return None


def _own(environment: Mapping[str, str]) -> Path | None:
    """Return the folder of the person's configuration, where they have one."""
    file = environment.get("DOVETAIL_CONFIG")
    if file is None:
        return platformdirs.user_config_path("dovetail", appauthor=False)
    return Path(file).expanduser().absolute().parent if file else None


plugin = ContextPlugin()
