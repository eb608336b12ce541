"""Skill folders: where skills are looked for, and the search in them.

Reads the file system; call it in a thread. In each folder every ``SKILL.md`` (in any
case) below it is a skill, and every ``*.md`` directly in it. They are looked for from
the Location up to the root of its git checkout, as instructions are. The trees are
other people's data: links in circles, links out of the checkout or to what may not be
read, pipes and endless trees are expected, and each thing that is passed over is told
once, by name.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import platformdirs
from attrs import define, field, frozen
from dovetail.kernel import Location, Looks, RuleEffect, Skill, SkillProblem

IN_HOME = (".claude/skills", ".agents/skills")
"""A person's own, in their home, which several agents share."""
IN_LOCATION = (".claude/skills", ".agents/skills", ".dovetail/skills")
MAX_DEPTH = 12
"""Folders below a skill folder."""
MAX_ENTRIES = 50_000
"""Files and folders looked at below one skill folder."""
MAX_SKILLS = 2_000
PASSED_OVER = frozenset((".git", ".hg", ".svn", ".venv", "__pycache__", "node_modules"))
"""Folders that nobody keeps skills in, and that are large."""


_Allowed = tuple[Path, ...] | None
"""The real folders that links may lead into; None means anywhere."""
Reading = Callable[[str], RuleEffect]
"""Tells whether a resource may be read."""


def _allow(resource: str) -> RuleEffect:
    return "allow"


@frozen
class SkillFolder:
    """A folder to look for skills in."""

    path: Path
    allowed: tuple[Path, ...] | None = ()
    """Where links in it may lead, besides the folder itself; None means anywhere."""
    expected: bool = False
    """Whether its absence is worth telling: somebody configured it."""
    owners: frozenset[int] | None = None
    """Whose files in it count; None means anybody's."""


def skill_folders(
    location: Path,
    configured: Sequence[str],
    user: Path | None = None,
    home: Path | None = None,
) -> list[SkillFolder]:
    """Return the folders of a Location, the ones that win over others last.

    The user's own folders come first: those in ``home`` that other agents share, and
    the one of dovetail's configuration; then those of the checkout from its root down
    to the Location, then the configured ones, which are relative to the Location and
    may begin with ``~``. Above the Location the files of other users do not count: in a
    folder that everybody may write to, anybody could put a skill.
    """
    own = user or platformdirs.user_config_path("dovetail", appauthor=False) / "skills"
    everywhere = [] if home is None else [home / one for one in IN_HOME]
    chosen = [location / os.path.expanduser(one) for one in configured]
    place = Location(str(location))
    root = place.checkout() or location
    upwards = [location, *location.parents]
    chain = upwards[: upwards.index(root) + 1][::-1]
    # What is configured may also be linked to: it was named on purpose.
    inside = (root, *chosen)
    try:
        owners = place.owners()
    except OSError:
        owners = frozenset()  # it is gone, and so are the folders in it
    return [
        # The person's own folders: they may link to whatever they like.
        *(SkillFolder(one, allowed=None) for one in everywhere),
        SkillFolder(own, allowed=None),
        *(
            SkillFolder(
                folder / one, inside, owners=None if folder == location else owners
            )
            for folder in chain
            for one in IN_LOCATION
        ),
        *(SkillFolder(one, (one, *inside), expected=True) for one in chosen),
    ]


def find_skills(
    location: Path,
    folders: Sequence[SkillFolder],
    reading: Reading = _allow,
    looks: Looks | None = None,
) -> list[Skill | SkillProblem]:
    """Search the folders in order; of equal names the later skill wins.

    Returns the skills, then one problem for each file or folder that was passed over.
    Each real file counts once, whatever links lead there. What may not be read is not,
    and a link to what would have to be asked for is not followed. ``looks`` takes in
    how all of it looked.
    """
    search = _Search(Location(str(location)), reading, looks or Looks())
    for folder in folders:
        search.run(folder)
    return [*(skill for _, skill in search.skills.values()), *search.problems]


