"""The calls of a session: each from its beginning to its outcome.

Owns the numbers that a person names them by, which of them run, which can be asked for
still, and how an outcome is told. Knows nothing of what else happens in a session.
"""

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from attrs import define
from dovetail.kernel import (
    LiveDelta,
    TextContent,
    ToolCalled,
    ToolFailed,
    ToolStarted,
    ToolSucceeded,
)

from ..console.calls import call_title, duration_text, failure_text, success_text
from ..console.folding import fold
from ..console.terminal import drawable, visible
from .changes import change_of
from .sheet import Sheet

MOST_DIFF_LINES = 30
MOST_CALLS = 300
"""Calls whose whole result can be asked for; of older ones the log has it."""
MOST_PROGRESS = 2000
"""Characters, at the end of what a call says while it runs."""


@define(eq=False)
class Call:
    """A tool call, from its beginning to its outcome."""

    number: int
    """What a person names it by."""
    event: ToolCalled
    title: str
    since: int | None = None
    """When it began, in milliseconds since 1970."""
    outcome: ToolSucceeded | ToolFailed | None = None
    progress: str = ""
    """The end of what it says while it runs."""

    @property
    def arguments(self) -> dict[str, Any]:
        """What it was called with, as far as that is a mapping."""
        try:
            found = json.loads(self.event.arguments or "{}")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def whole(self) -> str:
        """Return what the model was shown of it, after what it was called with."""
        lines = [self.head()]
        outcome = self.outcome
        if outcome is None:
            lines += ["it runs", *_indented(drawable(self.progress))]
        elif isinstance(outcome, ToolFailed):
            lines.append(f"failed [{visible(outcome.failure.code)}]:")
            lines += _indented(drawable(outcome.failure.message))
        else:
            for part in outcome.content:
                if isinstance(part, TextContent):
                    lines += drawable(part.text).split("\n")
                else:
                    lines.append("[a file]")
        return "\n".join(lines)

    def head(self) -> str:
        """Return what it was called with, and a blank line."""
        lines = [f"{self.number} {self.title}", ""]
        for name, value in self.arguments.items():
            shown = value if isinstance(value, str) else json.dumps(value)
            lines += [f"{visible(name)}:", *_indented(drawable(shown))]
        if not self.arguments and self.event.arguments.strip() not in ("", "{}"):
            lines += _indented(drawable(self.event.arguments))
        return "\n".join([*lines, ""])


class Calls:
    """Those of one session, and how their outcomes are written down."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self._running: OrderedDict[tuple[str, str], Call] = OrderedDict()
        self._latest: OrderedDict[int, Call] = OrderedDict()
        self._number = 0

    @property
    def running(self) -> Sequence[Call]:
        """Those without an outcome, the oldest first."""
        return list(self._running.values())

    @property
    def last(self) -> Call | None:
        """The one that began last."""
        return next(reversed(self._latest.values()), None)

    def by_number(self, number: int) -> Call | None:
        """Return one of the latest."""
        return self._latest.get(number)

    def begin(self, event: ToolCalled) -> Call | None:
        """Return the call that begins; None where it is known."""
        key = (event.message_id, event.call_id)
        if key in self._running:
            return None
        self._number += 1
        title = call_title(event.tool, event.arguments)
        call = Call(self._number, event, title, event.created)
        self._running[key] = self._latest[call.number] = call
        while len(self._latest) > MOST_CALLS:
            self._latest.popitem(last=False)
        return call

    def start(self, event: ToolStarted) -> None:
        """Count the time of a call from now on."""
        call = self._running.get((event.message_id, event.call_id))
        if call is not None:
            call.since = event.created

    def feed(self, delta: LiveDelta) -> None:
        """Take what a call says while it runs."""
        call = self._running.get((delta.message_id, delta.part))
        if call is not None:
            call.progress = (call.progress + delta.text)[-MOST_PROGRESS:]

    def settle(self, event: ToolSucceeded | ToolFailed) -> str:
        """Return what is written down of an outcome."""
        call = self._running.pop((event.message_id, event.call_id), None)
        if call is None:
            return ""
        call.outcome, call.progress = event, ""
        if isinstance(event, ToolSucceeded):
            text = success_text(event.data)
            good = text.startswith("ok")
        else:
            text, good = f"failed: {failure_text(event.failure)}", False
        took = ""
        if call.since is not None:
            took = f", {duration_text(event.created - call.since)}"
        out = self._sheet.set_off() + self._line(call, text, took, good=good)
        if good:
            out += self._sheet.change(change_of(call.arguments), MOST_DIFF_LINES)
        return out

    def stop(self) -> None:
        """Say that none runs, whatever was left open."""
        self._running.clear()

    def _line(self, call: Call, text: str, took: str, *, good: bool) -> str:
        style = self._sheet.style
        colour = style.good if good else style.bad
        head = f"{call.number} {call.title}"
        width = self._sheet.width - 1
        tail = f" - {text}{took}"
        mark = colour("*")
        if len(head) + len(tail) + 2 <= width:
            return f"{mark} {head} - {colour(text)}{style.dim(took)}\n"
        # On lines of its own: neither what is called nor the outcome is cut.
        parts = fold(head, max(width - 2, 18))
        first, *more = parts
        lines = [f"{mark} {first}", *(f"  {part}" for part in more)]
        for part in fold(f"{text}{took}", max(width - 4, 16)):
            lines.append(f"    {colour(part)}")
        return "".join(f"{line}\n" for line in lines)


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.split("\n")]
