"""Plugin instances: the plugins of one Location, one by one and in their order.

Owns what is known of a plugin in a Location, what it contributed there, and which of
them implement a hook. Knows nothing of how one is opened (``opening``), called
(``calling``) or put in the place of another (``location_plugins``).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from attrs import define, field

from ..contracts import Place
from ..lifecycle.registrations import Rank, Registration
from ..lifecycle.scope import Scope
from ..values.errors import PluginError, PluginNotFoundError
from ..values.frozen import frozen
from .budgets import Spending
from .object import Plugin, nearest, ranks

InstanceState = Literal["open", "failed", "disabled", "left out"]


@frozen
class LocationPlugin:
    """What is known of one plugin in one Location."""

    name: str
    """What it is called."""
    origin: str
    """Where it comes from: a distribution, an object given in code, or a file."""
    version: str | None
    """The version of its distribution, if it has one."""
    state: InstanceState
    """``open``; ``failed``: it could not be opened, or its background task broke;
    ``disabled``: its hooks failed or lingered too often; ``left out``: by the
    configuration."""
    error: str | None = None
    """Why it is not open."""
    hooks: tuple[str, ...] = ()
    """The hooks that it implements."""
    contributions: tuple[str, ...] = ()
    """What it offers here, such as ``tool read``, in order. What is hidden by another
    plugin counts too."""
    errors: int = 0
    """What went wrong with it here since the Location opened."""
    last_error: str | None = None
    """The latest of its errors, in one text."""
    seconds: float = field(default=0.0, eq=False)
    """How long its hook calls here took together."""
    last_blocking: str | None = field(default=None, eq=False)
    """See ``PluginState.last_blocking``."""


@define(eq=False)
class PluginInstance:
    """One plugin in one Location."""

    plugin: Plugin
    place: Place
    rank: Rank
    state: InstanceState = "open"
    error: str | None = None
    scope: Scope | None = None
    registrations: list[tuple[str, Registration[Any]]] = field(factory=list)
    withdrawn: list[Registration[Any]] = field(factory=list)
    """What it offered before and may still be at work."""
    spending: dict[str, Spending] = field(factory=dict)
    errors: int = 0
    last_error: str | None = None
    seconds: float = 0.0
    closing: bool = False

    @property
    def name(self) -> str:
        return self.plugin.name

    def shown(self) -> LocationPlugin:
        return LocationPlugin(
            name=self.name,
            origin=self.plugin.origin,
            version=self.plugin.version,
            state=self.state,
            error=self.error,
            hooks=tuple(sorted(self.plugin.hooks)),
            contributions=tuple(
                f"{_noun(hook)} {one.key}" for hook, one in self.registrations
            ),
            errors=self.errors,
            last_error=self.last_error,
            seconds=self.seconds,
            last_blocking=self.plugin.last_blocking,
        )

    def guards(self, hook: str) -> bool:
        """Whether nothing is done here without it, although it cannot be called."""
        return self.state in ("failed", "disabled") and hook in self.plugin.guards

    @property
    def is_open(self) -> bool:
        """Whether it may be called and offer more: it opens or is open."""
        return self.state == "open" and not self.closing

    def withdraw(self) -> None:
        """Take back everything that it contributed; what that hid comes back."""
        for _, one in self.registrations:
            one.close()
            self.withdrawn.append(one)
        self.registrations.clear()


class Instances:
    """The plugins of one Location, in plugin order."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._named: dict[str, PluginInstance] = {}
        self._implementing: dict[str, tuple[PluginInstance, ...]] = {}
        self._implemented: dict[tuple[str, ...], bool] = {}

    def __iter__(self) -> Iterator[PluginInstance]:
        return iter(self._named.values())

    def __len__(self) -> int:
        return len(self._named)

    def __contains__(self, name: object) -> bool:
        return name in self._named

    def get(self, name: str) -> PluginInstance | None:
        return self._named.get(name)

    def named(self, name: str) -> PluginInstance:
        """Return the plugin of this name.

        Raises:
            PluginNotFoundError: there is none; the text names what was perhaps meant.
        """
        found = self._named.get(name)
        if found is None:
            raise PluginNotFoundError(name, nearest(name, list(self._named)))
        return found

    def append(self, instance: PluginInstance) -> None:
        """Put one behind all others."""
        self._named[instance.name] = instance
        self._forget()

    def arrange(self, instances: Sequence[PluginInstance]) -> None:
        """Let these be the plugins, and put what they contributed in their order."""
        named = {one.name: one for one in instances}
        order = ranks([one.plugin for one in instances])
        for name, rank in order.items():
            one = named[name]
            if one.rank != rank:
                one.rank = rank
                for _, made in one.registrations:
                    made.suspend()
                    made.rank = rank
                    made.resume()
        self._named = {name: named[name] for name in order}
        self._forget()

    def end(self, instance: PluginInstance, state: InstanceState, why: str) -> None:
        """Let one be open no more, and take back what it contributed."""
        instance.withdraw()
        instance.state, instance.error = state, why
        self._forget()

    def clear(self) -> None:
        self._named.clear()
        self._forget()

    def _forget(self) -> None:
        self._implementing.clear()
        self._implemented.clear()

    def implemented(self, hooks: tuple[str, ...]) -> bool:
        """Return whether an open plugin implements one of these; they guard nothing."""
        found = self._implemented.get(hooks)
        if found is None:
            found = any(map(self.implementing, hooks))
            self._implemented[hooks] = found
        return found

    def implementing(self, hook: str) -> Sequence[PluginInstance]:
        """Return the open plugins that implement a hook, in order.

        Raises:
            PluginError: the hook guards something, and a plugin that implements it
                cannot be called (law plugins.6).
        """
        found = self._implementing.get(hook)
        if found is None:
            found = self._implementing[hook] = tuple(
                one
                for one in self
                if hook in one.plugin.hooks
                and (one.state == "open" or one.guards(hook))
            )
        for one in found:
            if one.state != "open":
                raise PluginError(
                    one.name,
                    f"it is {one.state} ({one.error}) and guards this: nothing is "
                    "done without it; replace it, or remove it if that is meant",
                    hook=hook,
                    location=self._directory,
                )
        return found


def _noun(hook: str) -> str:
    plural = hook.removeprefix("dovetail_register_")
    return plural.removesuffix("s") if plural != "context" else "context source"
