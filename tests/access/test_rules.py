"""Rules: what matches, and what a list of rules says."""

import random
import time

import pytest
from dovetail.kernel import Rule
from dovetail.kernel.access.rules import (
    DEFAULT_RULES,
    covers,
    decide,
    deciding_rule,
)
from dovetail.kernel.ports import ApprovalRow
from dovetail.kernel.values.patterns import MAX_PATTERN, matches, needed
from hypothesis import given, settings, strategies as st

SIGNS = st.text(alphabet="ab *?\\/\n.[ж\1", max_size=10)


def approval(action: str, pattern: str, kind: str = "exact") -> ApprovalRow:
    return ApprovalRow(
        id="apr_1",
        directory="/d",
        workspace=None,
        agent="build",
        action=action,
        kind=kind,  # type: ignore[arg-type]
        pattern=pattern,
        author="person",
        created=0,
        expires=None,
    )


def slowly_matches(pattern: str, text: str) -> bool:
    """The meaning of a pattern, in the plainest possible words."""
    if pattern.endswith(" *") and slowly_matches_whole(pattern[:-2], text):
        return True
    return slowly_matches_whole(pattern, text)


def slowly_matches_whole(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(
            slowly_matches_whole(pattern[1:], text[skipped:])
            for skipped in range(len(text) + 1)
        )
    if not text:
        return False
    return pattern[0] in ("?", text[0]) and slowly_matches_whole(pattern[1:], text[1:])


@given(SIGNS, SIGNS)
@settings(max_examples=400)
def test_a_pattern_means_what_its_plain_definition_says(
    pattern: str, text: str
) -> None:
    assert matches(pattern, text) == slowly_matches(pattern, text)


@given(SIGNS, SIGNS)
def test_what_a_pattern_matches_contains_what_it_needs(pattern: str, text: str) -> None:
    """So that of many patterns those can be passed over that cannot match."""
    assert needed(pattern) in text or not matches(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("*.env.*", ".env."), ("ls *", "ls"), ("*", ""), ("a?bc*d", "bc"), ("", "")],
)
def test_a_pattern_needs_its_longest_literal_piece(pattern: str, text: str) -> None:
    assert needed(pattern) == text


@given(st.text(max_size=20), st.integers(0, 2**32))
def test_a_pattern_made_from_a_text_matches_it(text: str, seed: int) -> None:
    choose = random.Random(seed)
    pattern = "".join(
        choose.choice((sign, "?", "*", sign + "*"))
        if sign not in "*?"
        else choose.choice("*?")
        for sign in text
    )
    assert matches(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("ls *", "ls", True),
        ("ls *", "ls -la", True),
        ("ls *", "lsof", False),
        ("ls *", "ls ", True),
        ("*", "", True),
        ("*", "a/b\nc", True),
        ("src/*.py", "src/a/b.py", True),
        ("a.b", "axb", False),
        ("[ab]", "a", False),
        ("?", "", False),
        ("?", "\n", True),
        ("READ", "read", False),
        ("a\\b", "a/b", False),
        ("a", "a\n", False),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_a_pattern_matches_the_whole_text(
    pattern: str, text: str, expected: bool
) -> None:
    assert matches(pattern, text) is expected


@pytest.mark.law("access.9")
@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*a" * 250 + "b", "a"),
        ("*" + "a" * 500 + "b*", "a"),
        ("*" + "a?" * 250 + "b*", "a"),
        ("*" + "ж?" * 250 + "b*", "ж"),
        ("*a?c*" * 100, "ab"),
    ],
)
def test_a_hostile_pattern_costs_little(pattern: str, text: str) -> None:
    begin = time.perf_counter()
    assert not matches(pattern[:MAX_PATTERN], text * 100_000)
    # One that compares place by place needs minutes, a backtracking one for ever.
    assert time.perf_counter() - begin < 20


@pytest.mark.law("access.3")
def test_the_last_matching_rule_wins() -> None:
    rules = [
        Rule("bash", "*", "allow"),
        Rule("bash", "rm *", "deny"),
        Rule("bash", "rm -i *", "ask"),
    ]
    assert decide("bash", ["ls"], rules) == "allow"
    assert decide("bash", ["rm x"], rules) == "deny"
    assert decide("bash", ["rm -i x"], rules) == "ask"
    assert decide("bash", ["rm x"], rules[::-1]) == "allow"


@pytest.mark.law("access.3")
def test_no_rule_means_ask() -> None:
    assert decide("edit", ["a.py"], []) == "ask"
    assert decide("edit", ["a.py"], [Rule("read", "*", "allow")]) == "ask"


EFFECTS = st.sampled_from(["allow", "ask", "deny"])
PATTERNS = st.sampled_from(["*", "a", "b", "a*", "?"])
RULES = st.lists(
    st.builds(Rule, st.sampled_from(["x", "y", "*"]), PATTERNS, EFFECTS), max_size=6
)


@given(RULES, st.lists(st.sampled_from(["a", "b", "ab", "c"]), max_size=3))
@pytest.mark.law("access.3")
def test_the_strictest_resource_decides(rules: list[Rule], names: list[str]) -> None:
    order = ["allow", "ask", "deny"]
    each = []
    for name in names:
        fitting = [
            rule
            for rule in rules
            if slowly_matches(rule.action, "x") and slowly_matches(rule.resource, name)
        ]
        each.append(fitting[-1].effect if fitting else "ask")
    expected = max(each, key=order.index) if each else "ask"
    assert decide("x", names, rules) == expected


