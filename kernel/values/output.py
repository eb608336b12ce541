"""Output: the value that a prompt wants for an answer, and how it is read.

Owns what is recorded of it, how it is asked for where a model has no way of its own,
and how the text of an answer becomes the value or the reason why not. Knows no provider
and no class: whoever holds a class turns it into a schema first.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from attrs import evolve

from .codec import dumps, loads_exact
from .errors import InvalidValueError, UndecodableError
from .frozen import frozen
from .json_schema import check_schema, problems_with, references, without_nulls
from .tool import TOOL_NAME, Json, ToolDefinition

OutputMode = Literal["native", "tool", "prompt"]
"""How a value is asked for: by the provider's own schema for answers; by a tool that
the model must call with it; or in words."""

FINAL_ANSWER = "final_answer"
"""The tool that a model calls with the value, where that is how it is asked for."""
MAX_SCHEMA = 65_536
MAX_REPAIRS = 5
_WRAPPED = "value"
_FENCE = re.compile(r"```[a-zA-Z]*\s*\n(.*?)\n?\s*```", re.DOTALL)
_TYPED = "object"


@frozen
class Output:
    """A value that is wanted for an answer."""

    schema: Mapping[str, Json]
    """Its JSON Schema (2020-12)."""
    name: str = "answer"
    """What it is called, for the model."""
    description: str = ""
    """What it is, for the model."""
    mode: Literal["auto", "native", "tool", "prompt"] = "auto"
    """How it is asked for; ``auto``: the first way that the model has, of the three."""
    repairs: int = 1
    """How often the model is told what is wrong with an answer, and asked again."""

    @classmethod
    def checked(cls, output: "Output") -> "Output":
        """Return it, checked.

        Raises:
            InvalidValueError: one of its fields has a value that it cannot have, or the
                schema is none that a value can be held to.
        """
        if not isinstance(output, cls):
            rule = "an attrs class, a JSON Schema or an Output"
            raise InvalidValueError("output", output, rule)
        if not isinstance(output.name, str) or not TOOL_NAME.match(output.name):
            rule = "1 to 64 ASCII letters, digits, '_' and '-', letter first"
            raise InvalidValueError("output name", output.name, rule)
        if output.mode not in ("auto", *get_args(OutputMode)):
            rule = f"one of auto, {', '.join(get_args(OutputMode))}"
            raise InvalidValueError("output mode", output.mode, rule)
        repairs = output.repairs
        counted = isinstance(repairs, int) and not isinstance(repairs, bool)
        if not (counted and 0 <= repairs <= MAX_REPAIRS):
            rule = f"a whole number from 0 to {MAX_REPAIRS}"
            raise InvalidValueError("output repairs", repairs, rule)
        if not isinstance(output.description, str):
            raise InvalidValueError("output description", output.description, "text")
        if not isinstance(output.schema, Mapping):
            raise InvalidValueError("output schema", output.schema, "a JSON Schema")
        check_schema(output.schema)
        if output.wrapped:
            # The value is put within another one, where these would mean that.
            for reference in references(output.schema):
                if not reference.startswith(("#/$defs/", "#/definitions/")):
                    rule = "put what it refers to into $defs"
                    raise InvalidValueError("output schema", reference, rule)
        try:
            written = dumps(dict(output.schema))
        except InvalidValueError as error:
            raise InvalidValueError("output schema", "...", str(error)) from error
        if len(written) > MAX_SCHEMA:
            rule = f"at most {MAX_SCHEMA} bytes of JSON"
            raise InvalidValueError("output schema", f"{len(written)} bytes", rule)
        return evolve(output, schema=loads_exact(written.decode()))

    @property
    def wrapped(self) -> bool:
        """Whether the value is asked for as the one field of an object: it is none
        itself, and most providers take no other answer."""
        return self.schema.get("type") != _TYPED

    @property
    def asked(self) -> dict[str, Json]:
        """The schema of what the model writes: always of an object."""
        if not self.wrapped:
            return dict(self.schema)
        inner = {k: v for k, v in self.schema.items() if k not in _DEFINITIONS}
        schema: dict[str, Json] = {
            "type": _TYPED,
            "properties": {_WRAPPED: inner},
            "required": [_WRAPPED],
            "additionalProperties": False,
        }
        for name in _DEFINITIONS:
            if name in self.schema:
                schema[name] = self.schema[name]
        return schema

    @property
    def tool(self) -> ToolDefinition:
        """The tool that the model is to call with the value."""
        about = f" {self.description.strip()}" if self.description.strip() else ""
        text = (
            f"Give the final answer ({self.name}).{about} Call this once, alone, when "
            "all else is done; its arguments are the answer, and nothing is said after "
            "it."
        )
        return ToolDefinition(FINAL_ANSWER, text, self.asked)

    @property
    def instruction(self) -> str:
        """What the model is told where words are all that it can be asked in."""
        about = f" {self.description.strip()}" if self.description.strip() else ""
        return (
            f"The final answer ({self.name}) is one JSON value and nothing else: no "
            f"words around it, no fences.{about} It fits this JSON Schema:\n"
            + dumps(self.asked).decode()
        )

    def read(self, text: str) -> "Read":
        """Return the value that an answer holds, or what is wrong with it."""
        found: Read | None = None
        for written in _candidates(text):
            try:
                value = loads_exact(written)
            except (UndecodableError, ValueError, RecursionError):
                continue
            held = self._held(value)
            if not held.problems:
                return held
            # What was wrong with the whole says more than what is with a part of it.
            found = found or held
        return found or Read(problems=("it is not JSON",))

    def _held(self, value: Any) -> "Read":
        schema = self.asked
        try:
            dumps(value)
        except UndecodableError as error:
            return Read(problems=error.problems)
        bare = without_nulls(value, schema)
        problems = problems_with(bare, schema)
        if problems and self.wrapped:
            # Some leave the one field out and write what belongs in it.
            alone = without_nulls(value, self.schema)
            if not problems_with(alone, self.schema):
                return Read(alone)
        if problems:
            return Read(problems=tuple(problems))
        return Read(bare[_WRAPPED] if self.wrapped else bare)


@frozen
class Read:
    """What an answer held."""

    value: Json = None
    """The value; it means nothing where there are problems."""
    problems: tuple[str, ...] = ()
    """Why it is no value that was asked for: a line each."""


_DEFINITIONS = ("$defs", "definitions")


def _candidates(text: str) -> Iterator[str]:
    """Yield what of an answer may be the value, the likeliest first."""
    yield text.strip()
    for fenced in _FENCE.findall(text):
        yield fenced.strip()
    for begin, end in ("{}", "[]"):
        first, last = text.find(begin), text.rfind(end)
        if 0 <= first < last:
            yield text[first : last + 1]
