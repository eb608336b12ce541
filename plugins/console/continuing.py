"""Continuing: what an earlier worker left, found and told to a person.

Owns how the Continuation Report is shown, and finding out whether a process that left
no end is still at work. Decides nothing: a person, an option or a prompt does.
"""

import math
import time
from collections.abc import Callable, Sequence

import anyio
from attrs import frozen
from dovetail.kernel import (
    CONTINUATION_UNACCEPTED,
    AssistantMessage,
    ContinuationReport,
    Input,
    Json,
    Moved,
    OpenCall,
    OpenJob,
    Session,
    SessionInfo,
)

from .calls import call_title
from .terminal import Style, counted, first_line, short, visible

LOOK_SECONDS = 0.05
MAX_MOVED = 40
"""Facts that are named one by one; ``--json`` has all of them."""
MAX_WHAT = 200
MAX_PROMPT = 72

# Facts whose earlier and later values say something to a person.
_TELLING = ("agent.", "model.", "plugin.")


@frozen
class LeftWork:
    """What an earlier process left of a session, and what waits there."""

    report: ContinuationReport
    cut: AssistantMessage | None
    """The message that was cut off."""
    pending: Sequence[Input]

    @property
    def open(self) -> Sequence[OpenCall]:
        """The calls without a settlement."""
        return [call for call in self.report.calls if call.known != "completed"]


async def left_work(session: Session, info: SessionInfo) -> LeftWork | None:
    """Return what was left, or None when the last execution has an end of its own.

    Cheap where nothing was left. Ask only when no process holds the session: what is
    about to be done by somebody is not left.
    """
    reason = info.outcome.reason
    unaccepted = reason is not None and reason.code == CONTINUATION_UNACCEPTED
    if info.status == "idle" and not unaccepted:
        return None
    report = await session.continuation()
    cut = None
    if report.calls:
        found = await session.message(report.calls[0].message_id)
        cut = found if isinstance(found, AssistantMessage) else None
    return LeftWork(report, cut, await session.pending())


async def is_alive(
    session: Session, tell: Callable[[int], None], patience: float = math.inf
) -> bool:
    """Return whether a process works on the session; one that died is waited for.

    ``tell`` hears of how many seconds that takes at most, if any. After ``patience``
    seconds without a sign of life or its absence, a process counts as alive.
    """
    first = now = await session.held_until()
    if first is None:
        return False
    with anyio.move_on_after(patience) as limit:
        # Never less than none, where the clock was set forward meanwhile.
        tell(max(math.ceil(min(patience, first / 1000 - time.time())), 0))
        while now == first:
            await anyio.sleep(LOOK_SECONDS)
            now = await session.held_until()
    return limit.cancelled_caught or now is not None


# --- for a person -----------------------------------------------------------------


def report_lines(left: LeftWork, style: Style) -> list[str]:
    """Return the report, a line per thing that one must know before going on."""
    report = left.report
    lines = [
        *_where(report),
        *_calls(left, style),
        *_moved(report.moved, style),
        *_jobs(report.jobs),
        *_restoring(report.restoring),
        *_waiting(left.pending),
    ]
    return [*lines, f"report {style.strong(visible(report.digest))}"]


def short_lines(left: LeftWork, style: Style) -> list[str]:
    """Return the report in short, for who accepts it by a new prompt."""
    report = left.report
    unknown = sum(call.known == "unknown" for call in report.calls)
    told = f"{_summary(unknown, len(report.moved))}; this prompt accepts it"
    return [told, *(_calls(left, style) if left.open else ())]


def summary(report: Json) -> str:
    """Return in one line what a recorded report says: it may be of any making."""
    told = report if isinstance(report, dict) else {}
    calls = told.get("calls")
    moved = told.get("moved")
    known = [call.get("known") for call in _list(calls) if isinstance(call, dict)]
    return _summary(known.count("unknown"), len(_list(moved)))


