"""Examples: a value for every schema of the OpenAPI document, made of the schema.

Always the same, and always what the schema takes: what an enumeration has first, what a
union has first, and for a text or a number what its name makes one expect.
"""

from collections.abc import Mapping
from typing import Any

from dovetail.kernel import Json

DEEP = 5
"""From where on nothing is shown that can be left out."""
TEXTS: Mapping[str, str] = {
    "action": "bash",
    "after": "7",
    "agent": "build",
    "aggregateID": "ses_example",
    "arguments": '{"command": "pytest"}',
    "body": "e30=",
    "call": "call_1",
    "callID": "call_1",
    "call_id": "call_1",
    "content": "Fix the failing test",
    "created_by": "person",
    "cursor": "eyJjdXJzb3IiOiAiYyJ9",
    "description": "What it is, in a sentence",
    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "directory": "/home/me/project",
    "finish": "stop",
    "header": "Colour",
    "input": "{}",
    "inputID": "inp_example",
    "jobID": "job_example",
    "key": "ticket-42",
    "label": "Blue",
    "message": "Say it shorter",
    "messageID": "msg_example",
    "message_id": "msg_example",
    "mime": "text/plain",
    "model": "openai/gpt-5.2",
    "name": "example",
    "next": "eyJjdXJzb3IiOiAiYyJ9",
    "owner": "other-store",
    "path": "src/main.py",
    "pattern": "pytest *",
    "previous": "eyJjdXJzb3IiOiAicCJ9",
    "projectID": "prj_example",
    "providerID": "openai",
    "query": "main",
    "question": "Which colour?",
    "requestID": "per_example",
    "resource": "pytest *",
    "search": "greeting",
    "session": "ses_example",
    "sessionID": "ses_example",
    "session_id": "ses_example",
    "system": "Be brief.",
    "text": "Say hello",
    "title": "Greeting",
    "tool": "bash",
    "uri": "data:text/plain;base64,SGVsbG8=",
    "url": "https://example.org",
    "version": "0.1.0",
    "which": "1",
}
NUMBERS: Mapping[str, int | float] = {
    "completed": 1_767_225_601_500,
    "cost": 0.0125,
    "created": 1_767_225_600_000,
    "cursor": 7,
    "ended": 1_767_225_601_500,
    "expires": 1_767_225_660_000,
    "limit": 50,
    "seconds": 30,
    "seq": 7,
    "started": 1_767_225_600_000,
    "timeCreated": 1_767_225_600_000,
    "updated": 1_767_225_601_500,
}


def example(
    schema: Mapping[str, Any], shared: Mapping[str, Any], name: str = "", deep: int = 0
) -> Json:
    """Return a value that a schema takes.

    ``shared`` are the schemas that it may refer to, by the last part of a reference;
    ``name`` is what the value is called where it stands.
    """
    if "$ref" in schema:
        called = schema["$ref"].rpartition("/")[2]
        return example(shared[called], shared, name, deep)
    if schema.get("examples"):
        found: Json = schema["examples"][0]
        return found
    if schema.get("enum"):
        first: Json = schema["enum"][0]
        return first
    if "const" in schema:
        return schema["const"]
    for union in ("oneOf", "anyOf"):
        if union in schema:
            return example(schema[union][0], shared, name, deep)
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    if kind == "object":
        return _object(schema, shared, deep)
    if kind == "array":
        return _array(schema, shared, name, deep)
    if kind == "string":
        return TEXTS.get(name, f"{name or 'example'}".replace("_", " "))
    if kind in ("integer", "number"):
        number = NUMBERS.get(name, 1)
        number = min(number, schema.get("maximum", number))
        number = max(number, schema.get("minimum", number))
        return int(number) if kind == "integer" else number
    return None if kind == "null" else bool(schema.get("default", False))


def _object(schema: Mapping[str, Any], shared: Mapping[str, Any], deep: int) -> Json:
    required = schema.get("required", ())
    made: dict[str, Json] = {}
    for name, one in schema.get("properties", {}).items():
        if name in required or (deep == 0 and name in TEXTS):
            made[name] = example(one, shared, name, deep + 1)
    return made


def _array(
    schema: Mapping[str, Any], shared: Mapping[str, Any], name: str, deep: int
) -> Json:
    if "prefixItems" in schema:
        return [example(one, shared, name, deep + 1) for one in schema["prefixItems"]]
    if deep >= DEEP and not schema.get("minItems"):
        return []
    return [example(schema.get("items", {}), shared, name, deep + 1)]
