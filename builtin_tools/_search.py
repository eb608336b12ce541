"""Searching: the visible files below a folder, and the lines in them that match.

Owns how a search is run (by ripgrep where there is one, else by our own program), its
bounds, and how results are read. Knows nothing of permissions. Both ways see the same
files in the same order; see ``_walk`` for what is visible.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio
import anyio.to_thread
from attrs import frozen
from dovetail.kernel import ToolFailure, clean_text

from . import _walk
from ._process import Capture, Ended, run
from ._text import BOM, MAX_LINE, cut
from ._walk import FilePattern, IgnoreRules, PatternError

SECONDS = 60.0
"""How long one search may take; what was found until then counts."""
MAX_RESULTS = 100
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

    async def files(self, cwd: str, root: str, pattern: str, limit: int) -> Found:
        """Return the visible files below a folder whose path matches.

        ``cwd`` is the folder in a form that a child process can start in, ``root``
        its real name.

        Raises:
            ToolFailure: the pattern is invalid, or no search can be run.
        """
        wanted = file_pattern(pattern)
        paths: list[str] = []

        def take(record: bytes) -> bool:
            path = _relative(record)
            if wanted.matches(clean_text(path)):
                paths.append(path)
            return len(paths) > limit

        reader = _Records(b"\0", take)
        program = await anyio.to_thread.run_sync(self._ripgrep)
        if program is not None:
            command = [program, "--files", *await self._flags(root), "--null", "./"]
        else:
            command = self._own({"pattern": None, "include": pattern, "stdin": False})
        ended, _ = await self._run(command, cwd, reader.feed, subprocess.DEVNULL)
        return Found(
            paths=tuple(clean_text(path) for path in paths[:limit]),
            truncated=len(paths) > limit,
            timed_out=ended.timed_out,
        )

    async def lines(
        self,
        cwd: str,
        root: str,
        pattern: str,
        include: str | None,
        limit: int,
        stdin: int | None = None,
    ) -> Found:
        """Return the lines of visible files below a folder that match an expression.

        With ``stdin``, a descriptor, only that file is searched and paths are ``-``.

        Raises:
            ToolFailure: the expression or ``include`` is invalid, or no search can be
                run.
        """
        if "\n" in pattern:
            raise ToolFailure(
                "cannot search: the expression spans lines; each line is searched alone"
            )
        wanted = file_pattern(include) if include else None
        program = await anyio.to_thread.run_sync(self._ripgrep)
        above: IgnoreRules | None = None
        if program is not None and wanted is not None:
            above = await anyio.to_thread.run_sync(_walk.rules_above, root)
        matches: list[Match] = []

        def take(path: str, line: int, text: str) -> bool:
            if wanted is not None and not (
                wanted.matches(clean_text(path)) and self._shown(path, root, above)
            ):
                return False
            name = clean_text(path) if stdin is None else "-"
            matches.append(Match(name, line, text))
            return len(matches) > limit

        reader = _Matches(take)
        if program is None:
            command = self._own(
                {
                    "pattern": pattern,
                    "include": include,
                    "stdin": stdin is not None,
                }
            )
        else:
            command = [
                program,
                *await self._flags(root),
                *("--no-heading", "--with-filename", "--line-number", "--null"),
                # Bytes: of 2000 characters none is lost, and no line is held whole.
                *("--max-columns", str(4 * (MAX_LINE + 2)), "--max-columns-preview"),
                *_narrowed(include),
                *("--regexp", pattern, "--", "-" if stdin is not None else "./"),
            ]
        source = subprocess.DEVNULL if stdin is None else stdin
        ended, said = await self._run(command, cwd, reader.feed, source)
        stopped = ended.timed_out or ended.enough
        if ended.code == 2 and not stopped:
            await self._check(program, pattern, said)
        return Found(
            matches=tuple(matches[:limit]),
            truncated=len(matches) > limit,
            timed_out=ended.timed_out,
        )

    def _shown(self, path: str, root: str, above: IgnoreRules | None) -> bool:
        # ripgrep brings back hidden files that its `--type` names.
        hidden = os.path.basename(path).startswith(".")
        return not hidden or _walk.is_visible(path, root, above)

    async def _flags(self, root: str) -> list[str]:
        """Return what makes ripgrep see the same files everywhere, as we do."""
        flags = ["--no-config", "--color=never", "--no-messages", "--sort=path"]
        flags += ["--no-require-git", "--no-ignore-global", "--no-ignore-exclude"]
        flags += ["--glob=!.git"]
        if await anyio.to_thread.run_sync(_walk.rules_above, root) is None:
            flags.append("--no-ignore-parent")
        return flags

    def _own(self, request: Mapping[str, object]) -> list[str]:
        if not sys.executable:
            raise ToolFailure(
                "cannot search: there is neither ripgrep nor a Python interpreter to "
                "run; install dovetail[search]"
            )
        return [sys.executable, "-I", _walk.__file__, json.dumps(request)]

    async def _check(self, program: str | None, pattern: str, said: str) -> None:
        """Tell an expression that is invalid from files that could not be read."""
        if program is not None:
            ignore = Capture(0)
            errors = Capture(8192)
            command = [program, "--no-config", "--regexp", pattern, "--", "-"]
            ended = await run(
                command,
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
            shown = text.removesuffix(b"\r").decode("utf-8", "replace")
            if line == b"1":
                shown = shown.removeprefix(BOM)
            if self._take(_relative(name), int(line), cut(shown)):
                return True
        self._held = held[start:]
        return False

    def _without_notice(self, name: bytes) -> bytes:
        """Drop the line in which ripgrep says that the file before was binary."""
        notice = b": (?:WARNING: stopped searching )?binary file [^\n]*\n"
        return re.sub(b"^" + re.escape(self._last) + notice, b"", name)
