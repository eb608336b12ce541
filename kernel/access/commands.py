"""Commands: what a text for the shell would really run.

Owns the way from one text to the commands in it: those joined by operators, inside of
substitutions, functions and loops, behind wrappers such as ``env`` and ``sudo``, and
inside the strings that a shell is handed; and to the files that redirections read and
write. Knows no rules: ``rules`` asks for the parts and decides about each.

tree-sitter-bash reads the text. What it cannot read, or what a shell decides only when
it runs (a name from a variable, a pattern, a text that is evaluated), is said to be
opaque, and is never guessed. Without the library every text is.

Where the grammar and bash might read one text in two ways, it is opaque as well:
control characters and blanks that only one of them skips, ``#`` behind a word,
backslashes between backquotes, and here-documents whose end is quoted in part.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from attrs import evolve

from ..values.frozen import frozen

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_LENGTH = 50_000
"""Characters of a text that is read; a longer one is opaque."""
MAX_PARTS = 500
MAX_DEPTH = 8
"""How deep texts for a shell may stand in one another."""


@frozen
class Wording:
    """One way to name a command that would run, in words that mean the same."""

    texts: tuple[str, ...]
    """As it is written, and with its quotes taken off."""
    needed: bool = True
    """Whether it must be allowed. Otherwise only a rule against it counts that says
    more than ``*``: it is another name of a command that must be, or a wrapper that
    adds nothing to what it runs."""


@frozen
class Command:
    """One command that would run, as it is written first, then as rules may know it:
    without what is assigned before it, and without its folder."""

    wordings: tuple[Wording, ...]


@frozen
class File:
    """A file that a redirection opens."""

    action: str
    """``edit`` or ``read``."""
    path: str
    """As it is written, with its quotes taken off."""


@frozen
class Reading:
    """What a text would do."""

    commands: tuple[Command, ...] = ()
    files: tuple[File, ...] = ()
    moves: bool = False
    """Whether a command changes the folder that others then run in."""
    opaque: str | None = None
    """Why it is not known what all of it would do; None: it is known."""


@lru_cache(maxsize=512)
def read_command(text: str) -> Reading:
    """Return what a text for the shell would run. Never raises; linear in the text."""
    return _Reader().read(text, 0)


# --- words ------------------------------------------------------------------------


@frozen
class _Word:
    written: str
    value: str | None
    """What the shell makes of it, if that is known without running anything."""


_NO_PARSER = "the shell parser is not installed (tree-sitter-bash)"
# A blank is a space, a tab or a line end to bash, and nothing else is. What else looks
# like one, or like nothing at all, deceives the grammar or the person.
_STRANGE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u3000\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_HIDDEN = re.compile(rb"(?<!\\)(?:\\\\)*(?:`|[$<>]\()")
_LITERAL = frozenset(
    {
        *("raw_string", "ansi_c_string", "comment", "heredoc_end"),
        # These begin with such a sign themselves.
        *("command_substitution", "process_substitution", "arithmetic_expansion"),
    }
)
_PLAIN_END = re.compile(r"""[A-Za-z0-9_]+\Z|'[A-Za-z0-9_]+'\Z|"[A-Za-z0-9_]+"\Z""")
_GLOB = re.compile(r"[*?\[\]{}]")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_NO_FILE = re.compile(r"/dev/(?:null|stdout|stderr|stdin|tty|zero|full|fd/\d+)\Z")

# Nodes that hold commands and add nothing to them.
_PASSED = frozenset(
    {
        *("program", "list", "pipeline", "subshell", "compound_statement", "do_group"),
        *("if_statement", "elif_clause", "else_clause", "case_statement", "case_item"),
        *("while_statement", "for_statement", "c_style_for_statement"),
        *("negated_command", "redirected_statement", "function_definition"),
        *("command_name", "command_substitution", "process_substitution"),
        *("string", "string_content", "raw_string", "ansi_c_string", "word", "number"),
        *("translated_string", "concatenation", "array", "brace_expression"),
        *("expansion", "simple_expansion", "arithmetic_expansion", "subscript"),
        *("binary_expression", "unary_expression", "ternary_expression"),
        *("postfix_expression", "parenthesized_expression", "test_command"),
        *("test_operator", "regex", "extglob_pattern", "variable_assignments"),
        *("variable_name", "special_variable_name", "file_descriptor"),
        *("herestring_redirect", "heredoc_redirect", "heredoc_body"),
        *("heredoc_content", "heredoc_end"),
    }
)
_OPENS = {"<": "read", "<>": "edit"}
_RESERVED = frozenset(
    {
        *("if", "then", "elif", "else", "fi", "for", "select", "while", "until", "do"),
        *("done", "case", "esac", "in", "function", "{", "}", "!", "[[", "]]"),
    }
)
_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "ash", "mksh"))
_MOVES = frozenset(("cd", "pushd", "popd", "chroot"))


class _Opaque(Exception):
    """It cannot be known what this would run."""


@frozen
class _Wrapper:
    """How a command that runs another one is called."""

    flags: str = ""
    """Short options without a value."""
    valued: str = ""
    """Short options with one."""
    long: tuple[str, ...] = ()
    long_valued: tuple[str, ...] = ()
    skip: int = 0
    """Words between its options and the command."""
    assigns: bool = False
    """Whether ``NAME=value`` may stand before the command."""
    needed: bool = False
    """Whether the wrapper changes what its command may do, and so must be allowed."""
    appends: bool = False
    """Whether the command gets words that are not known."""


_WRAPPERS = {
    "builtin": _Wrapper(),
    "busybox": _Wrapper(),
    "chronic": _Wrapper("ev"),
    "command": _Wrapper("p"),
    "coproc": _Wrapper(),
    "doas": _Wrapper("nL", "uC", needed=True),
    "env": _Wrapper(
        "i0v",
        "u",
        ("ignore-environment", "null", "debug"),
        ("unset",),
        assigns=True,
    ),
    "exec": _Wrapper("cl", "a"),
    "ionice": _Wrapper("t", "cn", ("ignore",), ("class", "classdata")),
    "nice": _Wrapper("", "n", (), ("adjustment",)),
    "nohup": _Wrapper(),
    "pkexec": _Wrapper("", "", ("disable-internal-agent",), ("user",), needed=True),
    "setsid": _Wrapper("cfw", "", ("ctty", "fork", "wait")),
    "stdbuf": _Wrapper("", "ioe", (), ("input", "output", "error")),
    "sudo": _Wrapper(
        "AbBEHknPS",
        "CDghpRrTtuU",
        ("preserve-env", "non-interactive", "set-home", "stdin", "background"),
        ("user", "group", "host", "prompt", "chdir", "preserve-env"),
        assigns=True,
        needed=True,
    ),
    "time": _Wrapper("pv", "fo", ("portability", "verbose"), ("format", "output")),
    "timeout": _Wrapper(
        "v",
        "ks",
        ("foreground", "preserve-status", "verbose"),
        ("kill-after", "signal"),
        skip=1,
    ),
    "unbuffer": _Wrapper("p"),
    "xargs": _Wrapper(
        "0rtpxoi",
        "aEdILnPs",
        ("null", "no-run-if-empty", "verbose", "interactive", "exit", "open-tty"),
        (
            *("arg-file", "delimiter", "max-lines", "max-args", "max-procs"),
            *("max-chars", "replace", "process-slot-var", "eof"),
        ),
        appends=True,
    ),
}
_FIND_RUNS = frozenset(("-exec", "-execdir", "-ok", "-okdir"))
_SOMETHING = _Word("{}", "{}")
"""Stands for words that are known only when a command runs."""


class _Reader:
    """Reads one text, and the texts in it."""

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._files: list[File] = []
        self._opaque: str | None = None
        self._moves = False

    def read(self, text: str, depth: int) -> Reading:
        self._text(text, depth)
        return Reading(
            tuple(self._commands), tuple(self._files), self._moves, self._opaque
        )

    def _unknown(self, why: str) -> None:
        self._opaque = self._opaque or why

    def _text(self, text: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._unknown("commands stand too deep in one another")
            return
        if len(text) > MAX_LENGTH:
            self._unknown(f"it is longer than {MAX_LENGTH} characters")
            return
        if _STRANGE.search(text):
            self._unknown("it has control characters or blanks that cannot be seen")
            return
        parser = _parser()
        if parser is None:
            self._unknown(_NO_PARSER)
            return
        source = text.encode()
        root = parser.parse(source).root_node
        if root.has_error:
            self._unknown("it cannot be read as a command for bash")
        # By hand and not by recursion: the depth is for whoever wrote it to choose.
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if len(self._commands) > MAX_PARTS:
                self._unknown(f"it has more than {MAX_PARTS} commands")
                return
            self._node(node, depth, source)
            waiting += reversed(node.named_children)

    def _node(self, node: "Node", depth: int, source: bytes) -> None:
        kind = node.type
        if kind not in _LITERAL and _hides(node, source):
            self._unknown("a substitution stands where the grammar sees none")
        if kind == "command":
            self._command(node, depth)
        elif kind in ("declaration_command", "unset_command", "variable_assignment"):
            # One that stands in another command is a part of that.
            parent = node.parent
            inside = ("command", "declaration_command", "c_style_for_statement")
            if parent is None or parent.type not in inside:
                self._add(_Word(_written(node), None))
        elif kind == "file_redirect":
            self._redirect(node)
        elif kind == "comment":
            start = node.start_byte
            if start and source[start - 1 : start] not in b" \t\n;&|()":
                self._unknown("a # stands behind a word")
        elif kind == "command_substitution":
            if _written(node).startswith("`") and "\\" in _written(node):
                self._unknown("a backslash stands between backquotes")
        elif kind == "heredoc_start":
            if not _PLAIN_END.match(_written(node)):
                self._unknown("the end of a here-document is quoted in part")
        elif kind == "function_definition":
            # From here on a name may mean something else; its body is read like the
            # rest, and a call of it is a command of its own.
            pass
        elif kind not in _PASSED:
            self._unknown(f"{kind.replace('_', ' ')} is not understood")

    # --- one command --------------------------------------------------------------

    def _command(self, node: "Node", depth: int) -> None:
        words: list[_Word] = []
        assigned: list[_Word] = []
        for child in node.named_children:
            if child.type == "variable_assignment":
                assigned.append(_Word(_written(child), None))
            elif child.type == "command_name":
                words.append(_word(child.named_children[0]))
            elif child.type not in ("file_redirect", "herestring_redirect"):
                words.append(_word(child))
        if not words:
            self._unknown("a command has no name")
            return
        self._run(words, depth, assigned)

    def _run(
        self, words: Sequence[_Word], depth: int, assigned: Sequence[_Word] = ()
    ) -> None:
        """Take in one command, and what it would run itself."""
        wordings = [_wording([*assigned, *words])]
        name = words[0].value
        if assigned:
            # A value can change what the command does, so that as it is written it
            # must be allowed; and a rule about the command sees it all the same.
            wordings.append(_wording(words, needed=False))
        if name in _RESERVED:
            # The grammar took a part of the language for a command.
            self._unknown(f"{name!r} stands where a command should")
        if name is None or _GLOB.search(words[0].written) or not name:
            self._commands.append(Command(tuple(wordings)))
            self._unknown("a command is named only when it runs")
            return
        base = name.rpartition("/")[2]
        if base != name:
            bare = [_Word(base, base), *words[1:]]
            wordings.append(_wording(bare, needed=False))
        if base in _MOVES:
            self._moves = True
        try:
            inner = self._inner(base, words[1:], depth)
        except _Opaque as opaque:
            self._unknown(str(opaque))
            inner = None
        if inner is not None and not inner and not assigned:
            wordings = [evolve(one, needed=False) for one in wordings]
            if base != name:
                # The folder of a wrapper decides what it is.
                wordings[0] = evolve(wordings[0], needed=True)
        self._commands.append(Command(tuple(wordings)))

    def _inner(self, name: str, rest: Sequence[_Word], depth: int) -> bool | None:
        """Take in what a command would run; None if that is nothing, otherwise whether
        the command itself must be allowed as well.

        Raises:
            _Opaque: it cannot be known.
        """
        if len(self._commands) > MAX_PARTS or depth > MAX_DEPTH:
            raise _Opaque("commands stand too deep in one another")
        if name in _SHELLS:
            script = _script(rest)
            if script is None:
                return None
            self._text(_known(script), depth + 1)
            return False
        if name == "eval":
            self._text(" ".join(_known(word) for word in rest), depth + 1)
            return False
        if name == "trap":
            if not rest or (rest[0].value or "").startswith("-") or not rest[0].value:
                if rest and rest[0].value is None:
                    raise _Opaque("a trap is known only when it runs")
                return None
            self._text(_known(rest[0]), depth + 1)
            return False
        if name == "su":
            return self._su(rest, depth)
        if name == "find":
            return self._find(rest, depth)
        if name == "watch":
            return self._watch(rest, depth)
        if name == "parallel":
            raise _Opaque("what parallel runs is not read")
        wrapper = _WRAPPERS.get(name)
        return None if wrapper is None else self._wrapped(name, wrapper, rest, depth)

    def _wrapped(
        self, name: str, wrapper: _Wrapper, rest: Sequence[_Word], depth: int
    ) -> bool | None:
        left = list(rest)
        assigned: list[_Word] = []
        while left:
            word = _known(left[0])
            if wrapper.assigns and _ASSIGNMENT.match(word):
                assigned.append(left.pop(0))
            elif word == "--":
                left.pop(0)
                break
            elif name == "nice" and re.fullmatch(r"-\d+", word):
                left.pop(0)
            elif not word.startswith("-") or word == "-":
                break
            elif name == "command" and set(word[1:]) & set("vV"):
                return None
            else:
                del left[: 1 + _option(name, wrapper, word)]
        while wrapper.assigns and left and _ASSIGNMENT.match(left[0].value or ""):
            assigned.append(left.pop(0))
        for _ in range(wrapper.skip):
            if left:
                _known(left.pop(0))
        if not left:
            # It shows something, or waits for words: a command like any other.
            return None
        if wrapper.appends:
            left.append(_SOMETHING)
        self._run(left, depth + 1, assigned)
        return wrapper.needed

    def _su(self, rest: Sequence[_Word], depth: int) -> bool | None:
        for index, word in enumerate(rest):
            if word.value in ("-c", "--command") and index + 1 < len(rest):
                self._text(_known(rest[index + 1]), depth + 1)
                return True
            if (word.value or "").startswith("--command="):
                self._text(_known(word).partition("=")[2], depth + 1)
                return True
        return None

    def _watch(self, rest: Sequence[_Word], depth: int) -> bool | None:
        left = list(rest)
        options = _Wrapper("bcdegptx", "nq")
        while left and _known(left[0]).startswith("-"):
            del left[: 1 + _option("watch", options, _known(left[0]))]
        if not left:
            return None
        self._text(" ".join(_known(word) for word in left), depth + 1)
        return False

    def _find(self, rest: Sequence[_Word], depth: int) -> bool | None:
        words = iter(rest)
        found = False
        for word in words:
            if word.value in _FIND_RUNS:
                run: list[_Word] = []
                for inner in words:
                    if inner.value == ";" or (inner.value == "+" and run):
                        break
                    run.append(inner)
                if not run:
                    raise _Opaque("find names no command")
                self._run(run, depth + 1)
                found = True
        return True if found else None

    def _add(self, word: _Word) -> None:
        self._commands.append(Command((_wording([word]),)))

    # --- redirections -------------------------------------------------------------

    def _redirect(self, node: "Node") -> None:
        sign = next(
            (one.type for one in node.children if one.type.strip("<>&|") == ""), ">"
        )
        target = node.child_by_field_name("destination")
        if target is None:
            self._unknown("a redirection has no file")
            return
        word = _word(target)
        if sign in (">&", "<&") and re.fullmatch(r"\d+-?|-", word.value or ""):
            return
        if word.value is None or _GLOB.search(word.written):
            self._unknown("the file of a redirection is known only when it runs")
            return
        if word.value.startswith("~"):
            self._unknown("a redirection goes to somebody's home")
            return
        if _NO_FILE.match(word.value):
            return
        if word.value.startswith(("/dev/", "/proc/")):
            self._unknown("a redirection goes to a device")
            return
        action = _OPENS.get(sign, "edit")
        self._files.append(File(action, word.value))


def _option(name: str, wrapper: _Wrapper, word: str) -> int:
    """Return how many words after an option belong to it.

    Raises:
        _Opaque: it is not known what the option does.
    """
    if word.startswith("--"):
        option, given, _ = word[2:].partition("=")
        if given and option in wrapper.long_valued:
            return 0
        if not given and option in wrapper.long:
            return 0
        if not given and option in wrapper.long_valued:
            return 1
        raise _Opaque(f"{name} has the option --{option}")
    for index, sign in enumerate(word[1:], 1):
        if sign in wrapper.valued:
            return 1 if index == len(word) - 1 else 0
        if sign not in wrapper.flags:
            raise _Opaque(f"{name} has the option -{sign}")
    return 0


def _script(rest: Sequence[_Word]) -> _Word | None:
    """Return the text that a shell is handed, or None: it runs a file or its input.

    Raises:
        _Opaque: it cannot be known.
    """
    given = False
    words = iter(rest)
    for word in words:
        if word.value is None and given:
            return word
        option = _known(word)
        if option in ("-", "--"):
            return next(words, None) if given else None
        if option[:1] not in ("-", "+"):
            return word if given else None
        if option.startswith("--"):
            if option in ("--rcfile", "--init-file"):
                raise _Opaque("a shell reads another file first")
            continue
        if "c" in option and option[0] == "-":
            given = True
        if option[-1] in "oO":
            next(words, None)
    return None


def _known(word: _Word) -> str:
    if word.value is None:
        raise _Opaque("a part of it is known only when it runs")
    return word.value


def _wording(words: Sequence[_Word], *, needed: bool = True) -> Wording:
    written = " ".join(word.written for word in words)
    bare = " ".join(
        word.written if word.value is None else word.value for word in words
    )
    return Wording((written,) if bare == written else (written, bare), needed)


# --- nodes ------------------------------------------------------------------------


def _hides(node: "Node", source: bytes) -> bool:
    """Whether a text has a sign of a substitution that no part of it accounts for."""
    start, end = node.start_byte, node.end_byte
    for child in node.named_children:
        if _HIDDEN.search(source, start, child.start_byte):
            return not _in_quoted_document(node)
        start = child.end_byte
    return bool(_HIDDEN.search(source, start, end)) and not _in_quoted_document(node)


def _in_quoted_document(node: "Node") -> bool:
    """Whether a node is text of a here-document in which nothing is substituted."""
    above = node if node.type == "heredoc_body" else node.parent
    if above is None or above.type != "heredoc_body" or above.parent is None:
        return False
    starts = [one for one in above.parent.children if one.type == "heredoc_start"]
    return any((one.text or b"")[:1] in (b"'", b'"') for one in starts)


def _written(node: "Node") -> str:
    return (node.text or b"").decode()


def _word(node: "Node") -> _Word:
    written = _written(node)
    if _continued(node):
        written = written.replace("\\\n", "")
    return _Word(written, _value(node))


def _continued(node: "Node") -> bool:
    return node.type != "raw_string" and b"\\\n" in (node.text or b"")


def _value(node: "Node") -> str | None:
    """Return what the shell makes of a word; None where that is known only later."""
    kind, written = node.type, _written(node)
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


@cache
def _parser() -> "Parser | None":
    try:
        import tree_sitter_bash
        from tree_sitter import Language, Parser
    except ImportError:
        return None
    return Parser(Language(tree_sitter_bash.language()))
