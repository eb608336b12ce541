"""The commands ``export`` and ``import``: carry a session to another database."""

from collections.abc import Iterator
from typing import BinaryIO

import anyio
import click
from dovetail.kernel import (
    ExportedEvent,
    ExportedOutput,
    Replayed,
    UndecodableError,
    exported_from_line,
    to_json,
)

from ..console.options import database_option, json_line, opened
from ..console.terminal import Terminal, visible
from .named import named_session


@click.command("export")
@click.argument("id")
@click.option(
    "--after",
    type=click.IntRange(min=-1),
    metavar="N",
    help="Begin after this sequence number.",
)
@click.option(
    "--outputs",
    is_flag=True,
    help="Also the complete outputs of calls whose results were cut.",
)
@database_option
def export_command(id: str, after: int | None, outputs: bool, db: str | None) -> None:
    """Print a session's events as `import` reads them, one a line.

    With --outputs, the complete outputs that are still kept follow them.

    \b
    dovetail export ses_01a21f > session.jsonl
    """
    terminal = Terminal()

    async def read() -> None:
        async with opened(db) as runtime:
            session = await named_session(runtime, id)
            last = -1 if after is None else after
            async with session.export(after) as export:
                async for event in export:
                    await terminal.show(json_line(to_json(event)))
                    last = event.seq
            if outputs:
                async for output in session.export_outputs(after, upto=last):
                    await terminal.show(json_line(to_json(output)))

    anyio.run(read)


@click.command("import")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--owner",
    metavar="NAME",
    help="Keep the session as a replica of NAME: nothing is written to it here.",
)
@database_option
def import_command(file: BinaryIO, owner: str | None, db: str | None) -> None:
    """Write the events of a session that another database exported.

    FILE holds what `export` or `log --json` printed, of one session; - is standard
    input. What is wrong is refused, and then nothing is written. Importing the same
    again is harmless. Complete outputs that come with it are checked by size and hash.

    \b
    dovetail import session.jsonl
    """
    events: list[ExportedEvent] = []
    outputs: list[ExportedOutput] = []
    for one in _lines(file):
        if isinstance(one, ExportedOutput):
            outputs.append(one)
        else:
            events.append(one)

    async def write() -> Replayed | None:
        async with opened(db, new=True) as runtime:
            done: Replayed | None = await runtime.sessions.replay(
                events, owner, outputs
            )
            return done

    terminal = Terminal()
    done = anyio.run(write)
    if done is None:
        terminal.tell("no events")
    else:
        kept = f", {done.outputs} new outputs" if outputs else ""
        terminal.tell(
            f"{visible(done.session_id)}: {done.accepted} new events, "
            f"the last one is {done.seq}{kept}"
        )


def _lines(file: BinaryIO) -> Iterator[ExportedEvent | ExportedOutput]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield exported_from_line(line)
            except UndecodableError as error:
                raise UndecodableError(f"line {number}", error.problems) from error
