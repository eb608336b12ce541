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
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from threading import Lock
from typing import TYPE_CHECKING

from attrs import evolve

from ..values.frozen import frozen
from .variables import Given, Variables

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
    several: bool = False
    """Whether it may become several words, or another one, when it runs."""


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
_SEVERAL = re.compile(r"[*?\[]|[@+!]\(|\{.*(?:,|\.\.).*\}", re.DOTALL)
_ANSI_C = re.compile(r"\$'(?:[^'\\]|\\.)*'\Z", re.DOTALL)
# bash takes such a line end away before it reads; the grammar parts words there.
_CONTINUED = re.compile(rb"(?:(?<!\\)(?:\\\\)+|(?<![\s\\]))\\\n(?=\S)")
_LINE_END = re.compile(rb"(?<!\\)(?:\\\\)*\n")
_ON_ONE_LINE = frozenset(
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
_SHELL = re.compile(r"(?:r?bash|sh|dash|zsh|r?ksh|ksh93|ash|mksh|yash|posh)[\d.-]*\Z")
_OTHER_SHELLS = frozenset(
    ("csh", "tcsh", "fish", "rc", "es", "nu", "elvish", "xonsh", "pwsh", "powershell")
)
_EVALUATING = frozenset(
    ("alias", "bind", "compgen", "complete", "compopt", "enable", "fc")
)
"""Builtins that take a text for code, or a name for another one's."""
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
    attached: str = ""
    """Short options whose value can only be in the same word, if they have one."""
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
    "coproc": _Wrapper(assigns=True),
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
    "time": _Wrapper(
        "pv", "fo", ("portability", "verbose"), ("format", "output"), assigns=True
    ),
    "timeout": _Wrapper(
        "v",
        "ks",
        ("foreground", "preserve-status", "verbose"),
        ("kill-after", "signal"),
        skip=1,
    ),
    "unbuffer": _Wrapper("p"),
    "xargs": _Wrapper(
        "0rtpxo",
        "aEdILnPs",
        (
            *("null", "no-run-if-empty", "verbose", "interactive", "exit", "open-tty"),
            *("max-lines", "replace", "eof"),
        ),
        (
            *("arg-file", "delimiter", "max-lines", "max-args", "max-procs"),
            *("max-chars", "replace", "process-slot-var", "eof"),
        ),
        attached="iel",
        appends=True,
    ),
}
_WITH_ACTS = frozenset(
    {
        *("git", "gh", "glab", "hg", "svn", "docker", "podman", "kubectl", "helm"),
        *("npm", "pnpm", "yarn", "pip", "pip3", "uv", "poetry", "cargo", "go", "gem"),
        *("systemctl", "aws", "gcloud", "az", "terraform", "apt", "apt-get", "brew"),
        *("dnf", "yum", "pacman", "make", "psql", "redis-cli", "heroku", "fly"),
    }
)
"""Programs whose first word that is no option says what they do."""
_LAUNCHERS = frozenset(
    {
        *(
            "at",
            "batch",
            "bwrap",
            "capsh",
            "cgexec",
            "choom",
            "chpst",
            "chroot",
            "chrt",
        ),
        *("cpulimit", "daemonize", "dbus-launch", "dbus-run-session", "dtach"),
        *(
            "dumb-init",
            "eatmydata",
            "entr",
            "envdir",
            "expect",
            "fakechroot",
            "fakeroot",
        ),
        *("faketime", "firejail", "flock", "gosu", "i386", "linux32", "linux64"),
        *("ltrace", "nsenter", "numactl", "perf", "prlimit", "proot", "proxychains"),
        *("proxychains4", "rlwrap", "rr", "runcon", "screen", "script", "setarch"),
        *("setlock", "setpriv", "setuidgid", "sg", "softlimit", "ssh-agent", "sshpass"),
        *("start-stop-daemon", "strace", "su-exec", "systemd-inhibit", "systemd-run"),
        *("taskset", "tini", "tmux", "torify", "torsocks", "trickle", "tsocks"),
        *("uclampset", "unshare", "valgrind", "x86_64", "xvfb-run"),
    }
)
"""Programs that run another one which is named behind their options.

They must be allowed themselves, so this is only for what rules forbid.
"""
MAX_TAILS = 24
"""Words of such a program at which its command may begin."""
_FIND_RUNS = frozenset(("-exec", "-execdir", "-ok", "-okdir"))
_SOMETHING = _Word("{}", None, several=True)
"""Stands for words that are known only when a command runs."""


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
        if _STRANGE.search(text):
            self._unknown("it has control characters or blanks that cannot be seen")
            return
        parser = _parser()
        if parser is None:
            self._unknown(_NO_PARSER)
            return
        source = text.encode()
        with _PARSING:
            root = parser.parse(source).root_node
        if root.has_error:
            self._unknown("it cannot be read as a command for bash")
        for found in _CONTINUED.finditer(source):
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
        if kind not in _LITERAL and _hides(node, source):
            self._unknown("a substitution stands where the grammar sees none")
        if kind in _ON_ONE_LINE and _is_misread(node, source):
            self._unknown("the grammar parts its words in another way than bash")
        self._variables.node(node)
        if kind == "command":
            self._command(node, depth)
        elif kind in ("declaration_command", "unset_command", "variable_assignment"):
            # One that stands in another command is a part of that.
            parent = node.parent
            inside = ("command", "declaration_command", "c_style_for_statement")
            if parent is None or parent.type not in inside:
                self._add(_Word(_written(node), None))
            if kind != "variable_assignment":
                self._variables.declaration(node)
        elif kind == "file_redirect":
            self._redirect(node)
        elif kind == "comment":
            start = node.start_byte
            if start and source[start - 1 : start] not in b" \t\n;&|()":
                self._unknown("a # stands behind a word")
        elif kind == "command_substitution":
            if _written(node).startswith("`") and "\\" in _written(node):
                self._unknown("a backslash stands between backquotes")
        elif kind == "redirected_statement":
            body = node.child_by_field_name("body")
            apart = body is None or body.type != "command"
            if apart and any(_behind(one) for one in node.named_children):
                self._unknown("words stand behind a redirection")
        elif kind == "ansi_c_string":
            if not _ANSI_C.match(_written(node)):
                self._unknown("the end of a quoted text is not where it seems")
        elif kind == "heredoc_start":
            if not _PLAIN_END.match(_written(node)):
                self._unknown("the end of a here-document is quoted in part")
        elif kind == "heredoc_redirect":
            if _is_misread_document(node, source):
                self._unknown("it is not known where a here-document ends")
        elif kind == "heredoc_body":
            if not _in_quoted_document(node):
                if "\\\n" in _written(node):
                    self._unknown("a line of a here-document goes on")
                # The grammar takes the one for a subshell, and the other for text.
                if re.search(r"\$(?:\(\(|\[)", _written(node)):
                    self._variables.evaluates(_written(node))
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
        around = node.parent
        if around is not None and around.type != "redirected_statement":
            around = None
        for child in (*node.named_children, *_redirections(around)):
            if child.type == "variable_assignment":
                assigned.append(_Word(_written(child), None))
            elif child.type == "command_name":
                words.append(_word(child.named_children[0]))
            elif child.type.endswith("_redirect"):
                # The words behind its file are those of the command.
                words += map(_word, _behind(child))
            else:
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
        bare = [_Word(base, base), *words[1:]]
        if base != name:
            wordings.append(_wording(bare, needed=False))
        if base in _WITH_ACTS:
            # What denies `git push` denies `git -C x push`.
            for at in _after_options(words):
                wordings.append(_wording([bare[0], *words[at:]], needed=False))
        self._variables.command(base, map(_given, words[1:]))
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
        if _SHELL.match(name):
            return self._shell(rest, depth)
        if name in _OTHER_SHELLS:
            raise _Opaque("what another shell runs is not read")
        if name in (".", "source"):
            if not rest or _DEVICE.match(_known(rest[0])):
                raise _Opaque("a shell runs what it is sent")
            self._variables.sets_words()
            return None
        if name == "eval":
            words = [_known(word) for word in rest]
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
            raise _Opaque("what parallel runs is not read")
        if name in _EVALUATING and rest:
            raise _Opaque(f"{name} changes what is run")
        if name == "hash" and any((word.value or "-p")[:2] == "-p" for word in rest):
            raise _Opaque("hash changes what a name means")
        runs = name in ("mapfile", "readarray")
        if runs and any((word.value or "-C")[:2] == "-C" for word in rest):
            raise _Opaque(f"{name} runs a text")
        if name == "jobs" and rest and rest[0].value == "-x" and len(rest) > 1:
            self._run(rest[1:], depth + 1)
            return False
        if name in _LAUNCHERS:
            return self._launched(rest, depth)
        wrapper = _WRAPPERS.get(name)
        return None if wrapper is None else self._wrapped(name, wrapper, rest, depth)

    def _shell(self, rest: Sequence[_Word], depth: int) -> bool | None:
        script, file, given = _script(rest)
        if given:
            self._variables.sets_words()
        if script is not None:
            self._text(_known(script), depth + 1)
            return False
        if file is None or _DEVICE.match(_known(file)):
            raise _Opaque("a shell runs what it is sent")
        return None

    def _trap(self, rest: Sequence[_Word], depth: int) -> bool | None:
        words = list(rest)
        if words and words[0].value == "--":
            del words[0]
        elif words and words[0].value in ("-l", "-p", "-P"):
            return None
        if len(words) < 2:
            # It shows what is trapped, or resets one.
            return None
        text = _known(words[0])
        if text not in ("", "-"):
            self._text(text, depth + 1)
        return False if text not in ("", "-") else None

    def _launched(self, rest: Sequence[_Word], depth: int) -> bool:
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
            raise _Opaque("it is not known where its command begins")
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
        self, name: str, wrapper: _Wrapper, rest: Sequence[_Word], depth: int
    ) -> bool | None:
        left = list(rest)
        assigned: list[_Word] = []
        placeholder: str | None = None
        while left:
            word = _fixed(left[0])
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
                taken = 1 + _option(name, wrapper, word)
                for one in left[:taken]:
                    _fixed(one)
                replaced = _replaced(left[:taken]) if wrapper.appends else None
                placeholder = placeholder or replaced
                del left[:taken]
        while wrapper.assigns and left and _ASSIGNMENT.match(left[0].value or ""):
            assigned.append(left.pop(0))
        for _ in range(wrapper.skip):
            if left:
                _fixed(left.pop(0))
        if not left:
            # It shows something, or waits for words: a command like any other.
            return None
        if placeholder is not None:
            left = [
                _Word(one.written, None) if placeholder in one.written else one
                for one in left
            ]
        elif wrapper.appends:
            left.append(_SOMETHING)
        self._run(left, depth + 1, assigned)
        return wrapper.needed

    def _su(self, rest: Sequence[_Word], depth: int) -> bool:
        left = [_known(word) for word in rest]
        options = _Wrapper("lmpfPT-", "gGwus")
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
                del left[: _option("su", options, word)]
            elif word != "-":
                names += 1
            if text is not None:
                given = True
                self._text(text, depth + 1)
        if names > 1:
            raise _Opaque("su hands words to a shell")
        if not given:
            raise _Opaque("a shell runs what it is sent")
        return True

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
            if _may_be_run(word):
                raise _Opaque("what find does is known only when it runs")
            if word.value in _FIND_RUNS:
                run: list[_Word] = []
                for inner in words:
                    if inner.value == ";" or (inner.value == "+" and run):
                        break
                    # It puts a name there, in the middle of a word as well.
                    named = "{}" in inner.written
                    run.append(_Word(inner.written, None) if named else inner)
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
        if sign in wrapper.attached:
            return 0
        if sign in wrapper.valued:
            return 1 if index == len(word) - 1 else 0
        if sign not in wrapper.flags:
            raise _Opaque(f"{name} has the option -{sign}")
    return 0


