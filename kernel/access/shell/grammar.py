"""The grammar of a shell, as tree-sitter-bash has it, and where bash reads differently.

Owns the parser, and every place where its tree cannot be what bash makes of the text:
there, whoever asked must not believe it. Knows nothing of what a command does.
"""

import re
from collections.abc import Sequence
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from .words import written_in

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

NO_PARSER = "the shell parser is not installed (tree-sitter-bash)"

# A blank is a space, a tab or a line end to bash, and nothing else is. What else looks
# like one, or like nothing at all, deceives the grammar or the person.
STRANGE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u3000\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)

_HIDDEN = re.compile(rb"(?<!\\)(?:\\\\)*(?:`|[$<>]\()")

LITERAL = frozenset(
    {
        *("raw_string", "ansi_c_string", "comment", "heredoc_end"),
        # These begin with such a sign themselves.
        *("command_substitution", "process_substitution", "arithmetic_expansion"),
    }
)

# bash takes such a line end away before it reads; the grammar parts words there.
CONTINUED = re.compile(rb"(?:(?<!\\)(?:\\\\)+|(?<![\s\\]))\\\n(?=\S)")

_LINE_END = re.compile(rb"(?<!\\)(?:\\\\)*\n")

ON_ONE_LINE = frozenset(
    {
        *("command", "command_name", "variable_assignment", "variable_assignments"),
        *("declaration_command", "unset_command", "redirected_statement", "word"),
        *("file_redirect", "herestring_redirect", "concatenation", "negated_command"),
        *("number", "simple_expansion", "variable_name"),
    }
)

_ARGUMENTS = frozenset(
    {
        *("word", "number", "string", "raw_string", "ansi_c_string", "concatenation"),
        *("translated_string", "expansion", "simple_expansion", "brace_expression"),
        *("arithmetic_expansion", "command_substitution", "process_substitution"),
        "extglob_pattern",
    }
)


def redirections_of(node: "Node | None") -> "Sequence[Node]":
    if node is None:
        return ()
    return [one for one in node.named_children if one.type.endswith("_redirect")]


def is_misread(node: "Node", source: bytes) -> bool:
    """Whether the parts of a node cannot be what bash makes of it: a line ends between
    them, which the grammar takes for a blank behind ``==`` or before a line that begins
    with a continuation; or nothing is between them."""
    at = node.start_byte
    for child in node.children:
        # A word that begins where another one ends is the same word.
        joined = node.type == "command" and node.start_byte < at == child.start_byte
        if joined and not child.type.endswith("_redirect"):
            return True
        if _LINE_END.search(source, at, child.start_byte):
            return True
        at = child.end_byte
    return bool(_LINE_END.search(source, at, node.end_byte))


def is_misread_document(node: "Node", source: bytes) -> bool:
    """Whether the grammar took a line of a here-document for the end of the line that
    it begins on, or another line for its last one."""
    parts = {one.type: one for one in node.children}
    start, body = parts.get("heredoc_start"), parts.get("heredoc_body")
    end = parts.get("heredoc_end")
    if start is None or body is None or end is None:
        return True
    if written_in(end).strip("\t") != written_in(start).strip("\"'"):
        return True
    between = source[start.end_byte : body.start_byte]
    return between.count(b"\n") > 1 or b"\\\n" in between


def words_behind(node: "Node") -> "Sequence[Node]":
    """Return the words behind a redirection, which the grammar takes for a part of it
    and bash for words of the command."""
    words = [one for one in node.named_children if one.type in _ARGUMENTS]
    if node.type == "file_redirect":
        return words[1:]
    if node.type != "heredoc_redirect":
        return ()
    inner = [words_behind(one) for one in redirections_of(node)]
    return [*words, *(word for each in inner for word in each)]


def hides_substitution(node: "Node", source: bytes) -> bool:
    """Whether a text has a sign of a substitution that no part of it accounts for."""
    start, end = node.start_byte, node.end_byte
    for child in node.named_children:
        if _HIDDEN.search(source, start, child.start_byte):
            return not in_quoted_document(node)
        start = child.end_byte
    return bool(_HIDDEN.search(source, start, end)) and not in_quoted_document(node)


def in_quoted_document(node: "Node") -> bool:
    """Whether a node is text of a here-document in which nothing is substituted."""
    above = node if node.type == "heredoc_body" else node.parent
    if above is None or above.type != "heredoc_body" or above.parent is None:
        return False
    starts = [one for one in above.parent.children if one.type == "heredoc_start"]
    return any((one.text or b"")[:1] in (b"'", b'"') for one in starts)


PARSING = Lock()
"""Texts are read on several threads, and the parser has one state."""


@cache
def bash_parser() -> "Parser | None":
    try:
        import tree_sitter_bash
        from tree_sitter import Language, Parser
    except ImportError:
        return None
    return Parser(Language(tree_sitter_bash.language()))
