"""The skills of this package: each folder below ``skills`` is one."""

from pathlib import Path

import yaml
from dovetail.kernel import Skill

FOLDER = Path(__file__).with_name("skills")


def read_skills() -> list[Skill]:
    """Return the skills. Reads the file system; call it in a thread."""
    return [_read(file) for file in sorted(FOLDER.glob("*/SKILL.md"))]


def _read(file: Path) -> Skill:
    # Our own files: what is wrong with them is a defect, and shown as one.
    _, head, body = file.read_text(encoding="utf-8").split("---\n", 2)
    header = yaml.safe_load(head)
    beside = sorted(each.name for each in file.parent.iterdir() if each != file)
    return Skill(
        name=header["name"],
        description=header["description"],
        body=body.strip(),
        directory=str(file.parent),
        files=tuple(beside),
    )
