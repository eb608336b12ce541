"""The command ``sessions``: list sessions, rename and remove them."""

import anyio
import click
from click.core import ParameterSource
from dovetail.kernel import Page, SessionInfo, to_json

from ..console.listing import ago, money, table
from ..console.options import (
    command_text,
    database_option,
    json_line,
    json_option,
    opened,
)
from ..console.terminal import Terminal, short, visible
from .named import named_session
from .remove import remove_command

HEADS = ("id", "updated", "outcome", "cost", "title", "location")
MAX_TITLE = 40


@click.group("sessions", invoke_without_command=True)
@click.option("--location", metavar="DIR", help="Only those of this directory.")
@click.option("--search", metavar="TEXT", help="Only those with this in their title.")
@click.option("--parent", metavar="ID", help="Only the children of this session.")
@click.option("--all", "every", is_flag=True, help="Also those that work for others.")
@click.option(
    "--limit",
    type=click.IntRange(1, 200),
    default=50,
    show_default=True,
    metavar="N",
    help="At most so many.",
)
@click.option("--cursor", metavar="CURSOR", help="Go on where an earlier page ended.")
@database_option
@json_option("one session")
@click.pass_context
def sessions_command(
    context: click.Context,
    location: str | None,
    search: str | None,
    parent: str | None,
    every: bool,
    limit: int,
    cursor: str | None,
    db: str | None,
    as_json: bool,
) -> None:
    """List sessions, the newest first, but for those that work for another one.

    \b
    dovetail sessions
    dovetail sessions --search parser --location .
    dovetail sessions rename ses_01a21f "The parser"
    dovetail sessions rm --older-than 30d
    """
    if context.invoked_subcommand is not None:
        _refuse_options_of_the_list(context)
        return

    async def read() -> Page[SessionInfo]:
        async with opened(db) as runtime:
            found: Page[SessionInfo] = await runtime.sessions.list(
                location, search, limit, cursor, parent, parent is None and not every
            )
            return found

    if parent is not None and every:
        raise click.UsageError("--parent and --all: the children of one are not all")
    terminal = Terminal()
    page = anyio.run(read)
    if as_json:
        terminal.write("".join(json_line(to_json(info)) for info in page))
    elif page.items:
        rows = [_row(info) for info in page]
        terminal.write(table(HEADS, rows, terminal.width, terminal.style))
    else:
        terminal.tell("no sessions")
    if page.cursor is not None:
        again = ["sessions", "--cursor", page.cursor, "--limit", str(limit)]
        if location is not None:
            again += ["--location", location]
        if search is not None:
            again += ["--search", search]
        if parent is not None:
            again += ["--parent", parent]
        if every:
            again += ["--all"]
        terminal.tell(f"more: {visible(command_text(*again, db=db))}")


@sessions_command.command("rename", short_help="Call a session something else")
@click.argument("id")
@click.argument("title")
@database_option
def rename_command(id: str, title: str, db: str | None) -> None:
    """Call a session something else. The beginning of its id will do.

    \b
    dovetail sessions rename ses_01a21f "The parser"
    """

    if not title.strip():
        raise click.UsageError("a title says something")

    async def rename() -> str:
        async with opened(db) as runtime:
            session = await named_session(runtime, id)
            await session.rename(title)
            return str(session.id)

    terminal = Terminal()
    named = anyio.run(rename)
    terminal.tell(f"{visible(named)} is called {visible(title)} now")


def _refuse_options_of_the_list(context: click.Context) -> None:
    """Refuse what was said before the name of another command, which would not heed it:
    ``--db A rm`` must not remove from another database."""
    for param in context.command.params:
        if (
            context.get_parameter_source(param.name or "")
            is ParameterSource.COMMANDLINE
        ):
            raise click.UsageError(
                f"{param.opts[0]} is of the list alone: say what "
                f"{context.invoked_subcommand} takes behind its name",
                context,
            )


def _row(info: SessionInfo) -> tuple[str, ...]:
    outcome = info.outcome.status if info.status == "idle" else info.status
    return (
        info.id,
        ago(info.updated),
        outcome,
        money(info.cost, info.unpriced, digits=2) or "-",
        short(info.title or "-", MAX_TITLE),
        info.location.directory,
    )


sessions_command.add_command(remove_command)
