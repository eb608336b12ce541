"""The page about the command line says what the commands say of themselves."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_about_commands_is_as_it_would_be_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DOVETAIL_DB", "COLUMNS", "DOVETAIL_DISABLE_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    spec = importlib.util.spec_from_file_location("make_cli", DOCS / "make_cli.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert page == made.made(page), "run python docs/make_cli.py"
