"""The sets of real data beside this checkout, read in place; absent ones are None."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CORPORA = ROOT.parent / "shared" / "corpora"


class Corpus:
    """One set of real data, read in place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, name: str) -> Iterator[Any]:
        """Yield the values of a file of JSON lines."""
        with (self.path / name).open(encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    yield json.loads(line)

    def json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text(encoding="utf-8"))


def find_corpus(name: str) -> Corpus | None:
    """Return a set of real data, or None where the folder is absent."""
    path = CORPORA / name
    return Corpus(path) if path.is_dir() else None
