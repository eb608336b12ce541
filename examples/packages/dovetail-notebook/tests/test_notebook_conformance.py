"""The notebook's tools keep what every tool must: checked by dovetail's own suites."""

import atexit
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from dovetail.kernel.testing.conformance import ToolConformance, ToolExample
from dovetail_notebook import plugin
from dovetail_notebook.notebook import SCHEMA, file_of

NOTES = Path(tempfile.mkdtemp(prefix="dovetail-notebook-"))
atexit.register(shutil.rmtree, NOTES, ignore_errors=True)


class NotebookConformance(ToolConformance):
    """Each try begins with a notebook of one note, outside of the Location."""

    version = 1
    plugin = plugin
    environment: ClassVar[Mapping[str, str]] = {"DOVETAIL_NOTEBOOK_FOLDER": str(NOTES)}

    def set_up(self) -> None:
        for file in NOTES.iterdir():
            file.unlink()

    def prepare(self, folder: Path) -> None:
        connection = sqlite3.connect(file_of(str(folder), NOTES))
        connection.executescript(SCHEMA)
        connection.execute("INSERT INTO note VALUES ('style', 'Tabs are out.')")
        connection.commit()
        connection.close()

    def world(self) -> object:
        notes = []
        for file in NOTES.iterdir():
            connection = sqlite3.connect(file)
            notes += connection.execute("SELECT title, text FROM note").fetchall()
            connection.close()
        return sorted(notes)


class TestWriteNote(NotebookConformance):
    tool = "write_note"
    examples = (
        ToolExample({"title": "plan", "text": "Ship it."}),
        ToolExample({"title": "style", "text": "Tabs are in."}),
    )


class TestReadNote(NotebookConformance):
    tool = "read_note"
    examples = (
        ToolExample({"title": "style"}),
        ToolExample({"title": "taste"}, fails=True),
    )


class TestSearchNotes(NotebookConformance):
    tool = "search_notes"
    examples = (ToolExample({"words": "tabs"}), ToolExample({"words": "100%_"}))
