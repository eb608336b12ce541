"""Laws and tests name each other: a promise without a test is not kept."""

import ast
import re
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "laws"
ROW = re.compile(r"^\| (?P<id>[a-z]+\.\d+) \| (?P<status>\w+) \| (?P<promise>.+) \|$")


@frozen
class Law:
    id: str
    status: str
    promise: str


def laws_of(text: str) -> list[Law]:
    """Return the laws in the table of a page."""
    rows = [ROW.match(line) for line in text.splitlines()]
    return [Law(row["id"], row["status"], row["promise"]) for row in rows if row]


def marks_of(source: str) -> list[tuple[int, str | None]]:
    """Return line and id of every law that a test module names; None for no id."""
    found: list[tuple[int, str | None]] = []
    if "mark.law" not in source:
        return found
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                ast.Attribute(ast.Attribute(ast.Name("pytest"), "mark"), "law"), args
            ):
                for arg in args or [node]:
                    text = arg.value if isinstance(arg, ast.Constant) else None
                    found.append((node.lineno, text if isinstance(text, str) else None))
    return found


@pytest.fixture(scope="module")
def laws() -> dict[str, Law]:
    pages = [page for page in PAGES.glob("*.md") if page.name != "README.md"]
    listed = [
        law for page in pages for law in laws_of(page.read_text(encoding="utf-8"))
    ]
    assert len({law.id for law in listed}) == len(listed)
    return {law.id: law for law in listed}


@pytest.fixture(scope="module")
def named() -> dict[str, list[str]]:
    """Return where each law is named by a test."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for line, law in marks_of(path.read_text(encoding="utf-8")):
            where = f"{path.relative_to(ROOT)}:{line}"
            assert law is not None, f"{where} names no law by a plain text"
            found.setdefault(law, []).append(where)
    return found


def test_every_kept_law_has_a_test(
    laws: dict[str, Law], named: dict[str, list[str]]
) -> None:
    kept = {law.id for law in laws.values() if law.status == "kept"}
    assert sorted(kept - set(named)) == []


def test_no_test_names_an_unknown_law(
    laws: dict[str, Law], named: dict[str, list[str]]
) -> None:
    assert {law: named[law] for law in sorted(set(named) - set(laws))} == {}


def test_no_test_claims_a_planned_law(
    laws: dict[str, Law], named: dict[str, list[str]]
) -> None:
    planned = {law.id for law in laws.values() if law.status == "planned"}
    assert {law: named[law] for law in sorted(planned & set(named))} == {}


def test_a_law_is_kept_or_planned(laws: dict[str, Law]) -> None:
    assert {law.status for law in laws.values()} <= {"kept", "planned"}


@pytest.mark.parametrize(
    "page", sorted(PAGES.glob("[a-z]*.md")), ids=lambda page: page.stem
)
def test_a_page_numbers_its_laws_without_a_gap(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    listed = laws_of(text)
    numbers = range(1, len(listed) + 1)
    assert listed
    assert [law.id for law in listed] == [f"{page.stem}.{one}" for one in numbers]
    # Nothing in the table is overlooked, such as a row with a slip of the pen.
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == len(listed) + 2


def test_laws_that_code_and_docs_speak_of_exist(laws: dict[str, Law]) -> None:
    """Also in docstrings: ``(law inbox.3)``, ``(laws inbox.3 and tools.2)``."""
    areas = "|".join(page.stem for page in PAGES.glob("[a-z]*.md"))
    wanted = re.compile(rf"\blaws? ((?:(?:{areas})\.\d+(?:,? and |, )?)+)")
    folders = ("kernel", "storage", "builtin_tools", "plugins", "docs", "examples")
    files = [
        path
        for folder in folders
        for kind in ("*.py", "*.md")
        for path in (ROOT / folder).rglob(kind)
    ]
    spoken = {
        law
        for path in files
        for match in wanted.finditer(path.read_text(encoding="utf-8"))
        for law in re.findall(r"[a-z]+\.\d+", match[1])
    }
    assert len(spoken) > 5
    assert sorted(spoken - set(laws)) == []


def test_a_mark_is_found_wherever_it_stands() -> None:
    source = """
@pytest.mark.law("inbox.1", "inbox.2")
def test_a(): ...
pytestmark = [pytest.mark.law("tools.1")]
cases = [pytest.param(1, marks=pytest.mark.law("tools.2"))]
@pytest.mark.law(NAME)
def test_b(): ...
"""
    found = [law for _, law in marks_of(source)]
    assert sorted(map(str, found)) == [
        "None",
        "inbox.1",
        "inbox.2",
        "tools.1",
        "tools.2",
    ]


def test_a_row_is_read_as_it_is_written() -> None:
    page = "| law | status | promise |\n|---|---|---|\n| inbox.1 | kept | It is. |"
    assert laws_of(page) == [Law("inbox.1", "kept", "It is.")]
