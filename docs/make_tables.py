"""Writes the tables of docs/configuration.md that are made from the code.

Run it after a change: ``python docs/make_tables.py``. A test fails while the page
differs from what this would write. A table stands between ``<!-- made: NAME -->`` and
``<!-- end -->``.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import fields
from dovetail.builtin_tools import plugin
from dovetail.kernel import Action, AnswerLimits, Location, Place, Tool
from dovetail.kernel.access.rules import DEFAULT_RULES, decide
from dovetail.kernel.configuration.trust import CLAUSES
from dovetail.plugins.providers.deployments import CHAT

PAGE = Path(__file__).resolve().parent / "configuration.md"

MAY = {
    "nothing": "nothing",
    "stricter": "make it stricter",
    "quoted": "be told, in its own name",
    "inside": "stay inside",
}


def trust() -> str:
    """Return what a file that nobody vouched for may do, key by key."""
    rows = [
        (f"`{one.key}`", MAY[one.may], one.how, one.refused or "") for one in CLAUSES
    ]
    return table(("key", "may", "how", "refuses the file"), rows)


NAMED = {
    "path": "a file, relative to the Location or absolute",
    "folder": "a folder outside of the Location, `/the/folder/*`",
    "text": "what it is about, to the letter",
}


def actions() -> str:
    """Return what the tools that come with dovetail ask for."""
    tools: list[Tool[Any, Any]] = []
    # With an engine, so that `websearch` is there.
    search = {"engine": "searxng", "url": "https://localhost/search"}
    place = Place(Location(os.sep), settings={"search": search})
    plugin.dovetail_register_tools(tools.append, place)
    known: dict[str, Action] = {}
    asked_by: dict[str, list[str]] = {}
    for tool in tools:
        for action in tool.asks or ():
            known[action.name] = action
            asked_by.setdefault(action.name, []).append(f"`{tool.name}`")
    rows = [
        (
            f"`{name}`",
            action.about,
            NAMED[action.resource],
            ", ".join(sorted(asked_by[name])),
            decide(name, ["any"], DEFAULT_RULES),
        )
        for name, action in sorted(known.items())
    ]
    return table(("action", "to", "resource", "asked by", "without a rule"), rows)


HELD = {
    "text": "characters of text, all parts together",
    "reasoning": "characters of reasoning, with what goes back with it",
    "arguments": "characters of one call's arguments",
    "calls": "calls",
    "parts": "parts of text and reasoning",
    "events": "pieces that it comes in, the empty ones too",
    "files": "characters in base64 of all files that the model makes",
    "quiet": "pieces in a row that bring nothing",
    "stream": "bytes on the wire, with everything that means nothing",
}


def limits() -> str:
    """Return how much one answer may hold."""
    rows = [
        (f"`limits.{one.name}`", f"{one.default:,}", HELD[one.name])
        for one in fields(AnswerLimits)
    ]
    return table(("key", "default", "of"), rows)


def deployments() -> str:
    """Return who else offers Chat Completions, where, and what holds the key."""
    rows = []
    for name, one in CHAT.items():
        where = one.base_url or ""
        if one.url_variable:
            named = f"`{one.url_variable}`"
            where = f"{where}, or {named}" if where else f"{named}, and `{one.below}`"
        key = f"`{one.key_variable}`" if one.key_variable else "none"
        rows.append((f"`{name}`", where, key))
    return table(("provider", "address", "key"), rows)


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES: Mapping[str, Callable[[], str]] = {
    "actions": actions,
    "deployments": deployments,
    "limits": limits,
    "trust": trust,
}


def made(text: str) -> str:
    """Return the page with each of its tables as it should be."""
    for name, make in TABLES.items():
        start, end = f"<!-- made: {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(start)
        if not found:
            raise LookupError(f"the page has no table {name!r}")
        text = f"{before}{start}{make()}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
