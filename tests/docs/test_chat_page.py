"""The page about the conversation says what the code says."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_about_the_conversation_is_as_it_would_be_made() -> None:
    spec = importlib.util.spec_from_file_location("make_chat", DOCS / "make_chat.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    page = (DOCS / "chat.md").read_text(encoding="utf-8")
    assert page == made.made(page), "run python docs/make_chat.py"
