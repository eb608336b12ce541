"""Every hook is described whole, on a page that is up to date, and has a test."""

import ast
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from dovetail.kernel import Hooks
from dovetail.kernel.hookspecs import hookspec
from dovetail.kernel.values.deprecated import PluginDeprecationWarning

ROOT = Path(__file__).resolve().parents[2]
NAMES = [name for name in vars(Hooks) if name.startswith("dovetail_")]


def _loaded() -> ModuleType:
    place = ROOT / "docs" / "make_hooks.py"
    spec = importlib.util.spec_from_file_location("make_hooks", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_hooks = _loaded()


def missing_sections(declared: type) -> list[str]:
    """Return each part of a docstring that a hook should have and has not."""
    found = []
    for name, function in make_hooks.hooks(declared).items():
        parts = make_hooks.sections(function)
        wanted = ("Purpose", *make_hooks.SECTIONS)
        found += [f"{name}: {one}" for one in wanted if not parts.get(one, "").strip()]
        arguments = function.__code__.co_varnames[1 : function.__code__.co_argcount]
        # `place` is explained once per hook only where it holds something of note.
        found += [
            f"{name}: argument {one}"
            for one in arguments
            if f"``{one}``" not in parts.get("Arguments", "")
        ]
        if f"def {name}(self" not in parts.get("Example", ""):
            found.append(f"{name}: its example does not implement it")
    return found


@cache
def names_of_tests() -> set[str]:
    """Return the names of the tests of this folder and of those of its parts."""
    found = set()
    for folder in ("plugins", "lifecycle", "cli"):
        for path in (ROOT / "tests" / folder).glob("test_*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    found.add(node.name)
    return found


def test_the_page_says_what_the_hooks_say() -> None:
    page = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    assert page == make_hooks.page(), "run python docs/make_hooks.py"


def test_every_hook_is_described_whole() -> None:
    assert list(make_hooks.hooks()) == NAMES
    assert missing_sections(Hooks) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_hook_has_a_test_that_is_called_after_it(name: str) -> None:
    wanted = f"test_{name.removeprefix('dovetail_')}"
    assert any(test.startswith(wanted) for test in names_of_tests())


def test_what_is_missing_is_found() -> None:
    class Bad:
        @hookspec
        def dovetail_bad(self, url: str) -> None:
            """Do something.

            Result: none.

            When: now.

            Example::

                def other(self): ...
            """

    assert missing_sections(Bad) == [
        "dovetail_bad: Arguments",
        "dovetail_bad: Errors",
        "dovetail_bad: argument url",
        "dovetail_bad: its example does not implement it",
    ]


def test_what_is_deprecated_is_on_the_page() -> None:
    old = PluginDeprecationWarning("it", removed_in="0.9", instead="use another")

    class Old:
        @hookspec(warn_on_impl=old)
        def dovetail_old(self, url: str) -> None:
            """Do something."""

    assert "**Deprecated**: it is deprecated and is removed in dovetail 0.9" in (
        make_hooks.page(Old)
    )
