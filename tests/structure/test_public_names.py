"""The tables of contents of the kernel and of its testing kit: complete and true."""

import ast
import importlib
import inspect
from pathlib import Path
from types import ModuleType

import dovetail.kernel
import dovetail.kernel.testing
import dovetail.kernel.testing.conformance
import dovetail.kernel.values.errors as errors
import pytest

TABLES = (dovetail.kernel, dovetail.kernel.testing, dovetail.kernel.testing.conformance)
both = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)


@pytest.mark.parametrize(
    ("table", "name"),
    [(table, name) for table in TABLES for name in table.__all__],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_public_name_resolves(table: ModuleType, name: str) -> None:
    assert getattr(table, name) is not None


def typed_names(table: ModuleType) -> dict[str, str]:
    """Return what type checkers see: each name with its home."""
    found = {}
    source = Path(str(table.__file__)).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            for alias in node.names:
                # Without `as` a strict checker does not take it for public.
                assert alias.asname == alias.name
                found[alias.name] = str(node.module)
    return found


@both
def test_type_checkers_see_what_is_loaded(table: ModuleType) -> None:
    assert typed_names(table) == table._HOME
    assert sorted(typed_names(table)) == table.__all__


@both
def test_a_name_is_listed_once_and_in_order(table: ModuleType) -> None:
    listed = [name for names in table._HOMES.values() for name in names]
    assert len(listed) == len(set(listed))
    for names in table._HOMES.values():
        assert list(names) == sorted(names)


@both
def test_a_name_lives_where_the_table_says(table: ModuleType) -> None:
    for name, home in typed_names(table).items():
        module = importlib.import_module(f"{table.__name__}.{home}")
        value = vars(module)[name]
        # Aliases and constants have no home of their own.
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__ in (module.__name__, "typing")


@both
def test_an_unknown_name_is_an_attribute_error(table: ModuleType) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        table.nothing  # noqa: B018


@both
def test_the_names_are_shown_by_dir(table: ModuleType) -> None:
    assert set(table.__all__) <= set(dir(table))


def test_every_error_is_public() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.DovetailError)
    }
    assert sorted(classes - set(dovetail.kernel.__all__)) == []
