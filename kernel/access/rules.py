"""Rules: what may be done without asking, as a pure function.

Owns how a list of rules decides, and the rules that an agent has when nobody says
otherwise. Knows nothing of requests, stores or people: ``permissions`` does.
``values.patterns`` owns how a pattern matches, ``names`` which files it means.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..contracts import Rule, RuleEffect
from ..ports import ApprovalRow
from ..values.frozen import frozen
from ..values.patterns import matcher, matches

if TYPE_CHECKING:
    from .shell.commands import File, Reading

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
    Rule("subagent", "*", "allow"),
)
"""The rights of the built-in agent: it may look around, also by agents that may do no
more than it may itself, and asks for everything else.

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
            and matcher(rule.action)(action)
            and matcher(rule.resource)(resource)
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


def covers(
    approval: ApprovalRow, action: str, resource: str, folder: str | None = None
) -> bool:
    """Return whether an approval is for this action on this resource (law access.4).

    An ``exact`` approval means its very text: ``*`` in an approved command is a star.
    A ``prefix`` means every text that begins with it. One that was given for a folder
    is for that folder only.
    """
    if approval.action != action or approval.folder not in (None, folder):
        return False
    if approval.kind == "exact":
        return approval.pattern == resource
    if approval.kind == "prefix":
        return resource.startswith(approval.pattern)
    return matches(approval.pattern, resource)


Used = list[Rule | ApprovalRow]
"""What allowed something, each as it was found."""


@frozen
class WorkingFolder:
    """Where a command is to run."""

    root: str | None
    """The absolute directory of the Location; None: what is absolute lies outside."""
    folder: str
    """The folder as a resource: relative to the root with ``/``, or absolute."""
    real: Callable[[str], str] | None = None
    """Returns where an absolute path leads, with its links followed. A redirection to a
    link is one to the file behind it, and must be allowed under both names."""


def decide(
    action: str,
    resources: Sequence[str],
    rules: Sequence[Rule],
    approvals: Sequence[ApprovalRow] = (),
    where: WorkingFolder | None = None,
    used: Used | None = None,
) -> RuleEffect:
    """Return what is to be done about an action on all these resources.

    ``used`` takes in each rule and each approval that allowed a part of it.

    Any denied resource denies, any undecided one asks. Approvals only count where no
    rule matches: a configured ``ask`` or ``deny`` stands (law access.3). Nothing named
    means ask, because nobody can have allowed it. Each layer of rules decides alone,
    and the strictest counts.

    A resource of ``bash`` is a text for the shell: each command in it is decided about
    as if it stood alone, and each file that it redirects to as if a tool wrote it (law
    access.10).
    """
    if not resources:
        return "ask"
    layers = _layers(rules)
    effects = [
        _decide(action, resources, one, approvals, where, used) for one in layers
    ]
    return max(effects, key=_STRICTNESS.__getitem__)


def _decide(
    action: str,
    resources: Sequence[str],
    rules: Sequence[Rule],
    approvals: Sequence[ApprovalRow],
    where: WorkingFolder | None,
    used: Used | None,
) -> RuleEffect:
    if action == COMMANDS:
        effects = [_shell(each, rules, approvals, where, used) for each in resources]
    else:
        effects = [
            _explicit(action, (each,), rules, approvals, used=used) or "ask"
            for each in resources
        ]
    return max(effects, key=_STRICTNESS.__getitem__)


def to_be_allowed(
    action: str, resources: Sequence[str], where: WorkingFolder | None = None
) -> Sequence[tuple[str, str]]:
    """Return each action and resource that must be allowed for all of these to be.

    Of a text for the shell of which not all is known: itself, which allows it only
    word for word.
    """
    if action != COMMANDS:
        return [(action, resource) for resource in resources]
    found: list[tuple[str, str]] = []
    for resource in resources:
        reading = _read_command(resource)
        if reading.opaque is not None or reading.moves:
            found.append((action, resource))
            continue
        for command in reading.commands:
            needed = [one.texts[0] for one in command.wordings if one.needed]
            found += [(action, text) for text in needed]
        for file in reading.files:
            for path, outside in _placed(file, where):
                found += [("external_directory", one) for one in outside]
                found.append((file.action, path))
    return list(dict.fromkeys(found))


def _layers(rules: Sequence[Rule]) -> Sequence[Sequence[Rule]]:
    """Return the rules of each layer, as lists that stand alone."""
    if not any(rule.layer for rule in rules):
        return (rules,)
    found: dict[str, list[Rule]] = {"": []}
    for rule in rules:
        found.setdefault(rule.layer, []).append(rule)
    return tuple(found.values())


def denying_rule(
    action: str, resources: Sequence[str], rules: Sequence[Rule]
) -> Rule | None:
    """Return a rule that denies the action on one of these resources, to be named."""
    for resource in resources:
        texts: Sequence[str] = (resource,)
        if action == COMMANDS:
            reading = _read_command(resource)
            words = [one for each in reading.commands for one in each.wordings]
            texts = (resource, *(text for one in words for text in one.texts))
        for text in texts:
            for layer in _layers(rules):
                rule = deciding_rule(action, text, layer)
                if rule is not None and rule.effect == "deny":
                    return rule
    return None


def _explicit(
    action: str,
    texts: Sequence[str],
    rules: Sequence[Rule],
    approvals: Sequence[ApprovalRow],
    folder: str | None = None,
    used: Used | None = None,
) -> RuleEffect | None:
    """Return what is said about one thing under any of its names; None: nothing is."""
    found = [deciding_rule(action, text, rules) for text in texts]
    decided = [rule for rule in found if rule is not None]
    if decided:
        strictest = max(decided, key=lambda rule: _STRICTNESS[rule.effect])
        if used is not None and strictest.effect == "allow":
            used.append(strictest)
        return strictest.effect
    for approval in approvals:
        if any(covers(approval, action, text, folder) for text in texts):
            if used is not None:
                used.append(approval)
            return "allow"
    return None


