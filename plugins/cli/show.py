"""The command ``show``: one session and its transcript, as it is durable now."""

from collections.abc import Mapping

import anyio
import click
from dovetail.kernel import (
    AvailabilityChanged,
    ContextUpdated,
    ContinuationAccepted,
    DovetailError,
    EpochStarted,
    Json,
    LeftOut,
    Runtime,
    Session,
    SessionInfo,
    event_to_json,
    to_json,
)

from ..console.calls import job_text
from ..console.continuing import LeftWork, left_work, report_lines
from ..console.listing import Costs, ago, outcome_text, usage_text
from ..console.options import (
    check_here,
    database_option,
    go_on_text,
    json_line,
    next_prompt_text,
    opened,
)
from ..console.terminal import Style, Terminal, visible
from .named import named_session
from .transcript import Transcript


@click.command("show")
@click.argument("id")
@database_option
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one object without the transcript: what is known of the session, what "
    "is left of it, what the model is not told because it could not be observed, what "
    "cannot be observed now, and who last accepted that it goes on.",
)
@click.option(
    "--context",
    "told",
    is_flag=True,
    help="Print exactly what the model is told of its world, and which Step was told "
    "what; with --json one object for each epoch.",
)
@click.option(
    "--requests",
    "listed",
    is_flag=True,
    help="List every request that was sent, with the digest of its bytes.",
)
@click.option(
    "--request",
    "number",
    type=click.IntRange(min=1),
    metavar="N",
    help="Write the request of this number again as it was sent, and check its digest.",
)
@click.option(
    "--files",
    "folder",
    type=click.Path(file_okay=False),
    metavar="FOLDER",
    help="Write every file that the model made, such as an image, into a folder.",
)
def show_command(
    id: str,
    db: str | None,
    as_json: bool,
    told: bool,
    listed: bool,
    number: int | None,
    folder: str | None,
) -> None:
    """Show a session: what is known of it, its transcript, and what was left.

    Where its last run has no end, the Continuation Report says what is trusted and what
    must be looked at before it goes on.

    \b
    dovetail show ses_01a21f | less -R
    dovetail show ses_01a21f --context
    """
    if folder is not None or listed or number is not None:
        check_here("--files, --requests and --request")
    if folder is not None:
        # Here, for the same reason.
        from .made_files import write_files

        anyio.run(write_files, id, db, folder, Terminal())
        return
    if listed or number is not None:
        # Here, so that whoever wants the transcript does not load it.
        from .requests import show_requests

        anyio.run(show_requests, id, db, as_json, number, Terminal())
        return
    if told:
        from .show_context import show_context

        anyio.run(show_context, id, db, as_json, Terminal())
        return
    anyio.run(_show, id, db, as_json, Terminal())


async def _show(id: str, db: str | None, as_json: bool, terminal: Terminal) -> None:
    async with opened(db) as runtime:
        session = await named_session(runtime, id)
        info = await session.info()
        if as_json:
            terminal.write(json_line(await _as_json(session, info)))
            return
        terminal.write(_heading(info, terminal.style) + "\n")
        costs = await _write_transcript(runtime, session, terminal)
        if costs.text is not None:
            terminal.write(f"\n{terminal.style.dim('cost'.ljust(9))} {costs.text}\n")
        todos = await session.todos()
        if todos:
            terminal.write(f"\n{terminal.style.dim('to do')}\n")
            for one in todos:
                line = visible(f"{one.status.ljust(11)} {one.id}: {one.content}")
                terminal.write(f"  {line}\n")
        await _write_jobs(session, terminal)
        try:
            left = await _left(session, info)
        except DovetailError as error:
            # Its directory may be gone, or its configuration broken.
            problem = f"{visible(str(error))} [{error.code}]"
            terminal.tell(f"what was left of it cannot be looked at: {problem}")
            return
        if left is not None:
            terminal.write("\n")
            for line in report_lines(left, terminal.style):
                terminal.write(f"{line}\n")
            digest = left.report.digest
            go_on = go_on_text(session.id, "--accept", digest, db=db)
            terminal.write(f"to accept it and go on: {visible(go_on)}\n")
            prompt = next_prompt_text(session.id, db=db)
            terminal.write(f"or with a new prompt: {visible(prompt)}\n")


