"""Skill folders: what is found in them, and what hostile trees do not achieve."""

import os
from pathlib import Path

import pytest
from dovetail.kernel import RuleEffect, Skill, SkillProblem
from dovetail.kernel.configuration.skill_file import MAX_FILE, MAX_NAME
from dovetail.plugins.skills import folders as module
from dovetail.plugins.skills.folders import (
    MAX_DEPTH,
    find_skills,
    skill_folders,
)

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


@pytest.fixture
def location(tmp_path: Path) -> Path:
    made = tmp_path.resolve() / "location"
    made.mkdir()
    return made


def write(path: Path, name: str | None = None, description: str = "d") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = f"name: {name}\n" if name else ""
    path.write_text(
        f"---\n{header}description: {description}\n---\n\nbody of {path.name}"
    )
    return path


def find(location: Path, *configured: str) -> list[Skill | SkillProblem]:
    user = location.parent / "user"
    return find_skills(location, skill_folders(location, configured, user))


def names(found: list[Skill | SkillProblem]) -> list[str]:
    return sorted(one.name for one in found if isinstance(one, Skill))


def problems(found: list[Skill | SkillProblem]) -> dict[str, str]:
    told = [one for one in found if isinstance(one, SkillProblem)]
    assert len({one.path for one in told}) == len(told)  # one diagnostic each
    return {one.path: one.problem for one in told}


def test_skills_are_found_in_every_usual_folder(location: Path) -> None:
    write(location / ".dovetail" / "skills" / "a" / "SKILL.md")
    write(location / ".agents" / "skills" / "group" / "b" / "SKILL.md")
    write(location / ".claude" / "skills" / "c.md")
    write(location.parent / "user" / "d" / "SKILL.MD")
    write(location / "extra" / "e" / "skill.md")
    write(location / ".claude" / "skills" / "notes" / "not-top.md")
    found = find(location, "extra")
    assert names(found) == ["a", "b", "c", "d", "e"]
    assert problems(found) == {}


def test_a_location_without_skills_has_none_and_no_problem(location: Path) -> None:
    assert find(location) == []


def test_a_configured_folder_that_is_not_there_is_told(location: Path) -> None:
    found = find(location, "missing", str(location / "also"), "bad\0name")
    assert set(problems(found)) == {
        str(location / "missing"),
        str(location / "also"),
        str(location / "bad\0name"),
    }


def test_the_header_s_name_counts_before_the_folder_s(location: Path) -> None:
    path = write(location / ".agents" / "skills" / "folder" / "SKILL.md", "My  Skill")
    (skill,) = find(location)
    assert skill == Skill(
        "My Skill", "d", "body of SKILL.md", directory=str(path.parent)
    )


def test_a_skill_in_one_file_has_no_folder(location: Path) -> None:
    write(location / ".agents" / "skills" / "tiny.md")
    assert find(location) == [Skill("tiny", "d", "body of tiny.md")]


def test_of_equal_names_the_later_folder_wins_and_the_other_is_told(
    location: Path,
) -> None:
    user = write(location.parent / "user" / "a" / "SKILL.md", "same", "user")
    claude = write(location / ".claude/skills/a/SKILL.md", "same", "claude")
    agents = write(location / ".agents/skills/a/SKILL.md", "same", "agents")
    own = write(location / ".dovetail/skills/a/SKILL.md", "same", "dovetail")
    write(location / "extra" / "a" / "SKILL.md", "same", "configured")
    found = find(location, "extra")
    skills = [one for one in found if isinstance(one, Skill)]
    assert [one.description for one in skills] == ["configured"]
    assert set(problems(found)) == {str(one) for one in (user, claude, agents, own)}


def test_some_files_beside_a_skill_are_named_in_order(location: Path) -> None:
    folder = location / ".agents" / "skills" / "a"
    write(folder / "SKILL.md")
    for name in ("z.txt", "scripts/run.py", ".hidden", "scripts/.git/x", "b.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (skill,) = find(location)
    assert isinstance(skill, Skill)
    assert skill.files == ("b.md", "scripts/run.py", "z.txt")
    for number in range(50):
        (folder / f"many{number:02}").write_text("x")
    (skill,) = find(location)
    assert isinstance(skill, Skill)
    assert len(skill.files) == 10


def test_a_skill_may_ask_not_to_be_told_to_models(location: Path) -> None:
    path = write(location / ".agents" / "skills" / "a.md")
    path.write_text(
        path.read_text().replace("---\n", "---\ndisable-model-invocation: True\n", 1)
    )
    (skill,) = find(location)
    assert isinstance(skill, Skill)
    assert skill.offered is False


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no front matter"),
        (b"---\nname: a\ndescription: b\n", "no end"),
        (b"---\nname: a\n---\n", "no description"),
        (b"---\nname: a\ndescription: ''\n---\n", "no description"),
        (b"---\nname: a\ndescription: [b, c]\n---\n", "description must be text"),
        (b"---\nname: {a: b}\ndescription: b\n---\n", "name must be text"),
        (b"---\nname: a\ndescription: [b\n---\n", "description is not YAML"),
        (b"---\nname: a\ndescription: caf\xe9\n---\n", "not UTF-8"),
        (b"---\nname: %b\ndescription: b\n---\n" % (b"x" * (MAX_NAME + 1)), "name"),
        (b'---\nname: "a\\x1b[2J"\ndescription: b\n---\n', "name"),
        (b"---\nname: a\ndescription: b\n---\n" + b"x" * MAX_FILE, "over"),
    ],
)
def test_an_unusable_file_is_told_with_the_reason(
    location: Path, content: bytes, why: str
) -> None:
    path = location / ".agents" / "skills" / "a" / "SKILL.md"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    found = find(location)
    assert names(found) == []
    assert list(problems(found)) == [str(path)]
    assert why in problems(found)[str(path)]


