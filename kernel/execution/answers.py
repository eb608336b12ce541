"""Answers: how one is asked for, and whether it is the value that was wanted.

Owns the way from what is wanted (``history.wanted``) to a request, and the way back
from an answer to its value, or to what the model is told is wrong with it. Which way of
its own a provider has for a value, its route says. Knows nothing of streams.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, evolve

from ..history.wanted import WantedAnswers
from ..log.reading import event_at
from ..models.catalog import ResolvedModel
from ..ports import Reader, SessionRow
from ..tools.schema import input_decoder
from ..values.errors import OutputInvalidError, ProviderError, UndecodableError
from ..values.events import (
    Event,
    OutputAccepted,
    OutputRefused,
    StepEnded,
    ToolCalled,
    ToolFailed,
    ToolSucceeded,
)
from ..values.generation import Generation, NamedTool, ToolChoice
from ..values.ids import MessageId, SessionId
from ..values.output import FINAL_ANSWER, Output, OutputMode, Read
from ..values.request import FinishReason, ModelRequest, ToolCall
from ..values.sent import SentRequest
from ..values.shapes import is_attrs
from ..values.tool import Failure, Json, TextContent
from .coordinator import Outcome

REMEMBERED = 4_096
"""Prompts whose classes are remembered, the last ones."""
ACCEPTED = "The answer is accepted."
SETTLED = "An answer was accepted already."
CUT = "it was cut off before its end"
UNENDED = "nobody said that it is whole"
ENDS: tuple[FinishReason, ...] = ("stop", "tool_calls")
"""Why a model stops that has said all it wanted to."""
AGAIN = (
    "Your answer is not what was asked for: {problem}. Give the whole answer again, "
    "corrected."
)


def asked(
    request: ModelRequest,
    answers: WantedAnswers,
    generation: Generation,
    model: ResolvedModel,
    *,
    last: bool,
) -> ModelRequest:
    """Return a request that asks for the answer as it is wanted.

    ``last``: nothing may be called any more.

    Raises:
        ProviderError: ``provider.invalid_request``: a tool must be called that is not
            offered.
    """
    choice = generation.tool_choice
    if generation.max_output is not None or choice is not None:
        request = evolve(
            request,
            max_output=generation.max_output,
            tool_choice=_choice(request, answers, choice, model.provider),
            generation=evolve(generation, max_output=None, tool_choice=None),
        )
    elif generation is not request.generation:
        request = evolve(request, generation=generation)
    if last:
        request = evolve(request, tool_choice="none")
    output = answers.output
    if output is None:
        if answers.by_tool and not request.tools:
            # An earlier call of it is in the history, where some providers take none of
            # a tool that is not offered.
            tool = evolve(Output({"type": "object"}).tool)
            return evolve(request, tools=(tool,), tool_choice="none")
        return request
    mode = output.mode if output.mode != "auto" else output_mode(model, request, output)
    if mode == "native":
        return evolve(request, output=output)
    if mode == "prompt":
        return evolve(request, system=(*request.system, output.instruction))
    others = [one for one in request.tools if one.name != FINAL_ANSWER]
    tools = sorted((*others, output.tool), key=lambda one: one.name)
    callable_now = others and request.tool_choice != "none"
    demanded: ToolChoice = "required" if callable_now else NamedTool(FINAL_ANSWER)
    if isinstance(request.tool_choice, NamedTool):
        demanded = request.tool_choice
    return evolve(request, tools=tuple(tools), tool_choice=demanded)


def output_mode(
    model: ResolvedModel, request: ModelRequest, output: Output
) -> OutputMode:
    """Return how a model is asked for a value: as its route says, or else by a tool; in
    words where it is known to have no tools."""
    says = getattr(model.route, "output_mode", None)
    mode: OutputMode = "tool"
    if says is not None:
        mode = says(evolve(request, output=output))
    known = None if model.info is None else model.info.abilities
    if mode == "tool" and known is not None and "tools" not in known:
        return "prompt"
    return mode


def _choice(
    request: ModelRequest,
    answers: WantedAnswers,
    choice: ToolChoice | None,
    provider: str,
) -> ToolChoice:
    if choice is None or choice == "none":
        return choice or request.tool_choice
    if answers.called or not (request.tools or isinstance(choice, NamedTool)):
        # Who must always call a tool can never answer.
        return "auto"
    if isinstance(choice, NamedTool) and choice.tool not in (
        one.name for one in request.tools
    ):
        raise ProviderError(
            "provider.invalid_request",
            provider,
            f"tool {choice.tool!r} must be called and is not offered; name one that is "
            "in generation.tool_choice, or leave it to the model",
        )
    return choice


def given(rows: Reader, row: SessionRow, outcome: Outcome) -> Outcome:
    """Return the outcome of a session's last execution with the value that it ended
    with, if it did, or else why the model stopped."""
    if not outcome.succeeded:
        return outcome
    event = event_at(rows, row.id, row.ended_seq - 1)
    if isinstance(event, StepEnded):
        return evolve(outcome, finish=event.finish)
    if not isinstance(event, OutputAccepted):
        return outcome
    return evolve(outcome, data=event.value, input_id=event.input_id)


class GivenClasses:
    """The classes that prompts were given in this runtime, so that whoever waits gets
    an instance and a model is told what only a class knows. In another process, and
    after a restart, a value is its JSON data."""

    def __init__(self) -> None:
        self._decoders: OrderedDict[tuple[str, str], Callable[[Json], Any]] = (
            OrderedDict()
        )

    def remember(self, session_id: str, input_id: str, kind: Any) -> None:
        """Remember the class that a prompt was given, if it was one."""
        if not is_attrs(kind):
            return
        key = session_id, input_id
        self._decoders[key] = input_decoder(kind)
        self._decoders.move_to_end(key)
        while len(self._decoders) > REMEMBERED:
            self._decoders.popitem(last=False)

    def instance(self, session_id: str, input_id: str, value: Json) -> Any:
        """Return a value as an instance of its prompt's class, where that is known.

        Raises:
            UndecodableError: the class takes no such value.
        """
        decode = self._decoders.get((session_id, input_id))
        return value if decode is None else decode(value)

    def outcome(self, session_id: str, outcome: Outcome) -> Outcome:
        """Return an outcome with its value."""
        if outcome.input_id is None:
            return outcome
        value = self.instance(session_id, outcome.input_id, outcome.data)
        return evolve(outcome, value=value)


@define(eq=False)
class Answering:
    """What becomes of the value that is wanted, in one Step."""

    session_id: SessionId
    message_id: MessageId
    output: Output
    input_id: MessageId
    left: int
    """How often the model may be asked again."""
    given: GivenClasses
    accepted: OutputAccepted | None = None
    problem: str | None = None
    """What was wrong with what the model gave."""

    @classmethod
    def of(
        cls,
        answers: WantedAnswers,
        session_id: SessionId,
        message_id: MessageId,
        given: GivenClasses,
    ) -> "Answering | None":
        """Return what becomes of the value that is wanted now, or None for none."""
        output, input_id = answers.output, answers.input_id
        if output is None or input_id is None:
            return None
        left = max(0, output.repairs - answers.refused)
        return cls(session_id, message_id, output, input_id, left, given)

    def called(self, call: ToolCall, request: SentRequest | None) -> list[Event]:
        """Return the events of a call of the final answer: it is settled at once."""
        said = ToolCalled(
            session_id=self.session_id,
            message_id=self.message_id,
            call_id=call.call_id,
            tool=FINAL_ANSWER,
            arguments=call.arguments,
            effect="pure",
            metadata=call.metadata,
            request=request,
        )
        if self.accepted is not None:
            return [said, self._succeeded(call, SETTLED)]
        if call.refused is not None:
            problems: Sequence[str] = (call.refused,)
        elif call.cut:
            problems = (CUT,)
        else:
            read = self._read(call.arguments)
            problems = read.problems
            if not problems:
                self._accept(read.value)
                return [said, self._succeeded(call, ACCEPTED)]
        self.problem = "; ".join(problems)
        failure = Failure(OutputInvalidError.code, AGAIN.format(problem=self.problem))
        return [
            said,
            ToolFailed(
                session_id=self.session_id,
                message_id=self.message_id,
                call_id=call.call_id,
                failure=failure,
            ),
        ]

    def said(self, texts: Sequence[str], finish: FinishReason) -> None:
        """Take in an answer in words, of a message without calls."""
        if finish not in ENDS:
            # What came may be the beginning of another value: 12 of 12345.
            self.problem = CUT if finish == "length" else UNENDED
            return
        read = self._read("".join(texts))
        if read.problems and len(texts) > 1:
            # What the model says first is often what it is about to do.
            last = self._read(texts[-1])
            read = read if last.problems else last
        if not read.problems:
            self._accept(read.value)
        else:
            self.problem = "; ".join(read.problems)

    def settle(self, *, final: bool) -> tuple[list[Event], Outcome | None]:
        """Return what is recorded of it when the Step is settled, and the outcome, if
        this is the end. ``final``: the model is not asked again."""
        if self.accepted is not None:
            made = self.accepted
            outcome = Outcome("succeeded", None, made.value, made.input_id)
            return [made], outcome
        if self.problem is None:
            return [], None
        final = final or self.left == 0
        refused = OutputRefused(
            session_id=self.session_id,
            input_id=self.input_id,
            message_id=self.message_id,
            problem=self.problem,
            final=final,
        )
        if not final:
            return [refused], None
        error = OutputInvalidError(self.output.name, (self.problem,))
        return [refused], Outcome("failed", Failure(error.code, str(error)))

    def _read(self, text: str) -> Read:
        read = self.output.read(text)
        if not read.problems:
            try:
                self.given.instance(self.session_id, self.input_id, read.value)
            except UndecodableError as error:
                return Read(problems=error.problems)
        return read

    def _accept(self, value: object) -> None:
        self.problem = None
        self.accepted = OutputAccepted(
            session_id=self.session_id,
            input_id=self.input_id,
            message_id=self.message_id,
            value=value,
        )

    def _succeeded(self, call: ToolCall, text: str) -> ToolSucceeded:
        return ToolSucceeded(
            session_id=self.session_id,
            message_id=self.message_id,
            call_id=call.call_id,
            content=(TextContent(text),),
        )
