"""Names: what a server says of a tool, in a form that models and providers take.

Owns what a tool is called here, what of its words is shown, and what becomes of a
schema that a provider would refuse. The meaning is kept: what cannot be said in a
schema is said in words. Everything here is other people's text. Pure.

What providers refuse: OpenAI and Anthropic alternatives at the top of a schema, OpenAI
an array without ``items`` and an object without ``properties``, Anthropic names of
fields beyond ``[A-Za-z0-9_.-]{1,64}``, as of the middle of 2026.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen
from dovetail.kernel import Json, clean_text

MAX_NAME = 64
MAX_WORDS = 8_000
"""Characters of one description."""
MAX_SCHEMA = 65_536
"""Characters of one schema, as JSON."""
MAX_DEPTH = 40

_OTHER = re.compile(r"[^A-Za-z0-9_-]")
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|[\]PX^_][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)?"
    r"|[ -/]{0,8}[0-~])?"
)
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Control characters, what turns the direction of writing, and what nobody sees."""
_FIELD = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


def clean(text: str) -> str:
    """Return words without what a terminal obeys or a person does not see."""
    text = clean_text(text).replace("\r\n", "\n")
    return _UNSEEN.sub("", _ESCAPES.sub("", text))


def bounded(text: str, most: int = MAX_WORDS) -> str:
    """Return the beginning of words, saying how much is left out."""
    if len(text) <= most:
        return text
    return f"{text[:most]} [... {len(text) - most} characters left out]"


def one_line(text: str, most: int = 200) -> str:
    """Return words on one line, of a bearable length."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def tool_name(server: str, tool: str) -> str:
    """Return ``server_tool`` as providers take it. What is too long keeps its
    beginning and ends in a mark of the whole."""
    name = f"{server}_{_OTHER.sub('_', tool)}"
    if len(name) <= MAX_NAME:
        return name
    mark = hashlib.sha256(f"{server}\0{tool}".encode("utf-8", "replace")).hexdigest()
    return f"{name[: MAX_NAME - 9]}_{mark[:8]}"


def named(server: str, tools: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Return the name of each tool of a server here, by its own, and why others have
    none. Whose own name needs no change has the name; else nobody who wants it."""
    wanted: dict[str, list[str]] = {}
    for tool in sorted(set(tools)):
        wanted.setdefault(tool_name(server, tool), []).append(tool)
    found: dict[str, str] = {}
    refused: list[str] = []
    for name, those in wanted.items():
        first = [one for one in those if f"{server}_{one}" == name]
        kept = first if first else those if len(those) == 1 else []
        for one in those:
            if one in kept:
                found[one] = name
            else:
                refused.append(
                    f"its tool {one_line(one, 80)!r} is not offered: another one of "
                    f"it is called {name!r}, too"
                )
    return found, refused


# --- schemas ----------------------------------------------------------------------


@frozen
class Adapted:
    """A schema as providers take it, and the way back."""

    schema: dict[str, Json]
    words: str = ""
    """What had to be said in words."""
    renamed: Mapping[str, str] = {}
    """The server's own names of fields, by those that are shown."""

    def arguments(self, given: Mapping[str, Json]) -> dict[str, Json]:
        """Return arguments under the server's own names."""
        return {self.renamed.get(name, name): one for name, one in given.items()}


def adapted(schema: Mapping[str, Any]) -> Adapted:
    """Return a schema of a server's tool as providers take it."""
    made = _part(schema, 0)
    words = []
    made.pop("$schema", None)
    made["type"] = "object"
    fields = made.get("properties")
    fields = made["properties"] = dict(fields) if isinstance(fields, dict) else {}
    for key in ("oneOf", "anyOf", "allOf", "not", "enum", "const", "if", "$ref"):
        if key not in made:
            continue
        said = made.pop(key)
        words.append(f"{key}: {json.dumps(said, ensure_ascii=False)}")
        alternatives = said if isinstance(said, list) else [said]
        for one in alternatives:
            inner = (
                _target(one, made) if key != "$ref" else _target({"$ref": one}, made)
            )
            if key not in ("not", "enum", "const", "if"):
                for name, field in inner.get("properties", {}).items():
                    fields.setdefault(name, field)
        if key in ("allOf", "$ref"):
            needed = [
                name
                for one in alternatives
                for name in _target(one if key == "allOf" else {"$ref": one}, made).get(
                    "required", ()
                )
            ]
            made["required"] = sorted({*made.get("required", ()), *needed})
    for key in ("then", "else"):
        if key in made:
            words.append(f"{key}: {json.dumps(made.pop(key), ensure_ascii=False)}")
    renamed = _renamed(made, fields)
    told = "The arguments must also fit this JSON Schema: " + "; ".join(words)
    if len(json.dumps(made)) > MAX_SCHEMA:
        made = _shorter(made)
    return Adapted(made, bounded(told) if words else "", renamed)


