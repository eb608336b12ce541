"""The script: a session's events in, what is finished of it out, and what goes on now.

A state machine without I/O. Finished text is returned once, rendered, to be printed
above the prompt line and never touched again; what goes on now (the block that is being
written, calls that run, input that waits, the to-do list) is kept for whoever draws the
rows at the bottom. What was shown in the end is what is durable.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from attrs import define, field
from dovetail.kernel import (
    CompactionEnded,
    CompactionFailed,
    CompactionStarted,
    ContinuationAccepted,
    ContinuationReported,
    Event,
    ExecutionEnded,
    ExecutionStarted,
    FileMade,
    Input,
    LiveDelta,
    LiveEvent,
    ModelFellBack,
    NoticeAdded,
    OutputsShortened,
    PluginDisabled,
    Prompt,
    PromptAdmitted,
    PromptPromoted,
    PromptRedelivered,
    PromptWithdrawn,
    ReasoningEnded,
    RetryScheduled,
    SessionMoved,
    SessionReverted,
    SessionUnreverted,
    StepEnded,
    StepStarted,
    TextContent,
    TextEnded,
    Todo,
    TodosReplaced,
    ToolCalled,
    ToolFailed,
    ToolStarted,
    ToolSucceeded,
    UnreadableEvent,
    UserMessage,
    clean_text,
)

from ..console.advice import ADVICE
from ..console.calls import (
    call_title,
    duration_text,
    failure_text,
    success_text,
    todo_line,
)
from ..console.compaction import begun, told
from ..console.continuing import acceptance, summary
from ..console.folding import fold
from ..console.listing import Costs
from ..console.terminal import Style, drawable, first_line, short, visible
from .blocks import Blocks
from .rendering import changed_lines, patch_lines

MOST_PROMPT_LINES = 12
MOST_DIFF_LINES = 30
MOST_WRITTEN = 3000
"""Characters of a block that is not complete which are rendered."""
MOST_CALLS = 300
"""Calls whose whole result can be asked for; of older ones the log has it."""
PATCH = "*** Begin Patch"


class Renders(Protocol):
    """How text is laid out: see ``rendering`` and ``plain``."""

    def markdown(self, text: str, width: int) -> str: ...
    def diff(self, lines: Iterable[str], width: int, most: int) -> str: ...


@define(eq=False)
class Pending:
    """Input that the model has not seen."""

    id: str
    prompt: Prompt
    delivery: str
    said: bool
    """Whether a person said it, and may take it back."""


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


@define(eq=False)
class _Part:
    what: str
    text: str = ""
    whole: bool = True
    blocks: Blocks = field(factory=Blocks)


class Script:
    """Writes down one session for a person who sees it happen."""

    def __init__(
        self,
        renderer: Renders,
        style: Style,
        width: Callable[[], int],
        *,
        tells: bool = False,
    ) -> None:
        self._renderer = renderer
        self.tells = tells
        """Whether it is told that a call begins or input waits, and keys are words:
        there are no rows that show it."""
        self._style = style
        self._width = width
        self.pending: OrderedDict[str, Pending] = OrderedDict()
        self.running: OrderedDict[tuple[str, str], Call] = OrderedDict()
        """Calls without an outcome."""
        self.calls: OrderedDict[int, Call] = OrderedDict()
        """The latest calls, by number."""
        self.todos: Sequence[Todo] = ()
        self.busy_since: int | None = None
        """When the work began that goes on, in milliseconds since 1970."""
        self.worked: int = 0
        """Milliseconds that the last work took."""
        self.model: str | None = None
        self.agent: str | None = None
        """Those of the last Step."""
        self.tokens = 0
        """Of all Steps that were seen, input and output together."""
        self.filled: int | None = None
        """Tokens that the last request and its answer had."""
        self.costs = Costs()
        self.thoughts: list[str] = []
        """What the model thought, part by part."""
        self.retrying = ""
        self._parts: OrderedDict[tuple[str, str], _Part] = OrderedDict()
        self._front: _Part | None = None
        self._todos_shown: Sequence[Todo] = ()
        self._written: tuple[str, int, list[str]] = ("", 0, [])
        """What was rendered last of what is not complete, how wide, and its rows."""
        self._after_text = False
        """Whether a text was shown last, which what follows is set off from."""
        self._number = 0

    def fresh(self) -> "Script":
        """Return a script for another session on the same screen."""
        return Script(self._renderer, self._style, self._width, tells=self.tells)

    def counted(self) -> None:
        """Say that what was taken so far is counted elsewhere."""
        self.tokens, self.costs = 0, Costs()

    def at_rest(self) -> None:
        """Say that nobody is at work, whatever was left open."""
        self.busy_since = None
        self.running.clear()
        self._parts.clear()
        self._front = None

    # --- what goes on now ---------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a worker is at work."""
        return self.busy_since is not None

    def writing(self, width: int) -> list[str]:
        """Return the end of the block of the answer that is not complete, rendered as
        far as it can be, row by row."""
        front = self._front
        if front is None or front.what != "text":
            return []
        written = front.blocks.end_of_rest(MOST_WRITTEN)
        if self._written[:2] != (written, width):
            rows = self._renderer.markdown(written, width).split("\n")[:-1]
            self._written = (written, width, rows if written.strip() else [])
        return self._written[2]

    @property
    def thinking(self) -> str:
        """What the model thinks now."""
        front = self._front
        return front.text if front is not None and front.what == "reasoning" else ""

    @property
    def open_todos(self) -> bool:
        """Whether something of the list is not done."""
        return any(one.status in ("pending", "in_progress") for one in self.todos)

    # --- events -------------------------------------------------------------------

    def take(self, event: LiveEvent) -> str:
        """Return what is finished by an event, rendered; often nothing."""
        self.costs.take(event)
        if isinstance(event, LiveDelta):
            return self._delta(event)
        return self._durable(event)

    def aside(self, text: str) -> str:
        """Return a line that is of nobody's making but ours."""
        width = max(self._width() - 1, 20)
        lines = fold(f"· {short(text, 400)}", width)
        return self._set_off() + "".join(f"{self._style.dim(one)}\n" for one in lines)

    def _set_off(self) -> str:
        out = "\n" if self._after_text else ""
        self._after_text = False
        return out

    def _durable(self, event: Event) -> str:
        match event:
            case ExecutionStarted():
                self.busy_since = event.created
            case ExecutionEnded():
                return self._ended_work(event)
            case PromptAdmitted():
                self.pending[event.input_id] = Pending(
                    event.input_id, event.prompt, event.delivery, event.job_id is None
                )
                return self._told_to_wait(self.pending[event.input_id])
            case PromptWithdrawn():
                self.pending.pop(event.input_id, None)
            case PromptRedelivered():
                if event.input_id in self.pending:
                    self.pending[event.input_id].delivery = event.delivery
            case PromptPromoted():
                return self._promoted(event.input_id)
            case StepStarted():
                self._parts.clear()
                self._front = None
                self.retrying = ""
                self.model, self.agent = event.model, event.agent
            case StepEnded():
                used = (event.usage.input or 0) + (event.usage.output or 0)
                self.tokens += used
                self.filled = used or self.filled
            case TextEnded():
                return self._ended("text", event.text)
            case ReasoningEnded():
                return self._ended("reasoning", event.text)
            case ToolCalled():
                return self._called(event)
            case ToolStarted():
                call = self.running.get((event.message_id, event.call_id))
                if call is not None:
                    call.since = event.created
            case ToolSucceeded() | ToolFailed():
                return self._settled(event)
            case TodosReplaced():
                self.todos = event.todos
            case RetryScheduled():
                self.tokens += (event.usage.input or 0) + (event.usage.output or 0)
                self._parts.clear()
                self._front = None
                why = first_line(event.failure.message)
                return self.aside(f"again in {duration_text(event.delay_ms)}: {why}")
            case ModelFellBack():
                self._parts.clear()
                self._front = None
                why = first_line(event.failure.message)
                return self.aside(
                    f"{event.model} does not answer, {event.next} goes on: {why}"
                )
            case _:
                text = _told_of(event)
                return self.aside(text) if text else ""
        return ""

    def _ended_work(self, event: ExecutionEnded) -> str:
        since, self.busy_since = self.busy_since, None
        # A clock that was set back does not make it less than nothing.
        self.worked = max(event.created - since, 0) if since is not None else 0
        self.running.clear()
        self._parts.clear()
        self._front = None
        out = self._todo_list()
        reason = event.reason
        if event.status == "failed" and reason is not None:
            said = f"{visible(reason.message)} [{reason.code}]"
            out += f"{self._style.bad('failed:')} {said}\n"
            if reason.code in ADVICE:
                out += self.aside(ADVICE[reason.code])
        elif event.status != "succeeded":
            said = reason.message if reason is not None else ""
            why = f": {said}" if said and said != "user" else ""
            out += self.aside(f"{event.status}{why}")
        return out

    def _todo_list(self) -> str:
        if self.todos == self._todos_shown:
            return ""
        self._todos_shown = self.todos
        return "".join(f"  {line}\n" for line in self.todo_lines())

    def todo_lines(self) -> list[str]:
        """Return the to-do list, a line each."""
        lines = []
        for one in self.todos:
            line = todo_line(one)
            if one.status in ("completed", "cancelled"):
                line = self._style.dim(line)
            elif one.status == "in_progress":
                line = self._style.strong(line)
            lines.append(line)
        return lines

    def knows(self, message: UserMessage) -> None:
        """Take what was said from a message, where the event that has it is not read;
        the one that has it seen by the model is, and shows it."""
        prompt = Prompt(message.text, message.files)
        said = message.job_id is None
        self.pending[message.id] = Pending(message.id, prompt, "steer", said)

    def waits(self, one: Input) -> None:
        """Take what waits, where the event that admitted it is not read."""
        said = one.job_id is None
        self.pending[one.id] = Pending(one.id, one.prompt, one.delivery, said)

    def _told_to_wait(self, one: Pending) -> str:
        """Say what waits, where no row shows it."""
        if not (self.tells and self.busy and one.said):
            return ""
        said = "queued" if one.delivery == "queue" else "waits for the next Step"
        return self.aside(f"{said}: {first_line(one.prompt.text)}")

    def _promoted(self, input_id: str) -> str:
        one = self.pending.pop(input_id, None)
        if one is None:
            return ""
        if not one.said:
            return self.aside(first_line(one.prompt.text))
        return self.prompt(one.prompt)

    def prompt(self, prompt: Prompt) -> str:
        """Return what a person said."""
        text = drawable(prompt.text)
        lines = text.split("\n")
        left = len(lines) - MOST_PROMPT_LINES
        if left > 1:
            lines = [*lines[:MOST_PROMPT_LINES], f"… {left:,} more lines"]
        lines += [f"[{short(file.name, 60)}]" for file in prompt.files]
        width = max(self._width() - 3, 20)
        folded = [part for line in lines for part in fold(line, width)]
        mark = self._style.strong(">")
        self._after_text = False
        shown = "".join(f"{mark} {line}".rstrip() + "\n" for line in folded)
        return f"\n{shown}"

    # --- text ---------------------------------------------------------------------

    def _delta(self, delta: LiveDelta) -> str:
        if delta.what == "progress":
            for key, call in self.running.items():
                if key[0] == delta.message_id and key[1] == delta.part:
                    call.progress = (call.progress + delta.text)[-2000:]
            return ""
        if delta.what not in ("text", "reasoning"):
            return ""
        key = (delta.what, delta.part)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part(delta.what)
            self._front = part
        part.text += delta.text
        if part is not self._front:
            # Shown when it is whole: two texts at once can be read by nobody.
            part.whole = False
            return ""
        if part.what == "reasoning":
            return ""
        return self._shown(part.blocks.feed(delta.text))

    def _ended(self, what: str, text: str) -> str:
        key = next((key for key, one in self._parts.items() if key[0] == what), None)
        part = self._parts.pop(key) if key is not None else _Part(what)
        if part is self._front:
            self._front = None
        if what == "reasoning":
            return self._thought(text)
        fed = clean_text(part.text)
        if part.whole and text.startswith(fed):
            blocks = [*part.blocks.feed(text[len(fed) :]), *part.blocks.end()]
            return self._shown(blocks)
        # Something of it was lost on the way, so it is said again, whole.
        again = Blocks()
        return self._shown([*again.feed(text), *again.end()])

    def _thought(self, text: str) -> str:
        if not text.strip():
            return ""
        self.thoughts.append(text)
        words = len(text.split())
        many = f"{words:,} word{'' if words == 1 else 's'}"
        return self.aside(f"thought, {many} (Ctrl-R shows)")

    def thought(self, text: str) -> str:
        """Return what the model thought, in full."""
        width = max(self._width() - 3, 20)
        lines = drawable(text).strip("\n").split("\n")
        folded = [part for line in lines for part in fold(line, width)]
        return "".join(f"{self._style.dim(f'  {line}')}\n" for line in folded)

    def _shown(self, blocks: Sequence[str]) -> str:
        out = ""
        for block in blocks:
            rendered = self._renderer.markdown(block, self._width())
            if rendered.strip():
                out += f"\n{rendered}"
                self._after_text = True
        return out

    # --- calls --------------------------------------------------------------------

    def _called(self, event: ToolCalled) -> str:
        key = (event.message_id, event.call_id)
        if key in self.running:
            return ""
        self._number += 1
        title = call_title(event.tool, event.arguments)
        call = Call(self._number, event, title, event.created)
        self.running[key] = self.calls[call.number] = call
        while len(self.calls) > MOST_CALLS:
            self.calls.popitem(last=False)
        return self.aside(f"call {call.number}: {title}") if self.tells else ""

    def _settled(self, event: ToolSucceeded | ToolFailed) -> str:
        call = self.running.pop((event.message_id, event.call_id), None)
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
        line = self._call_line(call, text, took, good=good)
        change = self.change(call, MOST_DIFF_LINES) if good else ""
        return f"{self._set_off()}{line}{change}"

    def _call_line(self, call: Call, text: str, took: str, *, good: bool) -> str:
        style = self._style
        colour = style.good if good else style.bad
        head = f"{call.number} {call.title}"
        width = self._width() - 1
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

    def change(self, call: Call, most: int) -> str:
        """Return what a call changed of files, as coloured lines; often nothing."""
        lines = call_change(call.arguments)
        return self._renderer.diff(lines, self._width() - 1, most) if lines else ""

    def whole(self, call: Call) -> str:
        """Return what the model was shown of a call, after what it was called with."""
        lines = [self.head(call)]
        outcome = call.outcome
        if outcome is None:
            lines += ["it runs", *_indented(drawable(call.progress))]
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

    def head(self, call: Call) -> str:
        """Return what a call was called with, and a blank line."""
        lines = [f"{call.number} {call.title}", ""]
        for name, value in call.arguments.items():
            shown = value if isinstance(value, str) else json.dumps(value)
            lines += [f"{visible(name)}:", *_indented(drawable(shown))]
        if not call.arguments and call.event.arguments.strip() not in ("", "{}"):
            lines += _indented(drawable(call.event.arguments))
        return "\n".join([*lines, ""])


