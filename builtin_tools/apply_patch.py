"""The tool ``apply_patch``: add, change, delete and move several files by one patch.

What all paths mean is found out first, then all of it is asked for, then everything is
checked, and only then is the first file touched. Each change is one step, whole or not
at all, and recorded before it is done: of a patch that fails or is cut off in the
middle it is known what was applied.

Two permissions guard it, as with ``edit``: ``read`` for the files whose lines a patch
names, and for those that move, since a file may be read where it comes to; and ``edit``
for all that it names. Its effect class is ``reconcilable``: what the last recorded
change of a cut off call came to can be seen in the file.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from os import path as paths
from typing import Literal

import anyio
import anyio.from_thread
import anyio.to_thread
from attrs import evolve, frozen
from dovetail.kernel import Deed, Location, Tool, ToolContext, ToolFailure

from . import _fields as fields
from ._changes import VERB, Change, Kind, before_any, planned
from ._editor import RESHAPED, held_after, through_editor
from ._files import IN_PLACE, Files, Through, digest_of
from ._leftovers import tidy
from ._patch import MAX_PATCH, Section, parse_patch
from ._paths import (
    EDIT,
    EXTERNAL,
    READ,
    Target,
    failure,
    refuse_unsaved,
    resolve_now,
    shown_path,
)
from ._restore import CUT_OFF, known, restore

DESCRIPTION = """\
Add, change, delete and move files by a patch of this form:

*** Begin Patch
*** Add File: path/new.py
+every line of the new file begins with a plus
*** Update File: path/old.py
*** Move to: path/renamed.py
@@ class Name:
     lines that stay begin with a space, three above and three below a change
-    a line that goes
+    a line that comes
*** Delete File: path/obsolete.py
*** End Patch

