"""The command ``verify``: are the logs what was written, and what if not."""

import anyio
import click
from dovetail.kernel import Repaired, Verified, to_json

from ..console.exits import FAILED, SUCCEEDED
from ..console.options import (
    command_text,
    database_option,
    json_line,
    json_option,
    opened,
)
from ..console.terminal import Style, Terminal, visible


@click.command("verify")
@click.argument("id", required=False)
@click.option(
    "--repair",
    is_flag=True,
    help="Set aside what follows the last sound event of a damaged session.",
)
@database_option
@json_option("one session")
def verify_command(id: str | None, repair: bool, db: str | None, as_json: bool) -> int:
    """Check that the events of a session, or of all, are what was written.

    The exit code is 1 when something is damaged and was not repaired.

    \b
    dovetail verify
    dovetail verify ses_01a21f --repair
    """
    terminal = Terminal()

    async def run() -> int:
        left = []
        async with opened(db) as runtime:
            checked = await runtime.sessions.verify(
                None if id is None else await runtime.sessions.find(id)
            )
            for found in checked:
                line = json_line(to_json(found))
                await terminal.show(line if as_json else _line(found, terminal.style))
                if found.sound:
                    continue
                if repair and found.first_bad is not None:
                    done = await runtime.sessions.repair(found.session_id)
                    terminal.tell(_repaired(done))
                else:
                    left.append(found.session_id)
        if not checked:
            terminal.tell("no sessions")
        if left:
            again = command_text("verify", *([id] if id else []), "--repair", db=db)
            terminal.tell(f"to set aside what cannot be trusted: {visible(again)}")
        return FAILED if left else SUCCEEDED

    return anyio.run(run)


def _line(found: Verified, style: Style) -> str:
    name = visible(found.session_id)
    if found.sound:
        past = f"; {visible(found.past.message)}" if found.past else ""
        return f"{name}  {style.good('sound')}, {found.events} events{past}\n"
    if found.first_bad is None and found.past is not None:
        told = visible(found.past.message)
        return f"{name}  {style.bad('damaged')} in the past that it shares: {told}\n"
    return (
        f"{name}  {style.bad('damaged')} from event {found.first_bad} on: "
        f"{visible(found.problem or '')}; the last sound one is {found.last_sound}\n"
    )


def _repaired(done: Repaired) -> str:
    name = visible(done.found.session_id)
    return f"{name}: {done.set_aside} events were set aside; it goes on at {done.seq}"
