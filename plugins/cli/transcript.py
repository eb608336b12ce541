"""The transcript as text: events in, lines for a person out.

A state machine without I/O. Text is shown as it streams and completed from the event
that ends its part, so what was shown in the end is what is durable. A tool call is one
line, whose outcome is added when it is settled.
"""

from collections.abc import Sequence

from attrs import define, field, frozen
from dovetail.kernel import (
    AssistantMessage,
    AvailabilityChanged,
    CompactionEnded,
    CompactionFailed,
    CompactionStarted,
    ContextUpdated,
    ContinuationAccepted,
    ContinuationReported,
    EpochStarted,
    Event,
    FileMade,
    Input,
    LeftOut,
    LiveDelta,
    LiveEvent,
    ModelFellBack,
    NoticeAdded,
    OutputsShortened,
    PluginDisabled,
    Prompt,
    PromptAdmitted,
    PromptPromoted,
    ReasoningEnded,
    RetryScheduled,
    SessionMoved,
    SessionReverted,
    SessionUnreverted,
    StepFailed,
    StepStarted,
    TextEnded,
    Todo,
    TodosReplaced,
    ToolCalled,
    ToolFailed,
    ToolStarted,
    ToolSucceeded,
    UnreadableEvent,
    clean_text,
)

from ..console.calls import (
    call_title,
    duration_text,
    failure_text,
    success_text,
    todo_line,
)
from ..console.compaction import begun, compaction_text
from ..console.continuing import acceptance, summary
from ..console.terminal import Style, first_line, plain, short, visible


def left_out(key: str, why: LeftOut) -> str:
    """Return in one line that the model was not told of something, and why."""
    whose = f" of plugin {why.plugin}" if why.plugin else ""
    reason = first_line(why.reason)
    return (
        f"the model was not told of {key}{whose}, which could not be observed: {reason}"
    )


def away(key: str, why: LeftOut) -> str:
    """Return in one line that something cannot be observed any more, and why."""
    whose = f" of plugin {why.plugin}" if why.plugin else ""
    return f"{key}{whose} cannot be observed any more: {first_line(why.reason)}"


@define(eq=False)
class _Part:
    """A text or reasoning part that streams."""

    what: str
    shown: list[str] = field(factory=list)
    """What of it was shown, as it came."""
    whole: bool = True
    """False when a piece was kept back, because another part was being shown."""


@frozen
class _Call:
    title: str
    since: int | None
    """When it began, in milliseconds since 1970; None when that was not seen."""


