"""The agent's side of the protocol: every method that a client may call.

Owns the table of methods, what is negotiated at the beginning, and which sessions the
client has open. What a method does is a conversation's, or the kernel's.
"""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any

import anyio
from acp import schema as s
from acp.meta import PROTOCOL_VERSION
from anyio.abc import TaskGroup
from attrs import frozen
from dovetail.kernel import (
    DovetailError,
    InvalidValueError,
    Json,
    Location,
    LocationNotFoundError,
    ModelError,
    ModelNotSelectedError,
    NotFoundError,
    PromptInvalidError,
    ProviderError,
    Runtime,
    RuntimeClosedError,
    Session,
    problem_of,
)
from pydantic import BaseModel, ValidationError

from .asking import dumped
from .conversation import Conversation
from .files import Abilities
from .servers import HandedOver, can_reach
from .telling import time_text
from .wire import (
    AUTH_REQUIRED,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NOT_FOUND,
    ByteStream,
    Connection,
    Fault,
    Handlers,
    Reply,
)

logger = logging.getLogger(__name__)

MAX_OPEN = 64
"""Sessions that one client may have open at once."""
MAX_PROBLEMS = 5
MAX_TOLD = 4000
"""Characters of an error: it may repeat what the client sent."""
AUTH_METHOD = "dovetail-model"
HOW = (
    "Set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY in the environment of the "
    'editor, or write model = "provider/name" in dovetail.toml in your configuration '
    "folder; `dovetail models` in a terminal lists what can be asked. Then try again."
)
_FOUND: dict[str, "_Method"] = {}


@frozen
class _Method:
    """One method that a client may call."""

    params: type[BaseModel]
    call: Callable[..., Awaitable[Any]]


def _method(
    name: str, params: type[BaseModel]
) -> Callable[[Callable[..., Awaitable[Any]]], Callable[..., Awaitable[Any]]]:
    def register(
        call: Callable[..., Awaitable[Any]],
    ) -> Callable[..., Awaitable[Any]]:
        _FOUND[name] = _Method(params, call)
        return call

    return register


