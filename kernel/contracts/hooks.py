"""What hooks are handed, and the commands that plugins add."""

import time
from collections.abc import (
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from typing import Any, Protocol, TypeVar

from attrs import field

from ..values.frozen import frozen
from ..values.location import Location
from ..values.tool import Json
from .agents import RuleEffect
from .credentials import Credentials, NoCredentials


@frozen(eq=False)
class Command:
    """A command of the command line, added by a plugin.

    ``load`` returns a click command; it is called only when this command is run or
    shown, so that a plugin costs the others nothing.
    """

    name: str
    """What is typed after ``dovetail``: lower case letters, digits and ``-``."""
    help: str
    """What it does, on one line, for the list of commands."""
    load: Callable[[], Any]
    """Returns the click command; may import what it needs."""
    check: Callable[[], Sequence[str]] | None = None
    """Returns what is wrong with what the command is about in the working directory, a
    line each, for ``dovetail plugins check``. It is called outside any event loop, and
    may take its time."""


def _allow(action: str, resource: str) -> RuleEffect:
    return "allow"


def _now() -> int:
    return time.time_ns() // 1_000_000


class Tap(Protocol):
    """Sees the traffic of HTTP clients: a ``Tape`` of ``dovetail.kernel.testing``."""

    def over(self, transport: Any = None) -> Any:
        """Return what an httpx client is to be given as its ``transport``.

        ``transport`` is what asks the network; None: httpx's own. What is returned
        closes it.
        """
        ...

    def hide(self, environment: Mapping[str, str]) -> None:
        """Take the values of variables that are called as those of keys are for
        secrets, which are never recorded."""
        ...


@frozen
class Place:
    """Where a registering hook is called: one plugin in one Location."""

    location: Location
    """The Location that is opened."""
    settings: Any = field(factory=dict, repr=False)
    """The plugin's own table of the configuration, ``[plugins.NAME]``: an instance of
    its class ``Settings``, or a mapping where it declares none."""
    environment: Mapping[str, str] = field(factory=dict, repr=False)
    """The process environment as it was when the runtime was opened."""
    resource: Any = None
    """What the plugin's own ``dovetail_open_location`` yielded."""
    providers: Mapping[str, Mapping[str, Json]] = field(factory=dict, repr=False)
    """The configured ``[providers.NAME]`` tables, for provider plugins."""
    mcp: Mapping[str, Mapping[str, Json]] = field(factory=dict, repr=False)
    """The configured ``[mcp.NAME]`` tables, for whoever speaks that protocol."""
    protocols: Mapping[str, str] = field(factory=dict)
    """Which protocol each provider speaks, by name: those with a table, and those that
    a protocol is at home with. A plugin reads those of its own protocol."""
    credentials: Credentials = field(factory=NoCredentials, repr=False)
    """The credentials of providers that are not in the environment or a table."""
    tape: Tap | None = field(default=None, repr=False)
    """What the traffic of providers is recorded on, or played from. A plugin with an
    HTTP client of its own gives it ``tape.over(...)`` as its transport."""
    skill_folders: Sequence[str] = ()
    """The configured folders to look for skills in."""
    trusted: Collection[str] = frozenset()
    """The real directories that the user vouches for. A file of another one is other
    people's data: nothing in it may choose what is run or reached."""
    effect: Callable[[str, str], RuleEffect] = field(default=_allow, repr=False)
    """What the rules of the Location's own agent say of an action on one resource, for
    contributions that touch something while nobody calls a tool. Any thread may call
    it, once everything is registered."""
    now: Callable[[], int] = field(default=_now, repr=False)
    """The time of the runtime's clock, in milliseconds since 1970-01-01 UTC. It may go
    backwards. What tells the time asks it, and not the system."""


R = TypeVar("R", contravariant=True)


class Contribution(Protocol):
    """One item that a plugin handed over."""

    @property
    def active(self) -> bool:
        """False where it was refused, and once it was taken back."""
        ...

    @property
    def offered(self) -> bool:
        """Whether it counts now: neither taken back, nor hidden by another one of its
        name."""
        ...

    def close(self) -> None:
        """Take it back, and reveal what it hid. Twice is harmless.

        What is closed and registered with no ``await`` between changes at once for
        everybody. A call of a tool that was advertised before fails as stale.
        """
        ...


class Register(Protocol[R]):
    """Hands one item over; it is removed when the plugin's scope closes, or when what
    is returned is closed.

    An item that is wrong is refused alone: the refusal is recorded and logged under
    the plugin's name, the call returns, and what comes after it is taken.
    """

    def __call__(self, item: R) -> Contribution | None:
        """None only where nobody offers it, as where a test collects in a list."""
        ...
