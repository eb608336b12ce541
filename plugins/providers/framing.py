"""Framing: where the body of an answer over HTTP/1.1 ends.

Owns the three ways in which a body says it (RFC 9112, section 6.3): in chunks, by its
length, by the end of its connection. Bytes come in any pieces, and what is there is
handed on as one. Linear in what it is fed, holds no more than one line that is not
complete, and knows nothing of heads, which are read by h11. Free of I/O.
"""

import re
from collections.abc import Mapping

MAX_LINE = 100 * 1024
"""Bytes of a line between two pieces, and of all that come after the last one."""

_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;[^\r\n]*|[ \t]*)\r\n")
"""What a chunk begins with: its size, and extensions, which nobody knows."""
_FIELD = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+:[^\0\r\n\v\f]*")
_FOLDED = re.compile(rb"[ \t][^\0\r\n\v\f]*")
"""More of the field before it."""
_BLANK = re.compile(rb"\n\r?\n")


class Framing:
    """One body, whatever its pieces are."""

    def __init__(self) -> None:
        self.ended = False
        """Whether all of it was there."""
        self.problem: str | None = None
        """Why nothing more can be read of it; what came before is handed on."""
        self.beyond = False
        """Whether more came than belongs to it."""

    def read(self, data: bytes) -> bytes:
        """Return what these bytes hold of the body."""
        raise NotImplementedError

    def close(self) -> None:
        """Take in that the connection has ended."""
        raise NotImplementedError


class Sized(Framing):
    """A body of so many bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = self._left = size
        self.ended = not size

    def read(self, data: bytes) -> bytes:
        """Return what these bytes hold of the body."""
        self.beyond = self.beyond or len(data) > self._left
        piece = data[: self._left]
        self._left -= len(piece)
        self.ended = not self._left
        return piece

    def close(self) -> None:
        """Take in that the connection has ended: too soon."""
        came = self._size - self._left
        self.problem = f"it hung up after {came} of {self._size} bytes of its answer"


class UntilClosed(Framing):
    """A body that is whatever comes."""

    def read(self, data: bytes) -> bytes:
        """Return these bytes."""
        return data

    def close(self) -> None:
        """Take in that the connection has ended, and the body with it."""
        self.ended = True


class Chunked(Framing):
    """A body in chunks, each of which tells its size first."""

    def __init__(self) -> None:
        super().__init__()
        # Of the chunk that has begun; None: its size comes next.
        self._left: int | None = None
        # What must come after its bytes, and did not yet.
        self._footer = b""
        self._trailing = False
        self._held = bytearray()

    def read(self, data: bytes) -> bytes:
        """Return what these bytes hold of the body."""
        if self.ended:
            self.beyond = self.beyond or bool(data)
            return b""
        if self._held or self._trailing:
            held = self._held
            held += data
            if self._trailing:
                self._trail(held, len(held) - len(data))
                return b""
            if b"\n" not in data:
                self._hold(held)
                return b""
            data = bytes(held)
            held.clear()
        found: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if self._footer:
                came = data[at : at + len(self._footer)]
                if not self._footer.startswith(came):
                    self.problem = "malformed end of a chunk"
                    break
                self._footer = self._footer[len(came) :]
                at += len(came)
            elif self._left is not None:
                end = at + self._left
                found.append(data[at:end])
                if end > size:
                    self._left = end - size
                    break
                self._left, self._footer, at = None, b"\r\n", end
            elif (begun := _CHUNK.match(data, at)) is not None:
                at = begun.end()
                self._left = int(begun[1], 16) or None
                if self._left is None:
                    self._trailing = True
                    self._trail(bytearray(data[at:]), 0)
                    break
            elif data.find(b"\n", at) >= 0:
                self.problem = "malformed chunk header"
                break
            else:
                self._hold(bytearray(data[at:]))
                break
        return found[0] if len(found) == 1 else b"".join(found)

    def close(self) -> None:
        """Take in that the connection has ended: too soon."""
        self.problem = "it hung up in the middle of its answer"

    def _hold(self, line: bytearray) -> None:
        self._held = line
        if len(line) > MAX_LINE:
            self.problem = f"a line of over {MAX_LINE} bytes"

    def _trail(self, held: bytearray, seen: int) -> None:
        """Look for the end of what comes after the last chunk: nothing, or fields,
        which nobody asks for. ``seen`` were looked at before."""
        if held.startswith((b"\r\n", b"\n")):
            self.ended = True
            self.beyond = len(held) > held.index(b"\n") + 1
            return
        blank = _BLANK.search(held, max(0, seen - 2))
        if blank is None:
            self._hold(held)
            return
        for number, ended in enumerate(bytes(held[: blank.start()]).split(b"\n")):
            line = ended.removesuffix(b"\r")
            folded = number > 0 and _FOLDED.fullmatch(line)
            if not folded and not _FIELD.fullmatch(line):
                self.problem = "malformed field after the last chunk"
                return
        self.ended = True
        self.beyond = len(held) > blank.end()


def framing_of(status: int, headers: Mapping[bytes, bytes]) -> Framing:
    """Return how the body of an answer ends, whose head is sound: it has one length if
    any, and is in chunks or as it is."""
    if status in (204, 304):
        return Sized(0)
    if b"transfer-encoding" in headers:
        return Chunked()
    length = headers.get(b"content-length")
    return UntilClosed() if length is None else Sized(int(length))