@given(RULES, st.sampled_from(["a", "b", "ab", "c"]))
@pytest.mark.law("access.3")
def test_an_approval_only_counts_where_no_rule_matches(
    rules: list[Rule], name: str
) -> None:
    before = decide("x", [name], rules)
    after = decide("x", [name], rules, [approval("x", name)])
    if deciding_rule("x", name, rules) is None:
        assert (before, after) == ("ask", "allow")
    else:
        assert after == before


@pytest.mark.law("access.4")
def test_an_approved_command_is_taken_to_the_letter() -> None:
    saved = approval("bash", "rm *.tmp")
    assert covers(saved, "bash", "rm *.tmp")
    assert not covers(saved, "bash", "rm x; anything.tmp")
    assert not covers(saved, "bash", "rm a.tmp")
    assert not covers(saved, "read", "rm *.tmp")


@pytest.mark.law("access.4")
def test_a_glob_approval_is_for_its_action_only() -> None:
    saved = approval("read", "src/*", "glob")
    assert covers(saved, "read", "src/a.py")
    assert not covers(saved, "read", "lib/a.py")
    assert not covers(saved, "reader", "src/a.py")


def test_several_resources_need_an_approval_each() -> None:
    saved = [approval("edit", "a"), approval("edit", "b")]
    assert decide("edit", ["a", "b"], [], saved) == "allow"
    assert decide("edit", ["a", "c"], [], saved) == "ask"


def test_nothing_named_is_never_allowed() -> None:
    assert decide("edit", [], [Rule("*", "*", "allow")]) == "ask"


@given(RULES, RULES, st.sampled_from(["a", "b", "ab", "c"]), st.booleans())
@pytest.mark.law("access.3")
def test_a_tightening_rule_never_loosens(
    rules: list[Rule], more: list[Rule], name: str, first: bool
) -> None:
    order = ["allow", "ask", "deny"]
    tightening = [Rule(r.action, r.resource, r.effect, tightens=True) for r in more]
    both = tightening + rules if first else rules + tightening
    alone = decide("x", [name], rules)
    other = deciding_rule("x", name, more)
    expected = max(alone, other.effect if other else "allow", key=order.index)
    assert decide("x", [name], both) == expected
    # Nor is a person's approval turned into something it was not.
    approved = decide("x", [name], both, [approval("x", name)])
    if other is not None and other.effect == "ask":
        assert approved in ("ask", "deny")


@pytest.mark.parametrize(
    ("action", "resource", "expected"),
    [
        ("read", "src/a.py", "allow"),
        ("read", ".env", "ask"),
        ("read", "config/prod.env", "ask"),
        ("read", ".env.local", "ask"),
        ("read", ".env.example", "allow"),
        ("glob", "**/*.py", "allow"),
        ("grep", "TODO", "allow"),
        ("skill", "release", "allow"),
        ("edit", "src/a.py", "ask"),
        ("write", "src/a.py", "ask"),
        ("bash", "ls", "ask"),
        ("external_directory", "/etc/*", "ask"),
    ],
)
def test_an_agent_may_look_around_and_asks_for_the_rest(
    action: str, resource: str, expected: str
) -> None:
    assert decide(action, [resource], DEFAULT_RULES) == expected


@pytest.mark.parametrize(
    "name",
    [
        *(".env", ".envrc", ".env.local", ".env-old", ".env_prod", ".env~", "prod.env"),
        *("id_rsa", "id_ed25519", "id_ecdsa_sk", "id_work", "id_rsa.bak", "server.pem"),
        *("tls.key", "store.p12", ".netrc", ".npmrc", ".pypirc", ".git-credentials"),
        *(".ssh/config", ".ssh/keys/one", ".aws/credentials", ".kube/config"),
        *(".config/gh/hosts.yml", ".docker/config.json", ".gnupg/private-keys-v1.d/x"),
        *("terraform.tfstate", "prod.tfstate.backup", ".git/config", ".pgpass"),
    ],
)
def test_a_file_that_is_likely_to_hold_a_key_is_asked_for_wherever_it_lies(
    name: str,
) -> None:
    for place in ("", "deploy/", "/home/somebody/", "a/b/c/"):
        assert decide("read", [f"{place}{name}"], DEFAULT_RULES) == "ask"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "environment.py",
            "my_env.py",
            "env/settings.py",
            ".env.example",
            "x/.env.dist",
        ),
        *("id_map.py", "src/id_generator.ts", "width.py", "docs/ssh.md", "keys.py"),
        *(".github/workflows/ci.yml", "main.tf", "awsome.md", "kube/deploy.yaml"),
    ],
)
def test_a_file_that_only_sounds_like_one_is_not(name: str) -> None:
    assert decide("read", [name], DEFAULT_RULES) == "allow"


@pytest.mark.parametrize("action", ["edit", "write", "bash", "external_directory"])
def test_what_is_asked_by_default_can_be_approved_for_good(action: str) -> None:
    assert decide(action, ["x"], DEFAULT_RULES, [approval(action, "x")]) == "allow"
