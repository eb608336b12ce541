"""Rows: what a store keeps, one value for each kind.

Events and heads are the log; projections follow from it and are disposable;
operational rows follow from nothing. Which row is written when is decided elsewhere.
"""

from collections.abc import Sequence
from typing import Literal

from ..values.frozen import frozen
from ..values.prompt import Delivery, InputState

# --- the log ----------------------------------------------------------------------


@frozen
class EventRecord:
    """One event as it is stored."""

    session_id: str
    """Whose log it is in."""
    seq: int
    """Its place in that log, from 0."""
    kind: str
    """What happened, such as ``prompt.admitted``."""
    version: int
    """Of the kind's fields, from 1."""
    created: int
    """Milliseconds since 1970."""
    data: bytes
    """JSON of the event's own fields, or what retention left of it."""
    hash: bytes
    """32 bytes: see ``values.events.chain_hash``."""
    digest: bytes | None = None
    """None while the data is whole; else SHA-256 of the removed data, then of what is
    left."""
    position: int = -1
    """The place in the commit order of the whole store; given by the store."""
    problem: str | None = None
    """Given by the store: why what it found is not what was written, or None. Then it
    may be of any type and value, whatever the fields promise."""


StoredFact = tuple[int, str, int, int, bytes, str | None]
"""What a stored event says: its seq, kind, version, created and data, and why it cannot
be believed, as in ``EventRecord.problem``."""


def made_here(imported: Sequence[tuple[int, int]], seq: int) -> bool:
    """Return whether an event is in none of the runs of those that came from another
    store."""
    return not any(first <= seq <= last for first, last in imported)


@frozen
class Head:
    """Where a session's log ends."""

    seq: int
    """The last event's; -1 where there is none yet."""
    hash: bytes
    """The last event's; ``NO_HASH`` where there is none yet."""
    owner: str | None = None
    """Who may replay into this log; None for a log that is written here."""
    imported: tuple[tuple[int, int], ...] = ()
    """Which events came from another store: from the first to the last of each run.
    What they say is data; it decides nothing here (law access.12)."""
    damaged: int | None = None
    """The first event that was found not to be what was written; nothing is appended
    behind it. None as far as anybody knows."""
    removed: bool = False
    """Whether the session was removed. Its last event says so, and nothing of it is
    read or written any more."""

    def made_here(self, seq: int) -> bool:
        """Return whether an event was made in this store."""
        return made_here(self.imported, seq)


@frozen
class RowCounts:
    """How many rows a session has."""

    messages: int
    """Those that appeared, ended or not."""
    pending: int
    """Inputs that wait."""
    settled: int
    """Inputs that were promoted or withdrawn."""
    admissions: int
    """Keyed admissions, as far as they are what was written."""
    keyed: int
    """Of all inputs, those that say that they were admitted under a key."""


# --- projections ------------------------------------------------------------------


@frozen
class SessionRow:
    """Projection: one session. Totals are of all settled Steps."""

    id: str
    """The session's."""
    directory: str
    """Of its Location, as every row here that has one."""
    workspace: str | None
    """Tells Locations in one directory apart."""
    title: str | None
    """What a person would call it."""
    agent: str | None
    """Its own agent; None for the configured one."""
    model: str | None
    """Its own model, as ``provider/model``; None for the configured one."""
    parent: str | None
    """Whose child it is."""
    forked_from: str | None
    """Whose past it shares."""
    forked_seq: int | None
    """The last event of that past."""
    created: int
    """When its first event was recorded, in milliseconds since 1970."""
    updated: int
    """When its row was last changed, in milliseconds since 1970."""
    status: str = "idle"
    """``running`` between execution.started and execution.ended, else ``idle``."""
    outcome: str | None = None
    """The status of the last execution.ended."""
    reason_code: str | None = None
    """The stable code of why it ended so, where there is one."""
    reason_message: str | None = None
    """The same in words."""
    ended_seq: int = -1
    """The last execution.ended; -1 before the first."""
    steps: int = 0
    """How many Steps were settled."""
    input_tokens: int = 0
    """All that requests carried, cached or not."""
    output_tokens: int = 0
    """All that was answered, reasoning included."""
    reasoning_tokens: int = 0
    """Those of the answer that were reasoning."""
    cache_read_tokens: int = 0
    """Those of the requests that came from a provider's cache."""
    cache_write_tokens: int = 0
    """Those that were put into one."""
    picodollars: int | None = None
    """What all of that cost, in 10**-12 US dollars; None while no price was known."""
    unpriced: int = 0
    """How many requests are not in that, or not wholly."""
    todos_seq: int = -1
    """The event that last said how the to-do list is: a todos.replaced, or one that
    went back to an earlier list; -1 before the first."""
    compaction_due: int = -1
    """The compaction.requested that waits for its turn; -1 where none does."""
    position: int = -1
    """Creation order over the whole store; given by the store, kept by a rebuild."""
    damaged: int | None = None
    """Given by the store: see ``Head.damaged``."""
    sound: bool = True
    """Given by the store: False in a listing for a session that cannot be looked up,
    because what it is found by was changed. Then nothing else is known of it."""

    @classmethod
    def unsound(cls, id: str, position: int) -> "SessionRow":
        """Return what stands in a listing for a session that cannot be looked up."""
        return cls(
            id=id,
            directory="",
            workspace=None,
            title=None,
            agent=None,
            model=None,
            parent=None,
            forked_from=None,
            forked_seq=None,
            created=0,
            updated=0,
            position=position,
            sound=False,
        )


