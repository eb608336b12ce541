"""The tool ``read``: a page of a text file, an image, a folder's entries, or a page of
a result that was cut.

Lines are shown as ``number``, a tab, the text: a model can then name a line, go on
from one, and copy text for ``edit`` exactly, because nothing but the first tab is
added. A tab is used because no line of a program begins with digits and a tab, and
because ``cat -n`` has taught it to every model.
"""

import base64
import heapq
import os
from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO
from typing import Literal

import anyio.from_thread
import anyio.to_thread
from attrs import evolve, frozen
from dovetail.kernel import (
    MAX_IMAGE_SOURCE,
    Content,
    FileContent,
    ImageRefusedError,
    ManagedPage,
    TextContent,
    Tool,
    ToolContext,
    ToolFailure,
    fit_image,
    image_type,
)

from . import _fields as fields
from ._files import Files, digest_of
from ._marks import RUNNING, LaterOutput
from ._paths import (
    EXTERNAL,
    READ,
    Target,
    approve,
    failure,
    open_anchor,
    open_directory,
    reason,
    resolve,
    shown_path,
)
from ._skill_files import LOAD, SKILL, Effect, skill_file
from ._text import (
    MAX_BYTES,
    MAX_LINES,
    Line,
    TextPage,
    binary_type,
    plural,
    read_page,
)

DESCRIPTION = """\
Read a text file, look at an image (PNG, JPEG, GIF, WebP), or list a folder.
Text comes as lines of "number<TAB>text", at most 2000 lines and 50 KiB at a time; the \
end of the result says how to go on. Lines over 2000 characters are cut. The number \
and the tab are not part of the file. Of a folder the names of its entries come, \
sorted, folders with a trailing slash. A result that was cut names a path \
"managed:KEY" and an offset: read these to see the rest. A command that left something \
running may name a path "running:NAME": its later output. A file of a skill is \
"skill:NAME/FILE"."""

UNSAVED = (
    "(this is what a person has before them in an editor, and has not saved: the file "
    "itself holds something else, and cannot be changed before it is saved)"
)
_MANAGED = "managed:"
"""A file whose name begins like that is reached as ``./managed:...``, and so with
``running:``."""


@frozen
class ReadInput:
    path: str = fields.text(
        "The file or folder: relative to the working directory, or absolute. Or "
        "managed:KEY, as a result that was cut names it.",
        min_length=1,
    )
    offset: int = fields.number(
        "The first line (or entry of a folder) to show, counted from 1.",
        minimum=1,
        default=1,
    )
    limit: int = fields.number(
        "How many lines (or entries) to show.",
        minimum=1,
        maximum=MAX_LINES,
        default=MAX_LINES,
    )


@frozen
class ReadOutput:
    """What is recorded of a read beside what the model is shown."""

    kind: Literal["text", "folder", "image", "output"]
    path: str
    """Relative to the Location, or absolute outside it."""
    next: int | None = None
    """The ``offset`` that goes on after this page."""


@frozen
class ReadPage(ReadOutput):
    """The whole result. What is shown is recorded as content, so not once more here."""

    text: str = ""
    """Numbered lines, entries, or what the image is."""
    file: FileContent | None = None


def read_tool(
    files: Files, later: LaterOutput, effect: Effect
) -> Tool[ReadInput, ReadOutput]:
    """Return the tool ``read``. ``effect`` says what the rules are."""
    return Tool(
        name="read",
        description=DESCRIPTION,
        input=ReadInput,
        output=ReadOutput,
        effect="pure",
        asks=(READ, EXTERNAL, LOAD),
        execute=partial(_execute, files, later, effect),
        render=_render,
        bound="end",
    )


async def _execute(
    files: Files,
    later: LaterOutput,
    effect: Effect,
    input: ReadInput,
    context: ToolContext,
) -> ReadPage:
    if input.path.startswith(_MANAGED):
        # Asks for nothing: it is this session's own, and the kernel sees to that.
        key = input.path.removeprefix(_MANAGED)
        return _output(input, await context.managed(key, input.offset, input.limit))
    if input.path.startswith(RUNNING):
        # This session's own, too: its name is looked for in no other's folder.
        return await anyio.to_thread.run_sync(_later, later, context.session_id, input)
    if input.path.startswith(SKILL):
        target = await skill_file(input.path, context, effect)
    else:
        target = await resolve(context.location, input.path, "read")
        await approve(target, context, "read", (target.resource,))
        if target.kind == "file":
            unsaved = await context.unsaved(target.canonical)
            if unsaved is not None:
                return await anyio.to_thread.run_sync(_unsaved, target, unsaved, input)
    # The thread asks between chunks whether the call was cancelled.
    page, digest = await anyio.to_thread.run_sync(_read, files, target, input)
    if digest is not None:
        context.saw(target.canonical, digest)
    return page


