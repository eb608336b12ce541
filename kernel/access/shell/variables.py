"""Variables: values that bash takes for code.

Where bash computes (``$((x))``, an index, ``-eq``, ``${a:x}``), follows a name
(``${!x}``) or expands a prompt (``${x@P}``), it evaluates the text that a variable
holds, and a ``$(...)`` in an index of that text is run: ``x='a[$(rm y)]'; echo $((x))``
removes ``y``. Owns what a text sets and what it evaluates, and whether the one may
reach the other. Knows nothing of commands; ``commands`` tells it what it finds.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node

_NAMES = re.compile(r"[A-Za-z_]\w*")
_GIVEN = re.compile(r"\$\{?(?:[0-9]|[@*])")
_RUNS = re.compile(r"\$\((?!\()|`|[<>]\(")
_NUMBER = re.compile(r"""(['"]?)[+-]?(?:\d+#?|0[xX])[0-9a-fA-F]*\1\Z""")
_RANGE = re.compile(r"\{\w+\.\.\w+(?:\.\.\w+)?\}\Z")
_COUNTS = re.compile(r"\$(?:[#?$!]|\{#[\w@*\[\]]+\})\Z|\$\(\(.*\)\)\Z", re.DOTALL)
_COMPUTES = re.compile(r"[\s(]-(?:eq|ne|lt|le|gt|ge|v|R)\s")
_QUOTED = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_WORD = re.compile(rf"""(?:[^\s"']|{_QUOTED.pattern})+""", re.DOTALL)
_OPERATOR = re.compile(
    r"(?:[=!<>]|[])]|-(?:eq|ne|lt|le|gt|ge|nt|ot|ef|a|o)\Z).*", re.DOTALL
)
_PROMPT = re.compile(r"@[A-Za-z]*P[A-Za-z]*\}\Z")
_LISTS = re.compile(r"\$\{!\w+(?:\[[@*]\]|[@*])\}\Z")
_RUN_BY_SHELLS = re.compile(
    r"(?:BASH_ENV|ENV|PROMPT_COMMAND|PS[0-4]|BASH_ALIASES|BASH_CMDS|SHELLOPTS|BASHOPTS"
    r"|BASH_FUNC_.*)\Z",
    re.DOTALL,
)
_GIVEN_WORDS = "@"
"""Stands for ``$1`` and all others of its kind."""


class Variables:
    """What one text sets and evaluates."""

    def __init__(self) -> None:
        self._set: set[str] = set()
        self._evaluated: set[str] = set()
        self._any_set = False
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why a value may be run; None: none is."""
        if self._problem is None and (
            self._evaluated & self._set or (self._any_set and self._evaluated)
        ):
            return "a value that is set here is evaluated"
        return self._problem

    # --- what is found ------------------------------------------------------------

    def sets(self, name: str, value: str | None = None) -> None:
        """Take in that a variable gets a value, as it is written; None: any."""
        name, _, index = name.partition("[")
        name = name.rstrip("+")
        if _RUN_BY_SHELLS.match(name):
            self._problem = f"shells run what {name[:40]} holds"
        if not _NAMES.fullmatch(name):
            self._any_set = True
        elif value is None or not _is_number(value):
            self._set.add(name)
        if index:
            self.evaluates(index)

    def sets_words(self) -> None:
        """Take in that ``$1`` and the others get values."""
        self._set.add(_GIVEN_WORDS)

    def evaluates(self, text: str) -> None:
        """Take in that a text is evaluated."""
        if _RUNS.search(text):
            self._problem = "what a command says is evaluated"
        self._evaluated.update(_NAMES.findall(text))
        if _GIVEN.search(text):
            self._evaluated.add(_GIVEN_WORDS)

    def text(self, text: str) -> None:
        """Take in what is computed anywhere in a text, also where the grammar takes it
        for something else, such as behind ``!`` or in ``${x:-$[y]}``."""
        for opens, closes in (("((", ")"), ("$[", "]")):
            at = text.find(opens)
            while at >= 0:
                end = _end(text, at + len(opens) - 1, opens[-1], closes)
                self.evaluates(text[at + len(opens) : end])
                at = text.find(opens, end)

    # --- where it stands in the syntax --------------------------------------------

    def node(self, node: "Node") -> None:
        """Take in what a part of the language itself sets or evaluates."""
        kind, text = node.type, _text(node)
        computes = kind == "compound_statement" and text.startswith("((")
        if kind == "arithmetic_expansion" or computes:
            self.evaluates(_inside(text))
        elif kind == "c_style_for_statement":
            body = node.child_by_field_name("body")
            end = body.start_byte - node.start_byte if body is not None else None
            self.evaluates((node.text or b"")[:end].decode())
        elif kind == "subscript":
            self.evaluates(text.partition("[")[2])
        elif kind == "expansion":
            self._expansion(node, text)
        elif kind == "test_command":
            if text.startswith("[["):
                if _COMPUTES.search(text):
                    self.evaluates(text)
            else:
                words = _WORD.findall(text[1:-1])
                self._test([(word, "$" not in word, word) for word in words])
        elif kind == "variable_assignment":
            self._assignment(node)
        elif kind == "for_statement":
            self._loop(node)
        elif kind == "function_definition":
            self.sets_words()

    def _expansion(self, node: "Node", text: str) -> None:
        signs = [one.type for one in node.children]
        name = next(
            (_text(one) for one in node.children if one.type == "variable_name"), ""
        )
        if "=" in signs or ":=" in signs:
            self.sets(name)
        if ":" in signs:
            self.evaluates(text.partition(":")[2])
        follows = text.startswith("${!") and not _LISTS.match(text)
        if follows or _PROMPT.search(text):
            self.evaluates(text)

    def _assignment(self, node: "Node") -> None:
        name = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        if name is not None:
            self.sets(
                _text(name).partition("[")[0], "0" if value is None else _text(value)
            )
        if value is not None and value.type == "array":
            # The grammar has no word for the index in `a=([i]=1)`.
            for one in value.named_children:
                if _text(one).startswith("["):
                    self.evaluates(_text(one).partition("]=")[0])

    def _loop(self, node: "Node") -> None:
        name = node.child_by_field_name("variable")
        values = [_text(one) for one in node.children_by_field_name("value")]
        if name is None or not values:
            self.sets(_text(name) if name is not None else "")
        for value in values:
            self.sets(_text(name), value)

    # --- where it stands in a command ---------------------------------------------

    def command(self, name: str, words: Iterable["Given"]) -> None:
        """Take in what a builtin sets or evaluates: ``words`` are those behind its
        name."""
        given = list(words)
        texts = [(text, known) for text, known, _ in given]
        if name == "let":
            for text, _ in texts:
                self.evaluates(text)
                self.sets(re.split(r"[-+*/%&|^<>]*=", text)[0].strip() or "_", "0")
        elif name in ("test", "["):
            self._test(given)
        elif name in _DECLARING:
            self._declared(name, texts)
        elif name == "unset":
            for text, _ in texts:
                self.evaluates(text.partition("[")[2])
        elif name == "set" and texts:
            self.sets_words()
        elif name in _OPTION_SETS:
            self._option(_OPTION_SETS[name], texts)
        elif name in _SETS:
            self.sets(_SETS[name])
            for text, known in texts:
                self._target(text, known)

    def _option(self, option: str, texts: list[tuple[str, bool]]) -> None:
        """Take in the variable that an option names, behind it or in the same word."""
        behind = not texts[0][1] if texts else False
        for text, known in texts:
            if behind:
                self._target(text, known)
            elif known and text.startswith(option) and text != option:
                self._target(text.removeprefix(option), known)
            elif known and not text.startswith("-"):
                # What is printed, or waited for.
                return
            behind = not known or text == option

    def _target(self, text: str, known: bool) -> None:
        if not known:
            self._any_set = True
            self.evaluates(text)
        elif _NAMES.match(text):
            self.sets(text)

    def _test(self, words: Sequence["Given"]) -> None:
        """Take in a test: it looks up the variable behind ``-v``, which may come out
        of a variable as well."""
        if any(text.strip("\"'") in ("-v", "-R") for text, _, _ in words):
            for text, _, _ in words:
                self.evaluates(text)
        for (text, known, written), (after, _, _) in zip(
            words, (*words[1:], ("]", True, "]")), strict=False
        ):
            if known:
                continue
            bare = _QUOTED.sub("", written)
            if set("$`{") & set(bare) or not _OPERATOR.match(after):
                self.evaluates(f"{text} {after}")

    def _declared(self, name: str, words: Sequence[tuple[str, bool]]) -> None:
        """Take in a declaration whose words are given as the shell makes them."""
        options = "".join(text for text, _ in words if text[:1] in ("-", "+"))
        if "n" in options and name != "export":
            self._problem = "a name that stands for another one is evaluated"
        for text, known in words:
            if text[:1] in ("-", "+") and known:
                continue
            target, _, value = text.partition("=")
            self._target(target, known)
            if not known or "i" in options or value.startswith("("):
                self.evaluates(f"{target} {value}")

    def declaration(self, node: "Node") -> None:
        """Take in ``declare`` and its kind."""
        options = ""
        for one in node.named_children:
            text = _text(one)
            if one.type == "word" and text[:1] in ("-", "+"):
                options += text
        # `export -n` only takes a name back.
        if "n" in options and not _text(node).startswith("export"):
            self._problem = "a name that stands for another one is evaluated"
        for one in node.named_children:
            text = _text(one)
            if one.type == "variable_assignment":
                name, _, value = text.partition("=")
                if "i" in options:
                    self.evaluates(f"{name} {value}")
                # In quotes it is read as an array a second time.
                again = set("aA") & set(options) and not value.startswith("(")
                if again or re.match(r"""["'$\\]+\(""", value):
                    self.evaluates(value)
            elif one.type == "variable_name":
                if "i" in options:
                    self.evaluates(text)
            elif not (one.type == "word" and text[:1] in ("-", "+")):
                # Quoted, or made of parts: it is read like an assignment.
                self.sets("")
                self.evaluates(text)


Given = tuple[str, bool, str]
"""A word: what the shell makes of it as far as that is known, whether it is, and how it
is written."""
_DECLARING = frozenset(("declare", "typeset", "local", "export", "readonly", "integer"))
_SETS = {
    "read": "REPLY",
    "mapfile": "MAPFILE",
    "readarray": "MAPFILE",
    "getopts": "OPTARG",
}
"""Builtins that set the variables they name, and what they set without a name."""
_OPTION_SETS = {"printf": "-v", "wait": "-p"}
_AROUND = re.compile(r"\A\$?(?:\(\(|\[)|(?:\)\)|\])\Z")


def _is_number(value: str) -> bool:
    return bool(
        not value
        or _NUMBER.match(value)
        or _RANGE.match(value)
        or _COUNTS.match(value.strip('"'))
    )


def _end(text: str, start: int, opens: str, closes: str) -> int:
    """Return where what is opened at a place is closed, or the end of the text."""
    depth = 0
    for found in re.compile(f"[{re.escape(opens + closes)}]").finditer(text, start):
        depth += 1 if found[0] == opens else -1
        if depth == 0:
            return found.start()
    return len(text)


def _inside(text: str) -> str:
    return _AROUND.sub("", text)


def _text(node: "Node | None") -> str:
    return (node.text or b"").decode() if node is not None else ""
