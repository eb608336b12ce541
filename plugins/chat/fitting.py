"""Fitting: words of our own on rows of so many cells.

Owns where a line is cut or goes on below. Pure; what others wrote is folded by
``console.folding``, with nothing of it left out.
"""

from prompt_toolkit.utils import get_cwidth


def cut(text: str, width: int) -> str:
    """Return as much of a text as fits, and a mark where that is not all."""
    if get_cwidth(text) <= width:
        return text
    kept, used = [], 0
    for sign in text:
        used += get_cwidth(sign)
        if used >= width:
            break
        kept.append(sign)
    return "".join(kept) + "…"


def folded(text: str, width: int) -> list[str]:
    """Return words on lines of so many cells."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if len(longer) > width and line:
            lines.append(cut(line, width))
            longer = word
        line = longer
    return [*lines, cut(line, width)] if line else lines