def _render(output: ReadOutput) -> Sequence[Content]:
    assert isinstance(output, ReadPage)
    shown: list[Content] = [TextContent(output.text)]
    if output.file is not None:
        shown.append(output.file)
    return shown


def _output(input: ReadInput, page: ManagedPage) -> ReadPage:
    if not page.lines:
        raise failure(
            "read",
            input.path,
            f"offset {input.offset} is past the end",
            f"the output has {plural(page.total, 'line')}",
        )
    shown: list[str] = []
    budget = MAX_BYTES - 1024
    for number, line in enumerate(page.lines[: MAX_LINES - 2], page.first):
        shown.append(f"{number}\t{line}")
        budget -= len(shown[-1].encode()) + 1
        if budget < 0:
            shown.pop()
            break
    after = page.first + len(shown)
    text = "\n".join(shown)
    if after > page.total:
        return ReadPage("output", input.path, None, text)
    note = (
        f"lines {page.first}-{after - 1} of {page.total:,}: go on with offset={after}"
    )
    return ReadPage("output", input.path, after, f"{text}\n\n({note})")


def _later(later: LaterOutput, session_id: str, input: ReadInput) -> ReadPage:
    """Return what a left process printed so far."""
    descriptor = later.open(session_id, input.path.removeprefix(RUNNING))
    if descriptor is None:
        why = "no command of this session left such an output, or it is gone"
        raise failure("read", input.path, why)
    try:
        size = os.fstat(descriptor).st_size
        page = read_page(
            partial(os.read, descriptor),
            input.offset,
            input.limit,
            anyio.from_thread.check_cancelled,
        )
    finally:
        os.close(descriptor)
    if page.binary:
        raise failure("read", input.path, "it is binary data, not text")
    if not size:
        return ReadPage("output", input.path, None, "(nothing was printed yet)")
    shown = _page(input.path, input.path, page, input, size)
    return evolve(shown, kind="output")


def _unsaved(target: Target, text: str, input: ReadInput) -> ReadPage:
    """Return a page of what a person has before them in an editor."""
    data = text.encode("utf-8", "replace")
    page = read_page(
        BytesIO(data).read,
        input.offset,
        input.limit,
        anyio.from_thread.check_cancelled,
    )
    if len(page.lines) > MAX_LINES - 4:
        # The note and the blank line before it count as lines of the result too.
        page = evolve(page, lines=page.lines[: MAX_LINES - 4], total=None, more=True)
    shown = _page(target.given, target.resource, page, input, len(data))
    return evolve(shown, text=f"{shown.text}\n\n{UNSAVED}")


def _read(
    files: Files, target: Target, input: ReadInput
) -> tuple[ReadPage, str | None]:
    """Return the page, and the digest of the whole file."""
    if target.kind == "directory":
        return _folder(target, input), None
    if target.kind == "missing":
        raise _missing(target)
    with files.open(target, "read") as descriptor:
        try:
            page = _file(target, descriptor, input)
            return page, digest_of(descriptor, anyio.from_thread.check_cancelled)
        except OSError as error:
            raise failure("read", target.given, reason(error)) from error


def _file(target: Target, descriptor: int, input: ReadInput) -> ReadPage:
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, 4096, 0)
    mime = image_type(head)
    if mime is not None:
        return _image(target, descriptor, mime, size)
    binary = binary_type(head)
    if binary is None:
        page = read_page(
            partial(os.read, descriptor),
            input.offset,
            input.limit,
            anyio.from_thread.check_cancelled,
        )
        if not page.binary:
            return _page(target.given, target.resource, page, input, size)
    raise failure(
        "read",
        target.given,
        f"it is {binary or 'binary data'}, {plural(size, 'byte')}, not text",
        "look at it with a program that knows the format",
    )


def _page(
    given: str, resource: str, page: TextPage, input: ReadInput, size: int
) -> ReadPage:
    if not page.lines and (page.total or input.offset > 1):
        raise failure(
            "read",
            given,
            f"offset {input.offset} is past the end",
            f"the file has {plural(page.total or 0, 'line')}",
        )
    notes = _notes(page, size)
    if notes and len(page.lines) > MAX_LINES - 2:
        # The notes and the blank line before them count as lines of the result too.
        page = evolve(page, lines=page.lines[: MAX_LINES - 2], total=None, more=True)
        notes = _notes(page, size)
    text = "\n".join(f"{line.number}\t{line.text}" for line in page.lines)
    if notes:
        text = "\n\n".join(part for part in (text, f"({'; '.join(notes)})") if part)
    return ReadPage("text", resource, page.next, text)


