"""The OpenAPI document of the door, made of the operations and of their types.

OpenAPI 3.1, whose schemas are JSON Schema 2020-12: that of tools, written by the same
code. What is here about a type is what its decoder takes.
"""

import inspect
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

import dovetail.kernel as kernel
from anyio import to_thread
from attrs import NOTHING, fields
from dovetail.kernel import Json, shared_schemas

# With them the operations are described.
from . import jobs, locations, logs, people, sessions, travelling, upkeep  # noqa: F401
from .examples import example
from .operation import OPERATIONS, Call, Operation, operation, query_name
from .problems import unsupported
from .words import field_words

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


REFUSALS: Mapping[int, Mapping[str, Json]] = {
    400: {
        "_tag": "InvalidRequestError",
        "message": "the query 'limit' is a number",
        "code": "server.malformed",
        "field": "limit",
    },
    401: {
        "_tag": "UnauthorizedError",
        "message": "show the token: as a bearer token, or as a password of any user",
        "code": "server.unauthorized",
    },
    403: {
        "_tag": "ForbiddenError",
        "message": "pages of 'https://example.org' may not use this server",
        "code": "server.forbidden",
    },
    404: {
        "_tag": "SessionNotFoundError",
        "message": "there is no session 'ses_none'",
        "code": "session.not_found",
        "sessionID": "ses_none",
        "details": {"name": "ses_none"},
    },
    408: {
        "_tag": "InvalidRequestError",
        "message": "the body did not come in 30 s",
        "code": "server.too_slow",
    },
    409: {
        "_tag": "ConflictError",
        "message": "another prompt was admitted under this key",
        "code": "prompt.conflict",
        "details": {"fields": ["text"]},
    },
    413: {
        "_tag": "InvalidRequestError",
        "message": "the body is over 8388608 bytes",
        "code": "server.too_large",
        "kind": "size",
    },
    422: {
        "_tag": "InvalidRequestError",
        "message": "the data does not fit: $.prompt.text: a string is expected",
        "code": "value.undecodable",
        "field": "$.prompt.text",
        "problems": [{"path": "$.prompt.text", "message": "a string is expected"}],
    },
    429: {
        "_tag": "TooManyRequestsError",
        "message": "512 requests are worked on already",
        "code": "server.busy",
    },
    431: {
        "_tag": "InvalidRequestError",
        "message": "the headers are over 32768 bytes",
        "code": "server.too_large",
    },
    500: {
        "_tag": "UnknownError",
        "message": "something unexpected happened; the log says what: err_5f0c",
        "code": "server.failed",
        "ref": "err_5f0c",
    },
    503: {
        "_tag": "ServiceUnavailableError",
        "message": "the server is closing; try another one, or this one later",
        "code": "server.closing",
    },
}
"""One refusal of each status, as it comes."""
CODES = (
    "server.busy",
    "server.closing",
    "server.failed",
    "server.forbidden",
    "server.malformed",
    "server.method",
    "server.no_route",
    "server.too_large",
    "server.too_slow",
    "server.unauthorized",
    "server.unsupported",
)
"""The codes that only a server has."""
STREAMED: Mapping[str, str] = {
    "text/event-stream": 'id: 7\ndata: {"id":"ses_example:7","type":"text.ended",'
    '"durable":{"aggregateID":"ses_example","seq":7,"version":1},"data":{}}\n\n',
    "application/x-ndjson": '{"session_id":"ses_example","seq":0}\n',
}
"""The beginning of what goes on."""
PARTS: Mapping[str, str] = {
    "id": "The id of a saved approval.",
    "inputID": "The id of a receipt.",
    "jobID": "The id of a job.",
    "key": "The key of a file's part.",
    "messageID": "The id of a message.",
    "path": "A path of a file, relative to the Location.",
    "providerID": "The name of a provider.",
    "requestID": "The id of a request.",
    "sessionID": "The id of a session.",
    "which": "The number of a request from 1, or the id of a message.",
}
"""What the parts of paths are."""


