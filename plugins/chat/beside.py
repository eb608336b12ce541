"""Beside the conversation: what happens to a session and is told in a line.

Owns these lines. Pure.
"""

from dovetail.kernel import (
    CompactionEnded,
    CompactionFailed,
    CompactionStarted,
    ContinuationAccepted,
    ContinuationReported,
    Event,
    FileMade,
    NoticeAdded,
    OutputsShortened,
    PluginDisabled,
    SessionMoved,
    SessionReverted,
    SessionUnreverted,
    UnreadableEvent,
)

from ..console.compaction import begun, compaction_text
from ..console.continuing import acceptance, summary
from ..console.terminal import first_line


def told_of(event: Event) -> str:
    """Return what is told of an event; nothing where it is not beside."""
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
            return compaction_text(event)
        case CompactionFailed():
            return f"no summary: {first_line(event.failure.message)}"
        case OutputsShortened():
            return f"{event.results} old results are shown shortened to the model"
        case PluginDisabled():
            why = first_line(event.failure.message)
            return f"plugin {event.plugin} is not called any more: {why}"
    return ""
