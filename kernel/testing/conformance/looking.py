"""Looking: what a plugin does to the world around it, seen from outside.

Owns pictures of a directory tree, the watch over opened files and connections, and
what a piece of work left behind in this process. Knows nothing of plugins.
"""

import gc
import os
import shutil
import stat
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from ...values.tool import Deed

# --- trees ------------------------------------------------------------------------


@frozen
class Entry:
    """One file, folder or link: what it is, its mode, and its bytes or its target."""

    kind: str
    mode: int
    data: bytes = b""


@frozen
class Tree:
    """What a directory held at one moment; equal when nothing differs but times."""

    entries: Mapping[str, Entry]
    """By path, relative to the directory."""

    @classmethod
    def of(cls, folder: Path) -> "Tree":
        """Take a picture. Links are not followed."""
        entries: dict[str, Entry] = {}
        with _auditor.blind():
            for at, folders, files in os.walk(folder):
                for name in (*folders, *files):
                    path = Path(at, name)
                    entry = _entry(path)
                    if entry is not None:
                        entries[path.relative_to(folder).as_posix()] = entry
        return cls(entries)

    def restore(self, folder: Path) -> None:
        """Make the directory what it was."""
        for path in list(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        for name, entry in sorted(self.entries.items()):
            path = folder / name
            if entry.kind == "folder":
                path.mkdir()
            elif entry.kind == "link":
                path.symlink_to(os.fsdecode(entry.data))
            elif entry.kind == "file":
                path.write_bytes(entry.data)
                path.chmod(entry.mode)
        for name, entry in sorted(self.entries.items(), reverse=True):
            if entry.kind == "folder":
                (folder / name).chmod(entry.mode)

    def changes(self, later: "Tree") -> list[str]:
        """Return the paths that differ in a later picture, sorted."""
        return sorted(
            name
            for name in self.entries.keys() | later.entries.keys()
            if self.entries.get(name) != later.entries.get(name)
        )


def _entry(path: Path) -> Entry | None:
    try:
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            return Entry("link", 0, os.fsencode(os.readlink(path)))
        if stat.S_ISDIR(status.st_mode):
            return Entry("folder", mode)
        if stat.S_ISREG(status.st_mode):
            return Entry("file", mode, path.read_bytes())
    except FileNotFoundError:
        # It went while somebody looked: it is not there.
        return None
    return Entry("other", mode)


# --- files and connections --------------------------------------------------------


@frozen
class Moment:
    """How things were when a process could have been killed."""

    tree: Tree
    deeds: tuple[Deed, ...]
    """What the call had recorded of what it does."""


@define(eq=False)
class Watch:
    """What this process opened and reached while the watch was on."""

    folder: Path
    opened: list[str] = field(factory=list)
    """Regular files of the folder, relative to it, in the order they were opened."""
    reached: list[str] = field(factory=list)
    """Addresses and names that a connection or a look-up was made to."""
    deeds: Callable[[], tuple[Deed, ...]] | None = None
    """What was recorded so far; None when nobody wants ``moments``."""
    moments: list[Moment] = field(factory=list)
    """Each from just before a file was to be changed."""

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.deeds is not None and _changes_a_file(event, arguments):
            self._picture(self.deeds())
        if event == "open" and isinstance(arguments[0], str | bytes):
            self._see_file(os.fsdecode(arguments[0]))
        elif event in ("socket.connect", "socket.sendto"):
            self.reached.append(str(arguments[1]))
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            self.reached.append(str(arguments[0]))

    def _see_file(self, name: str) -> None:
        # A relative name belongs to a directory that was opened before; whether that
        # was this folder cannot be seen, so a file of this name there is enough.
        path = os.path.normpath(os.path.join(self.folder, name))
        folder = str(self.folder)
        if path.startswith(folder + os.sep) and os.path.isfile(path):
            self.opened.append(os.path.relpath(path, folder))

    def _picture(self, deeds: tuple[Deed, ...]) -> None:
        now = Moment(Tree.of(self.folder), deeds)
        if not self.moments or self.moments[-1] != now:
            self.moments.append(now)


_CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = frozenset(
    f"os.{name}"
    for name in [
        "chmod",
        "link",
        "mkdir",
        "remove",
        "rename",
        "rmdir",
        "symlink",
        "truncate",
    ]
)


def _changes_a_file(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        return isinstance(arguments[2], int) and bool(arguments[2] & _CHANGING)
    return event in _CHANGES


class _Auditor:
    """The one audit hook of the process: Python lets none be removed again."""

    def __init__(self) -> None:
        self.watches: list[Watch] = []
        self._added = False
        self._within = threading.local()

    def start(self, watch: Watch) -> None:
        self.watches.append(watch)
        if not self._added:
            self._added = True
            sys.addaudithook(self._see)

    @contextmanager
    def blind(self) -> Iterator[None]:
        """See nothing of what this thread does while the body runs."""
        before = getattr(self._within, "on", False)
        self._within.on = True
        try:
            yield
        finally:
            self._within.on = before

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watches or getattr(self._within, "on", False):
            return
        if event != "open" and not event.startswith(("socket.", "os.")):
            return
        with self.blind():
            for watch in tuple(self.watches):
                watch.see(event, arguments)


# What is audited is the process, so there is one for the process.
_auditor = _Auditor()


@contextmanager
def watching(
    folder: Path, *, moments: Callable[[], tuple[Deed, ...]] | None = None
) -> Iterator[Watch]:
    """Watch the process while the body runs; take pictures of what it changes, with
    what ``moments`` returns, if it is given."""
    watch = Watch(folder, deeds=moments)
    _auditor.start(watch)
    try:
        yield watch
    finally:
        _auditor.watches.remove(watch)


# --- what is left behind ----------------------------------------------------------

# Event loops keep these for the next piece of work.
_POOLED = ("AnyIO worker thread", "Trio")
LOOKS = 100
"""How often children are looked for, where they come and go all the time."""


@frozen
class Holdings:
    """What this process holds at one moment."""

    files: frozenset[tuple[int, str]]
    threads: frozenset[threading.Thread]
    children: frozenset[int]

    @classmethod
    def now(cls) -> "Holdings":
        """Look."""
        threads = frozenset(
            one for one in threading.enumerate() if not one.name.startswith(_POOLED)
        )
        return cls(_open_files(), threads, _children())

    def wait_for_threads(self, others: "Holdings", seconds: float) -> None:
        """Give threads that are ours and not theirs so much time to end, together."""
        ours = self.threads - others.threads - {threading.current_thread()}
        for thread in ours:
            thread.join(seconds / len(ours))


def _open_files() -> frozenset[tuple[int, str]]:
    found: set[tuple[int, str]] = set()
    folder = "/proc/self/fd"
    if not os.path.isdir(folder):
        return frozenset()
    for name in os.listdir(folder):
        try:
            found.add((int(name), os.readlink(f"{folder}/{name}")))
        except OSError:
            # The listing's own, closed by now.
            continue
    return frozenset(found)


def _children() -> frozenset[int]:
    # The system tells them by thread, and a thread that ends hands its own over to
    # another, which may have been looked at already: the next look finds them there.
    seen = _children_by_thread()
    for _ in range(LOOKS):
        before, seen = seen, _children_by_thread()
        if seen == before:
            break
    return seen


def _children_by_thread() -> frozenset[int]:
    found: set[int] = set()
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return frozenset()
    for task in tasks.iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except OSError:
            # The thread ended, or the system does not tell.
            continue
    return frozenset(found)


# Trio tells of every generator that it has to end itself, which HTTP clients leave it
# in numbers. What such a generator holds is seen in other ways when it stays.
_ENDED_LATE = "Async generator "


class _Freezer:
    """Whether whoever runs this froze something, asked until it is so.

    The answer counts all that is frozen: where that is a whole suite of tests, it takes
    longer than to try a plugin.
    """

    def __init__(self) -> None:
        self._seen = False

    def holds_something(self) -> bool:
        self._seen = self._seen or gc.get_freeze_count() > 0
        return self._seen


_freezer = _Freezer()


@contextmanager
def unclosed() -> Iterator[list[str]]:
    """Collect what Python says was never closed while the body runs.

    What nobody refers to at the end is gone then.
    """
    said: list[str] = []
    # What whoever runs this froze stays so, since no part can be thawed. Garbage would
    # stay then, too.
    held = _freezer.holds_something()
    if held:
        gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        # What was there before is left alone: it is not the body's, and there is much.
        gc.freeze()
        try:
            yield said
            gc.collect()
        finally:
            if not held:
                gc.unfreeze()
        said += [
            str(one.message)
            for one in caught
            if issubclass(one.category, ResourceWarning)
            and not str(one.message).startswith(_ENDED_LATE)
        ]
