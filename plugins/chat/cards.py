"""Cards: a request to a person as text of a certain width, nothing of it left out.

Owns only how the lines of ``card`` are coloured; ``folding`` puts them on rows, so that
no terminal cuts or covers any of it. Pure.
"""

import json
from collections.abc import Mapping

from dovetail.kernel import Json, PermissionRequest, Question, ToolPart

from ..console.card import card_lines, one_question_lines
from ..console.folding import rows
from ..console.terminal import Style
from .key_names import DISMISS

KEYS = "y once"
ALWAYS = "a always, s always in this session"
NO = "n no, f no and say why"


def permission_card(
    request: PermissionRequest, call: ToolPart | None, style: Style, width: int
) -> str:
    """Return all that a person agrees to."""
    tool = call.tool if call is not None else None
    first, *more = card_lines(request, tool, _arguments(call))
    lines = [style.strong(part) for part in rows(f"? allow {first}", width)]
    for line in more:
        colour = {"  + ": style.good, "  - ": style.bad}.get(line[:4])
        if colour is None and line.startswith("  | "):
            colour = {"+": style.good, "-": style.bad}.get(line[4:5])
        parts = rows(line, width)
        lines += [colour(part) for part in parts] if colour else parts
    return "\n" + "".join(f"{line}\n" for line in lines)


def permission_hint(request: PermissionRequest) -> str:
    """Return which keys answer."""
    return " · ".join([KEYS, *([ALWAYS] if request.save else []), NO])


def question_card(question: Question, style: Style, width: int) -> str:
    """Return one question with its options."""
    first, *more = one_question_lines(question)
    lines = [style.strong(part) for part in rows(f"? {first}", width)]
    lines += [part for line in more for part in rows(line, width)]
    return "\n" + "".join(f"{line}\n" for line in lines)


def question_hint(question: Question, *, plain: bool = False) -> str:
    """Return how a question is answered; ``plain``: by words, where no key is one."""
    how = []
    if question.options:
        numbers = "numbers" if question.multiple else "a number"
        how.append(numbers if plain else "↑ ↓ or numbers")
        if question.multiple and not plain:
            how.append("space chooses")
    if question.free:
        how.append("or your own words" if question.options else "your own words")
    dismisses = DISMISS if plain else "Esc"
    return f"{', '.join(how)}, Enter · {dismisses} dismisses"


def _arguments(call: ToolPart | None) -> Mapping[str, Json] | None:
    if call is None:
        return None
    try:
        found = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
