"""What the plugin tells keeps what must be: checked by dovetail's own suites."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from dovetail.kernel.testing.conformance import ContextConformance, SkillConformance
from dovetail_releasing import plugin


class TestProject(ContextConformance):
    version = 1
    plugin = plugin
    sources = ("releasing/project",)

    def prepare(self, folder: Path) -> None:
        text = '[project]\nname = "spam"\nversion = "1.0"\n'
        (folder / "pyproject.toml").write_text(text)
        (folder / "CHANGELOG.md").write_text("## 1.0\n")

    def change(self, folder: Path) -> None:
        (folder / "CHANGELOG.md").write_text("## Unreleased\n\n## 1.0\n")


class TestSkills(SkillConformance):
    version = 1
    plugin = plugin
    skills = ("cut-release", "write-changelog")
    exempt: ClassVar[Mapping[str, str]] = {
        "skill.change": "they are part of the package and change with its releases"
    }
