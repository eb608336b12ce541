"""The tables of contents of the kernel and of its testing kit: complete and true."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import dovetail.kernel
import dovetail.kernel.contracts as contracts
import dovetail.kernel.ports as ports
import dovetail.kernel.testing
import dovetail.kernel.testing.conformance
import dovetail.kernel.values.errors as errors
import pytest
from dovetail.kernel.lazy import homes

TABLES = (dovetail.kernel, dovetail.kernel.testing, dovetail.kernel.testing.conformance)
BELOW = ("dovetail.kernel.tape.",)
"""Rooms whose names the testing kit shows as its own: programs use them too."""
both = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)


@pytest.mark.parametrize(
    ("table", "name"),
    [(table, name) for table in TABLES for name in table.__all__],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_public_name_resolves(table: ModuleType, name: str) -> None:
    assert getattr(table, name) is not None


def listed_names(table: ModuleType) -> list[tuple[str, str]]:
    """Return what type checkers see, in order: each name with its home."""
    found = []
    source = Path(str(table.__file__)).with_name("contents.py")
    for node in ast.parse(source.read_text(encoding="utf-8")).body[1:]:
        assert isinstance(node, ast.ImportFrom)
        assert node.level == 1
        for alias in node.names:
            # Without `as` a strict checker does not take it for public.
            assert alias.asname == alias.name
            found.append((alias.name, str(node.module)))
    return found


@both
def test_what_is_loaded_is_what_type_checkers_see(table: ModuleType) -> None:
    assert homes(table.__name__) == dict(listed_names(table))
    assert table.__all__ == sorted(homes(table.__name__))


@both
def test_a_name_stands_once(table: ModuleType) -> None:
    names = [name for name, _ in listed_names(table)]
    assert len(names) == len(set(names))
    source = Path(str(table.__file__)).read_text(encoding="utf-8")
    assert not [name for name in names if re.search(rf"\b{name}\b", code_of(source))]


def code_of(source: str) -> str:
    """Return a module without its docstring."""
    return ast.unparse(ast.parse(source).body[1:])


@both
def test_reading_the_contents_imports_nothing(table: ModuleType) -> None:
    program = (
        "import sys, importlib; "
        f"importlib.import_module({table.__name__!r}); "
        "print(*(name for name in sys.modules if name.startswith('dovetail.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    above = table.__name__.split(".")
    packages = {".".join(above[:end]) for end in range(2, len(above) + 1)}
    assert set(done.stdout.split()) == packages | {"dovetail.kernel.lazy"}


@both
def test_a_name_lives_where_the_table_says(table: ModuleType) -> None:
    for name, home in homes(table.__name__).items():
        module = importlib.import_module(f"{table.__name__}.{home}")
        value = vars(module)[name]
        # Aliases and constants have no home of their own.
        if inspect.isclass(value) or inspect.isfunction(value):
            home_of_value = f"{value.__module__}."
            # A package shows what its modules define.
            allowed = (f"{module.__name__}.", "typing.", *BELOW)
            assert home_of_value.startswith(allowed)


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


@pytest.mark.parametrize(
    "room", [ports, contracts], ids=lambda room: room.__name__.rpartition(".")[2]
)
def test_what_a_plugin_or_a_store_is_made_of_is_public(room: ModuleType) -> None:
    shown = {name for name, value in vars(room).items() if inspect.isclass(value)}
    assert sorted(shown - set(dovetail.kernel.__all__)) == []
