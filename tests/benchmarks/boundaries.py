"""Benchmarks of one Step beside much of something, over one beside little of it.

A Step looks at the store at its boundaries, and none of these looks may take longer
because much is there. Each line is of one kind of thing, in a store of its own.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from attrs import evolve, frozen
from dovetail.kernel import (
    Budget,
    Event,
    MessageId,
    Prompt,
    PromptAdmitted,
    RequestAnswered,
    RequestAsked,
    RequestId,
    Runtime,
    SessionCreated,
    SessionId,
    ToolSucceeded,
)
from dovetail.kernel.lifecycle.clock import SystemClock
from dovetail.kernel.log.commit import EventLog
from dovetail.kernel.ports import ApprovalRow, Transaction
from dovetail.storage.sqlite.store import open_sqlite
from measure import Bench, Line, interleaved, timed
from ours import PROMPT, opened
from plain import PlainProvider
from stores import ACTIVITY, BATCH, activity

ONE, OTHER = SessionId("ses_one"), SessionId("ses_other")
LITTLE = 20


@frozen
class Beside:
    """What is there, as events of the log or as rows."""

    what: str
    events: Callable[[int], Iterable[Event]]
    row: Callable[[int, str], ApprovalRow] | None = None
    """Made instead of events, from a number and a directory."""


def _waiting(count: int) -> Iterable[Event]:
    for number in range(count):
        yield PromptAdmitted(
            session_id=ONE,
            input_id=MessageId(f"msg_waiting_{number}"),
            prompt=Prompt(PROMPT),
            delivery="queue",
        )


def _asked(session_id: SessionId, count: int, *, answered: bool) -> Iterable[Event]:
    for number in range(count):
        request_id = RequestId(f"req_{number}")
        yield RequestAsked(
            session_id=session_id,
            request_id=request_id,
            what="permission",
            agent="build",
            body={"action": "edit", "resources": [f"file-{number}"]},
        )
        if answered:
            yield RequestAnswered(
                session_id=session_id,
                request_id=request_id,
                outcome="answered",
                by="person",
                answer={"reply": "once"},
            )


def _past(count: int, *, managed: bool) -> Iterable[Event]:
    for number in range(count // ACTIVITY):
        for event in activity(ONE, f"{number}"):
            if managed and isinstance(event, ToolSucceeded):
                event = evolve(event, managed=f"{number:064x}")
            yield event


def _nothing(count: int) -> Iterable[Event]:
    return ()


def _approval(number: int, directory: str) -> ApprovalRow:
    return ApprovalRow(
        id=f"apr_{number}",
        directory=directory,
        workspace=None,
        agent="build",
        action="edit",
        kind="exact",
        pattern=f"file-{number}",
        author="person",
        created=0,
        expires=None,
    )


KINDS = (
    Beside("inputs that wait", _waiting),
    Beside("saved approvals", _nothing, _approval),
    Beside("answered requests", partial(_asked, ONE, answered=True)),
    Beside("requests of another session", partial(_asked, OTHER, answered=False)),
    Beside("events of the past", partial(_past, managed=False)),
    Beside("the same with outputs kept", partial(_past, managed=True)),
)


async def _made(bench: Bench, beside: Beside, count: int, folder: Path) -> Path:
    path = bench.file()
    async with open_sqlite(path) as store:
        log = EventLog(store, SystemClock())
        place = {"directory": str(folder), "model": PlainProvider.text}
        for session_id in (ONE, OTHER):
            await log.append(SessionCreated(session_id=session_id, **place))
        batch: list[Event] = []
        for event in beside.events(count):
            batch.append(event)
            if len(batch) >= BATCH:
                await log.append(*batch)
                batch = []
        await log.append(*batch)

        def save(tx: Transaction) -> None:
            for number in range(count):
                assert beside.row is not None
                tx.put_approval(beside.row(number, str(folder)))

        if beside.row is not None:
            await store.transact(save)
        log.close()
    return path


async def _step(runtime: Runtime) -> None:
    """Make one Step, and look once more for what may follow it."""
    session = await runtime.sessions.get(ONE)
    await session.prompt(PROMPT, budget=Budget(steps=1))
    outcome = await session.wait()
    assert outcome.status in ("succeeded", "paused"), outcome


async def boundaries(bench: Bench) -> list[Line]:
    """One Step beside 20,000 of something, over one beside 20 of it."""
    much = bench.of(5_000, 20_000)
    lines = []
    for beside in KINDS:
        folder = bench.folder()
        large = await _made(bench, beside, much, folder)
        small = await _made(bench, beside, LITTLE, folder)
        async with (
            opened(bench.url, large, PlainProvider()) as one,
            opened(bench.url, small, PlainProvider()) as other,
        ):
            found = await interleaved(
                {
                    "much": timed(partial(_step, one)),
                    "little": timed(partial(_step, other)),
                },
                bench.of(30, 150),
                warm_up=4,
            )
        name = f"a Step beside {much:,} {beside.what}, over {LITTLE}"
        lines.append(Line(name, "ms", found["much"], found["little"], "~1"))
    return lines
