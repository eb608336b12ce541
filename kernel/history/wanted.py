"""Wanted answers: how a session's next answer is wanted, as a fold of its events.

Owns which generation options count, which value is wanted for an answer, and how often
an answer was something else. Knows nothing of requests, nor of who reads answers.
"""

from ..values import events as e
from ..values.generation import NO_GENERATION, Generation
from ..values.ids import MessageId
from ..values.output import FINAL_ANSWER, Output

_HEARD = frozenset(
    (
        e.ToolCalled,
        e.StepStarted,
        e.OutputAccepted,
        e.OutputRefused,
        e.GenerationSet,
        e.SessionCreated,
    )
)


class WantedAnswers:
    """How the answers of one session are wanted."""

    def __init__(self) -> None:
        self.session: Generation | None = None
        """What the session says."""
        self.prompt: Generation | None = None
        """What the prompt says that began the work that goes on."""
        self.output: Output | None = None
        """The value that is wanted; one at a time, and the last prompt's."""
        self.input_id: MessageId | None = None
        """The prompt that wants it."""
        self.refused = 0
        """How many answers were something else."""
        self.problem: str | None = None
        """What is wrong with the last one, until the model is told."""
        self.closed: MessageId | None = None
        """The message that ended a value's being wanted: nothing follows from it."""
        self.called = False
        """Whether a tool was called in the work that goes on."""
        self.by_tool = False
        """Whether some answer was given by a tool that is offered for that alone."""

    def promoted(self, admitted: e.PromptAdmitted, *, begins: bool) -> None:
        """Take in a prompt that the model sees from here on."""
        if begins:
            self.called = False
        if begins or admitted.generation is not None:
            self.prompt = admitted.generation
        if begins or admitted.output is not None:
            self.output = admitted.output
            self.input_id = None if admitted.output is None else admitted.input_id
            self.refused, self.problem = 0, None

    def apply(self, event: e.Event) -> None:
        """Take in one event that is not hidden from the model."""
        if type(event) not in _HEARD:
            return
        if isinstance(event, e.ToolCalled):
            self.called = self.called or event.tool != FINAL_ANSWER
            self.by_tool = self.by_tool or event.tool == FINAL_ANSWER
        elif isinstance(event, e.StepStarted):
            self.problem = None
        elif isinstance(event, e.OutputAccepted):
            self._close(event.message_id)
        elif isinstance(event, e.OutputRefused):
            if event.final:
                self._close(event.message_id)
            else:
                self.refused += 1
                self.problem = event.problem
        elif isinstance(event, e.GenerationSet):
            self.session = event.generation
        elif isinstance(event, e.SessionCreated) and event.forked_from is None:
            # A fork has what the session said that it shares the past of.
            self.session = event.generation

    def cross(self) -> None:
        """Go on in a fork: what the session that it came from was at is not its own."""
        self.prompt = self.output = self.input_id = self.problem = None
        self.refused, self.called = 0, False

    def generation(self, agent: Generation) -> Generation:
        """Return the options that count, given those of the agent."""
        session = self.session or NO_GENERATION
        return (self.prompt or NO_GENERATION).over(session.over(agent))

    def _close(self, message_id: MessageId) -> None:
        self.closed = message_id
        self.output = self.input_id = self.problem = None
        self.refused = 0
