"""The OpenAPI document of the door, made of the operations and of their types.

OpenAPI 3.1, whose schemas are JSON Schema 2020-12: that of tools, written by the same
code. What is here about a type is what its decoder takes.
"""

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

from attrs import NOTHING, fields
from dovetail.kernel import Json, shared_schemas

# With them the operations are described.
from . import logs, people, places, sessions, upkeep  # noqa: F401
from .operation import OPERATIONS, Call, Operation, operation, query_name
from .problems import unsupported

VERSION = "0.1.0"
AT = "#/components/schemas/"

SAID: Mapping[int, str] = {
    400: "It cannot be read: the query, the headers, or what is no JSON.",
    401: "No token, or a wrong one.",
    403: "Not from there: the host, the page, or a path outside of the Location.",
    404: "There is no such thing.",
    408: "The body did not come in time.",
    409: "It contradicts what is there; the body says what differs.",
    413: "More than is taken.",
    422: "A value breaks a rule; ``field`` and ``problems`` say which and where.",
    429: "Too much at once; try again.",
    431: "The headers are longer than is taken.",
    500: "Something unexpected, or what is stored is damaged.",
    503: "Not now; try again.",
}
ALWAYS = (400, 401, 403, 413, 422, 429, 431, 500, 503)

PROBLEM: Mapping[str, Json] = {
    "type": "object",
    "description": "Why something was refused. ``code`` is stable, the message is not.",
    "properties": {
        "_tag": {"type": "string", "description": "What kind of error it is."},
        "code": {"type": "string", "description": "Which error it is, for ever."},
        "message": {"type": "string", "description": "For a person."},
        "field": {"type": "string", "description": "What is wrong."},
        "problems": {
            "type": "array",
            "description": "All that is wrong with the body.",
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "message": {"type": "string"},
                },
                "required": ["path", "message"],
            },
        },
        "details": {"type": "object", "description": "The facts of the error."},
        "ref": {"type": "string", "description": "What the log names it by."},
    },
    "required": ["_tag", "code", "message"],
}


def operations() -> list[Operation]:
    """Return all of them, in the order of their paths."""
    return sorted(OPERATIONS, key=lambda one: (one.path, one.method))


