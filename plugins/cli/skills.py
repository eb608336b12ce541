"""The command ``skills``: which instruction packages a directory has, and which not."""

from collections.abc import Sequence

import anyio
import click
from dovetail.kernel import Json, Skill, SkillProblem, to_json

from ..console.exits import FAILED, SUCCEEDED
from ..console.listing import table
from ..console.options import directory_of, json_line, json_option, opened
from ..console.terminal import Terminal, first_line, visible

HEADS = ("name", "told", "description", "where")
STORE = "sqlite://"
"""In memory: nothing that is looked at here leaves anything behind."""
MAX_DESCRIPTION = 60


@click.command("skills", short_help="List the skills of a directory")
@click.option(
    "--location",
    metavar="DIR",
    default=".",
    show_default=True,
    help="The directory.",
)
@json_option("one skill, or one problem")
@click.pass_context
def skills_command(context: click.Context, location: str, as_json: bool) -> None:
    """List the skills that sessions of a directory can load, and what looks like one
    and is none, with the reason. A skill that models are not told of is for people to
    name.

    \b
    dovetail skills
    dovetail skills --location ~/work/app --json

    Exits with 1 where something looks like a skill and cannot be used.
    """
    terminal = Terminal()
    skills, problems = anyio.run(_found, location)
    if as_json:
        lines: list[Json] = [*map(_json, skills), *map(to_json, problems)]
        terminal.write("".join(map(json_line, lines)))
    else:
        if skills:
            rows = [_row(one) for one in skills]
            terminal.write(table(HEADS, rows, terminal.width, terminal.style))
        elif not problems:
            terminal.tell("no skills are found from here; see docs/skills.md")
        for one in skills:
            for rule in one.broken:
                terminal.tell(f"{visible(one.name)}: {visible(rule)}")
        for problem in problems:
            terminal.tell(f"{visible(problem.path)}: {visible(problem.problem)}")
    context.exit(FAILED if problems else SUCCEEDED)


async def _found(location: str) -> tuple[Sequence[Skill], Sequence[SkillProblem]]:
    async with (
        opened(STORE) as runtime,
        runtime.location(directory_of(location)) as here,
    ):
        return await here.skills(), await here.skill_problems()


def _row(one: Skill) -> tuple[str, ...]:
    told = "yes" if one.offered else "no"
    what = first_line(one.description)
    short = what if len(what) <= MAX_DESCRIPTION else f"{what[: MAX_DESCRIPTION - 1]}…"
    return (one.name, told, short, one.directory or "-")


def _json(one: Skill) -> Json:
    return {
        "name": one.name,
        "description": one.description,
        "directory": one.directory,
        "offered": one.offered,
        "license": one.license,
        "compatibility": one.compatibility,
        "broken": list(one.broken),
    }
