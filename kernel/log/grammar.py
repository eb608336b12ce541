"""Grammar: which event may come next in a log, and with what in it.

Owns what every log that dovetail writes keeps, said once for logs that come from
elsewhere: whatever is accepted by this, every reader can read. It knows where a log
stands, by its events or, where it goes on behind stored ones, by its rows. Not for what
is written here, which the rooms that decide it keep in order.
"""

import os
import re
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any, TypeVar

from ..ports import Reader
from ..values import events as e
from ..values.errors import DovetailError, InvalidValueError
from ..values.generation import Generation
from ..values.ids import check_caller_id
from ..values.messages import Usage
from ..values.output import Output
from ..values.prompt import Budget, Prompt, check_instructions, check_key
from ..values.todo import checked_todos
from .reading import events_between

E = TypeVar("E", bound=e.Event)

LATEST = 253_402_300_799_999
"""The last millisecond of the year 9999, the last that a calendar can show."""

MOST_TOKENS = 10**12
"""More than any request can use; sums of these stay within what can be stored."""

MOST_REQUESTS = 10**6
"""More than one event tells of."""

MOST_EVENTS = 2**53
"""More than any log has; the last number that every reader of JSON has exactly."""

_DIGEST = re.compile(r"[0-9a-f]{64}")

LONGEST_PATH = 4096
LONGEST_NAME = 200


