"""The handles of a Location: how an application looks at one and changes it.

Owns no state but which handles are entered: every call opens the Location if it is not,
and describes what its services offer at that moment.
"""

from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from anyio import to_thread

from ..access.approvals import SavedApproval, Saving
from ..access.request import PermissionRequest
from ..context.registry import SourceState
from ..contracts import (
    AgentProblem,
    AgentProfile,
    Editor,
    PromptCommand,
    Rule,
    Skill,
    SkillProblem,
)
from ..models.catalog import ProviderState
from ..plugins.instance import LocationPlugin
from ..requests.questions import QuestionRequest
from ..values.errors import InvalidValueError
from ..values.events import PermissionReply
from ..values.location import Location
from ..values.prompt import Prompt
from ..values.question import QuestionAnswer
from ..values.request import ModelInfo
from ..values.tool import ToolDefinition
from .named_files import attached
from .services import LocationServices, Use


class LocationHandle:
    """A Location as an application sees it. It opens on first use.

    ``await handle`` opens it now; ``async with handle`` keeps it open for as long as
    it is entered. Otherwise it closes when it was not used for a while, and the next
    use opens it again. Everything here describes what is offered at the moment of the
    call.
    """

    def __init__(self, location: Location, use: Use) -> None:
        self.location = location
        self._use = use
        self._entered: list[AbstractAsyncContextManager[LocationServices]] = []

    def __repr__(self) -> str:
        return f"LocationHandle({self.location.directory!r})"

    def __await__(self) -> Generator[Any, None, "LocationHandle"]:
        return self._opened().__await__()

    async def _opened(self) -> "LocationHandle":
        async with self._use(self.location):
            return self

    async def __aenter__(self) -> "LocationHandle":
        use = self._use(self.location)
        await use.__aenter__()
        self._entered.append(use)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._entered.pop().__aexit__(None, None, None)

    def _services(self) -> "AbstractAsyncContextManager[LocationServices]":
        return self._use(self.location)

    @asynccontextmanager
    async def editor(self, session_id: str, editor: Editor) -> AsyncIterator[None]:
        """Say, for as long as this is entered, that an editor shows a session. The
        tools of all sessions here that read or change files ask it what is not saved
        and have it write (laws tools.19 and tools.20), those of other sessions where
        no editor shows them. Keeps the Location open.
        """
        async with self._services() as services:
            services.editors[session_id] = editor
            try:
                yield
            finally:
                if services.editors.get(session_id) is editor:
                    del services.editors[session_id]

    async def tools(self) -> Sequence[ToolDefinition]:
        """Return the tools that models are offered, in name order."""
        async with self._services() as services:
            return services.tools.advertise().definitions

    async def models(self) -> Sequence[ModelInfo]:
        """Return the models that are known by name; others may be accepted."""
        async with self._services() as services:
            return services.catalog.models()

    async def providers(self) -> Sequence[ProviderState]:
        """Return who serves models here, in name order, and what keeps each from being
        asked. Nothing is asked over the network."""
        async with self._services() as services:
            return services.catalog.providers()

    async def served_models(self, provider: str) -> Sequence[ModelInfo]:
        """Ask a provider over the network which models it serves now.

        Raises:
            ModelUnknownError: no such provider is offered.
            ProviderError: it cannot be asked, is not there, or answers nonsense.
        """
        async with self._services() as services:
            return await services.catalog.served(provider)

    async def refresh_models(self) -> Sequence[str]:
        """Get newer facts about models over the network, from whoever can here, and
        return in a sentence each what came of it. Nothing else ever does so but a
        setting that says daily.

        Raises:
            ModelFactsError: there were none to be had; what was known before is kept.
        """
        async with self._services() as services:
            return await services.catalog.refresh()

    async def skills(self) -> Sequence[Skill]:
        """Return the skills that are offered, in name order."""
        async with self._services() as services:
            return await services.skills.skills()

    async def skill_problems(self) -> Sequence[SkillProblem]:
        """Return what looked like a skill and is not offered, and why."""
        async with self._services() as services:
            await services.skills.skills()
            return services.skills.problems()

    async def commands(self) -> Sequence[PromptCommand]:
        """Return the commands of plugins that a person may begin a prompt with, in name
        order, as they are now. This may take twenty seconds: whoever shows them lists
        them beside what else it does, and again later."""
        async with self._services() as services:
            return await services.prompts.commands()

    async def prompt(self, said: str | Prompt, *, files: bool = False) -> Prompt:
        """Return what a person typed as it is to be said: ``/name arguments`` of a
        command written out, and with what ``@name`` means to a plugin attached. What
        begins with no command that is known is left as it is. Only for what a person
        typed: what others wrote would make it name things.

        With ``files``, a file that ``@path`` names is attached by its content, too: a
        path from this Location's directory, an absolute one, or one that begins with
        ``~``. What is no file there is left as it is.

        ``name=value`` gives an argument by name, anything else in the order of the
        command's arguments, the last one takes the rest.

        Raises:
            PromptInvalidError: an argument is missing or too many, what is named cannot
                be had, or it is no prompt.
        """
        prompt = Prompt.of(said)
        if files:
            folder = Path(self.location.directory)
            named = await to_thread.run_sync(attached, prompt.text, folder)
            prompt = Prompt.of(Prompt(prompt.text, (*prompt.files, *named)))
        async with self._services() as services:
            return await services.prompts.made(prompt)

    async def context(self) -> Sequence[SourceState]:
        """Return the Context Sources, in key order, each as it is now.

        One that cannot be observed is left out of what new sessions are told, or keeps
        them from beginning where it is required.
        """
        async with self._services() as services:
            return await services.context.states()

    async def ready(self) -> Sequence[str]:
        """Begin what is begun on first need and may take longer than a Step waits, such
        as the servers of plugins, and return once it is there or was waited for long
        enough: a line for each thing that is not. This may take ninety seconds. Nobody
        needs to call it; for who says only one thing, and wants it said with all the
        tools. Cancelling it stops the waiting, and nothing that was begun.
        """
        async with self._services() as services:
            return await services.context.ready()

    async def agents(self) -> Sequence[AgentProfile]:
        """Return the agent profiles, in name order."""
        async with self._services() as services:
            return [one.item for one in services.agents.offer().values()]

    async def agent_for(self, agent: str | None = None) -> AgentProfile:
        """Return the profile that a session here has, if it is given this agent.

        Raises:
            AgentNotFoundError: nobody offers it.
        """
        async with self._services() as services:
            return services.agent(agent)

    async def agent_problems(self) -> Sequence[AgentProblem]:
        """Return the files that look like agent profiles and are not used, or not all
        of them, and why."""
        async with self._services() as services:
            return tuple(services.agent_problems)

    async def model_for(
        self, model: str | None = None, agent: str | None = None
    ) -> str:
        """Return the name of the model that a session here uses, if it is given this
        model and this agent. It can be asked as far as that shows without a network.

        Raises:
            AgentNotFoundError: nobody offers the agent.
            ModelNotSelectedError: neither they nor the configuration name a model.
            ModelUnknownError: nobody here serves it.
            ProviderError: ``provider.key_missing``; its provider has no key.
        """
        async with self._services() as services:
            name = services.model_for(services.agent(agent), model)
            return services.catalog.resolve(name).full_name

    @property
    def plugins(self) -> "PluginsHandle":
        """The plugins of this Location."""
        return PluginsHandle(self._services)

    @property
    def permissions(self) -> "PermissionsHandle":
        """Permission requests that wait for an answer, and saved approvals."""
        return PermissionsHandle(self._services)

    @property
    def questions(self) -> "QuestionsHandle":
        """Questions that wait for an answer."""
        return QuestionsHandle(self._services)