async def _write_jobs(session: Session, terminal: Terminal) -> None:
    try:
        jobs = await session.jobs()
    except DovetailError as error:
        # Its directory may be gone.
        terminal.tell(f"its jobs cannot be looked at: {visible(str(error))}")
        return
    if jobs:
        terminal.write(f"\n{terminal.style.dim('jobs')}\n")
    for one in jobs:
        terminal.write(f"  {job_text(one)}\n")


async def _left(session: Session, info: SessionInfo) -> LeftWork | None:
    # What a living process is about to do is not left.
    alive = await session.held_until() is not None
    return None if alive else await left_work(session, info)


async def _write_transcript(
    runtime: Runtime, session: Session, terminal: Terminal
) -> Costs:
    transcript = Transcript(
        terminal.style, reasoning=True, watched=False, failures=True
    )
    costs = Costs()
    # What a fork shares comes first; what that cost was paid for elsewhere.
    for span in await session.lineage():
        async with (await runtime.sessions.get(span.session_id)).events() as past:
            async for event in past:
                if event.seq > span.seq:
                    break
                await terminal.show(transcript.take(event))
    async with session.events() as tail:
        async for event in tail:
            costs.take(event)
            await terminal.show(transcript.take(event))
    terminal.write(transcript.break_line())
    return costs


async def _as_json(session: Session, info: SessionInfo) -> Mapping[str, Json]:
    left = await _left(session, info)
    accepted = None
    left_out: dict[str, LeftOut] = {}
    async with session.events() as tail:
        async for event in tail:
            if isinstance(event, ContinuationAccepted):
                accepted = event
            elif isinstance(event, EpochStarted):
                left_out = dict(event.left_out)
            elif isinstance(event, AvailabilityChanged):
                for key in event.ended:
                    left_out.pop(key, None)
            elif isinstance(event, ContextUpdated):
                for key in event.sources:
                    # Of one of several parts of a source this is ``source:part``.
                    left_out.pop(key.partition(":")[0], None)
    epochs = await session.context()
    report = None
    if left is not None:
        report = {**to_json(left.report), "digest": left.report.digest}
    return {
        "session": to_json(info),
        "cost": info.cost,
        "unpriced": info.unpriced,
        "pending": [to_json(one) for one in await session.pending()],
        "jobs": [to_json(one) for one in await session.jobs()],
        "todos": [to_json(one) for one in await session.todos()],
        "continuation": report,
        "left_out": {key: to_json(one) for key, one in sorted(left_out.items())},
        "unavailable": [to_json(one) for one in epochs[-1].away] if epochs else [],
        "accepted": event_to_json(accepted) if accepted is not None else None,
    }


def _heading(info: SessionInfo, style: Style) -> str:
    lines = {
        "session": info.id,
        "title": info.title or "-",
        **_lineage(info),
        "location": info.location.directory,
        "model": info.model or "the configured one",
        "agent": info.agent or "the configured one",
        "created": ago(info.created),
        "updated": ago(info.updated),
        "status": info.status,
        "outcome": outcome_text(info.outcome),
        "steps": str(info.steps),
        "tokens": usage_text(info.usage),
    }
    return "".join(
        f"{style.dim(name.ljust(9))} {visible(text)}\n" for name, text in lines.items()
    )


def _lineage(info: SessionInfo) -> dict[str, str]:
    """Return what is said of a session that came from another one."""
    lines = {}
    if info.parent is not None:
        lines["parent"] = info.parent
    if info.forked_from is not None:
        lines["fork of"] = f"{info.forked_from} up to event {info.forked_seq}"
    return lines
