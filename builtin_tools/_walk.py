"""Searching files without ripgrep: which are visible, which match, which lines.

Owns the rules of visibility (hidden files, ``.gitignore``, ``.ignore``,
``.rgignore``), file patterns, how what is below a folder is opened without following a
link, and a program that lists or searches. Knows nothing of tools or permissions.

This file is also that program: it is run as a script by ``_search``, in a process of
its own, because a regular expression of Python can run for years and only a process
can be ended. So it imports nothing of dovetail. What it prints has the form that
ripgrep prints with ``--null``: ``path NUL line : text`` or ``path NUL``.
"""

import codecs
import errno
import io
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import lru_cache
from itertools import chain

# To import typing takes longer than many a search.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO

IGNORE_FILES = (".rgignore", ".ignore", ".gitignore")
"""In order of precedence: a rule of the first kind beats one of the second, wherever
it stands; of one kind the nearest file wins, and in a file the last rule."""

_MAX_IGNORE_FILE = 1_048_576
_MAX_KEPT_LINE = 200
_MAX_LINE = 1_048_576
_MAX_SHOWN = 2001
_HEAD = 65_536
_MAX_ALTERNATIVES = 256

_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# To go through a folder takes no right to list it.
_FOLDER = _LISTED | getattr(os, "O_PATH", 0)
# A fifo that took the place of a file must not hang the search.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


# --- file patterns ----------------------------------------------------------------


class PatternError(ValueError):
    """A file pattern cannot be used."""


class FilePattern:
    """A file pattern: ``*``, ``?``, ``[...]``, ``{a,b}`` and ``**`` for any folders.

    Without a slash it is matched against the name at any depth, otherwise against the
    whole path below the root. ``!`` in front turns it around. Every ``*`` is matched
    without going back, so that no pattern is slow.

    A pattern is also matched with its brackets taken for themselves, and as the very
    path that it spells: files are called ``[id].tsx`` and ``{slug}.md``.
    """

    def __init__(self, pattern: str) -> None:
        text = pattern[1:] if pattern.startswith("!") else pattern
        self.negated = pattern.startswith("!")
        if not text.strip("/"):
            raise PatternError("the pattern is empty")
        self._alternatives: list[_Path] = []
        for one in _alternatives(text):
            parts = [part for part in one.split("/") if part not in ("", ".")]
            if ".." in parts:
                raise PatternError("'..' cannot be part of a pattern; use path")
            if "/" not in one.rstrip("/"):
                parts.insert(0, "**")
            if one.endswith("/"):
                parts.append("**")
            self._alternatives.append(_path(parts))
            if any("[" in part for part in parts):
                self._alternatives.append(_path([_bare(part) for part in parts]))
        self.spelt = "/".join(part for part in text.split("/") if part not in ("", "."))
        """The pattern as a path: the file that is called just so is always meant."""

    @property
    def names_hidden(self) -> bool:
        """Whether it names something hidden: a part of it begins with a dot."""
        return not self.negated and any(any(one.dotted) for one in self._alternatives)

    def matches(self, path: str) -> bool:
        """Tell whether a path below the root, with ``/``, matches."""
        parts = path.split("/")
        return self.negated != (
            path == self.spelt
            or any(_matches(one.segments, parts) for one in self._alternatives)
        )

    def names(self, path: str) -> bool:
        """Tell whether a path matches as in a shell: what is hidden in it, only by a
        part that begins with a dot, too."""
        parts = path.split("/")
        return not self.negated and any(
            _matches(one.segments, parts, one.dotted) for one in self._alternatives
        )

    def names_below(self, folder: str) -> bool:
        """Tell whether ``names`` may be true of something below a folder."""
        parts = folder.split("/")
        return not self.negated and any(
            _reached(one.segments, parts, one.dotted) - {len(one.segments)}
            for one in self._alternatives
        )


class _Path:
    """One way to read a pattern."""

    def __init__(self, segments: "list[_Segment]", dotted: list[bool]) -> None:
        self.segments = segments
        self.dotted = dotted
        """Of each segment, whether it begins with a dot of its own."""


def _path(parts: Sequence[str]) -> _Path:
    return _Path(
        [_segment(part) for part in parts], [part[:1] == "." for part in parts]
    )


def _bare(part: str) -> str:
    """Return a part in which brackets mean themselves."""
    return re.sub(
        r"\\.|[\[\]]", lambda one: one[0] if one[0][0] == "\\" else f"\\{one[0]}", part
    )


