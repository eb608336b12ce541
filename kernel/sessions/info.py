"""What is known of a session without reading its transcript."""

from typing import Literal

from attrs import field

from ..execution.coordinator import Outcome, outcome_of
from ..log.commit import EventLog
from ..log.reading import damaged
from ..log.titles import title_by_rule
from ..ports import Reader, SessionRow
from ..values.errors import RowDamagedError
from ..values.frozen import frozen
from ..values.ids import SessionId
from ..values.location import Location
from ..values.messages import Usage
from ..values.money import dollars
from ..values.tool import Failure


@frozen
class SessionInfo:
    """What is known of a session without reading its transcript."""

    id: SessionId
    """What ``sessions.get`` finds it by."""
    location: Location
    """Where it works."""
    title: str | None
    """What a person would call it. Of one that was given none and is nobody's child,
    the beginning of its first prompt; None where there is no prompt either."""
    agent: str | None
    """Its own agent profile; None for the configured one."""
    model: str | None
    """Its own model, as ``provider/model``; None for its agent's or the configured
    one."""
    parent: str | None
    """Whose child it is: the id of the session that it works for."""
    forked_from: str | None
    """The id of the session whose past it shares."""
    forked_seq: int | None
    """The last event of that past."""
    created: int
    """Milliseconds since 1970."""
    updated: int
    """When its last event was recorded, in milliseconds since 1970."""
    status: Literal["running", "lost", "idle"]
    """``lost`` when it was running and no process holds it any more."""
    outcome: Outcome
    """How the last execution ended."""
    steps: int = 0
    """How many Steps it has had."""
    usage: Usage = field(factory=Usage)
    """Totals of all settled Steps, and of whatever else models were asked for it."""
    cost: float | None = None
    """What that cost in US dollars, with what sessions used that work for it. It is a
    part of it where a price is not known, or a provider did not tell all tokens of a
    request: what nobody can count is not in it, and ``unpriced`` says of how many
    requests. None where nothing could be counted."""
    unpriced: int = 0
    """How many requests used tokens whose cost is not known, or not wholly: unless that
    is 0, ``cost`` is the least that it was. Those of a Step that was cut off, or whose
    answer broke off, are among them; those that a provider refused are not."""
    damage: Failure | None = None
    """What is wrong with its past, and from which event on; None as far as anybody
    found: whoever goes on with a session or verifies it reads all of it. Where that was
    not done, ``verified`` says so."""
    verified: int | None = None
    """Up to which event this runtime verified the log (``sessions.verify``); None where
    it did not, so that no damage only means that nobody has met any."""
    trouble: Failure | None = None
    """What keeps its work in this process from going on: the store is locked, say. It
    is tried again by itself."""


def info_of(
    log: EventLog,
    rows: Reader,
    row: SessionRow,
    damage: Failure | None = None,
) -> SessionInfo:
    """Return what a session's row, its lease and this process say of it."""
    status: Literal["running", "lost", "idle"] = "idle"
    if row.damaged is not None:
        found = damaged(row.id, row.damaged)
        damage = Failure(found.code, str(found))
    elif not row.sound:
        unfound = RowDamagedError("aggregate", row.id)
        damage = Failure(unfound.code, str(unfound))
    if row.status == "running":
        status = "lost"
    if row.status == "running" and damage is None:
        status = "running" if log.lookout.seems_held(rows.lease(row.id)) else "lost"
    return SessionInfo(
        id=SessionId(row.id),
        location=Location(row.directory, row.workspace),
        title=title_by_rule(rows, row) if row.title is None else row.title,
        agent=row.agent,
        model=row.model,
        parent=row.parent,
        forked_from=row.forked_from,
        forked_seq=row.forked_seq,
        created=row.created,
        updated=row.updated,
        status=status,
        outcome=outcome_of(row),
        steps=row.steps,
        usage=Usage(
            row.input_tokens,
            row.output_tokens,
            row.reasoning_tokens,
            row.cache_read_tokens,
            row.cache_write_tokens,
        ),
        cost=None if row.picodollars is None else dollars(row.picodollars),
        unpriced=row.unpriced,
        damage=damage,
        verified=None if damage is not None else log.verified(row.id),
        trouble=log.patience.trouble(row.id),
    )