class Grammar:
    """Where one log stands, as far as what may come next depends on it."""

    def __init__(self, rows: Reader, session_id: str) -> None:
        self._rows = rows
        self._session_id = session_id
        # Of what came since: the state of inputs, requests and jobs, and the ids of
        # messages.
        self._inputs: dict[str, str] = {}
        self._requests: dict[str, bool] = {}
        self._jobs: dict[str, bool] = {}
        self._messages: set[str] = set()
        self._epoch: bool | None = None
        self._open: str | None = None
        self._calls: dict[str, bool] = {}
        """Of the open message, by id: whether it has its settlement."""
        self._resume()

    def _resume(self) -> None:
        """Find the Step that is open where the log goes on."""
        for row in self._rows.open_messages(self._session_id)[-1:]:
            self._open = row.id
            for event in events_between(
                self._rows, self._session_id, row.body_seq, None
            ):
                if getattr(event, "message_id", None) != row.id:
                    continue
                if isinstance(event, e.ToolCalled):
                    self._calls[event.call_id] = False
                elif isinstance(event, e.ToolSucceeded | e.ToolFailed):
                    self._calls[event.call_id] = True

    def problem(self, event: e.Event) -> str | None:
        """Return why an event cannot come next; one that can is taken in."""
        if not 0 <= event.created <= LATEST:
            return f"its time, {event.created}, is none"
        try:
            problem = next(_wrong_fields(event), None)
        except DovetailError as error:
            problem = str(error)
        rule = _RULES.get(type(event))
        return problem or (rule(self, event) if rule is not None else None)

    # --- the inbox ----------------------------------------------------------------

    def _input(self, input_id: str) -> str | None:
        if input_id not in self._inputs:
            row = self._rows.input(self._session_id, input_id)
            return None if row is None else row.state
        return self._inputs[input_id]

    def _admitted(self, event: e.PromptAdmitted) -> str | None:
        if self._input(event.input_id) is not None or self._is_message(event.input_id):
            return f"there is an input {event.input_id!r} already"
        self._inputs[event.input_id] = "pending"
        return None

    def _input_moves(
        self, event: e.PromptPromoted | e.PromptWithdrawn | e.PromptRedelivered
    ) -> str | None:
        if self._input(event.input_id) != "pending":
            return f"no input {event.input_id!r} waits"
        if isinstance(event, e.PromptPromoted):
            self._inputs[event.input_id] = "promoted"
            self._messages.add(event.input_id)
        elif isinstance(event, e.PromptWithdrawn):
            self._inputs[event.input_id] = "withdrawn"
        return None

    def _removal(self, _: e.SessionRemoved) -> str:
        return "a removal does not travel; a session is removed where it is"

    # --- messages -----------------------------------------------------------------

    def _is_message(self, message_id: str) -> bool:
        if message_id in self._messages:
            return True
        return self._rows.message(self._session_id, message_id) is not None

    def _appears(
        self,
        event: e.NoticeAdded | e.ContextUpdated | e.CompactionEnded | e.StepStarted,
    ) -> str | None:
        message_id = event.message_id
        if self._is_message(message_id) or self._input(message_id) is not None:
            return f"there is a message {message_id!r} already"
        if isinstance(event, e.ContextUpdated) and not self._has_epoch():
            return "an update without an epoch"
        if isinstance(event, e.StepStarted):
            if self._open is not None:
                return f"the Step of message {self._open!r} is not settled"
            self._open, self._calls = message_id, {}
        self._messages.add(message_id)
        return None

    def _has_epoch(self) -> bool:
        if self._epoch is None:
            self._epoch = self._rows.epoch(self._session_id) is not None
        return self._epoch

    def _availability(self, _: e.AvailabilityChanged) -> str | None:
        return None if self._has_epoch() else "an update without an epoch"

    def _epoch_started(self, _: e.EpochStarted) -> None:
        self._epoch = True

    # --- Steps --------------------------------------------------------------------

    def _of_open(self, event: Any) -> str | None:
        if event.message_id != self._open:
            return f"no Step of message {event.message_id!r} runs"
        return None

    def _called(self, event: e.ToolCalled) -> str | None:
        if event.call_id in self._calls:
            return f"there is a call {event.call_id!r} already"
        problem = self._of_open(event)
        if problem is None:
            self._calls[event.call_id] = False
        return problem

    def _of_call(
        self,
        event: e.ToolStarted
        | e.ToolSpawned
        | e.ToolProceeded
        | e.TodosReplaced
        | e.JobStarted
        | e.ToolSucceeded
        | e.ToolFailed,
    ) -> str | None:
        problem = self._of_open(event)
        if problem is not None:
            return problem
        if self._calls.get(event.call_id, True):
            return f"no call {event.call_id!r} is open"
        if isinstance(event, e.ToolSucceeded | e.ToolFailed):
            self._calls[event.call_id] = True
        return None

    def _given(self, event: e.OutputAccepted | e.OutputRefused) -> str | None:
        if self._input(event.input_id) != "promoted":
            return f"no input {event.input_id!r} was promoted"
        if not self._is_message(event.message_id):
            return f"there is no message {event.message_id!r}"
        return None

    def _settled(self, event: e.StepEnded | e.StepFailed) -> str | None:
        problem = self._of_open(event)
        if problem is None and not all(self._calls.values()):
            return "a call of the Step has no settlement"
        if problem is None:
            self._open = None
        return problem

    def _fell_back(self, event: e.ModelFellBack) -> str | None:
        if event.message_id is not None:
            return self._of_open(event)
        if self._open is not None:
            return f"the Step of message {self._open!r} is not settled"
        return None

    # --- going back ---------------------------------------------------------------

    def _turned(self, event: e.SessionReverted | e.SessionUnreverted) -> str | None:
        if self._open is not None:
            return f"the Step of message {self._open!r} is not settled"
        if isinstance(event, e.SessionReverted) and not 0 < event.first <= event.seq:
            return f"{event.first} is no event before it"
        if event.todos is not None and not -1 <= event.todos < event.seq:
            return f"{event.todos} is no event before it"
        return None

    # --- requests -----------------------------------------------------------------

    def _waits(self, request_id: str) -> bool | None:
        """Return whether a request waits, or None where there is none."""
        if request_id not in self._requests:
            row = self._rows.request(self._session_id, request_id)
            return None if row is None else row.answered_seq is None
        return self._requests[request_id]

    def _asked(self, event: e.RequestAsked) -> str | None:
        if self._waits(event.request_id) is False:
            return f"request {event.request_id!r} has its end"
        self._requests[event.request_id] = True
        return None

    def _answered(self, event: e.RequestAnswered) -> str | None:
        if not self._waits(event.request_id):
            return f"no request {event.request_id!r} waits"
        self._requests[event.request_id] = False
        return None

    # --- jobs ---------------------------------------------------------------------

    def _runs(self, job_id: str) -> bool | None:
        """Return whether a job runs, or None where there is none."""
        if job_id not in self._jobs:
            row = self._rows.job(self._session_id, job_id)
            return None if row is None else row.ended_seq is None
        return self._jobs[job_id]

    def _job_started(self, event: e.JobStarted) -> str | None:
        problem = self._of_call(event)
        if problem is None and self._runs(event.job_id) is not None:
            return f"there is a job {event.job_id!r} already"
        self._jobs[event.job_id] = True
        return problem

    def _job_wanted(self, event: e.JobWanted) -> str | None:
        if event.message_id != self._open or event.call_id not in self._calls:
            return f"no call {event.call_id!r} runs"
        return None

    def _job_ended(self, event: e.JobEnded) -> str | None:
        if not self._runs(event.job_id):
            return f"no job {event.job_id!r} runs"
        self._jobs[event.job_id] = False
        return None