def operations() -> list[Operation]:
    """Return all of them, in the order of their paths."""
    return sorted(OPERATIONS, key=lambda one: (one.path, one.method))


@cache
def document() -> dict[str, Json]:
    """Return the whole document, always the same."""
    kinds: list[Any] = []
    for one in operations():
        kinds += [kind for kind in (one.body, one.answer) if _is_type(kind)]
    written, shared = shared_schemas(kinds, AT, field_words)
    schemas = iter(written)
    paths: dict[str, dict[str, Json]] = {}
    for one in operations():
        body = next(schemas) if _is_type(one.body) else None
        answer = next(schemas) if _is_type(one.answer) else None
        path = re.sub(r":path\}", "}", one.path)
        described = _described(one, body, answer, shared)
        paths.setdefault(path, {})[one.method.lower()] = described
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
            "schemas": {**shared, "Refused": _problem()},
            "responses": {f"Refused{status}": _refused(status) for status in SAID},
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
    one: Operation,
    body: dict[str, Json] | None,
    answer: dict[str, Json] | None,
    shared: Mapping[str, Any],
) -> dict[str, Json]:
    summary, description = words_of(one)
    made: dict[str, Json] = {
        "operationId": one.name,
        "summary": summary,
        "description": description,
        "tags": [one.path.split("/")[2]],
        "parameters": [*_path(one), *_query(one)],
        "responses": _responses(one, answer, shared),
    }
    if body is not None:
        assert one.body is not None
        required = any(each.default is NOTHING for each in fields(one.body))
        made["requestBody"] = {
            "required": required,
            "content": {
                "application/json": {"schema": body, "example": example(body, shared)}
            },
        }
    return made


def _path(one: Operation) -> list[dict[str, Json]]:
    names = re.findall(r"\{(\w+)(?::path)?\}", one.path)
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PARTS[name],
            "schema": {"type": "string"},
            "example": example({"type": "string"}, {}, name),
        }
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
                "example": own.get("default") or example(own, {}, each.name),
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


def _responses(
    one: Operation, answer: dict[str, Json] | None, shared: Mapping[str, Any]
) -> dict[str, Json]:
    if one.answer is None:
        good: dict[str, Json] = {"204": {"description": "Done."}}
    else:
        kind = one.answer if isinstance(one.answer, str) else "application/json"
        content: dict[str, Json] = {kind: {"example": STREAMED.get(kind, "...")}}
        if answer is not None:
            content = {kind: {"schema": answer, "example": example(answer, shared)}}
        good = {"200": {"description": "What was asked for.", "content": content}}
    statuses: Sequence[int] = (*ALWAYS, *one.refusals)
    if one.method != "GET":
        # A session may be another store's replica, or be at work.
        statuses = (*statuses, 409)
    if one.body is not None:
        statuses = (*statuses, 408)
    refused: dict[str, Json] = {
        str(status): {"$ref": f"#/components/responses/Refused{status}"}
        for status in sorted(set(statuses))
    }
    return {**good, **refused}


def _refused(status: int) -> dict[str, Json]:
    """Return what all refusals of a status are like, with one of them."""
    content = {"schema": {"$ref": f"{AT}Refused"}, "example": dict(REFUSALS[status])}
    return {"description": SAID[status], "content": {"application/json": content}}


def _problem() -> dict[str, Json]:
    """Return what refusals are like, with the codes of all that there are."""
    named = (getattr(kernel, name) for name in dir(kernel))
    codes = {
        one.code
        for one in named
        if isinstance(one, type) and issubclass(one, kernel.DovetailError)
    }
    told: dict[str, Any] = dict(PROBLEM)
    code = {**told["properties"]["code"], "examples": sorted(codes | set(CODES))}
    return {**told, "properties": {**told["properties"], "code": code}}


@operation("GET", "/api/openapi.json", "openapi", answer=dict[str, Any])
async def openapi(call: Call[None, None]) -> dict[str, Json]:
    """Return this document."""
    return await to_thread.run_sync(document)


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
