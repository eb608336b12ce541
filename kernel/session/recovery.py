"""Recovery: what to do with a Step that nobody is running any more.

Owns the settlement of what a killed or interrupted process left open. An open call is
never run again: whether it took effect is not known, and the model is told just that.
"""

from ..values.events import Event, StepFailed, ToolFailed
from ..values.messages import AssistantMessage, ToolPart
from ..values.tool import Failure

INTERRUPTED = "tool.interrupted"
NOT_STARTED = "tool.not_started"


def settle_open(message: AssistantMessage, why: str) -> list[Event]:
    """Return the events that settle a message: each open call, then the Step.

    The transcript that results has a result for every call (law tools.2).
    """
    events: list[Event] = [
        ToolFailed(
            session_id=message.session_id,
            message_id=message.id,
            call_id=part.call_id,
            failure=_call_failure(part, why),
        )
        for part in message.calls
        if not part.settled
    ]
    events.append(
        StepFailed(
            session_id=message.session_id,
            message_id=message.id,
            failure=Failure("execution.interrupted", why),
        )
    )
    return events


def _call_failure(part: ToolPart, why: str) -> Failure:
    if part.state == "called":
        return Failure(NOT_STARTED, f"The call did not start: {why}.")
    return Failure(
        INTERRUPTED,
        f"The call was cut off ({why}). It may have had its effect, wholly, partly or "
        "not at all, and it was not repeated. Check before you rely on either.",
    )