def _alternatives(pattern: str) -> list[str]:
    """Return the patterns without braces that a pattern with braces stands for."""
    done: list[str] = []
    todo = [pattern]
    while todo:
        text = todo.pop()
        group = _first_group(text)
        if group is None:
            done.append(text)
        else:
            start, end, choices = group
            todo += [text[:start] + one + text[end:] for one in reversed(choices)]
        if len(todo) + len(done) > _MAX_ALTERNATIVES:
            raise PatternError(f"braces give more than {_MAX_ALTERNATIVES} patterns")
    return done


def _first_group(text: str) -> tuple[int, int, list[str]] | None:
    depth, start, begin, escaped = 0, -1, -1, False
    choices: list[str] = []
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "{":
            depth += 1
            if depth == 1:
                start = begin = index
                begin += 1
        elif depth and char == "," and depth == 1:
            choices.append(text[begin:index])
            begin = index + 1
        elif depth and char == "}":
            depth -= 1
            if not depth:
                return start, index + 1, [*choices, text[begin:index]]
    if depth:
        raise PatternError("a brace is not closed")
    return None


_Segment = Callable[[str], object] | None
"""What matches one part of a path; None stands for ``**``, any number of parts."""


def _segment(part: str) -> _Segment:
    # More than two mean no more, as with git.
    return None if part.strip("*") == "" and len(part) > 1 else _glob(part)


def _glob(text: str) -> Callable[[str], object]:
    """Return what matches a whole name, as git's own matcher does.

    Raises:
        PatternError: a bracket is not closed, or a backslash has nothing behind it.
    """
    pieces: list[list[str]] = [[]]
    at = 0
    while at < len(text):
        char, at = text[at], at + 1
        if char == "*":
            pieces.append([])
        elif char == "?":
            pieces[-1].append(".")
        elif char == "[":
            one, at = _bracket(text, at)
            pieces[-1].append(one)
        else:
            if char == "\\":
                char, at = text[at : at + 1], at + 1
                if not char:
                    raise PatternError("it ends in a backslash")
            pieces[-1].append(re.escape(char))
    first, *rest = ("".join(piece) for piece in pieces)
    if not rest:
        return re.compile(first, re.DOTALL).fullmatch
    # Between two stars the first place that fits is as good as any other. The atomic
    # groups say so: otherwise `*a*a*a*a*b` takes ages to find out that nothing fits.
    inner = "".join(f"(?>.*?{piece})" for piece in rest[:-1] if piece)
    return re.compile(f"{first}{inner}.*{rest[-1]}", re.DOTALL).fullmatch


_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r" \t-\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


def _bracket(text: str, at: int) -> tuple[str, int]:
    """Return the expression for a bracket, and where it ends.

    ``at`` is just behind the opening. A bracket that comes first is one of the
    characters, a backslash takes what follows literally.
    """
    negated = text[at : at + 1] in ("!", "^")
    at += negated
    first, before = at, ""
    inside = ""
    while True:
        char, at = text[at : at + 1], at + 1
        if char == "]" and at - 1 > first:
            break
        ranged = char == "-" and before and text[at : at + 1] not in ("", "]")
        if ranged:
            char, at = text[at], at + 1
        if char == "[" and not ranged and text[at : at + 1] == ":":
            name, closed, _ = text[at + 1 :].partition("]")
            if closed and name.endswith(":"):
                if name[:-1] not in _CLASSES:
                    raise PatternError(f"there is no class [:{name}]")
                inside += _CLASSES[name[:-1]]
                at, before = at + 1 + len(name) + 1, ""
                continue
        elif char == "\\":
            char, at = text[at : at + 1], at + 1
        if not char:
            raise PatternError(r"a bracket is not closed; '\[' is the character itself")
        if not ranged:
            inside += re.escape(char)
        elif before < char:
            inside += f"{re.escape(before)}-{re.escape(char)}"
        before = "" if ranged else char
    if not inside:
        return ("." if negated else "(?!)"), at
    return f"[{'^' if negated else ''}{inside}]", at


def _matches(
    pattern: Sequence[_Segment],
    parts: Sequence[str],
    dotted: Sequence[bool] | None = None,
) -> bool:
    return len(pattern) in _reached(pattern, parts, dotted)


def _reached(
    pattern: Sequence[_Segment],
    parts: Sequence[str],
    dotted: Sequence[bool] | None = None,
) -> set[int]:
    """Match segment by segment: the set of reachable places, never back.

    With ``dotted``, a hidden part is matched only by a segment that begins with a dot.
    """
    reached = {0}
    for part in parts:
        strict = dotted is not None and part.startswith(".")
        after: set[int] = set()
        for at in _through(pattern, reached):
            if at == len(pattern) or (strict and not (dotted and dotted[at])):
                continue
            segment = pattern[at]
            if segment is None:
                after.add(at)
                if at == len(pattern) - 1:
                    after.add(len(pattern))  # the last `**` takes at least one part
            elif segment(part):
                after.add(at + 1)
        reached = after
    return reached


