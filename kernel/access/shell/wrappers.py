"""Wrappers: commands that run another one, and how they are called.

Owns what is known of programs by name: their options, where the command that they run
begins, which of them are shells, and which take a text for code. An option that is not
known makes the whole opaque; nothing is guessed.
"""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from ...values.frozen import frozen
from .words import OpaqueError, Word, fixed_text

SHELL = re.compile(r"(?:r?bash|sh|dash|zsh|r?ksh|ksh93|ash|mksh|yash|posh)[\d.-]*\Z")

OTHER_SHELLS = frozenset(
    ("csh", "tcsh", "fish", "rc", "es", "nu", "elvish", "xonsh", "pwsh", "powershell")
)

EVALUATING = frozenset(
    ("alias", "bind", "compgen", "complete", "compopt", "enable", "fc")
)
"""Builtins that take a text for code, or a name for another one's."""

MOVES = frozenset(("cd", "pushd", "popd", "chroot"))


@frozen
class Wrapper:
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


WRAPPERS = {
    "builtin": Wrapper(),
    "busybox": Wrapper(),
    "chronic": Wrapper("ev"),
    "command": Wrapper("p"),
    "coproc": Wrapper(assigns=True),
    "doas": Wrapper("nL", "uC", needed=True),
    "env": Wrapper(
        "i0v",
        "u",
        ("ignore-environment", "null", "debug"),
        ("unset",),
        assigns=True,
    ),
    "exec": Wrapper("cl", "a"),
    "ionice": Wrapper("t", "cn", ("ignore",), ("class", "classdata")),
    "nice": Wrapper("", "n", (), ("adjustment",)),
    "nohup": Wrapper(),
    "pkexec": Wrapper("", "", ("disable-internal-agent",), ("user",), needed=True),
    "setsid": Wrapper("cfw", "", ("ctty", "fork", "wait")),
    "stdbuf": Wrapper("", "ioe", (), ("input", "output", "error")),
    "sudo": Wrapper(
        "AbBEHknPS",
        "CDghpRrTtuU",
        ("preserve-env", "non-interactive", "set-home", "stdin", "background"),
        ("user", "group", "host", "prompt", "chdir", "preserve-env"),
        assigns=True,
        needed=True,
    ),
    "time": Wrapper(
        "pv", "fo", ("portability", "verbose"), ("format", "output"), assigns=True
    ),
    "timeout": Wrapper(
        "v",
        "ks",
        ("foreground", "preserve-status", "verbose"),
        ("kill-after", "signal"),
        skip=1,
    ),
    "unbuffer": Wrapper("p"),
    "xargs": Wrapper(
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

WITH_ACTS = frozenset(
    {
        *("git", "gh", "glab", "hg", "svn", "docker", "podman", "kubectl", "helm"),
        *("npm", "pnpm", "yarn", "pip", "pip3", "uv", "poetry", "cargo", "go", "gem"),
        *("systemctl", "aws", "gcloud", "az", "terraform", "apt", "apt-get", "brew"),
        *("dnf", "yum", "pacman", "make", "psql", "redis-cli", "heroku", "fly"),
    }
)
"""Programs whose first word that is no option says what they do."""

LAUNCHERS = frozenset(
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

FIND_RUNS = frozenset(("-exec", "-execdir", "-ok", "-okdir"))


def values_of_option(name: str, wrapper: Wrapper, word: str) -> int:
    """Return how many words after an option belong to it.

    Raises:
        OpaqueError: it is not known what the option does.
    """
    if word.startswith("--"):
        option, given, _ = word[2:].partition("=")
        if given and option in wrapper.long_valued:
            return 0
        if not given and option in wrapper.long:
            return 0
        if not given and option in wrapper.long_valued:
            return 1
        raise OpaqueError(f"{name} has the option --{option}")
    for index, sign in enumerate(word[1:], 1):
        if sign in wrapper.attached:
            return 0
        if sign in wrapper.valued:
            return 1 if index == len(word) - 1 else 0
        if sign not in wrapper.flags:
            raise OpaqueError(f"{name} has the option -{sign}")
    return 0


def script_of(rest: Sequence[Word]) -> tuple[Word | None, Word | None, bool]:
    """Return the text that a shell is handed; the file that it runs; and whether it is
    given further words. It runs its input where it has neither.

    Raises:
        OpaqueError: it cannot be known.
    """
    handed = False
    words = list(rest)
    while words:
        if handed and words[0].value is None:
            break
        option = fixed_text(words[0])
        if option[:1] not in ("-", "+") or option in ("-", "--"):
            break
        word = words.pop(0)
        if option.startswith("--"):
            if option in ("--rcfile", "--init-file"):
                raise OpaqueError("a shell reads another file first")
            if option in ("--version", "--help"):
                return None, word, False
            continue
        if "c" in option and option[0] == "-":
            handed = True
        if "s" in option and option[0] == "-":
            raise OpaqueError("a shell runs what it is sent")
        for sign in option[1:]:
            if sign in "oO" and words:
                fixed_text(words.pop(0))
    if words and words[0].value in ("-", "--"):
        del words[0]
    if not words:
        return None, None, False
    return (words[0], None, len(words) > 1) if handed else (None, words[0], True)


def after_options(words: Sequence[Word], most: int = 4) -> Iterator[int]:
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


def replaced_by_input(words: Sequence[Word]) -> str | None:
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


def may_be_run(word: Word) -> bool:
    """Whether a word of find may become an option that runs something."""
    if word.value is None:
        return not _BELOW.match(word.written)
    if not word.several:
        return False
    named = any(fnmatchcase(option, word.value) for option in FIND_RUNS)
    return named or "{" in word.value


_BELOW = re.compile(r'"\$(?:\w+|\{\w+\})/[^$`"\\]*"\Z')
"""A path below a folder that a variable names: no option, whatever it holds."""
