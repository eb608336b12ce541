"""Images: what a model is shown of one, as providers take it.

Owns the bounds of an image and how one is brought within them: scaled, turned as its
EXIF data says, of an animation the first picture. With Pillow, which is loaded with
the first image; without it an image that fits goes as it is, and another is refused.
An image is hostile input: its size is read from its head before anything unpacks it.
Knows nothing of paths or URLs. Synchronous: it runs in worker threads, one image at a
time, because a large one needs some hundred megabytes for a moment.

The numbers are the narrowest of those that providers document. Anthropic
(https://docs.claude.com/en/docs/build-with-claude/vision): 5 MB as base64, 8,000
pixels an edge, and 2,000 once a request holds over 20 images, which a session comes to;
of an animation the first picture, and no metadata. OpenAI
(https://platform.openai.com/docs/guides/images-vision): no animated GIF, and what is
larger than about 2,000 pixels is scaled down there. Both: PNG, JPEG, GIF, WebP.
"""

import io
import struct
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from PIL.Image import Image

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
MAX_IMAGE = 3_750_000
"""Bytes; five million as base64."""
MAX_EDGE = 2_000
"""Pixels of the longer edge."""
MAX_IMAGE_SOURCE = 32 * 1024 * 1024
"""Bytes of an image that is scaled."""
MAX_PIXELS = 64_000_000
"""Pixels of an image that is unpacked; some bytes each. Under what Pillow warns of."""