class Transcript:
    """Writes down one session. ``take`` returns what is to be shown now.

    ``reasoning`` says whether reasoning is shown. ``watched`` says that a person sees
    it happen, so that a call is shown when it begins, and not only its outcome.
    ``failures`` says whether it is told why a Step failed.
    """

    def __init__(
        self, style: Style, *, reasoning: bool, watched: bool, failures: bool
    ) -> None:
        self._style = style
        self._reasoning = reasoning
        self._watched = watched
        self._failures = failures
        self._prompts: dict[str, Prompt] = {}
        """Prompts that were admitted and not promoted yet."""
        self._known: set[str] = set()
        self._recalled = False
        # The parts of the current message, in the order they began.
        self._parts: dict[tuple[str, str], _Part] = {}
        self._front: _Part | None = None
        """The part that is being shown, if the cursor is at its end."""
        self._shown_inputs: set[str] = set()
        """Input that nobody said: what the runtime tells of a job."""
        self._calls: dict[tuple[str, str], _Call] = {}
        self._open_call: tuple[str, str] | None = None
        """The call whose line waits for its outcome."""
        self._todos: dict[tuple[str, str], Sequence[Todo]] = {}
        """By the call that put them there, shown with its outcome."""
        self._at_start = True
        self._begun = False
        """Whether anything was shown."""
        self._after_block = False
        """Whether a text must be set off from what is above it."""

    def take(self, event: LiveEvent) -> str:
        """Return what an event adds."""
        text = (
            self._delta(event) if isinstance(event, LiveDelta) else self._durable(event)
        )
        self._begun = self._begun or bool(text)
        return text

    @property
    def at_start(self) -> bool:
        """Whether the cursor is at the start of a line, and no call waits on one."""
        return self._at_start

    def known(self, input_id: str) -> None:
        """Say that whoever looks knows this prompt; it is not shown."""
        self._known.add(input_id)

    def recall(self, cut: AssistantMessage | None, pending: Sequence[Input]) -> None:
        """Take up where an earlier process left: its open calls, and what waits.

        Whoever looks was told what it left; that is not shown.
        """
        self._recalled = True
        for part in cut.calls if cut else ():
            if cut and not part.settled:
                title = call_title(part.tool, part.arguments)
                self._calls[cut.id, part.call_id] = _Call(title, None)
        for one in pending:
            self._prompts[one.id] = one.prompt
            if one.job_id is not None:
                self._shown_inputs.add(one.id)

    def hint(self, text: str) -> str:
        """Return a line for whoever looks, which is of no event."""
        return self._aside(text)

    def break_line(self) -> str:
        """Return what brings the cursor to the start of a line."""
        self._front = self._open_call = None
        return self._newline()

    def _durable(self, event: Event) -> str:
        match event:
            case PromptAdmitted():
                self._prompts[event.input_id] = event.prompt
                if event.job_id is not None:
                    self._shown_inputs.add(event.input_id)
            case PromptPromoted():
                return self._promoted(event.input_id)
            case StepStarted():
                self._parts.clear()
                self._front = None
            case StepFailed() if self._failures:
                why = f"{event.failure.message} [{event.failure.code}]"
                failed = self._style.bad("failed:")
                return f"{self.break_line()}{failed} {visible(why)}\n"
            case UnreadableEvent():
                return self._aside(
                    f"event {event.seq} cannot be read: {event.failure.message}"
                )
            case TextEnded():
                return self._ended("text", event.text)
            case ReasoningEnded():
                return self._ended("reasoning", event.text)
            case FileMade():
                size = f"{event.bytes:,} bytes"
                kept = f"managed:{event.managed}" if event.managed else "removed"
                return self._aside(f"the model made {event.mime}, {size}: {kept}")
            case ToolCalled():
                return self._called(event)
            case ToolStarted():
                key = (event.message_id, event.call_id)
                if key in self._calls:
                    title = self._calls[key].title
                    self._calls[key] = _Call(title, event.created)
            case TodosReplaced() if self._watched:
                self._todos[event.message_id, event.call_id] = event.todos
            case ToolSucceeded():
                outcome = success_text(event.data)
                good = outcome.startswith("ok")
                colour = self._style.good if good else self._style.bad
                return self._settled(event, colour(outcome))
            case ToolFailed():
                reason = f"failed: {failure_text(event.failure)}"
                return self._settled(event, self._style.bad(reason))
            case SessionReverted():
                return self._aside("went back: what follows a message is hidden")
            case SessionUnreverted():
                return self._aside("what was hidden is seen again")
            case SessionMoved():
                return self._aside(f"moved to {event.directory}")
            case NoticeAdded():
                return self._aside(first_line(event.text))
            case EpochStarted():
                return "".join(
                    self._aside(left_out(key, one))
                    for key, one in sorted(event.left_out.items())
                )
            case AvailabilityChanged():
                return "".join(
                    self._aside(line)
                    for line in (
                        *(away(k, one) for k, one in sorted(event.unavailable.items())),
                        *(f"{key} is not missing any more" for key in event.ended),
                    )
                )
            case ContextUpdated():
                keys = ", ".join(sorted(event.sources))
                return self._aside(f"the model was told of {keys}")
            case ContinuationReported() if not self._recalled:
                return self._aside(summary(event.report))
            case ContinuationAccepted():
                return self._aside(acceptance(event.by))
            case CompactionStarted():
                return self._aside(begun(event))
            case CompactionEnded():
                return self._aside(compaction_text(event))
            case CompactionFailed():
                return self._aside(f"no summary: {first_line(event.failure.message)}")
            case OutputsShortened():
                return self._aside(
                    f"{event.results} old results are shown shortened to the model"
                )
            case RetryScheduled():
                self._parts.clear()
                return self._aside(
                    f"trying again in {duration_text(event.delay_ms)}: "
                    f"{first_line(event.failure.message)}"
                )
            case ModelFellBack():
                self._parts.clear()
                return self._aside(
                    f"{event.model} does not answer, {event.next} goes on: "
                    f"{first_line(event.failure.message)}"
                )
            case PluginDisabled():
                return self._aside(
                    f"plugin {event.plugin} is not called any more: "
                    f"{first_line(event.failure.message)}"
                )
        return ""

    def _promoted(self, input_id: str) -> str:
        prompt = self._prompts.pop(input_id, None)
        if prompt is None or input_id in self._known:
            return ""
        if input_id in self._shown_inputs:
            return self._aside(first_line(prompt.text))
        files = [f"[file {short(file.name, 60)}]" for file in prompt.files]
        mark = self._style.strong(">")
        lines = [
            f"{mark} {line}".rstrip() + "\n"
            for line in [*plain(prompt.text).split("\n"), *files]
        ]
        out = self.break_line() + ("\n" if self._begun else "")
        self._after_block = True
        return out + "".join(lines)

    # --- text ---------------------------------------------------------------------

    def _delta(self, delta: LiveDelta) -> str:
        if delta.what not in ("text", "reasoning"):
            return ""
        key = (delta.what, delta.part)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part(delta.what)
            out = self._begin(part)
        elif part is self._front:
            out = ""
        else:
            part.whole = False
            return ""
        part.shown.append(delta.text)
        return out + self._piece(part.what, delta.text)

    def _ended(self, what: str, text: str) -> str:
        """Return what is missing of a part that is complete now."""
        key = next((key for key, one in self._parts.items() if key[0] == what), None)
        part = self._parts.pop(key) if key is not None else _Part(what)
        shown = clean_text("".join(part.shown))
        if text == shown or not text:
            rest = out = ""
        elif part.whole and part is self._front and text.startswith(shown):
            rest, out = text[len(shown) :], ""
        else:
            # Something of it was lost on the way, so it is said again, whole.
            rest, out = text, self._begin(part)
        out += self._piece(what, rest)
        if part is self._front:
            self._front = None
            out += self._newline()
        return out

    def _begin(self, part: _Part) -> str:
        if not self._shows(part.what):
            return ""
        out = self.break_line()
        if self._after_block:
            out += "\n"
            self._after_block = False
        self._front = part
        if part.what == "reasoning" and not self._style.on:
            out += "(thinking) "
            self._at_start = False
        return out

    def _piece(self, what: str, text: str) -> str:
        shown = plain(text) if self._shows(what) else ""
        if not shown:
            return ""
        self._at_start = shown.endswith("\n")
        return self._style.dim(shown) if what == "reasoning" else shown

    def _shows(self, what: str) -> bool:
        return what == "text" or self._reasoning

    def _newline(self) -> str:
        out = "" if self._at_start else "\n"
        self._at_start = True
        return out

    # --- calls --------------------------------------------------------------------

    def _called(self, event: ToolCalled) -> str:
        key = (event.message_id, event.call_id)
        call = _Call(call_title(event.tool, event.arguments), event.created)
        self._calls[key] = call
        if not self._watched:
            return ""
        out = self.break_line()
        self._open_call = key
        self._at_start, self._after_block = False, True
        return f"{out}* {call.title}"

    def _settled(self, event: ToolSucceeded | ToolFailed, outcome: str) -> str:
        key = (event.message_id, event.call_id)
        call = self._calls.pop(key, None)
        since = call.since if call else None
        took = duration_text(event.created - since) if since is not None else ""
        tail = f"{outcome}{self._style.dim(f', {took}') if took else ''}"
        if self._open_call == key:
            out = f" - {tail}\n"
        else:
            # Something else was shown meanwhile: say again whose outcome it is.
            title = call.title if call else short(event.call_id, 40)
            out = f"{self.break_line()}* {title} - {tail}\n"
        self._open_call = None
        self._at_start = self._after_block = True
        lines = [f"  {todo_line(one)}\n" for one in self._todos.pop(key, ())]
        return out + "".join(lines)

    def _aside(self, text: str) -> str:
        return f"{self.break_line()}{self._style.dim(f'({short(text, 200)})')}\n"
