"""The command ``chat``: what the command line says of a conversation."""

import click
from dovetail.kernel import DATABASE_VARIABLE

from .opening import converse, is_terminal


@click.command("chat")
@click.option(
    "-m", "--model", metavar="M", help="provider/model, such as openai/gpt-5.2."
)
@click.option("--agent", metavar="A", help="The agent profile.")
@click.option(
    "-s",
    "--session",
    metavar="ID",
    help="Go on with this session; the beginning of its id will do.",
)
@click.option(
    "-c",
    "--continue",
    "newest",
    is_flag=True,
    help="Go on with the one used last here.",
)
@click.option(
    "--location", metavar="DIR", help="Where to work. [default: the working directory]"
)
@click.option(
    "--db",
    metavar="URL",
    envvar=DATABASE_VARIABLE,
    help="The database, such as sqlite:///agents.db. "
    f"[default: {DATABASE_VARIABLE}, or a file of yours]",
)
@click.option(
    "--plain",
    is_flag=True,
    help="Only lines, one after another: for screen readers and simple terminals.",
)
def chat_command(
    model: str | None,
    agent: str | None,
    session: str | None,
    newest: bool,
    location: str | None,
    db: str | None,
    plain: bool,
) -> int:
    """Talk with a model that works in this directory.

    `dovetail` alone does the same. /help there shows its keys and commands. What was
    said is durable: after a crash the next conversation here offers what was left.
    """
    if session is not None and newest:
        raise click.UsageError("--session and --continue exclude each other")
    if not is_terminal():
        raise click.UsageError(
            "a conversation needs a terminal; `dovetail run` works without one"
        )
    wanted = {
        "model": model,
        "agent": agent,
        "session": session,
        "newest": newest,
        "location": location,
        "db": db,
    }
    return converse(wanted, plain=plain)
