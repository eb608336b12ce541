"""The table of contents of the kernel: complete, true, and the same in both halves."""

import ast
import importlib
import inspect
from pathlib import Path

import dovetail.kernel
import dovetail.kernel.values.errors as errors
import pytest

TOP = Path(__file__).resolve().parents[2] / "kernel" / "__init__.py"


@pytest.mark.parametrize("name", dovetail.kernel.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(dovetail.kernel, name) is not None


def typed_names() -> dict[str, str]:
    """Return what type checkers see: each name with its home."""
    found = {}
    for node in ast.walk(ast.parse(TOP.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            for alias in node.names:
                # Without `as` a strict checker does not take it for public.
                assert alias.asname == alias.name
                found[alias.name] = str(node.module)
    return found


def test_type_checkers_see_what_is_loaded() -> None:
    assert typed_names() == dovetail.kernel._HOME
    assert sorted(typed_names()) == dovetail.kernel.__all__


def test_a_name_is_listed_once() -> None:
    listed = [name for names in dovetail.kernel._HOMES.values() for name in names]
    assert len(listed) == len(set(listed))


def test_the_names_are_listed_in_order() -> None:
    for names in dovetail.kernel._HOMES.values():
        assert list(names) == sorted(names)


def test_a_name_lives_where_the_table_says() -> None:
    for name, home in typed_names().items():
        module = importlib.import_module(f"dovetail.kernel.{home}")
        value = vars(module)[name]
        # Aliases and constants have no home of their own.
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__ in (module.__name__, "typing")


def test_every_error_is_public() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.DovetailError)
    }
    assert classes - set(dovetail.kernel.__all__) == ABSTRACT


ABSTRACT: set[str] = set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        dovetail.kernel.nothing  # noqa: B018


def test_the_names_are_shown_by_dir() -> None:
    assert set(dovetail.kernel.__all__) <= set(dir(dovetail.kernel))