@frozen
class InputRow:
    """Projection: one admitted input. Its prompt is in the event at ``seq``."""

    session_id: str
    """Whose it is."""
    id: str
    """The input's; the message has the same once it was promoted."""
    seq: int
    """Where it was admitted."""
    delivery: Delivery
    """How it comes to the model."""
    state: InputState
    """What became of it so far."""
    settled_seq: int | None
    """Where it was promoted or withdrawn; None while it is pending."""
    created: int
    """When it was admitted, in milliseconds since 1970."""
    key: str | None
    """What its caller called it; None for nothing."""


@frozen
class MessageRow:
    """Projection: where one message is in the log. Its content is in the events.

    The message's own events lie between ``body_seq`` and ``end_seq``; a row is written
    when the message appears and once more when it ends, never per part.
    """

    session_id: str
    """Whose transcript it is in."""
    seq: int
    """The event that made it visible."""
    id: str
    """The message's."""
    type: str
    """``user``, ``assistant``, ``notice`` or ``summary``."""
    body_seq: int
    """Its first event: of a user's message, where it was admitted."""
    end_seq: int | None
    """None while the Step of an assistant message runs."""


@frozen
class SettledRow:
    """What a message that has its end came to: of all sessions, in creation order."""

    position: int
    """The session's."""
    seq: int
    """The message's: with the position, where a reader goes on."""
    session_id: str
    """Whose it is."""
    directory: str
    """Of the session's Location now."""
    ended: int
    """When it ended, in milliseconds since 1970."""
    first: bytes | None
    """What its first event says, as JSON; None where that is not what was written."""
    last: bytes | None
    """The same of its last event."""


@frozen
class RequestRow:
    """Projection: one request to a person. Its content is in the event at ``seq``."""

    session_id: str
    """Who asks."""
    id: str
    """The request's, within its session."""
    what: str
    """What kind of request it is: ``permission``, for example."""
    seq: int
    """Where it was asked, the last time."""
    directory: str
    """Of the session's Location."""
    answered_seq: int | None
    """Where it had its end; None while it waits."""


@frozen
class JobRow:
    """Projection: one job. What it is about is in the event at ``seq``."""

    session_id: str
    """Whose it is."""
    id: str
    """The job's, within its session."""
    seq: int
    """Where it began."""
    directory: str
    """Of the session's Location."""
    ended_seq: int | None
    """Where it had its end; None while it runs, as far as anybody recorded."""


@frozen
class EpochRow:
    """Projection: the current Context Epoch of a session."""

    session_id: str
    """Whose it is."""
    seq: int
    """The event that holds the Baseline."""
    updated_seq: int
    """The last event that changed what the model was told."""


# --- operational rows -------------------------------------------------------------


@frozen
class AdmissionRow:
    """Operational: one keyed admission, for ever (laws inbox.3 and storage.3)."""

    session_id: str
    """Where it was admitted; a key means something only there."""
    key: str
    """The caller's."""
    digest: str
    """Of the encoded prompt."""
    delivery: Delivery
    """As it was asked for."""
    receipt: bytes
    """JSON of the AdmittedPrompt as it was first returned."""


@frozen
class ApprovalRow:
    """Operational: one saved approval (law access.4)."""

    id: str
    """The approval's, in the whole store."""
    directory: str
    """Of the Location that it holds in; ``EVERYWHERE``: in all of them."""
    workspace: str | None
    """Tells Locations in one directory apart."""
    agent: str | None
    """Whose calls it allows; None: those of every agent."""
    action: str
    """What it allows them."""
    kind: Literal["exact", "prefix", "glob"]
    """How ``pattern`` is compared with a resource."""
    pattern: str
    """Which resources it allows."""
    author: str
    """Who gave it."""
    created: int
    """When, in milliseconds since 1970."""
    expires: int | None
    """Until when, in milliseconds since 1970; None: until it is revoked."""
    folder: str | None = None
    """The one folder that it is for, as a resource; None: wherever in the Location."""
    session_id: str | None = None
    """The session that asked for it; None where nobody knows."""
    request_id: str | None = None
    """The request that it was the answer to; None where nobody knows."""
    scope: Literal["session", "location", "everywhere"] = "location"
    """Where it holds: ``session`` is that session alone."""
    tool: str | None = None
    """The tool whose call asked; None where no call did."""
    definition: str | None = None
    """What tells that tool from a later one; None: it rests on none."""
    rules: str | None = None
    """What tells the rules around it from later ones; None: it rests on none."""


EVERYWHERE = ""
"""The directory of approvals that hold in every Location."""


@frozen
class LeaseRow:
    """Operational: who executes a session. The fence only grows (law execution.2)."""

    session_id: str
    """Which session."""
    owner: str | None
    """Whose it is; None once it was given back."""
    fence: int
    """Which ownership this is: another one has a higher number."""
    renewals: int = 0
    """How often it was renewed under this fence."""
    lasts: int = 0
    """Milliseconds that it lasts after it was taken or renewed, by the clock of
    whoever saw that."""
    renewed: int = 0
    """When that was, in milliseconds since 1970 by its owner's clock. To be shown: it
    decides nothing."""
    process: str | None = None
    """The owner's process, where it has a name; see ``lifecycle.process``."""


@frozen
class OutputRow:
    """A complete output of a call, as an event of a session holds it."""

    session_id: str
    """Whose it is."""
    seq: int
    """The event that settled the call."""
    digest: str
    """SHA-256 of the text in hexadecimal, which is its key."""
    kept: int
    """Milliseconds since 1970."""
    imported: bool
    """Whether the text came with the log from another store."""
    cleaned: int | None
    """When it was cleaned up, in milliseconds since 1970."""
    size: int
    """Bytes of the text; 0 where it is not here."""
