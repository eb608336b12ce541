"""Rules: what may be done without asking, as a pure function.

Owns how a list of rules decides, and the rules that an agent has when nobody says
otherwise. Knows nothing of requests, stores or people: ``permissions`` does.
``values.patterns`` owns how a pattern matches, ``names`` which files it means.
"""

from collections.abc import Iterable, Iterator, Sequence

from ..contracts import Rule, RuleEffect
from ..ports import ApprovalRow
from ..values.patterns import matches

_KEY_FILES = (
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "id_xmss*"),
    *("*.pem", "*.key", "*.ppk", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx"),
    *(".env*", "*.env", "*.env.*"),
    *(".netrc", "_netrc", ".npmrc", ".pypirc", ".git-credentials", ".git/config"),
    *(".pgpass", ".my.cnf", ".htpasswd", ".dockercfg", ".docker/config.json"),
    *(".ssh/*", ".gnupg/*", ".aws/*", ".azure/*", ".kube/*", ".vault-token"),
    *(".config/gh/*", ".config/gcloud/*", ".config/hub", ".config/dovetail/*"),
    *(".cargo/credentials*", ".gem/credentials", ".terraform.d/*", ".terraformrc"),
    *("*.tfstate", "*.tfstate.*"),
)
"""What is asked for before it is read, wherever it lies: it is likely to hold a key.

``.config/dovetail`` is where a person's own ``api_key`` may be.
"""

_EXAMPLES = ("*.env.example", "*.env.sample", "*.env.template", "*.env.dist")


def _anywhere(names: Iterable[str], effect: RuleEffect) -> Iterator[Rule]:
    for name in names:
        yield Rule("read", name, effect)
        if not name.startswith("*"):
            yield Rule("read", f"*/{name}", effect)


DEFAULT_RULES: Sequence[Rule] = (
    Rule("read", "*", "allow"),
    # Keys of any name, but not a module that happens to be called so.
    *_anywhere(["id_*"], "ask"),
    *_anywhere(["id_*.*"], "allow"),
    *_anywhere(_KEY_FILES, "ask"),
    *_anywhere(_EXAMPLES, "allow"),
    Rule("glob", "*", "allow"),
    Rule("grep", "*", "allow"),
    Rule("skill", "*", "allow"),
)
"""The rights of the built-in agent: it may look around, and asks for everything else.

There is deliberately no rule for ``edit``, ``write``, ``bash`` and
``external_directory``. No rule means ask, too, but an explicit ``ask`` could never be
answered with ``always`` (law access.3).
"""

_STRICTNESS: dict[RuleEffect, int] = {"allow": 0, "ask": 1, "deny": 2}


def deciding_rule(action: str, resource: str, rules: Iterable[Rule]) -> Rule | None:
    """Return the rule that decides about one resource, or None when none matches.

    The last rule that matches wins (law access.3). Rules that only tighten are a list
    of their own, decided in the same way, and count where they are stricter.
    """
    decided: Rule | None = None
    tightened: Rule | None = None
    for rule in reversed(tuple(rules)):
        known = tightened if rule.tightens else decided
        if (
            known is None
            and matches(rule.action, action)
            and matches(rule.resource, resource)
        ):
            if rule.tightens:
                tightened = rule
            else:
                decided = rule
    if tightened is None:
        return decided
    if decided is None:
        # Nothing allows it, so at least a person is asked: an `allow` adds nothing.
        return None if tightened.effect == "allow" else tightened
    return max(decided, tightened, key=lambda rule: _STRICTNESS[rule.effect])


def covers(approval: ApprovalRow, action: str, resource: str) -> bool:
    """Return whether an approval is for this action on this resource (law access.4).

    An ``exact`` approval means its very text: ``*`` in an approved command is a star.
    """
    if approval.action != action:
        return False
    if approval.kind == "exact":
        return approval.pattern == resource
    return matches(approval.pattern, resource)


def decide(
    action: str,
    resources: Sequence[str],
    rules: Sequence[Rule],
    approvals: Sequence[ApprovalRow] = (),
) -> RuleEffect:
    """Return what is to be done about an action on all these resources.

    Any denied resource denies, any undecided one asks. Approvals only count where no
    rule matches: a configured ``ask`` or ``deny`` stands (law access.3). Nothing named
    means ask, because nobody can have allowed it.
    """
    if not resources:
        return "ask"
    effects = [_effect(action, each, rules, approvals) for each in resources]
    return max(effects, key=_STRICTNESS.__getitem__)


def _effect(
    action: str,
    resource: str,
    rules: Sequence[Rule],
    approvals: Sequence[ApprovalRow],
) -> RuleEffect:
    rule = deciding_rule(action, resource, rules)
    if rule is not None:
        return rule.effect
    approved = any(covers(approval, action, resource) for approval in approvals)
    return "allow" if approved else "ask"
