"""Fault points: the named instants at which a process may be killed.

Owns their names, their numbers, and the kill. A point is something that happens: a
commit, a request, an executor, an answer. It has a side before and a side after, and
the n-th happening of a name is another point than the first. Names are made of what
happens, never of ids or times, so that they are the same in every run.
"""

import os
import signal
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from attrs import frozen

Side = Literal["before", "after"]


@frozen(order=True)
class FaultPoint:
    """One instant of a run."""

    name: str
    """Such as ``commit tool.called``, ``tool book``, ``request``."""
    number: int
    """Which of its name it is, from 1."""
    side: Side
    """Just before it, or just after."""

    def __str__(self) -> str:
        return f"{self.side} {self.name} #{self.number}"


class FaultPoints:
    """The fault points of one process: counts them, and dies at one.

    Without ``trace`` and ``target`` it does nothing.
    """

    def __init__(
        self, trace: Path | None = None, target: FaultPoint | None = None
    ) -> None:
        self._trace = (
            os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            if trace
            else None
        )
        self._target = target
        self._counts: Counter[str] = Counter()
        self._actions: defaultdict[str, list[Callable[[], Awaitable[object]]]] = (
            defaultdict(list)
        )

    def next(self, name: str) -> int:
        """Return the number of one more happening of this name."""
        self._counts[name] += 1
        return self._counts[name]

    def reach(self, name: str, number: int, side: Side) -> None:
        """Say that this instant has come. May not return."""
        if self._trace is not None:
            os.write(self._trace, f"{side}\t{number}\t{name}\n".encode())
        if self._target == FaultPoint(name, number, side):
            # Nothing gets in its way: no handler, no buffer, no exit function.
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def around(self, name: str) -> Iterator[None]:
        """Reach both sides of what happens inside, however it ends."""
        number = self.next(name)
        self.reach(name, number, "before")
        try:
            yield
        finally:
            self.reach(name, number, "after")

    # --- letting things happen there ----------------------------------------------

    def at(self, name: str, action: Callable[[], Awaitable[object]]) -> None:
        """Let something happen when a tool or a stream first comes to this name."""
        self._actions[name].append(action)

    async def arrive(self, name: str) -> None:
        """Do what was asked for at this name, once."""
        for action in self._actions.pop(name, ()):
            await action()


def reached_in(trace: Path) -> Sequence[FaultPoint]:
    """Return the points that a process reached, in order."""
    if not trace.exists():
        return []
    found = []
    for line in trace.read_text(encoding="utf-8").splitlines():
        side, number, name = line.split("\t", 2)
        found.append(FaultPoint(name, int(number), _side(side)))
    return found


def after_changes(
    points: Iterable[FaultPoint],
    only: Callable[[FaultPoint], bool] | None = None,
    *,
    changed: bool = False,
) -> Iterator[FaultPoint]:
    """Yield the first point after each change, among those that ``only`` chooses.

    ``changed`` is whether something did before the first of ``points``. Being asked,
    streaming and speaking change nothing by themselves: what they write is a commit.
    """
    for point in points:
        changed = changed or (
            point.side == "after" and not point.name.startswith(_LEAVES_NOTHING)
        )
        if changed and (only is None or only(point)):
            changed = False
            yield point


_LEAVES_NOTHING = (
    "prompt",
    "acceptance",
    "permission reply",
    "ask",
    "request",
    "stream ",
)


def _side(text: str) -> Side:
    return "before" if text == "before" else "after"
