"""The watch: fault points around a store, tools and providers, from outside.

Owns the wrappers. A runtime under test runs with the plugins that it would run with,
and nothing in it knows that it is watched: what plugins hand over is wrapped on its
way in. Knows the ports and contracts, and nothing of sessions.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar, cast

from attrs import evolve

from ...contracts import Provider, ProviderRoute, Restoration, Tool, ToolContext
from ...plugins.set import PluginSet
from ...ports import EventRecord, Reader, Store, Transaction
from ...tools.threads import ToolThreads
from ...values.location import Location
from ...values.messages import AssistantMessage, SummaryMessage
from ...values.request import ModelEvent, ModelRequest
from .points import FaultPoints
from .world import CrashWorld

T = TypeVar("T")

RequestCheck = Callable[[ModelRequest], Iterable[str]]
"""Returns what is wrong with a request, in a sentence each."""


class WatchedPlugins(PluginSet):
    """A plugin set whose stores, tools and providers are watched."""

    def __init__(
        self,
        plugins: PluginSet,
        points: FaultPoints,
        world: CrashWorld,
        check_request: RequestCheck | None = None,
    ) -> None:
        self.__dict__.update(vars(plugins))
        self._watch = points, world, check_request

    def ask(self, plugin: str, hook: str, /, **arguments: Any) -> Any:
        return self._stored(hook, super().ask(plugin, hook, **arguments))

    def first(self, hook: Any, /, *positional: Any, **arguments: Any) -> Any:
        return self._stored(hook, super().first(hook, *positional, **arguments))

    def _stored(self, hook: Any, found: Any) -> Any:
        if hook != "dovetail_open_store" or found is None:
            return found
        points, _, _ = self._watch
        return _watched_store(found, points)

    def call(
        self, plugin: Any, hook: Any, /, *positional: Any, **arguments: Any
    ) -> Any:
        points, world, check = self._watch
        if hook == "dovetail_register_tools":
            take = arguments["register"]
            arguments["register"] = lambda tool: take(_tool(tool, points, world))
        elif hook == "dovetail_register_providers":
            take = arguments["register"]
            arguments["register"] = lambda provider: take(
                _provider(provider, points, world, check)
            )
        return super().call(plugin, hook, *positional, **arguments)


# --- the store --------------------------------------------------------------------


@asynccontextmanager
async def _watched_store(
    opened: AbstractAsyncContextManager[Store], points: FaultPoints
) -> AsyncIterator[Store]:
    async with opened as store:
        yield WatchedStore(store, points)


class WatchedStore(Store):
    """A store with a fault point at every commit that writes something.

    Before: everything of it is written and nothing is durable. After: it is durable
    and nobody was told. The point is named by the events that the commit appends.
    """

    def __init__(self, store: Store, points: FaultPoints) -> None:
        self._store = store
        self._points = points

    @property
    def name(self) -> str:
        return self._store.name

    async def transact(
        self,
        work: Callable[[Transaction], T],
        on_commit: Callable[[T], None] | None = None,
    ) -> T:
        point: tuple[str, int] | None = None

        def watched(rows: Transaction) -> T:
            nonlocal point
            seen = _WatchedRows(rows)
            result = work(cast("Transaction", seen))
            name = seen.name
            # A store may run it again; that is the same happening.
            if name is not None:
                if point is None or point[0] != name:
                    point = name, self._points.next(name)
                self._points.reach(*point, "before")
            return result

        def told(result: T) -> None:
            if point is not None:
                self._points.reach(*point, "after")
            if on_commit is not None:
                on_commit(result)

        return await self._store.transact(watched, told)

    def transact_in_thread(self, work: Callable[[Transaction], T]) -> T:
        return self._store.transact_in_thread(work)

    async def read(self, work: Callable[[Reader], T]) -> T:
        return await self._store.read(work)

    def watch(self, notify: Callable[[], None]) -> Callable[[], None]:
        return self._store.watch(notify)

    async def aclose(self) -> None:
        await self._store.aclose()


class _WatchedRows:
    """The rows of a transaction; remembers what was written."""

    def __init__(self, rows: Transaction) -> None:
        self._rows = rows
        self._kinds: list[str] = []
        self._written: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        verb, _, noun = name.partition("_")
        if verb in ("put", "delete"):
            self._written.add(noun)
        return getattr(self._rows, name)

    def append(self, records: Sequence[EventRecord]) -> None:
        self._kinds += [record.kind for record in records]
        self._rows.append(records)

    @property
    def name(self) -> str | None:
        """What the fault point is called, or None: nothing was written."""
        if self._kinds:
            return f"commit {' + '.join(self._kinds)}"
        if self._written:
            return f"commit of {', '.join(sorted(self._written))}"
        return None


# --- tools ------------------------------------------------------------------------


def _tool(tool: Any, points: FaultPoints, world: CrashWorld) -> Any:
    if not isinstance(tool, Tool):
        return tool  # the registry says what is wrong with it
    threads = ToolThreads("watched")

    async def execute(input: Any, context: ToolContext) -> Any:
        name = f"tool {tool.name}"
        watched = cast("ToolContext", _WatchedContext(context, points, world))
        with points.around(name):
            world.entered(tool.name, tool.effect, context)
            await points.arrive(name)
            return await threads.awaited(tool.name, tool.execute)(input, watched)

    tool = _restoring(tool, points)
    check = tool.check
    if check is None:
        return evolve(tool, execute=execute)

    async def asked(input: Any, context: ToolContext) -> Any:
        with points.around(f"check {tool.name}"):
            return await threads.awaited(tool.name, check)(input, context)

    return evolve(tool, execute=execute, check=asked)


def _restoring(tool: Tool[Any, Any], points: FaultPoints) -> Tool[Any, Any]:
    """Return a tool with a fault point at every file that it restores."""
    restore = tool.restore
    if restore is None:
        return tool
    wanted_by = restore

    async def restoring(location: Location, wanted: Restoration) -> str | None:
        if wanted.look:
            return await wanted_by(location, wanted)
        with points.around(f"restore {tool.name}"):
            return await wanted_by(location, wanted)

    return evolve(tool, restore=restoring)


class _WatchedContext:
    """A ToolContext that remembers how far the executor came: who waits for a
    permission has not begun."""

    def __init__(
        self, context: ToolContext, points: FaultPoints, world: CrashWorld
    ) -> None:
        self._context = context
        self._points = points
        self._world = world
        self._asked = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def ask(self, *positional: Any, **named: Any) -> None:
        token = self._context.effect_token
        self._world.note("asking", token=token, again=self._asked)
        self._asked = True
        with self._points.around("ask"):
            await self._context.ask(*positional, **named)
        self._world.note("allowed", token=token)


# --- providers --------------------------------------------------------------------


def _provider(
    provider: Any, points: FaultPoints, world: CrashWorld, check: RequestCheck | None
) -> Any:
    if not isinstance(provider, Provider):
        return provider

    def route(model: str) -> ProviderRoute:
        return WatchedRoute(provider.route(model), points, world, check)

    return evolve(provider, route=route)


class WatchedRoute(ProviderRoute):
    """A route with fault points around its requests and around what comes back."""

    def __init__(
        self,
        route: ProviderRoute,
        points: FaultPoints,
        world: CrashWorld,
        check: RequestCheck | None,
    ) -> None:
        self._route = route
        self._points = points
        self._world = world
        self._check = check

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        for problem in problems_of(request):
            self._world.complain(problem)
        for problem in self._check(request) if self._check else ():
            self._world.complain(problem)
        async with AsyncExitStack() as stack:
            with self._points.around("request"):
                await self._points.arrive("request")
                stream = await stack.enter_async_context(self._route.stream(request))
            yield _WatchedStream(stream, self._points)


class _WatchedStream(AsyncIterator[ModelEvent]):
    """Before: an event came and nobody has seen it. After: the next is wanted."""

    def __init__(self, stream: AsyncIterator[ModelEvent], points: FaultPoints) -> None:
        self._stream = stream
        self._points = points
        self._last: tuple[str, int] | None = None

    async def __anext__(self) -> ModelEvent:
        if self._last is not None:
            last, self._last = self._last, None
            self._points.reach(*last, "after")
        event = await anext(self._stream)
        name = f"stream {type(event).__name__}"
        self._last = name, self._points.next(name)
        self._points.reach(*self._last, "before")
        await self._points.arrive(name)
        return event


def problems_of(request: ModelRequest) -> Iterable[str]:
    """Say what no provider would accept in a request (law tools.2)."""
    messages = request.history.messages
    ids: set[tuple[str, str]] = set()
    for message in messages:
        if isinstance(message, AssistantMessage):
            if message.ended is None:
                yield f"a request holds message {message.id}, which is not settled"
            for part in message.calls:
                if not part.settled:
                    yield f"a request holds call {part.call_id} without a result"
                if (message.id, part.call_id) in ids:
                    yield f"a request holds call {part.call_id} twice"
                ids.add((message.id, part.call_id))
    # A summary stands before what is kept, and is younger.
    seqs = [one.seq for one in messages if not isinstance(one, SummaryMessage)]
    if seqs != sorted(set(seqs)):
        yield "a request holds messages out of order, or one twice"
    last = messages[-1] if messages else None
    if last is None:
        yield "a request holds no message"
    elif isinstance(last, AssistantMessage) and not last.calls:
        yield "a request ends with the model's own words"
