"""Registry: the tools that a Location offers now, and what one request advertised.

Owns the checks at registration and the snapshot that a request captures. Knows nothing
of permissions, sessions or execution: ``settlement`` runs what is kept here.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, get_args

from attrs import evolve, field

from ..contracts import Action, JobWork, Tool, ToolContext
from ..lifecycle.registrations import Rank, Registration, Registrations
from ..values.codec import clean_text
from ..values.errors import ToolDefinitionError
from ..values.frozen import frozen
from ..values.patterns import MAX_PATTERN, matches
from ..values.shapes import is_attrs
from ..values.tool import TOOL_NAME, EffectClass, Json, ToolDefinition
from .given import given_decoder, given_schema
from .meaning import meant_tool
from .output import OutputLimits
from .schema import input_decoder, input_schema
from .threads import ToolThreads

Awaited = Callable[[Any, ToolContext], Awaitable[Any]]

REMEMBERED = 256
"""Models and lists of names for which it is known what is offered to them."""


_USUAL = OutputLimits()


@frozen(eq=False)
class RegisteredTool:
    """A tool that passed every check, with what its calls need compiled once."""

    tool: Tool[Any, Any]
    definition: ToolDefinition
    decode: Callable[[Json], Any]
    """Makes arguments an instance of the input type; raises UndecodableError."""
    check: Callable[[Json], Any]
    """Proves that encoded output fits the output type; raises UndecodableError."""
    threads: ToolThreads
    """Where what is no coroutine of it runs."""

    def awaited(self, function: Callable[[Any, Any], Any]) -> Awaited:
        """Return a function of the tool as one to be awaited."""
        return self.threads.awaited(self.tool.name, function)


@frozen(eq=False)
class AdvertisedTools:
    """The tools of one request, in name order. It never changes.

    A call of that request runs the very object that is kept here, or fails as stale
    (law tools.3).
    """

    definitions: tuple[ToolDefinition, ...] = ()
    """The same object for as long as the definitions are the same."""
    _entries: Mapping[str, Registration[RegisteredTool]] = field(factory=dict)
    _limits: Mapping[str, OutputLimits] = field(factory=dict)
    _lines: int | None = None
    _bytes: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools, sorted."""
        return tuple(self._entries)

    def get(self, name: str) -> Registration[RegisteredTool] | None:
        """Return the registration that was advertised; stale when not ``active``."""
        return self._entries.get(name)

    def meant(self, name: str) -> str | None:
        """Return the one tool that a name can mean, its own or nearly so, or None."""
        return meant_tool(name, self._entries)

    def limits(self, name: str) -> OutputLimits:
        """Return how much of one result of a tool is shown and recorded."""
        limits = self._limits.get(name) or _USUAL
        if self._lines is None and self._bytes is None:
            return limits
        return evolve(
            limits,
            lines=min(limits.lines, self._lines or limits.lines),
            bytes=min(limits.bytes, self._bytes or limits.bytes),
        )

    def within(self, lines: int | None, bytes: int | None) -> "AdvertisedTools":
        """Return the same with no more shown of any result than this; None: as much as
        of each tool is shown."""
        if lines is None and bytes is None:
            return self
        return AdvertisedTools(
            self.definitions, self._entries, self._limits, lines, bytes
        )

    def effect(self, name: str) -> EffectClass | None:
        """Return the effect class of a tool, or None when it was not advertised."""
        entry = self._entries.get(name)
        return entry.item.tool.effect if entry else None


