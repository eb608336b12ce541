"""The operations of upkeep: what is done to logs from outside their conversations."""

from attrs import field, frozen
from dovetail.kernel import (
    CleanedOutputs,
    OutputPolicy,
    Pruned,
    Removed,
    Repaired,
    Retention,
)

from . import shapes as s
from .operation import Call, operation


@frozen
class PruneBody:
    """What is let go."""

    classes: tuple[Retention, ...] = field(
        default=("trace",),
        metadata={
            "description": "``trace`` is what only operators look at; with "
            "``transcript`` what was said is gone for good."
        },
    )
    before: int | None = None
    """The number of an event: from there on all stays whole."""
    with_forks: bool = False
    """Whether forks may lose what they share."""


@operation(
    "POST",
    "/api/session/{sessionID}/prune",
    "session.prune",
    body=PruneBody,
    answer=s.Data[Pruned],
    refusals=(404, 409),
)
async def prune(call: Call[None, PruneBody], sessionID: str) -> s.Data[Pruned]:
    """Remove content that a session's retention classes let go, for good."""
    body = call.body
    return s.Data(
        await call.runtime.sessions.prune(
            sessionID, body.classes, body.before, with_forks=body.with_forks
        )
    )


@frozen
class RemoveQuery:
    """What may happen for it."""

    interrupt: bool = field(
        default=False,
        metadata={
            "description": "Whether the work of it is stopped before; otherwise one "
            "that runs stays."
        },
    )
    with_forks: bool = field(
        default=False,
        metadata={
            "description": "Whether forks, which share its past, are removed as well; "
            "otherwise it stays where there are any."
        },
    )


@operation(
    "DELETE",
    "/api/session/{sessionID}",
    "session.remove",
    query=RemoveQuery,
    answer=s.Data[Removed],
    refusals=(404, 409),
)
async def remove(call: Call[RemoveQuery, None], sessionID: str) -> s.Data[Removed]:
    """Remove a session for good, with every session that works for it. Twice is
    once; its id is never given out again."""
    asked = call.query
    return s.Data(
        await call.runtime.sessions.remove(
            sessionID, interrupt=asked.interrupt, with_forks=asked.with_forks
        )
    )


@operation(
    "POST",
    "/api/session/{sessionID}/repair",
    "session.repair",
    answer=s.Data[Repaired],
    refusals=(404, 409),
)
async def repair(call: Call[None, None], sessionID: str) -> s.Data[Repaired]:
    """Set aside what follows the last sound event of a session; it is kept as it was
    found. A session that is sound is left as it is."""
    return s.Data(await call.runtime.sessions.repair(sessionID))


@operation(
    "POST",
    "/api/session/{sessionID}/rebuild",
    "session.rebuild",
    answer=s.Data[int],
    refusals=(404, 409),
)
async def rebuild(call: Call[None, None], sessionID: str) -> s.Data[int]:
    """Make the projections of a session anew from its log; returns how many events
    were read."""
    return s.Data(await call.runtime.sessions.rebuild(sessionID))


@operation("POST", "/api/rebuild", "rebuild", answer=s.Data[int], refusals=(409,))
async def rebuild_all(call: Call[None, None]) -> s.Data[int]:
    """Make the projections of all sessions anew from their logs; returns how many
    events were read."""
    return s.Data(await call.runtime.sessions.rebuild())


@frozen
class OwnerBody:
    """Whose replica it is to be."""

    owner: str
    """A name of your own, written like an id."""


@operation(
    "POST",
    "/api/session/{sessionID}/claim",
    "session.claim",
    body=OwnerBody,
    refusals=(404, 409),
)
async def claim(call: Call[None, OwnerBody], sessionID: str) -> None:
    """Make a session an owner's replica: from then on nothing here appends to it. Twice
    is once."""
    await call.runtime.sessions.claim(sessionID, call.body.owner)


@operation(
    "POST",
    "/api/session/{sessionID}/release",
    "session.release",
    refusals=(404,),
)
async def release(call: Call[None, None], sessionID: str) -> None:
    """Let a replica be a session of this store, which is written and executed here.
    Twice is once."""
    await call.runtime.sessions.release(sessionID)


@frozen
class CleanBody:
    """Which outputs may stay."""

    policy: OutputPolicy | None = None
    """What is too old and too much; without one, what the server is configured with."""


@operation(
    "POST",
    "/api/output/clean",
    "output.clean",
    body=CleanBody,
    answer=s.Data[CleanedOutputs],
    refusals=(409,),
)
async def clean_outputs(call: Call[None, CleanBody]) -> s.Data[CleanedOutputs]:
    """Clean up complete outputs of calls that are too old or too many, now."""
    return s.Data(await call.runtime.sessions.clean_outputs(call.body.policy))
