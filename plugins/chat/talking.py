"""Talking: what the rooms of a talk use of it, and what it is shown on.

Owns no behaviour: these are the shapes by which the rooms and the talk know each other
without importing each other.
"""

from typing import Any, Protocol

from dovetail.kernel import DovetailError, LocationHandle, Runtime, Session

from ..console.terminal import Style
from .asks import Ask
from .script import Script


class Screen(Protocol):
    """Where a talk is shown."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    def show(self, text: str) -> None: ...
    def changed(self) -> None: ...
    def hint(self, text: str) -> None: ...
    def put_back(self, text: str, *, instead: bool = False) -> None: ...
    def complete_again(self) -> None: ...
    def ring(self, why: str) -> None: ...
    def leave(self) -> None: ...


class Talking(Protocol):
    """A talk, as its rooms see it."""

    runtime: Runtime
    here: LocationHandle
    screen: Screen
    script: Script
    style: Style
    session: Session | None

    def show(self, text: str) -> None: ...
    def say(self, text: str) -> None: ...
    def fail(self, error: DovetailError) -> None: ...
    async def ask(self, ask: Ask) -> Any: ...
