"""Early: what is typed before anybody can hear it.

Owns these lines until a talk takes them over, and what is told of those that nobody
heard. Knows nothing of a terminal.
"""

from collections.abc import Sequence

from .shown import Talk

MOST_TOLD = 200
"""Characters of a line that are told when it was not sent."""


class Early(Talk):
    """The talk before there is one: it keeps what is typed, and does nothing else."""

    busy = False
    stopping = False
    asked = None

    def __init__(self) -> None:
        self._lines: list[tuple[str, bool]] = []

    def submit(self, line: str, *, queue: bool) -> None:
        self._lines.append((line, queue))

    def hand_over(self, talk: Talk) -> None:
        """Have a talk hear what was typed so far."""
        lines, self._lines = self._lines, []
        for line, queue in lines:
            talk.submit(line, queue=queue)

    def unsent(self) -> str:
        """Return what is told of the lines that nobody took over."""
        return "".join(unsent(line) for line, _ in self._lines)

    def interrupt(self) -> bool:
        return False

    def take_back(self) -> bool:
        return False

    def expand(self) -> None:
        pass

    def show_thoughts(self) -> None:
        pass

    def rows(self, width: int, height: int) -> Sequence[str]:
        return [f"> {line.splitlines()[0][: width - 3]}" for line, _ in self._lines]

    def status(self, width: int) -> str:
        return "opening"

    def is_command(self, line: str) -> bool:
        return False

    def completions(self, text: str) -> Sequence[tuple[str, str, str, int]]:
        return ()


def unsent(line: str) -> str:
    """Return what is told of a line that nobody heard."""
    said = "".join(sign if sign.isprintable() else " " for sign in line[:MOST_TOLD])
    return f"not sent: {said}{'…' if len(line) > MOST_TOLD else ''}\n"
