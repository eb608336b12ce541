"""Copies: what was fetched of a catalogue, on this machine, for when it is away.

Owns the folder of one catalogue: generations of files, and one small file that says
which generation counts and what each file of it held. That file is replaced in one
step, so that whoever reads finds the old copy or the new one and never half of one. A
file that is not what was fetched is not used. Works on the disk: use it in a thread.
"""

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from attrs import define, field, frozen
from dovetail.kernel import Looks, Skill, SkillProblem, read_skill

from ._catalogue import MAX_SKILLS, SKILL_FILE, is_name, is_safe

CURRENT = "current.json"
MAX_CURRENT = 8_388_608
"""Bytes."""
KEPT_SECONDS = 3_600.0
"""A generation that does not count any more is kept for whoever reads it still."""

Digests = Mapping[str, Mapping[str, str]]
"""The SHA-256 of each file, by skill and path."""


@frozen
class Current:
    """What the copy of a catalogue holds."""

    generation: str
    digests: Digests
    fetched: float
    """When it was known to be what the catalogue has, in seconds since 1970."""


@define
class Copy:
    """The copy of one catalogue."""

    folder: Path
    base: str
    looks: Looks | None = field(default=None, init=False)
    """How it looked when it was read last."""

    @classmethod
    def of(cls, cache: Path, base: str) -> "Copy":
        """Return the copy of a catalogue below a folder for all of them."""
        return cls(cache / hashlib.sha256(base.encode()).hexdigest()[:32], base)

    def current(self) -> Current | None:
        """Return what counts now, or None where nothing does."""
        path = self.folder / CURRENT
        try:
            with open(path, "rb") as file:
                status, data = os.fstat(file.fileno()), file.read(MAX_CURRENT + 1)
            said = json.loads(data)
            generation, digests = said["generation"], said["skills"]
            if said["base"] != self.base or not _sound(generation, digests):
                return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None  # there is none, or not one of ours
        return Current(generation, digests, status.st_mtime)

    def skills(self) -> list[Skill | SkillProblem]:
        """Return the skills of the copy, and what of it cannot be used."""
        looks = Looks()
        looks.at(self.folder / CURRENT)
        self.looks = looks
        current = self.current()
        if current is None:
            return []
        found: list[Skill | SkillProblem] = []
        for name, files in sorted(current.digests.items()):
            folder = self.folder / current.generation / name
            spoilt = [
                one for one, known in files.items() if _digest(folder / one) != known
            ]
            if spoilt:
                problem = f"{spoilt[0]!r} of its copy is not what was fetched"
                found.append(SkillProblem(f"{self.base}{name}", problem))
                continue
            path = folder / SKILL_FILE
            found.append(read_skill(path, path))
        return found

    def holds(self) -> bool:
        """Return whether the copy is as it was read last."""
        return self.looks is not None and self.looks.hold()

    def age(self) -> float | None:
        """Return for how many seconds it is what the catalogue had, or None."""
        current = self.current()
        return None if current is None else time.time() - current.fetched

    def drop(self, generation: Path) -> None:
        """Remove a generation that is not to count."""
        shutil.rmtree(generation, ignore_errors=True)

    def begin(self) -> Path:
        """Return a new folder to fetch a generation into."""
        made = self.folder / f"g-{secrets.token_hex(8)}"
        made.mkdir(parents=True, mode=0o700)
        return made

    def replace(self, generation: Path, digests: Digests) -> bool:
        """Let a generation count from now on; return whether it is another one."""
        current = self.current()
        if current is not None and current.digests == digests:
            self.drop(generation)
            os.utime(self.folder / CURRENT)
            return False
        said = {"base": self.base, "generation": generation.name, "skills": digests}
        made = generation / CURRENT
        with open(made, "x", encoding="utf-8") as file:
            json.dump(said, file)
            file.flush()
            os.fsync(file.fileno())
        made.replace(self.folder / CURRENT)
        self._forget_others(generation.name)
        return True

    def _forget_others(self, counting: str) -> None:
        for one in self.folder.glob("g-*"):
            try:
                old = time.time() - one.stat().st_mtime > KEPT_SECONDS
            except OSError:
                continue  # somebody else removed it
            if old and one.name != counting:
                shutil.rmtree(one, ignore_errors=True)


def store(generation: Path, name: str, file: str, data: bytes) -> str:
    """Write one file of a generation; return its SHA-256. It is never executable."""
    assert is_name(name), name
    assert is_safe(file), file
    path = generation / name / file
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(path, flags, 0o600), "wb") as opened:
        opened.write(data)
    return hashlib.sha256(data).hexdigest()


def _sound(generation: object, digests: object) -> bool:
    """Whether what is written of a copy leads nowhere else."""
    return (
        isinstance(generation, str)
        and generation.startswith("g-")
        and generation[2:].isalnum()
        and isinstance(digests, dict)
        and len(digests) <= MAX_SKILLS
        and all(
            is_name(name)
            and isinstance(files, dict)
            and all(
                is_safe(one) and isinstance(known, str) for one, known in files.items()
            )
            for name, files in digests.items()
        )
    )


def _digest(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
