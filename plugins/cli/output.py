"""What a run says, and where: text for people, or JSON for programs.

Text: what the model says goes to standard output and everything else to standard
error, so that an answer can be piped on. JSON: one object at the end, or one line for
each thing that happens and the same object as the last one. Knows nothing of sessions;
``run`` hands over what happens.
"""

import time
from collections.abc import Sequence
from typing import Literal

from attrs import asdict
from dovetail.kernel import (
    AssistantMessage,
    DovetailError,
    Failure,
    Input,
    Json,
    LiveDelta,
    LiveEvent,
    Outcome,
    RetryScheduled,
    StepEnded,
    StepFailed,
    StepStarted,
    TextEnded,
    Usage,
    clean_text,
    event_to_json,
)

from ..console.listing import Costs
from ..console.options import json_line
from ..console.spinner import Spinner
from ..console.terminal import Style, Terminal, counted, visible
from .transcript import Transcript

Format = Literal["text", "json", "stream-json"]
FORMATS = ("text", "json", "stream-json")
RESULT = "result"
"""The ``kind`` of the last object."""


class Tally:
    """What one run came to: counted from its events."""

    def __init__(self) -> None:
        self.costs = Costs()
        self.steps = 0
        self.usage = Usage()
        self.model: str | None = None
        self.text = ""
        """What the model said last."""
        self._message: str | None = None
        self._begun = time.monotonic()

    def take(self, event: LiveEvent) -> None:
        """Count an event in."""
        self.costs.take(event)
        if isinstance(event, StepStarted):
            self.model = event.model
        elif isinstance(event, TextEnded):
            same = event.message_id == self._message
            self.text = f"{self.text}{event.text}" if same else event.text
            self._message = event.message_id
        elif isinstance(event, StepEnded | StepFailed):
            self.steps += 1
        # What an attempt took that failed is in no event of the Step after it.
        if isinstance(event, StepEnded | StepFailed | RetryScheduled):
            self.usage += event.usage

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._begun

    def line(self, session_id: str) -> str:
        """Return the last line for people: session, Steps, tokens, cost, time."""
        told = [f"session {session_id}", counted(self.steps, "Step")]
        if self.usage.input is not None or self.usage.output is not None:
            into, out = self.usage.input or 0, self.usage.output or 0
            told.append(f"{into:,} tokens in, {out:,} out")
        if self.costs.text is not None:
            told.append(self.costs.text)
        told.append(f"{self.elapsed:.1f} s")
        return ", ".join(told)

    def json(
        self,
        session_id: str | None,
        outcome: Outcome | None,
        error: Failure | None,
        code: int,
    ) -> dict[str, Json]:
        """Return the last object for programs; see docs/cli.md."""
        usage: dict[str, Json] = asdict(self.usage)
        return {
            "kind": RESULT,
            "session": session_id,
            "outcome": "failed" if outcome is None else outcome.status,
            "finish": None if outcome is None else outcome.finish,
            "text": clean_text(self.text),
            "output": None if outcome is None else outcome.data,
            "model": self.model,
            "steps": self.steps,
            "usage": usage,
            "cost": self.costs.dollars,
            "cost_is_whole": self.costs.whole,
            "elapsed": round(self.elapsed, 3),
            "error": None
            if error is None
            else {"code": error.code, "message": error.message},
            "exit_code": code,
        }


class RunOutput:
    """What a run says, in one of the formats."""

    def __init__(self, terminal: Terminal, format: Format) -> None:
        self._terminal = terminal
        self.format = format
        self.tally = Tally()
        self.spinner = Spinner()
        both = terminal.interactive and terminal.errors_interactive
        # Only a terminal can tell reasoning apart from the answer, and what is not
        # the answer is seen as it happens only there.
        self._all = _transcript(
            terminal.style if both else terminal.error_style,
            terminal.errors_interactive,
        )
        # Where one screen shows both, one of them knows where the line ends.
        self._answer = None if both else _transcript(Style(), False)

    async def take(self, event: LiveEvent) -> None:
        """Say what an event adds."""
        self.tally.take(event)
        if self.format == "stream-json":
            await self._terminal.show(json_line(event_to_json(event)))
        if self.format != "text":
            return
        answering = _is_answer(event)
        if self._answer is None:
            text = self._all.take(event)
            await (self._terminal.show if answering else self._beside)(text)
        elif answering:
            await self._terminal.show(self._answer.take(event))
        else:
            if isinstance(event, StepStarted):
                self._answer.take(event)
            await self._beside(self._all.take(event))
        self.spinner.moved(at_start=self._all.at_start)

    async def break_line(self) -> None:
        """Bring the cursor to the start of a line, wherever there is one."""
        if self.format == "text":
            if self._answer is not None:
                await self._terminal.show(self._answer.break_line())
            await self._beside(self._all.break_line())

    async def hint(self, text: str) -> None:
        """Say something that is of no event."""
        if self.format == "text":
            await self._beside(self._all.hint(text))

    async def _beside(self, text: str) -> None:
        if text:
            await self._terminal.show_beside(text)

    def known(self, input_id: str) -> None:
        """Say that whoever looks knows this prompt."""
        self._all.known(input_id)

    def recall(self, cut: AssistantMessage | None, pending: Sequence[Input]) -> None:
        """Take up where an earlier process left; see ``Transcript.recall``."""
        self._all.recall(cut, pending)

    def end(self, session_id: str, outcome: Outcome, code: int) -> None:
        """Say what the run came to, as the last thing."""
        if self.format == "text":
            style = self._terminal.error_style
            self._terminal.tell(style.dim(visible(self.tally.line(session_id))))
        else:
            self._write(
                self.tally.json(session_id, outcome, outcome.reason, code),
            )

    def paused(self, session_id: str, outcome: Outcome, code: int) -> None:
        """Say in JSON what must be answered first; people are told how."""
        if self.format != "text":
            self.end(session_id, outcome, code)

    def failed(self, session_id: str | None, error: DovetailError, code: int) -> None:
        """Say in JSON that there was no run, or that it broke; people are told the
        error itself, by whoever catches it."""
        if self.format != "text":
            failure = Failure(error.code, str(error))
            self._write(self.tally.json(session_id, None, failure, code))

    def _write(self, value: Json) -> None:
        self._terminal.write(json_line(value))


def _transcript(style: Style, watched: bool) -> Transcript:
    return Transcript(style, reasoning=watched, watched=watched, failures=False)


def _is_answer(event: LiveEvent) -> bool:
    if isinstance(event, LiveDelta):
        return event.what == "text"
    return isinstance(event, TextEnded)
