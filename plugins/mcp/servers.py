"""Servers: all of one Location, and what of their offers becomes tools.

Owns that they are begun together, and that what is offered is changed in one piece:
what is as it was stays registered, so that requests keep their bytes, and what is not
is stale from then on.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import anyio
import mcp_types as types
from anyio import to_thread
from anyio.abc import TaskGroup
from attrs import define, field, frozen
from dovetail.kernel import Action, Contribution, EffectClass, Place, Tool, ToolContext

from .calls import ASK, McpOutput, McpResult, ToolCalls, render
from .connection import Offer, Surroundings
from .keeper import Keeper
from .leftovers import end_left
from .names import Adapted, adapted, bounded, clean, named, one_line
from .resources import resource_tools
from .settings import Server
from .words import Words

logger = logging.getLogger(__name__)

AT_ONCE = 8
"""Servers that are begun at the same time."""
ACTION = Action(ASK, "text", "call a tool of an MCP server")

Register = Callable[[Tool[Any, Any]], Contribution | None]


@frozen
class Offered:
    """One tool, as a model is told of it: two that are equal are the same tool."""

    name: str
    own: str
    """What its server calls it."""
    description: str
    adapted: Adapted
    effect: EffectClass
    output: Any = None
    """The schema of what it answers, as the server wrote it."""


@define(eq=False)
class _Given:
    offered: Offered
    contribution: Contribution | None = None

    def active(self) -> bool:
        return self.contribution is not None and self.contribution.active


@define(eq=False)
class Kept:
    """One server, and what of it is offered."""

    keeper: Keeper
    calls: ToolCalls
    words: Words
    given: dict[str, _Given] = field(factory=dict)
    """By name, what is registered."""
    wanted: dict[str, Offered] = field(factory=dict)
    """What it offers now."""
    problems: tuple[str, ...] = ()
    """What of it is not offered, and why."""


class Servers:
    """The servers of one Location. To be entered; everything ends when it is left."""

    def __init__(
        self,
        servers: Sequence[Server],
        place: Place,
        words: Callable[[str], Words],
        *,
        transport: Callable[[Server], Any] | None = None,
        pause: float | None = None,
    ) -> None:
        self._place = place
        self._register: Register | None = None
        self._tasks: TaskGroup | None = None
        self._begun = False
        self._reading: list[Contribution | None] = []
        """The tools for resources, while they are offered."""
        self.generation = 0
        """Grows with whatever is to be told anew."""
        self.kept: dict[str, Kept] = {}
        for server in servers:
            kept = self._made(server, words(server.name), transport, pause)
            self.kept[server.name] = kept

    def _made(
        self,
        server: Server,
        words: Words,
        transport: Callable[[Server], Any] | None,
        pause: float | None,
    ) -> Kept:
        place = self._place
        calls = ToolCalls(lambda: self.kept[server.name].keeper, place.effect)
        around = Surroundings(
            str(place.location.path),
            place.environment,
            words,
            calls.person,
            lambda: place.location.path.as_uri(),
            transport,
        )
        publish = partial(self._publish, server.name)
        more = {} if pause is None else {"pause": pause}
        return Kept(Keeper(server, around, publish, **more), calls, words)

    async def __aenter__(self) -> "Servers":
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> Any:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(*raised)

    def offer_to(self, register: Register) -> None:
        """Offer what there is, and what comes, here."""
        self._register = register
        self._reconcile()

    def begin(self) -> None:
        """Begin all that were not begun yet."""
        if not self._begun and self._tasks is not None:
            self._begun = True
            if any(one.keeper.server.command for one in self.kept.values()):
                self._tasks.start_soon(to_thread.run_sync, end_left)
            limit = anyio.CapacityLimiter(AT_ONCE)
            for one in self.kept.values():
                self._tasks.start_soon(self._keep, one.keeper, limit)

    async def _keep(self, keeper: Keeper, limit: anyio.CapacityLimiter) -> None:
        async with anyio.create_task_group() as tasks:
            await limit.acquire_on_behalf_of(keeper)
            try:
                tasks.start_soon(keeper.run)
                await keeper.settled.wait()
            finally:
                limit.release_on_behalf_of(keeper)

    async def settled(self) -> None:
        """Begin them, and return when each is there or has failed, however long that
        takes."""
        self.begin()
        for one in self.kept.values():
            await one.keeper.settled.wait()

    # --- what is offered -----------------------------------------------------------

    def _publish(self, name: str, offer: Offer | None) -> None:
        kept = self.kept[name]
        self.generation += 1
        found, problems = offered(kept.keeper.server, offer or Offer())
        kept.wanted = {one.name: one for one in found}
        kept.problems = tuple(problems)
        self._reconcile()

    def _reconcile(self) -> None:
        """Make what is registered what is wanted, with no await in between."""
        if self._register is None:
            return
        taken: dict[str, str] = {}
        for name, kept in sorted(self.kept.items()):
            for tool in kept.wanted:
                taken.setdefault(tool, name)
        for name, kept in self.kept.items():
            for tool in [*kept.given]:
                wanted = kept.wanted.get(tool) if taken.get(tool) == name else None
                if wanted != kept.given[tool].offered:
                    made = kept.given.pop(tool).contribution
                    if made is not None:
                        made.close()
        self._offer_resources()
        for name, kept in sorted(self.kept.items()):
            refused = []
            for tool, wanted in sorted(kept.wanted.items()):
                if taken[tool] != name:
                    refused.append(
                        f"its tool {tool!r} is not offered: the server "
                        f"{taken[tool]!r} has one of this name"
                    )
                elif tool not in kept.given:
                    given = kept.given[tool] = _Given(wanted)
                    given.contribution = self._register(self._tool(kept, given))
            hidden = [
                f"its tool {tool!r} is not offered: another plugin has one of this name"
                for tool, given in kept.given.items()
                if given.active()
                and given.contribution is not None
                and not given.contribution.offered
            ]
            for problem in (*refused, *hidden):
                if problem not in kept.problems:
                    logger.warning("MCP server %r: %s", name, problem)
                    kept.problems = (*kept.problems, problem)

    def _offer_resources(self) -> None:
        """Offer the tools for resources while some server has any."""
        assert self._register is not None
        offers = [one.keeper.offer for one in self.kept.values()]
        wanted = any(one and (one.resources or one.templates) for one in offers)
        if wanted and not self._reading:
            made = resource_tools(
                lambda: {name: one.keeper for name, one in self.kept.items()}
            )
            self._reading = [self._register(one) for one in made]
        elif not wanted:
            for one in self._reading:
                if one is not None:
                    one.close()
            self._reading = []

    def _tool(self, kept: Kept, given: _Given) -> Tool[Any, Any]:
        one = given.offered

        async def execute(input: dict[str, Any], context: ToolContext) -> McpResult:
            return await kept.calls.call(
                one.name,
                one.own,
                one.adapted.arguments(input),
                context,
                given.active,
            )

        return Tool(
            name=one.name,
            description=one.description,
            input=dict,
            output=McpOutput,
            schema=one.adapted.schema,
            effect=one.effect,
            asks=(ACTION,),
            execute=execute,
            render=render,
            gives_way=True,
        )


def offered(server: Server, offer: Offer) -> tuple[list[Offered], list[str]]:
    """Return the tools of an offer as they are offered here, in the order of their
    names, and why others are not."""
    listed: dict[str, types.Tool] = {}
    problems: list[str] = []
    for tool in offer.tools:
        if server.tools is not None and tool.name not in server.tools:
            continue
        if tool.name in server.without:
            continue
        if tool.name in listed:
            problems.append(f"it lists the tool {one_line(tool.name, 80)!r} twice")
            continue
        listed[tool.name] = tool
    names, refused = named(server.name, listed)
    found = [
        _offered(server, name, listed[own])
        for own, name in sorted(names.items(), key=lambda pair: pair[1])
    ]
    return found, [*problems, *refused]


def _offered(server: Server, name: str, tool: types.Tool) -> Offered:
    made = adapted(tool.input_schema)
    said = clean(tool.description or tool.title or "").strip()
    about = bounded(said) if said else f"The tool {one_line(tool.name, 80)!r}."
    words = f"[MCP server {server.name}] {about}"
    if made.words:
        words += f"\n{made.words}"
    return Offered(
        name, tool.name, words, made, _effect(server, tool), tool.output_schema
    )


def _effect(server: Server, tool: types.Tool) -> EffectClass:
    """Return what a repeat of a call would do: what the server says, where it is
    trusted to say so."""
    said = tool.annotations if server.trusted else None
    if said is not None and said.read_only_hint:
        return "pure"
    if said is not None and said.idempotent_hint:
        return "idempotent"
    return "unsafe"
