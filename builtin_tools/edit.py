"""The tool ``edit``: replace an exact text in a file.

Nothing is guessed: the text must be there exactly as given, once, unless all of its
places are meant. The file's line endings, byte order mark and every other byte stay;
where a file mixes line endings, a new text gets those of the place that it goes to.

Two permissions guard it. ``read`` comes first, because whether a text is there, and
what stands around it, tells what is in the file; then ``edit``.
"""

import os
import re
from functools import partial

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
from ._restore import restore
from ._text import (
    BOM_BYTES,
    LineEnding,
    cut,
    line_ending,
    plural,
    wide_encoding,
    with_ending,
)

DESCRIPTION = """\
Replace text in a file. old_string must occur in the file exactly as given, with its \
indentation and without the line numbers that read shows, and only once: take in \
enough lines around it to make it unique, or set replace_all."""

MAX_FILE = 50 * 1024 * 1024
"""Bytes of a file, before and after."""
_PREVIEW = 2000
_PLACES = 10
_NUMBERED = re.compile(r"\s*\d+\t")
_SHOWN_PLACES, _SHOWN_LINES, _SHOWN_WIDTH, _AROUND = 3, 6, 240, 2
_FAR = 4096
"""Characters behind a changed place that are looked at for the lines below it."""


@frozen
class EditInput:
    path: str = fields.text(
        "The file: relative to the working directory, or absolute.", min_length=1
    )
    old_string: str = fields.text(
        "The text to replace, exactly as it is in the file.", min_length=1
    )
    new_string: str = fields.text("The text to put in its place.")
    replace_all: bool = fields.flag("Replace every occurrence.")


@frozen
class EditOutput:
    path: str
    replacements: int
    preview: str
    """The first changed places, as lines with ``-`` and ``+``."""
    in_place: bool = False
    """It was not atomic, because the file cannot be replaced."""
    reshaped: bool = False
    """The editor that wrote it saved another text than it was given."""


def edit_tool(files: Files) -> Tool[EditInput, EditOutput]:
    """Return the tool ``edit``."""
    return Tool(
        name="edit",
        description=DESCRIPTION,
        input=EditInput,
        output=EditOutput,
        effect="unsafe",
        asks=(EDIT, READ, EXTERNAL),
        execute=partial(_execute, files),
        clear=partial(_clear, files),
        restore=partial(restore, files),
        render=_render,
    )


async def _execute(files: Files, input: EditInput, context: ToolContext) -> EditOutput:
    if not input.old_string:
        raise failure(
            "edit", input.path, "old_string is empty", "to write a whole file use write"
        )
    if input.old_string == input.new_string:
        raise failure("edit", input.path, "old_string and new_string are the same text")
    for name in ("old_string", "new_string"):
        try:
            getattr(input, name).encode()
        except UnicodeEncodeError as error:
            why = f"{name} has a lone surrogate at character {error.start}"
            raise failure("edit", input.path, why, "it has no UTF-8") from error
    target = await resolve(context.location, input.path, "edit")
    await approve(target, context, "read", (target.resource,), {"tool": "edit"})
    await context.ask(
        "edit",
        (target.resource,),
        save=(target.resource,),
        metadata={
            "tool": "edit",
            "old_string": input.old_string[:_PREVIEW],
            "new_string": input.new_string[:_PREVIEW],
            "replace_all": input.replace_all,
        },
        begun=False,
    )
    await refuse_unsaved(target, context, "edit")
    # Not cancellable: once begun, a replacement is finished, and it is short.
    output, done, before, after = await anyio.to_thread.run_sync(
        _edit, files, target, input, context.effect_token, through_editor(context)
    )
    context.saw(target.canonical, done.digest)
    context.changed(target.canonical, before, after)
    return output


async def _clear(files: Files, input: EditInput, context: ToolContext) -> str | None:
    return await tidy(files, context, (input.path,))


def _render(output: EditOutput) -> str:
    notes = [plural(output.replacements, "replacement")]
    if output.in_place:
        notes.append(IN_PLACE)
    if output.reshaped:
        notes.append(RESHAPED)
    return f"Edited {output.path} ({'; '.join(notes)})\n{output.preview}"


