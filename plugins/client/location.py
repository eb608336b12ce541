"""A Location of another process: what it offers, and what is asked there."""

import os
import shlex
from collections.abc import Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

from dovetail.kernel import (
    AgentProblem,
    AgentProfile,
    Location,
    LocationPlugin,
    ModelInfo,
    PermissionRequest,
    Prompt,
    PromptArgument,
    PromptCommand,
    ProviderState,
    QuestionAnswer,
    QuestionRequest,
    Rule,
    SavedApproval,
    Saving,
    Skill,
    SkillProblem,
    SourceState,
    ToolDefinition,
    to_json,
)

from .answer import Answer
from .requests import RemoteRequests
from .values import all_of_ours, given, ours, place_of, prompt_of
from .wire import Wire

T = TypeVar("T")


class RemoteLocation:
    """As ``LocationHandle``. It opens in the server, on first use, and closes there
    when it was not used for a while, whether or not it is entered here."""

    def __init__(
        self, wire: Wire, path: "str | os.PathLike[str] | Location | None"
    ) -> None:
        self._wire = wire
        place = {} if path is None else place_of(path)
        self._query = {
            "location[directory]": place.get("directory"),
            "location[workspace]": place.get("workspaceID"),
        }
        self.permissions = RemotePermissions(self)
        """Permission requests that wait for an answer, and saved approvals."""
        self.questions = RemoteQuestions(self)
        """Questions that wait for an answer."""

    def __await__(self) -> Generator[Any, None, Self]:
        return self._opened().__await__()

    async def _opened(self) -> Self:
        await self.where()
        return self

    async def __aenter__(self) -> Self:
        return await self._opened()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    @property
    def wire(self) -> Wire:
        """Where it is asked."""
        return self._wire

    async def ask(self, path: str, method: str = "GET", body: Any = None) -> Answer:
        return await self._wire.ask(method, path, body, query=self._query)

    async def tell(self, path: str, method: str) -> None:
        await self._wire.tell(method, path, query=self._query)

    async def waiting(
        self, what: str, kind: type[T], session_id: str | None
    ) -> Sequence[T]:
        """Return requests that wait here; those of a session are its own and those of
        the sessions that work for it."""
        found = await self.ask(f"{what}/request")
        waiting: Sequence[Any] = all_of_ours(found, kind)
        if session_id is None:
            return waiting
        requests = RemoteRequests(self._wire)
        of = await requests.pending(session_id=session_id, what=what)
        ids = {(one.session_id, one.id) for one in of}
        return [one for one in waiting if (one.session_id, one.id) in ids]

    async def where(self) -> Location:
        """Return the Location that is meant, on the server's machine.

        Raises:
            LocationNotFoundError: there is no such directory.
        """
        found = await self.ask("location")
        workspace = found.get("workspaceID").read_if(str)
        return Location(found["directory"].read(str), workspace)

    async def model_for(
        self, model: str | None = None, agent: str | None = None
    ) -> str:
        """As ``LocationHandle.model_for``."""
        query = {**self._query, "model": model, "agent": agent}
        found = await self._wire.ask("GET", "model/used", query=query)
        return found["data"].read(str)

    async def tools(self) -> Sequence[ToolDefinition]:
        """As ``LocationHandle.tools``."""
        return (await self.ask("tool"))["data"].read_all(ToolDefinition)

    async def models(self) -> Sequence[ModelInfo]:
        """As ``LocationHandle.models``."""
        return await self._of("model", ModelInfo)

    async def providers(self) -> Sequence[ProviderState]:
        """As ``LocationHandle.providers``."""
        return await self._of("provider", ProviderState)

    async def agents(self) -> Sequence[AgentProfile]:
        """As ``LocationHandle.agents``."""
        return await self._of("agent", AgentProfile)

    async def skills(self) -> Sequence[Skill]:
        """As ``LocationHandle.skills``."""
        return await self._of("skill", Skill)

    async def commands(self) -> Sequence[PromptCommand]:
        """As ``LocationHandle.commands``: it is the server that writes them out."""
        found = (await self.ask("command"))["data"]
        return [self._command(one) for one in found.items()]

    def _command(self, shown: Answer) -> PromptCommand:
        name = shown["name"].read(str)

        async def write(given: Mapping[str, str]) -> str:
            words = (shlex.quote(f"{key}={value}") for key, value in given.items())
            return (await self.prompt(" ".join((f"/{name}", *words)))).text

        takes = shown["arguments"].read_all(PromptArgument)
        description = shown.get("description").read_if(str) or ""
        return PromptCommand(name, write, description, takes)

    async def prompt(self, said: str | Prompt, *, files: bool = False) -> Prompt:
        """As ``LocationHandle.prompt``: what is named is looked for where the server
        is."""
        prompt = said if isinstance(said, Prompt) else Prompt(said)
        body = {"prompt": prompt_of(prompt), "files": files}
        return (await self.ask("prompt", "POST", body))["data"].read(Prompt)

    async def agent_for(self, agent: str | None = None) -> AgentProfile:
        """As ``LocationHandle.agent_for``."""
        query = {**self._query, "agent": agent}
        found = await self._wire.ask("GET", "agent/used", query=query)
        return ours(found["data"], AgentProfile)

    async def agent_problems(self) -> Sequence[AgentProblem]:
        """As ``LocationHandle.agent_problems``."""
        return (await self.ask("agent/problem"))["data"].read_all(AgentProblem)

    async def ready(self) -> Sequence[str]:
        """As ``LocationHandle.ready``."""
        return (await self.ask("context/ready", "POST"))["data"].read_all(str)

    async def skill_problems(self) -> Sequence[SkillProblem]:
        """As ``LocationHandle.skill_problems``."""
        return (await self.ask("skill/problem"))["data"].read_all(SkillProblem)

    async def context(self) -> Sequence[SourceState]:
        """As ``LocationHandle.context``."""
        return (await self.ask("context"))["data"].read_all(SourceState)

    async def served_models(self, provider: str) -> Sequence[ModelInfo]:
        """As ``LocationHandle.served_models``: it is the server that asks."""
        path = f"provider/{quote(provider, safe='')}/served"
        return all_of_ours(await self.ask(path, "POST"), ModelInfo)

    async def refresh_models(self) -> Sequence[str]:
        """As ``LocationHandle.refresh_models``: it is the server that asks."""
        return (await self.ask("model/refresh", "POST"))["data"].read_all(str)

    async def plugins(self) -> Sequence[LocationPlugin]:
        """The plugins of the Location, as ``PluginsHandle.list`` has them."""
        return (await self.ask("plugin"))["data"].read_all(LocationPlugin)

    async def _of(self, path: str, kind: type[T]) -> Sequence[T]:
        return all_of_ours(await self.ask(path), kind)


