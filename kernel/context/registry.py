"""The registry of Context Sources: which sources a Location has, under which keys.

Owns the rule that a key is offered once, and hands out what the sources say now (see
``sampling``). Knows nothing of what that means (see ``algebra``) nor of what a session
was told (see ``epoch``).
"""

from typing import Literal

from ..contracts import ContextSource
from ..lifecycle.registrations import Rank, Registration, Registrations
from ..values.errors import ConflictError, InvalidValueError
from ..values.frozen import frozen
from ..values.ids import check_source_key
from .algebra import Absent, Observed, Result, Snapshot, Unavailable
from .sampling import Sampler

_STATES: dict[type[Result], Literal["observed", "absent", "unavailable"]] = {
    Observed: "observed",
    Absent: "absent",
    Unavailable: "unavailable",
}


@frozen
class SourceState:
    """A Context Source as it is now."""

    key: str
    """``namespace/name``."""
    plugin: str | None
    """Whose source it is; None for one of dovetail itself."""
    state: Literal["observed", "absent", "unavailable"]
    """``absent``: it has nothing to say here."""
    required: bool
    """Whether no session begins while it is unavailable."""
    reason: str | None = None
    """Why it cannot be observed."""


class ContextRegistry:
    """The Context Sources of one Location, each key offered once."""

    def __init__(self, registrations: Registrations[ContextSource]) -> None:
        self._registrations = registrations
        self._sampler = Sampler(self.sources, self.owner)

    def register(
        self, source: ContextSource, owner: str, rank: Rank = 0
    ) -> Registration[ContextSource]:
        """Offer a source until the registration is closed.

        Raises:
            InvalidValueError: it is not a ContextSource, or its key breaks the rule.
            ConflictError: the key is offered already. Two sources under one key would
                hide each other from the model, so none is chosen.
        """
        if not isinstance(source, ContextSource):
            raise InvalidValueError("context source", source, "give a ContextSource")
        key = check_source_key("context source key", source.key)
        if not callable(source.observe):
            raise InvalidValueError("context source", key, "observe must be a function")
        if not isinstance(source.required, bool):
            raise InvalidValueError("context source", key, "required is true or false")
        holder = self.owner(key)
        if holder is not None:
            raise ConflictError(
                f"context source {key!r} of plugin {owner!r} is refused: plugin "
                f"{holder!r} offers this key already; choose another key"
            )
        return self._registrations.add(owner, key, source, rank)

    def sources(self) -> tuple[ContextSource, ...]:
        """Return the sources in key order, whoever offers them (law context.5)."""
        return tuple(one.item for one in self._registrations.offer().values())

    async def sample(self) -> Snapshot:
        """Return what all sources say, observed once after this was called."""
        return await self._sampler.sample()

    async def states(self) -> list[SourceState]:
        """Return how each source is now, in key order."""
        found = (await self.sample()).results
        states = []
        for source in self.sources():
            result = found.get(source.key)
            if result is None:
                continue  # it came meanwhile
            state = _STATES[type(result)]
            reason = result.reason if isinstance(result, Unavailable) else None
            owner = self.owner(source.key)
            states.append(
                SourceState(source.key, owner, state, source.required, reason)
            )
        return states

    def owner(self, key: str) -> str | None:
        """Return the name of the plugin that offers a key, to name a culprit."""
        found = self._registrations.offer().get(key)
        return found.owner if found else None
