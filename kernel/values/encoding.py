"""Which encoding a text file is in. Reads bytes; knows nothing of files."""

import codecs

_MARKS = (
    # The longer ones first: that of UTF-32 begins like that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HEAD = 4096
_CONTROLS = {code: None for code in range(32) if chr(code) not in "\t\n\v\f\r\b\x1b"}
_UNTOLD = _CONTROLS | {0x7F: None, 0xFFFD: None}
"""What no text is made of, to be left out by ``translate``."""


def text_encoding(data: bytes) -> str | None:
    """Return the encoding of a text file by its beginning; None for what is no text.

    UTF-8, with or without a byte order mark, and UTF-16 and UTF-32 with one, which is
    what some editors and shells of Windows write. Nothing else is guessed: single bytes
    that are not UTF-8 are damage, or words of an old encoding; where every fifth
    character or more is none, it is another encoding, or no text at all. Single NUL
    bytes are damage, too, and many are UTF-16 without a mark. The mark, when there is
    one, decodes to U+FEFF.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None:
        head = data[:_HEAD]
        if head.count(b"\0") * 10 > len(head):
            return None
        encoding = "utf-8"
    text = codecs.getincrementaldecoder(encoding)("replace").decode(data)
    untold = len(text) - len(text.translate(_UNTOLD))
    return None if untold * 5 > len(text) else encoding