def _edit(
    files: Files, target: Target, input: EditInput, token: str, through: Through
) -> tuple[EditOutput, Written, bytes, bytes]:
    check_kind(target, "edit", "file")
    with files.alone(target):
        with files.open(target, "edit") as descriptor:
            before = _read(target, descriptor)
        body = before.removeprefix(BOM_BYTES)
        wide = wide_encoding(before)
        if wide is not None:
            raise failure(
                "edit",
                target.given,
                f"it is {wide} text",
                "nothing was changed; convert it first, for example with iconv",
            )
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise failure(
                "edit",
                target.given,
                f"it is not valid UTF-8 (byte {error.start})",
                "nothing was changed; use a program that works on bytes",
            ) from error
        change = _change(target, text, input)
        data = before[: len(before) - len(body)] + change.after.encode()
        done = files.replace(
            target, data, "edit", expected=before, token=token, through=through
        )
    preview = _preview(text, change)
    output = EditOutput(
        target.resource,
        change.count,
        preview,
        done.in_place,
        done.instead is not None,
    )
    return output, done, before, held_after(done, data)


@frozen
class _Match:
    """Where a text was found, and what goes there."""

    start: int
    end: int
    new: str


@frozen
class _Change:
    places: tuple[_Match, ...]
    """The first ones."""
    count: int
    after: str


def _change(target: Target, text: str, input: EditInput) -> _Change:
    """Return what an edit makes of a text.

    Raises:
        ToolFailure: the old text is not there, or not once, or too much would come of
            it.
    """
    ending = line_ending(text)
    old = with_ending(input.old_string, ending)
    new = with_ending(input.new_string, ending)
    if old == new:
        why = "old_string and new_string differ only in line endings"
        raise failure("edit", target.given, why, "the file's own are kept")
    # With its own CRLF, a text says itself which line endings it means.
    loose = ending == "mixed" and "\r\n" not in old + new and "\n" in old + new
    wanted = _loose(old) if loose else re.compile(re.escape(old))
    # Of a million places only the first few are ever looked at.
    spans = _spans(text, wanted, apart=input.replace_all)
    if not spans:
        why = "old_string was not found in it"
        raise failure("edit", target.given, why, _hint(text, old, ending))
    if len(spans) > 1 and not input.replace_all:
        lines = [str(text.count("\n", 0, start) + 1) for start, _ in spans]
        raise failure(
            "edit",
            target.given,
            "old_string occurs more than once, on lines "
            f"{', '.join(lines)}{' and more' if len(spans) == _PLACES else ''}",
            "give more of the lines around the one you mean, or set replace_all",
        )
    count = 1
    if input.replace_all:
        count = sum(1 for _ in wanted.finditer(text)) if loose else text.count(old)
    # At most: each line of a new text may get one byte more, for its place.
    longer = _size(new) + loose * new.count("\n") - _size(old)
    size = _size(text) + count * longer
    if size > MAX_FILE:
        raise failure(
            "edit",
            target.given,
            f"it would have about {plural(size, 'byte')}, over {MAX_FILE:,}",
            "nothing was changed; use a shorter new_string or fewer places",
        )
    places = tuple(
        _Match(start, end, with_ending(new, _ending_at(text, start, end)))
        if loose
        else _Match(start, end, new)
        for start, end in spans
    )
    if not loose:
        return _Change(places, count, text.replace(old, new))
    after = wanted.sub(
        lambda found: with_ending(new, _ending_at(text, *found.span())), text
    )
    return _Change(places, count, after)


def _loose(old: str) -> re.Pattern[str]:
    """Return what finds a text whichever line endings it has in the file."""
    return re.compile("\r?\n".join(map(re.escape, old.split("\n"))))


def _spans(text: str, wanted: re.Pattern[str], *, apart: bool) -> list[tuple[int, int]]:
    """Return the first places where the text occurs.

    Overlapping places count too unless ``apart``: they are just as ambiguous.
    """
    spans: list[tuple[int, int]] = []
    found = wanted.search(text)
    while found and len(spans) < _PLACES:
        spans.append(found.span())
        found = wanted.search(text, found.end() if apart else found.start() + 1)
    return spans