def _script(rest: Sequence[_Word]) -> tuple[_Word | None, _Word | None, bool]:
    """Return the text that a shell is handed; the file that it runs; and whether it is
    given further words. It runs its input where it has neither.

    Raises:
        _Opaque: it cannot be known.
    """
    handed = False
    words = list(rest)
    while words:
        if handed and words[0].value is None:
            break
        option = _fixed(words[0])
        if option[:1] not in ("-", "+") or option in ("-", "--"):
            break
        word = words.pop(0)
        if option.startswith("--"):
            if option in ("--rcfile", "--init-file"):
                raise _Opaque("a shell reads another file first")
            if option in ("--version", "--help"):
                return None, word, False
            continue
        if "c" in option and option[0] == "-":
            handed = True
        if "s" in option and option[0] == "-":
            raise _Opaque("a shell runs what it is sent")
        for sign in option[1:]:
            if sign in "oO" and words:
                _fixed(words.pop(0))
    if words and words[0].value in ("-", "--"):
        del words[0]
    if not words:
        return None, None, False
    return (words[0], None, len(words) > 1) if handed else (None, words[0], True)


def _after_options(words: Sequence[_Word], most: int = 4) -> Iterator[int]:
    """Yield where the words of a command may begin behind options of its program: each
    may have a value or none."""
    at = 1
    while at < len(words) and most:
        option = (words[at].value or "").startswith("-")
        if not option and at > 1:
            yield at
            most -= 1
        if not option and not (words[at - 1].value or "").startswith("-"):
            return
        at += 1