def _through(pattern: Sequence[_Segment], reached: set[int]) -> set[int]:
    """Add the places that are reached because ``**`` may stand for nothing."""
    found = set(reached)
    for at in sorted(reached):
        while at < len(pattern) - 1 and pattern[at] is None:
            at += 1
            found.add(at)
    return found


# --- what is below a folder -------------------------------------------------------


class Held:
    """Files and folders below an open folder, each opened part by part.

    No symbolic link is followed on the way, so what is opened has the very path that
    was given, whatever others put in the place of a folder meanwhile: a rule about a
    path is about that file. Paths are relative, with ``/``; the folder itself is the
    empty path. Of the folders below only the last one is kept open, so that a deep tree
    costs no descriptors.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._path = ""
        self._folder = root

    def folder(self, path: str) -> int:
        """Return a descriptor to find things in a folder by; it is good until the
        next call, and cannot be listed itself.

        Raises:
            OSError: it is gone, or it or one above it is no folder but perhaps a link.
        """
        if path != self._path:
            start, rest = self._root, path
            if self._path and path.startswith(f"{self._path}/"):
                start, rest = self._folder, path[len(self._path) + 1 :]
            opened = self._descend(start, rest) if path else self._root
            self.close()
            self._path, self._folder = path, opened
        return self._folder

    def file(self, path: str) -> int:
        """Return a new descriptor of a regular file.

        Raises:
            OSError: as ``folder``, or it is no regular file.
        """
        folder, _, name = path.rpartition("/")
        descriptor = os.open(name, _FILE, dir_fd=self.folder(folder))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "not a regular file")
        return descriptor

    def has_file(self, path: str) -> bool:
        """Tell whether a regular file has just this path."""
        folder, _, name = path.rpartition("/")
        try:
            found = os.stat(name, dir_fd=self.folder(folder), follow_symlinks=False)
        except (OSError, ValueError):
            return False
        return stat.S_ISREG(found.st_mode)

    def close(self) -> None:
        """Close what is kept open below the folder; the folder is its owner's."""
        if self._folder != self._root:
            os.close(self._folder)
        self._path, self._folder = "", self._root

    @staticmethod
    def _descend(start: int, path: str) -> int:
        current = start
        try:
            for part in path.split("/"):
                if part == "..":
                    raise OSError(errno.EINVAL, "a path that leads up")
                below = os.open(part, _FOLDER, dir_fd=current)
                if current != start:
                    os.close(current)
                current = below
        except BaseException:
            if current != start:
                os.close(current)
            raise
        return current


# --- visibility -------------------------------------------------------------------


class IgnoreRules:
    """The ignore files of one folder, and of those above it."""

    def __init__(
        self, folder: str, above: "IgnoreRules | None", opened: int | None = None
    ) -> None:
        """``folder`` is the absolute name, ``opened`` a descriptor to read it by."""
        self._folder = folder
        self._above = above
        where = folder if opened is None else ""
        self.is_repository = _exists(os.path.join(where, ".git"), opened)
        read = (
            (name, _ignore_file(os.path.join(where, name), opened))
            for name in IGNORE_FILES
        )
        self._files = {name: patterns for name, patterns in read if patterns}

    def decide(self, path: str, *, is_folder: bool) -> bool | None:
        """Return True for an ignored path, False for one that a rule brings back,
        None when no rule speaks of it.

        A rule speaks of what it names and not of what lies below that: the folders
        above the path are decided on their own.
        """
        for name in IGNORE_FILES:
            rules: IgnoreRules | None = self
            while rules is not None:
                patterns = rules._files.get(name)
                if patterns is not None:
                    parts = os.path.relpath(path, rules._folder).split("/")
                    for pattern in patterns:
                        if pattern.names(parts, is_folder=is_folder):
                            return not pattern.negated
                # What lies above a repository does not speak for it.
                if name == ".gitignore" and rules.is_repository:
                    break
                rules = rules._above
        return None