def _ending_at(text: str, start: int, end: int) -> LineEnding:
    """Return the line ending of a place: of its own lines, of the line that it is in,
    or of the line before."""
    at = text.find("\n", start)
    if at < 0:
        at = text.rfind("\n", 0, start)
    return "crlf" if text[at - 1 : at] == "\r" else "lf"


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _read(target: Target, descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    if size > MAX_FILE:
        raise failure(
            "edit",
            target.given,
            f"it has {plural(size, 'byte')}, over {MAX_FILE:,}",
            "use a program made for large files",
        )
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return file.read(MAX_FILE + 1)


# --- saying what happened ---------------------------------------------------------


def _preview(text: str, change: _Change) -> str:
    shown: list[str] = []
    for place in change.places[:_SHOWN_PLACES]:
        end, new = place.end, place.new
        first = text.rfind("\n", 0, place.start) + 1
        stop = text.find("\n", end)
        # A replaced text that ends in a newline does not touch the next line.
        stop = end if text[end - 1 : end] == "\n" and new.endswith("\n") else stop
        stop = len(text) if stop < 0 else stop
        shown.append(f"@@ line {text.count(chr(10), 0, first) + 1} @@")
        shown += _side(" ", _lines_above(text, first))
        shown += _side("-", text[first:stop].rstrip("\r\n").split("\n"))
        changed = text[first : place.start] + new + text[end:stop]
        if changed.rstrip("\r\n"):
            shown += _side("+", changed.rstrip("\r\n").split("\n"))
        if text[stop : stop + _FAR].strip("\r\n"):
            below = text[stop : stop + _FAR].removeprefix("\n")
            shown += _side(" ", below.split("\n", _AROUND)[:_AROUND])
    if change.count > _SHOWN_PLACES:
        shown.append(f"... and {plural(change.count - _SHOWN_PLACES, 'more place')}")
    return "\n".join(shown)


def _lines_above(text: str, first: int) -> list[str]:
    start = first
    for _ in range(_AROUND):
        if start > 0:
            start = text.rfind("\n", 0, start - 1) + 1
    return text[start:first].removesuffix("\n").split("\n") if first else []


def _side(sign: str, lines: list[str]) -> list[str]:
    shown = [
        f"{sign}{cut(line.rstrip(chr(13)), _SHOWN_WIDTH)}"
        for line in lines[:_SHOWN_LINES]
    ]
    if len(lines) > _SHOWN_LINES:
        shown.append(f"{sign}... {plural(len(lines) - _SHOWN_LINES, 'more line')}")
    return shown


def _hint(text: str, old: str, ending: str) -> str:
    """Return what may be wrong with a text that was not found. Bounded work."""
    wanted = old.splitlines()[:200]
    spoken = [line for line in wanted if line.strip()]
    if spoken and all(_NUMBERED.match(line) for line in spoken):
        return "leave out the line numbers that read adds"
    lines = text.split("\n")[:20_000]
    # 1. The same words with other whitespace.
    plain = [" ".join(line.split()) for line in wanted]
    while plain and not plain[0]:
        del plain[0]
    while plain and not plain[-1]:
        del plain[-1]
    if not plain:
        return "it is only whitespace; give text around it too"
    flat = [" ".join(line.split()) for line in lines]
    for index in range(len(flat) - len(plain) + 1):
        if flat[index] == plain[0] and flat[index : index + len(plain)] == plain:
            shown = _excerpt(lines, index, len(plain))
            mixed = (
                " and line endings (the file mixes them)" if ending == "mixed" else ""
            )
            return f"the same text with other whitespace{mixed} is here:\n{shown}"
    # 2. A line that looks like its first one.
    first = plain[0][:200]
    candidates = {line[:200]: index for index, line in reversed([*enumerate(flat)])}
    from difflib import get_close_matches

    near = get_close_matches(first, [*candidates][-5000:], n=1, cutoff=0.6)
    if near:
        shown = _excerpt(lines, candidates[near[0]], len(plain))
        return f"the nearest text is here:\n{shown}"
    return "read the file again and copy the text exactly"


def _excerpt(lines: list[str], index: int, count: int) -> str:
    chosen = lines[index : index + min(count, 10)]
    return "\n".join(
        f"{index + at + 1}\t{cut(line.rstrip(chr(13)), _SHOWN_WIDTH)}"
        for at, line in enumerate(chosen)
    )