def _replaced(words: Sequence[_Word]) -> str | None:
    """Return what xargs puts its input in the place of, if these words name that."""
    option = words[0].value or ""
    if option.startswith("--"):
        name, _, value = option.partition("=")
        if name != "--replace":
            return None
        return value or "{}"
    _, sign, value = option.partition("I")
    if sign:
        return value or words[-1].value
    _, sign, value = option.partition("i")
    return (value or "{}") if sign else None


def _may_be_run(word: _Word) -> bool:
    """Whether a word of find may become an option that runs something."""
    if word.value is None:
        return not _BELOW.match(word.written)
    if not word.several:
        return False
    named = any(fnmatchcase(option, word.value) for option in _FIND_RUNS)
    return named or "{" in word.value


_BELOW = re.compile(r'"\$(?:\w+|\{\w+\})/[^$`"\\]*"\Z')
"""A path below a folder that a variable names: no option, whatever it holds."""


def _redirections(node: "Node | None") -> "Sequence[Node]":
    if node is None:
        return ()
    return [one for one in node.named_children if one.type.endswith("_redirect")]


def _is_misread(node: "Node", source: bytes) -> bool:
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


def _is_misread_document(node: "Node", source: bytes) -> bool:
    """Whether the grammar took a line of a here-document for the end of the line that
    it begins on, or another line for its last one."""
    parts = {one.type: one for one in node.children}
    start, body = parts.get("heredoc_start"), parts.get("heredoc_body")
    end = parts.get("heredoc_end")
    if start is None or body is None or end is None:
        return True
    if _written(end).strip("\t") != _written(start).strip("\"'"):
        return True
    between = source[start.end_byte : body.start_byte]
    return between.count(b"\n") > 1 or b"\\\n" in between