def _summary(unknown: int, moved: int) -> str:
    found = []
    if unknown:
        found.append(f"{counted(unknown, 'call')} of unknown outcome")
    if moved:
        found.append(f"{counted(moved, 'thing')} moved")
    told = ", ".join(found) or "no outcome is unknown and nothing moved"
    return f"left unfinished: {told}"


def acceptance(by: str) -> str:
    """Return in a few words who let a session go on."""
    words = {
        "person": "accepted by a person",
        "prompt": "accepted by a new prompt",
        "clean": "nothing was in doubt",
        "policy": "as configured",
    }
    return f"going on: {words.get(by) or f'accepted by {short(by, 40)}'}"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _where(report: ContinuationReport) -> list[str]:
    owner = f" ({visible(report.previous_owner)})" if report.previous_owner else ""
    ended = {
        # Not that its process ended: it may hang, and nobody here can tell.
        "lost": f"the worker that ran this session{owner} recorded no end of it",
        "ended": f"the last run of this session{owner} ended",
        "running": f"a worker{owner} runs this session",
        "never": "this session never ran",
    }[report.ended]
    position = f"trusted: up to event {report.trusted_seq}, {report.trusted_hash[:16]}"
    return [ended, position]


def _calls(left: LeftWork, style: Style) -> list[str]:
    parts = {part.call_id: part for part in left.cut.calls} if left.cut else {}
    lines = []
    for call in left.report.calls:
        part = parts.get(call.call_id)
        title = call_title(call.tool, part.arguments if part else "")
        colour = style.bad if call.known == "unknown" else style.dim
        lines.append(f"  * {title} - {colour(_known(call))}")
        lines += [f"      done: {visible(text)}" for text in call.done]
        lines += [f"      done or not: {visible(text)}" for text in call.doing]
    return ["calls of the Step that was cut off:", *lines] if lines else []


def _known(call: OpenCall) -> str:
    if call.known == "completed":
        return "completed"
    known = {
        "not_started": "not started",
        "unknown": "outcome unknown",
    }[call.known]
    action = {
        "none": "nothing is done",
        "run": "it runs" + (" again" if call.known == "unknown" else ""),
        "check": "its tool looks what became of it",
        "settle": "not repeated, and the model is told so",
    }[call.action]
    effect = f" ({call.effect})" if call.effect and call.known == "unknown" else ""
    return f"{known}{effect}: {action}"


def _moved(moved: Sequence[Moved], style: Style) -> list[str]:
    if not moved:
        return ["moved since: nothing"]
    lines = [f"  {_one_moved(one, style)}" for one in moved[:MAX_MOVED]]
    if len(moved) > MAX_MOVED:
        lines.append(f"  and {len(moved) - MAX_MOVED} more, which --json names")
    return ["moved since:", *lines]


def _one_moved(one: Moved, style: Style) -> str:
    line = f"{visible(one.code)} {short(one.what, MAX_WHAT)}"
    if not one.code.startswith(_TELLING):
        return line
    was, now = (short(text or "-", MAX_WHAT) for text in (one.before, one.after))
    return f"{line} {style.dim(f'({was} -> {now})')}"


def _jobs(jobs: Sequence[OpenJob]) -> list[str]:
    lines = [
        f"  {visible(one.found.replace('_', ' '))}: {short(one.title, MAX_WHAT)}"
        for one in jobs
    ]
    return ["jobs, which are not begun again:", *lines] if lines else []


def _restoring(paths: Sequence[str]) -> list[str]:
    if not paths:
        return []
    lines = [f"  {short(one, MAX_WHAT)}" for one in paths[:MAX_MOVED]]
    if len(paths) > MAX_MOVED:
        lines.append(f"  and {len(paths) - MAX_MOVED} more, which --json names")
    return ["files that are restored before anything else:", *lines]


def _waiting(pending: Sequence[Input]) -> list[str]:
    lines = [f"  > {short(first_line(one.prompt.text), MAX_PROMPT)}" for one in pending]
    return ["waiting:", *lines] if lines else []
