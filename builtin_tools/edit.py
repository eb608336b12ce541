"""The tool ``edit``: replace an exact text in a file.

Nothing is guessed: the text must be there exactly as given, once, unless all of its
places are meant. The file's line endings, byte order mark and every other byte stay.
"""

import os
import re
from difflib import get_close_matches
from functools import partial

import anyio.to_thread
from attrs import frozen
from dovetail.kernel import Tool, ToolContext

from . import _fields as fields
from ._files import Files, Written
from ._paths import Target, approve, check_kind, failure, resolve
from ._text import BOM_BYTES, cut, line_ending, plural, with_ending

DESCRIPTION = """\
Replace text in a file. old_string must occur in the file exactly as given, with its \
indentation and without the line numbers that read shows, and only once: take in \
enough lines around it to make it unique, or set replace_all."""

MAX_FILE = 50 * 1024 * 1024
_PREVIEW = 2000
_PLACES = 10
_NUMBERED = re.compile(r"\s*\d+\t")
_SHOWN_PLACES, _SHOWN_LINES, _SHOWN_WIDTH, _AROUND = 3, 6, 240, 2


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


def edit_tool(files: Files) -> Tool[EditInput, EditOutput]:
    """Return the tool ``edit``."""
    return Tool(
        name="edit",
        description=DESCRIPTION,
        input=EditInput,
        output=EditOutput,
        effect="unsafe",
        execute=partial(_execute, files),
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
    await approve(
        target,
        context,
        "edit",
        (target.resource,),
        {
            "tool": "edit",
            "old_string": input.old_string[:_PREVIEW],
            "new_string": input.new_string[:_PREVIEW],
            "replace_all": input.replace_all,
        },
    )
    # Not cancellable: once begun, a replacement is finished, and it is short.
    output, done = await anyio.to_thread.run_sync(_edit, files, target, input)
    context.saw(target.canonical, done.digest)
    return output


def _render(output: EditOutput) -> str:
    count = plural(output.replacements, "replacement")
    return f"Edited {output.path} ({count})\n{output.preview}"


def _edit(files: Files, target: Target, input: EditInput) -> tuple[EditOutput, Written]:
    check_kind(target, "edit", "file")
    with files.alone(target):
        with files.open(target, "edit") as descriptor:
            before = _read(target, descriptor)
        body = before.removeprefix(BOM_BYTES)
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise failure(
                "edit",
                target.given,
                f"it is not valid UTF-8 (byte {error.start})",
                "nothing was changed; use a program that works on bytes",
            ) from error
        ending = line_ending(text)
        old = with_ending(input.old_string, ending)
        new = with_ending(input.new_string, ending)
        if old == new:
            why = "old_string and new_string differ only in line endings"
            raise failure("edit", target.given, why, "the file's own are kept")
        # Of a million places only the first few are ever looked at.
        count = text.count(old) if input.replace_all else 1
        places = _places(text, old, apart=input.replace_all)
        if not places:
            why = "old_string was not found in it"
            raise failure("edit", target.given, why, _hint(text, old, ending))
        if len(places) > 1 and not input.replace_all:
            lines = [str(text.count("\n", 0, place) + 1) for place in places]
            raise failure(
                "edit",
                target.given,
                "old_string occurs more than once, on lines "
                f"{', '.join(lines)}{' and more' if len(places) == _PLACES else ''}",
                "give more of the lines around the one you mean, or set replace_all",
            )
        after = text.replace(old, new)
        data = before[: len(before) - len(body)] + after.encode()
        done = files.replace(target, data, "edit", expected=before)
    preview = _preview(text, places, count, old, new)
    return EditOutput(target.resource, count, preview), done


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


def _places(text: str, old: str, *, apart: bool) -> list[int]:
    """Return the first places where the text occurs.

    Overlapping places count too unless ``apart``: they are just as ambiguous.
    """
    places: list[int] = []
    place = text.find(old)
    while place >= 0 and len(places) < _PLACES:
        places.append(place)
        place = text.find(old, place + (len(old) if apart else 1))
    return places


# --- saying what happened ---------------------------------------------------------


def _preview(text: str, places: list[int], count: int, old: str, new: str) -> str:
    shown: list[str] = []
    for place in places[:_SHOWN_PLACES]:
        end = place + len(old)
        first = text.rfind("\n", 0, place) + 1
        stop = text.find("\n", end)
        # A replaced text that ends in a newline does not touch the next line.
        stop = end if text[end - 1 : end] == "\n" and new.endswith("\n") else stop
        stop = len(text) if stop < 0 else stop
        number = text.count("\n", 0, first) + 1
        above = text[:first].split("\n")[-1 - _AROUND : -1] if first else []
        below = text[stop:].removeprefix("\n").split("\n", _AROUND)[:_AROUND]
        shown.append(f"@@ line {number} @@")
        shown += _side(" ", above)
        shown += _side("-", text[first:stop].rstrip("\r\n").split("\n"))
        changed = text[first:place] + new + text[end:stop]
        if changed.rstrip("\r\n"):
            shown += _side("+", changed.rstrip("\r\n").split("\n"))
        if text[stop:].strip("\r\n"):
            shown += _side(" ", below)
    if count > _SHOWN_PLACES:
        shown.append(f"... and {plural(count - _SHOWN_PLACES, 'more place')}")
    return "\n".join(shown)


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
