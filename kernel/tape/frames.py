"""Frames: bodies of binary frames that carry their own length and checksums.

Owns how such a body stays readable when something is taken out of it. The format is the
event stream encoding of Amazon (``application/vnd.amazon.eventstream``): the lengths of
the frame and of its headers, a checksum of these two, the headers, the payload, and a
checksum of all before it. Knows no secret.
"""

from collections.abc import Callable
from zlib import crc32

_PRELUDE = 12
_CHECKSUM = 4


def is_framed(body: bytes) -> bool:
    """Whether a body begins with such a frame."""
    return len(body) >= _PRELUDE and _sum(body[:8]) == body[8:_PRELUDE]


def framed_again(body: bytes, cut: Callable[[int, int], bytes]) -> tuple[bytes, ...]:
    """Return a framed body in its frames, each sealed anew.

    ``cut`` gives what is left of the body from one place to another. A frame that
    something was taken out of beside its payload, and what is no whole frame, such as
    the end of a body that broke off, stay as they are cut.
    """
    made, at = [], 0
    while is_framed(body[at : at + _PRELUDE]):
        total = int.from_bytes(body[at : at + 4])
        begins = at + _PRELUDE + int.from_bytes(body[at + 4 : at + 8])
        ends = at + total - _CHECKSUM
        if not begins <= ends <= len(body) - _CHECKSUM:
            break
        head, payload = body[at:begins], cut(begins, ends)
        whole = body[at : ends + _CHECKSUM]
        if cut(at, begins) != head or cut(ends, ends + _CHECKSUM) != body[ends:][:4]:
            whole = cut(at, ends + _CHECKSUM)
        elif payload != body[begins:ends]:
            length = len(head) + len(payload) + _CHECKSUM
            prelude = length.to_bytes(4) + head[4:8]
            sealed = prelude + _sum(prelude) + head[_PRELUDE:] + payload
            whole = sealed + _sum(sealed)
        made.append(whole)
        at += total
    return (*made, cut(at, len(body)))


def _sum(data: bytes) -> bytes:
    return crc32(data).to_bytes(4)
