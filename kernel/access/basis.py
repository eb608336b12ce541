"""Basis: what a saved approval rests on, so that it ends when that is another one.

Owns how a tool's definition and the rules about an action are told from their later
selves, and how what changed is said to a person. Knows nothing of requests or stores.

An approval was given by somebody who knew what the tool says of itself and which rules
stood around it. It is not taken away when these change: it does not count for as long
as they are other ones. So a restart changes nothing, what is changed back is what it
was, and of two processes with different plugins on one store each counts what was
given to its own.
"""

import hashlib
import re
from collections.abc import Mapping

from attrs import field

from ..contracts import Rule
from ..ports import ApprovalRow
from ..values.codec import dumps, dumps_sanitised, sanitised
from ..values.frozen import frozen
from ..values.patterns import matches
from ..values.tool import EffectClass, Json, ToolDefinition

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?"
    r"|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_MOMENT = (
    r"\b(?:"
    # 2026-11-27T15:04:05.123+01:00, and its parts
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?"
    r"|\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?"
    r"|\d{4}/\d{1,2}/\d{1,2}|\d{1,2}/\d{1,2}/\d{4}|\d{1,2}\.\d{1,2}\.\d{4}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)? {_MONTH}(?:,? \d{{4}})?"
    rf"|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r")(?: ?(?:am|pm|utc|gmt|z|[+-]\d{2}:?\d{2})\b)?"
)
"""A date or a time of day. A tool that tells the model what day it is, is the same one
tomorrow."""

_FILES = ("read", "edit", "external_directory")
"""What a text for the shell is decided by besides, where it redirects."""


def definition_text(
    definition: ToolDefinition, effect: EffectClass, plugin: str
) -> str:
    """Return what tells a tool from another one, in one line.

    Each part stands by itself, so that what changed can be named. The version of the
    plugin is none: it says nothing that anybody could judge, and a release that
    changes no definition takes no approval away.
    """
    return " ".join(
        (
            f"plugin={plugin}",
            f"effect={effect}",
            f"description={_digest(_undated(definition.description))}",
            f"schema={_digest(_undated(_ordered(definition.schema)))}",
        )
    )


def rules_digest(rules: tuple[Rule, ...], action: str) -> str:
    """Return what tells these rules from others, as far as they are about an action."""
    actions = (action, *_FILES) if action == "bash" else (action,)
    about = [
        [rule.action, rule.resource, rule.effect, rule.tightens, rule.layer]
        for rule in rules
        if any(matches(rule.action, action) for action in actions)
    ]
    return _digest(dumps(about).decode())


@frozen(eq=False)
class Basis:
    """What approvals rest on in one Location, for one agent, at one moment.

    It never changes, so that whoever decides in another thread may have it.
    """

    definitions: Mapping[str, str]
    """Of each tool that is offered, by name: its ``definition_text``."""
    rules: tuple[Rule, ...]
    """What stands around the calls of this agent, as it was written."""
    common: tuple[Rule, ...] = ()
    """What of it stands around the calls of every agent here."""
    user: tuple[Rule, ...] = ()
    """What of it does in whatever directory."""
    _digests: dict[tuple[str, str], str] = field(factory=dict, init=False)

    def rules_for(self, action: str, scope: str, agent: str | None) -> str:
        """Return the digest of the rules that an approval of this kind rests on."""
        of = "rules" if agent is not None else "common"
        if scope == "everywhere":
            of = "user"
        known = self._digests.get((of, action))
        if known is None:
            known = rules_digest(getattr(self, of), action)
            self._digests[of, action] = known
        return known

    def changed(self, row: ApprovalRow) -> str | None:
        """Return what of all that an approval rests on is another one now, in words;
        None: nothing, so that it counts."""
        if row.tool is not None and row.definition is not None:
            now = self.definitions.get(row.tool)
            if now is None:
                return f"the tool {row.tool!r} is not offered any more"
            if now != row.definition:
                return f"the tool {row.tool!r} changed: {_difference(row, now)}"
        if row.rules is not None and row.rules != self.rules_for(
            row.action, row.scope, row.agent
        ):
            return f"the rules about {row.action!r} changed"
        return None


NO_BASIS = Basis({}, ())


def _difference(row: ApprovalRow, now: str) -> str:
    before, after = _parts(row.definition or ""), _parts(now)
    told = []
    for name in sorted({**before, **after}):
        was, then = before.get(name), after.get(name)
        if was == then:
            continue
        shown = name in ("plugin", "effect") and was and then
        told.append(f"its {name} was {was}, is {then}" if shown else f"its {name}")
    return ", ".join(told)


def _parts(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(" "))
    return {name: value for name, _, value in pairs}


def _ordered(schema: Mapping[str, Json]) -> str:
    """Return a schema as text in which the order of keys does not count."""
    return dumps_sanitised(sanitised(dict(schema)), sort_keys=True).decode()


def _undated(text: str) -> str:
    # Compiled here, and once: most processes save no approval.
    return re.sub(_MOMENT, "", text, flags=re.IGNORECASE)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
