"""The command ``acp``: one editor, served on standard input and output."""

import signal
from typing import Any

import anyio
import click
from anyio.abc import TaskStatus
from dovetail.kernel import DATABASE_VARIABLE, default_database_url, open_runtime

LEASE_SECONDS = 3
"""How long the next process waits when this one is killed. A person waits for it."""


@click.command("acp")
@click.option(
    "--db",
    metavar="URL",
    envvar=DATABASE_VARIABLE,
    help="The database, such as sqlite:///agents.db. "
    f"[default: {DATABASE_VARIABLE}, or a file of yours]",
)
def acp_command(db: str | None) -> int:
    """Serve an editor that speaks the Agent Client Protocol.

    An editor starts this and speaks with it on standard input and output; whatever
    there is to tell besides goes to standard error. SIGTERM, Ctrl-C and the end of the
    input end it: what runs is interrupted and settled, and can be gone on with.
    """
    # Here, because it needs the extra.
    try:
        import acp  # noqa: F401
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f'{error.name} is not installed: pip install "dovetail[acp]"'
        ) from error
    anyio.run(_serve, db or default_database_url())
    return 0


async def _serve(url: str) -> None:
    from .agent import Agent
    from .standard import StandardStream

    with StandardStream() as stream:
        async with open_runtime(url, lease_seconds=LEASE_SECONDS) as runtime:
            agent = Agent(runtime, stream)
            async with anyio.create_task_group() as tasks:
                await tasks.start(_until_signal, agent)
                await agent.run()
                tasks.cancel_scope.cancel()


async def _until_signal(
    agent: Any, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            agent.drain()
