"""The tool ``glob``: find files by their names."""

from functools import partial

from attrs import frozen
from dovetail.kernel import Action, Tool, ToolContext

from . import _fields as fields
from ._paths import EXTERNAL, READ, approve, hold_open, resolve, shown_path
from ._search import MAX_RESULTS, Search, file_pattern, left_out
from ._text import plural

DESCRIPTION = """\
Find files by a pattern such as "*.py", "src/**/*.ts" or "test_{a,b}*": * and ? stay \
within a name, ** stands for any folders, and a pattern without a slash is looked for \
at any depth. Hidden files, unless the pattern names them as ".github/**" does, and \
files that .gitignore or .ignore names are left out; the exact path of a file always \
finds it. Paths come sorted."""


@frozen
class GlobInput:
    pattern: str = fields.text("The pattern of the paths to find.", min_length=1)
    path: str = fields.text(
        "The folder to search below; the working directory if left out.", default="."
    )
    limit: int = fields.number(
        "How many paths to return.",
        minimum=1,
        maximum=MAX_RESULTS,
        default=MAX_RESULTS,
    )


@frozen
class GlobOutput:
    paths: tuple[str, ...]
    """Relative to the Location, or absolute outside it; sorted."""
    truncated: bool
    """There are more."""
    timed_out: bool
    left_out: int = 0
    """Files that may not be read without a question; only those that were met."""


def glob_tool(search: Search) -> Tool[GlobInput, GlobOutput]:
    """Return the tool ``glob``."""
    return Tool(
        name="glob",
        description=DESCRIPTION,
        input=GlobInput,
        output=GlobOutput,
        effect="pure",
        asks=(Action("glob", "text", "list files by a pattern"), EXTERNAL, READ),
        execute=partial(_execute, search),
        render=_render,
        bound="end",
    )


async def _execute(
    search: Search, input: GlobInput, context: ToolContext
) -> GlobOutput:
    file_pattern(input.pattern)
    target = await resolve(context.location, input.path, "search")
    pattern = input.pattern
    if pattern.startswith(f"{target.canonical}/"):
        # Written as an absolute path below the folder: what is meant is clear.
        pattern = pattern[len(target.canonical) + 1 :]
    await approve(
        target,
        context,
        "glob",
        (input.pattern,),
        {"path": target.resource, "limit": input.limit},
    )
    async with hold_open(target, "search") as folder:
        allowed = await context.allowing("read")
        found = await search.files(
            folder,
            target.canonical,
            pattern,
            input.limit,
            lambda path: allowed(target.below(path)),
        )
    return GlobOutput(
        tuple(target.below(path) for path in found.paths),
        found.truncated,
        found.timed_out,
        found.left_out,
    )


def _render(output: GlobOutput) -> str:
    lines = [shown_path(path) for path in output.paths]
    if output.truncated:
        lines.append(
            f"\n(only the first {plural(len(output.paths), 'path')}; there are more: "
            "use a narrower pattern or path)"
        )
    if output.timed_out:
        lines.append("\n(the time was over before everything was searched)")
    if not output.paths:
        lines.append("(no file matches; hidden and ignored ones are left out)")
    if output.left_out:
        lines.append(f"\n({left_out(output.left_out)})")
    return "\n".join(lines)
