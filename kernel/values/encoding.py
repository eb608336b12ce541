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


def text_encoding(data: bytes) -> str | None:
    """Return the encoding of a text file by its beginning; None for what is no text.

    UTF-8, with or without a byte order mark, and UTF-16 and UTF-32 with one, which is
    what some editors and shells of Windows write. Nothing else is guessed: single NUL
    bytes are damage, many are UTF-16 without a mark, or no text at all. The mark, when
    there is one, decodes to U+FEFF.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    head = data[:_HEAD]
    return None if head.count(b"\0") * 10 > len(head) else "utf-8"
