"""The conclusion of a run: what is told at its end, and the exit code.

Owns the words about how it ended, or why nothing was begun, and what may be typed to
go on from there. Knows nothing of how it ran.
"""

from collections.abc import Sequence

from dovetail.kernel import (
    CONTINUATION_UNACCEPTED,
    Failure,
    ModelNotSelectedError,
    ModelUnknownError,
    Outcome,
    QuestionRequest,
    Session,
)

from ..console.advice import ADVICE
from ..console.exits import (
    INTERRUPTED,
    PAUSED,
    TIMED_OUT,
    USAGE,
    code_of_outcome,
)
from ..console.options import go_on_text, next_prompt_text
from ..console.terminal import Terminal, tell_error, visible
from .answering import Answering
from .output import RunOutput

MAX_OFFERED = 8
"""Models that are named to someone who has to choose one."""
OTHER_MODEL = ("model.unknown", "model.not_selected")
"""Reasons that stay as long as the model does."""
CUT = {
    "length": "the answer was cut off at the model's limit",
    "unknown": "the answer ended for a reason that is not known; it may be a part",
}
"""What is told of an answer that may not be whole, by why the model stopped."""
KEYS = "set OPENAI_API_KEY (and OPENAI_BASE_URL) or ANTHROPIC_API_KEY"
"""What most have."""


class Conclusion:
    """What is told when a run is over.

    ``db`` is the database that the command line names; ``prompted`` whether there was a
    prompt, ``allows`` whether everything was allowed, and ``afar`` whether a server
    runs it: all of it is said again in what may be typed to go on.
    """

    def __init__(
        self,
        terminal: Terminal,
        output: RunOutput,
        *,
        db: str | None,
        prompted: bool,
        allows: bool,
        afar: bool,
    ) -> None:
        self._terminal = terminal
        self._output = output
        self._db = db
        self._prompted = prompted
        self._allows = allows
        self._afar = afar

    # --- nothing was begun --------------------------------------------------------

    def no_model(self, error: ModelNotSelectedError) -> int:
        """Tell that a new session has no model."""
        style = self._terminal.error_style
        how = (
            f"add --model {_example(error.offered)}; "
            f"offered here: {', '.join(map(visible, error.offered[:MAX_OFFERED]))}"
            if error.offered
            else f"{KEYS}, and add --model provider/name"
        )
        self._terminal.tell(
            f"{style.bad('error:')} no model is configured; {how} [{error.code}]\n"
            'or write model = "provider/name" in dovetail.toml, in your configuration '
            "folder, or in the directory if you trust it; `dovetail setup` asks you\n"
            "`dovetail demo` needs no model: it shows a session with a rehearsal of one"
        )
        return USAGE

    def other_model(
        self, error: ModelNotSelectedError | ModelUnknownError, found: str | None
    ) -> int:
        """Tell that an earlier session needs another model, or a new one does."""
        tell_error(self._terminal, str(error), error.code)
        if found is not None:
            text = self._again_text(found, "--model", _example(error.offered))
            self._terminal.tell(f"to go on: {visible(text)}")
        elif not error.offered:
            self._terminal.tell(f"{KEYS}; `dovetail models` names the others")
        return USAGE

    # --- it goes on elsewhere, or later -------------------------------------------

    def unreachable(self, session_id: str) -> None:
        """Tell that the server, which cannot be reached, may go on with it."""
        text = go_on_text(session_id, db=self._db)
        self._terminal.tell(f"the server may go on with it: {visible(text)}")

    def acceptable(self, session_id: str, digest: str) -> None:
        """Tell how a Continuation Report is accepted."""
        # As it was asked for: who allowed everything means it still.
        options = ("--accept", digest, *(["--yes"] if self._allows else []))
        text = go_on_text(session_id, *options, db=self._db)
        self._terminal.tell(f"to accept it and go on: {visible(text)}")

    def unanswered(self, session: Session, answering: Answering) -> int:
        """Tell what nobody was there to answer."""
        what = (
            "an answer"
            if isinstance(answering.unanswered, QuestionRequest)
            else ("a permission")
        )
        reason = Failure("request.unanswered", f"this needs {what}")
        self._output.paused(session.id, Outcome("paused", reason), PAUSED)
        lines, options = answering.unanswered_lines()
        for line in lines:
            self._terminal.tell(line)
        if options:
            text = self._again_text(session.id, *options)
            self._terminal.tell(f"to allow it: {visible(text)}")
        else:
            text = go_on_text(session.id, db=self._db)
            self._terminal.tell(f"to be asked at a terminal: {visible(text)}")
        return PAUSED

    # --- it ended -----------------------------------------------------------------

    async def ended(
        self, session: Session, outcome: Outcome, *, interrupted: bool, timed_out: bool
    ) -> int:
        """Tell how it ended, and return the exit code.

        ``interrupted`` and ``timed_out``: what was asked of it from here.
        """
        tell = self._terminal.tell
        reason = outcome.reason
        code = code_of_outcome(outcome)
        if interrupted and not outcome.succeeded:
            # Interrupted before there was anything to record of it.
            code = INTERRUPTED
        elif timed_out and not outcome.succeeded:
            code = TIMED_OUT
        if reason is not None and reason.code == CONTINUATION_UNACCEPTED:
            tell(f"paused: {visible(reason.message)}")
            self.acceptable(session.id, (await session.continuation()).digest)
            self._output.paused(session.id, outcome, PAUSED)
            return PAUSED
        self._tell_why(outcome)
        if outcome.succeeded and outcome.finish in CUT:
            tell(CUT[outcome.finish])
        if timed_out and not outcome.succeeded:
            tell("its time is up")
        if not outcome.succeeded:
            options: tuple[str, ...] = ()
            if reason is not None and reason.code in OTHER_MODEL:
                # The same again would fail the same way.
                options = ("--model", "provider/name")
            text = next_prompt_text(session.id, *options, db=self._db)
            tell(f"to go on: {visible(text)}")
        self._output.end(session.id, outcome, code)
        return code

    def _tell_why(self, outcome: Outcome) -> None:
        tell, reason = self._terminal.tell, outcome.reason
        if outcome.status == "failed" and reason is not None:
            style = self._terminal.error_style
            tell(f"{style.bad('error:')} {visible(reason.message)} [{reason.code}]")
            if reason.code in ADVICE and not self._afar:
                tell(ADVICE[reason.code])
        elif not outcome.succeeded:
            why = f": {visible(reason.message)}" if reason and reason.message else ""
            tell(f"{outcome.status}{why}")

    def _again_text(self, session_id: str, *options: str) -> str:
        """Return what may be typed to do the same again, with more options."""
        go_on = next_prompt_text if self._prompted else go_on_text
        return go_on(session_id, *options, db=self._db)


def _example(offered: Sequence[str]) -> str:
    """Return a model to show how one is named: one that can be asked, if there is."""
    known = [name for name in offered if not name.endswith("/...")]
    return visible(known[0]) if known else "provider/name"
