"""The command ``prune``: remove content of sessions that nobody needs any more."""

from collections.abc import Sequence

import anyio
import click
from dovetail.kernel import CleanedOutputs, Pruned, Retention, to_json

from ..console.options import database_option, json_line, json_option, opened
from ..console.terminal import Terminal, visible


@click.command("prune")
@click.argument("id", required=False)
@click.option(
    "--transcript",
    is_flag=True,
    help="Also what was said, and the title: gone for good, from the model's view too.",
)
@click.option(
    "--before",
    type=click.IntRange(min=0),
    metavar="N",
    help="Leave events from this sequence number on whole.",
)
@click.option(
    "--outputs",
    is_flag=True,
    help="Clean up, in all sessions, complete outputs of calls that are too old or too "
    "many, as [outputs] of your dovetail.toml says. It is done by itself, too.",
)
@database_option
@json_option("what was done on")
def prune_command(
    id: str | None,
    transcript: bool,
    before: int | None,
    outputs: bool,
    db: str | None,
    as_json: bool,
) -> None:
    """Remove content of an idle session, and keep what everything rests on.

    Without an option only what operators look at goes. Numbers, keys and hashes stay:
    the session goes on, exports and verifies as before. With --outputs and no ID, no
    session loses anything but complete outputs.

    \b
    dovetail prune ses_01a21f --transcript
    dovetail prune --outputs
    """
    if outputs and (id is not None or transcript or before is not None):
        raise click.UsageError("--outputs is for all sessions, and by itself")
    if outputs:
        _clean_outputs(db, as_json)
        return
    if id is None:
        raise click.UsageError("name a session, or clean up with --outputs")
    classes: Sequence[Retention] = ("trace", "transcript") if transcript else ("trace",)

    async def remove() -> Pruned:
        async with opened(db) as runtime:
            named = await runtime.sessions.find(id)
            done: Pruned = await runtime.sessions.prune(named, classes, before)
            return done

    terminal = Terminal()
    done = anyio.run(remove)
    if as_json:
        terminal.write(json_line(to_json(done)))
    else:
        terminal.tell(
            f"{visible(done.session_id)}: {done.events} events lost their content, "
            f"{done.bytes:,} bytes; {_on_disk(done)}"
        )


def _clean_outputs(db: str | None, as_json: bool) -> None:
    async def clean() -> CleanedOutputs:
        async with opened(db) as runtime:
            done: CleanedOutputs = await runtime.sessions.clean_outputs()
            return done

    terminal = Terminal()
    done = anyio.run(clean)
    if as_json:
        terminal.write(json_line(to_json(done)))
    else:
        terminal.tell(
            f"{done.outputs} outputs were cleaned up, {done.bytes:,} bytes; "
            f"{done.left:,} bytes stay"
        )


def _on_disk(done: Pruned) -> str:
    return (
        f"on disk {done.disk_before:,} bytes before and {done.disk_after:,} afterwards"
    )
