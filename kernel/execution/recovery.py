"""Recovery: going on with what another worker left, once that was accepted.

Owns the gate: before the first effect after a takeover there is a Continuation Report,
and execution goes on only after it was accepted, which is an event (law recovery.4).
Owns also how an open message is settled when nobody will go on with it.
"""

from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from ..history.history import History
from ..history.messages import Progress, Receipt
from ..location.services import LocationServices
from ..log.commit import LogTransaction
from ..ports import Reader
from ..requests.asking import withdrawals
from ..values.codec import to_json
from ..values.errors import CONTINUATION_UNACCEPTED, EXECUTION_INTERRUPTED
from ..values.events import (
    ContinuationAccepted,
    ContinuationReported,
    Event,
    StepFailed,
    ToolFailed,
)
from ..values.messages import AssistantMessage, ToolPart
from ..values.tool import EffectClass, Failure
from .coordinator import DrainControl, Outcome
from .execution import Execution

if TYPE_CHECKING:
    from .continuation import ContinuationReport

Policy = Literal["report", "clean", "always"]

LEFT = "whoever worked on it left no outcome"
"""Why a call or a Step of another worker is settled. Whether that worker ended, hangs
or was only fenced is not known, so nothing is said of it."""
STOPPED = "it was interrupted"
INTERRUPTED = "tool.interrupted"
NOT_STARTED = "tool.not_started"

MAX_TOLD = 100
"""Deeds of one call that the model is told of one by one."""
MAX_ATTEMPTS = 10
"""How often a session goes on by itself without one Step that ends (law recovery.6):
what kills the process every time must not do so for ever."""


async def admit(
    execution: Execution,
    services: LocationServices,
    control: DrainControl,
    policy: Policy,
) -> "ContinuationReport | None":
    """Return the accepted report of what was left, or None: the execution is paused.

    Acceptance, report and the new beginning are one commit. Without acceptance the
    report is recorded, and the execution ends as paused.
    """
    # Here, because few sessions are taken over.
    from .continuation import report_of

    await services.jobs.look(execution.session_id)
    while True:
        known = execution.history.seq
        report = await report_of(
            execution.log, services, execution.history, execution.owner.name
        )
        left = execution.history.last_execution
        events: list[Event] = []
        if left.reported != report.digest:
            events.append(
                ContinuationReported(
                    session_id=execution.session_id,
                    digest=report.digest,
                    report=to_json(report),
                )
            )
        by = _acceptance(report, control, policy, left.attempts)
        if by is None:
            paused = Outcome("paused", _why(report, left.attempts))
            pausing = partial(_pause, execution, events, paused)
            if await execution.commit(pausing, knowing=known):
                return None
            continue
        events += [
            ContinuationAccepted(
                session_id=execution.session_id,
                digest=report.digest,
                by=by,
                attempt=left.attempts + 1 if by in ("policy", "clean") else 0,
            ),
            *execution.opening(),
        ]
        if await execution.commit(partial(_begin, events), knowing=known):
            if by in ("person", "prompt"):
                execution.accepted = {
                    child.session_id: "prompt" if by == "prompt" else child.digest
                    for child in report.children
                }
            return report


def _acceptance(
    report: "ContinuationReport", control: DrainControl, policy: Policy, attempts: int
) -> str | None:
    if control.leave:
        return "revert"
    if control.accept == report.digest:
        return "person"
    if control.accept == "prompt":
        return "prompt"
    if attempts >= MAX_ATTEMPTS:
        return None
    if report.clean:
        return "clean"
    return "policy" if policy == "always" else None


def _why(report: "ContinuationReport", attempts: int) -> Failure:
    if attempts >= MAX_ATTEMPTS:
        return Failure(
            CONTINUATION_UNACCEPTED,
            f"it went on by itself {attempts} times without finishing a Step; look at "
            f"it, then accept report {report.digest}",
        )
    unknown = sum(call.known == "unknown" for call in report.calls)
    moved = len(report.moved)
    calls = "1 call has" if unknown == 1 else f"{unknown} calls have"
    return Failure(
        CONTINUATION_UNACCEPTED,
        f"{calls} an unknown outcome and {moved} {'fact' if moved == 1 else 'facts'} "
        f"moved; accept report {report.digest}, or prompt it, to go on",
    )


