"""Charsets: which one the bytes of an answer are in, and their text.

Pure. As browsers do it: a byte order mark counts most, then what the server says, then
what the document says of itself in its first 1,024 bytes; labels mean what the Encoding
Standard of the WHATWG says, so ``iso-8859-1`` is Windows-1252. Where nobody says
anything it is UTF-8 if it can be, and Windows-1252 otherwise. Bytes that are wrong in a
charset become U+FFFD: no text fails.
"""

import codecs
import re

from attrs import frozen

LOOKED_AT = 1_024
"""Bytes in which a document can say what it is written in."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# By the names that Python has for what a label means to it; what the standard takes
# for a larger charset is decoded as that one.
_CODECS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "hz": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "utf-16": "utf-16-le",
    **{
        name: name
        for name in (
            *("utf-8", "utf-16-le", "utf-16-be", "gb18030", "big5hkscs", "cp932"),
            *("cp949", "euc_jp", "iso2022_jp", "koi8-r", "koi8-u", "cp866", "cp874"),
            *("mac-roman", "mac-cyrillic"),
            *(f"cp125{number}" for number in range(9)),
            *(f"iso8859-{number}" for number in (2, 3, 4, 5, 6, 7, 8)),
            *(f"iso8859-{number}" for number in (10, 13, 14, 15, 16)),
        )
    },
}
_LABELS = {
    "x-sjis": "shift_jis",
    "windows-31j": "cp932",
    "windows-949": "cp949",
    "ks_c_5601-1987": "cp949",
    "x-gbk": "gbk",
    "x-euc-jp": "euc_jp",
    "x-mac-cyrillic": "mac-cyrillic",
    "x-mac-roman": "mac-roman",
    "macintosh": "mac-roman",
    "iso-8859-8-i": "iso8859-8",
    "logical": "iso8859-8",
    "unicode-1-1-utf-8": "utf-8",
    "x-cp1252": "cp1252",
    "dos-874": "cp874",
    "windows-874": "cp874",
}

_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(
    rb"<(?P<name>[a-zA-Z/][^\s/>]*)(?P<rest>(?:[^>\"']|\"[^\"]*\"|'[^']*')*)>"
)
_ATTRIBUTE = re.compile(
    rb"([^\s/=>][^\s/=>]*)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>\"']+)))?"
)
_IN_CONTENT = re.compile(
    rb"charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;\"']+))", re.IGNORECASE
)
_XML = re.compile(
    rb"<\?xml\s[^>]*?encoding\s*=\s*(?:\"([^\"]*)\"|'([^']*)')[^>]*\?>", re.IGNORECASE
)


@frozen
class Decoded:
    """A text, and how it was read."""

    text: str
    charset: str
    """The name that Python has for it."""
    damaged: bool
    """Bytes that are wrong in it were replaced by U+FFFD."""


def decode(data: bytes, said: str = "", *, markup: bool = False) -> Decoded:
    """Return the text of an answer.

    ``said`` is the label in the answer's head, if there is one; ``markup`` tells that
    it is a document that may say it itself. Never fails.
    """
    for mark, charset in _MARKS:
        if data.startswith(mark):
            return _decoded(data[len(mark) :], charset)
    charset = codec_of(said) or (declared(data) if markup else "") or ""
    if charset:
        return _decoded(data, charset)
    try:
        return Decoded(_whole(data).decode(), "utf-8", False)
    except UnicodeDecodeError:
        return _decoded(data, "cp1252")


def codec_of(label: str) -> str:
    """Return which codec of Python's a label means, or nothing for an unknown one."""
    name = label.strip().strip("\"'").strip().lower()
    name = _LABELS.get(name, name)
    if not name.isascii() or not name or len(name) > 40:
        return ""
    try:
        # Only those on the list: Python has others that are no charsets of the web.
        return _CODECS.get(codecs.lookup(name).name, "")
    except LookupError:
        return ""


def declared(data: bytes) -> str:
    """Return which codec a document says that it is written in, or nothing."""
    head = _COMMENT.sub(b"", data[:LOOKED_AT])
    found = _XML.match(head.lstrip())
    if found and (charset := codec_of(_first(found))):
        return _no_wide(charset)
    for tag in _TAG.finditer(head):
        if tag["name"].lower() == b"meta" and (charset := _meta(tag["rest"])):
            return _no_wide(charset)
    return ""


def _meta(rest: bytes) -> str:
    given: dict[bytes, bytes] = {}
    for found in _ATTRIBUTE.finditer(rest):
        value = next((one for one in found.groups()[1:] if one is not None), b"")
        given.setdefault(found[1].lower(), value)
    if b"charset" in given:
        return codec_of(given[b"charset"].decode("latin-1"))
    if given.get(b"http-equiv", b"").strip().lower() != b"content-type":
        return ""
    found_in = _IN_CONTENT.search(given.get(b"content", b""))
    return codec_of(_first(found_in)) if found_in else ""


def _first(found: re.Match[bytes]) -> str:
    return next((one.decode("latin-1") for one in found.groups() if one), "")


def _no_wide(charset: str) -> str:
    # What can be read before one knows the charset is not written in this one.
    return "utf-8" if charset.startswith("utf-16") else charset


def _whole(data: bytes) -> bytes:
    """Return the bytes without a character that the end of the answer cuts."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if back < size else data
        if byte < 0x80:
            break
    return data


def _decoded(data: bytes, charset: str) -> Decoded:
    if charset == "utf-8":
        data = _whole(data)
    text = data.decode(charset, "replace")
    return Decoded(text, charset, "\ufffd" in text)