@define
class _Search:
    location: Location
    reading: Reading
    looks: Looks
    skills: dict[str, tuple[Path, Skill]] = field(factory=dict)
    problems: list[SkillProblem] = field(factory=list)
    _visited: set[Path] = field(factory=set)
    """Real folders and files that were seen."""

    def run(self, folder: SkillFolder) -> None:
        self.looks.at(folder.path, entries=True)
        if not os.path.isdir(folder.path):
            if folder.expected or os.path.lexists(folder.path):
                self._problem(folder.path, "there is no such folder")
            return
        # Here, because many have no skills.
        from dovetail.kernel import is_skill_name, read_skill

        allowed = _real_paths(folder.allowed)
        for path, is_top in self._walk(folder.path, allowed):
            if not (is_skill_name(path.name) or is_top):
                continue
            self.looks.at(path)
            if len(self.skills) >= MAX_SKILLS:
                self._problem(path, f"the search ended after {MAX_SKILLS} skills")
                return
            real = self._admitted(path, allowed)
            if real is not None and self._readable(path, real, folder):
                self._add(path, read_skill(path, real))

    def _walk(self, top: Path, allowed: _Allowed) -> Iterator[tuple[Path, bool]]:
        """Yield Markdown files in order, and whether each is directly in ``top``."""
        entries = 0
        waiting = [(top, 0)]
        while waiting:
            current, depth = waiting.pop()
            real = self._admitted(current, allowed)
            if real is None:
                continue
            self.looks.at(current, entries=True)
            if depth > MAX_DEPTH:
                self._problem(current, f"it is more than {MAX_DEPTH} folders deep")
                continue
            try:
                names = sorted(os.listdir(real))
            except OSError as error:
                self._problem(current, f"it cannot be listed: {error.strerror}")
                continue
            entries += len(names)
            if entries > MAX_ENTRIES:
                self._problem(current, f"the search ended after {MAX_ENTRIES} entries")
                return
            below = []
            for name in names:
                path = current / name
                if os.path.isdir(path):
                    if name not in PASSED_OVER:
                        below.append((path, depth + 1))
                elif name.lower().endswith(".md"):
                    yield path, depth == 0
            waiting.extend(reversed(below))

    def _add(self, path: Path, found: Skill | SkillProblem) -> None:
        if isinstance(found, SkillProblem):
            self.problems.append(found)
            return
        if found.name in self.skills:
            hidden, _ = self.skills[found.name]
            self._problem(hidden, f"hidden: {path} has the same name {found.name!r}")
        self.skills[found.name] = (path, found)

    def _admitted(self, path: Path, allowed: _Allowed) -> Path | None:
        """Return where a path leads, if it may be read and was not read yet."""
        try:
            str(path).encode()
            real = path.resolve(strict=True)
        except UnicodeEncodeError:
            self._problem(path, "its path is not UTF-8")
            return None
        except (OSError, RuntimeError):
            self._problem(path, "it leads to nothing")
            return None
        if real in self._visited:
            return None
        if allowed is not None and not any(map(real.is_relative_to, allowed)):
            self._problem(path, "it leads outside the Location")
            return None
        self._visited.add(real)
        return real

    def _readable(self, path: Path, real: Path, folder: SkillFolder) -> bool:
        """Tell whether a file may be read without a question; why not is told."""
        effect = self.reading(self.location.resource(real))
        why = None
        if effect == "deny":
            why = "reading it is denied"
        elif folder.allowed is not None and not _is_itself(path, real, folder.path):
            if ".git" in real.parts:
                why = "it leads into .git"
            elif effect == "ask":
                why = "it leads to a file that may not be read without a question"
        if why is None and folder.owners is not None:
            try:
                if os.stat(real).st_uid not in folder.owners:
                    why = "it belongs to another user"
            except OSError:
                why = "it leads to nothing"
        if why is not None:
            self._problem(path, why)
        return why is None

    def _problem(self, path: Path, problem: str) -> None:
        self.problems.append(SkillProblem(str(path), problem))


def _real_paths(paths: Sequence[Path] | None) -> _Allowed:
    if paths is None:
        return None
    return tuple(path.resolve() for path in paths if os.path.isdir(path))


def _is_itself(path: Path, real: Path, top: Path) -> bool:
    """Tell whether no link lies between a skill folder and a file in it."""
    return real == top.parent.resolve() / top.name / path.relative_to(top)
