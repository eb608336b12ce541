"""The registry of Context Sources: which sources a Location has, under which keys.

Owns the rule that a key is offered once, and hands out what the sources say now (see
``sampling``), to whom (see ``telling``). Knows nothing of what that means (see
``algebra``) nor of what a session was told (see ``epoch``).
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from ..contracts import ContextSource, SessionSource, SessionView
from ..lifecycle.registrations import Rank, Registration, Registrations
from ..values.errors import ConflictError, InvalidValueError
from ..values.frozen import frozen
from ..values.ids import check_source_key
from .algebra import Absent, Observed, Result, Snapshot, Unavailable
from .readiness import ready
from .sampling import Look, Sampler, Source, Watch
from .telling import told_to

KEPT_SESSIONS = 64
"""Sessions that do not run of which it is kept what their own sources said."""

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

    def __init__(self, registrations: Registrations[Source]) -> None:
        self._registrations = registrations
        self._sampler = Sampler(self.sources, self.owner)
        self._kinds: tuple[tuple[ContextSource, ...], tuple[SessionSource, ...]] = (
            (),
            (),
        )
        self._kinds_of = -1
        """The generation of the registrations that these are of."""
        self._by_agent: dict[str, tuple[Snapshot, int, Snapshot]] = {}
        """Of each agent: the last sample, of which registrations, as it is told it."""
        self._idle: OrderedDict[str, SessionSampler] = OrderedDict()
        """Of sessions that do not run: whoever runs one has its own."""

    def register(
        self, source: Source, owner: str, rank: Rank = 0
    ) -> Registration[Source]:
        """Offer a source until the registration is closed.

        Raises:
            InvalidValueError: it is neither a ContextSource nor a SessionSource, or
                its key breaks the rule.
            ConflictError: the key is offered already. Two sources under one key would
                hide each other from the model, so none is chosen.
        """
        if not isinstance(source, ContextSource | SessionSource):
            raise InvalidValueError("context source", source, "give a ContextSource")
        key = check_source_key("context source key", source.key)
        if not callable(source.observe):
            raise InvalidValueError("context source", key, "observe must be a function")
        if not isinstance(source.required, bool):
            raise InvalidValueError("context source", key, "required is true or false")
        if source.agents is not None and not (
            isinstance(source.agents, Collection)
            and not isinstance(source.agents, str)
            and all(isinstance(one, str) for one in source.agents)
        ):
            raise InvalidValueError("context source", key, "agents are names, or None")
        for name in ("tell", "ready"):
            if not callable(getattr(source, name, None) or callable):
                rule = f"{name} must be a function"
                raise InvalidValueError("context source", key, rule)
        holder = self.owner(key)
        if holder is not None:
            raise ConflictError(
                f"context source {key!r} of plugin {owner!r} is refused: plugin "
                f"{holder!r} offers this key already; choose another key"
            )
        return self._registrations.add(owner, key, source, rank)

    def sources(self) -> tuple[ContextSource, ...]:
        """Return the sources that all sessions share, in key order, whoever offers them
        (law context.5)."""
        return self._offered()[0]

    def session_sources(self) -> tuple[SessionSource, ...]:
        """Return the sources that speak to each session for itself, in key order."""
        return self._offered()[1]

    def _offered(self) -> tuple[tuple[ContextSource, ...], tuple[SessionSource, ...]]:
        """Return the sources of both kinds, told apart once for each generation."""
        generation = self._registrations.generation
        if generation != self._kinds_of:
            offered = [one.item for one in self._registrations.offer().values()]
            shared = tuple(one for one in offered if isinstance(one, ContextSource))
            own = tuple(one for one in offered if isinstance(one, SessionSource))
            self._kinds, self._kinds_of = (shared, own), generation
        return self._kinds

    async def sample(self, beside: Look | None = None) -> Snapshot:
        """Return what all shared sources say, observed once after this was called;
        ``beside`` is a look that may be taken with it."""
        return await self._sampler.sample(beside)

    async def sample_for(self, agent: str, beside: Look | None = None) -> Snapshot:
        """Return the same as an agent of this name is told of it: the same snapshot as
        before while nothing changed."""
        shared = await self.sample(beside)
        generation = self._registrations.generation
        known = self._by_agent.get(agent)
        if known is None or known[0] is not shared or known[1] != generation:
            made = told_to(agent, shared.results, self.sources(), self.owner)
            known = self._by_agent[agent] = shared, generation, made
        return known[2]

    def of_session(self, session_id: str) -> "SessionSampler":
        """Return what samples all sources for one session, for as long as it runs; it
        knows what they said in its last run, where that is kept."""
        return self._idle.pop(session_id, None) or SessionSampler(self)

    def keep(self, session_id: str, sampler: "SessionSampler") -> None:
        """Keep what was handed out for a session that runs no more, in the place of
        that of the one that ran least lately."""
        self._idle[session_id] = sampler
        if len(self._idle) > KEPT_SESSIONS:
            self._idle.popitem(last=False)

    async def states(self) -> list[SourceState]:
        """Return how each shared source is now, in key order."""
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

    async def ready(self) -> Sequence[str]:
        """Have each shared source begin what it speaks of, and return once that is
        there or was waited for long enough: a line for each thing that is not, in key
        order."""
        return await ready(self.sources())

    def owner(self, key: str) -> str | None:
        """Return the name of the plugin that offers a key, to name a culprit."""
        found = self._registrations.offer().get(key)
        return found.owner if found else None


class SessionSampler:
    """Samples of all sources for one session: those that are shared, as its agent is
    told of them, and those that speak to it alone."""

    def __init__(self, registry: ContextRegistry) -> None:
        self.registry = registry
        self._watch = Watch(registry.owner)
        self._of: tuple[Snapshot, Mapping[str, Result], str] | None = None
        """What the latest sample is made of."""
        self._latest = Snapshot({})

    async def sample(self, view: SessionView) -> Snapshot:
        """Return a sample that began after this was called: the same as before while
        nothing changed. Not to be called by two tasks at a time."""
        # A thread is dearer than what is looked at: one serves for both.
        look = self._watch.look(self.registry.session_sources(), view)
        shared = await self.registry.sample_for(view.agent, look)
        sources = self.registry.session_sources()
        if not sources:
            return shared
        own = await self._watch.take(sources, view, look=look)
        of = self._of
        known = of is not None and of[0] is shared and of[1] is own
        if of is None or not known or of[2] != view.agent:
            told = told_to(view.agent, own, sources, self.registry.owner)
            results = {**shared.results, **told.results}
            self._of = shared, own, view.agent
            self._latest = Snapshot(dict(sorted(results.items())))
        return self._latest
