"""Shown: what a screen shows, and who hears what is typed there.

Owns no behaviour: these are the shapes by which a screen knows a talk, and what is
asked in it, without importing either.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable


class Question(Protocol):
    """What waits for a person: see ``asks``."""

    @property
    def takes_text(self) -> bool: ...
    @property
    def hint(self) -> str: ...
    def press(self, key: str) -> bool: ...
    def enter(self, line: str) -> str | None: ...
    def rows(self) -> Sequence[tuple[bool, str]]: ...


@runtime_checkable
class Form(Question, Protocol):
    """A question with options, of which one is at hand."""

    def move(self, by: int) -> None: ...
    def toggle(self) -> None: ...


class Talk(Protocol):
    """What a screen shows, and who hears what is typed."""

    @property
    def busy(self) -> bool:
        """Whether something goes on, so that the rows change by themselves."""

    @property
    def stopping(self) -> bool:
        """Whether what goes on is being stopped."""

    @property
    def asked(self) -> Question | None:
        """What waits for a person, or None."""

    def submit(self, line: str, *, queue: bool) -> None:
        """Take a line that was typed."""

    def interrupt(self) -> bool:
        """Stop the work; False where there is none, or it is being stopped already."""

    def take_back(self) -> bool:
        """Take back what waits, if anything does."""

    def expand(self) -> None:
        """Show the last call whole."""

    def show_thoughts(self) -> None:
        """Show what the model thought."""

    def rows(self, width: int, height: int) -> Sequence[str]:
        """Return the rows of what goes on, rendered."""

    def status(self, width: int) -> str:
        """Return the status line."""

    def is_command(self, line: str) -> bool:
        """Return whether a line begins with the name of a command."""

    def completions(self, text: str) -> Iterable[tuple[str, str, str, int]]:
        """Return how a text may go on: what to put, what to show, what it is, and how
        many characters before the end it replaces."""
