"""The tool ``write``: make a text the whole content of a file.

Its effect class is ``reconcilable``. Writing twice is not harmless: between the two,
somebody may have changed the file, and the second write would undo that. But whether
a write was done can be asked of the world. Where the file holds exactly this text, it
was. Where there is no file, nothing can be undone, so it may be done. Where the file
holds another text, that may be older or newer than the call: this is left to whoever
can tell.
"""

import hashlib
import os
from functools import partial

import anyio.from_thread
import anyio.to_thread
from attrs import frozen
from dovetail.kernel import Tool, ToolContext

from . import _fields as fields
from ._editor import RESHAPED, held_after, through_editor
from ._files import IN_PLACE, Files, Through, Written
from ._leftovers import tidy
from ._paths import (
    EDIT,
    EXTERNAL,
    READ,
    Target,
    approve,
    check_kind,
    failure,
    refuse_unsaved,
    resolve,
)
from ._restore import CUT_OFF, known, restore
from ._text import (
    BOM,
    BOM_BYTES,
    LineEnding,
    plural,
    usual_ending,
    wide_encoding,
    with_ending,
)

DESCRIPTION = """\
Write a text file: it is created, with its folders, or replaced as a whole. For a \
change to a part of an existing file use edit; read a file before you replace it. The \
line endings that a file has are kept."""

MAX_CONTENT = 50 * 1024 * 1024
"""Bytes of one content."""
_PREVIEW = 2000
_SAMPLE = 1024 * 1024
"""Bytes of an existing file that are looked at for its line endings."""


@frozen
class WriteInput:
    path: str = fields.text(
        "The file: relative to the working directory, or absolute.", min_length=1
    )
    content: str = fields.text("The complete new content.")


@frozen
class WriteOutput:
    path: str
    created: bool | None
    """Whether there was no such file before. None: it was found done, after a crash."""
    bytes: int
    kept_ending: LineEnding | None = None
    """The line ending that the file had and the content had not, and that was kept."""
    in_place: bool = False
    """It was not atomic, because the file cannot be replaced."""
    reshaped: bool = False
    """The editor that wrote it saved another text than it was given."""
    was: str | None = None
    """The encoding that the file had, where it was not UTF-8, which it is now."""


def write_tool(files: Files) -> Tool[WriteInput, WriteOutput]:
    """Return the tool ``write``."""
    return Tool(
        name="write",
        description=DESCRIPTION,
        input=WriteInput,
        output=WriteOutput,
        effect="reconcilable",
        asks=(EDIT, READ, EXTERNAL),
        execute=partial(_execute, files),
        check=partial(_check, files),
        clear=partial(_clear, files),
        restore=partial(restore, files),
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
    if len(data) > MAX_CONTENT:
        why = f"the content has {plural(len(data), 'byte')}, over {MAX_CONTENT:,}"
        raise failure("write", input.path, why)
    target = await resolve(context.location, input.path, "write")
    await approve(
        target,
        context,
        "edit",
        (target.resource,),
        {"tool": "write", "bytes": len(data), "content": input.content[:_PREVIEW]},
    )
    await refuse_unsaved(target, context, "write")
    # Not cancellable: once begun, a replacement is finished, and it is short.
    done, kept, was, held, data = await anyio.to_thread.run_sync(
        _write,
        files,
        target,
        input.content,
        context.effect_token,
        through_editor(context),
    )
    context.saw(target.canonical, done.digest)
    context.changed(target.canonical, held, data, folders=done.folders)
    return WriteOutput(
        target.resource,
        done.created,
        done.size,
        kept,
        done.in_place,
        done.instead is not None,
        was,
    )


async def _check(
    files: Files, input: WriteInput, context: ToolContext
) -> WriteOutput | None:
    """Tell whether the file holds exactly this text; None when there is no file.

    Asks for the right to read, not to edit: an answer of "once" is left for the write.

    Raises:
        ToolFailure: it holds something else, or cannot be looked at.
        PermissionDeniedError: it may not be read.
    """
    try:
        data = input.content.removeprefix(BOM).encode()
    except UnicodeEncodeError:
        return None  # such a text is refused before anything is touched
    target = await resolve(context.location, input.path, "check")
    if target.kind == "missing":
        return None
    await approve(target, context, "read", (target.resource,), {"tool": "write"})
    # The mark and the line endings are kept where the file had them.
    text = data.decode()
    kept: tuple[LineEnding, ...] = ("none", "lf", "crlf")
    bodies = {with_ending(text, ending).encode(): None for ending in kept}
    wanted = [BOM_BYTES + body for body in bodies]
    if not input.content.startswith(BOM):
        wanted += bodies
    found = await anyio.to_thread.run_sync(_held, files, target, wanted)
    context.saw(target.canonical, hashlib.sha256(found).hexdigest())
    context.changed(target.canonical, None, found, unknown=CUT_OFF)
    return WriteOutput(target.resource, None, len(found))


async def _clear(files: Files, input: WriteInput, context: ToolContext) -> str | None:
    return await tidy(files, context, (input.path,))


def _held(files: Files, target: Target, wanted: list[bytes]) -> bytes:
    """Return which of these contents the file has."""
    with files.open(target, "check") as descriptor:
        size = os.fstat(descriptor).st_size
        for data in wanted:
            if len(data) == size and _holds(descriptor, data):
                return data
    raise failure(
        "check",
        target.given,
        "it does not hold the text that was to be written",
        "it may have held it before somebody changed it",
    )


def _holds(descriptor: int, data: bytes) -> bool:
    offset = 0
    while chunk := os.pread(descriptor, 1_048_576, offset):
        anyio.from_thread.check_cancelled()
        if chunk != data[offset : offset + len(chunk)]:
            return False
        offset += len(chunk)
    return offset == len(data)


def _render(output: WriteOutput) -> str:
    verb = {True: "Created", False: "Replaced", None: "Wrote"}[output.created]
    notes = [plural(output.bytes, "byte")]
    if output.kept_ending is not None:
        notes.append(f"its {output.kept_ending.upper()} line endings were kept")
    if output.was is not None:
        notes.append(f"it was {output.was} before, and is UTF-8 now")
    if output.in_place:
        notes.append(IN_PLACE)
    if output.reshaped:
        notes.append(RESHAPED)
    return f"{verb} {output.path} ({'; '.join(notes)})"


def _write(
    files: Files, target: Target, content: str, token: str, through: Through
) -> tuple[Written, LineEnding | None, str | None, bytes | None, bytes]:
    if target.kind != "missing":
        check_kind(target, "write", "file")
    if target.given.endswith("/"):
        raise failure("write", target.given, "a file's path does not end in '/'")
    marked = content.startswith(BOM)
    text = content.removeprefix(BOM)
    kept: LineEnding | None = None
    was: str | None = None
    held: bytes | None = None
    with files.alone(target):
        if target.kind == "file":
            held, _ = known(files, target)
            with files.open(target, "write") as descriptor:
                head = os.pread(descriptor, _SAMPLE, 0)
            # Exactly one mark, if the file had one or the content brings one.
            marked = marked or head.startswith(BOM_BYTES)
            was = wide_encoding(head)
            ending = usual_ending(head) if was is None else "none"
            converted = with_ending(text, ending)
            if converted != text:
                kept, text = ending, converted
        data = BOM_BYTES + text.encode() if marked else text.encode()
        done = files.replace(target, data, "write", token=token, through=through)
    return done, kept, was, held, held_after(done, data)