def _target(part: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object schema, or the one that it refers to."""
    for _ in range(8):
        if not isinstance(part, dict):
            return {}
        reference = part.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        found: Any = root
        for step in reference[2:].split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        part = found
    if not isinstance(part, dict):
        return {}
    required = part.get("required")
    properties = part.get("properties")
    return {
        "properties": properties if isinstance(properties, dict) else {},
        "required": [one for one in required if isinstance(one, str)]
        if isinstance(required, list)
        else [],
    }


def _renamed(made: dict[str, Any], fields: dict[str, Any]) -> dict[str, str]:
    """Give fields names that providers take, in place; return the way back."""
    renamed: dict[str, str] = {}
    for name in [one for one in fields if not _FIELD.match(one)]:
        shown = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:48] or "_"
        while shown in fields:
            mark = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
            shown = f"{shown[:48]}_{mark[:8]}"
        renamed[shown] = name
        fields[shown] = fields.pop(name)
    shown_of = {name: shown for shown, name in renamed.items()}
    required = made.get("required")
    if isinstance(required, list):
        made["required"] = [
            shown_of.get(one, one) for one in required if isinstance(one, str)
        ]
    else:
        made.pop("required", None)
    made["properties"] = dict(sorted(fields.items())) if renamed else fields
    return renamed


_DROPPED = ("$id", "id", "$comment", "$anchor", "$dynamicAnchor", "examples")


def _part(schema: Any, depth: int) -> dict[str, Any]:
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return {}
    made: dict[str, Any] = {}
    for name, said in schema.items():
        if name == "description" or name == "title":
            if isinstance(said, str):
                made[name] = bounded(clean(said))
        elif name in _DROPPED and not isinstance(said, Mapping):
            continue
        elif name in ("properties", "$defs", "definitions", "patternProperties"):
            inner = said.items() if isinstance(said, Mapping) else ()
            made[name] = {clean(str(key)): _any(one, depth) for key, one in inner}
        elif name in ("anyOf", "oneOf", "allOf", "prefixItems"):
            made[name] = (
                [_any(one, depth) for one in said] if isinstance(said, list) else []
            )
        elif name in ("items", "additionalProperties", "not", "if", "then", "else"):
            if name == "items" and isinstance(said, list):
                made["prefixItems"] = [_any(one, depth) for one in said]
            else:
                made[name] = _any(said, depth)
        else:
            made[name] = said
    for limit, exclusive in (
        ("minimum", "exclusiveMinimum"),
        ("maximum", "exclusiveMaximum"),
    ):
        # As it was written before draft 6.
        old = made.get(exclusive)
        if isinstance(old, bool):
            del made[exclusive]
            if old and limit in made:
                made[exclusive] = made.pop(limit)
    kinds = made.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "array" in kinds and "items" not in made and "prefixItems" not in made:
        made["items"] = {}
    if kinds == ["object"] and "properties" not in made:
        made["properties"] = {}
    if made.pop("nullable", None) is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if isinstance(made.get("enum"), list) and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
    return made


def _any(schema: Any, depth: int) -> Any:
    return schema if isinstance(schema, bool) else _part(schema, depth + 1)


def _shorter(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without the words in it, and where that is not enough, with no
    more than its first level."""
    made: dict[str, Any] = _wordless(schema)
    if len(json.dumps(made)) <= MAX_SCHEMA:
        return made
    fields: dict[str, Any] = {name: {} for name in schema["properties"]}
    flat: dict[str, Any] = {"type": "object", "properties": fields}
    if "required" in schema:
        flat["required"] = schema["required"]
    return flat if len(json.dumps(flat)) <= MAX_SCHEMA else {"type": "object"}


def _wordless(part: Any) -> Any:
    if isinstance(part, list):
        return [_wordless(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        name: _wordless(one)
        for name, one in part.items()
        if not (name in ("description", "title") and isinstance(one, str))
    }
