"""The tool ``write``: make a text the whole content of a file.

Its effect class is ``reconcilable``. Writing twice is not harmless: between the two,
somebody may have changed the file, and the second write would undo that. But whether
a write was done can be asked of the world: the file holds exactly this text or not.
"""

import os
from functools import partial

import anyio.to_thread
from attrs import frozen
from dovetail.kernel import Tool, ToolContext

from . import _fields as fields
from ._files import Files, Written
from ._paths import Target, approve, check_kind, failure, resolve
from ._text import BOM, BOM_BYTES, plural

DESCRIPTION = """\
Write a text file: it is created, with its folders, or replaced as a whole. For a \
change to a part of an existing file use edit; read a file before you replace it."""

_PREVIEW = 2000


@frozen
class WriteInput:
    path: str = fields.text(
        "The file: relative to the working directory, or absolute.", min_length=1
    )
    content: str = fields.text("The complete new content.")


@frozen
class WriteOutput:
    path: str
    created: bool
    """Whether there was no such file before."""
    bytes: int


def write_tool(files: Files) -> Tool[WriteInput, WriteOutput]:
    """Return the tool ``write``."""
    return Tool(
        name="write",
        description=DESCRIPTION,
        input=WriteInput,
        output=WriteOutput,
        effect="reconcilable",
        execute=partial(_execute, files),
        render=_render,
    )


async def _execute(
    files: Files, input: WriteInput, context: ToolContext
) -> WriteOutput:
    try:
        data = input.content.removeprefix(BOM).encode()
    except UnicodeEncodeError as error:
        why = f"the content has a lone surrogate at character {error.start}"
        raise failure("write", input.path, why, "it has no UTF-8") from error
    target = await resolve(context.location, input.path, "write")
    await approve(
        target,
        context,
        "edit",
        (target.resource,),
        {"tool": "write", "bytes": len(data), "content": input.content[:_PREVIEW]},
    )
    marked = input.content.startswith(BOM)
    # Not cancellable: once begun, a replacement is finished, and it is short.
    done = await anyio.to_thread.run_sync(_write, files, target, data, marked)
    context.saw(target.canonical, done.digest)
    return WriteOutput(target.resource, done.created, done.size)


def _render(output: WriteOutput) -> str:
    verb = "Created" if output.created else "Replaced"
    return f"{verb} {output.path} ({plural(output.bytes, 'byte')})"


def _write(files: Files, target: Target, data: bytes, marked: bool) -> Written:
    if target.kind != "missing":
        check_kind(target, "write", "file")
    if target.given.endswith("/"):
        raise failure("write", target.given, "a file's path does not end in '/'")
    with files.alone(target):
        if target.kind == "file" and not marked:
            with files.open(target, "write") as descriptor:
                marked = _begins_with_mark(descriptor)
        # Exactly one byte order mark, if the file had one or the content brings one.
        return files.replace(target, BOM_BYTES + data if marked else data, "write")


def _begins_with_mark(descriptor: int) -> bool:
    return os.pread(descriptor, 3, 0) == BOM_BYTES
