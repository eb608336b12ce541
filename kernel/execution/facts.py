"""Facts: what a Step rests on besides the transcript.

Owns how each fact is told from its earlier self: by a digest or an id per thing, so
that what moved can be named one by one (law recovery.5).
"""

import hashlib
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from ..contracts import Rule
from ..location.services import LocationServices
from ..tools.registry import AdvertisedTools
from ..values.codec import dumps, to_json
from ..values.events import FactsRecorded
from ..values.ids import SessionId

_tool_digests: WeakKeyDictionary[AdvertisedTools, Mapping[str, str]] = (
    WeakKeyDictionary()
)


_rule_digests: WeakKeyDictionary[AdvertisedTools, tuple[tuple[Rule, ...], str]] = (
    WeakKeyDictionary()
)
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
) -> FactsRecorded:
    """Return the facts as they are now."""
    return FactsRecorded(
        session_id=session_id,
        agent=agent,
        model=model,
        tools=tool_digests(advertised),
        rules=_rules(
            advertised,
            (*(one.item for one in services.forbidding()), *services.rules(agent)),
        ),
        approvals=approvals,
        plugins=services.plugins.versions(),
    )


def _rules(advertised: AdvertisedTools, rules: tuple[Rule, ...]) -> str:
    known = _rule_digests.get(advertised)
    # Comparing tuples of the same objects is cheap: identity is looked at first.
    if known is not None and known[0] == rules:
        return known[1]
    made = _digest(
        [
            [rule.action, rule.resource, rule.effect, rule.tightens, rule.layer]
            for rule in rules
        ]
    )
    _rule_digests[advertised] = rules, made
    return made


def _digest(value: object) -> str:
    return hashlib.sha256(dumps(value)).hexdigest()[:16]
