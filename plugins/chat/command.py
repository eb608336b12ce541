"""The command ``chat``: a conversation at a terminal, from its first row to its end.

Draws the prompt line first and opens everything else beside it: whoever types does not
wait for a database.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any

import anyio
import click
from anyio import to_thread
from dovetail.kernel import DATABASE_VARIABLE


@click.command("chat")
@click.option("--model", metavar="M", help="provider/model, such as openai/gpt-5.2.")
@click.option("--agent", metavar="A", help="The agent profile.")
@click.option("--session", metavar="ID", help="Go on with this session.")
@click.option(
    "-c", "--continue", "newest", is_flag=True, help="Go on with the newest one here."
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
    lines = plain or os.environ.get("TERM") == "dumb"
    code = anyio.run(_converse, wanted, lines)
    if code != NO_MODEL:
        return code
    # First use: the conversation is over before it began, and begins anew with what
    # the person chooses.
    setup: Any = import_module("dovetail.plugins.cli.setup")
    chosen = setup.first_model()
    if chosen is None:
        return USAGE
    return anyio.run(_converse, {**wanted, "model": chosen}, lines)


NO_MODEL = -1
"""What a conversation comes to that could not begin, because there is no model."""
USAGE = 2


def is_terminal() -> bool:
    """Return whether a person sits at standard input and output."""
    return all(
        stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)
    )


async def _converse(wanted: dict[str, Any], plain: bool) -> int:
    screen: Any
    if plain:
        from .plain import PlainScreen

        screen = PlainScreen()
    else:
        from .history import history_path
        from .screen import LiveScreen

        colour = not os.environ.get("NO_COLOR")
        screen = LiveScreen(colour=colour, history=history_path())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, screen.leave)
    failed: list[BaseException] = []

    async def host() -> None:
        try:
            # In a thread, and only now: the prompt line is there already.
            opening = await to_thread.run_sync(import_module, f"{__package__}.hosting")
            await opening.host(wanted, screen, plain=plain)
        except Exception as error:
            # Told when the screen is gone, as every command tells it.
            failed.append(error)
            screen.leave()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(host)
        await screen.run()
        tasks.cancel_scope.cancel()
    with suppress(OSError):
        sys.stdout.flush()
    if failed:
        told: int | None = await _told(failed[0])
        if told is None:
            raise failed[0]
        return told
    return 0


async def _told(error: BaseException) -> int | None:
    hosting: Any = import_module(f"{__package__}.hosting")
    code: int | None = hosting.tell(error)
    return code