_RULES: dict[type[e.Event], Callable[[Grammar, Any], str | None]] = {
    e.PromptAdmitted: Grammar._admitted,
    e.PromptPromoted: Grammar._input_moves,
    e.PromptWithdrawn: Grammar._input_moves,
    e.PromptRedelivered: Grammar._input_moves,
    e.NoticeAdded: Grammar._appears,
    e.ContextUpdated: Grammar._appears,
    e.AvailabilityChanged: Grammar._availability,
    e.CompactionEnded: Grammar._appears,
    e.EpochStarted: Grammar._epoch_started,
    e.StepStarted: Grammar._appears,
    e.RetryScheduled: Grammar._of_open,
    e.ModelFellBack: Grammar._fell_back,
    e.TextEnded: Grammar._of_open,
    e.ReasoningEnded: Grammar._of_open,
    e.FileMade: Grammar._of_open,
    e.ToolCalled: Grammar._called,
    e.ToolStarted: Grammar._of_call,
    e.ToolSpawned: Grammar._of_call,
    e.ToolProceeded: Grammar._of_call,
    e.TodosReplaced: Grammar._of_call,
    e.ToolSucceeded: Grammar._of_call,
    e.ToolFailed: Grammar._of_call,
    e.StepEnded: Grammar._settled,
    e.StepFailed: Grammar._settled,
    e.OutputAccepted: Grammar._given,
    e.OutputRefused: Grammar._given,
    e.SessionReverted: Grammar._turned,
    e.SessionUnreverted: Grammar._turned,
    e.RequestAsked: Grammar._asked,
    e.RequestAnswered: Grammar._answered,
    e.JobStarted: Grammar._job_started,
    e.JobEnded: Grammar._job_ended,
    e.JobWanted: Grammar._job_wanted,
    e.SessionRemoved: Grammar._removal,
}


# --- fields -----------------------------------------------------------------------


