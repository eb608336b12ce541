"""Told: what goes over the wire as values of the kernel, and back.

Owns how a session, a Location and a model are named in a question, and how an answer is
read. Asks nobody anything.
"""

import os
import re
from datetime import datetime, tzinfo
from typing import Any

from dovetail.kernel import (
    Location,
    Page,
    Prompt,
    PromptFile,
    SessionNotFoundError,
    from_json,
)

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}\Z")


def ours(shown: Any, kind: Any) -> Any:
    return from_json(shown["dovetail"], kind)


def all_of(shown: Any, kind: Any) -> Any:
    return tuple(from_json(one, kind) for one in shown["data"])


def page_of(shown: Any, kind: Any) -> Page[Any]:
    cursor = shown["cursor"]
    items = [ours(one, kind) for one in shown["data"]]
    return Page(items, cursor.get("next"), cursor.get("previous"))


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
