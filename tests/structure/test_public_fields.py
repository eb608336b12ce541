"""What the fields of public values mean stands under each of them."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import attrs
import dovetail.kernel
import dovetail.kernel.testing
import dovetail.kernel.testing.conformance

TABLES = (dovetail.kernel, dovetail.kernel.testing, dovetail.kernel.testing.conformance)


def public_classes() -> list[type]:
    found = {
        value
        for table in TABLES
        for name in table.__all__
        if inspect.isclass(value := getattr(table, name)) and attrs.has(value)
    }
    assert len(found) > 100
    return sorted(found, key=lambda one: one.__name__)


def undocumented(declared: ast.ClassDef) -> Iterator[str]:
    """Yield the public fields of a class without a text under them."""
    for field, after in zip(declared.body, [*declared.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign) or not isinstance(
            field.target, ast.Name
        ):
            continue
        told = (
            isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        )
        if not told and not field.target.id.startswith("_"):
            yield f"{declared.name}.{field.target.id}"


def test_every_field_of_a_public_value_says_what_it_means() -> None:
    bare: list[str] = []
    for cls in public_classes():
        source = Path(str(inspect.getsourcefile(cls))).read_text(encoding="utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                bare += undocumented(node)
    assert bare == []


def test_a_field_that_says_nothing_is_found() -> None:
    source = (
        'class A:\n    a: int\n    """Said."""\n    b: int\n    _c: int\n    d: int'
    )
    (declared,) = ast.parse(source).body
    assert isinstance(declared, ast.ClassDef)
    assert list(undocumented(declared)) == ["A.b", "A.d"]
