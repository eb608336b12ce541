"""The inbox: admission and withdrawal, as synchronous decisions.

Owns when an input is accepted, withdrawn or changed. Every function runs inside a
transaction (see ``log.commit``), so that of two racing callers one sees what the other
wrote. Knows nothing of execution, which promotes what is due (``execution.promotion``):
a caller rings the doorbell afterwards.
"""

from ..log.commit import LogTransaction
from ..log.reading import event_at, existing_head, readable
from ..ports import AdmissionRow, InputRow, Reader
from ..values.clock import Clock
from ..values.codec import dumps, from_json, loads, to_json
from ..values.errors import (
    EventDamagedError,
    InputNotFoundError,
    InputNotPendingError,
    PromptConflictError,
    SessionNotFoundError,
    SessionRemovedError,
)
from ..values.events import (
    PromptAdmitted,
    PromptRedelivered,
    PromptWithdrawn,
)
from ..values.generation import NO_GENERATION, Generation
from ..values.ids import MessageId, SessionId, new_id
from ..values.output import Output
from ..values.prompt import (
    AdmittedPrompt,
    Budget,
    Delivery,
    Input,
    Prompt,
    prompt_digest,
)
from ..values.shortcut import maker

_admission_row = maker(AdmissionRow)
_admitted_prompt = maker(AdmittedPrompt)
_prompt_admitted = maker(PromptAdmitted)


def admit(
    tx: LogTransaction,
    clock: Clock,
    session_id: SessionId,
    prompt: Prompt,
    delivery: Delivery,
    key: str | None,
    budget: Budget | None = None,
    output: Output | None = None,
    generation: Generation = NO_GENERATION,
    id: str | None = None,
) -> AdmittedPrompt:
    """Accept a prompt and return its receipt (laws inbox.1, inbox.3, inbox.4).

    With a key that was used before: the first receipt again, or a conflict.

    Raises:
        SessionNotFoundError: there is no such session.
        PromptConflictError: the key was used for another prompt, with the value that
            it wants, or another delivery; or the id is another message's.
    """
    head = tx.head(session_id)
    if head.removed:
        # What was admitted under a key of it may still be stored.
        raise SessionRemovedError(session_id)
    digest = ""
    if key is not None:
        said = dumps(to_json(prompt))
        if output is not None:
            said += dumps(to_json(output))
        digest = prompt_digest(said)
        known = tx.rows.admission(session_id, key)
        if known is not None:
            return _known_receipt(known, digest, delivery)
    if head.seq < 0 and head.owner is None:
        raise SessionNotFoundError(session_id)
    input_id = MessageId(id or new_id("msg", clock))
    if id is not None and _is_taken(tx.rows, session_id, input_id):
        raise PromptConflictError(session_id, key or id, ["id"])
    [admitted] = tx.append(
        _prompt_admitted(
            session_id=session_id,
            input_id=input_id,
            prompt=prompt,
            delivery=delivery,
            key=key,
            budget=budget,
            output=output,
            generation=None if _says_nothing(generation) else generation,
        )
    )
    receipt = _admitted_prompt(
        id=input_id,
        session_id=session_id,
        key=key,
        delivery=delivery,
        cursor=admitted.seq,
        created=admitted.created,
    )
    if key is not None:
        tx.rows.put_admission(
            _admission_row(session_id, key, digest, delivery, dumps(to_json(receipt)))
        )
    return receipt


def _says_nothing(generation: Generation) -> bool:
    return generation is NO_GENERATION or generation == NO_GENERATION


def _is_taken(rows: Reader, session_id: str, id: str) -> bool:
    known = rows.input(session_id, id) or rows.message(session_id, id)
    return known is not None


def _known_receipt(
    known: AdmissionRow, digest: str, delivery: Delivery
) -> AdmittedPrompt:
    differs = [
        part
        for part, same in (
            ("prompt", known.digest == digest),
            ("delivery", known.delivery == delivery),
        )
        if not same
    ]
    if differs:
        raise PromptConflictError(known.session_id, known.key, differs)
    return from_json(loads(known.receipt), AdmittedPrompt)


def withdraw(tx: LogTransaction, session_id: SessionId, input_id: str) -> None:
    """Take a pending input back.

    Withdrawing it twice is one withdrawal.

    Raises:
        InputNotFoundError: the session never admitted it.
        InputNotPendingError: the model has seen it already.
    """
    row = _input(tx.rows, session_id, input_id)
    if row.state == "withdrawn":
        return
    if row.state != "pending":
        raise InputNotPendingError(input_id, row.state)
    tx.append(PromptWithdrawn(session_id=session_id, input_id=MessageId(input_id)))


def redeliver(
    tx: LogTransaction, session_id: SessionId, input_id: str, delivery: Delivery
) -> None:
    """Change how a pending input is delivered.

    Raises:
        InputNotFoundError: the session never admitted it.
        InputNotPendingError: it was promoted or withdrawn.
    """
    row = _input(tx.rows, session_id, input_id)
    if row.state != "pending":
        raise InputNotPendingError(input_id, row.state)
    if row.delivery != delivery:
        tx.append(
            PromptRedelivered(
                session_id=session_id, input_id=MessageId(input_id), delivery=delivery
            )
        )


def pending(rows: Reader, session_id: SessionId) -> list[Input]:
    """Return the pending inputs with their prompts, in admission order.

    Raises:
        EventDamagedError: one of them is not what was admitted.
    """
    found = []
    for row in rows.pending_inputs(session_id):
        admitted = readable(event_at(rows, session_id, row.seq))
        if not isinstance(admitted, PromptAdmitted):
            problem = f"it is not the admission of input {row.id!r}"
            raise EventDamagedError(session_id, row.seq, problem)
        found.append(
            Input(
                id=MessageId(row.id),
                session_id=session_id,
                prompt=admitted.prompt,
                delivery=row.delivery,
                state=row.state,
                seq=row.seq,
                created=row.created,
                key=row.key,
                job_id=admitted.job_id,
            )
        )
    return found


def _input(rows: Reader, session_id: str, input_id: str) -> InputRow:
    row = rows.input(session_id, input_id)
    if row is None:
        existing_head(rows, session_id)
        raise InputNotFoundError(input_id)
    return row