def _wrong_fields(event: e.Event) -> Iterator[str]:
    """Yield what is wrong with the fields of an event, as far as a type cannot say it.

    Raises:
        InvalidValueError: as whoever said it here would have been told.
    """
    for name in ("input_id", "message_id", "request_id", "job_id"):
        value = getattr(event, name, None)
        if value is not None:
            check_caller_id(name, value)
    usage = getattr(event, "usage", None)
    if usage is not None:
        yield from _wrong_usage(usage)
    Budget.checked(getattr(event, "budget", None))
    Generation.checked(getattr(event, "generation", None))
    if not isfinite(getattr(event, "cost", None) or 0.0):
        yield "its cost is no number"
    if not 0 <= getattr(event, "unpriced", 0) <= MOST_REQUESTS:
        yield "its number of requests is none"
    if isinstance(event, e.SessionCreated):
        directory = event.directory
        if (
            not os.path.isabs(directory)
            or "\0" in directory
            or len(directory) > LONGEST_PATH
        ):
            raise InvalidValueError("directory", directory, "an absolute path")
    if isinstance(event, e.SessionCreated):
        yield from _long("title", event.title)
        yield from _wrong_lineage(event)
    elif isinstance(event, e.ChildSpent | e.ChildAsked):
        check_caller_id("child", event.child)
        if event.child == event.session_id:
            yield "its child is itself"
        if not 0 <= getattr(event, "steps", 0) <= 1:
            yield "it is of one Step, or of none"
    elif isinstance(event, e.TodosReplaced):
        checked_todos(event.todos)
    elif isinstance(event, e.SessionTitled):
        yield from _long("title", event.title)
    elif isinstance(event, e.SessionInstructed):
        check_instructions(event.instructions)
    elif isinstance(event, e.PromptAdmitted):
        Prompt.of(event.prompt)
        if event.output is not None:
            Output.checked(event.output)
        if event.key is not None:
            check_key(event.key)
    elif isinstance(event, e.FileMade):
        yield from _no_numbers(event.bytes)
        if event.managed is not None and not _DIGEST.fullmatch(event.managed):
            yield "its managed is no SHA-256"
    elif isinstance(event, e.RetryScheduled):
        if not (0 <= event.delay_ms <= LATEST and event.attempt >= 1):
            yield "its attempt and delay are none"
    elif isinstance(event, e.CompactionEnded | e.CompactionStarted):
        yield from _wrong_compaction(event)
    elif isinstance(event, e.OutputsShortened):
        numbers = (abs(event.before), event.longest, event.results)
        yield from _no_numbers(*numbers, event.tokens_before, event.tokens_after)
    elif isinstance(event, e.ContinuationAccepted) and event.attempt < 0:
        yield "its attempt is none"
    for name in ("within", "policy"):
        digest = getattr(event, name, None)
        if digest is not None and not _DIGEST.fullmatch(digest):
            yield f"its {name} is no SHA-256"
    if isinstance(event, e.JobStarted) and event.session is not None:
        check_caller_id("session", event.session)
    fallback: tuple[str, ...] = getattr(event, "fallback", None) or ()
    if isinstance(event, e.FallbackSet):
        fallback = event.models or ()
    elif isinstance(event, e.ModelFellBack):
        fallback = (event.next,)
    for model in (getattr(event, "model", None), *fallback):
        if model is not None and not all(model.partition("/")):
            raise InvalidValueError("model", model, "it is named provider/model")


def _wrong_compaction(event: e.CompactionEnded | e.CompactionStarted) -> Iterator[str]:
    yield from _no_numbers(event.requested or 0)
    if isinstance(event, e.CompactionStarted):
        yield from _no_numbers(event.tokens, event.limit or 0)
        return
    # In a fork, what it shares is numbered down from -1.
    yield from _no_numbers(
        *(abs(event.kept), event.longest or 0, event.replaced),
        *(event.tokens_before, event.tokens_after),
        *(abs(one.seq) for one in event.said),
    )


def _no_numbers(*counts: int) -> Iterator[str]:
    for count in counts:
        if not 0 <= count <= MOST_EVENTS:
            yield f"{count} is no place and no count"


def _long(name: str, value: str | None) -> Iterator[str]:
    if value is not None and len(value) > LONGEST_NAME:
        yield f"its {name} has more than {LONGEST_NAME} characters"


def _wrong_lineage(event: e.SessionCreated) -> Iterator[str]:
    """Yield why it cannot be whose child or fork it says; neither need be here."""
    for name in ("parent", "forked_from"):
        other = getattr(event, name)
        if other is not None:
            check_caller_id(name, other)
        if other == event.session_id:
            yield f"its {name} is itself"
    if (event.forked_from is None) != (event.forked_seq is None):
        yield "whose past it shares, and up to which event, belong together"
    if not 0 <= (event.forked_seq or 0) <= MOST_EVENTS:
        yield f"{event.forked_seq} is no event"


def _wrong_usage(usage: Usage) -> Iterator[str]:
    for count in (
        usage.input,
        usage.output,
        usage.reasoning,
        usage.cache_read,
        usage.cache_write,
    ):
        if not 0 <= (count or 0) <= MOST_TOKENS:
            yield f"{count} is no number of tokens"
