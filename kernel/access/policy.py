"""Policy: what the calls of one Step are held to, as it is kept.

Owns how rules and the names of tools become bytes and are found again, and how the
policy of one session bounds another one that works for it. A policy is stored once,
under its SHA-256, however many Steps rest on it.
"""

from collections.abc import Iterator, Sequence

from attrs import evolve

from ..contracts import Rule, layer_of
from ..ports import Reader, Transaction
from ..values.codec import dumps, from_json, loads, to_json
from ..values.errors import UndecodableError
from ..values.frozen import frozen

ABOVE = "above"
"""The layer of the rules of the session that a session works for."""


@frozen
class Policy:
    """What the calls of a Step may do at most."""

    rules: tuple[Rule, ...] = ()
    """What decides, in order, with all its layers."""
    tools: tuple[str, ...] | None = None
    """The tools that there are; None: those that are offered."""

    def encoded(self) -> bytes:
        """Return it as bytes: of equal ones the same."""
        # Where a rule was written is nothing that it means.
        return dumps(to_json(evolve(self, rules=tuple(map(_unplaced, self.rules)))))

    def bound(self) -> tuple[Rule, ...]:
        """Return its rules as layers of the rules of a session that is bound by it."""
        own = [rule for rule in self.rules if not rule.layer]
        return (*layer_of(ABOVE, own), *_deeper(self.rules))


NOTHING = Policy((Rule("*", "*", "deny"),), ())


def _unplaced(rule: Rule) -> Rule:
    return rule if rule.source is None else evolve(rule, source=None)


def _deeper(rules: Sequence[Rule]) -> Iterator[Rule]:
    for rule in rules:
        if rule.layer:
            yield evolve(rule, layer=f"{ABOVE}/{rule.layer}")


def keep(rows: Transaction, policy: Policy) -> str:
    """Keep a policy, and return the SHA-256 that it is found by. An event of this
    transaction must hold it."""
    return rows.put_blob(policy.encoded())


def policy_at(rows: Reader, digest: str) -> Policy:
    """Return a policy that was kept; where it is lost, one that allows nothing."""
    data = rows.blob(digest)
    if data is None:
        return NOTHING
    try:
        return from_json(loads(data), Policy)
    except UndecodableError:
        return NOTHING
