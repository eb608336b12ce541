"""Media: what kinds of files models are shown, by their media types.

Owns which ability of a model a file asks for, and how a file's type is told where
nobody says it. Knows no model and no provider.
"""

from collections.abc import Mapping

READABLE: Mapping[str, str] = {
    "image/png": "image",
    "image/jpeg": "image",
    "image/gif": "image",
    "image/webp": "image",
    "application/pdf": "pdf",
    "audio/wav": "audio",
    "audio/x-wav": "audio",
    "audio/wave": "audio",
    "audio/mpeg": "audio",
    "audio/mp3": "audio",
    "audio/flac": "audio",
    "audio/ogg": "audio",
    "audio/aac": "audio",
    "audio/aiff": "audio",
}
"""The ability that a file asks for, by its type. What is none of these is text, or is
told of and not shown."""
ABILITIES = ("audio", "image", "pdf")
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
)
_ENDINGS = {".mp3": "audio/mpeg", ".wav": "audio/wav", ".md": "text/markdown"}


def ability_for(mime: str) -> str | None:
    """Return the ability that a model needs to read a file of this type; None for one
    that is shown as text or not at all."""
    return READABLE.get(mime.partition(";")[0].strip().lower())


def type_of(data: bytes, name: str) -> str:
    """Return the media type of a file by what it begins with, or else by its name; of
    what is known by neither, whether it is text."""
    for beginning, mime in _BEGINNINGS:
        if data.startswith(beginning):
            return mime
    if data[:4] == b"RIFF":
        kinds = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}
        if data[8:12] in kinds:
            return kinds[data[8:12]]
    ending = name[name.rfind(".") :].lower() if "." in name else ""
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    # Here, because most files are known by what they begin with.
    from mimetypes import guess_type

    guessed = guess_type(name)[0]
    # Its name alone does not make it one that a model can read.
    if guessed is not None and guessed not in READABLE:
        return guessed
    try:
        data.decode()
    except UnicodeDecodeError:
        return "application/octet-stream"
    return "text/plain"