class Agent:
    """Serves one client with the sessions of one runtime."""

    def __init__(self, runtime: Runtime, stream: ByteStream) -> None:
        self._runtime = runtime
        self._open: dict[str, Conversation] = {}
        self._servers = HandedOver(runtime)
        self._client: s.ClientCapabilities | None = None
        self._wanted: str | None = None
        """Where a session was to be that could not be, for want of a model."""
        self._tasks: TaskGroup | None = None
        self._connection = Connection(
            stream,
            Handlers(
                request=self._request,
                notice=self._notice,
                fault=_fault,
                leave=self._settle,
                notices=frozenset({"session/cancel"}),
            ),
        )

    async def run(self) -> None:
        """Serve until the client is gone, or ``drain`` is called. What runs then is
        interrupted and settled, and its prompts have their answers."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            await self._connection.run()
            tasks.cancel_scope.cancel()

    def drain(self) -> None:
        """Take nothing new, and come to an end."""
        self._connection.drain()

    async def _settle(self) -> None:
        async with anyio.create_task_group() as tasks:
            for one in tuple(self._open.values()):
                tasks.start_soon(one.settle)

    # --- messages -----------------------------------------------------------------

    async def _request(self, method: str, params: Json) -> Reply:
        found = _FOUND.get(method)
        if found is None:
            raise Fault(METHOD_NOT_FOUND, f"there is no method {method[:100]!r}")
        if self._client is None and method != "initialize":
            raise Fault(INVALID_REQUEST, "call initialize first")
        try:
            given = found.params.model_validate({} if params is None else params)
        except ValidationError as error:
            raise _invalid(error) from error
        except RecursionError as error:
            raise Fault(INVALID_PARAMS, "it is nested too deeply") from error
        answer = await found.call(self, given)
        reply = answer if isinstance(answer, Reply) else Reply(answer)
        result = reply.result
        return Reply(
            dumped(result) if isinstance(result, BaseModel) else result, reply.then
        )

    async def _notice(self, method: str, params: Json) -> None:
        if method != "session/cancel":
            logger.debug("nothing is done on %r", method[:100])
            return
        wanted = params.get("sessionId") if isinstance(params, dict) else None
        found = self._open.get(wanted) if isinstance(wanted, str) else None
        if found is None:
            logger.warning("cancel of a session that is not open")
            return
        await found.cancel()

    # --- the beginning ------------------------------------------------------------

    @_method("initialize", s.InitializeRequest)
    async def _initialize(self, params: s.InitializeRequest) -> s.InitializeResponse:
        self._client = params.client_capabilities or s.ClientCapabilities()
        return s.InitializeResponse(
            # The only version that there is here; a client that cannot speak it leaves.
            protocol_version=PROTOCOL_VERSION,
            agent_info=s.Implementation(
                name="dovetail", title="dovetail", version=version("dovetail")
            ),
            agent_capabilities=s.AgentCapabilities(
                load_session=True,
                prompt_capabilities=s.PromptCapabilities(
                    image=True, audio=True, embedded_context=True
                ),
                mcp_capabilities=s.McpCapabilities(http=can_reach(), sse=False),
                session_capabilities=s.SessionCapabilities(
                    list=s.SessionListCapabilities(),
                    resume=s.SessionResumeCapabilities(),
                    close=s.SessionCloseCapabilities(),
                    fork=s.SessionForkCapabilities(),
                ),
            ),
            auth_methods=[
                s.AuthMethodAgent(
                    id=AUTH_METHOD, name="Choose a model", description=HOW
                )
            ],
        )

    @_method("authenticate", s.AuthenticateRequest)
    async def _authenticate(
        self, params: s.AuthenticateRequest
    ) -> s.AuthenticateResponse:
        if params.method_id != AUTH_METHOD:
            raise Fault(INVALID_PARAMS, f"the only method is {AUTH_METHOD!r}")
        await self._check_model(Location.at(self._wanted or os.getcwd()))
        return s.AuthenticateResponse()

    async def _check_model(self, location: Location) -> None:
        """Refuse where no model at all can be asked."""
        try:
            await self._runtime.location(location).model_for()
        except ModelNotSelectedError as error:
            if error.offered:
                # One can be chosen in the session.
                return
            self._wanted = location.directory
            raise Fault(AUTH_REQUIRED, f"{error}. {HOW}", _data(error)) from error
        except (ModelError, ProviderError) as error:
            self._wanted = location.directory
            raise Fault(AUTH_REQUIRED, f"{error}. {HOW}", _data(error)) from error

    # --- sessions -----------------------------------------------------------------

    @_method("session/new", s.NewSessionRequest)
    async def _new(self, params: s.NewSessionRequest) -> Reply:
        location = _location(params.cwd)
        _check_beside(params)
        self._check_room()
        await self._check_model(location)
        await self._servers.take(location, params.mcp_servers)
        session = await self._runtime.sessions.create(location=location)
        opened = await self._opened(session)
        await opened.skip()
        modes, options = await opened.settings()
        self._open[session.id] = opened
        return Reply(
            s.NewSessionResponse(
                session_id=session.id, modes=modes, config_options=list(options)
            ),
            self._follow(opened),
        )

    @_method("session/load", s.LoadSessionRequest)
    async def _load(self, params: s.LoadSessionRequest) -> Reply:
        opened = await self._reopened(params)
        await opened.replay()
        modes, options = await opened.settings()
        return Reply(
            s.LoadSessionResponse(modes=modes, config_options=list(options)),
            self._follow(opened),
        )

    @_method("session/resume", s.ResumeSessionRequest)
    async def _resume(self, params: s.ResumeSessionRequest) -> Reply:
        opened = await self._reopened(params)
        await opened.skip()
        modes, options = await opened.settings()
        return Reply(
            s.ResumeSessionResponse(modes=modes, config_options=list(options)),
            self._follow(opened),
        )

    @_method("session/fork", s.ForkSessionRequest)
    async def _fork(self, params: s.ForkSessionRequest) -> Reply:
        self._check_room()
        session = await self._named(params)
        opened = await self._opened(await session.fork())
        await opened.skip()
        modes, options = await opened.settings()
        self._open[opened.session.id] = opened
        return Reply(
            s.ForkSessionResponse(
                session_id=opened.session.id, modes=modes, config_options=list(options)
            ),
            self._follow(opened),
        )

    @_method("session/list", s.ListSessionsRequest)
    async def _list(self, params: s.ListSessionsRequest) -> s.ListSessionsResponse:
        where = None if params.cwd is None else _location(params.cwd)
        page = await self._runtime.sessions.list(
            location=where, roots=True, cursor=params.cursor
        )
        return s.ListSessionsResponse(
            sessions=[
                s.SessionInfo(
                    session_id=one.id,
                    cwd=one.location.directory,
                    title=one.title,
                    updated_at=time_text(one.updated),
                )
                for one in page.items
                # One that nobody said anything in is nothing to go on with.
                if one.title is not None or one.steps
            ],
            next_cursor=page.cursor,
        )

    @_method("session/close", s.CloseSessionRequest)
    async def _close(self, params: s.CloseSessionRequest) -> s.CloseSessionResponse:
        opened = self._open.pop(params.session_id, None)
        if opened is None:
            raise Fault(NOT_FOUND, f"session {params.session_id!r} is not open")
        await opened.settle()
        opened.leave()
        return s.CloseSessionResponse()

    @_method("session/prompt", s.PromptRequest)
    async def _prompt(self, params: s.PromptRequest) -> s.PromptResponse:
        return await self._of(params.session_id).prompt(params.prompt)

    @_method("session/set_mode", s.SetSessionModeRequest)
    async def _set_mode(
        self, params: s.SetSessionModeRequest
    ) -> s.SetSessionModeResponse:
        await self._of(params.session_id).set("mode", params.mode_id)
        return s.SetSessionModeResponse()

    @_method("session/set_config_option", s.SetSessionConfigOptionSelectRequest)
    async def _set_option(
        self, params: s.SetSessionConfigOptionSelectRequest
    ) -> s.SetSessionConfigOptionResponse:
        opened = self._of(params.session_id)
        await opened.set(params.config_id, params.value)
        _, options = await opened.settings()
        return s.SetSessionConfigOptionResponse(config_options=list(options))

    # --- which session ------------------------------------------------------------

    def _of(self, session_id: str) -> Conversation:
        found = self._open.get(session_id)
        if found is None:
            raise Fault(
                NOT_FOUND,
                f"session {session_id[:100]!r} is not open: call session/new, "
                "session/load or session/resume first",
            )
        return found

    async def _named(self, params: Any) -> Session:
        """Return the session that is meant, in its directory."""
        where = _location(params.cwd)
        _check_beside(params)
        session = await self._runtime.sessions.get(params.session_id)
        info = await session.info()
        if info.location != where:
            raise Fault(
                INVALID_PARAMS,
                f"session {params.session_id!r} works in {info.location.directory}, "
                f"not in {where.directory}",
            )
        await self._servers.take(where, params.mcp_servers)
        return session

    async def _reopened(self, params: Any) -> Conversation:
        session = await self._named(params)
        before = self._open.pop(session.id, None)
        if before is not None:
            # Told anew, by one reader: what it says comes once.
            before.leave()
        self._check_room()
        opened = self._open[session.id] = await self._opened(session)
        return opened

    async def _opened(self, session: Session) -> Conversation:
        info = await session.info()
        assert self._client is not None
        return Conversation(
            self._runtime,
            self._connection,
            session,
            info.location,
            abilities=Abilities.of(self._client),
        )

    def _check_room(self) -> None:
        if len(self._open) >= MAX_OPEN:
            raise Fault(
                INTERNAL_ERROR,
                f"{MAX_OPEN} sessions are open; close one with session/close",
            )

    def _follow(self, opened: Conversation) -> Callable[[], None]:
        def follow() -> None:
            assert self._tasks is not None
            opened.follow(self._tasks)

        return follow


def _location(cwd: str) -> Location:
    if not os.path.isabs(cwd):
        raise Fault(INVALID_PARAMS, "cwd must be an absolute path")
    try:
        cwd.encode()
    except UnicodeEncodeError as error:
        raise Fault(INVALID_PARAMS, "cwd has a lone surrogate") from error
    return Location.at(cwd)


def _check_beside(params: Any) -> None:
    """Refuse what is not among the capabilities."""
    if params.additional_directories:
        raise Fault(
            INVALID_PARAMS,
            "additionalDirectories is not among the capabilities of this agent",
        )


def _invalid(error: ValidationError) -> Fault:
    """Return what is wrong with parameters, without what was in them."""
    problems = [
        f"{'.'.join(map(str, one['loc']))[:100] or 'params'}: {one['msg'][:200]}"
        for one in error.errors(include_url=False, include_input=False)[:MAX_PROBLEMS]
    ]
    return Fault(INVALID_PARAMS, "; ".join(problems))


def _data(error: BaseException) -> Mapping[str, str]:
    return {"code": problem_of(error)["code"]}


def _fault(error: Exception) -> Fault:
    """Return what the client is told of an error."""
    told = str(error)[:MAX_TOLD]
    match error:
        case LocationNotFoundError() | InvalidValueError() | PromptInvalidError():
            return Fault(INVALID_PARAMS, told, _data(error))
        case NotFoundError():
            return Fault(NOT_FOUND, told, _data(error))
        case RuntimeClosedError():
            return Fault(INTERNAL_ERROR, "the agent is about to end", _data(error))
        case DovetailError():
            return Fault(INTERNAL_ERROR, told, _data(error))
    logger.error("a request failed", exc_info=error)
    return Fault(INTERNAL_ERROR, "internal error; it is in the log of the agent")