# --- texts for the shell ----------------------------------------------------------

COMMANDS = "bash"
"""The action whose resources are texts for the shell."""

_JOINED = re.compile(r"[|&;\n]")


def _shell(
    text: str,
    rules: Sequence[Rule],
    approvals: Sequence[ApprovalRow],
    where: WorkingFolder | None,
    used: Used | None = None,
) -> RuleEffect:
    folder = where.folder if where is not None else None
    reading = _read_command(text)
    # What was approved was approved for a folder, which is another one after `cd`.
    approved = () if reading.moves else approvals
    effects: list[RuleEffect | None] = [_joined(text, rules)]
    for command in reading.commands:
        for one in command.wordings:
            if one.needed:
                effects.append(
                    _explicit(COMMANDS, one.texts, rules, approved, folder, used)
                )
            else:
                effects.append(_against(one.texts, rules))
    for file in reading.files:
        effect = _file(file, rules, approved, where, used)
        # Where it lies is not known after `cd`; that it is forbidden may be.
        effects.append(None if reading.moves and effect == "allow" else effect)
    if reading.opaque is not None or not (reading.commands or reading.files):
        effects.append(_opaque(text, rules, used))
    strictest = max((one for one in effects if one), key=_STRICTNESS.__getitem__)
    if strictest != "allow":
        return strictest
    if None not in effects:
        return "allow"
    whole = _word_for_word(text, rules)
    if whole is None:
        # Somebody saw this very text and approved it. What begins like it, or looks
        # like it, is another text of which not all is known.
        seen = (one for one in approvals if one.kind == "exact")
        whole = next((one for one in seen if covers(one, COMMANDS, text, folder)), None)
    if whole is not None and used is not None:
        used.append(whole)
    return "ask" if whole is None else "allow"


def _word_for_word(text: str, rules: Sequence[Rule]) -> Rule | ApprovalRow | None:
    """Return the rule that allows just this text, which somebody wrote down whole."""
    rule = deciding_rule(COMMANDS, text, rules)
    if rule is None or rule.effect != "allow" or rule.resource != text:
        return None
    return rule


def _joined(text: str, rules: Sequence[Rule]) -> RuleEffect:
    """Deny what a rule about several commands at once denies; it allows nothing."""
    several = [rule for rule in rules if _JOINED.search(rule.resource)]
    rule = deciding_rule(COMMANDS, text, several)
    return "deny" if rule is not None and rule.effect == "deny" else "allow"


def _against(texts: Sequence[str], rules: Sequence[Rule]) -> RuleEffect:
    """Return what is said against a wrapper, by a rule that means more than all."""
    found = [deciding_rule(COMMANDS, text, rules) for text in texts]
    effects: list[RuleEffect] = [
        rule.effect for rule in found if rule is not None and rule.resource.strip("*")
    ]
    return max(effects, key=_STRICTNESS.__getitem__, default="allow")


def _opaque(
    text: str, rules: Sequence[Rule], used: Used | None = None
) -> RuleEffect | None:
    """Return what is said about a text of which not all is known.

    It is allowed only where every command is: a rule that forbids or asks for some
    could be about this one.
    """
    about = [rule for rule in rules if matches(rule.action, COMMANDS)]
    decided = deciding_rule(COMMANDS, text, about)
    if decided is None:
        return None
    if decided.effect != "allow":
        return decided.effect
    everything = any(not rule.resource.strip("*") for rule in about)
    if not everything or any(rule.effect != "allow" for rule in about):
        return None
    if used is not None:
        used.append(decided)
    return "allow"


def _file(
    file: "File",
    rules: Sequence[Rule],
    approvals: Sequence[ApprovalRow],
    where: WorkingFolder | None,
    used: Used | None,
) -> RuleEffect | None:
    effects: list[RuleEffect | None] = []
    for path, outside in _placed(file, where):
        effects.append(_explicit(file.action, (path,), rules, approvals, used=used))
        effects += [
            _explicit("external_directory", (one,), rules, approvals, used=used)
            for one in outside
        ]
    known = [effect for effect in effects if effect is not None]
    if "deny" in known or len(known) == len(effects):
        return max(known, key=_STRICTNESS.__getitem__)
    return None


def _placed(
    file: "File", where: WorkingFolder | None
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield a file as a resource, and the folder that it is in if that is outside; then
    the file that it leads to, if that is another one."""
    folder = where.folder if where is not None else "."
    root = where.root if where is not None else None
    given = posixpath.join(folder, file.path)
    path = posixpath.normpath(given)
    yield _resource(path, root)
    if where is not None and where.real is not None and root is not None:
        whole = posixpath.join(root, path)
        # With its `..` as the system follows them: behind a link they lead elsewhere.
        real = where.real(posixpath.join(root, given))
        if real != whole:
            yield _resource(real, where.real(root))


def _resource(path: str, root: str | None) -> tuple[str, tuple[str, ...]]:
    if root is not None and path.startswith(f"{root.rstrip('/')}/"):
        path = posixpath.relpath(path, root)
    if posixpath.isabs(path) or path.split("/", 1)[0] == "..":
        return path, (f"{posixpath.dirname(path).rstrip('/')}/*",)
    return path, ()


def _read_command(text: str) -> "Reading":
    # Here and not above: what reads commands is large, and most processes ask for none.
    from .shell.commands import read_command

    return read_command(text)
