"""What goes on, in the rows above the prompt: what is written, what runs, what waits.

Owns how much of each is drawn. Knows nothing of a terminal but its size.
"""

import time

from ..console.calls import duration_text
from ..console.folding import cells, fold
from ..console.terminal import Style, drawable, short
from .script import Script

MOST_WRITING = 10
"""Rows of the block that is being written."""
MOST_TODOS = 8
MOST_PENDING = 4
MOST_RUNNING = 6
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def going_on(
    script: Script, style: Style, width: int, height: int, *, gone: bool
) -> list[str]:
    """Return the rows of what goes on, rendered, the latest last.

    ``gone``: whether the server cannot be reached.
    """
    now = time.time() * 1000
    mark = SPINNER[int(now / 120) % len(SPINNER)]
    rows: list[str] = []
    if written := script.writing.rows(width - 1):
        rows += written[-min(MOST_WRITING, height) :]
    elif script.writing.thinking.strip():
        thought = drawable(script.writing.thinking[-1000:]).replace("\n", " ")
        room = max(width - 14, 8)
        line = fold(thought, room)[-1] if thought else ""
        rows.append(style.dim(f"{mark} thinking… {line}"))
    for call in script.calls.running[-MOST_RUNNING:]:
        took = f" {duration_text(int(now - call.since))}" if call.since else ""
        rows.append(_row(f"{mark} {call.number} {call.title}", took, width))
        said = drawable(call.progress).strip().split("\n")[-1]
        if said:
            rows.append(style.dim(_row(f"  {said}", "", width)))
    if script.open_todos and script.busy:
        todos = script.todo_lines()
        if len(todos) > MOST_TODOS:
            todos = [*todos[: MOST_TODOS - 1], f"… {len(todos) - MOST_TODOS + 1}"]
        rows += [_fit(f"  {line}", width) for line in todos]
    waiting = script.inbox.waiting
    for one in waiting[:MOST_PENDING]:
        first = short(one.prompt.text.strip(), max(width - 12, 8))
        said = "queued" if one.delivery == "queue" else "waits"
        rows.append(style.dim(_row(f"> {first}", f" ({said})", width)))
    if len(waiting) > MOST_PENDING:
        rows.append(style.dim(f"… {len(waiting) - MOST_PENDING} more; /pending"))
    if gone:
        rows.append(style.dim(f"{mark} waiting for the server"))
    elif script.busy and not rows:
        rows.append(style.dim(f"{mark} working"))
    return rows[-height:]


def _row(text: str, tail: str, width: int) -> str:
    """Return a row whose end is always seen."""
    room = max(width - 1 - cells(tail), 8)
    parts = fold(text, room)
    if len(parts) > 1:
        return f"{fold(text, room - 1)[0]}…{tail}"
    return f"{text}{tail}"


def _fit(line: str, width: int) -> str:
    """Return a coloured row that fits."""
    return line if "\x1b" in line or cells(line) < width else fold(line, width - 1)[0]
