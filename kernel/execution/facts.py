"""Facts: what a Step rests on besides the transcript.

Owns how each fact is told from its earlier self: by a digest or an id per thing, so
that what moved can be named one by one (law recovery.5).
"""

import hashlib
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from ..access.policy import Policy
from ..contracts import Rule
from ..location.services import LocationServices
from ..tools.registry import AdvertisedTools
from ..values.codec import dumps, to_json
from ..values.events import FactsRecorded
from ..values.frozen import frozen
from ..values.ids import SessionId

_tool_digests: WeakKeyDictionary[AdvertisedTools, Mapping[str, str]] = (
    WeakKeyDictionary()
)


@frozen
class _Rules:
    """What rules come to."""

    rules: tuple[Rule, ...]
    forbidding: tuple[Rule, ...]
    digest: str
    policy: str


_rule_digests: WeakKeyDictionary[AdvertisedTools, _Rules] = WeakKeyDictionary()
"""What the rules came to that were in force when these tools were offered last."""


def tool_digests(advertised: AdvertisedTools) -> Mapping[str, str]:
    """Return the digest of each definition and effect class, by name."""
    known = _tool_digests.get(advertised)
    if known is None:
        known = _tool_digests[advertised] = {
            one.name: _digest([to_json(one), advertised.effect(one.name)])
            for one in advertised.definitions
        }
    return known


def facts_now(
    session_id: SessionId,
    services: LocationServices,
    agent: str,
    model: str,
    approvals: tuple[str, ...],
    advertised: AdvertisedTools,
    rules: tuple[Rule, ...],
) -> FactsRecorded:
    """Return the facts as they are now. ``rules`` are what a Step is held to."""
    made = _rules(advertised, rules, tuple(one.item for one in services.forbidding()))
    return FactsRecorded(
        session_id=session_id,
        agent=agent,
        model=model,
        tools=tool_digests(advertised),
        rules=made.digest,
        approvals=approvals,
        plugins=services.plugins.versions(),
        policy=made.policy,
    )


def _rules(
    advertised: AdvertisedTools,
    rules: tuple[Rule, ...],
    forbidding: tuple[Rule, ...],
) -> _Rules:
    known = _rule_digests.get(advertised)
    # Comparing tuples of the same objects is cheap: identity is looked at first.
    if known is not None and (known.rules, known.forbidding) == (rules, forbidding):
        return known
    told = [
        [rule.action, rule.resource, rule.effect, rule.tightens, rule.layer]
        for rule in (*forbidding, *rules)
    ]
    policy = hashlib.sha256(Policy(rules).encoded()).hexdigest()
    made = _rule_digests[advertised] = _Rules(rules, forbidding, _digest(told), policy)
    return made


def _digest(value: object) -> str:
    return hashlib.sha256(dumps(value)).hexdigest()[:16]
