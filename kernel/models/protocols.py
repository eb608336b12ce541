"""Protocols: which of them each configured provider speaks.

Owns the one decision from what plugins say of their protocols to the tables of the
configuration. Knows no protocol by name, and nothing of how one is spoken.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ..contracts import ProviderProtocol


def assigned(
    protocols: Iterable[ProviderProtocol], tables: Mapping[str, Any]
) -> tuple[Mapping[str, str], list[str]]:
    """Return the protocol of each provider by name, and what is wrong with the rest.

    A table speaks the protocol that it names; without one, that of the provider it is
    called like; and otherwise the common one, if there is one. The providers that a
    protocol is at home with speak it without a table. Of two protocols that claim the
    same, the later one counts.
    """
    known = {one.name: one for one in protocols}
    homes = {
        name: one.name for one in known.values() for name in (one.provider, *one.others)
    }
    common = [one.name for one in known.values() if one.common]
    found: dict[str, str] = {}
    problems: list[str] = []
    for name in sorted({*homes, *tables}, key=str):
        table = tables.get(name, {})
        if not isinstance(table, Mapping):
            problems.append(f"[providers.{name}]: it must be a table")
            continue
        named = table.get("protocol")
        if named is None:
            home = homes.get(name) or (common[-1] if common else None)
            if home is not None:
                found[name] = home
                continue
            why = "it names no protocol"
        elif isinstance(named, str) and named in known:
            found[name] = named
            continue
        elif isinstance(named, str):
            why = f"no plugin speaks the protocol {named[:40]!r}"
        else:
            why = "protocol must be a text"
        those = ", ".join(sorted(known)) or "none"
        problems.append(f"[providers.{name}]: {why}; known are: {those}")
    return found, problems