class PermissionsHandle:
    """The permissions of a Location as an application sees them."""

    def __init__(
        self, services: "Callable[[], AbstractAsyncContextManager[LocationServices]]"
    ) -> None:
        self._services = services

    async def pending(
        self, session_id: str | None = None
    ) -> Sequence[PermissionRequest]:
        """Return the unanswered requests, the oldest first, also those of an earlier
        process (law access.5)."""
        async with self._services() as services:
            return await services.permissions.pending(session_id)

    async def meaning(
        self, rules: Sequence[Rule]
    ) -> tuple[Sequence[Rule], Sequence[str]]:
        """Return rules with what else they mean in this Location, to decide by them as
        it would, and a line for each that is about something no tool here asks.

        Raises:
            ConfigurationError: one of them can never match anything.
        """
        async with self._services() as services:
            return await to_thread.run_sync(services.meant, rules)

    async def reply(
        self,
        request_id: str,
        reply: PermissionReply,
        message: str | None = None,
        *,
        by: Literal["person", "policy"] = "person",
        saving: Saving | None = None,
        session_id: str | None = None,
        shown: str | None = None,
    ) -> None:
        """Answer a request, exactly once.

        ``always`` also remembers what the request offered to save, or what ``saving``
        says, in the scope and for as long as it says: without it in this Location, for
        the agent that asked, until it is revoked. ``reject`` with a message tells the
        model what to do instead; without one the run stops. ``by`` is recorded:
        ``policy`` is for what was decided before anybody asked. ``shown`` is that of
        the request as it was looked at, and ``session_id`` its session.

        Raises:
            RequestNotFoundError: it is unknown here.
            RequestEndedError: it has its end; by whom, when and how is told.
            RequestChangedError: it is not what was ``shown``. Nothing was answered.
            InvalidValueError: an argument is none of the above.
        """
        if by not in ("person", "policy"):
            raise InvalidValueError("by", by, '"person" or "policy"')
        async with self._services() as services:
            await services.permissions.reply(
                request_id,
                reply,
                message,
                by=by,
                saving=saving,
                session_id=session_id,
                shown=shown,
            )

    async def saved(self) -> Sequence[SavedApproval]:
        """Return the saved approvals that can hold in this Location, those that hold
        everywhere among them; of one that does not count, with why not."""
        async with self._services() as services:
            return await services.permissions.approvals.saved()

    async def revoke(self, approval_id: str) -> None:
        """Forget a saved approval.

        Raises:
            ApprovalNotFoundError: there is none of this id here.
        """
        async with self._services() as services:
            await services.permissions.approvals.revoke(approval_id)