def _behind(node: "Node") -> "Sequence[Node]":
    """Return the words behind a redirection, which the grammar takes for a part of it
    and bash for words of the command."""
    words = [one for one in node.named_children if one.type in _ARGUMENTS]
    if node.type == "file_redirect":
        return words[1:]
    if node.type != "heredoc_redirect":
        return ()
    inner = [_behind(one) for one in _redirections(node)]
    return [*words, *(word for each in inner for word in each)]


def _given(word: _Word) -> Given:
    known = word.value is not None and not word.several
    return word.written if word.value is None else word.value, known, word.written


def _fixed(word: _Word) -> str:
    """Return a word that stays one, whatever there is when it runs."""
    if word.several:
        raise _Opaque("a part of it is known only when it runs")
    return _known(word)


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
    return _Word(written, _value(node), _several(node))


def _several(node: "Node") -> bool:
    """Whether a word may become several: what is quoted does not."""
    if node.type == "concatenation":
        bare = [_written(one) for one in node.children if one.type not in _QUOTED]
        return bool(_SEVERAL.search("".join(bare)))
    return node.type not in _QUOTED and bool(_SEVERAL.search(_written(node)))


_QUOTED = ("string", "raw_string", "ansi_c_string", "translated_string")


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


_PARSING = Lock()
"""Texts are read on several threads, and the parser has one state."""


@cache
def _parser() -> "Parser | None":
    try:
        import tree_sitter_bash
        from tree_sitter import Language, Parser
    except ImportError:
        return None
    return Parser(Language(tree_sitter_bash.language()))
