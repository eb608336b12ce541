"""The command ``log``: the durable events of a session, as they are stored."""

from collections.abc import Mapping

import anyio
import click
from dovetail.kernel import Event, Json, event_to_json

from ..console.listing import moment
from ..console.options import database_option, json_line, json_option, opened
from ..console.terminal import Style, Terminal, short, visible
from .named import named_session

MAX_FIELD = 60
_ENVELOPE = ("seq", "kind", "version", "session_id", "created")


@click.command("log")
@click.argument("id")
@click.option(
    "-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C."
)
@click.option(
    "--after",
    type=click.IntRange(min=-1),
    metavar="N",
    help="Begin after this sequence number.",
)
@database_option
@json_option("one event")
def log_command(
    id: str, follow: bool, after: int | None, db: str | None, as_json: bool
) -> None:
    """Show the events of a session in order, from its first one on.

    \b
    dovetail log ses_01a21f --follow
    dovetail log ses_01a21f --json | jq -r .kind
    """
    terminal = Terminal()

    async def read() -> None:
        async with (
            opened(db) as runtime,
            (await named_session(runtime, id)).events(after, follow) as tail,
        ):
            async for event in tail:
                if as_json:
                    await terminal.show(json_line(event_to_json(event)))
                else:
                    await terminal.show(event_line(event, terminal))

    anyio.run(read)


def event_line(event: Event, terminal: Terminal) -> str:
    """Return an event on one line."""
    shown = event_to_json(event)
    own = {name: value for name, value in shown.items() if name not in _ENVELOPE}
    when = terminal.style.dim(moment(event.created))
    fields = _fields(own, terminal.style)
    line = f"{event.seq:>5}  {when}  {visible(event.kind):<22} {fields}"
    return line.rstrip() + "\n"


def _fields(own: Mapping[str, Json], style: Style) -> str:
    return " ".join(
        f"{style.dim(f'{name}=')}{_value(value)}"
        for name, value in own.items()
        if value not in (None, "", [], {})
    )


def _value(value: Json) -> str:
    if isinstance(value, str):
        shown = short(value, MAX_FIELD)
        return f'"{shown}"' if " " in shown else shown
    return short(json_line(value).rstrip(), MAX_FIELD)