class QuestionsHandle:
    """The questions of a Location as an application sees them."""

    def __init__(
        self, services: "Callable[[], AbstractAsyncContextManager[LocationServices]]"
    ) -> None:
        self._services = services

    async def pending(self, session_id: str | None = None) -> Sequence[QuestionRequest]:
        """Return the unanswered questions, the oldest first, also those of an earlier
        process (law access.5)."""
        async with self._services() as services:
            return await services.questions.pending(services.location, session_id)

    async def reply(
        self,
        request_id: str,
        answers: Sequence[QuestionAnswer],
        *,
        session_id: str | None = None,
        shown: str | None = None,
    ) -> None:
        """Answer, exactly once; durable when this returns. Whoever waits goes on.

        ``answers`` has one for each question, in their order; an empty one leaves its
        question open. ``session_id`` is needed only where two sessions have requests of
        one id. What nobody waits for is answered too: the answer counts when its call
        is continued. Once begun, cancelling does not stop it.

        Raises:
            RequestNotFoundError: there are no questions of this id here.
            RequestEndedError: they have their end; by whom, when and how is told.
            RequestChangedError: they are not what was ``shown``. Nothing was answered.
            InvalidValueError: an answer is missing, or does not answer its question.
        """
        async with self._services() as services:
            await services.questions.reply(
                request_id,
                answers,
                session_id=session_id,
                location=services.location,
                shown=shown,
            )

    async def dismiss(
        self,
        request_id: str,
        message: str | None = None,
        *,
        session_id: str | None = None,
        shown: str | None = None,
    ) -> None:
        """Refuse to answer, exactly once; durable when this returns.

        With ``message`` the model is told that instead and goes on. Without, the run
        stops, as after a permission that was rejected without advice.

        Raises:
            RequestNotFoundError: there are no questions of this id here.
            RequestEndedError: they have their end; by whom, when and how is told.
            RequestChangedError: they are not what was ``shown``. Nothing was answered.
            InvalidValueError: the message is too long.
        """
        async with self._services() as services:
            await services.questions.dismiss(
                request_id,
                message,
                session_id=session_id,
                location=services.location,
                shown=shown,
            )


class PluginsHandle:
    """The plugins of a Location as an application sees and changes them.

    What is changed here is changed in this Location and in no other, for as long as
    the runtime is open. Changes under one name wait for each other (law plugins.4).
    """

    def __init__(
        self, services: "Callable[[], AbstractAsyncContextManager[LocationServices]]"
    ) -> None:
        self._services = services

    async def list(self) -> Sequence[LocationPlugin]:
        """Return the plugins, in the order in which they are called."""
        async with self._services() as services:
            return services.plugins.known()

    async def add(self, plugin: object, name: str | None = None) -> LocationPlugin:
        """Open a plugin here, and offer what it contributes from now on.

        Without a name it is called as one that is given to ``open_runtime``. It comes
        after all installed and given ones. Cancelled, nothing is added.

        Raises:
            ConflictError: the name is taken.
            PluginError: its hooks are wrong, it cannot be opened, or something that it
                offers is refused. Nothing of it is left.
        """
        async with self._services() as services:
            return await services.plugins.add(plugin, name)

    async def replace(self, name: str, plugin: object) -> LocationPlugin:
        """Put a plugin in the place of another, without a gap.

        The new one is opened and what it offers is proven; then both change places at
        once; then the old one is closed. A call that was advertised with a tool of the
        old one and did not start yet fails as stale; one that runs goes on, and finds
        what the old one opened closed. Cancelled before they changed places, the old
        one stays.

        Raises:
            PluginNotFoundError: there is no plugin of this name.
            PluginError: as in ``add``. The old one works on (law plugins.3).
        """
        async with self._services() as services:
            return await services.plugins.replace(name, plugin)

    async def remove(self, name: str) -> None:
        """Take a plugin out; what it hid is offered again (law plugins.2).

        Raises:
            PluginNotFoundError: there is no plugin of this name.
        """
        async with self._services() as services:
            await services.plugins.remove(name)
