"""The plugin ``context``: the first sources of System Context.

``core/environment``, ``core/date`` and ``core/instructions``, each observed in a
worker thread where it touches the disk.
"""

from functools import partial
from pathlib import Path

from dovetail.kernel import ContextSource, Place, Register, hookimpl

from .environment import date_source, environment_source
from .instructions import instructions_source


class ContextPlugin:
    """Offers the sources to every Location."""

    @hookimpl
    def dovetail_register_context(
        self, register: Register[ContextSource], place: Place
    ) -> None:
        """Offer the three sources."""
        register(environment_source(place.location))
        register(date_source())
        reading = partial(place.effect, "read")
        register(instructions_source(place.location.path, _home(), reading))


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except (OSError, RuntimeError):  # an account without a home
        return None


plugin = ContextPlugin()
