"""The source ``core/instructions.nested``: the instruction files of the folders below a
Location that a session worked in.

They are found when a call of the session first reads or writes a file in such a folder,
and hold for what is below it. Those of a checkout of its own, and of folders that hold
other people's packages, are not the project's and do not count.
"""

from collections import OrderedDict
from itertools import islice
from pathlib import Path

from anyio import to_thread
from attrs import define, field
from dovetail.kernel import Location, Observation, SessionSource, SessionView

from .instruction_files import Found, Reading, allow
from .instructions import bounds_of, rendered

KEY = "core/instructions.nested"
MAX_FOLDERS = 256
"""Folders of one session that are looked in: the first that it worked in."""
MAX_SESSIONS = 256
"""Sessions whose folders are remembered; of another they are found again."""
OTHERS = frozenset(
    (".git", ".hg", ".svn", ".venv", "venv", "node_modules", "site-packages")
)
"""Folders of what the project did not write."""
HEAD = (
    "Instructions for parts of this directory. Each counts for the files below its "
    "folder, over those of the folders further out."
)


@define
class _Worked:
    """Where one session worked."""

    files: set[str] = field(factory=set)
    folders: dict[Path, None] = field(factory=dict)
    """Below the Location, the first first; a folder after those it is in."""
    over: Path | None = None
    """The first that is not looked in any more."""


class Nested:
    """Which folders below a Location each session worked in."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sessions: OrderedDict[str, _Worked] = OrderedDict()

    def over(self, view: SessionView) -> Path | None:
        """Return the first folder of a session that is not looked in any more."""
        worked = self._sessions.get(view.session_id)
        return None if worked is None else worked.over

    def folders(self, view: SessionView) -> tuple[Path, ...]:
        """Return the folders of a session, as far as they are looked in."""
        worked = self._sessions.pop(view.session_id, None) or _Worked()
        self._sessions[view.session_id] = worked
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        new = len(view.files) - len(worked.files)
        # What was touched last is last: what is new is found from there.
        fresh = (path for path in reversed(view.files) if path not in worked.files)
        for path in [*islice(fresh, max(new, 0))][::-1]:
            worked.files.add(path)
            self._add(worked, Path(path))
        return tuple(worked.folders)

    def _add(self, worked: _Worked, path: Path) -> None:
        if not path.is_relative_to(self._directory):
            return
        folder = self._directory
        for name in path.relative_to(self._directory).parts[:-1]:
            if name in OTHERS:
                return
            folder = folder / name
            if folder not in worked.folders and len(worked.folders) >= MAX_FOLDERS:
                worked.over = worked.over or folder
                return
            worked.folders[folder] = None


def nested_source(directory: Path, reading: Reading = allow) -> SessionSource:
    """Return the source for a Location."""
    nested = Nested(directory)

    def look(folders: tuple[Path, ...], over: Path | None) -> Found:
        found = Found(bounds_of(Location(str(directory)), reading))
        others: list[Path] = []
        for folder in sorted(folders):
            mark = folder / ".git"
            found.looks.at(mark)
            if mark.exists():
                others.append(folder)
            if not any(folder.is_relative_to(one) for one in others):
                found.in_folder(folder)
        if over is not None:
            why = f"it and later folders are not looked in: more than {MAX_FOLDERS}"
            found.leave_out(over, why)
        return found

    async def observe(view: SessionView) -> Observation:
        folders, over = nested.folders(view), nested.over(view)

        def holds(now: SessionView) -> bool:
            same = nested.folders(now) == folders and nested.over(now) == over
            return same and (found is None or found.hold())

        found: Found | None = None
        if not folders:
            return Observation("", holds=holds)
        found = await to_thread.run_sync(look, folders, over, abandon_on_cancel=True)
        told = found.shown()
        made = rendered(HEAD, told, found)
        return Observation(made.baseline, parts=made.parts, holds=holds)

    return SessionSource(KEY, observe)