class ToolRegistry:
    """What a Location offers as tools: a fold of registrations by name."""

    def __init__(
        self,
        registrations: Registrations[RegisteredTool] | None = None,
        models: Mapping[str, Sequence[str]] | None = None,
        limits: Mapping[str, OutputLimits] | None = None,
    ) -> None:
        """``models`` says of some tools, by name, which models are offered them, and
        ``limits`` how much of their results is shown."""
        self._registrations = (
            Registrations[RegisteredTool]() if registrations is None else registrations
        )
        self._models = models or {}
        self._limits = limits or {}
        # By plugin.
        self._threads: dict[str, ToolThreads] = {}
        # By the names asked for: the generation it was taken in, and the snapshot.
        self._taken: dict[tuple[str, ...] | None, tuple[int, AdvertisedTools]] = {}
        # By model and by what is asked for: the names that are left.
        self._for_models: dict[
            tuple[str, tuple[str, ...] | None], tuple[int, Sequence[str] | None]
        ] = {}

    def register(
        self, tool: Tool[Any, Any], owner: str, rank: Rank = 0
    ) -> Registration[RegisteredTool]:
        """Offer a tool until the registration is closed.

        Of equal names the last owner's counts; closing reveals what it shadowed.

        Raises:
            ToolDefinitionError: its name, its description, one of its types or one of
                its settings cannot be used. Nothing was registered.
        """
        threads = self._threads.setdefault(owner, ToolThreads(owner))
        registered = compiled(tool, threads)
        if tool.gives_way:
            rank = _behind(rank, owner)
        return self._registrations.add(owner, tool.name, registered, rank)

    def actions(self) -> dict[str, Action]:
        """Return the actions that the tools here say they ask for, by name."""
        known = {
            action.name: action
            for entry in self._registrations.offer().values()
            for action in entry.item.tool.asks or ()
        }
        return dict(sorted(known.items()))

    def offered(self) -> Mapping[str, Registration[RegisteredTool]]:
        """Return what is offered now to some model, by name."""
        return self._registrations.offer()

    def silent(self) -> tuple[str, ...]:
        """Return the tools that do not say what they ask for."""
        offer = self._registrations.offer()
        return tuple(name for name in offer if offer[name].item.tool.asks is None)

    @property
    def generation(self) -> int:
        """Grows with every change of what is offered."""
        return self._registrations.generation

    def advertise(
        self, names: Sequence[str] | None = None, model: str | None = None
    ) -> AdvertisedTools:
        """Return what is offered now, for one request.

        ``names`` restricts it; names that are not offered are left out. So does
        ``model``, ``provider/model``: to what that model is offered. While nothing
        changed for these names, the same snapshot is returned, and while their
        definitions are equal, the same ``definitions``.
        """
        if model is not None:
            names = self._for(model, names)
        key = None if names is None else tuple(sorted(set(names)))
        generation = self._registrations.generation
        taken = self._taken.get(key)
        if taken is not None and taken[0] == generation:
            return taken[1]
        snapshot = self._capture(key, taken[1] if taken else AdvertisedTools())
        self._taken[key] = generation, snapshot
        return snapshot

    def _for(self, model: str, names: Sequence[str] | None) -> Sequence[str] | None:
        """Return the names that a model is offered, of these or of all; None: all."""
        generation = self._registrations.generation
        key = (model, None if names is None else tuple(names))
        known = self._for_models.get(key)
        if known is None or known[0] != generation:
            if len(self._for_models) >= REMEMBERED:
                self._for_models.clear()
            known = self._for_models[key] = generation, self._meant_for(model, names)
        return known[1]

    def _meant_for(
        self, model: str, names: Sequence[str] | None
    ) -> Sequence[str] | None:
        offer = self._registrations.offer()
        name = model.lower()
        asked = [one for one in (offer if names is None else names) if one in offer]
        meant = [one for one in asked if self._is_for(name, one, offer[one].item.tool)]
        replaced = {other for one in meant for other in offer[one].item.tool.instead_of}
        left = [one for one in meant if one not in replaced]
        return names if len(left) == len(asked) else left

    def _is_for(self, model: str, name: str, tool: Tool[Any, Any]) -> bool:
        patterns = self._models.get(name, tool.models)
        return patterns is None or any(matches(one.lower(), model) for one in patterns)

    def configured(self) -> tuple[str, ...]:
        """Return the names of tools that ``models`` or ``limits`` speak of and that are
        not here."""
        offer = self._registrations.offer()
        named = {**self._models, **self._limits}
        return tuple(name for name in named if name not in offer)

    def _capture(
        self, names: tuple[str, ...] | None, last: AdvertisedTools
    ) -> AdvertisedTools:
        offer = self._registrations.offer()
        entries = {
            name: entry
            for name, entry in offer.items()
            if names is None or name in names
        }
        if list(entries.values()) == list(map(last.get, last.names)):
            return last  # registrations compare by identity
        definitions = tuple(entry.item.definition for entry in entries.values())
        if definitions == last.definitions:
            definitions = last.definitions
        return AdvertisedTools(definitions, entries, self._limits)


