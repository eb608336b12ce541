"""The words around tool calls: effect classes, content, definitions, failures."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal

from .frozen import frozen

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict of the same."""

EffectClass = Literal["pure", "idempotent", "reconcilable", "unsafe"]
"""What a repeat of a call would do.

``pure``: nothing, it only observes. ``idempotent``: the same again, harmless with the
same effect token. ``reconcilable``: unknown, but the outside world can be asked.
``unsafe``: the effect twice; such a call is never repeated by itself.
"""

CallState = Literal["called", "started", "succeeded", "failed"]

TOOL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")


@frozen
class Failure:
    """A durable record of what went wrong: a stable code and a text."""

    code: str
    """Stable: what programs decide by."""
    message: str
    """For people and models; the wording is no promise."""


@frozen
class TextContent:
    """Text that a tool shows to the model."""

    text: str
    """The text."""
    type: Literal["text"] = "text"
    """Tells the kinds of content apart."""


@frozen
class FileContent:
    """A file, such as an image, that a tool shows to the model."""

    mime: str
    """Its media type, such as ``image/png``."""
    data: str
    """The bytes in base64."""
    name: str | None = None
    """What it is called, if anything."""
    type: Literal["file"] = "file"
    """Tells the kinds of content apart."""


Content = TextContent | FileContent


@frozen
class ManagedPage:
    """Some lines of a complete output, without their ends.

    A line of more than 2,000 characters goes on in the next, so that every part of
    any text can be asked for.
    """

    lines: tuple[str, ...]
    """Empty when the page begins behind the end."""
    first: int
    """The number of the first of them, counted from 1."""
    total: int
    """How many lines the whole has."""


@frozen
class ProcessMark:
    """A process group that a call starts, so that it can be found again."""

    group: int
    """Its number, which is that of its first process."""
    started: str
    """When that process started, as the system of ``host`` says it."""
    host: str
    """Which run of which system numbers it: elsewhere the number means nothing."""


@frozen
class FileChange:
    """One change of one file, by what it held."""

    path: str
    """Absolute, without symbolic links."""
    before: str | None
    """SHA-256 of what it held, in hexadecimal; None: there was none."""
    after: str | None
    """SHA-256 of what it holds since; None: it is gone."""
    unkept: str | None = None
    """Why neither of the two is kept; None: both are."""
    folders: int = 0
    """How many folders above it were made for it, or go with it."""


@frozen
class Deed:
    """One of several things that a call does, recorded before it is done."""

    text: str
    """What is done, in a few words, such as ``remove old.txt``."""
    data: Json = None
    """What the tool needs to find out later whether it was done."""


@frozen
class ToolDefinition:
    """A tool as a model is told about it."""

    name: str
    """What the model calls it by."""
    description: str
    """What it does and when to use it, for the model."""
    schema: Mapping[str, Json]
    """The JSON Schema (2020-12) of the input: always of type ``object``."""


def effect_token(session_id: str, message_id: str, call_id: str) -> str:
    """Return the token that every execution of this call gets, ever (law recovery.2).

    A pure function of the call's identity, so that it needs no storage to survive.
    """
    identity = "\0".join((session_id, message_id, call_id)).encode(
        "utf-8", "surrogatepass"
    )
    return f"eff_{hashlib.sha256(identity).hexdigest()[:32]}"
