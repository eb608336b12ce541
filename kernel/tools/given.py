"""Given: the input of a tool that somebody else describes, by a JSON Schema.

Owns what such a schema must be so that a model can be shown it, and the decoder that
keeps to it: what the schema says in words that are understood here is held to
(``understood_schema``), and the rest is the tool's to look at. Knows nothing of tools.
"""

from collections.abc import Callable, Mapping
from functools import cache

from ..values.codec import check_depth, sanitised
from ..values.errors import ToolDefinitionError, UndecodableError
from ..values.json_schema import problems_with, understood_schema
from ..values.tool import Json


def given_schema(schema: object, name: str) -> dict[str, Json]:
    """Return a schema of the caller's own, always of type ``object``.

    Raises:
        ToolDefinitionError: it is no JSON object, describes no object, or nests too
            deeply. ``name`` is the tool's.
    """
    if not isinstance(schema, Mapping):
        raise ToolDefinitionError(name, "its schema is no JSON object")
    try:
        check_depth("schema", dict(schema))
    except UndecodableError as error:
        raise ToolDefinitionError(name, f"its schema: {error}") from error
    made: Json = sanitised(dict(schema))
    assert isinstance(made, dict)
    if made.setdefault("type", "object") != "object":
        raise ToolDefinitionError(name, "its schema must be of type 'object'")
    return made


def given_decoder(schema: Mapping[str, Json]) -> Callable[[Json], dict[str, Json]]:
    """Return a function that returns JSON data that fits, or refuses it.

    What is understood of the schema is found out on first use. The function raises
    UndecodableError: ``problems`` lists every place that does not fit.
    """

    @cache
    def held_to() -> Json:
        return understood_schema(schema)

    def decode(data: Json) -> dict[str, Json]:
        problems = problems_with(data, held_to())
        if problems or not isinstance(data, dict):
            raise UndecodableError("arguments", problems or ["$: expected an object"])
        return data

    return decode
