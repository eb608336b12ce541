"""What instruction files import: ``@path``, bounded, and only what may be read."""

import os
from pathlib import Path

import pytest
from dovetail.kernel import RuleEffect
from dovetail.kernel.access.rules import DEFAULT_RULES, decide
from dovetail.plugins.context.instruction_files import (
    MAX_DEPTH,
    MAX_IMPORTS,
    MAX_LOOKED,
    MAX_TOTAL,
    allow,
    imports,
)
from dovetail.plugins.context.instructions import (
    HEAD,
    MAX_NAMED,
    Instructions,
    find_instructions,
    rendered,
    search,
)
from hypothesis import given, strategies as st

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "checkout"
    (root / ".git").mkdir(parents=True)
    return root


def reading(resource: str) -> RuleEffect:
    return decide("read", (resource,), DEFAULT_RULES)


def found(directory: Path, own: Path | None = None) -> Instructions:
    return find_instructions(directory, None, reading, own)


def names(directory: Path, own: Path | None = None) -> list[str]:
    return [path.name for path, _ in found(directory, own).files]


def test_an_import_is_told_after_the_file_that_has_it(checkout: Path) -> None:
    write(checkout / "AGENTS.md", "Read @docs/style.md, and @./docs/more.md.")
    write(checkout / "docs" / "style.md", "Tabs. See @deeper.md")
    write(checkout / "docs" / "deeper.md", "Wide ones. See @../AGENTS.md")
    write(checkout / "docs" / "more.md", "More.")
    write(checkout / "in" / "AGENTS.md", "Inner. @../docs/more.md")
    assert names(checkout / "in") == [
        "AGENTS.md",
        "style.md",
        "deeper.md",
        "more.md",
        "AGENTS.md",
    ]
    assert found(checkout / "in").left_out == ()


def test_what_is_code_or_an_address_or_a_name_is_no_import() -> None:
    text = (
        "ann@example.org and `@a.md` and ``x `@b.md` ``\n```sh\n@c.md\n```\n"
        "~~~~\n@d.md\n~~~\n@e.md\n~~~~\n@f.md, (@g.md) @@h.md x/@i.md"
    )
    assert [*imports(text)] == ["f.md", "g.md"]


@given(st.text(alphabet="@`~ab./\n ", max_size=60))
def test_looking_for_imports_takes_any_text(text: str) -> None:
    for name in imports(text):
        assert f"@{name}" in text


def test_a_line_of_backticks_costs_no_more_than_any_other() -> None:
    assert [*imports("`" * 60_000 + "@a.md" + " `x" * 20_000)] == []


def test_somebody_who_is_named_is_no_file_that_is_missed(checkout: Path) -> None:
    write(checkout / "AGENTS.md", "Ask @ann, or use @acme/tool and @decorator.")
    assert names(checkout) == ["AGENTS.md"]
    assert found(checkout).left_out == ()


@needs_links
@pytest.mark.law("context.15")
@pytest.mark.parametrize(
    "name",
    [
        "../secret.md",
        "/etc/hostname",
        "~/.ssh/id_rsa",
        "in/../../secret.md",
        "link.md",
        "folder/secret.md",
        ".env",
        ".git/config",
        "keys/server.pem",
        "pipe",
    ],
)
def test_a_checkout_imports_nothing_that_is_not_its_own_or_is_secret(
    checkout: Path, name: str
) -> None:
    write(checkout.parent / "secret.md", "the key")
    write(checkout / ".env", "the key")
    write(checkout / ".git" / "config", "the key")
    write(checkout / "keys" / "server.pem", "the key")
    (checkout / "link.md").symlink_to("../secret.md")
    (checkout / "folder").symlink_to("..")
    (checkout / "in").mkdir()
    os.mkfifo(checkout / "pipe")
    write(checkout / "AGENTS.md", f"Read @{name}")
    assert names(checkout) == ["AGENTS.md"]
    assert "the key" not in str(found(checkout))


@pytest.mark.law("context.15")
def test_what_leads_out_is_named_with_the_file_that_imports_it(checkout: Path) -> None:
    path = write(checkout / "AGENTS.md", "Read @../secret.md and @/etc/passwd.")
    told = {str(name): why for name, why in found(checkout).left_out}
    assert set(told) == {"../secret.md", "/etc/passwd"}
    assert all(str(path) in why for why in told.values())


