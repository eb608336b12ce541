"""Worlds: Context Sources that say what a test tells them to say."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from dovetail.kernel import (
    AgentProfile,
    ContextSource,
    ContextUnavailableError,
    Observation,
    Register,
    SessionSource,
    hookimpl,
)

AWAY = ContextUnavailableError("t/one", "not now")

Says = Observation | Exception | None


class World:
    """A plugin with sources that say what they are told to say, and two agents."""

    name = "world"

    def __init__(self, **now: Says) -> None:
        self.now: dict[str, Says] = dict(now)
        self.asked: list[str] = []
        self.options: dict[str, Mapping[str, Any]] = {}

    def _observer(self, name: str) -> Callable[[], Awaitable[Observation | None]]:
        async def observe() -> Observation | None:
            self.asked.append(name)
            said = self.now[name]
            if isinstance(said, Exception):
                raise said
            return said

        return observe

    @hookimpl
    def dovetail_register_context(
        self, register: Register[ContextSource | SessionSource]
    ) -> None:
        for name in self.now:
            options = self.options.get(name, {})
            register(ContextSource(f"t/{name}", self._observer(name), **options))

    @hookimpl
    def dovetail_register_agents(self, register: Register[AgentProfile]) -> None:
        register(AgentProfile("calm", instructions="Be calm."))
        register(AgentProfile("loud", instructions="Be loud."))
        register(AgentProfile("quiet", instructions="Be calm."))
