"""Titles: what a session is called when nobody says it, made of somebody's text.

Owns the rule for a first prompt, and what is left of a title that a model wrote. Both
are other people's text, so a title is one line of signs that can be seen, and short.
"""

import re

MAX_TITLE = 60
_MAX_LOOKED_AT = 20_000
"""What is far behind the beginning is not worth looking at."""

_THOUGHTS = r"(?:think|thinking|thoughts?|reasoning|analysis)"
_AROUND = " \"'`*#_“”‘’«»"


def title_of(text: str) -> str | None:
    """Return the title of a session that begins with this prompt: its first line that
    says something; None where none does."""
    for line in text[:_MAX_LOOKED_AT].splitlines():
        if title := _cut(_seen(line)):
            return title
    return None


def answered_title(text: str) -> str | None:
    """Return the title that a model answered with, without its thoughts and without
    what it put around it; None where nothing is left."""
    # Not compiled when this is imported: most processes ask for no title.
    thought = rf"(?is)<{_THOUGHTS}>.*?(?:</{_THOUGHTS}>|\Z)"
    said = re.sub(thought, "", text[:_MAX_LOOKED_AT])
    # Some templates leave out where the thoughts began.
    said = re.split(rf"(?i)</{_THOUGHTS}>", said)[-1]
    said = re.sub(r"(?i)</?title>", "", said)
    for line in said.splitlines():
        line = re.sub(r"(?i)^\W*title\W*:", "", _seen(line)).strip(_AROUND)
        if title := _cut(line):
            return title
    return None


def _seen(line: str) -> str:
    """Return a line without what cannot be seen, or would change what is around it."""
    signs = (
        sign if sign.isprintable() else " " if sign.isspace() else "" for sign in line
    )
    return " ".join("".join(signs).split())


def _cut(title: str) -> str:
    return title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 1].rstrip()}…"
