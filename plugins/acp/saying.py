"""Saying: what a client sends as a prompt, as a prompt of ours.

Owns what each kind of content means. Reads no file: what is only linked is named, and
the model reads it with its own tools, under the same permissions as anything else.
"""

import base64
import binascii
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from acp import schema as s
from dovetail.kernel import Prompt, PromptFile, PromptInvalidError


def prompt_of(blocks: Sequence[Any], directory: str) -> Prompt:
    """Return what was said.

    Raises:
        PromptInvalidError: it says nothing, is too long, or is not what it says it is.
    """
    text: list[str] = []
    files: list[PromptFile] = []
    for block in blocks:
        if isinstance(block, s.TextContentBlock):
            text.append(block.text)
        elif isinstance(block, s.ResourceContentBlock):
            text.append(mention(block.uri, block.name, directory))
        elif isinstance(block, s.EmbeddedResourceContentBlock):
            file = _resource(block.resource, directory)
            text.append(f"@{file.name}")
            files.append(file)
        else:
            files.append(_media(block, len(files) + 1, directory))
    return Prompt.of(Prompt("".join(text), tuple(files)))


def mention(uri: str, name: str, directory: str) -> str:
    """Return how a resource that is only linked is named in a prompt."""
    path = path_of(uri, directory)
    return f"[{name}]({uri})" if path is None else f"@{path}"


def path_of(uri: str, directory: str) -> str | None:
    """Return the path of a file's URI, relative where it is in the directory; None for
    what is no file of this machine."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme not in ("file", "") or parts.netloc not in ("", "localhost"):
        return None
    path = os.path.normpath(unquote(parts.path)) if parts.path else ""
    if not os.path.isabs(path) or "\0" in path:
        return None
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    for one in (path, real):
        if os.path.commonpath((one, directory)) == directory:
            return os.path.relpath(one, directory)
    return path


def _resource(resource: Any, directory: str) -> PromptFile:
    name = path_of(resource.uri, directory) or resource.uri
    if isinstance(resource, s.TextResourceContents):
        mime = resource.mime_type or "text/plain"
        mime = mime if mime.startswith("text/") else "text/plain"
        try:
            data = resource.text.encode()
        except UnicodeEncodeError as error:
            rule = f"lone surrogate at character {error.start}"
            raise PromptInvalidError("attached file", name, rule) from error
        return PromptFile(name, mime, base64.b64encode(data).decode())
    return _file(resource.blob, name, resource.mime_type)


def _media(block: Any, number: int, directory: str) -> PromptFile:
    kind, _, ending = block.mime_type.partition("/")
    uri = getattr(block, "uri", None)
    name = uri and (path_of(uri, directory) or uri)
    return _file(block.data, name or f"{kind}-{number}.{ending}", block.mime_type)


def _file(data: str, name: str, mime: str | None) -> PromptFile:
    if mime is not None:
        return PromptFile(name, mime, data)
    try:
        held = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PromptInvalidError("attached file", name, "it is not base64") from error
    return PromptFile.of(held, name=name)
