"""The services of one Location: what a Step there works with, and its public face.

Owns nothing of its own: it is the bundle that ``runtime`` puts together when a
Location opens, and the handle through which an application looks at it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define

from ..access.permissions import Permissions
from ..context.registry import ContextRegistry
from ..contracts import AgentProfile, Place, Rule, Skill, SkillProblem
from ..lifecycle.configuration import Configuration
from ..lifecycle.plugin_loader import PluginSet
from ..lifecycle.registrations import Registrations
from ..lifecycle.scope import Scope
from ..models.catalog import ModelCatalog
from ..skills import SkillRegistry
from ..tools.registry import ToolRegistry
from ..values.errors import AgentNotFoundError
from ..values.location import Location
from ..values.request import ModelInfo, ModelRequest
from ..values.tool import ToolDefinition

DEFAULT_AGENT = "build"


@define(eq=False)
class LocationServices:
    """Everything that one Location offers, while it is open."""

    location: Location
    scope: Scope
    configuration: Configuration
    tools: ToolRegistry
    catalog: ModelCatalog
    context: ContextRegistry
    skills: SkillRegistry
    agents: Registrations[AgentProfile]
    permissions: Permissions
    plugins: PluginSet
    places: dict[str, Place]
    """By plugin name: what its hooks are told about where they are called."""

    def agent(self, name: str | None) -> AgentProfile:
        """Return the agent profile of a session.

        Raises:
            AgentNotFoundError: nobody offers it.
        """
        wanted = name or self.configuration.agent or DEFAULT_AGENT
        profile = self.agents.get(wanted)
        if profile is None:
            offered = ", ".join(repr(known) for known in self.agents.offer())
            raise AgentNotFoundError(wanted, f"offered here: {offered}")
        return profile

    def prepare(self, request: ModelRequest) -> ModelRequest:
        """Return the request as the plugins adjusted it, each in its turn.

        Raises:
            PluginError: a plugin broke; the request must not be sent (law plugins.6).
        """
        for plugin in self.plugins.implementing("dovetail_prepare_request"):
            changed = self.plugins.call(
                plugin,
                "dovetail_prepare_request",
                request=request,
                place=self.places[plugin],
            )
            if changed is not None:
                request = changed
        return request


def rules_of(
    services: Callable[[], LocationServices],
) -> Callable[[str], Sequence[Rule]]:
    """Return a function from an agent's name to its rules: the profile's, then the
    configuration's, which win."""

    def rules(agent: str) -> Sequence[Rule]:
        found = services()
        profile = found.agents.get(agent)
        return (*(profile.rules if profile else ()), *found.configuration.rules)

    return rules


class LocationHandle:
    """A Location as an application sees it. It opens on first use.

    ``await handle`` opens it now. Everything here describes what is offered at the
    moment of the call.
    """

    def __init__(self, location: Location, acquire: Callable[[Location], Any]) -> None:
        self.location = location
        self._acquire = acquire

    def __repr__(self) -> str:
        return f"LocationHandle({self.location.directory!r})"

    def __await__(self) -> Any:
        return self._opened().__await__()

    async def _opened(self) -> "LocationHandle":
        await self._services()
        return self

    async def _services(self) -> LocationServices:
        services: LocationServices = await self._acquire(self.location)
        return services

    async def tools(self) -> Sequence[ToolDefinition]:
        """Return the tools that models are offered, in name order."""
        return (await self._services()).tools.advertise().definitions

    async def models(self) -> Sequence[ModelInfo]:
        """Return the models that are known by name; others may be accepted."""
        return (await self._services()).catalog.models()

    async def skills(self) -> Sequence[Skill]:
        """Return the skills that are offered, in name order."""
        return await (await self._services()).skills.skills()

    async def skill_problems(self) -> Sequence[SkillProblem]:
        """Return what looked like a skill and is not offered, and why."""
        services = await self._services()
        await services.skills.skills()
        return services.skills.problems()

    async def agents(self) -> Sequence[AgentProfile]:
        """Return the agent profiles, in name order."""
        services = await self._services()
        return [one.item for one in services.agents.offer().values()]

    @property
    def permissions(self) -> "PermissionsHandle":
        """Permission requests that wait for an answer, and saved approvals."""
        return PermissionsHandle(self._services)


class PermissionsHandle:
    """The permissions of a Location as an application sees them."""

    def __init__(self, services: Callable[[], Any]) -> None:
        self._services = services

    async def _permissions(self) -> Permissions:
        services: LocationServices = await self._services()
        return services.permissions