def compiled(
    tool: Tool[Any, Any], threads: ToolThreads | None = None
) -> RegisteredTool:
    """Return a tool with its schema and decoders, checked.

    Raises:
        ToolDefinitionError: something about it cannot be used.
    """
    if not isinstance(tool, Tool):
        raise ToolDefinitionError(_name_of(tool), "it is not a Tool")
    name = tool.name
    if not isinstance(name, str) or not TOOL_NAME.match(name):
        raise ToolDefinitionError(
            _name_of(tool),
            "a name is 1 to 64 ASCII letters, digits, '_' and '-', letter first",
        )
    words = tool.description
    if not isinstance(words, str) or not words.strip():
        raise ToolDefinitionError(name, "its description says nothing to the model")
    if clean_text(words) != words:
        raise ToolDefinitionError(name, "its description holds a lone surrogate")
    for setting, choices in (
        ("effect", get_args(EffectClass)),
        ("bound", ("middle", "end")),
    ):
        if getattr(tool, setting) not in choices:
            raise ToolDefinitionError(name, f"{setting} must be one of {choices}")
    asks = tool.asks
    if asks is not None and not (
        isinstance(asks, list | tuple) and all(isinstance(one, Action) for one in asks)
    ):
        raise ToolDefinitionError(name, "asks must be a list of Action")
    if not callable(tool.execute) or _is_generator(tool.execute):
        raise ToolDefinitionError(name, "execute must be a function, async or not")
    if tool.effect == "reconcilable" and tool.check is None:
        raise ToolDefinitionError(
            name, "a reconcilable tool needs a check that tells what became of a call"
        )
    if tool.effect != "reconcilable" and tool.check is not None:
        raise ToolDefinitionError(
            name, f"only a reconcilable tool is asked by check; this is {tool.effect}"
        )
    if tool.check is not None and (
        not callable(tool.check) or _is_generator(tool.check)
    ):
        raise ToolDefinitionError(name, "check must be a function, async or not")
    for setting, given in (("models", tool.models), ("instead_of", tool.instead_of)):
        if given is None and setting == "models":
            continue
        if not isinstance(given, list | tuple) or not all(
            isinstance(one, str) and 0 < len(one) <= MAX_PATTERN for one in given
        ):
            rule = f"must be a list of texts of 1 to {MAX_PATTERN} characters"
            raise ToolDefinitionError(name, f"{setting} {rule}")
    if tool.clear is not None and (
        not callable(tool.clear) or _is_generator(tool.clear)
    ):
        raise ToolDefinitionError(name, "clear must be a function, async or not")
    if tool.waits is not None and not callable(tool.waits):
        raise ToolDefinitionError(name, "waits must be a function")
    if tool.restore is not None and not callable(tool.restore):
        raise ToolDefinitionError(name, "restore must be a function")
    if tool.jobs is not None and not isinstance(tool.jobs, JobWork):
        raise ToolDefinitionError(name, "jobs must be a JobWork")
    if tool.render is not None and (
        not callable(tool.render) or inspect.iscoroutinefunction(tool.render)
    ):
        raise ToolDefinitionError(name, "render must be a plain function")
    decode: Callable[[Json], Any]
    if tool.schema is None:
        schema = input_schema(tool.input, name)
        decode = input_decoder(tool.input)
    elif tool.input is not dict:
        raise ToolDefinitionError(name, "with a schema, its input must be dict")
    else:
        schema = given_schema(tool.schema, name)
        decode = given_decoder(schema)
    if tool.output is not str:
        if not is_attrs(tool.output):
            raise ToolDefinitionError(name, "its output must be str or an attrs class")
        # The schema is not shown to anyone: this proves that the type has a JSON form.
        input_schema(tool.output, name)
    return RegisteredTool(
        tool,
        ToolDefinition(name, words, schema),
        decode,
        _any if tool.output is str else input_decoder(tool.output),
        ToolThreads("") if threads is None else threads,
    )


_LAST_LEVEL = -(2**31)


def _behind(rank: Rank, owner: str) -> Rank:
    """Return the place of an owner behind all that do not give way."""
    return _LAST_LEVEL, (owner,) if isinstance(rank, int) else rank[1]


def _is_generator(function: object) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _any(data: Json) -> None:
    """Accept everything: a text is checked where it is rendered."""


def _name_of(tool: object) -> str:
    name = getattr(tool, "name", None)
    return name[:64] if isinstance(name, str) else repr(tool)[:64]
