"""The Context Sources keep what their suite asks of a stranger's."""

from pathlib import Path
from typing import ClassVar

import pytest
from dovetail.kernel.testing.conformance import ContextConformance
from dovetail.plugins.context import plugin as context
from dovetail.plugins.skills import plugin as skills

pytestmark = pytest.mark.law("plugins.7")

SKILL = "---\nname: sums\ndescription: {}\n---\nAdd one after the other.\n"


class TestInstructions(ContextConformance):
    version = 1
    plugin = context
    sources = ("core/instructions",)

    def prepare(self, folder: Path) -> None:
        (folder / ".git").mkdir()
        (folder / "AGENTS.md").write_text("Be brief.\n")

    def change(self, folder: Path) -> None:
        (folder / "AGENTS.md").write_text("Be thorough.\n")


class TestEnvironment(ContextConformance):
    version = 1
    plugin = context
    sources = ("core/environment",)

    def change(self, folder: Path) -> None:
        (folder / ".git").mkdir()


class TestDate(ContextConformance):
    version = 1
    plugin = context
    sources = ("core/date",)
    exempt: ClassVar = {"context.change": "no file decides which day it is"}


class TestSkillsListing(ContextConformance):
    """The kernel's own source, which tells of what the skill sources found."""

    version = 1
    plugin = skills
    sources = ("core/skills",)

    def prepare(self, folder: Path) -> None:
        (folder / ".agents" / "skills" / "sums").mkdir(parents=True)
        path = folder / ".agents" / "skills" / "sums" / "SKILL.md"
        path.write_text(SKILL.format("How to add up."))

    def change(self, folder: Path) -> None:
        path = folder / ".agents" / "skills" / "sums" / "SKILL.md"
        path.write_text(SKILL.format("How to add up many."))


class TestCaller(ContextConformance):
    """A source that speaks to each session; the suite's session was told nothing."""

    version = 1
    plugin = context
    sources = ("core/caller",)
    exempt: ClassVar = {
        "context.observation": "the caller of the suite says nothing",
        "context.change": "no file decides what a caller says",
    }


class TestBranch(ContextConformance):
    version = 1
    plugin = context
    sources = ("core/git",)

    def prepare(self, folder: Path) -> None:
        (folder / ".git").mkdir()
        (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")

    def change(self, folder: Path) -> None:
        (folder / ".git" / "HEAD").write_text("ref: refs/heads/side\n")
