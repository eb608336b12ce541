"""The services of one Location: what a Step there works with, and its public face.

Owns nothing of its own: it is the bundle that ``runtime`` puts together when a
Location opens, and the handle through which an application looks at it.
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

from attrs import define, field

from ..access.permissions import PermissionRequest, Permissions, SavedApproval
from ..context.registry import ContextRegistry
from ..contracts import AgentProfile, Place, Provider, Rule, Skill, SkillProblem
from ..lifecycle.configuration import Configuration
from ..lifecycle.plugin_set import PluginSet
from ..lifecycle.registrations import Registration, Registrations
from ..lifecycle.scope import Scope
from ..models.catalog import ModelCatalog
from ..skills import SkillRegistry
from ..tools.registry import ToolRegistry
from ..values.errors import AgentNotFoundError, InvalidValueError
from ..values.events import PermissionReply
from ..values.location import Location
from ..values.request import ModelInfo, ModelRequest
from ..values.tool import ToolDefinition

DEFAULT_AGENT = "build"
PREPARE = "dovetail_prepare_request"

Add = Callable[[Any, str, int], Registration[Any]]
"""``add(item, owner, rank)``."""


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
    providers: Registrations[Provider]
    places: dict[str, Place] = field(factory=dict)
    """By plugin name, in plugin order: what its hooks are told about this place."""

    def rules(self, agent: str) -> Sequence[Rule]:
        """Return an agent's rules: the profile's, then the configuration's, which
        win."""
        profile = self.agents.get(agent)
        return (*(profile.rules if profile else ()), *self.configuration.rules)

    def registering(self) -> Sequence[tuple[str, "Add"]]:
        """Return each registering hook with what takes its items."""
        return (
            ("dovetail_register_tools", self.tools.register),
            ("dovetail_register_providers", self._add_provider),
            ("dovetail_register_context", self.context.register),
            ("dovetail_register_skills", self.skills.register),
            ("dovetail_register_agents", self._add_agent),
        )

    def _add_provider(
        self, provider: Provider, owner: str, rank: int
    ) -> Registration[Provider]:
        if not isinstance(provider, Provider):
            raise InvalidValueError("provider", provider, "give a Provider")
        if not provider.name or "/" in provider.name:
            raise InvalidValueError(
                "provider name", provider.name, "not empty, and without '/'"
            )
        return self.providers.add(owner, provider.name, provider, rank)

    def _add_agent(
        self, profile: AgentProfile, owner: str, rank: int
    ) -> Registration[AgentProfile]:
        if not isinstance(profile, AgentProfile):
            raise InvalidValueError("agent profile", profile, "give an AgentProfile")
        if not profile.name or profile.steps < 1:
            raise InvalidValueError(
                "agent profile", profile.name, "a name, and at least one Step"
            )
        return self.agents.add(owner, profile.name, profile, rank)

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
        for plugin, place in self.places.items():
            if self.plugins.implements(plugin, PREPARE):
                changed = self.plugins.call(
                    plugin, PREPARE, request=request, place=place
                )
                if changed is not None:
                    request = changed
        return request


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

    def __await__(self) -> Generator[Any, None, "LocationHandle"]:
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

    def __init__(self, services: Callable[[], Awaitable[LocationServices]]) -> None:
        self._services = services

    async def pending(
        self, session_id: str | None = None
    ) -> Sequence[PermissionRequest]:
        """Return the unanswered requests, the oldest first, also those of an earlier
        process (law access.5)."""
        return await (await self._services()).permissions.pending(session_id)

    async def reply(
        self, request_id: str, reply: PermissionReply, message: str | None = None
    ) -> None:
        """Answer a request, exactly once.

        ``always`` also remembers what the request offered to save. ``reject`` with a
        message tells the model what to do instead; without one the run stops.

        Raises:
            PermissionNotFoundError: it is unknown here, or answered already.
        """
        services = await self._services()
        await services.permissions.reply(request_id, reply, message)

    async def saved(self) -> Sequence[SavedApproval]:
        """Return the saved approvals of this Location."""
        return await (await self._services()).permissions.saved()

    async def revoke(self, approval_id: str) -> None:
        """Forget a saved approval.

        Raises:
            ApprovalNotFoundError: there is none of this id here.
        """
        await (await self._services()).permissions.revoke(approval_id)