class _IgnorePattern:
    """One line of an ignore file."""

    def __init__(self, line: str) -> None:
        """Read a line that is neither empty nor a comment.

        Raises:
            PatternError: it names nothing.
        """
        self.negated = line.startswith("!")
        text = line.removeprefix("!")
        self._only_folders = text.endswith("/")
        text = text.removesuffix("/")
        # Without a slash it is about names, wherever they are.
        self._name = None if "/" in text else _glob(text)
        parts = _split(text.removeprefix("/"))
        if "" in parts:
            raise PatternError("a part is empty")
        self._segments = [] if self._name else [_segment(part) for part in parts]

    def names(self, parts: Sequence[str], *, is_folder: bool) -> bool:
        """Tell whether this is about the path itself."""
        if self._only_folders and not is_folder:
            return False
        if self._name is not None:
            return bool(self._name(parts[-1]))
        return _matches(self._segments, parts)


def _split(pattern: str) -> list[str]:
    """Return the parts of a pattern; a slash in brackets separates nothing."""
    parts: list[str] = []
    start = at = 0
    while at < len(pattern):
        char, at = pattern[at], at + 1
        if char == "\\":
            at += 1
        elif char == "[":
            with suppress(PatternError):
                _, at = _bracket(pattern, at)
        elif char == "/":
            parts.append(pattern[start : at - 1])
            start = at
    return [*parts, pattern[start:]]


def _exists(path: str, opened: int | None) -> bool:
    try:
        os.stat(path, dir_fd=opened, follow_symlinks=False)
    except OSError:
        return False
    return True


def _ignore_file(path: str, opened: int | None) -> list[_IgnorePattern]:
    """Return the patterns of an ignore file, the one that counts most first."""
    try:
        # A link is not followed, as in git.
        descriptor = os.open(path, _FILE, dir_fd=opened)
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(_MAX_IGNORE_FILE).decode("utf-8-sig", "surrogateescape")
    except OSError:
        return []
    found: list[_IgnorePattern] = []
    for line in text.split("\n"):
        line = _trimmed(line.removesuffix("\r").partition("\0")[0])
        if line and not line.startswith("#"):
            kept = len(line) <= _MAX_KEPT_LINE
            pattern = _kept_pattern(line) if kept else _pattern(line)
            if pattern is not None:
                found.append(pattern)
    return found[::-1]


def _pattern(line: str) -> _IgnorePattern | None:
    """Return the pattern of a line, or None where there is none that can be used."""
    try:
        return _IgnorePattern(line)
    except PatternError:
        # git passes over it, too; only that one is lost.
        return None


# Whoever looks at paths one by one reads the same files for each of them, and the
# files of many folders say the same. To read a line takes longer than to match it.
_kept_pattern = lru_cache(2048)(_pattern)


def _trimmed(line: str) -> str:
    """Return a line without the spaces at its end; one behind a backslash stays."""
    bare = line.rstrip(" ")
    escaped = (len(bare) - len(bare.rstrip("\\"))) % 2
    return line[: len(bare) + escaped]


def rules_above(root: str) -> IgnoreRules | None:
    """Return the rules of the folders above the root of a search.

    None when they ignore the root itself: a folder that is asked for by its name is
    searched, and then only the rules inside it count.
    """
    rules: IgnoreRules | None = None
    ignored = False
    path = "/"
    for part in [one for one in root.split("/") if one]:
        rules = IgnoreRules(path, rules)
        ignored = ignored and not rules.is_repository
        path = os.path.join(path, part)
        ignored = rules.decide(path, is_folder=True) is True or ignored
    if ignored and not os.path.lexists(os.path.join(root, ".git")):
        return None
    return rules


def is_visible(
    path: str, root: str, above: IgnoreRules | None, held: Held | None = None
) -> bool:
    """Tell whether one path below the root is visible by itself, with all above it.

    With ``held``, the root, only what is there counts.
    """
    rules = IgnoreRules(root, above, None if held is None else held.folder(""))
    parts = path.split("/")
    here = root
    for index, part in enumerate(parts):
        here = os.path.join(here, part)
        is_folder = index < len(parts) - 1
        if not _shown(part, rules.decide(here, is_folder=is_folder)):
            return False
        if is_folder:
            opened: int | None = None
            if held is not None:
                try:
                    opened = held.folder("/".join(parts[: index + 1]))
                except OSError:
                    return False
            rules = IgnoreRules(here, rules, opened)
    return True


def _shown(name: str, decided: bool | None) -> bool:
    if name == ".git" or decided:
        return False
    # A rule such as `!.github` brings a hidden name back.
    return decided is False or not name.startswith(".")


_Entries = Iterator[tuple[str, bool, IgnoreRules]]