"Move to" is optional. "@@" begins each hunk; a line of the file behind it, such as \
the head of a function, says below which line the hunk is; several may follow one \
another. "*** End of File" after a hunk says that it is at the end. Hunks go in the \
order of the file; one that fits in two places is refused. Nothing is written unless \
all of it fits."""

MODELS = ("*gpt-5*", "*codex*")
"""Those that were trained on this format."""

Letter = Literal["A", "M", "D", "R"]

_LETTERS: dict[Kind, Letter] = {
    "add": "A",
    "replace": "M",
    "update": "M",
    "delete": "D",
    "move": "R",
}


@frozen
class PatchInput:
    input: str = fields.text(
        "The whole patch, from '*** Begin Patch' to '*** End Patch'.",
        min_length=1,
        max_length=MAX_PATCH,
    )


@frozen
class PatchedFile:
    """One change that was made."""

    kind: Kind
    path: str
    to: str | None = None
    """Where a file was moved to."""
    added: int = 0
    """Lines."""
    removed: int = 0
    loose: tuple[int, ...] = ()
    """Lines of the patch with hunks that fitted only with other blanks or quotes."""
    replaced: bool = False
    """Another file was there, and is replaced."""
    in_place: bool = False
    """It was not atomic, because the file cannot be replaced."""
    reshaped: bool = False
    """The editor that wrote it saved another text than it was given."""


@frozen
class PatchOutput:
    files: tuple[PatchedFile, ...]
    found: bool = False
    """It was found done, after a crash."""


def apply_patch_tool(files: Files) -> Tool[PatchInput, PatchOutput]:
    """Return the tool ``apply_patch``."""
    return Tool(
        name="apply_patch",
        description=DESCRIPTION,
        input=PatchInput,
        output=PatchOutput,
        effect="reconcilable",
        asks=(EDIT, READ, EXTERNAL),
        execute=partial(_execute, files),
        check=partial(_check, files),
        clear=partial(_clear, files),
        restore=partial(restore, files),
        models=MODELS,
        instead_of=("edit", "write"),
        render=_render,
    )


async def _execute(
    files: Files, input: PatchInput, context: ToolContext
) -> PatchOutput:
    sections = await anyio.to_thread.run_sync(parse_patch, input.input)
    targets = await anyio.to_thread.run_sync(_resolved, context.location, sections)
    await _approve(sections, targets, input.input, context)
    with before_any():
        for target in targets.values():
            await refuse_unsaved(target, context, VERB)
    changes = await anyio.to_thread.run_sync(
        planned, files, sections, targets, anyio.from_thread.check_cancelled
    )
    # Not cancellable: once begun, a patch is finished. It is bounded, and each change
    # is short.
    with anyio.CancelScope(shield=True):
        done = await _apply(files, changes, context)
    return PatchOutput(tuple(done))


def _resolved(location: Location, sections: Sequence[Section]) -> dict[str, Target]:
    """Return what each path of a patch means. Reads names, never content."""
    targets: dict[str, Target] = {}
    with before_any():
        for section in sections:
            for given in section.paths:
                if given not in targets:
                    targets[given] = resolve_now(location.directory, given, VERB)
            goes = section.kind == "delete" or section.move is not None
            named = paths.normpath(paths.join(location.directory, section.path))
            if goes and paths.islink(named):
                why = "it is a symbolic link, and only files are deleted and moved"
                raise failure(VERB, section.path, why)
    return targets


async def _approve(
    sections: Sequence[Section],
    targets: dict[str, Target],
    patch: str,
    context: ToolContext,
) -> None:
    """Ask for everything that a patch names, before any of it is looked at."""
    folders = {one.external: one for one in targets.values() if one.external}
    for folder, target in folders.items():
        await context.ask(
            "external_directory",
            (folder,),
            save=(folder,),
            metadata={"path": target.canonical},
            begun=False,
        )
    updated = [one.path for one in sections if one.kind == "update"]
    resources = tuple(dict.fromkeys(targets[path].resource for path in updated))
    if resources:
        await context.ask(
            "read",
            resources,
            save=resources,
            metadata={"tool": "apply_patch"},
            begun=False,
        )
    resources = tuple(dict.fromkeys(one.resource for one in targets.values()))
    await context.ask(
        "edit",
        resources,
        save=resources,
        metadata={
            "tool": "apply_patch",
            "patch": patch,
            "replaces": [
                targets[path].resource
                for path in dict.fromkeys(
                    section.path if section.kind == "add" else section.move
                    for section in sections
                )
                if path is not None and targets[path].kind == "file"
            ],
        },
        begun=False,
    )


# --- making the changes -----------------------------------------------------------


async def _apply(
    files: Files, changes: Sequence[Change], context: ToolContext
) -> list[PatchedFile]:
    """Make the changes one after another, each recorded before it is done.

    Raises:
        ToolFailure: one of them failed; says what was applied before.
    """
    done: list[PatchedFile] = []
    for number, change in enumerate(changes, 1):
        await context.does(change.words, _data(change, number, len(changes)))
        try:
            made, digest, held, folders = await anyio.to_thread.run_sync(
                _make, files, change, context.effect_token, through_editor(context)
            )
        except ToolFailure as error:
            raise ToolFailure(_partly(error, done, changes[number:])) from error
        done.append(made)
        for path, before, after in held:
            if isinstance(before, str):
                context.changed(path, None, None, unknown=before)
            elif isinstance(after, str):
                context.changed(path, None, None, unknown=after)
            else:
                made_for = folders if before is None else 0
                context.changed(path, before, after, folders=made_for)
        if change.kind in ("delete", "move"):
            context.saw(change.target.canonical, None)
        else:
            context.saw(change.target.canonical, digest)
        if change.to is not None and digest is not None:
            context.saw(change.to.canonical, digest)
    return done


Content = bytes | str | None
"""What a file holds; None for no file; a text says why it is not known."""
Held = tuple[str, Content, Content]
"""A path, what was there before, and what is there now."""


def _make(
    files: Files, change: Change, token: str, through: Through
) -> tuple[PatchedFile, str | None, tuple[Held, ...], int]:
    """Make one change; return it, the digest of what is there now, what was, and how
    many folders were made for it."""
    target, to = change.target, change.to
    made = PatchedFile(
        change.kind,
        target.resource,
        to.resource if to is not None else None,
        change.added,
        change.removed,
        change.loose,
        replaced=change.kind == "replace" or (to is not None and to.kind == "file"),
    )
    with ExitStack() as locks:
        # In one order, so that two patches never wait for one another.
        named = {one.canonical: one for one in (target, to) if one is not None}
        for path in sorted(named):
            locks.enter_context(files.alone(named[path]))
        if to is not None:
            with files.open(target, VERB) as descriptor:
                digest = digest_of(descriptor, lambda: None)
            content = _held(files, target)
            gone = (target.canonical, content, None)
            there = (to.canonical, _held(files, to), content)
            folders = files.rename(target, to, VERB)
            return made, digest, (gone, there), folders
        before = _held(files, target)
        if change.after is None:
            assert change.seen is not None  # of a file that is deleted
            files.remove(target, VERB, change.seen)
            return made, None, ((target.canonical, before, None),), 0
        written = files.replace(
            target, change.after, VERB, change.before, token=token, through=through
        )
        held = (target.canonical, before, held_after(written, change.after))
        made = evolve(
            made, in_place=written.in_place, reshaped=written.instead is not None
        )
        return made, written.digest, (held,), written.folders


def _held(files: Files, target: Target) -> Content:
    try:
        return known(files, target)[0] if target.kind == "file" else None
    except ToolFailure as error:
        # What cannot be read may be moved or removed all the same.
        return str(error)


def _partly(
    error: ToolFailure, done: Sequence[PatchedFile], left: Sequence[Change]
) -> str:
    if not done:
        return f"{error}; no other file was changed"
    parts = [
        "the patch was applied only in part. Applied, in this order:",
        *map(_line, done),
        f"Failed: {error}",
    ]
    if left:
        parts += ["Not begun:", *(change.words for change in left)]
    return "\n".join(parts)


# --- looking what became of it ----------------------------------------------------


def _data(change: Change, number: int, count: int) -> dict[str, object]:
    """Return what ``_check`` needs to know of a change."""
    return {
        "kind": change.kind,
        "path": change.target.resource,
        "to": change.to.resource if change.to is not None else None,
        "before": change.digest_before,
        "after": change.digest,
        "number": number,
        "of": count,
    }


async def _check(
    files: Files, input: PatchInput, context: ToolContext
) -> PatchOutput | None:
    """Tell whether the whole patch was applied; None when nothing of it was begun.

    Raises:
        ToolFailure: it was applied in part, or that cannot be seen.
        PermissionDeniedError: the last file may not be read.
    """
    deeds = context.deeds
    if not deeds:
        return None
    named = dict.fromkeys(
        path for one in deeds for path in (one.data["path"], one.data["to"]) if path
    )
    for path in await anyio.to_thread.run_sync(_canonical, context.location, named):
        context.changed(path, None, None, unknown=CUT_OFF)
    last = deeds[-1]
    there = [last.data["path"], *filter(None, [last.data["to"]])]
    targets = await anyio.to_thread.run_sync(
        lambda: [resolve_now(context.location.directory, path, VERB) for path in there]
    )
    for target in targets:
        if target.external is not None:
            await context.ask("external_directory", (target.external,))
    resources = tuple(target.resource for target in targets)
    await context.ask("read", resources, metadata={"tool": "apply_patch"})
    seen = await anyio.to_thread.run_sync(_seen, files, last, targets)
    rest = last.data["of"] - last.data["number"]
    if seen != "done" or rest:
        raise ToolFailure(
            f"{last.text}: {_SEEN[seen]}; {rest} of {last.data['of']} changes of the "
            "patch were not begun."
        )
    made = [
        PatchedFile(one.data["kind"], one.data["path"], one.data["to"]) for one in deeds
    ]
    return PatchOutput(tuple(made), found=True)


def _canonical(location: Location, named: Iterable[str]) -> list[str]:
    return [resolve_now(location.directory, path, VERB).canonical for path in named]


async def _clear(files: Files, input: PatchInput, context: ToolContext) -> str | None:
    # Each change is recorded before it is made: it can be the last one only.
    return await tidy(
        files, context, (deed.data["path"] for deed in context.deeds[-1:])
    )


Seen = Literal["done", "not done", "unknown"]

_SEEN: dict[Seen, str] = {
    "done": "this was done, as the file shows",
    "not done": "this was not done, as the file shows",
    "unknown": "whether this was done does not show any more",
}


def _seen(files: Files, deed: Deed, targets: Sequence[Target]) -> Seen:
    """Return what the files say of a change."""
    target, kind = targets[0], deed.data["kind"]
    if kind == "delete":
        return "done" if target.kind == "missing" else "not done"
    if kind == "move":
        if target.kind == "missing":
            return "done" if targets[1].kind == "file" else "unknown"
        return "not done" if targets[1].kind == "missing" else "unknown"
    if target.kind == "missing":
        return "not done" if kind == "add" else "unknown"
    with files.open(target, VERB) as descriptor:
        digest = digest_of(descriptor, anyio.from_thread.check_cancelled)
    if digest is None or digest not in (deed.data["before"], deed.data["after"]):
        return "unknown"
    return "done" if digest == deed.data["after"] else "not done"


# --- saying what happened ---------------------------------------------------------


def _render(output: PatchOutput) -> str:
    lines = ["Success. Updated the following files:", *map(_line, output.files)]
    if output.found:
        lines.append("(found done, after the process that did it had ended)")
    return "\n".join(lines)


def _line(made: PatchedFile) -> str:
    """Return one change as its letter, path and what is to be known of it."""
    notes: list[str] = []
    if made.added or made.removed:
        notes.append(f"+{made.added} -{made.removed}")
    if made.replaced:
        where = "there" if made.to else "of this name"
        notes.append(f"a file that was {where} is replaced")
    if made.loose:
        lines = ", ".join(map(str, made.loose))
        hunks = "hunk at line" if len(made.loose) == 1 else "hunks at lines"
        notes.append(
            f"the {hunks} {lines} of the patch fitted only with other blanks or "
            "punctuation"
        )
    if made.in_place:
        notes.append(IN_PLACE)
    if made.reshaped:
        notes.append(RESHAPED)
    name = shown_path(made.path)
    if made.to is not None:
        name += f" -> {shown_path(made.to)}"
    return f"{_LETTERS[made.kind]} {name}" + (f" ({'; '.join(notes)})" if notes else "")
