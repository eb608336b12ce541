"""Results: what a server answers, as what a model is shown.

Owns the way from contents of the protocol to ours, with nothing left out unsaid. All of
it is other people's text and files: escapes are taken out, and what is no base64, no
media type or no picture that providers take becomes a line that says so. Pictures are
brought within what providers take as those are that ``read`` reads. The bound is the
kernel's. Synchronous, and slow where there are pictures: ``shown`` and ``read_out`` are
for whoever has a loop.
"""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import Any

import mcp_types as types
from anyio import to_thread
from dovetail.kernel import (
    Content,
    FileContent,
    ImageRefusedError,
    TextContent,
    fit_image,
    image_type,
)

from .names import clean, one_line

_HEAVY = (types.ImageContent, types.EmbeddedResource)
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,63}/[A-Za-z0-9!#$&^_.+-]{1,63}\Z")


async def shown(blocks: Sequence[Any], structured: Any = None) -> list[Content]:
    """Return what a model is shown of an answer."""
    if any(isinstance(one, _HEAVY) for one in blocks):
        return await to_thread.run_sync(contents, blocks, structured)
    return contents(blocks, structured)


async def read_out(several: Sequence[Any]) -> list[Content]:
    """Return what a model is shown of the contents of resources."""

    def all_of() -> list[Content]:
        return [part for one in several for part in resource(one)]

    if any(isinstance(one, types.BlobResourceContents) for one in several):
        return await to_thread.run_sync(all_of)
    return all_of()


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
        return _picture(kind, raw, data, name)
    if kind != "application/pdf":
        # Hardly a provider takes them in a result, and one that does not would refuse
        # every later request of the session.
        return TextContent(f"[a file ({shown}, {len(raw)} bytes) is not shown]")
    return FileContent(kind, data, name)


def _picture(kind: str, raw: bytes, data: str, name: str | None) -> Content:
    about = f"{one_line(kind, 80)}, {len(raw)} bytes"
    # Providers look at the bytes, and not at what somebody calls them.
    if image_type(raw[:32]) is None:
        return TextContent(f"[an image ({about}), no image that models are shown]")
    try:
        fitted = fit_image(raw)
    except ImageRefusedError as error:
        return TextContent(f"[an image ({about}) is not shown: {error}]")
    if fitted.data != raw:
        data = base64.b64encode(fitted.data).decode()
    return FileContent(fitted.mime, data, name)


async def words(blocks: Sequence[Any]) -> str:
    """Return the texts of an answer that is a failure."""
    texts = [
        one.text if isinstance(one, TextContent) else f"[a file ({one.mime})]"
        for one in await shown(blocks)
    ]
    return "\n".join(texts).strip()