def _notes(page: TextPage, size: int) -> list[str]:
    notes: list[str] = []
    if not page.lines:
        notes.append("the file is empty")
    elif page.next is not None:
        first, last = page.lines[0].number, page.lines[-1].number
        notes.append(
            f"lines {first}-{last} of a file of {plural(size, 'byte')}: "
            f"go on with offset={page.next}"
        )
    if page.bom:
        notes.append("the file begins with a UTF-8 byte order mark")
    damaged = [line for line in page.lines if line.damaged]
    if damaged:
        notes.append(
            f"bytes that are not UTF-8 are shown as \ufffd on {_lines(damaged)}"
        )
    shortened = [line for line in page.lines if line.shortened]
    if shortened:
        notes.append(f"cut: {_lines(shortened)}")
    # The last line of a file may end without any newline; it says nothing.
    ended = page.lines if page.next is not None else page.lines[:-1]
    pairs = [line for line in page.lines if line.crlf]
    if pairs and len(pairs) < len(ended):
        notes.append(f"line endings are mixed; CRLF ends {_lines(pairs)}")
    elif pairs:
        notes.append("lines end with CRLF")
    return notes


def _lines(lines: Sequence[Line]) -> str:
    shown = ", ".join(str(line.number) for line in lines[:10])
    more = f" and {len(lines) - 10} more" if len(lines) > 10 else ""
    return f"line{'s' if len(lines) > 1 else ''} {shown}{more}"


def _image(target: Target, descriptor: int, mime: str, size: int) -> ReadPage:
    if size > MAX_IMAGE_SOURCE:
        raise failure(
            "read",
            target.given,
            f"it is an image ({mime}) of {plural(size, 'byte')}, over "
            f"{MAX_IMAGE_SOURCE:,}",
            "make a smaller copy and read that",
        )
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        data = file.read(MAX_IMAGE_SOURCE + 1)
    if len(data) > MAX_IMAGE_SOURCE:
        raise failure("read", target.given, "it grew while it was read")
    try:
        fitted = fit_image(data)
    except ImageRefusedError as error:
        why = f"it is an image ({mime}), and {error}"
        raise failure("read", target.given, why) from error
    about = "; ".join((f"{mime}, {plural(len(data), 'byte')}", *fitted.notes))
    encoded = base64.b64encode(fitted.data).decode()
    return ReadPage(
        "image",
        target.resource,
        text=f"{target.resource} is an image ({about})",
        file=FileContent(fitted.mime, encoded, target.name),
    )


def _folder(target: Target, input: ReadInput) -> ReadPage:
    last = input.offset + input.limit - 1
    try:
        with open_directory(target, "read") as descriptor:
            first, count = _smallest(descriptor, last)
    except OSError as error:
        raise failure("read", target.given, reason(error)) from error
    page = first[input.offset - 1 :]
    if not page and (count or input.offset > 1):
        raise failure(
            "read",
            target.given,
            f"offset {input.offset} is past the end",
            f"the number of entries is {count:,}",
        )
    shown: list[str] = []
    budget = MAX_BYTES - 1024
    for name in page[: MAX_LINES - 2]:
        budget -= len(name.encode()) + 1
        if budget < 0:
            break
        shown.append(name)
    after = input.offset + len(shown)
    notes: list[str] = []
    if not count:
        notes.append("the folder is empty")
    elif after <= count:
        notes.append(
            f"entries {input.offset}-{after - 1} of {count:,}: "
            f"go on with offset={after}"
        )
    if any(name.endswith("@") for name in shown):
        notes.append("@ marks symbolic links")
    text = "\n".join(shown)
    if notes:
        text = "\n\n".join(part for part in (text, f"({'; '.join(notes)})") if part)
    return ReadPage("folder", target.resource, after if after <= count else None, text)


def _smallest(descriptor: int, limit: int) -> tuple[list[str], int]:
    """Return the first names in order, holding no more, and the number of all."""
    count = 0

    def entries() -> Iterator[str]:
        nonlocal count
        with os.scandir(descriptor) as scan:
            for entry in scan:
                count += 1
                if count % 1000 == 0:
                    anyio.from_thread.check_cancelled()
                yield _entry(entry)

    return heapq.nsmallest(limit, entries()), count


def _entry(entry: "os.DirEntry[str]") -> str:
    name = shown_path(entry.name)
    if entry.is_symlink():
        return f"{name}@"
    return f"{name}/" if entry.is_dir(follow_symlinks=False) else name


def _missing(target: Target) -> ToolFailure:
    near: list[str] = []
    if not target.missing_folders:
        try:
            with open_anchor(target, "read") as anchor:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
                descriptor = os.open(".", flags, dir_fd=anchor)
                try:
                    names = sorted(os.listdir(descriptor))[:2000]
                finally:
                    os.close(descriptor)
        except OSError as error:
            return failure("read", target.given, reason(error))
        from difflib import get_close_matches

        near = get_close_matches(target.name, names, n=3, cutoff=0.6)
    then = f"there is {', '.join(repr(shown_path(name)) for name in near)}"
    return failure(
        "read",
        target.given,
        "there is no such file",
        f"{then} in that folder" if near else "look for it with glob",
    )
