"""The script: a session's events in, what is finished of it out, and what goes on now.

A state machine without I/O. Finished text is returned once, rendered, to be printed
above the prompt line and never touched again; what goes on now is kept for whoever
draws the rows at the bottom. Owns what an event means to a person, who works since
when, and the to-do list. What the model says is ``writing``, what it calls ``calls``,
what waits for it ``inbox``, what it costs ``spending``, what is told in a line
``beside``; how all of it is laid out is ``sheet``.
"""

from collections.abc import Sequence

from dovetail.kernel import (
    Event,
    ExecutionEnded,
    ExecutionStarted,
    LiveDelta,
    LiveEvent,
    ModelFellBack,
    PromptAdmitted,
    PromptPromoted,
    PromptRedelivered,
    PromptWithdrawn,
    ReasoningEnded,
    RetryScheduled,
    StepEnded,
    StepStarted,
    TextEnded,
    Todo,
    TodosReplaced,
    ToolCalled,
    ToolFailed,
    ToolStarted,
    ToolSucceeded,
)

from ..console.advice import ADVICE
from ..console.calls import duration_text, todo_line
from ..console.terminal import first_line, visible
from .beside import told_of
from .calls import Calls
from .inbox import Inbox, Pending
from .sheet import Sheet
from .spending import Spending
from .writing import Writing


class Script:
    """Writes down one session for a person who sees it happen."""

    def __init__(self, sheet: Sheet, *, tells: bool = False) -> None:
        self.sheet = sheet
        self.tells = tells
        """Whether it is told that a call begins or input waits, and keys are words:
        there are no rows that show it."""
        self.writing = Writing(sheet)
        self.calls = Calls(sheet)
        self.inbox = Inbox()
        self.todos: Sequence[Todo] = ()
        self.busy_since: int | None = None
        """When the work began that goes on, in milliseconds since 1970."""
        self.worked: int = 0
        """Milliseconds that the last work took."""
        self.model: str | None = None
        self.agent: str | None = None
        """Those of the last Step."""
        self.filled: int | None = None
        """Tokens that the last request and its answer had."""
        self.spending = Spending()
        self._todos_shown: Sequence[Todo] = ()

    def fresh(self) -> "Script":
        """Return a script for another session on the same screen."""
        return Script(self.sheet.blank(), tells=self.tells)

    def at_rest(self) -> None:
        """Say that nobody is at work, whatever was left open."""
        self.busy_since = None
        self.calls.stop()
        self.writing.stop()

    # --- what goes on now ---------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a worker is at work."""
        return self.busy_since is not None

    @property
    def open_todos(self) -> bool:
        """Whether something of the list is not done."""
        return any(one.status in ("pending", "in_progress") for one in self.todos)

    def todo_lines(self) -> list[str]:
        """Return the to-do list, a line each."""
        style = self.sheet.style
        lines = []
        for one in self.todos:
            line = todo_line(one)
            if one.status in ("completed", "cancelled"):
                line = style.dim(line)
            elif one.status == "in_progress":
                line = style.strong(line)
            lines.append(line)
        return lines

    # --- events -------------------------------------------------------------------

    def take(self, event: LiveEvent) -> str:
        """Return what is finished by an event, rendered; often nothing."""
        self.spending.take(event)
        if isinstance(event, LiveDelta):
            return self._delta(event)
        return self._durable(event)

    def _delta(self, delta: LiveDelta) -> str:
        if delta.what == "progress":
            self.calls.feed(delta)
        elif delta.what in ("text", "reasoning"):
            return self.writing.feed(delta)
        return ""

    def _durable(self, event: Event) -> str:
        match event:
            case ExecutionStarted():
                self.busy_since = event.created
            case ExecutionEnded():
                return self._ended(event)
            case PromptAdmitted():
                return self._waits(self.inbox.admit(event))
            case PromptWithdrawn():
                self.inbox.take(event.input_id)
            case PromptRedelivered():
                self.inbox.redeliver(event)
            case PromptPromoted():
                return self._promoted(event)
            case StepStarted():
                self.writing.stop()
                self.model, self.agent = event.model, event.agent
            case StepEnded():
                used = (event.usage.input or 0) + (event.usage.output or 0)
                self.filled = used or self.filled
            case TextEnded():
                return self.writing.end_text(event.text)
            case ReasoningEnded():
                return self.writing.end_thought(event.text)
            case ToolCalled():
                return self._called(event)
            case ToolStarted():
                self.calls.start(event)
            case ToolSucceeded() | ToolFailed():
                return self.calls.settle(event)
            case TodosReplaced():
                self.todos = event.todos
            case RetryScheduled():
                self.writing.stop()
                why = first_line(event.failure.message)
                again = f"again in {duration_text(event.delay_ms)}: {why}"
                return self.sheet.aside(again)
            case ModelFellBack():
                self.writing.stop()
                why = first_line(event.failure.message)
                return self.sheet.aside(
                    f"{event.model} does not answer, {event.next} goes on: {why}"
                )
            case _:
                text = told_of(event)
                return self.sheet.aside(text) if text else ""
        return ""

    def _ended(self, event: ExecutionEnded) -> str:
        since = self.busy_since
        # A clock that was set back does not make it less than nothing.
        self.worked = max(event.created - since, 0) if since is not None else 0
        self.at_rest()
        out = self._changed_todos()
        reason = event.reason
        if event.status == "failed" and reason is not None:
            said = f"{visible(reason.message)} [{reason.code}]"
            out += f"{self.sheet.style.bad('failed:')} {said}\n"
            if reason.code in ADVICE:
                out += self.sheet.aside(ADVICE[reason.code])
        elif event.status != "succeeded":
            said = reason.message if reason is not None else ""
            why = f": {said}" if said and said != "user" else ""
            out += self.sheet.aside(f"{event.status}{why}")
        return out

    def _changed_todos(self) -> str:
        if self.todos == self._todos_shown:
            return ""
        self._todos_shown = self.todos
        return "".join(f"  {line}\n" for line in self.todo_lines())

    def _waits(self, one: Pending) -> str:
        """Say what waits, where no row shows it."""
        if not (self.tells and self.busy and one.said):
            return ""
        return self.sheet.aside(f"{one.told}: {first_line(one.prompt.text)}")

    def _promoted(self, event: PromptPromoted) -> str:
        one = self.inbox.take(event.input_id)
        if one is None:
            return ""
        if not one.said:
            return self.sheet.aside(first_line(one.prompt.text))
        return self.sheet.prompt(one.prompt)

    def _called(self, event: ToolCalled) -> str:
        call = self.calls.begin(event)
        if call is None or not self.tells:
            return ""
        return self.sheet.aside(f"call {call.number}: {call.title}")