# --- up to the root of the checkout -------------------------------------------------


def test_skills_are_found_up_to_the_root_of_the_checkout_and_no_further(
    location: Path,
) -> None:
    work = location / "packages" / "one"
    work.mkdir(parents=True)
    (location / ".git").mkdir()
    write(location / ".agents" / "skills" / "up" / "SKILL.md")
    write(location / ".agents" / "skills" / "both" / "SKILL.md", description="outer")
    write(location / "packages" / ".claude" / "skills" / "mid.md")
    write(work / ".dovetail" / "skills" / "both" / "SKILL.md", description="inner")
    write(location.parent / ".agents" / "skills" / "outside" / "SKILL.md")
    found = find(work)
    assert names(found) == ["both", "mid", "up"]
    both = next(one for one in found if isinstance(one, Skill) and one.name == "both")
    assert both.description == "inner"
    (location / ".git").rmdir()
    assert names(find(work)) == ["both"]


@pytest.mark.skipif(os.name == "nt", reason="files have no owner in this sense")
def test_above_the_location_a_skill_of_another_user_does_not_count(
    location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (location / ".git").mkdir()
    (location / "work").mkdir()
    planted = write(location / ".agents" / "skills" / "a" / "SKILL.md")
    write(location / "work" / ".agents" / "skills" / "b" / "SKILL.md")
    monkeypatch.setattr(module.Location, "owners", lambda self: frozenset((4242,)))
    found = find(location / "work")
    assert names(found) == ["b"]
    assert problems(found) == {str(planted): "it belongs to another user"}


@needs_links
@pytest.mark.law("access.1")
def test_a_link_in_a_skill_obeys_the_rules_for_reading_what_it_leads_to(
    location: Path,
) -> None:
    (location / ".git").mkdir()
    write(location / ".env")
    write(location / ".git" / "notes.md")
    write(location / "secret" / "SKILL.md")
    write(location / "docs" / "fine.md")
    top = location / ".agents" / "skills"
    for name, to in {
        "env": "../../../.env",
        "git": "../../../.git/notes.md",
        "fine": "../../../docs/fine.md",
    }.items():
        (top / name).mkdir(parents=True)
        (top / name / "SKILL.md").symlink_to(to)
    (top / "folder").symlink_to("../../secret")
    write(top / "plain" / "SKILL.md")

    def reading(resource: str) -> RuleEffect:
        if resource.startswith("secret/"):
            return "deny"
        return (
            "ask" if resource in (".env", ".agents/skills/plain/SKILL.md") else "allow"
        )

    found = find_skills(location, skill_folders(location, ()), reading)
    assert names(found) == ["fine", "plain"]
    assert problems(found) == {
        str(top / "env" / "SKILL.md"): (
            "it leads to a file that may not be read without a question"
        ),
        str(top / "git" / "SKILL.md"): "it leads into .git",
        str(top / "folder" / "SKILL.md"): "reading it is denied",
    }


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_skill_in_utf16_with_a_mark_is_read(location: Path, encoding: str) -> None:
    path = write(location / ".agents" / "skills" / "a" / "SKILL.md", description="é")
    path.write_bytes(f"\ufeff{path.read_text()}".encode(encoding))
    (skill,) = find(location)
    assert isinstance(skill, Skill)
    assert (skill.name, skill.description) == ("a", "é")


# --- hostile trees ----------------------------------------------------------------


@needs_links
def test_links_in_circles_end_and_each_skill_counts_once(location: Path) -> None:
    skills = location / ".agents" / "skills"
    write(skills / "a" / "SKILL.md")
    (skills / "a" / "up").symlink_to("..")
    (skills / "b").symlink_to("a")
    (skills / "self").symlink_to("self")
    (location / ".claude").symlink_to(".agents")
    found = find(location)
    assert names(found) == ["a"]
    assert problems(found) == {}


@needs_links
def test_links_out_of_the_location_are_not_followed_and_are_told(
    location: Path,
) -> None:
    outside = location.parent / "outside"
    write(outside / "a" / "SKILL.md")
    skills = location / ".agents" / "skills"
    skills.mkdir(parents=True)
    (skills / "folder").symlink_to(outside / "a")
    (skills / "b").mkdir()
    (skills / "b" / "SKILL.md").symlink_to(outside / "a" / "SKILL.md")
    (skills / "top.md").symlink_to(outside / "a" / "SKILL.md")
    (location / ".claude").symlink_to(outside)
    (location / ".dovetail").mkdir()
    (location / ".dovetail" / "skills").symlink_to(outside)
    found = find(location)
    assert names(found) == []
    assert set(problems(found)) == {
        str(skills / "folder"),
        str(skills / "b" / "SKILL.md"),
        str(skills / "top.md"),
        str(location / ".dovetail" / "skills"),
    }


@needs_links
def test_a_configured_folder_and_links_into_it_are_allowed(location: Path) -> None:
    outside = location.parent / "outside"
    write(outside / "a" / "SKILL.md")
    write(location.parent / "else" / "b" / "SKILL.md")
    skills = location / ".agents" / "skills"
    skills.mkdir(parents=True)
    (skills / "a").symlink_to(outside / "a")
    (outside / "b").symlink_to(location.parent / "else" / "b")
    found = find(location, "../outside")
    assert names(found) == ["a"]
    assert list(problems(found)) == [str(location / "../outside/b")]


@needs_links
def test_the_user_s_own_folder_may_link_anywhere(location: Path) -> None:
    write(location.parent / "dotfiles" / "a" / "SKILL.md")
    (location.parent / "user").symlink_to("dotfiles")
    assert names(find(location)) == ["a"]


@needs_links
def test_pipes_and_broken_links_are_told_and_do_not_block(location: Path) -> None:
    skills = location / ".agents" / "skills"
    (skills / "a").mkdir(parents=True)
    (skills / "b").mkdir()
    os.mkfifo(skills / "a" / "SKILL.md")
    (skills / "b" / "SKILL.md").symlink_to("nowhere")
    write(skills / "ok.md")
    found = find(location)
    assert names(found) == ["ok"]
    assert problems(found) == {
        str(skills / "a" / "SKILL.md"): "it is not a regular file",
        str(skills / "b" / "SKILL.md"): "it leads to nothing",
    }


def test_an_unreadable_folder_is_told_and_the_others_go_on(
    location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skills = location / ".agents" / "skills"
    write(skills / "a" / "SKILL.md")
    write(skills / "b" / "SKILL.md")
    plain = os.listdir

    def refuse(path: Path) -> list[str]:
        if path == skills / "a":
            raise PermissionError(13, "Permission denied")
        return plain(path)

    monkeypatch.setattr(os, "listdir", refuse)
    found = find(location)
    assert names(found) == ["b"]
    assert problems(found) == {
        str(skills / "a"): "it cannot be listed: Permission denied"
    }


def test_a_tree_without_end_is_left_at_a_depth(location: Path) -> None:
    folder = location / ".agents" / "skills"
    for _ in range(MAX_DEPTH):
        folder = folder / "d"
    write(folder / "SKILL.md", "deep")
    write(folder / "d" / "SKILL.md", "deeper")
    found = find(location)
    assert names(found) == ["deep"]
    assert list(problems(found)) == [str(folder / "d")]


@pytest.mark.parametrize("limit", ["MAX_ENTRIES", "MAX_SKILLS"])
def test_a_tree_that_is_too_wide_is_left_with_one_problem(
    location: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    for number in range(20):
        write(location / ".agents" / "skills" / f"{number:02}.md")
    write(location / ".agents" / "skills" / "below" / "SKILL.md")
    monkeypatch.setattr(module, limit, 10)
    found = find(location)
    assert len(names(found)) <= 10
    assert len(problems(found)) == 1
    assert "10" in "".join(problems(found).values())


def test_large_folders_of_other_tools_are_passed_over(location: Path) -> None:
    skills = location / ".agents" / "skills"
    write(skills / "node_modules" / "a" / "SKILL.md")
    write(skills / ".git" / "SKILL.md")
    write(skills / ".hidden" / "SKILL.md")
    assert names(find(location)) == [".hidden"]


@pytest.mark.skipif(os.name != "posix", reason="file names are text elsewhere")
def test_a_path_that_is_not_utf8_is_told(location: Path) -> None:
    skills = location / ".agents" / "skills"
    write(skills / "ok.md")
    try:
        write(skills / os.fsdecode(b"caf\xe9") / "SKILL.md")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    found = find(location)
    assert names(found) == ["ok"]
    assert list(problems(found).values()) == ["its path is not UTF-8"]


def test_folders_are_searched_in_an_order_that_the_disk_does_not_decide(
    location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "cab":
        write(location / ".agents" / "skills" / name / "SKILL.md", "same", name)
    forward = find(location)
    plain = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: sorted(plain(path), reverse=True))
    assert find(location) == forward
    assert [one.description for one in forward if isinstance(one, Skill)] == ["c"]


def test_the_user_s_folder_is_in_the_configuration_folder(
    location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(location.parent / "config"))
    monkeypatch.setenv("HOME", str(location.parent / "home"))
    first = skill_folders(location, ["~/mine"])[0]
    assert first.path.name == "skills"
    assert "dovetail" in first.path.parts
    assert skill_folders(location, ["~/mine"])[-1].path == location.parent / "home/mine"
