"""Names say what they name: words that fit everything are no names of their own."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OPAQUE = {"said", "told", "hush", "heed", "brought"}
"""Each was the name of a dozen things that had nothing in common."""


def opaque_names(path: Path, source: str) -> list[str]:
    """Return the modules, classes and functions called by such a word alone; what
    belongs to a class that others see is named by the two together."""
    found = [path.stem] if path.stem.strip("_") in OPAQUE else []
    module = ast.parse(source)
    outer = set(module.body)
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = node.name
            private = name.startswith("_")
            if name.strip("_").lower() in OPAQUE and (private or node in outer):
                found.append(name)
    return found


def test_no_word_that_fits_everything_is_a_name() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("kernel", "storage", "builtin_tools", "plugins")
        for path in (ROOT / folder).rglob("*.py")
        for name in opaque_names(path, path.read_text(encoding="utf-8"))
    ]
    # The operation that is called so over the wire.
    assert found == ["plugins/http/logs.py: told"]


def test_such_a_name_is_found() -> None:
    source = "class Said:\n    def told(self): ...\n    def _told(self): ...\n"
    assert opaque_names(Path("kernel/told.py"), source) == ["told", "Said", "_told"]
    assert opaque_names(Path("kernel/telling.py"), "def told_to(): ...") == []
