"""Connection: one server, reached, and what it offers.

Owns the way from a Server to a client that may be asked, and the lists of tools,
resources and prompts, whole or refused: what a server lists is bounded here. The
neighbours ``process`` and ``http`` below carry messages, ``keeper`` above begins it
again.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import anyio
import mcp_types as types
from anyio import to_thread
from attrs import define, field, frozen
from dovetail.kernel import Json, problems_with, understood_schema
from mcp.client import Client, ClientRequestContext, IncomingMessage
from mcp.shared.exceptions import MCPError
from pydantic import FileUrl

from .floods import Flood
from .process import ServerProcess, environment_of
from .settings import Server
from .words import Words

logger = logging.getLogger(__name__)
# What a stranger's server does wrong is told by us, in a line; the package would write
# tracebacks to the terminal of whoever configured no logging.
logging.getLogger("mcp").addHandler(logging.NullHandler())

MAX_PAGES = 100
MAX_LISTED = 2_000
"""Tools of one server, or resources, or prompts."""
MAX_PARTS = 1_000
"""Parts of one answer."""
AT_ONCE = 100
"""Tools of one message that are looked at without a thread."""
PROBE_SECONDS = 10.0

T = TypeVar("T")


class ServerProblemError(Exception):
    """A server does not do what it must; the text says what."""


@frozen
class Offer:
    """What a server offers: a list that was whole when it was read."""

    tools: tuple[types.Tool, ...] = ()
    prompts: tuple[types.Prompt, ...] = ()
    resources: tuple[types.Resource, ...] = ()
    templates: tuple[types.ResourceTemplate, ...] = ()
    instructions: str = ""


class Person(Protocol):
    """Who answers what a server asks in the middle of a call."""

    async def elicit(self, params: Any) -> Any: ...

    async def sample(self, params: Any) -> Any: ...


async def _unknown() -> str | None:
    return None


@define(eq=False)
class Connection:
    """One connection, open."""

    client: Client
    closed: anyio.Event = field(factory=anyio.Event)
    """Set when the other side is gone."""
    changed: anyio.Event = field(factory=anyio.Event)
    """Set when it says that something that it lists changed."""
    schemas: dict[str, Json] = field(factory=dict)
    """What is understood of the output schemas of its tools, by name."""
    end: Callable[[], Awaitable[str | None]] = field(default=_unknown)
    """Says how its process ended; None where it runs on, and where there is none."""

    async def offer(self) -> Offer:
        """Read all lists.

        Raises:
            ServerProblemError: one of them is no list, or does not end.
            MCPError: the server refuses.
        """
        able = self.client.server_capabilities
        tools: Sequence[types.Tool] = ()
        prompts: Sequence[types.Prompt] = ()
        resources: Sequence[types.Resource] = ()
        templates: Sequence[types.ResourceTemplate] = ()
        if able.tools is not None:
            tools = await _pages("tools", self.client.list_tools, lambda p: p.tools)
        if able.prompts is not None:
            prompts = await _pages(
                "prompts", self.client.list_prompts, lambda p: p.prompts
            )
        if able.resources is not None:
            resources = await _pages(
                "resources", self.client.list_resources, lambda p: p.resources
            )
            try:
                templates = await _pages(
                    "templates",
                    self.client.list_resource_templates,
                    lambda p: p.resource_templates,
                )
            except MCPError as error:
                # Servers without templates need not know the question.
                if error.code != types.METHOD_NOT_FOUND:
                    raise
        self.schemas = {
            tool.name: understood_schema(tool.output_schema)
            for tool in tools
            if tool.output_schema is not None
        }
        return Offer(
            tuple(tools),
            tuple(prompts),
            tuple(resources),
            tuple(templates),
            self.client.instructions or "",
        )

    async def forgotten(self, error: MCPError) -> bool:
        """Whether the other side knows nothing of this connection any more, by an error
        that speaks of its session and a second question that fails likewise."""
        if "session" not in error.message.lower():
            return False
        with anyio.move_on_after(PROBE_SECONDS):
            try:
                ping = types.PingRequest()
                await self.client.session.send_request(ping, types.EmptyResult)
            except MCPError as again:
                if again.message == error.message:
                    self.closed.set()
                    return True
        return False

    def problems(self, tool: str, structured: Json) -> list[str]:
        """Return why structured content is not what the tool said it would be."""
        schema = self.schemas.get(tool)
        return [] if schema is None else problems_with(structured, schema)


async def _pages(
    what: str, ask: Callable[..., Awaitable[Any]], items: Callable[[Any], Sequence[T]]
) -> list[T]:
    found: list[T] = []
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(MAX_PAGES):
        page = await ask(cursor=cursor)
        found += items(page)
        if len(found) > MAX_LISTED:
            raise ServerProblemError(f"it lists over {MAX_LISTED} {what}")
        cursor = page.next_cursor
        if cursor is None:
            return found
        if cursor in seen:
            raise ServerProblemError(f"its list of {what} goes round in a circle")
        seen.add(cursor)
    raise ServerProblemError(f"its list of {what} has over {MAX_PAGES} pages")


@frozen(eq=False)
class Surroundings:
    """What a server is told of where it works, and who hears it."""

    directory: str
    environment: Mapping[str, str] = field(repr=False)
    words: Words
    person: Callable[[], Person | None]
    """Who answers in the call that runs now, if it can be told which that is."""
    root: Callable[[], str | None]
    """The folder that the server may know of, as a URI."""
    transport: Callable[[Server], Any] | None = None
    """What carries messages instead, for servers that are given in code."""


@asynccontextmanager
async def connect(server: Server, around: Surroundings) -> AsyncIterator[Connection]:
    """Reach a server, and leave it when this is left.

    Raises:
        OSError: its program cannot be begun, or it cannot be reached.
        MCPError, RuntimeError, ValueError: it does not speak as it must.
    """
    made: list[Connection] = []

    async def heard(message: IncomingMessage) -> None:
        if made and isinstance(
            message,
            types.ToolListChangedNotification
            | types.PromptListChangedNotification
            | types.ResourceListChangedNotification,
        ):
            made[0].changed.set()

    async def logged(params: types.LoggingMessageNotificationParams) -> None:
        text = params.data if isinstance(params.data, str) else repr(params.data)
        around.words.note(f"{params.level}: {text[:2_000]}")

    async def elicit(context: ClientRequestContext, params: Any) -> Any:
        person = around.person()
        if person is None:
            return types.ElicitResult(action="decline")
        return await person.elicit(params)

    async def sample(context: ClientRequestContext, params: Any) -> Any:
        person = around.person()
        if person is None:
            return types.ErrorData(
                code=types.INVALID_REQUEST, message="no call of a tool runs"
            )
        return await person.sample(params)

    async def roots(context: ClientRequestContext) -> Any:
        root = around.root()
        listed = [] if root is None else [types.Root(uri=FileUrl(root))]
        return types.ListRootsResult(roots=listed)

    async with _transport(server, around) as ((incoming, outgoing), end):
        watched = _Watched(incoming, around.words)
        client = Client(
            _Given((watched, outgoing)),
            mode="legacy" if server.protocol == "legacy" else "auto",
            cache=None,
            client_info=types.Implementation(name="dovetail", version="0.1.0"),
            message_handler=heard,
            logging_callback=logged,
            elicitation_callback=elicit,
            sampling_callback=sample,
            list_roots_callback=roots,
        )
        async with client:
            connection = Connection(client, closed=watched.closed, end=end)
            made.append(connection)
            # Ours is bounded, and runs no pattern of theirs.
            client.session.validate_tool_result = _unseen  # type: ignore[method-assign]
            async with anyio.create_task_group() as tasks:
                if client.session.initialize_result is None:
                    tasks.start_soon(_follow, client, connection)
                yield connection
                tasks.cancel_scope.cancel()


async def _unseen(name: str, result: types.CallToolResult) -> None:
    """Look at nothing: ``Connection.problems`` does."""


async def _follow(client: Client, connection: Connection) -> None:
    """Hear of changes from a server that is asked for them."""
    able = client.server_capabilities
    if not (able.tools or able.prompts or able.resources):
        return
    while True:
        try:
            async with client.listen(
                tools_list_changed=able.tools is not None,
                prompts_list_changed=able.prompts is not None,
                resources_list_changed=able.resources is not None,
            ) as events:
                async for _ in events:
                    connection.changed.set()
            return
        except MCPError as error:
            logger.debug("changes are not told: %s", error)
            return
        except (RuntimeError, TimeoutError) as error:
            logger.debug("changes are told no more: %s", error)
            # What changed in between is found by reading again.
            connection.changed.set()
            await anyio.sleep(5)


class _Given:
    """Streams that are open already, as the transport of a client."""

    def __init__(self, streams: Any) -> None:
        self._streams = streams

    async def __aenter__(self) -> Any:
        return self._streams

    async def __aexit__(self, *_: object) -> None:
        return None


class _Watched:
    """A stream of messages that says when it has ended."""

    def __init__(self, stream: Any, words: Words) -> None:
        self._stream = stream
        self._words = words
        self._flood = Flood()
        self._of_objects = False
        """Whether the protocol that is spoken, of before 2026, knows only objects."""
        self.closed = anyio.Event()

    async def receive(self) -> Any:
        try:
            while True:
                item = await self._stream.receive()
                message = getattr(item, "message", None)
                if self._flood.is_too_much(message):
                    continue
                _shorten(message)
                if isinstance(message, types.JSONRPCResponse):
                    self._of_objects |= "protocolVersion" in message.result
                tools = _tools_of(message)
                if len(tools) > AT_ONCE:
                    await to_thread.run_sync(self._sound, message, tools)
                elif tools:
                    self._sound(message, tools)
                return item
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self.closed.set()
            raise

    def _sound(self, message: Any, tools: list[Any]) -> None:
        """Take out of a list of tools what would make the whole list none: one tool
        that is described wrongly hides no other."""
        # Of a list that is too long no more than tells that it is.
        tools = tools[: MAX_LISTED + 1]
        sound = (_sound_tool(one, self._of_objects) for one in tools)
        kept = [one for one in sound if one is not None]
        if len(kept) < len(tools):
            missing = len(tools) - len(kept)
            self._words.note(f"{missing} tools are described as none may be")
        message.result["tools"] = kept

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        self.closed.set()
        await self._stream.aclose()

    def close(self) -> None:
        self.closed.set()
        self._stream.close()

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def last_context(self) -> Any:
        return getattr(self._stream, "last_context", None)


def _shorten(message: Any) -> None:
    """Leave no more parts in an answer than can be looked at without holding up
    everybody, and say that some are missing."""
    if not isinstance(message, types.JSONRPCResponse):
        return
    parts = message.result.get("content")
    if isinstance(parts, list) and len(parts) > MAX_PARTS:
        more = f"[{len(parts) - MAX_PARTS} more parts are left out]"
        kept = [*parts[:MAX_PARTS], {"type": "text", "text": more}]
        message.result["content"] = kept


def _tools_of(message: Any) -> list[Any]:
    if isinstance(message, types.JSONRPCResponse):
        found = message.result.get("tools")
        if isinstance(found, list):
            return found
    return []


def _sound_tool(tool: Any, of_objects: bool) -> dict[str, Any] | None:
    """Return a tool as it may be listed, or None."""
    try:
        made = dict(tool)
        schema = made.get("inputSchema", {})
        if isinstance(schema, dict):
            made["inputSchema"] = {"type": "object", **schema}
            required = schema.get("required", [])
            if isinstance(required, list):
                # Nothing else can be the name of a property.
                names = [one for one in required if isinstance(one, str)]
                if names != required:
                    made["inputSchema"]["required"] = names
        promised = made.get("outputSchema")
        if of_objects and isinstance(promised, dict):
            made["outputSchema"] = {"type": "object", **promised}
        if not isinstance(made.get("annotations", {}), dict):
            del made["annotations"]
        # Icons, titles and the like are nothing to a model.
        for key in ("icons", "_meta", "execution"):
            made.pop(key, None)
        types.Tool.model_validate(made, by_name=False)
    except (ValueError, TypeError):
        return None
    if made["inputSchema"]["type"] != "object":
        return None
    if not of_objects:
        return made
    if not _is_of_objects(made["inputSchema"]):
        return None
    if not _is_of_objects(made.get("outputSchema") or {"type": "object"}):
        # It promises what no answer can keep.
        del made["outputSchema"]
    return made


def _is_of_objects(schema: Any) -> bool:
    """Return whether the protocol takes a schema: one of objects, by its own words."""
    required, properties = schema.get("required") or [], schema.get("properties") or {}
    return (
        schema["type"] == "object"
        and isinstance(required, list)
        and all(isinstance(one, str) for one in required)
        and isinstance(properties, dict)
        and all(isinstance(one, dict | bool) for one in properties.values())
    )


@asynccontextmanager
async def _transport(server: Server, around: Surroundings) -> AsyncIterator[Any]:
    if around.transport is not None:
        async with around.transport(server) as streams:
            yield streams, _unknown
    elif server.url is not None:
        from .http import reached

        async with reached(server) as streams:
            yield streams, _unknown
    else:
        process = ServerProcess(around.words)
        environment = environment_of(around.environment, server.env)
        folder = server.cwd or around.directory
        try:
            async with process.run(server.command, environment, folder) as streams:
                yield streams, process.end
        finally:
            ended = process.ended()
            if ended is not None:
                around.words.note(f"ended: {ended}")