_ATTEMPTS = ((MAX_EDGE, 85), (MAX_EDGE, 60), (MAX_EDGE // 2, 60))
"""Longest edge and quality of the JPEGs that are tried. The last always fits."""
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_ORIENTATION = 0x0112
_NO_SIZE = frozenset((0xC4, 0xC8, 0xCC))
"""JPEG markers among those of frames (C0 to CF) that begin none."""

_one_at_a_time = threading.Lock()


class ImageRefusedError(Exception):
    """An image cannot be shown; says why, and what to do."""


@frozen
class FittedImage:
    """An image as it is shown."""

    mime: str
    """Its media type, which may be another one than before."""
    data: bytes
    """The file."""
    notes: tuple[str, ...] = ()
    """What was changed."""


@frozen
class _Head:
    width: int
    height: int
    animated: bool = False


def image_type(head: bytes) -> str | None:
    """Return the media type of an image by its first bytes, or None."""
    for magic, mime in _MAGIC.items():
        if head.startswith(magic):
            return mime
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def can_scale() -> bool:
    """Return whether images can be changed here."""
    return find_spec("PIL") is not None


def fit_image(data: bytes) -> FittedImage:
    """Return an image (PNG, JPEG, GIF or WebP) within the bounds.

    One that fits is unchanged to the byte.

    Raises:
        ImageRefusedError: it is damaged, or too large to be unpacked, or it does not
            fit and Pillow is missing.
    """
    mime = image_type(data[:32])
    head = _head(data, mime)
    if mime is None or head is None or not head.width or not head.height:
        raise ImageRefusedError("it is damaged: its head does not say how large it is")
    size = f"{head.width:,} x {head.height:,} pixels"
    if head.width * head.height > MAX_PIXELS:
        raise ImageRefusedError(f"it has {size}, and at most {MAX_PIXELS:,} are shown")
    if len(data) > MAX_IMAGE_SOURCE:
        raise ImageRefusedError(
            f"it has {len(data):,} bytes, over {MAX_IMAGE_SOURCE:,}"
        )
    if can_scale():
        with _one_at_a_time:
            return _scaled(data, mime, head)
    why = _misfit(data, head)
    if why:
        raise ImageRefusedError(
            f"it {why}, which providers do not take; scaling it needs the extra "
            "dovetail[images]"
        )
    return FittedImage(mime, data)


def _misfit(data: bytes, head: _Head) -> str:
    """Return why an image cannot go as it is, or nothing."""
    if max(head.width, head.height) > MAX_EDGE:
        size = f"{head.width:,} x {head.height:,}"
        return f"has {size} pixels, over {MAX_EDGE:,} an edge"
    if len(data) > MAX_IMAGE:
        return f"has {len(data):,} bytes, over {MAX_IMAGE:,}"
    return "is animated" if head.animated else ""


# --- with Pillow ------------------------------------------------------------------


def _scaled(data: bytes, mime: str, head: _Head) -> FittedImage:
    from PIL import Image

    try:
        # Only these readers: the others are never reached by a stranger's bytes.
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.size != (head.width, head.height):
                raise ImageRefusedError("it is damaged: its two sizes differ")
            turn = image.getexif().get(_ORIENTATION, 1)
            turn = turn if turn in range(2, 9) else 0
            # A JPEG of several pictures is shown by its first everywhere.
            animated = mime != "image/jpeg" and (
                head.animated or getattr(image, "is_animated", False)
            )
            # Of a large JPEG no more is unpacked than is wanted of it.
            if max(image.size) > MAX_EDGE:
                image.draft(None, (MAX_EDGE, MAX_EDGE))
            # Unpacks it: a damaged one would make each later request be refused.
            image.load()
            if not (_misfit(data, head) or turn or animated):
                return FittedImage(mime, data)
            return _encoded(image, head, mime, turn, animated=animated)
    except ImageRefusedError:
        raise
    except Exception as error:  # Pillow's readers raise almost anything
        raise ImageRefusedError(f"it is damaged ({type(error).__name__})") from error


def _encoded(
    image: "Image", head: _Head, mime: str, turn: int, *, animated: bool
) -> FittedImage:
    from PIL import Image

    notes = ["animated: this is its first picture"] if animated else []
    picture = _smaller(_plain(image), MAX_EDGE)
    if turn:
        # Values 2 to 8 of the orientation (Exif 2.3, 4.6.4), in their order.
        turns = Image.Transpose
        ways = (
            *(turns.FLIP_LEFT_RIGHT, turns.ROTATE_180, turns.FLIP_TOP_BOTTOM),
            *(turns.TRANSPOSE, turns.ROTATE_270, turns.TRANSVERSE, turns.ROTATE_90),
        )
        picture = picture.transpose(ways[turn - 2])
        notes.append("turned upright")
    before = (head.width, head.height) if turn < 5 else (head.height, head.width)
    kind, encoded = "image/png", b""
    if mime != "image/jpeg":
        encoded = _saved(picture, "PNG", optimize=True)
    if not encoded or len(encoded) > MAX_IMAGE:
        kind = "image/jpeg"
        if picture.mode == "RGBA":
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture).convert("RGB")
        for edge, quality in _ATTEMPTS:
            picture = _smaller(picture, edge)
            encoded = _saved(picture, "JPEG", quality=quality)
            if len(encoded) <= MAX_IMAGE:
                break
    now = picture.size
    if now != before:
        notes.append(
            f"scaled from {before[0]} x {before[1]} to {now[0]} x {now[1]} pixels"
        )
    elif not notes:
        notes.append(f"packed anew as {kind.removeprefix('image/').upper()}")
    return FittedImage(kind, encoded, tuple(notes))


def _plain(image: "Image") -> "Image":
    """Return a picture as L, RGB or RGBA, in which it can be scaled and saved."""
    if image.mode.startswith("I"):
        # Sixteen bits of grey: converting them would make all but the darkest white.
        return (
            image.convert("F").point(lambda value: value * (1 / 257) + 0).convert("L")
        )
    mode = "RGB"
    if image.has_transparency_data:
        mode = "RGBA"
    elif image.mode == "L":
        mode = "L"
    return image if image.mode == mode else image.convert(mode)


def _smaller(image: "Image", edge: int) -> "Image":
    from PIL import Image

    longer = max(image.size)
    if longer <= edge:
        return image
    width, height = (max(1, round(one * edge / longer)) for one in image.size)
    way = Image.Resampling.LANCZOS
    return image.resize((width, height), way, reducing_gap=2.0)


def _saved(image: "Image", kind: str, **how: int) -> bytes:
    # Nothing goes along that may tell who took a photograph, and where.
    image.info = {}
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


# --- heads ------------------------------------------------------------------------


def _head(data: bytes, mime: str | None) -> _Head | None:
    """Return what the head of an image says, or None for a damaged one."""
    try:
        match mime:
            case "image/png":
                return _png(data)
            case "image/gif":
                return _gif(data)
            case "image/jpeg":
                return _jpeg(data)
            case "image/webp":
                return _webp(data)
    except (struct.error, IndexError):
        return None
    return None


def _png(data: bytes) -> _Head | None:
    # https://www.w3.org/TR/png-3/: IHDR is first; acTL comes before IDAT.
    if data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    at = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in (b"acTL", b"IDAT", b"IEND"):
            return _Head(width, height, kind == b"acTL")
        at += length + 12


def _gif(data: bytes) -> _Head | None:
    # https://www.w3.org/Graphics/GIF/spec-gif89a.txt
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _colours(flags)
    pictures = 0
    while at < len(data) and data[at] in b"\x21\x2c":
        if data[at] == 0x2C:
            pictures += 1
            if pictures == 2:
                break
            at += 11 + _colours(data[at + 9])
        else:
            at += 2
        while data[at]:
            at += data[at] + 1
        at += 1
    return _Head(width, height, pictures > 1) if pictures else None


def _colours(flags: int) -> int:
    """Return how many bytes a table of colours has."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _jpeg(data: bytes) -> _Head | None:
    # ITU-T T.81, annex B: segments with their lengths up to the frame's.
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return _Head(width, height)
        if marker in (0x01, *range(0xD0, 0xD9)):
            at += 2
            continue
        if marker in (0xD9, 0xDA):
            return None
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + length
    return None


def _webp(data: bytes) -> _Head | None:
    # https://developers.google.com/speed/webp/docs/riff_container
    kind = data[12:16]
    if kind == b"VP8X":
        flags = data[20]
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        return _Head(width, height, bool(flags & 2)) if len(data) >= 30 else None
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return _Head((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return _Head(width & 0x3FFF, height & 0x3FFF)
    return None
