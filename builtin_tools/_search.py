"""Searching: the visible files below a folder, and the lines in them that match.

Owns how a search is run (by ripgrep where there is one, else by our own program), its
bounds, and how results are read. Of permissions it knows a function that tells which
files may be read: the others are found by name, counted, and never opened, so that
nothing that is shown depends on what is in them (law access.7). Both ways see the same
files in the same order; see ``_walk`` for what is visible. Our own program opens what
it finds without following a link; what ripgrep reports is proven by ``_proofs``.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread
from attrs import evolve, frozen
from dovetail.kernel import ToolFailure, clean_text

from . import _walk
from ._paths import descriptor_path
from ._process import Capture, Ended, run
from ._proofs import FoundLine, files_there, lines_there, shown_line
from ._text import MAX_LINE, plural
from ._walk import FilePattern, Held, IgnoreRules, PatternError

SECONDS = 60.0
"""How long one search may take; what was found until then counts."""
MAX_RESULTS = 100
MAX_SKIPPED = 65_536
"""Characters of the names that ripgrep is told to leave out, as its arguments; our own
program takes any number."""
_CHUNK = 8_192
"""Bytes of names or lines that are looked at in one go: each name is decided about, and
the other sessions wait as long."""
_LAST_NAME = re.compile(r"[\w.*?-]+\Z")


@frozen
class Match:
    """A line that matches."""

    path: str
    """Relative to the folder that was searched."""
    line: int
    text: str


@frozen
class Found:
    """What a search found, in the order of the paths' parts."""

    paths: tuple[str, ...] = ()
    matches: tuple[Match, ...] = ()
    truncated: bool = False
    """There is more than the limit."""
    timed_out: bool = False
    """The time was over before everything was searched."""
    left_out: int = 0
    """Files that may not be read without a question."""


Readable = Callable[[str], bool]
"""Tells of a path below the folder that is searched whether the file may be read."""


def find_ripgrep(environment: Mapping[str, str]) -> str | None:
    """Return the ripgrep to use: beside this interpreter, then on the PATH."""
    beside = Path(sys.executable).parent if sys.executable else None
    if beside is not None and os.access(beside / "rg", os.X_OK):
        return str(beside / "rg")
    return shutil.which("rg", path=environment.get("PATH", os.defpath))


