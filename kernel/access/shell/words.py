"""Words of a text for the shell: as they are written, and what the shell makes of
them as far as that is known without running anything.
"""

import re
from typing import TYPE_CHECKING

from ...values.frozen import frozen
from .variables import Given

if TYPE_CHECKING:
    from tree_sitter import Node


@frozen
class Word:
    written: str
    value: str | None
    """What the shell makes of it, if that is known without running anything."""
    several: bool = False
    """Whether it may become several words, or another one, when it runs."""


_SEVERAL = re.compile(r"[*?\[]|[@+!]\(|\{.*(?:,|\.\.).*\}", re.DOTALL)


class OpaqueError(Exception):
    """It cannot be known what this would run."""


SOMETHING = Word("{}", None, several=True)
"""Stands for words that are known only when a command runs."""


def given_by(word: Word) -> Given:
    known = word.value is not None and not word.several
    return word.written if word.value is None else word.value, known, word.written


def fixed_text(word: Word) -> str:
    """Return a word that stays one, whatever there is when it runs."""
    if word.several:
        raise OpaqueError("a part of it is known only when it runs")
    return known_text(word)


def known_text(word: Word) -> str:
    if word.value is None:
        raise OpaqueError("a part of it is known only when it runs")
    return word.value


def written_in(node: "Node") -> str:
    return (node.text or b"").decode()


def word_of(node: "Node") -> Word:
    written = written_in(node)
    if _continued(node):
        written = written.replace("\\\n", "")
    return Word(written, _value(node), _several(node))


def _several(node: "Node") -> bool:
    """Whether a word may become several: what is quoted does not."""
    if node.type == "concatenation":
        bare = [written_in(one) for one in node.children if one.type not in _QUOTED]
        return bool(_SEVERAL.search("".join(bare)))
    return node.type not in _QUOTED and bool(_SEVERAL.search(written_in(node)))


_QUOTED = ("string", "raw_string", "ansi_c_string", "translated_string")


def _continued(node: "Node") -> bool:
    return node.type != "raw_string" and b"\\\n" in (node.text or b"")


def _value(node: "Node") -> str | None:
    """Return what the shell makes of a word; None where that is known only later."""
    kind, written = node.type, written_in(node)
    if kind in ("word", "number"):
        return re.sub(r"\\(\n|.)", _unescaped, written, flags=re.DOTALL)
    if kind == "raw_string":
        return written[1:-1]
    if kind == "string":
        if any(one.type != "string_content" for one in node.named_children):
            return None
        return re.sub(r"\\([$`\"\\\n])", _unescaped, written[1:-1])
    if kind == "concatenation":
        values = [_value(one) for one in node.children]
        known = [one for one in values if one is not None]
        return "".join(known) if len(known) == len(values) else None
    if not node.is_named:
        return written
    return None


def _unescaped(match: re.Match[str]) -> str:
    return "" if match[1] == "\n" else match[1]
