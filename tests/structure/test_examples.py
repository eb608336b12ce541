"""The example distributions are complete, told of, and no insiders.

They are what authors copy, so they use public names only, and have all that a package
of one's own needs.
"""

import ast
import importlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "examples" / "packages"
NAMES = sorted(path.name for path in PACKAGES.iterdir() if path.is_dir())
PUBLIC = (
    "dovetail.kernel",
    "dovetail.kernel.testing",
    "dovetail.kernel.testing.conformance",
)

each = pytest.mark.parametrize("name", NAMES)


def secret_imports(source: str) -> Iterator[str]:
    """Return what is imported of dovetail and is not public."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "dovetail" and alias.name not in PUBLIC:
                    yield alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            if node.module not in PUBLIC:
                if node.module.split(".")[0] == "dovetail":
                    yield node.module
                continue
            known = importlib.import_module(node.module).__all__
            for alias in node.names:
                if alias.name not in known:
                    yield f"{node.module}.{alias.name}"


def test_there_are_three_of_them() -> None:
    assert NAMES == ["dovetail-lantern", "dovetail-notebook", "dovetail-releasing"]


@each
def test_it_uses_public_names_only(name: str) -> None:
    files = sorted((PACKAGES / name).rglob("*.py"))
    assert len(files) >= 3
    found = {
        str(file.relative_to(ROOT)): secrets
        for file in files
        if (secrets := list(secret_imports(file.read_text(encoding="utf-8"))))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import dovetail.kernel.sessions",
        "from dovetail.kernel.contracts import Tool",
        "from dovetail.kernel import values",
        "def f():\n    from dovetail.plugins.context import plugin",
        "from dovetail import kernel",
    ],
)
def test_what_is_not_public_is_found(source: str) -> None:
    assert len(list(secret_imports(source))) == 1


@each
def test_it_has_what_a_package_needs(name: str) -> None:
    folder = PACKAGES / name
    package = name.replace("-", "_")
    for needed in (
        "README.md",
        f"src/{package}/py.typed",
        f"src/{package}/__init__.py",
    ):
        assert (folder / needed).is_file(), needed
    assert list((folder / "tests").glob("test_*.py"))
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    described = project["project"]
    assert described["name"] == name
    entry = {name.removeprefix("dovetail-"): f"{package}:plugin"}
    assert described["entry-points"] == {"dovetail": entry}
    # For installers and for the loader: both are told the same range.
    source = (folder / "src" / package / "__init__.py").read_text(encoding="utf-8")
    [wanted] = [each for each in described["dependencies"] if "dovetail" in each]
    assert f'requires_dovetail = "{wanted.removeprefix("dovetail")}"' in source
    # Without this its imports would be checked as those of nobody.
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert f"examples/packages/{name}/src" in tool["mypy"]["mypy_path"]


@each
@pytest.mark.parametrize("page", ["README.md", "examples.md"])
def test_the_docs_tell_of_it(name: str, page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert f"](../examples/packages/{name}/README.md)" in text


def test_every_program_is_told_of() -> None:
    text = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    programs = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
    assert [one for one in programs if f"](../examples/{one})" not in text] == []
