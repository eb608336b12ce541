"""The tool ``grep``: find lines by a regular expression.

Two permissions guard it. ``grep`` on the expression comes before anything is touched.
``read`` comes before a file is opened: a file that is named is asked for; of a folder,
only the files are searched that may be read without a question, and how many were left
out is said. So a file that may not be read is not read by another name, and whether
something is in it cannot be told by what is found, asked or refused (law access.7).
"""

import os
from functools import partial

import anyio.to_thread
from attrs import frozen
from dovetail.kernel import Action, Tool, ToolContext, ToolFailure

from . import _fields as fields
from ._files import Files
from ._paths import EXTERNAL, READ, Target, approve, hold_open, resolve, shown_path
from ._search import MAX_RESULTS, Found, Search, file_pattern, left_out
from ._text import plural

DESCRIPTION = """\
Find lines that match a regular expression (without look-around and back-references), \
shown as path:line:text and sorted by path. Each line is searched by itself. Hidden, \
binary and ignored files (.gitignore, .ignore) are left out. include limits the files \
by a pattern such as "*.py" or "src/**/*.{ts,tsx}"; "!*.lock" leaves some out, and \
".github/**" finds what is hidden there."""


@frozen
class GrepInput:
    pattern: str = fields.text("The regular expression to look for.", min_length=1)
    path: str = fields.text(
        "The folder or file to search; the working directory if left out.", default="."
    )
    include: str | None = fields.text(
        "A pattern of the files to search.", default=None, min_length=1
    )
    limit: int = fields.number(
        "How many lines to return.",
        minimum=1,
        maximum=MAX_RESULTS,
        default=MAX_RESULTS,
    )


@frozen
class GrepMatch:
    path: str
    """Relative to the Location, or absolute outside it."""
    line: int
    text: str
    """At most 2000 characters."""


@frozen
class GrepOutput:
    """What is recorded of a search beside what the model is shown."""

    lines: int
    truncated: bool
    """There are more."""
    timed_out: bool
    left_out: int
    """Files that may not be read without a question."""


@frozen
class GrepResult(GrepOutput):
    """The whole result. What is shown is recorded as content, so not once more here."""

    matches: tuple[GrepMatch, ...]


def grep_tool(search: Search, files: Files) -> Tool[GrepInput, GrepOutput]:
    """Return the tool ``grep``."""
    return Tool(
        name="grep",
        description=DESCRIPTION,
        input=GrepInput,
        output=GrepOutput,
        effect="pure",
        asks=(Action("grep", "text", "search in files"), EXTERNAL, READ),
        execute=partial(_execute, search, files),
        render=_render,
        bound="end",
    )


async def _execute(
    search: Search, files: Files, input: GrepInput, context: ToolContext
) -> GrepResult:
    if "\0" in input.pattern:
        raise ToolFailure("cannot search: the expression contains NUL")
    if input.include is not None:
        file_pattern(input.include)
    target = await resolve(context.location, input.path, "search")
    metadata: dict[str, object] = {"path": target.resource, "limit": input.limit}
    if input.include is not None:
        metadata["include"] = input.include
    await approve(target, context, "grep", (input.pattern,), metadata)
    if target.kind == "file":
        only = (target.resource,)
        await context.ask("read", only, save=only, begun=False)
        found = await _one_file(search, files, target, input)
        paths = {"-": target.resource}
    else:
        allowed = await context.allowing("read")
        async with hold_open(target, "search") as folder:
            found = await search.lines(
                folder,
                target.canonical,
                input.pattern,
                input.include,
                input.limit,
                lambda path: allowed(target.below(path)),
            )
        paths = {match.path: target.below(match.path) for match in found.matches}
    return GrepResult(
        len(found.matches),
        found.truncated,
        found.timed_out,
        found.left_out,
        tuple(
            GrepMatch(paths[match.path], match.line, match.text)
            for match in found.matches
        ),
    )


async def _one_file(
    search: Search, files: Files, target: Target, input: GrepInput
) -> Found:
    def opened() -> int:
        with files.open(target, "search") as descriptor:
            return os.dup(descriptor)

    # The child gets the verified file itself, not its name.
    descriptor = await anyio.to_thread.run_sync(opened)
    try:
        return await search.lines_of(descriptor, input.pattern, input.limit)
    finally:
        os.close(descriptor)


def _render(output: GrepOutput) -> str:
    assert isinstance(output, GrepResult)
    lines = [
        f"{shown_path(match.path)}:{match.line}:{match.text}"
        for match in output.matches
    ]
    if output.truncated:
        lines.append(
            f"\n(only the first {plural(len(output.matches), 'line')}; there are more: "
            "use a narrower expression, path or include)"
        )
    if output.timed_out:
        lines.append("\n(the time was over before everything was searched)")
    if not output.matches:
        lines.append("(no line matches; hidden and ignored files are left out)")
    if output.left_out:
        lines.append(f"\n({left_out(output.left_out)})")
    return "\n".join(lines)
