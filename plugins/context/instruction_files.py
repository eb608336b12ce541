"""Instruction files: which may be read, what they say, and what they import.

Reads the file system; call it in a thread. Knows nothing of where they are looked for
(see ``instructions`` and ``nested``) nor of how a model is told. They are other
people's data: whatever is refused is named with the reason.
"""

import codecs
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import define, field, frozen
from dovetail.kernel import (
    ContextUnavailableError,
    Location,
    Looks,
    RuleEffect,
    text_encoding,
)

Reading = Callable[[str], RuleEffect]
"""Tells whether a resource may be read."""

KEY = "core/instructions"
NAMES = ("AGENTS.md", "CLAUDE.md")
"""In each folder the first that says anything counts."""
MAX_FILE = 65_536
"""Bytes of one file that are told."""
MAX_TOTAL = 262_144
"""Bytes of all files together. The innermost are kept."""
MAX_DEPTH = 5
"""Files on the way from one that was looked for to one that is imported."""
TOO_FAR = f"it is more than {MAX_DEPTH} imports away"
MAX_IMPORTS = 50
"""Files that are imported in all."""
MAX_LOOKED = 200
"""Imports that are looked for in all, there or not: any text may be full of them."""

_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})")
_CODE = re.compile(r"(`+)(?:(?!`).)*?\1(?!`)")
_IMPORT = re.compile(r"(?<![\w@./`-])@([^\s`'\"<>|*?@]{1,500})")
_OF_A_PERSON = (".md", ".mdc", ".txt")


def allow(resource: str) -> RuleEffect:
    return "allow"


@frozen
class ShownFile:
    """One file as a model is told of it."""

    path: Path
    text: str
    by: Path | None = None
    """The file that imports it."""


@frozen
class Bounds:
    """What may be read."""

    location: Location
    checkout: Path | None
    owners: frozenset[int] | None
    """Whose files above the Location; None where files have no owner in this sense."""
    reading: Reading


@frozen
class File:
    """A file that is to be read."""

    path: Path
    """Where it was looked for."""
    real: Path
    """Where its bytes are."""
    identity: tuple[int, int]
    """The same for every link to it."""
    own: bool
    """Whether it is the person's own: it may lead to whatever no rule denies."""


@frozen
class Text:
    """What a file says, as far as it is told."""

    path: Path
    data: bytes
    """Its beginning."""
    size: int
    """Of the whole."""
    encoding: str
    by: Path | None = None
    """The file that imports it."""

    @property
    def shown(self) -> str:
        return self.until(MAX_FILE)

    def until(self, limit: int) -> str:
        cut = self.size > limit
        # Not final when cut: half a character at the end is no error of the file's.
        decoder = codecs.getincrementaldecoder(self.encoding)("replace")
        text = decoder.decode(self.data[:limit], final=not cut)
        text = (
            text.removeprefix("\ufeff")
            .replace("\r\n", "\n")
            .replace("\0", "\ufffd")
            .strip()
        )
        if cut:
            text += f"\n\n[cut: only {limit} of {self.size} bytes are shown]"
        return text


