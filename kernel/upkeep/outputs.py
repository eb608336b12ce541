"""Managed Outputs of a whole store: what of them is cleaned up, and how they travel.

Owns the choice of what goes (``values.outputs``), and what a foreign output must be to
be kept here. That it was cleaned up, and when, stays with the event that left it, so
that whoever reads it later is told. Nothing goes of a session that somebody executes.
Knows nothing of when it is done: ``sessions.cleaning`` does.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from functools import partial

from attrs import evolve

from ..log.commit import EventLog, LogTransaction
from ..log.reading import PAGE, event_at, event_of
from ..ports import OutputRow, Reader
from ..values.codec import dumps, from_json, to_json
from ..values.errors import EventDamagedError, SessionBusyError, UndecodableError
from ..values.events import ToolFailed, ToolSucceeded
from ..values.frozen import frozen
from ..values.outputs import CleanedOutputs, OutputPolicy
from ..values.tool import Json

AT_ONCE = 64
"""Outputs that go in one transaction: others write between two of them."""
MOST = 10_000
"""Outputs that are looked at by one cleaning; the next one goes on."""
LARGEST = 16 * 1024 * 1024
"""Bytes of one output that travels; no call leaves as much."""
LARGEST_TOGETHER = 1024**3


# --- cleaning up ------------------------------------------------------------------


async def clean(log: EventLog, policy: OutputPolicy) -> CleanedOutputs:
    """Clean up what the policy lets go of, the oldest first.

    Raises:
        StoreError: the store failed; what was cleaned by then is.
    """
    total, found = await log.read(_look)
    oldest = policy.too_old(log.clock.now())
    done = CleanedOutputs(left=total)
    at = 0
    while at < len(found) and _goes(found[at], oldest, done.left, policy):
        some = found[at : at + AT_ONCE]
        at += len(some)
        before = done

        def cleaning(
            tx: LogTransaction,
            some: Sequence[OutputRow] = some,
            done: CleanedOutputs = before,
        ) -> CleanedOutputs:
            return _clean(tx, some, oldest, done, policy)

        done = await log.commit(cleaning)
    return done


def _look(rows: Reader) -> tuple[int, Sequence[OutputRow]]:
    return rows.outputs_size(), rows.outputs(MOST)


def _goes(row: OutputRow, oldest: int | None, left: int, policy: OutputPolicy) -> bool:
    too_old = oldest is not None and row.kept < oldest
    return too_old or (policy.bytes is not None and left > policy.bytes)


def _clean(
    tx: LogTransaction,
    some: Sequence[OutputRow],
    oldest: int | None,
    done: CleanedOutputs,
    policy: OutputPolicy,
) -> CleanedOutputs:
    outputs, size = done.outputs, done.bytes
    left = done.left
    for row in some:
        if not _goes(row, oldest, left, policy):
            break
        if _busy(tx, row.session_id):
            continue  # it may be about to read it
        freed = tx.rows.clean_output(row.session_id, row.seq, row.digest, tx.now)
        outputs, size, left = outputs + 1, size + freed, left - freed
    return CleanedOutputs(outputs, size, left)


def _busy(tx: LogTransaction, session_id: str) -> bool:
    """Return whether a session is executed, or a fork that shares its past."""
    names = [session_id]
    for name in names:
        try:
            tx.check_idle(name)
        except SessionBusyError:
            return True
        names += [fork for fork, _ in tx.rows.forks(name) if fork not in names]
    return False


# --- travelling -------------------------------------------------------------------


@frozen
class ExportedOutput:
    """The complete output of one call as it travels, behind the events of its log. As
    JSON, the same names."""

    session_id: str
    """The session whose call left it."""
    seq: int
    """The event that settled the call, and names the key."""
    key: str
    """SHA-256 of the text in hexadecimal."""
    size: int
    """Bytes of the text as UTF-8."""
    text: str
    """All of it, as far as it was kept."""

    @classmethod
    def from_json(cls, data: Json) -> "ExportedOutput":
        """Return the output that JSON data says.

        Raises:
            UndecodableError: it is none, or its text is not what its key and size say.
        """
        return checked(from_json(data, cls, "exported output"))

    def to_line(self) -> str:
        """Return the output as one line of JSON, without its end."""
        return dumps(to_json(self)).decode()


def checked(output: ExportedOutput) -> ExportedOutput:
    """Return an output that somebody made, when its text is the one that it names.

    Raises:
        UndecodableError: it is not.
    """
    for name, kind in _TYPES.items():
        if type(getattr(output, name)) is not kind:
            raise _wrong(f"$.{name}: it is no {kind.__name__}")
    if output.seq < 0:
        raise _wrong("$.seq: it is the number of no event")
    if len(output.text) > LARGEST:
        raise _wrong(f"$.text: it is over {LARGEST} bytes")
    try:
        data = output.text.encode()
    except UnicodeEncodeError:
        raise _wrong("$.text: it holds half of a surrogate pair") from None
    if len(data) > LARGEST:
        raise _wrong(f"$.text: it is over {LARGEST} bytes")
    if len(data) != output.size:
        raise _wrong(f"$.size: the text has {len(data)} bytes")
    if hashlib.sha256(data).hexdigest() != output.key:
        raise _wrong("$.key: it is not the SHA-256 of the text")
    return output


_TYPES = {"session_id": str, "seq": int, "key": str, "size": int, "text": str}


def _wrong(problem: str) -> UndecodableError:
    return UndecodableError("exported output", [problem])


async def exported(
    log: EventLog, session_id: str, after: int, upto: int | None
) -> AsyncIterator[ExportedOutput]:
    """Yield the outputs that events of a log left and that can be read here, in the
    order of the log. What was cleaned up or never came here is left out."""

    def read(rows: Reader) -> tuple[int, list[OutputRow], bool]:
        page = rows.events(session_id, after=after, limit=PAGE, upto=upto)
        head, found = rows.head(session_id), []
        for record in page:
            event = event_of(record)
            if isinstance(event, ToolSucceeded | ToolFailed) and event.managed:
                row = rows.output(session_id, event.managed)
                here = head is not None and head.made_here(record.seq)
                if row is None or row.cleaned is not None or not (here or row.imported):
                    continue
                found.append(evolve(row, seq=record.seq))
        return (page[-1].seq if page else after), found, len(page) == PAGE

    more = True
    while more:
        after, rows_found, more = await log.read(read)
        for row in rows_found:
            data = await log.read(partial(_text_of, row.digest))
            if data is not None:
                text = data.decode(errors="replace")
                yield ExportedOutput(session_id, row.seq, row.digest, len(data), text)


def _text_of(key: str, rows: Reader) -> bytes | None:
    return rows.blob(key)


def bring(
    tx: LogTransaction, session_id: str, outputs: Sequence[ExportedOutput]
) -> int:
    """Keep outputs that came with a log, and return how many are new.

    Raises:
        EventDamagedError: no event of the log, in the place that one names, left it.
    """
    new = 0
    for output in outputs:
        event = event_at(tx.rows, session_id, output.seq)
        if (
            not isinstance(event, ToolSucceeded | ToolFailed)
            or event.managed != output.key
        ):
            raise EventDamagedError(
                session_id, output.seq, f"it left no output {output.key}"
            )
        row, head = tx.rows.output(session_id, output.key), tx.rows.head(session_id)
        mine = row is not None and (
            row.imported or (head is not None and head.made_here(output.seq))
        )
        if mine and row is not None and row.cleaned is None and row.size:
            continue
        new += 1
        tx.rows.put_blob(output.text.encode())
        tx.rows.keep_output(session_id, output.seq, output.key, tx.now, imported=True)
    return new
