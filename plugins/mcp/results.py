"""Results: what a server answers, as what a model is shown.

Owns the way from contents of the protocol to ours, with nothing left out unsaid. All of
it is other people's text and files: escapes are taken out, and what is no base64, no
media type or no picture that providers take becomes a line that says so. The bound is
the kernel's.
"""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import Any

import mcp_types as types
from dovetail.kernel import Content, FileContent, TextContent

from .names import clean, one_line

IMAGES = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp"))
"""Images that every provider takes that takes any."""
MAX_IMAGE = 3_750_000
"""Bytes: Anthropic's 5 MB as base64."""
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,63}/[A-Za-z0-9!#$&^_.+-]{1,63}\Z")


def contents(blocks: Sequence[Any], structured: Any = None) -> list[Content]:
    """Return what a model is shown of an answer. Structured content is shown where no
    text of the answer says the same."""
    found = [part for block in blocks for part in _of(block)]
    if structured is None:
        return found
    texts = [one.text for one in found if isinstance(one, TextContent)]
    if any(_same(text, structured) for text in texts):
        return found
    return [*found, TextContent(clean(json.dumps(structured, ensure_ascii=False)))]


def _same(text: str, structured: Any) -> bool:
    if text[:1] not in ("{", "["):
        return bool(text) and structured == {"result": text}
    try:
        return bool(json.loads(text) in (structured, (structured or {}).get("result")))
    except (ValueError, RecursionError, AttributeError):
        return False


def _of(block: Any) -> list[Content]:
    if isinstance(block, types.TextContent):
        return [TextContent(clean(block.text))]
    if isinstance(block, types.ImageContent | types.AudioContent):
        return [file(block.mime_type, block.data, None)]
    if isinstance(block, types.ResourceLink):
        size = f", {block.size} bytes" if block.size is not None else ""
        kind = f", {one_line(block.mime_type)}" if block.mime_type else ""
        about = f": {one_line(block.description, 400)}" if block.description else ""
        name = one_line(block.title or block.name)
        return [
            TextContent(
                f"[resource {one_line(block.uri, 2_000)} ({name}{kind}{size}){about}]"
            )
        ]
    if isinstance(block, types.EmbeddedResource):
        return resource(block.resource)
    return [TextContent(f"[a content of type {one_line(type(block).__name__)}]")]


def resource(one: Any) -> list[Content]:
    """Return what a model is shown of the contents of a resource."""
    uri = one_line(one.uri, 2_000)
    if isinstance(one, types.TextResourceContents):
        return [TextContent(f"[resource {uri}]\n{clean(one.text)}")]
    kind = one.mime_type or "application/octet-stream"
    if kind.startswith("text/") or kind in ("application/json", "application/xml"):
        try:
            text = base64.b64decode(one.blob, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            text = None
        if text is not None:
            return [TextContent(f"[resource {uri}]\n{clean(text)}")]
    return [TextContent(f"[resource {uri}]"), file(kind, one.blob, uri)]


def file(kind: str, data: str, name: str | None) -> Content:
    """Return a file, or the line that stands for it where it cannot be shown."""
    kind = kind.partition(";")[0].strip().lower()
    shown = one_line(kind, 80)
    if not _TYPE.match(kind):
        return TextContent(f"[a file whose type {shown!r} is none is left out]")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return TextContent(f"[a file ({shown}) that is no base64 is left out]")
    if not raw:
        return TextContent(f"[an empty file ({shown})]")
    if kind.startswith("image/"):
        found = _image_type(raw)
        if found is None or len(raw) > MAX_IMAGE:
            why = "no image that models are shown" if found is None else "too large"
            return TextContent(f"[an image ({shown}, {len(raw)} bytes), {why}]")
        kind = found
    elif kind != "application/pdf":
        # Hardly a provider takes them in a result, and one that does not would refuse
        # every later request of the session.
        return TextContent(f"[a file ({shown}, {len(raw)} bytes) is not shown]")
    return FileContent(kind, data, name)


def _image_type(raw: bytes) -> str | None:
    """Return what an image is by its bytes: providers look at them, not at a name."""
    if raw.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if raw.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if raw.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "image/webp"
    return None


def words(blocks: Sequence[Any]) -> str:
    """Return the texts of an answer that is a failure."""
    shown = contents(blocks)
    texts = [
        one.text if isinstance(one, TextContent) else f"[a file ({one.mime})]"
        for one in shown
    ]
    return "\n".join(texts).strip()