class Search:
    """Runs searches; without ``ripgrep`` only by our own program."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        ripgrep: bool = True,
        seconds: float = SECONDS,
    ) -> None:
        self._environment = environment
        self._use_ripgrep = ripgrep
        self._seconds = seconds

    def _ripgrep(self) -> str | None:
        return find_ripgrep(self._environment) if self._use_ripgrep else None

    async def files(
        self, folder: int, root: str, pattern: str, limit: int, readable: Readable
    ) -> Found:
        """Return the visible files below an open folder whose path matches.

        ``root`` is its real name.

        Raises:
            ToolFailure: the pattern is invalid, or no search can be run.
        """
        wanted = file_pattern(pattern)
        names: list[str] = []
        closed: list[str] = []
        also = await anyio.to_thread.run_sync(_spelt, folder, wanted)

        def take(path: str) -> bool:
            nonlocal also
            if path == also:
                also = None  # it is visible by itself
            (names if readable(clean_text(path)) else closed).append(path)
            return len(names) > limit

        ended = await self._list(folder, root, pattern, wanted, take)
        if also is not None and not ended.enough:
            take(also)
            names.sort(key=lambda path: os.fsencode(path).split(b"/"))
        there = await anyio.to_thread.run_sync(files_there, folder, names[:limit])
        return Found(
            paths=tuple(clean_text(path) for path in there),
            truncated=len(names) > limit,
            timed_out=ended.timed_out,
            left_out=await _count(folder, closed),
        )

    async def _list(
        self,
        folder: int,
        root: str,
        pattern: str | None,
        wanted: FilePattern | None,
        take: Callable[[str], bool],
    ) -> Ended:
        """Hand over the paths of the files to be searched, until it is enough."""
        program = await anyio.to_thread.run_sync(self._ripgrep)
        if program is not None:
            flags = await self._flags(root, wanted)
            command = [program, "--files", *flags, "--null", "./"]
        else:
            command = self._own(pattern=None, include=pattern)
        visible = await self._visible(folder, root, wanted)

        def record(found: bytes) -> bool:
            path = _relative(found)
            if wanted is not None and not wanted.matches(clean_text(path)):
                return False
            return visible(path) and take(path)

        reader = _Records(b"\0", record)
        cwd = descriptor_path(folder, root)
        ended, _ = await self._run(command, cwd, reader.feed, subprocess.DEVNULL)
        return ended

    async def lines(
        self,
        folder: int,
        root: str,
        pattern: str,
        include: str | None,
        limit: int,
        readable: Readable,
    ) -> Found:
        """Return the lines of visible files below an open folder that match an
        expression. ``root`` is its real name.

        Raises:
            ToolFailure: the expression or ``include`` is invalid, or no search can be
                run.
        """
        _check_expression(pattern)
        wanted = file_pattern(include) if include else None
        also = None
        if wanted is not None:
            also = await anyio.to_thread.run_sync(_spelt, folder, wanted)
        skipped: list[str] = []

        def take(path: str) -> bool:
            nonlocal also
            if path == also:
                also = None  # it is visible by itself
            if not readable(clean_text(path)):
                skipped.append(path)
            return False

        # 1. By name, which files may be read. Nothing is opened.
        listed = await self._list(folder, root, include, wanted, take)
        left_out = await _count(folder, skipped)
        if also is not None and not readable(clean_text(also)):
            also, left_out = None, left_out + 1
        # 2. The lines of these.
        program = await anyio.to_thread.run_sync(self._ripgrep)
        if sum(map(len, skipped)) > MAX_SKIPPED or not all(map(_has_utf8, skipped)):
            program = None
        if program is None:
            command = self._own(pattern, include, skip=bool(skipped), also=also)
        else:
            command = [
                program,
                *await self._flags(root, wanted),
                *(f"--glob=!/{_escaped(path)}" for path in skipped),
                *_LINES,
                *_narrowed(include),
                *("--regexp", pattern, "--", "./"),
                *([] if also is None else [f"./{also}"]),
            ]
        visible = await self._visible(folder, root, wanted)

        def wants(path: str) -> bool:
            if wanted is not None and not wanted.matches(clean_text(path)):
                return False
            # Once more: it may have come since the names were looked at.
            return readable(clean_text(path)) and (path == also or visible(path))

        cwd = descriptor_path(folder, root)
        with _given(skipped if program is None else []) as source:
            found = await self._lines(
                command, cwd, source, limit, wants, program, folder
            )
        return evolve(
            found,
            timed_out=listed.timed_out or found.timed_out,
            left_out=left_out,
        )

    async def lines_of(self, descriptor: int, pattern: str, limit: int) -> Found:
        """Return the matching lines of an open file; their paths are ``-``.

        Raises:
            ToolFailure: as ``lines``.
        """
        _check_expression(pattern)
        program = await anyio.to_thread.run_sync(self._ripgrep)
        if program is None:
            command = self._own(pattern, None, stdin=True)
        else:
            command = [program, *_ALIKE, *_LINES, "--regexp", pattern, "--", "-"]
        found = await self._lines(
            command, "/", descriptor, limit, lambda path: True, program
        )
        # Each program has its own name for it.
        matches = tuple(evolve(match, path="-") for match in found.matches)
        return evolve(found, matches=matches)

    async def _lines(
        self,
        command: list[str],
        cwd: str,
        stdin: int,
        limit: int,
        wants: Callable[[str], bool],
        program: str | None,
        folder: int | None = None,
    ) -> Found:
        lines: list[FoundLine] = []
        last: tuple[str, bool] = ("", False)

        def take(path: str, line: int, text: str) -> bool:
            nonlocal last
            if path != last[0]:
                last = path, wants(path)
            if last[1]:
                lines.append(FoundLine(path, line, text))
            return len(lines) > limit

        reader = _Matches(take)
        ended, said = await self._run(command, cwd, reader.feed, stdin)
        stopped = ended.timed_out or ended.enough
        if ended.code == 2 and not stopped:
            await self._check(program, command, said)
        shown = lines[:limit]
        if folder is not None and program is not None:
            shown = await anyio.to_thread.run_sync(
                lines_there, folder, shown, anyio.from_thread.check_cancelled
            )
        return Found(
            matches=tuple(
                Match(clean_text(one.path), one.number, one.text) for one in shown
            ),
            truncated=len(lines) > limit,
            timed_out=ended.timed_out,
        )

    async def _visible(
        self, folder: int, root: str, wanted: FilePattern | None
    ) -> Callable[[str], bool]:
        """Return what tells of a path that a program gave whether it is visible.

        ripgrep also gives hidden files: all of them when it is told to, and those that
        its ``--type`` names.
        """
        above: IgnoreRules | None = None
        if wanted is not None:
            above = await anyio.to_thread.run_sync(_walk.rules_above, root)

        def visible(path: str) -> bool:
            if wanted is None or not (path.startswith(".") or "/." in path):
                return True
            if wanted.names(path):
                return True
            with closing(Held(folder)) as held:
                return _walk.is_visible(path, root, above, held)

        return visible

    async def _flags(self, root: str, wanted: FilePattern | None) -> list[str]:
        """Return what makes ripgrep see the same files everywhere, as we do."""
        flags = [*_ALIKE, "--sort=path"]
        flags += ["--no-require-git", "--no-ignore-global", "--no-ignore-exclude"]
        flags += ["--glob=!.git"]
        if wanted is not None and wanted.names_hidden:
            flags.append("--hidden")
        if await anyio.to_thread.run_sync(_walk.rules_above, root) is None:
            flags.append("--no-ignore-parent")
        return flags

    def _own(
        self,
        pattern: str | None,
        include: str | None,
        *,
        stdin: bool = False,
        skip: bool = False,
        also: str | None = None,
    ) -> list[str]:
        if not sys.executable:
            raise ToolFailure(
                "cannot search: there is neither ripgrep nor a Python interpreter to "
                "run; install dovetail[search]"
            )
        request = {
            "pattern": pattern,
            "include": include,
            "stdin": stdin,
            "skip": skip,
            "also": also,
        }
        return [sys.executable, "-I", "-S", _walk.__file__, json.dumps(request)]

    async def _check(self, program: str | None, command: list[str], said: str) -> None:
        """Tell an expression that is invalid from files that could not be read."""
        if program is not None:
            pattern = command[command.index("--regexp") + 1]
        else:
            pattern = json.loads(command[-1])["pattern"]
        if program is not None:
            ignore = Capture(0)
            errors = Capture(8192)
            ended = await run(
                [program, "--no-config", "--regexp", pattern, "--", "-"],
                cwd="/",
                environment={},
                seconds=self._seconds,
                stdout=ignore.feed,
                stderr=errors.feed,
            )
            if ended.code != 2:
                return
            said = errors.text()
        raise ToolFailure(
            f"cannot search: the expression {pattern!r} is invalid: {said.strip()}"
        )

    async def _run(
        self, command: list[str], cwd: str, feed: Callable[[bytes], bool], stdin: int
    ) -> tuple[Ended, str]:
        errors = Capture(8192)
        try:
            ended = await run(
                command,
                cwd=cwd,
                # Neither needs anything of the environment, secrets least of all.
                environment={},
                seconds=self._seconds,
                stdout=feed,
                stderr=errors.feed,
                stdin=stdin,
                chunk=_CHUNK,
            )
        except (OSError, ValueError) as error:
            raise ToolFailure(f"cannot search: {error}") from error
        stopped = ended.timed_out or ended.enough
        if not stopped and ended.code not in (0, 1, 2):
            said = errors.text().strip()
            raise ToolFailure(
                f"cannot search: {os.path.basename(command[0])} ended with "
                f"{ended.code}{': ' if said else ''}{said}"
            )
        return ended, errors.text()


def file_pattern(pattern: str) -> FilePattern:
    """Return a usable file pattern.

    Raises:
        ToolFailure: it is invalid.
    """
    try:
        return FilePattern(pattern)
    except PatternError as error:
        raise ToolFailure(f"cannot use the pattern {pattern!r}: {error}") from error


def left_out(count: int) -> str:
    """Return the note about files that may not be read without a question."""
    files = f"{plural(count, 'file')} {'was' if count == 1 else 'were'}"
    return (
        f"{files} left out, because reading is denied there or has to be asked for; "
        "give the path of one to ask"
    )


_ALIKE = ("--no-config", "--color=never", "--no-messages")
_LINES = (
    *("--no-heading", "--with-filename", "--line-number", "--null"),
    # Bytes: of 2000 characters none is lost, and no line is held whole.
    *("--max-columns", str(4 * (MAX_LINE + 2)), "--max-columns-preview"),
)


def _check_expression(pattern: str) -> None:
    if "\n" in pattern:
        raise ToolFailure(
            "cannot search: the expression spans lines; each line is searched alone"
        )


async def _count(folder: int, paths: Sequence[str]) -> int:
    """Count the files that are there below an open folder, not behind a link."""
    return len(await anyio.to_thread.run_sync(files_there, folder, paths))


def _spelt(folder: int, wanted: FilePattern) -> str | None:
    """Return the regular file that a pattern spells out as a path, if there is one.

    Somebody who gives its very path means it, hidden or ignored as it may be. No
    symbolic link is followed on the way.
    """
    if wanted.negated or ".git" in wanted.spelt.split("/"):
        return None
    return wanted.spelt if files_there(folder, [wanted.spelt]) else None


def _has_utf8(path: str) -> bool:
    return clean_text(path) == path


def _escaped(path: str) -> str:
    """Return a path as a glob of ripgrep that means just this path."""
    return re.sub(r"[][{}*?!\\ #]", lambda sign: f"\\{sign[0]}", path)


@contextmanager
def _given(paths: Sequence[str]) -> Iterator[int]:
    """Yield a descriptor from which a program reads the paths it must leave out."""
    if not paths:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(b"\0".join(map(os.fsencode, paths)))
        file.seek(0)
        yield file.fileno()


def _narrowed(include: str | None) -> list[str]:
    """Return flags that spare ripgrep most files that ``include`` leaves out.

    A type, not a glob: ripgrep's globs bring back files that are ignored. Types know
    names only, so this lets more through than is wanted; the pattern itself decides.
    """
    last = include.rsplit("/", 1)[-1] if include else ""
    if not _LAST_NAME.match(last) or (include or "").startswith("!"):
        return []
    if "{" in (include or "") or "**" in last:
        return []
    return ["--type-add", f"dovetail:{last}", "--type", "dovetail"]


def _relative(name: bytes) -> str:
    return os.fsdecode(name.removeprefix(b"./"))


class _Records:
    """Cuts a stream into records that end in a separator."""

    def __init__(self, separator: bytes, take: Callable[[bytes], bool]) -> None:
        self._separator = separator
        self._take = take
        self._held = b""

    def feed(self, chunk: bytes) -> bool:
        *records, self._held = (self._held + chunk).split(self._separator)
        return any(self._take(record) for record in records)


class _Matches:
    """Reads records ``path NUL line : text LF``; a path may contain newlines."""

    def __init__(self, take: Callable[[str, int, str], bool]) -> None:
        self._take = take
        self._held = b""
        self._last = b""

    def feed(self, chunk: bytes) -> bool:
        held = self._held + chunk
        start = 0
        while True:
            end = held.find(b"\0", start)
            stop = held.find(b"\n", end + 1) if end >= 0 else -1
            if stop < 0:
                break
            name = self._without_notice(held[start:end])
            line, _, text = held[end + 1 : stop].partition(b":")
            start = stop + 1
            self._last = name
            number = int(line)
            if self._take(_relative(name), number, shown_line(number, text)):
                return True
        self._held = held[start:]
        return False

    def _without_notice(self, name: bytes) -> bytes:
        """Drop the line in which ripgrep says that the file before was binary."""
        notice = b": (?:WARNING: stopped searching )?binary file [^\n]*\n"
        return re.sub(b"^" + re.escape(self._last) + notice, b"", name)