def test_depth_number_and_size_are_bounded(checkout: Path) -> None:
    deep = checkout / "deep"
    write(deep / "AGENTS.md", "@0.md")
    for number in range(MAX_DEPTH + 3):
        write(deep / f"{number}.md", f"{number} @{number + 1}.md")
    assert names(deep) == ["AGENTS.md", *(f"{n}.md" for n in range(MAX_DEPTH))]
    [(path, why)] = found(deep).left_out
    assert (path.name, "imports away" in why) == (f"{MAX_DEPTH}.md", True)

    wide = checkout / "wide"
    many = [f"{number}.md" for number in range(MAX_IMPORTS + 3)]
    write(wide / "AGENTS.md", " ".join(f"@{name}" for name in many))
    for name in many:
        write(wide / name, "x" * 60_000 if name < "2" else "x")
    told = found(wide)
    assert sum(len(text) for _, text in told.files) < MAX_TOTAL + 1_000
    assert names(wide)[0] == "AGENTS.md"
    assert {path.name for path, _ in told.left_out} >= set(many[-3:])


def test_without_a_checkout_imports_stay_in_the_folder(tmp_path: Path) -> None:
    top = tmp_path.resolve()
    write(top / "secret.md", "the key")
    write(top / "work" / "notes.md", "mine")
    write(top / "work" / "AGENTS.md", "@../secret.md @notes.md")
    told = find_instructions(top / "work", top / "work", reading)
    assert [path.name for path, _ in told.files] == ["AGENTS.md", "notes.md"]


@needs_links
def test_a_persons_own_file_comes_first_and_may_lead_anywhere(
    checkout: Path, tmp_path: Path
) -> None:
    own, dotfiles = tmp_path / ".config" / "dovetail", tmp_path / "dotfiles"
    write(dotfiles / "agents.md", "Mine. @rules.md @~/nowhere.md @.env")
    write(dotfiles / "rules.md", "My rules.")
    write(dotfiles / ".env", "the key")
    own.mkdir(parents=True)
    (own / "AGENTS.md").symlink_to(dotfiles / "agents.md")
    write(checkout / "AGENTS.md", f"The project's. @{own}/AGENTS.md")
    told = found(checkout, own)
    assert [path.name for path, _ in told.files] == [
        "AGENTS.md",
        "rules.md",
        "AGENTS.md",
    ]
    assert told.files[0][1].startswith("Mine.")
    assert "the key" not in str(told.files)


@pytest.mark.law("context.15")
@pytest.mark.parametrize("name", ["@../{}", "@{}.md", "@is{}/../../out{}"])
def test_a_file_full_of_imports_costs_little_and_says_so(
    checkout: Path, name: str
) -> None:
    """All of them would be stated, resolved and named."""
    text = "Be brief. " + " ".join(name.replace("{}", str(n)) for n in range(7_000))
    (checkout / "AGENTS.md").write_text(text)
    told = found(checkout)
    assert len(told.left_out) <= MAX_LOOKED + 1
    assert any("more than 200 imports" in why for _, why in told.left_out)
    made = rendered(HEAD, [], search(checkout, None, allow, None))
    assert made.parts is not None
    [left] = made.parts.values()
    assert left.baseline.count("\n") <= MAX_NAMED + 1


@pytest.mark.law("context.15")
def test_what_is_imported_again_and_again_is_looked_for_once(checkout: Path) -> None:
    every = " ".join(f"@{n}.md" for n in range(20))
    for n in range(20):
        (checkout / f"{n}.md").write_text(f"{n}: {every}")
    (checkout / "AGENTS.md").write_text(every)
    told = found(checkout)
    assert len(told.files) == 21
    assert told.left_out == ()


@pytest.mark.law("context.2")
def test_what_cannot_be_the_name_of_a_file_stands_in_nobodys_way(
    checkout: Path,
) -> None:
    (checkout / "AGENTS.md").write_text(f"Be brief. @{'a' * 400} @x/{'b' * 300}/y")
    told = found(checkout)
    assert len(told.files) == 1
    assert told.left_out == ()
