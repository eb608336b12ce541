"""The command ``agents``: who can be chosen here, and where each comes from."""

import os
from collections.abc import Sequence

import anyio
import click
from dovetail.kernel import (
    AgentProblem,
    AgentProfile,
    Json,
    to_json,
)

from ..console.exits import FAILED, SUCCEEDED
from ..console.listing import table
from ..console.options import directory_of, json_line, json_option, opened
from ..console.terminal import Terminal, first_line, visible

HEADS = ("name", "model", "from", "description")
STORE = "sqlite://"
"""In memory: nothing that is looked at here leaves anything behind."""
NEXT = (
    "`dovetail chat --agent NAME` or `dovetail run --agent NAME` takes one; a file "
    ".dovetail/agents/NAME.md adds one, or says more of one"
)
"""What one can do with the list."""


@click.command("agents", short_help="List the agents of a directory")
@click.option(
    "--location",
    metavar="DIR",
    default=".",
    show_default=True,
    help="The directory.",
)
@json_option("one agent, or one problem")
@click.pass_context
def agents_command(context: click.Context, location: str, as_json: bool) -> None:
    """List the agents that sessions of a directory can use, with the plugin that offers
    each and the files that say more of it. The last of them has the last word.

    An agent is a Markdown file, .dovetail/agents/NAME.md: lines of NAME: VALUE between
    two lines of ---, such as description, model and tools, and then what it is told.

    Exits with 1 where a file looks like an agent and cannot be used, and says why.

    \b
    dovetail agents
    dovetail agents --location ~/work/app --json
    """
    terminal = Terminal()
    agents, problems = anyio.run(_found, location)
    if as_json:
        lines = [*map(_json, agents), *map(to_json, problems)]
        terminal.write("".join(json_line(one) for one in lines))
    else:
        rows = [_row(one, location) for one in agents]
        terminal.write(table(HEADS, rows, terminal.width, terminal.style))
        for one in problems:
            terminal.tell(f"{visible(one.path)}: {visible(one.problem)}")
        terminal.tell(terminal.error_style.dim(NEXT))
    unusable = any(not one.used for one in problems)
    context.exit(FAILED if unusable else SUCCEEDED)


async def _found(
    location: str,
) -> tuple[Sequence[AgentProfile], Sequence[AgentProblem]]:
    async with (
        opened(STORE) as runtime,
        runtime.location(directory_of(location)) as here,
    ):
        return await here.agents(), await here.agent_problems()


def _row(one: AgentProfile, location: str) -> tuple[str, ...]:
    model = one.model or ("the small one" if one.small else "-")
    # A path of the directory is known by its end.
    here = f"{os.path.realpath(location)}/"
    sources = ", ".join(source.removeprefix(here) for source in one.sources)
    return (one.name, model, sources, first_line(one.description))


def _json(one: AgentProfile) -> Json:
    return {
        "name": one.name,
        "description": one.description,
        "model": one.model,
        "small": one.small,
        "steps": one.steps,
        "tools": None if one.tools is None else list(one.tools),
        "without": list(one.without),
        "rules": len(one.rules),
        "sources": list(one.sources),
    }
