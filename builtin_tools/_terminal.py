"""Output meant for a terminal, as text: what would be seen in the end.

Pure functions. Programs colour their output, draw progress over and over on one line
and strike letters over; a model needs the words. So it does of what strangers wrote in
the web, who may also turn the direction of writing around, to show a person something
else than there is.
"""

import re

_ESCAPES = re.compile(
    r"""
    \x1b (?:
        \[ [0-?]{0,64} [ -/]{0,8} (?: [@-~] | \Z )    # CSI: colours, the cursor
      | [\]PX^_] [^\x07\x1b]{0,4096} (?: \x07 | \x1b\\ )?  # OSC, DCS: titles, links
      | [ -/]{0,8} [0-~]                           # one more character
    )?
    """,
    re.VERBOSE,
)
_STRUCK = re.compile(r"[^\n\x08]\x08")
_FOR_TERMINALS = re.compile(r"[\x07\x08\x1b]")
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Embeddings, overrides and isolates of https://www.unicode.org/reports/tr9/. Marks of
a direction, which turn nothing but what has none, stay: ordinary texts hold them."""


def clean(text: str) -> str:
    """Return the text without escapes and without what turns its direction."""
    if not text.isascii():
        text = _TURNING.sub("", text)
    if not any(one in text for one in "\a\b\x1b"):
        return text
    return _FOR_TERMINALS.sub("", _ESCAPES.sub("", text))


def plain(text: str) -> tuple[str, int]:
    """Return the text as ``clean`` does, and how many states of a line were written
    over.

    Of a line that carriage returns write over, the last state that is not blank is
    kept. Other control characters stay: they may be what a file holds.
    """
    text = text.replace("\r\n", "\n")
    if not text.isascii():
        text = _TURNING.sub("", text)
    # Much output is plain: four looks for one character are far quicker than a pattern.
    if not any(one in text for one in "\r\a\b\x1b"):
        return text, 0
    text = _ESCAPES.sub("", text)
    struck = None
    while struck != text and "\b" in text:
        struck, text = text, _STRUCK.sub("", text)
    text = _FOR_TERMINALS.sub("", text)
    if "\r" not in text:
        return text, 0
    lines = []
    folded = 0
    for line in text.split("\n"):
        states = [state for state in line.split("\r") if state.strip()]
        folded += max(0, len(states) - 1)
        lines.append(states[-1] if states else "")
    return "\n".join(lines), folded
