"""What a patch makes of the files that it names, before any of them is touched.

Owns what sections of one patch may do with the same file, and that everything is
checked before the first change. Reads approved files; changes nothing. How one change
is made is for ``_files``.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from attrs import evolve, frozen
from dovetail.kernel import ToolFailure

from ._files import Files
from ._hunks import apply_hunks
from ._patch import Section
from ._paths import Identity, Target, check_kind, failure, folded, reason, shown_path
from ._text import BOM_BYTES, plural, usual_ending, with_ending

VERB = "patch"

MAX_FILE = 16 * 1024 * 1024
"""Bytes of one file that is updated, before and after."""
MAX_ALL = 64 * 1024 * 1024
"""Bytes of all files that one patch updates, each counted for each of its sections."""
_SAMPLE = 1024 * 1024
"""Bytes of a file that is replaced that are looked at for its line endings."""
NOTHING = "nothing was changed"
_ONE_BY_ONE = f"name only one of them in a patch; {NOTHING}"
_SHOWN = 200
"""Characters of a path in the words for a change."""

Kind = Literal["add", "replace", "update", "delete", "move"]


@frozen
class Change:
    """One change of one file, done in one step: whole or not at all."""

    kind: Kind
    target: Target
    number: int
    """The line of the patch with the header that it came from."""
    after: bytes | None = None
    """The new content, where there is one."""
    before: bytes | None = None
    """Of an update: what the file must still hold."""
    seen: os.stat_result | None = None
    """Of a file that is deleted: what it looked like."""
    to: Target | None = None
    """Of a move: where to."""
    added: int = 0
    """Lines."""
    removed: int = 0
    loose: tuple[int, ...] = ()
    """Lines of the patch with hunks that did not fit exactly."""

    @property
    def words(self) -> str:
        """What is done, such as ``delete old.txt``."""
        name = _short(self.target)
        return f"{self.kind} {name}" + (f" to {_short(self.to)}" if self.to else "")

    @property
    def digest(self) -> str | None:
        """The SHA-256 of the new content."""
        return None if self.after is None else hashlib.sha256(self.after).hexdigest()

    @property
    def digest_before(self) -> str | None:
        """The SHA-256 of what an update is made of."""
        return None if self.before is None else hashlib.sha256(self.before).hexdigest()


def _short(target: Target) -> str:
    shown = shown_path(target.resource)
    if len(shown) <= _SHOWN:
        return shown
    return f"{shown[: _SHOWN // 2]}...{shown[-_SHOWN // 2 :]}"


def planned(
    files: Files,
    sections: Sequence[Section],
    targets: Mapping[str, Target],
    alive: Callable[[], None],
) -> tuple[Change, ...]:
    """Return the changes that a patch comes to, in their order; at least one.

    Sections of one file become one change of it. ``targets`` has what each path of the
    patch means, approved. ``alive`` is called between files and may raise.

    Raises:
        ToolFailure: one of them cannot be made. Nothing was changed.
    """
    plan = _Plan(files, targets)
    with before_any():
        for section in sections:
            alive()
            plan.take(section)
        return plan.changes()


@contextmanager
def before_any() -> Iterator[None]:
    """Say with each failure that nothing was changed yet: a patch names many files."""
    try:
        yield
    except ToolFailure as error:
        if NOTHING in str(error):
            raise
        raise ToolFailure(f"{error}; {NOTHING}") from error


class _Plan:
    def __init__(self, files: Files, targets: Mapping[str, Target]) -> None:
        self._files = files
        self._targets = targets
        self._changes: list[Change] = []
        self._of: dict[str, int] = {}
        """The last change of each file, by its canonical path."""
        self._gone: set[str] = set()
        """Files that are moved away."""
        self._read = 0

    def changes(self) -> tuple[Change, ...]:
        self._check_names()
        real = tuple(
            one
            for one in self._changes
            if one.kind != "update" or one.before != one.after
        )
        if not real:
            raise ToolFailure("the patch changes nothing: its files are so already")
        return real

    def take(self, section: Section) -> None:
        """Add what one section does."""
        target = self._targets[section.path]
        if target.canonical in self._gone:
            raise _cannot(section, "it is moved away above")
        at = self._of.get(target.canonical)
        known = None if at is None else self._changes[at].kind
        if section.kind == "add":
            if known not in (None, "delete"):
                raise _cannot(section, f"there is another {known} of it above")
            self._put(self._add(section, target), at)
        elif section.kind == "delete":
            if known is not None:
                raise _cannot(section, f"there is another {known} of it above")
            seen = self._look(target, goes=True)
            self._put(Change("delete", target, section.number, seen=seen))
        else:
            if known in ("delete", "move"):
                raise _cannot(section, f"there is another {known} of it above")
            if section.hunks:
                self._put(self._update(section, target, at), at)
            if section.move is not None:
                if known in ("add", "replace"):
                    raise _cannot(section, "it is made above; name it so there")
                self._move(section, target, self._targets[section.move])

    def _put(self, change: Change, at: int | None = None) -> None:
        if at is not None:
            self._changes[at] = change
            return
        self._of[change.target.canonical] = len(self._changes)
        self._changes.append(change)

    def _add(self, section: Section, target: Target) -> Change:
        if target.given.endswith("/"):
            raise _cannot(section, "a file's path does not end in '/'")
        lines = section.content.count("\n")
        seen = self._look(target, needed=False)
        data = section.content.encode()
        if seen is None:
            return Change("add", target, section.number, data, added=lines)
        # All of it becomes another one, but how its lines end, and its mark, stay.
        with self._files.open(target, VERB) as descriptor:
            head = os.pread(descriptor, _SAMPLE, 0)
        data = with_ending(section.content, usual_ending(head)).encode()
        if head.startswith(BOM_BYTES) and not data.startswith(BOM_BYTES):
            data = BOM_BYTES + data
        return Change("replace", target, section.number, data, added=lines)

    def _update(self, section: Section, target: Target, at: int | None) -> Change:
        if at is None:
            self._look(target)
            before = self._content(section, target)
            change = Change("update", target, section.number, before, before)
        else:
            change = self._changes[at]
            assert change.after is not None  # what is deleted or moved was refused
            before = change.after
        self._count(section, len(before))
        body = before.removeprefix(BOM_BYTES)
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            why = f"it is not valid UTF-8 (byte {error.start})"
            raise _cannot(section, why, "use a program that works on bytes") from error
        done = apply_hunks(text, section.hunks, section.path)
        after = before[: len(before) - len(body)] + done.text.encode()
        if len(after) > MAX_FILE:
            raise _cannot(section, f"it would have over {MAX_FILE:,} bytes")
        return evolve(
            change,
            after=after,
            added=change.added + done.added,
            removed=change.removed + done.removed,
            loose=(*change.loose, *done.loose),
        )

    def _move(self, section: Section, target: Target, to: Target) -> None:
        shown = repr(shown_path(to.given[:_SHOWN]))
        if to.given.endswith("/"):
            raise _cannot(section, f"{shown}, where it goes, ends in '/'")
        if to.canonical == target.canonical:
            raise _cannot(section, "it would move onto itself")
        if to.canonical in self._of or to.canonical in self._gone:
            raise _cannot(section, f"there is another change of {shown} above")
        self._look(target, goes=True)
        self._look(to, needed=False, goes=True)
        assert target.identity is not None  # a file that was looked at
        if to.identity == target.identity:
            raise _cannot(section, f"{shown} is another name of the same file")
        if to.anchor_identity.device != target.identity.device:
            then = "add the new file and delete the old one"
            raise _cannot(section, f"{shown} is on another file system", then)
        self._gone.add(target.canonical)
        self._of[to.canonical] = len(self._changes)
        self._changes.append(Change("move", target, section.number, to=to))

    # --- looking at files ---------------------------------------------------------

    def _look(
        self, target: Target, *, needed: bool = True, goes: bool = False
    ) -> os.stat_result | None:
        """Return the status of a file that can be changed; None where one can be made,
        if none is ``needed``.

        ``goes`` is for one that is to leave its folder, or to come to it by its name.
        """
        if target.kind != "missing" or needed:
            check_kind(target, VERB, "file")
        return self._files.ready(target, VERB, goes=goes)

    def _content(self, section: Section, target: Target) -> bytes:
        with self._files.open(target, VERB) as descriptor:
            size = os.fstat(descriptor).st_size
            if size > MAX_FILE:
                why = f"it has {plural(size, 'byte')}, over {MAX_FILE:,}"
                raise _cannot(section, why, "use a program made for large files")
            try:
                with os.fdopen(os.dup(descriptor), "rb") as file:
                    return file.read(MAX_FILE)
            except OSError as error:
                raise failure(VERB, target.given, reason(error)) from error

    def _count(self, section: Section, size: int) -> None:
        self._read += size
        if self._read > MAX_ALL:
            why = f"with the files above it has over {MAX_ALL:,} bytes"
            raise _cannot(section, why, "make several patches")

    def _check_names(self) -> None:
        """Refuse files that could be one, or in the way of one another."""
        named = [one for change in self._changes for one in (change.target, change.to)]
        targets = {one.canonical: one for one in named if one is not None}
        files: dict[Identity, str] = {}
        plain: dict[str, str] = {}
        for path, target in targets.items():
            shown = shown_path(target.given[:_SHOWN])
            if target.identity is not None:
                other = files.setdefault(target.identity, shown)
                if other != shown:
                    why = f"{other!r} is another name of the same file"
                    raise failure(VERB, target.given, why, _ONE_BY_ONE)
            # Many file systems take such names for one.
            other = plain.setdefault(folded(path), shown)
            if other != shown and target.kind == "missing":
                why = f"its name is that of {other!r} but for case or accents"
                raise failure(VERB, target.given, why, _ONE_BY_ONE)
        for path, target in targets.items():
            above = os.path.dirname(path)
            while target.kind == "missing" and len(above) > 1:
                if above in targets:
                    shown = shown_path(targets[above].given[:_SHOWN])
                    why = f"{shown!r} is a file in the same patch"
                    raise failure(VERB, target.given, why, NOTHING)
                above = os.path.dirname(above)


def _cannot(section: Section, why: str, then: str = "") -> ToolFailure:
    rest = f"{then}; {NOTHING}" if then else NOTHING
    return failure(VERB, section.path, f"line {section.number}: {why}", rest)
