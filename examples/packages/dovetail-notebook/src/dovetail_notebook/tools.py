"""The tools of a notebook: what a model may do with it, and what it asks before."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import field, frozen
from dovetail.kernel import Tool, ToolContext, ToolFailure

from .notebook import MAX_FOUND, Note, Notebook

_TITLE = {
    "description": "The title of the note",
    "minLength": 1,
    "maxLength": 200,
    "pattern": r"^[^\n]*$",
}


@frozen
class Writing:
    title: str = field(metadata=_TITLE)
    text: str = field(metadata={"description": "The note", "maxLength": 100_000})


@frozen
class Reading:
    title: str = field(metadata=_TITLE)


@frozen
class Searching:
    words: str = field(
        metadata={"description": "A text to look for; empty lists all notes"}
    )


@frozen
class Found:
    titles: tuple[str, ...]
    more: bool
    """Whether there may be more than are listed."""


def notebook_tools(notebook: Notebook) -> Sequence[Tool[Any, Any]]:
    """Return the tools that use this notebook."""

    async def write(input: Writing, context: ToolContext) -> str:
        await context.ask("write_note", [input.title], save=[input.title])
        with _told():
            await notebook.write(context.effect_token, Note(input.title, input.text))
        return f"wrote {input.title!r}"

    async def was_written(input: Writing, context: ToolContext) -> str | None:
        await context.ask("read_note", [input.title], save=[input.title])
        # Nothing is caught here: where the notebook cannot be asked, nobody can tell.
        title = await notebook.written_by(context.effect_token)
        return None if title is None else f"wrote {title!r}"

    async def read(input: Reading, context: ToolContext) -> str:
        await context.ask("read_note", [input.title], save=[input.title])
        with _told():
            note = await notebook.read(input.title)
        if note is None:
            raise ToolFailure(f"there is no note {input.title!r}; search_notes finds")
        return note.text

    async def search(input: Searching, context: ToolContext) -> Found:
        await context.ask("read_note", ["*"], save=["*"])
        with _told():
            notes = await notebook.search(input.words)
        return Found(tuple(note.title for note in notes), len(notes) == MAX_FOUND)

    return [
        Tool(
            name="write_note",
            description="Write a note of this directory, in place of one of its title.",
            input=Writing,
            execute=write,
            # A repeat could undo what somebody wrote under the title in between.
            effect="reconcilable",
            check=was_written,
        ),
        Tool(
            name="read_note",
            description="Read a note of this directory.",
            input=Reading,
            execute=read,
            effect="pure",
            bound="end",
        ),
        Tool(
            name="search_notes",
            description="Find the titles of notes of this directory.",
            input=Searching,
            output=Found,
            execute=search,
            effect="pure",
        ),
    ]


@contextmanager
def _told() -> Iterator[None]:
    """Tell the model what no retry of its words would mend: disk full, locked."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise ToolFailure(f"the notebook cannot be used: {error}") from error
