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
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import evolve

from ...values.frozen import frozen
from .grammar import (
    CONTINUED,
    LITERAL,
    NO_PARSER,
    ON_ONE_LINE,
    PARSING,
    STRANGE,
    bash_parser,
    hides_substitution,
    in_quoted_document,
    is_misread,
    is_misread_document,
    redirections_of,
    words_behind,
)
from .variables import Variables
from .words import (
    SOMETHING,
    OpaqueError,
    Word,
    fixed_text,
    given_by,
    known_text,
    word_of,
    written_in,
)
from .wrappers import (
    EVALUATING,
    FIND_RUNS,
    LAUNCHERS,
    MAX_TAILS,
    MOVES,
    OTHER_SHELLS,
    SHELL,
    WITH_ACTS,
    WRAPPERS,
    Wrapper,
    after_options,
    may_be_run,
    replaced_by_input,
    script_of,
    values_of_option,
)

if TYPE_CHECKING:
    from tree_sitter import Node

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


_PLAIN_END = re.compile(r"""[A-Za-z0-9_]+\Z|'[A-Za-z0-9_]+'\Z|"[A-Za-z0-9_]+"\Z""")

_GLOB = re.compile(r"[*?\[\]{}]")

_ANSI_C = re.compile(r"\$'(?:[^'\\]|\\.)*'\Z", re.DOTALL)

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")

_DEVICE = re.compile(r"-\Z|(?:.*/)?(?:(?:dev|proc)/.*|stdin|fd/.*)\Z", re.DOTALL)
"""What stands for the input of a process, whatever the way to it."""

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


