"""The world outside: an append-only file that remembers what was done to it.

Owns the record of everything that a crash must not undo: the effects that tools had,
the executors that were entered, the receipts that callers were given. One file for all
processes of one run, written line by line and flushed to the disk before anybody goes
on, so that what a killed process did to the world stays done. Knows nothing of stores.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ...values.codec import dumps, loads
from ...values.tool import EffectClass, Json
from .points import FaultPoints


class Acting(Protocol):
    """Whose effect it is: a ToolContext."""

    @property
    def effect_token(self) -> str: ...


class CrashWorld:
    """What happened outside of the runtime, in the order it happened.

    A tool under test has its effects here: ``act`` in ``execute``, ``knows`` in
    ``check``. A tool with a world of its own leaves it alone; its executor is watched
    all the same.
    """

    def __init__(
        self, path: Path, points: FaultPoints | None = None, generation: int = 0
    ) -> None:
        self.path = path
        self.generation = generation
        """Which process of this run it is, from 0: how often it was killed before."""
        self._points = points or FaultPoints()

    # --- for tools ----------------------------------------------------------------

    def act(self, context: Acting, what: str = "effect") -> None:
        """Have an effect. It is a fault point of its own: before it, and after it."""
        with self._points.around(f"effect {what}"):
            self.note("act", token=context.effect_token, name=what)

    def knows(self, context: Acting) -> bool:
        """Whether a call had its effect, in whatever process."""
        return self.acts[context.effect_token] > 0

    @property
    def acts(self) -> Counter[str]:
        """How many effects each effect token had, repeats included."""
        return Counter(str(one["token"]) for one in self.noted("act"))

    @property
    def begun(self) -> Counter[str]:
        """How many executions of each effect token came past their first question.

        One that was killed while it waited for a permission has done nothing yet.
        """
        count: Counter[str] = Counter()
        waiting: set[tuple[str, int]] = set()
        for one in self.noted("entered", "asking", "allowed"):
            execution = str(one["token"]), int(one["generation"])
            if one["what"] == "entered":
                waiting.discard(execution)
                count[execution[0]] += 1
            elif one["what"] == "asking" and not one["again"]:
                waiting.add(execution)
            else:
                waiting.discard(execution)
        for token, _ in waiting:
            count[token] -= 1
        return count

    # --- for whoever watches ------------------------------------------------------

    def note(self, what: str, **facts: Json) -> None:
        """Remember something, for ever."""
        line = dumps({"what": what, "generation": self.generation, **facts}) + b"\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line)
            os.fsync(file)
        finally:
            os.close(file)

    def noted(self, *what: str) -> Sequence[Mapping[str, Any]]:
        """Return everything of these kinds, in the order it happened."""
        if not self.path.exists():
            return []
        # A last line without its end was never confirmed to anybody.
        whole = self.path.read_bytes().rpartition(b"\n")[0]
        lines = [loads(line) for line in whole.splitlines()]
        return [line for line in lines if line["what"] in what]

    def entered(self, tool: str, effect: EffectClass, context: Acting) -> None:
        """Remember that an executor is about to run."""
        self.note("entered", token=context.effect_token, tool=tool, effect=effect)

    def complain(self, problem: str) -> None:
        """Remember that a law was seen broken."""
        self.note("problem", text=problem)
