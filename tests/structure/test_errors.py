"""The error tree: one tree, drawn as it is, with a code of its own for each class."""

import ast
import re
from pathlib import Path

import pytest
from dovetail.kernel import DovetailError
from dovetail.kernel.values import errors

ROOT = Path(__file__).resolve().parents[2]
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, DovetailError)
}


def drawing() -> dict[str, tuple[str | None, str]]:
    """Return the drawn tree: each class with its parent and its code."""
    found: dict[str, tuple[str | None, str]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(
            r"^ {4}((?:[| ]   )*(?:\+-- )?)(\w+Error|ToolFailure)\b(.*)", line
        )
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            code = match[3].split()
            parent = path[depth - 1] if depth else None
            found[match[2]] = (parent, code[0] if code else "")
    return found


def test_every_class_is_drawn() -> None:
    assert set(drawing()) == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_drawn_under_its_parent(name: str) -> None:
    parent = drawing()[name][0]
    parents = [base.__name__ for base in CLASSES[name].__bases__]
    assert parent in (None, *parents) if name == "DovetailError" else parent in parents


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_drawn_with_its_code(name: str) -> None:
    drawn = drawing()[name][1]
    if drawn == "provider.*":
        assert CLASSES[name].code.startswith("provider.")
    elif drawn:
        assert CLASSES[name].code == drawn
    else:
        # Only a branch may be drawn without one: it is caught, not raised.
        assert CLASSES[name].__subclasses__()


def test_every_class_has_a_code_of_its_own() -> None:
    codes = {name: vars(value).get("code") for name, value in CLASSES.items()}
    assert None not in codes.values()
    assert len(set(codes.values())) == len(codes)


@pytest.mark.parametrize("name", CLASSES)
def test_a_code_is_stable_text(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)?", CLASSES[name].code)


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_says_when_it_is_raised(name: str) -> None:
    assert CLASSES[name].__doc__


def test_there_is_one_tree() -> None:
    """No error of this tree is defined anywhere else."""
    found = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for folder in ("kernel", "storage", "builtin_tools", "plugins")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and {ast.unparse(base).rpartition(".")[2] for base in node.bases} & set(CLASSES)
        and path.parent != ROOT / "kernel" / "values" / "errors"
    ]
    assert found == []


OPENED = {
    Path("kernel/values/errors/base.py"),
    # A group of cattrs', with the path of each.
    Path("kernel/values/codec.py"),
}
"""Where exceptions are taken out of groups; everybody else asks there."""


def test_groups_of_exceptions_are_opened_in_one_place() -> None:
    libraries = ("click", "botocore", "mcp")
    opened = {
        path.relative_to(ROOT)
        for folder in ("kernel", "storage", "builtin_tools", "plugins")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr == "exceptions"
        and not (isinstance(node.value, ast.Name) and node.value.id in libraries)
    }
    assert opened == OPENED