class _Reader:
    """Reads one text, and the texts in it."""

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._files: list[File] = []
        self._opaque: str | None = None
        self._moves = False
        self._variables = Variables()
        self._launched_here = False

    def read(self, text: str, depth: int) -> Reading:
        self._text(text, depth)
        if self._variables.problem is not None:
            self._unknown(self._variables.problem)
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
        if STRANGE.search(text):
            self._unknown("it has control characters or blanks that cannot be seen")
            return
        parser = bash_parser()
        if parser is None:
            self._unknown(NO_PARSER)
            return
        source = text.encode()
        with PARSING:
            root = parser.parse(source).root_node
        if root.has_error:
            self._unknown("it cannot be read as a command for bash")
        for found in CONTINUED.finditer(source):
            at = found.end() - 1
            around = root.descendant_for_byte_range(at, at)
            if around is None or around.type != "raw_string":
                self._unknown("a line goes on in the middle of a word")
                break
        self._variables.text(text)
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
        if kind not in LITERAL and hides_substitution(node, source):
            self._unknown("a substitution stands where the grammar sees none")
        if kind in ON_ONE_LINE and is_misread(node, source):
            self._unknown("the grammar parts its words in another way than bash")
        self._variables.node(node)
        if kind == "command":
            self._command(node, depth)
        elif kind in ("declaration_command", "unset_command", "variable_assignment"):
            # One that stands in another command is a part of that.
            parent = node.parent
            inside = ("command", "declaration_command", "c_style_for_statement")
            if parent is None or parent.type not in inside:
                self._add(Word(written_in(node), None))
            if kind != "variable_assignment":
                self._variables.declaration(node)
        elif kind == "file_redirect":
            self._redirect(node)
        elif kind == "comment":
            start = node.start_byte
            if start and source[start - 1 : start] not in b" \t\n;&|()":
                self._unknown("a # stands behind a word")
        elif kind == "command_substitution":
            if written_in(node).startswith("`") and "\\" in written_in(node):
                self._unknown("a backslash stands between backquotes")
        elif kind == "redirected_statement":
            body = node.child_by_field_name("body")
            apart = body is None or body.type != "command"
            if apart and any(words_behind(one) for one in node.named_children):
                self._unknown("words stand behind a redirection")
        elif kind == "ansi_c_string":
            if not _ANSI_C.match(written_in(node)):
                self._unknown("the end of a quoted text is not where it seems")
        elif kind == "heredoc_start":
            if not _PLAIN_END.match(written_in(node)):
                self._unknown("the end of a here-document is quoted in part")
        elif kind == "heredoc_redirect":
            if is_misread_document(node, source):
                self._unknown("it is not known where a here-document ends")
        elif kind == "heredoc_body":
            if not in_quoted_document(node):
                if "\\\n" in written_in(node):
                    self._unknown("a line of a here-document goes on")
                # The grammar takes the one for a subshell, and the other for text.
                if re.search(r"\$(?:\(\(|\[)", written_in(node)):
                    self._variables.evaluates(written_in(node))
        elif kind == "function_definition":
            # From here on a name may mean something else; its body is read like the
            # rest, and a call of it is a command of its own.
            pass
        elif kind not in _PASSED:
            self._unknown(f"{kind.replace('_', ' ')} is not understood")

    # --- one command --------------------------------------------------------------

    def _command(self, node: "Node", depth: int) -> None:
        words: list[Word] = []
        assigned: list[Word] = []
        around = node.parent
        if around is not None and around.type != "redirected_statement":
            around = None
        for child in (*node.named_children, *redirections_of(around)):
            if child.type == "variable_assignment":
                assigned.append(Word(written_in(child), None))
            elif child.type == "command_name":
                words.append(word_of(child.named_children[0]))
            elif child.type.endswith("_redirect"):
                # The words behind its file are those of the command.
                words += map(word_of, words_behind(child))
            else:
                words.append(word_of(child))
        if not words:
            self._unknown("a command has no name")
            return
        self._run(words, depth, assigned)

    def _run(
        self, words: Sequence[Word], depth: int, assigned: Sequence[Word] = ()
    ) -> None:
        """Take in one command, and what it would run itself."""
        wordings = [_wording([*assigned, *words])]
        name = words[0].value
        for one in assigned:
            self._variables.sets(*one.written.split("=", 1))
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
        bare = [Word(base, base), *words[1:]]
        if base != name:
            wordings.append(_wording(bare, needed=False))
        if base in WITH_ACTS:
            # What denies `git push` denies `git -C x push`.
            for at in after_options(words):
                wordings.append(_wording([bare[0], *words[at:]], needed=False))
        self._variables.command(base, map(given_by, words[1:]))
        if base in MOVES:
            self._moves = True
        try:
            inner = self._inner(base, words[1:], depth)
        except OpaqueError as opaque:
            self._unknown(str(opaque))
            inner = None
        if inner is not None and not inner and not assigned:
            wordings = [evolve(one, needed=False) for one in wordings]
            if base != name:
                # The folder of a wrapper decides what it is.
                wordings[0] = evolve(wordings[0], needed=True)
        self._commands.append(Command(tuple(wordings)))

    def _inner(self, name: str, rest: Sequence[Word], depth: int) -> bool | None:
        """Take in what a command would run; None if that is nothing, otherwise whether
        the command itself must be allowed as well.

        Raises:
            OpaqueError: it cannot be known.
        """
        if len(self._commands) > MAX_PARTS or depth > MAX_DEPTH:
            raise OpaqueError("commands stand too deep in one another")
        if SHELL.match(name):
            return self._shell(rest, depth)
        if name in OTHER_SHELLS:
            raise OpaqueError("what another shell runs is not read")
        if name in (".", "source"):
            if not rest or _DEVICE.match(known_text(rest[0])):
                raise OpaqueError("a shell runs what it is sent")
            self._variables.sets_words()
            return None
        if name == "eval":
            words = [known_text(word) for word in rest]
            if words[:1] == ["--"]:
                del words[0]
            self._text(" ".join(words), depth + 1)
            return False
        if name == "trap":
            return self._trap(rest, depth)
        if name == "su" or name == "runuser":
            return self._su(rest, depth)
        if name == "find":
            return self._find(rest, depth)
        if name == "watch":
            return self._watch(rest, depth)
        if name == "parallel":
            raise OpaqueError("what parallel runs is not read")
        if name in EVALUATING and rest:
            raise OpaqueError(f"{name} changes what is run")
        if name == "hash" and any((word.value or "-p")[:2] == "-p" for word in rest):
            raise OpaqueError("hash changes what a name means")
        runs = name in ("mapfile", "readarray")
        if runs and any((word.value or "-C")[:2] == "-C" for word in rest):
            raise OpaqueError(f"{name} runs a text")
        if name == "jobs" and rest and rest[0].value == "-x" and len(rest) > 1:
            self._run(rest[1:], depth + 1)
            return False
        if name in LAUNCHERS:
            return self._launched(rest, depth)
        wrapper = WRAPPERS.get(name)
        return None if wrapper is None else self._wrapped(name, wrapper, rest, depth)

    def _shell(self, rest: Sequence[Word], depth: int) -> bool | None:
        script, file, given = script_of(rest)
        if given:
            self._variables.sets_words()
        if script is not None:
            self._text(known_text(script), depth + 1)
            return False
        if file is None or _DEVICE.match(known_text(file)):
            raise OpaqueError("a shell runs what it is sent")
        return None

    def _trap(self, rest: Sequence[Word], depth: int) -> bool | None:
        words = list(rest)
        if words and words[0].value == "--":
            del words[0]
        elif words and words[0].value in ("-l", "-p", "-P"):
            return None
        if len(words) < 2:
            # It shows what is trapped, or resets one.
            return None
        text = known_text(words[0])
        if text not in ("", "-"):
            self._text(text, depth + 1)
        return False if text not in ("", "-") else None

    def _launched(self, rest: Sequence[Word], depth: int) -> bool:
        """Take in what might be run by a program that runs others and whose options are
        not read: it must be allowed itself, and what denies anything that may be its
        command denies it."""
        if self._launched_here:
            # Whatever is in here was looked at from the outside.
            return True
        tails = [
            at
            for at, word in enumerate(rest)
            if not (word.value or "").startswith("-") or " " in (word.value or "")
        ]
        if len(tails) > MAX_TAILS:
            raise OpaqueError("it is not known where its command begins")
        for at in tails:
            value = rest[at].value or ""
            text = re.sub(r"\A-(?:-[^=\s]*=|\w)", "", value)
            inner = _Reader()
            inner._launched_here = True
            if re.search(r"\s", text):
                inner._text(text, depth + 1)
            elif not value.startswith("-"):
                inner._run(rest[at:], depth + 1)
            self._beside(inner)
        return True

    def _beside(self, other: "_Reader") -> None:
        """Take in what another reader found as what only a rule against it is about."""
        if other._opaque is not None:
            self._unknown(other._opaque)
        for command in other._commands:
            self._commands.append(
                Command(tuple(evolve(one, needed=False) for one in command.wordings))
            )

    def _wrapped(
        self, name: str, wrapper: Wrapper, rest: Sequence[Word], depth: int
    ) -> bool | None:
        left = list(rest)
        assigned: list[Word] = []
        placeholder: str | None = None
        while left:
            word = fixed_text(left[0])
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
                taken = 1 + values_of_option(name, wrapper, word)
                for one in left[:taken]:
                    fixed_text(one)
                replaced = replaced_by_input(left[:taken]) if wrapper.appends else None
                placeholder = placeholder or replaced
                del left[:taken]
        while wrapper.assigns and left and _ASSIGNMENT.match(left[0].value or ""):
            assigned.append(left.pop(0))
        for _ in range(wrapper.skip):
            if left:
                fixed_text(left.pop(0))
        if not left:
            # It shows something, or waits for words: a command like any other.
            return None
        if placeholder is not None:
            left = [
                Word(one.written, None) if placeholder in one.written else one
                for one in left
            ]
        elif wrapper.appends:
            left.append(SOMETHING)
        self._run(left, depth + 1, assigned)
        return wrapper.needed

    def _su(self, rest: Sequence[Word], depth: int) -> bool:
        left = [known_text(word) for word in rest]
        options = Wrapper("lmpfPT-", "gGwus")
        given = False
        names = 0
        while left:
            word = left.pop(0)
            text: str | None = None
            if word in ("--command", "--session-command"):
                text = left.pop(0) if left else ""
            elif word.startswith(("--command=", "--session-command=")):
                text = word.partition("=")[2]
            elif found := re.match(r"-[lmpfPT]*c", word):
                text = word[found.end() :] or (left.pop(0) if left else "")
            elif word.startswith("-") and word != "-":
                del left[: values_of_option("su", options, word)]
            elif word != "-":
                names += 1
            if text is not None:
                given = True
                self._text(text, depth + 1)
        if names > 1:
            raise OpaqueError("su hands words to a shell")
        if not given:
            raise OpaqueError("a shell runs what it is sent")
        return True

    def _watch(self, rest: Sequence[Word], depth: int) -> bool | None:
        left = list(rest)
        options = Wrapper("bcdegptx", "nq")
        while left and known_text(left[0]).startswith("-"):
            del left[: 1 + values_of_option("watch", options, known_text(left[0]))]
        if not left:
            return None
        self._text(" ".join(known_text(word) for word in left), depth + 1)
        return False

    def _find(self, rest: Sequence[Word], depth: int) -> bool | None:
        words = iter(rest)
        found = False
        for word in words:
            if may_be_run(word):
                raise OpaqueError("what find does is known only when it runs")
            if word.value in FIND_RUNS:
                run: list[Word] = []
                for inner in words:
                    if inner.value == ";" or (inner.value == "+" and run):
                        break
                    # It puts a name there, in the middle of a word as well.
                    named = "{}" in inner.written
                    run.append(Word(inner.written, None) if named else inner)
                if not run:
                    raise OpaqueError("find names no command")
                self._run(run, depth + 1)
                found = True
        return True if found else None

    def _add(self, word: Word) -> None:
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
        word = word_of(target)
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


def _wording(words: Sequence[Word], *, needed: bool = True) -> Wording:
    written = " ".join(word.written for word in words)
    bare = " ".join(
        word.written if word.value is None else word.value for word in words
    )
    return Wording((written,) if bare == written else (written, bare), needed)
