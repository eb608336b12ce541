"""Values: what goes over the wire as values of the kernel, and back.

Owns how a session, a Location and a model are named in a question, and how an answer is
read. Asks nobody anything.
"""

import os
import re
from datetime import datetime, tzinfo
from typing import Any, TypeVar

from dovetail.kernel import (
    Location,
    Page,
    Prompt,
    PromptFile,
    SessionId,
    SessionNotFoundError,
)

from .answer import Answer

T = TypeVar("T")

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}\Z")


def ours(shown: Answer, kind: type[T]) -> T:
    """Return the value of the kernel in what is shown of it."""
    return shown["dovetail"].read(kind)


def all_of_ours(told: Answer, kind: type[T]) -> tuple[T, ...]:
    """Return the values of the kernel in a list of what is shown of them."""
    return tuple(ours(one, kind) for one in told["data"].items())


def page_of(told: Answer, kind: type[T]) -> Page[T]:
    cursor = told["cursor"]
    next, previous = (cursor.get(name).read_if(str) for name in ("next", "previous"))
    return Page(all_of_ours(told, kind), next, previous)


def zone_name(zone: tzinfo) -> str:
    """Return the name of a time zone, or how far it is ahead where it has none."""
    named = getattr(zone, "key", None)
    if isinstance(named, str):
        return named
    ahead = datetime(1970, 1, 1, tzinfo=zone).strftime("%z")
    return f"{ahead[:3]}:{ahead[3:5]}"


def session_path(id: str) -> str:
    # What cannot be an id would name another path.
    if not isinstance(id, str) or not _ID.match(id) or id in (".", ".."):
        raise SessionNotFoundError(str(id))
    return f"session/{id}"


def id_in(told: Answer) -> SessionId:
    """Return the id of a session that a server tells."""
    id = told.read(str)
    try:
        session_path(id)
    except SessionNotFoundError as error:
        raise told.wrong("it is no id of a session") from error
    return SessionId(id)


def place_of(location: "str | os.PathLike[str] | Location") -> dict[str, Any]:
    if isinstance(location, Location):
        found = {"directory": location.directory, "workspaceID": location.workspace}
        return {name: one for name, one in found.items() if one is not None}
    return {"directory": os.fspath(location)}


def model_of(model: str | None) -> dict[str, str] | None:
    if model is None:
        return None
    provider, _, name = model.partition("/")
    return {"providerID": provider, "id": name}


def given(**fields: Any) -> dict[str, Any]:
    return {name: one for name, one in fields.items() if one is not None}


def prompt_of(prompt: Prompt) -> dict[str, Any]:
    shown: dict[str, Any] = {"text": prompt.text}
    if prompt.files:
        shown["files"] = [_attachment(one) for one in prompt.files]
    return shown


def _attachment(file: PromptFile) -> dict[str, str]:
    return {"uri": f"data:{file.mime};base64,{file.data}", "name": file.name}
