"""The tables of the documentation that are made from the code are as it would make."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_tables_are_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location(
        "make_tables", DOCS / "make_tables.py"
    )
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert page == made.made(page), "run python docs/make_tables.py"