def visible_files(
    held: Held,
    root: str,
    above: IgnoreRules | None,
    wanted: FilePattern | None = None,
) -> Iterator[str]:
    """Yield the visible files below a held folder, in the order of their parts.

    ``root`` is its absolute name. What is hidden and what ``wanted`` names is visible
    too. Symbolic links are neither followed nor listed.
    """
    # A stack of what is still to come, so that a deep tree costs no calls.
    stack: list[_Entries] = [_entries(held, root, "", above, wanted)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
        elif entry[1]:
            stack.append(_entries(held, root, entry[0], entry[2], wanted))
        else:
            yield entry[0]


def _listed(folder: int) -> list[tuple[bytes, str, bool]]:
    """Return the files and folders of an open folder in order, and which is which.

    Raises:
        OSError: it may not be listed.
    """
    descriptor = os.open(".", _LISTED, dir_fd=folder)
    try:
        with os.scandir(descriptor) as scan:
            # What each is, some file systems tell only as long as the folder is open.
            return sorted(
                (os.fsencode(one.name), one.name, one.is_dir(follow_symlinks=False))
                for one in scan
                if one.is_dir(follow_symlinks=False)
                or one.is_file(follow_symlinks=False)
            )
    finally:
        os.close(descriptor)


def _entries(
    held: Held,
    root: str,
    folder: str,
    above: IgnoreRules | None,
    wanted: FilePattern | None,
) -> _Entries:
    try:
        opened = held.folder(folder)
        entries = _listed(opened)
    except OSError:
        return  # gone, a link by now, or not ours to read: nothing is visible in it
    absolute = os.path.join(root, folder) if folder else root
    rules = IgnoreRules(absolute, above, opened)
    for _, name, is_folder in entries:
        path = os.path.join(absolute, name)
        below = f"{folder}/{name}" if folder else name
        decided = rules.decide(path, is_folder=is_folder)
        shown = _shown(name, decided)
        if not shown and decided is None and name != ".git" and wanted:
            shown = wanted.names_below(below) if is_folder else wanted.names(below)
        if shown:
            yield below, is_folder, rules


# --- the program ------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """List or search, as one JSON argument says; exit 2 with a text on bad input."""
    request = json.loads(arguments[0])
    out = sys.stdout.buffer
    expression: re.Pattern[str] | None = None
    try:
        if request["pattern"] is not None:
            expression = re.compile(request["pattern"])
        wanted = FilePattern(request["include"]) if request["include"] else None
    except (re.error, PatternError, RecursionError, OverflowError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if expression is not None and request["stdin"]:
        _search(sys.stdin.buffer, b"-", expression, out)
        return 0
    # What may not be read comes in by standard input, because there may be much.
    left_out = set(sys.stdin.buffer.read().split(b"\0")) if request["skip"] else set()
    also = [] if request["also"] is None else [request["also"]]
    root = os.getcwd()
    descriptor = os.open(".", _FOLDER)
    with closing(Held(descriptor)) as held:
        files = visible_files(held, root, rules_above(root), wanted)
        for path in chain(files, also):
            if wanted is not None and not wanted.matches(path):
                continue
            name = os.fsencode(path)
            if name in left_out:
                continue
            if expression is None:
                out.write(name + b"\0")
                continue
            try:
                with os.fdopen(held.file(path), "rb") as file:
                    _search(file, name, expression, out)
            except OSError:
                continue  # gone, or not ours to read
    os.close(descriptor)
    return 0


def _search(
    file: "IO[bytes]", name: bytes, expression: re.Pattern[str], out: "IO[bytes]"
) -> None:
    """Print the matching lines of one file; binary files have none.

    Of a line over 1 MiB only the beginning is searched.
    """
    reader = io.BufferedReader(file, _HEAD) if isinstance(file, io.RawIOBase) else file
    head = reader.peek(_HEAD)[:_HEAD] if isinstance(reader, io.BufferedReader) else b""
    encoding = "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\0" in head:
        return
    text = io.TextIOWrapper(reader, encoding, "replace", newline="\n")
    for number, line in text_lines(text):
        if expression.search(line):
            shown = line[:_MAX_SHOWN].encode()
            out.write(b"%b\0%d:%b\n" % (name, number, shown))
    # It would close the file, which is for those to close who opened it.
    text.detach()


def text_lines(text: "IO[str]") -> Iterator[tuple[int, str]]:
    """Yield the lines of a text with their numbers, until one has a NUL.

    Of a line over 1 MiB only the beginning comes.
    """
    number, complete = 0, True
    while line := text.readline(_MAX_LINE):
        fresh, complete = complete, line.endswith("\n")
        if not fresh:
            continue  # the rest of a line that is too long
        number += 1
        if "\0" in line:
            break
        yield number, line.removesuffix("\n").removesuffix("\r")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
