"""Commands that others wrote, decided about: no crash, and nothing is overlooked.

What each text runs is known here from two sources that share nothing with the code
under test: the syntax tree that came with it says how many commands there are, and
``shlex`` says which words stand where a command begins. A text where these two agree
is held against rules word by word; of the others the number of commands is.
"""

import json
import re
import shlex
from collections.abc import Iterator

import pytest
from attrs import frozen
from dovetail.kernel import Rule, RuleEffect, decide, to_be_allowed
from dovetail.kernel.access.rules import WorkingFolder
from dovetail.kernel.access.shell.commands import read_command
from support.corpora import Corpus, find_corpus

BLOCK = re.compile(r"={3,}\n[^\n]+\n={3,}\n+(.*?)\n---+\n\n(.*?)(?=\n={3,}\n|\Z)", re.S)
FENCED = re.compile(r"```\w*\n(.*?)\n```", re.S)
NAME = re.compile(r"[A-Za-z_./][\w./-]*\Z")
OPENS = ("if", "then", "elif", "else", "while", "until", "do", "{", "!")
"""Words that a command follows."""
PARTS = re.compile(
    r"(program|list|pipeline|command|command_name|word|number|string|string_content"
    r"|raw_string|simple_expansion|variable_name|variable_assignment|file_redirect"
    r"|redirected_statement|file_descriptor|if_statement|else_clause|elif_clause"
    r"|while_statement|do_group|subshell|compound_statement|negated_command|comment"
    r"|concatenation|for_statement|command_substitution|process_substitution)\Z"
)
"""What shlex reads as bash does."""
TREES = "bash-parse-corpus"
TRANSCRIPTS = "mini-swe-agent-trajectories"
DENYING = [Rule("*", "*", "allow"), Rule("bash", "rm *", "deny")]
WHERE = WorkingFolder("/place", ".")


@frozen
class Real:
    """A text for the shell, as somebody wrote it."""

    text: str
    count: int = 0
    """How many commands it has at least."""
    names: tuple[str, ...] = ()
    """What each is called, in their order; empty where this is not certain."""


def real_texts(trees: Corpus, transcripts: Corpus) -> list[Real]:
    """Return all the texts, and each line of them as a text of its own."""
    texts = [*with_trees(trees)]
    texts += transcribed(transcripts)
    lines = {
        line: Real(line, 0, first_words(line) if real.names else ())
        for real in texts
        for line in real.text.splitlines()
        if line.strip()
    }
    return [*texts, *lines.values()]


def with_trees(corpus: Corpus) -> Iterator[Real]:
    for path in sorted(corpus.path.glob("*.txt")):
        for text, tree in BLOCK.findall(path.read_bytes().decode()):
            nodes = re.findall(r"\((\w+)", tree)
            count = nodes.count("command_name")
            names = first_words(text) if all(map(PARTS.match, nodes)) else ()
            yield Real(text, count, names if len(names) == count else ())


def transcribed(corpus: Corpus) -> Iterator[Real]:
    for path in sorted(corpus.path.glob("*.traj.json")):
        for message in json.loads(path.read_bytes()):
            for text in FENCED.findall(message["content"]):
                yield Real(text)


def first_words(text: str) -> tuple[str, ...]:
    """Return the words that stand where a command begins; () if one is no name."""
    found = []
    begins, file_follows = True, False
    lexer = shlex.shlex(text.replace("\\\n", ""), posix=False, punctuation_chars=True)
    lexer.whitespace = " \t\r"
    lexer.wordchars += "$#%+,:@^{}!'\"=[]"
    for token in lexer:
        if file_follows:
            file_follows = False
        elif token[0] in "<>":
            file_follows = True
        elif token[0] in ";|&()\n":
            begins = True
        elif begins and token == "for":
            begins = False
        elif begins and (token in OPENS or re.match(r"\w+=", token)):
            continue
        elif begins:
            begins = False
            if token in ("fi", "done", "}"):
                continue
            if not NAME.match(token):
                return ()
            found.append(token)
    return tuple(found)


@pytest.fixture(scope="module")
def reals() -> list[Real]:
    trees, transcripts = find_corpus(TREES), find_corpus(TRANSCRIPTS)
    if trees is None or transcripts is None:
        pytest.skip(f"{TREES!r} and {TRANSCRIPTS!r} are not beside this checkout")
    return real_texts(trees, transcripts)


def effect(text: str, *rules: Rule) -> RuleEffect:
    return decide("bash", (text,), rules, where=WHERE)


def allowing(*parts: tuple[str, str]) -> list[Rule]:
    return [Rule(action, resource, "allow") for action, resource in parts]


@pytest.mark.law("access.10")
def test_of_a_real_text_no_command_is_overlooked(reals: list[Real]) -> None:
    assert len(reals) >= 200
    for real in reals:
        reading = read_command(real.text)
        assert reading.opaque or len(reading.commands) >= real.count, real.text


def test_a_real_text_is_decided_wherever_it_is_cut_off(reals: list[Real]) -> None:
    for real in reals[:80]:
        for end in range(0, len(real.text), 23):
            text = f"rm x; {real.text[:end]}"
            assert effect(text, *DENYING) != "allow", text


@pytest.mark.law("access.10")
def test_denying_one_command_of_a_real_text_denies_it(reals: list[Real]) -> None:
    everything = Rule("*", "*", "allow")
    for real in reals:
        for name in real.names:
            rule = Rule("bash", f"{name} *", "deny")
            found = effect(real.text, everything, rule)
            # A line out of a loop is no whole text, and may ask instead.
            expected = ("deny",) if real.count else ("deny", "ask")
            assert found in expected, (real.text, name)


@pytest.mark.law("access.10")
def test_a_real_text_asks_while_one_of_its_commands_is_not_allowed(
    reals: list[Real],
) -> None:
    files = [Rule("edit", "*", "allow"), Rule("read", "*", "allow")]
    for real in reals:
        for name in real.names:
            others = [f"{other} *" for other in real.names if other != name]
            rules = allowing(*(("bash", other) for other in others))
            assert effect(real.text, *files, *rules) == "ask", (real.text, name)


@pytest.mark.law("access.10")
def test_a_real_text_needs_each_of_the_parts_that_it_says_it_needs(
    reals: list[Real],
) -> None:
    for real in reals:
        parts = set(to_be_allowed("bash", (real.text,), WHERE))
        if parts:
            assert effect(real.text, *allowing(*parts)) == "allow", real.text
        for part in parts:
            rest = allowing(*(parts - {part}))
            assert effect(real.text, *rest) == "ask", (real.text, part)