class RemotePermissions:
    """As ``PermissionsHandle``."""

    def __init__(self, location: RemoteLocation) -> None:
        self._location = location

    async def pending(
        self, session_id: str | None = None
    ) -> Sequence[PermissionRequest]:
        """As ``PermissionsHandle.pending``."""
        return await self._location.waiting("permission", PermissionRequest, session_id)

    async def meaning(
        self, rules: Sequence[Rule]
    ) -> tuple[Sequence[Rule], Sequence[str]]:
        """As ``PermissionsHandle.meaning``."""
        body = {"rules": [to_json(one) for one in rules]}
        found = await self._location.ask("permission/meaning", "POST", body)
        meant = found["data"]["rules"].read_all(Rule)
        return meant, found["data"]["odd"].read_all(str)

    async def reply(
        self,
        request_id: str,
        reply: Literal["once", "always", "reject"],
        message: str | None = None,
        *,
        by: Literal["person", "policy"] = "person",
        saving: Saving | None = None,
        session_id: str | None = None,
        shown: str | None = None,
    ) -> None:
        """As ``PermissionsHandle.reply``, wherever it was asked."""
        kept = given(saving=None if saving is None else to_json(saving))
        body = given(message=message, session_id=session_id, by=by, shown=shown)
        path = f"request/{quote(request_id, safe='')}/reply"
        await self._location.wire.tell("POST", path, {"answer": reply, **body, **kept})

    async def saved(self) -> Sequence[SavedApproval]:
        """As ``PermissionsHandle.saved``."""
        found = await self._location.ask("permission/saved")
        return all_of_ours(found, SavedApproval)

    async def revoke(self, approval_id: str) -> None:
        """As ``PermissionsHandle.revoke``."""
        path = f"permission/saved/{quote(approval_id, safe='')}"
        await self._location.tell(path, "DELETE")


class RemoteQuestions:
    """As ``QuestionsHandle``."""

    def __init__(self, location: RemoteLocation) -> None:
        self._location = location

    async def pending(self, session_id: str | None = None) -> Sequence[QuestionRequest]:
        """As ``QuestionsHandle.pending``."""
        return await self._location.waiting("question", QuestionRequest, session_id)

    async def reply(
        self,
        request_id: str,
        answers: Sequence[QuestionAnswer],
        *,
        session_id: str | None = None,
        shown: str | None = None,
    ) -> None:
        """As ``QuestionsHandle.reply``."""
        said = {"answers": [to_json(one) for one in answers]}
        await RemoteRequests(self._location.wire).reply(
            request_id, said, session_id=session_id, shown=shown
        )

    async def dismiss(
        self,
        request_id: str,
        message: str | None = None,
        *,
        session_id: str | None = None,
        shown: str | None = None,
    ) -> None:
        """As ``QuestionsHandle.dismiss``."""
        said = {"answers": None, "message": message}
        await RemoteRequests(self._location.wire).reply(
            request_id, said, session_id=session_id, shown=shown
        )