def _pause(
    execution: Execution, events: list[Event], outcome: Outcome, tx: LogTransaction
) -> Outcome:
    tx.append(*events, execution.ended(outcome))
    return outcome


def _begin(events: list[Event], tx: LogTransaction) -> None:
    tx.append(*events)


# --- settling ---------------------------------------------------------------------


def settle_open(
    rows: Reader, history: History, why: str, idle: Collection[str] = ()
) -> list[Event]:
    """Return the events that settle the open message of a session, if there is one:
    each open call, then the Step. ``idle`` are calls that whoever runs them knows not
    to have begun, whatever was recorded in advance.

    The transcript that results has a result for every call (law tools.2).
    """
    message = history.open
    if message is None:
        return []
    settled = [
        settled_call(
            message,
            part,
            "called" if part.call_id in idle else history.progress(part.call_id),
            why,
            history.receipt(part.call_id),
        )
        for part in message.calls
        if not part.settled
    ]
    return [*with_questions(rows, settled), cut_step(message, why)]


def with_questions(rows: Reader, settled: Sequence[ToolFailed]) -> list[Event]:
    """Return these settlements, after the end of what their calls still ask."""
    calls = {(one.message_id, one.call_id) for one in settled}
    events: list[Event] = []
    for session_id in {one.session_id for one in settled}:
        events += withdrawals(rows, session_id, calls)
    return [*events, *settled]


def settled_call(
    message: AssistantMessage,
    part: ToolPart,
    progress: Progress,
    why: str,
    receipt: Receipt,
) -> ToolFailed:
    """Return the settlement of a call that will not be repeated.

    ``progress`` is how far it may have come: of a call that is proven not to have begun
    nothing else is said (law recovery.7). ``receipt`` is what it recorded of itself.
    """
    return ToolFailed(
        session_id=message.session_id,
        message_id=message.id,
        call_id=part.call_id,
        failure=_call_failure(part.effect, progress, why, receipt),
    )


def cut_step(message: AssistantMessage, why: str) -> StepFailed:
    """Return the settlement of a Step that was cut off."""
    return StepFailed(
        session_id=message.session_id,
        message_id=message.id,
        failure=Failure(EXECUTION_INTERRUPTED, why),
        unpriced=1,  # nobody who lives knows how much of its answer was written
    )


def account(receipt: Receipt) -> str:
    """Return what a model is told of what a call did; empty where nothing is known."""
    told = []
    if receipt.done:
        told.append(f"It had done this: {_listed(receipt.done)}.")
    if receipt.doing:
        told.append(
            f"This may or may not be done: {_listed(receipt.doing)}. "
            "It began nothing after that."
        )
    return " ".join(told)


def _listed(deeds: Sequence[str]) -> str:
    """Return these in words; of very many the first ones and the last."""
    if len(deeds) > MAX_TOLD:
        half = MAX_TOLD // 2
        between = f"and {len(deeds) - 2 * half} between these"
        deeds = [*deeds[:half], between, *deeds[-half:]]
    return "; ".join(deeds)


def _call_failure(
    effect: EffectClass | None, progress: Progress, why: str, receipt: Receipt
) -> Failure:
    # What stands here is all that the model will ever know of the call. Each sentence
    # is true whoever stopped it, and whether that worker lives or not.
    if progress == "called":
        return Failure(NOT_STARTED, f"The call did not start: {why}.")
    if progress == "asking":
        return Failure(
            NOT_STARTED,
            f"The call did not start: {why} before what it asked was answered. It "
            "changed nothing.",
        )
    if effect == "pure":
        return Failure(
            INTERRUPTED,
            f"The call has no result: {why}. It changes nothing, so it can be made "
            "again.",
        )
    told = account(receipt)
    if told:
        return Failure(
            INTERRUPTED,
            f"The call was not finished: {why}. {told} It is not repeated by itself. "
            "Check before you go on from there.",
        )
    return Failure(
        INTERRUPTED,
        f"The outcome of the call is unknown: {why}. It may have had its effect, "
        "wholly, partly or not at all, and it is not repeated by itself. Check before "
        "you rely on either.",
    )