@cache
def document() -> dict[str, Json]:
    """Return the whole document, always the same."""
    kinds: list[Any] = []
    for one in operations():
        kinds += [kind for kind in (one.body, one.answer) if _is_type(kind)]
    written, shared = shared_schemas(kinds, AT)
    schemas = iter(written)
    paths: dict[str, dict[str, Json]] = {}
    for one in operations():
        body = next(schemas) if _is_type(one.body) else None
        answer = next(schemas) if _is_type(one.answer) else None
        path = re.sub(r":path\}", "}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = _described(one, body, answer)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "dovetail",
            "version": VERSION,
            "description": "Durable sessions of agents, over HTTP.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"bearer": []}, {"basic": []}, {}],
        "paths": paths,
        "components": {
            "schemas": {**shared, "Refused": dict(PROBLEM)},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _is_type(kind: object) -> bool:
    return kind is not None and not isinstance(kind, str)


def words_of(one: Operation) -> tuple[str, str]:
    """Return the first sentence of what an operation does, and all of it."""
    whole = inspect.cleandoc(one.run.__doc__ or "")
    text = re.sub(r"\s+", " ", whole)
    return re.split(r"(?<=[.;:]) ", text)[0].rstrip(".;:"), text


def _described(
    one: Operation, body: dict[str, Json] | None, answer: dict[str, Json] | None
) -> dict[str, Json]:
    summary, description = words_of(one)
    made: dict[str, Json] = {
        "operationId": one.name,
        "summary": summary,
        "description": description,
        "tags": [one.path.split("/")[2]],
        "parameters": [*_path(one), *_query(one)],
        "responses": _responses(one, answer),
    }
    if body is not None:
        assert one.body is not None
        required = any(each.default is NOTHING for each in fields(one.body))
        made["requestBody"] = {
            "required": required,
            "content": {"application/json": {"schema": body}},
        }
    return made


def _path(one: Operation) -> list[dict[str, Json]]:
    names = re.findall(r"\{(\w+)(?::path)?\}", one.path)
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]


def _query(one: Operation) -> list[dict[str, Json]]:
    if one.query is None:
        return []
    [schema], shared = shared_schemas([one.query], AT)
    shown: dict[str, Any] = shared[schema["$ref"].removeprefix(AT)]
    made = []
    for each in fields(one.query):
        own = dict(shown["properties"][each.name])
        words = own.pop("description", "")
        made.append(
            {
                "name": query_name(each),
                "in": "query",
                "required": each.name in shown.get("required", ()),
                "description": words,
                "schema": _not_null(own),
            }
        )
    return made


def _not_null(schema: dict[str, Json]) -> dict[str, Json]:
    """Return the schema of a query, where nothing is null: it is left out."""
    kind = schema.get("type")
    if isinstance(kind, list):
        rest = [one for one in kind if one != "null"]
        schema["type"] = rest[0] if len(rest) == 1 else rest
    if "enum" in schema:
        schema["enum"] = [one for one in schema["enum"] if one is not None]
    return schema


def _responses(one: Operation, answer: dict[str, Json] | None) -> dict[str, Json]:
    if one.answer is None:
        good: dict[str, Json] = {"204": {"description": "Done."}}
    else:
        kind = one.answer if isinstance(one.answer, str) else "application/json"
        content: dict[str, Json] = {kind: {} if answer is None else {"schema": answer}}
        good = {"200": {"description": "What was asked for.", "content": content}}
    statuses: Sequence[int] = (*ALWAYS, *one.refusals)
    if one.body is not None:
        statuses = (*statuses, 408)
    refused = {"application/json": {"schema": {"$ref": f"{AT}Refused"}}}
    return {
        **good,
        **{
            str(status): {"description": SAID[status], "content": refused}
            for status in sorted(set(statuses))
        },
    }


@operation("GET", "/api/openapi.json", "openapi", answer=dict[str, Any])
async def openapi(call: Call[None, None]) -> dict[str, Json]:
    """Return this document."""
    return document()


# --- what is not offered ----------------------------------------------------------

KEYS, COMMANDS = "keys are configured", "jobs of sessions run commands"
NOT_OFFERED: Sequence[tuple[str, str, str, str]] = (
    (
        "POST",
        "/api/session/{sessionID}/permission",
        "v2.session.permission.create",
        "calls of tools ask for permission",
    ),
    ("GET", "/api/reference", "v2.reference.list", "a Location is one directory"),
    ("GET", "/api/integration", "v2.integration.list", KEYS),
    ("GET", "/api/integration/{rest:path}", "v2.integration.get", KEYS),
    ("POST", "/api/integration/{rest:path}", "v2.integration.connect", KEYS),
    ("DELETE", "/api/integration/{rest:path}", "v2.integration.cancel", KEYS),
    ("PATCH", "/api/credential/{rest:path}", "v2.credential.update", KEYS),
    ("DELETE", "/api/credential/{rest:path}", "v2.credential.remove", KEYS),
    ("GET", "/api/pty", "v2.pty.list", COMMANDS),
    ("POST", "/api/pty", "v2.pty.create", COMMANDS),
    ("GET", "/api/pty/{rest:path}", "v2.pty.get", COMMANDS),
    ("PUT", "/api/pty/{rest:path}", "v2.pty.update", COMMANDS),
    ("POST", "/api/pty/{rest:path}", "v2.pty.connectToken", COMMANDS),
    ("DELETE", "/api/pty/{rest:path}", "v2.pty.remove", COMMANDS),
)
"""Operations of opencode's V2 surface that have no meaning here, and what has."""


def refuse(name: str, instead: str) -> NoReturn:
    """Answer one of these.

    Raises:
        Refusal: always.
    """
    raise unsupported(name, instead)