@define
class Found:
    """What was found for one directory so far, each real file once."""

    bounds: Bounds
    looks: Looks = field(factory=Looks)
    """How all of it looked."""
    groups: list[list[Text]] = field(factory=list)
    """In the order in which they are told: each file with what it imports."""
    left_out: dict[tuple[Path, str], None] = field(factory=dict)
    """What is not told, and why, each once."""
    _looked: set[tuple[Path, str, bool]] = field(factory=set)
    """What was looked for: by the folder it was named in, and for whom."""
    _tries: int = 0
    _identities: set[tuple[int, int]] = field(factory=set)
    _imports: int = 0
    _effects: dict[str, RuleEffect] = field(factory=dict)

    def in_folder(self, folder: Path, *, own: bool = False) -> None:
        """Take in what a folder says, if anything. ``own``: it is the person's."""
        for name in NAMES:
            path = folder / name
            self.looks.at(path)
            if not exists(path):
                continue
            found = self._examine(path, None, own=own)
            if isinstance(found, File) and found.identity in self._identities:
                break  # a twin is told once
            text = _read(found) if isinstance(found, File) else found
            if isinstance(text, str):
                self.leave_out(path, text)
            elif text.shown:
                assert isinstance(found, File)
                self._identities.add(found.identity)
                group = [text]
                self.groups.append(group)
                self._import(text, found, group, 1)
                break

    def leave_out(self, path: Path, why: str) -> None:
        """Have it named that a file is not told."""
        self.left_out[path, why] = None

    def hold(self) -> bool:
        """Whether all of it would be found again."""
        return self.looks.hold() and all(
            self.bounds.reading(resource) == effect
            for resource, effect in self._effects.items()
        )

    def shown(self) -> list[ShownFile]:
        """Return the files, outermost first, as far as all may be told; the innermost
        matter most, and a file more than what it imports."""
        kept: dict[int, list[ShownFile]] = {}
        budget = MAX_TOTAL
        for index in reversed(range(len(self.groups))):
            kept[index] = []
            for one in self.groups[index]:
                if budget <= 0:
                    why = f"all files together are over {MAX_TOTAL} bytes"
                    self.leave_out(one.path, why)
                    continue
                limit = min(MAX_FILE, budget)
                budget -= min(len(one.data), limit)
                kept[index].append(ShownFile(one.path, one.until(limit), one.by))
        return [one for index in sorted(kept) for one in kept[index]]

    def _import(self, text: Text, file: File, group: list[Text], depth: int) -> None:
        for name in imports(text.shown):
            words = file.real.parent, name, file.own
            if words in self._looked:
                continue  # it leads where it led before
            self._looked.add(words)
            self._tries += 1
            if self._tries > MAX_LOOKED:
                why = f"more than {MAX_LOOKED} imports are named; it and what comes "
                self.leave_out(file.path, f"{why}after it may lack some")
                return
            path = self._imported(file, name)
            if path is None:
                continue
            self.looks.at(path)
            problem: str | None = None
            if not self._is_file(path):
                continue  # somebody's name, or a file that is not there
            found = self._examine(path, file, own=file.own)
            if isinstance(found, str):
                problem = found
            elif found.identity in self._identities:
                continue  # in a circle, or told already
            elif depth > MAX_DEPTH:
                self._looked.discard(words)  # another may import it from nearer
                problem = TOO_FAR
            elif self._imports >= MAX_IMPORTS:
                problem = f"more than {MAX_IMPORTS} files are imported"
            else:
                read = _read(found, file.path)
                if isinstance(read, Text):
                    self._imports += 1
                    self.left_out.pop((path, TOO_FAR), None)
                    self._identities.add(found.identity)
                    if read.shown:
                        group.append(read)
                        self._import(read, found, group, depth + 1)
                else:
                    problem = read
            if problem is not None:
                self.leave_out(path, problem)

    def _is_file(self, path: Path) -> bool:
        try:
            return path.is_file()
        except OSError as error:
            if error.errno == errno.EACCES:
                self.leave_out(path, "it may not be looked at")
            elif error.errno not in (errno.ENAMETOOLONG, errno.EINVAL):
                raise ContextUnavailableError(KEY, f"{path}: {error}") from error
            return False

    def _imported(self, importer: File, name: str) -> Path | None:
        """Return where an import leads by its words, without a look at the disk; None
        where it leads out of what may be imported, which is told."""
        written = os.path.expanduser(name) if name.startswith("~/") else name
        path = Path(os.path.normpath(importer.real.parent / written))
        if path.is_relative_to(self._root(importer)):
            return path
        why = f"{importer.path} imports it, and it leads out of where that belongs"
        if name.startswith(("/", "~/", "../", "./")):
            self.leave_out(Path(name), why)
        return None

    def _root(self, importer: File) -> Path:
        """Return the folder that what a file imports must be in."""
        bounds = self.bounds
        if importer.own:
            return Path(importer.real.anchor)
        if bounds.checkout is not None:
            return bounds.checkout.resolve()
        if importer.real.is_relative_to(bounds.location.path):
            return bounds.location.path
        return importer.real.parent

    def _examine(self, path: Path, importer: File | None, *, own: bool) -> File | str:
        """Return the file to read, or why it is left out."""
        bounds = self.bounds
        try:
            status = path.stat()
            real = path.resolve(strict=True)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return "it leads to nothing"
            raise ContextUnavailableError(KEY, f"{path}: {error}") from error
        if own:
            root = Path(real.anchor)
        elif importer is not None:
            root = self._root(importer)
        else:
            root = (bounds.checkout or path.parent).resolve()
        if not real.is_relative_to(root):
            return "it leads outside of where it belongs"
        refused = self._refused(path, real, own=own, imported=importer is not None)
        if refused is not None:
            return refused
        if not stat.S_ISREG(status.st_mode):
            return "it is not a regular file"
        below = own or path.is_relative_to(bounds.location.path)
        owners = bounds.owners
        if not below and owners is not None and status.st_uid not in owners:
            return "it belongs to another user"
        return File(path, real, (status.st_dev, status.st_ino), own)

    def _refused(
        self, path: Path, real: Path, *, own: bool, imported: bool
    ) -> str | None:
        """Return why the rules leave a file out."""
        resource = self.bounds.location.resource(real)
        effect = self._effects[resource] = self.bounds.reading(resource)
        if effect == "deny":
            return "reading it is denied"
        if real == path and not imported:
            # Its own name says what it is for, so nobody needs to be asked.
            return None
        if ".git" in real.parts:
            return "it leads into .git"
        if effect == "ask" and not (own and real.suffix in _OF_A_PERSON):
            return "it leads to a file that may not be read without a question"
        return None


def imports(text: str) -> Iterator[str]:
    """Yield what a file imports, as it is written: ``@path``, but not in code."""
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark is not None and mark[1].startswith(fence):
                fence = ""
            continue
        if mark is not None:
            fence = mark[1]
            continue
        if "@" not in line:
            continue
        for found in _IMPORT.finditer(_CODE.sub(" ", line)):
            name = found[1].rstrip(".,;:!)]}")
            if name and name.isprintable():
                yield name


def exists(path: Path) -> bool:
    """Return whether something is at a path, wherever it leads.

    Raises:
        ContextUnavailableError: it cannot be told now.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ContextUnavailableError(KEY, f"{path}: {error}") from error
    return True


def _read(one: File, by: Path | None = None) -> Text | str:
    """Return what a file says, or why it is left out."""
    try:
        # The identity was checked: no link is followed any more, and a file that
        # became a pipe since does not block.
        flags = (
            os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        )
        with open(os.open(one.real, flags), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(MAX_FILE)
    except OSError as error:
        raise ContextUnavailableError(KEY, f"{one.path}: {error}") from error
    encoding = text_encoding(data)
    if encoding is None:
        return "it is not text, or UTF-16 without a byte order mark"
    return Text(one.path, data, size, encoding, by)
