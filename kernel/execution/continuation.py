"""The Continuation Report: what is trusted, and what must be re-checked.

Owns the report as a value and how it is computed: from the log, from the services as
they are now, and from the working tree. Decides nothing; ``recovery`` does.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from anyio import to_thread
from attrs import field

from ..access.policy import policy_at
from ..context.algebra import same, source_of, topic_of
from ..context.registry import SessionSampler
from ..contracts import Rule
from ..history.history import History
from ..history.messages import Progress, Receipt
from ..jobs.record import job_at
from ..location.services import LocationServices
from ..log.commit import EventLog, WorkLog
from ..ports import Reader
from ..values.codec import dumps, field_names, to_json
from ..values.errors import DovetailError, EventDamagedError
from ..values.events import FactsRecorded
from ..values.frozen import frozen
from ..values.ids import SessionId
from ..values.job import JobState
from ..values.location import Location
from ..values.messages import ToolPart
from ..values.tool import EffectClass
from .children import begun_by
from .facts import facts_now

Known = Literal["completed", "not_started", "unknown"]
Action = Literal["none", "run", "check", "settle"]

MAX_FILE_BYTES = 16_777_216
"""A larger file is not read again; it is reported as not checked."""


@frozen
class OpenCall:
    """A call of the Step that was cut off, and what will be done with it."""

    call_id: str
    """Which call it is, as the provider named it; unique within its message."""
    message_id: str
    """The message that was cut off."""
    tool: str
    """The tool that was called."""
    effect: EffectClass | None
    """What a repeat would do, as the tool declared it; None when it did not."""
    known: Known
    """``not_started``: it is proven that its effect had not begun (law recovery.3)."""
    action: Action
    """``run`` again with the same effect token, ``check`` with the tool first, or
    ``settle`` as interrupted."""
    done: tuple[str, ...] = ()
    """Of several things that it does, those that it had done, in its words."""
    doing: tuple[str, ...] = ()
    """What it was doing, so that it may or may not be done; it began nothing after."""


@frozen
class OpenJob:
    """A job that had not ended when the execution was left."""

    job_id: str
    """Which job of the session it is."""
    title: str
    """What it does: of a command, the command."""
    found: JobState
    """``running``: it is alive, and goes on. Otherwise how it ended meanwhile, which
    the model is told by an input: ``lost`` when nothing says how. No job is ever begun
    again (law jobs.3)."""


@frozen
class Moved:
    """One fact that is not as it was at the trusted position."""

    code: str
    """Such as ``tool.changed``, ``rules.changed``, ``file.changed``; ``log.imported``
    where what was left was left in another store."""
    what: str
    """The name of the thing: a tool, a path, a key, a plugin."""
    before: str | None = None
    """What it was; None when it was not there."""
    after: str | None = None
    """What it is; None when it is not there any more."""


@frozen
class ContinuationReport:
    """What the runtime trusts of a session and what must be re-checked."""

    session_id: SessionId
    """Which session it is about."""
    location: Location
    """Where the session works."""
    trusted_seq: int
    """The last event of the execution that was left."""
    trusted_hash: str
    """Its chain hash, in hexadecimal: everything before it is as it was written."""
    previous_owner: str | None
    """Which worker ran it; None when it never ran."""
    ended: Literal["never", "ended", "lost", "running"]
    """``lost``: that worker left no durable end and holds no lease any more. What
    became of it is not known: it may have died, or hang. ``running``: its lease holds.
    No part of the digest: a report is the same while a lease runs out."""
    pending: tuple[str, ...]
    """Inputs that wait, in order."""
    promoted: tuple[str, ...]
    """Inputs that the execution made visible."""
    withdrawn: tuple[str, ...]
    """Inputs that were taken back before they became visible."""
    calls: tuple[OpenCall, ...]
    """The calls of the message that was cut off, with what is known of each."""
    moved: tuple[Moved, ...]
    """What is not as it was when the execution was left."""
    jobs: tuple[OpenJob, ...] = ()
    """What went on beside it. No part of the digest, nor in doubt: a job goes on, or
    ends, whether or not the session does."""
    restoring: tuple[str, ...] = ()
    """Files that a revert, or its undoing, was about to restore when whoever did it was
    cut off. No part of the digest, nor in doubt: that is finished before the model goes
    on (law travel.4)."""
    children: tuple["ContinuationReport", ...] = ()
    """What was left of the sessions that work for this one: of those that an open call
    began, and of those that are jobs. Whoever accepts this accepts them."""
    digest: str = field(init=False)
    """Names exactly this report; accept it with ``resume(accept=digest)``."""

    @digest.default
    def _compute_digest(self) -> str:
        fields = {
            name: to_json(getattr(self, name))
            for name in field_names(type(self))
            if name not in ("digest", "ended", "jobs", "restoring")
        }
        return hashlib.sha256(dumps(fields)).hexdigest()[:32]

    @property
    def clean(self) -> bool:
        """Whether nothing is unknown and nothing moved."""
        return (
            not self.moved
            and all(call.known != "unknown" for call in self.calls)
            and all(child.clean for child in self.children)
        )


async def report_of(
    log: EventLog | WorkLog, services: LocationServices, history: History, taker: str
) -> ContinuationReport:
    """Compute the report of a session as things are now.

    ``taker`` is the worker that may go on with it: a lease of its own holds nothing.
    Empty for one that only looks.
    """
    session_id = SessionId(history.session_id)
    left = history.last_execution

    def look(
        rows: Reader,
    ) -> tuple[tuple[str, ...], str, bool, tuple[OpenJob, ...]]:
        lease = rows.lease(session_id)
        trusted = rows.events(
            session_id, after=left.trusted - 1, limit=1, upto=left.trusted
        )
        return (
            tuple(row.id for row in rows.pending_inputs(session_id)),
            trusted[0].hash.hex() if trusted else "",
            lease is not None
            and lease.owner != taker
            and log.lookout.seems_held(lease),
            tuple(_jobs(rows, session_id, left.trusted)),
        )

    pending, trusted_hash, held, jobs = await log.read(look)
    return ContinuationReport(
        session_id=session_id,
        location=services.location,
        trusted_seq=left.trusted,
        trusted_hash=trusted_hash,
        previous_owner=left.owner,
        ended=(
            "never"
            if left.owner is None
            else "running"
            if left.running and held
            else "lost"
            if left.running or left.unaccepted
            else "ended"
        ),
        pending=pending,
        promoted=tuple(left.promoted),
        withdrawn=tuple(left.withdrawn),
        calls=tuple(_calls(history)),
        moved=(
            *([Moved("log.imported", session_id)] if left.imported else ()),
            *(await _facts_moved(log, services, history)),
            *(await _context_moved(services, history)),
            *(await to_thread.run_sync(lambda: list(_files_moved(history)))),
        ),
        jobs=jobs,
        restoring=tuple(_restored(history)),
        children=tuple(
            [
                await report_of(log, services, child, taker)
                for child in await _children_left(log, history)
            ]
        ),
    )


async def _children_left(
    log: EventLog | WorkLog, history: History
) -> Sequence[History]:
    """Return the sessions that work for a session and were left as it was."""
    message = history.open
    names = [
        child
        for part in (message.calls if message else ())
        if not part.settled
        for child in begun_by(history.deeds(part.call_id))
    ]
    found = []
    for child in dict.fromkeys([*names, *history.background.values()]):
        below = History(child)
        try:
            await log.read(below.catch_up)
        except EventDamagedError:
            continue  # whoever runs it is told
        left = below.last_execution
        if below.parent == history.session_id and (left.running or left.unaccepted):
            found.append(below)
    return found


def _jobs(rows: Reader, session_id: str, trusted: int) -> Iterator[OpenJob]:
    for row in rows.jobs(session_id):
        if row.ended_seq is None or row.ended_seq > trusted:
            job = job_at(rows, row)
            if job is not None:
                yield OpenJob(job.id, job.title, job.state)


def _calls(history: History) -> Iterator[OpenCall]:
    message = history.open
    for part in message.calls if message else ():
        known = _known(part, history.progress(part.call_id))
        assert message is not None
        receipt = Receipt() if part.settled else history.receipt(part.call_id)
        yield OpenCall(
            part.call_id,
            message.id,
            part.tool,
            part.effect,
            known,
            _action(known, part.effect),
            receipt.done,
            receipt.doing,
        )


def _known(part: ToolPart, progress: Progress) -> Known:
    if part.settled:
        return "completed"
    # A tool asks before its effect: one that did not go on from its first question
    # has not begun. Whether that was answered meanwhile makes no difference.
    return "not_started" if progress in ("called", "asking") else "unknown"


def _action(known: Known, effect: EffectClass | None) -> Action:
    if known == "completed":
        return "none"
    if effect is None:
        return "settle"
    if known == "not_started" or effect in ("pure", "idempotent"):
        return "run"
    return "check" if effect == "reconcilable" else "settle"


# --- what moved -------------------------------------------------------------------


async def _facts_moved(
    log: EventLog | WorkLog, services: LocationServices, history: History
) -> list[Moved]:
    before = history.facts
    if before is None:
        return []
    row, approvals = await log.read(
        lambda rows: (
            rows.session(history.session_id),
            services.permissions.approvals.ids(rows, history.session_id),
        )
    )
    assert row is not None
    try:
        profile = services.agent(row.agent)
    except DovetailError as error:
        return [Moved("agent.gone", before.agent, None, error.code)]
    model = row.model or ""
    moved = []
    try:
        model = history.fallen.current or services.model_for(profile, row.model)
        model = services.catalog.resolve(model).name
        tried = history.fallen.tried
        if before.model in {*tried, *(one.rpartition(":")[0] for one in tried)}:
            # Another one goes on for it, and nothing rests on that yet.
            model = before.model
    except DovetailError as error:
        moved.append(Moved("model.gone", model, None, error.code))
    above: tuple[Rule, ...] = ()
    only: tuple[str, ...] | None = None
    if history.within is not None:
        digest = history.within
        bound = await log.read(lambda rows: policy_at(rows, digest))
        above, only = bound.bound(), bound.tools
    after = facts_now(
        before.session_id,
        services,
        profile.name,
        model,
        approvals,
        services.advertise(profile, model, only),
        (*services.rules(profile.name), *above),
    )
    return [*moved, *_compared(before, after)]


def _compared(before: FactsRecorded, after: FactsRecorded) -> Iterator[Moved]:
    if before.agent != after.agent:
        yield Moved("agent.changed", "agent", before.agent, after.agent)
    if before.model != after.model:
        yield Moved("model.changed", "model", before.model, after.model)
    if before.rules != after.rules:
        yield Moved("rules.changed", after.agent, before.rules, after.rules)
    yield from _mapping_moved("tool", before.tools, after.tools)
    yield from _mapping_moved("plugin", before.plugins, after.plugins)
    for gone in sorted(set(before.approvals) - set(after.approvals)):
        yield Moved("approval.removed", gone, gone)
    for new in sorted(set(after.approvals) - set(before.approvals)):
        yield Moved("approval.added", new, None, new)


def _mapping_moved(
    noun: str, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[Moved]:
    for name in sorted({**before, **after}):
        was, now = before.get(name), after.get(name)
        if was != now:
            change = "added" if was is None else "removed" if now is None else "changed"
            yield Moved(f"{noun}.{change}", name, was, now)


async def _context_moved(services: LocationServices, history: History) -> list[Moved]:
    epoch = history.epoch
    if epoch.baseline is None:
        return []
    view = history.view(services.agent_name(history.wanted[0]))
    snapshot = await SessionSampler(services.context).sample(view)
    now = snapshot.digests
    known = {topic_of(key): was for key, was in epoch.sources.items()}
    brought = set(map(topic_of, now))
    moved = []
    for key in sorted({**epoch.sources, **now}):
        was, current = epoch.sources.get(key), now.get(key)
        source = source_of(key)
        topic = topic_of(key)
        if current is None:
            if topic in brought:
                continue  # another source brings it
            away = source in snapshot.unavailable
            code = "context.unavailable" if away else "context.removed"
            moved.append(Moved(code, key, was))
        elif was is None:
            if topic in known and same(known[topic], current):
                continue
            if source not in epoch.left_out:
                moved.append(Moved("context.added", key, was, current))
            # Otherwise nothing moved: it will be told at the next boundary.
        elif not same(was, current):
            moved.append(Moved("context.changed", key, was, current))
    return moved


def _restored(history: History) -> Mapping[str, tuple[str | None, str | None]]:
    """Return the files that are about to be restored, with what each may hold."""
    turn = history.restoring
    return {one.path: (one.before, one.after) for one in turn.files} if turn else {}


def _files_moved(history: History) -> Iterator[Moved]:
    restored = _restored(history)
    for path, was in sorted(history.files.items()):
        now = _file_digest(Path(path))
        if now in restored.get(path, ()):
            continue
        if now == "unchecked":
            yield Moved("file.unchecked", path, was)
        elif now != was:
            yield Moved("file.changed" if now else "file.removed", path, was, now)


def _file_digest(path: Path) -> str | None:
    """Return the SHA-256 of a file, None when it is gone, or ``unchecked``."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            return "unchecked" if path.exists() else None
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unchecked"