def call_change(arguments: dict[str, Any]) -> Sequence[str]:
    """Return what a call that edits would change, line by line, as far as its arguments
    say so."""
    old, new = arguments.get("old_string"), arguments.get("new_string")
    if isinstance(old, str) and isinstance(new, str):
        return changed_lines(old, new)
    content = arguments.get("content")
    if isinstance(content, str) and isinstance(arguments.get("path"), str):
        return [f"+{line}" for line in content.splitlines()]
    for value in arguments.values():
        if isinstance(value, str) and value.lstrip().startswith(PATCH):
            return patch_lines(value)
    return ()


def _told_of(event: Event) -> str:
    """Return what is told of an event that is beside the conversation."""
    match event:
        case UnreadableEvent():
            return f"event {event.seq} cannot be read: {event.failure.message}"
        case FileMade():
            kept = f"managed:{event.managed}" if event.managed else "removed"
            return f"the model made {event.mime}, {event.bytes:,} bytes: {kept}"
        case SessionReverted():
            return "went back: what follows a message is hidden"
        case SessionUnreverted():
            return "what was hidden is seen again"
        case SessionMoved():
            return f"moved to {event.directory}"
        case NoticeAdded():
            return first_line(event.text)
        case ContinuationReported():
            return summary(event.report)
        case ContinuationAccepted():
            return acceptance(event.by)
        case CompactionStarted():
            return begun(event)
        case CompactionEnded():
            return told(event)
        case CompactionFailed():
            return f"no summary: {first_line(event.failure.message)}"
        case OutputsShortened():
            return f"{event.results} old results are shown shortened to the model"
        case PluginDisabled():
            why = first_line(event.failure.message)
            return f"plugin {event.plugin} is not called any more: {why}"
    return ""


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.split("\n")]
