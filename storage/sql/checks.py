"""Checksums: whether a row that was read is the row that was written.

Owns what is summed and how. A file may be changed by a failing disk, a broken copy or
another program, and SQLite, which does not check, hands out what it finds, of whatever
type. CRC-32 finds every change of up to four bytes in a row; it is no protection from
somebody who means it, which the hash chain of a log is.

A row is summed with the id of its session in the place of the number that stands for it
there, so that a row which came to another session is unsound as well.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import orjson

Row = tuple[Any, ...]

# On the path of every row: a set compares types in half the time.
_has_no_float = frozenset({float}).isdisjoint


def checksum(values: Row) -> int:
    """Return the sum over a row's values.

    Over their JSON, which tells the types apart that a row is written with, and is the
    same in every release; bytes are in it as hexadecimal digits. A row has no others:
    where a damaged one does, it is over what Python writes for them in ASCII.
    """
    try:
        # Not a number either, and an infinity, are null in JSON.
        whole = _has_no_float(map(type, values))
        text = orjson.dumps(values, _digits) if whole else None
    except TypeError:
        # Half of a surrogate pair, or an integer of more than 64 bits.
        text = None
    return zlib.crc32(ascii(values).encode() if text is None else text)


def _digits(value: object) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    raise TypeError


def summed(owner: str, *values: Any) -> Row:
    """Return a row's values with their checksum behind them."""
    return (*values, checksum((owner, *values)))


def is_sound(owner: str, row: Row) -> bool:
    """Return whether a row ends with the checksum of what is before it."""
    return bool(row[-1] == checksum((owner, *row[:-1])))


def event_checksum(
    session_id: str, seq: int, kind: str, version: int, created: int, data: bytes
) -> int:
    """Return the sum over what an event says.

    Its hash and digest are not in it: they are what the hash chain is made of.

    Raises:
        TypeError: the data is no bytes, which only a damaged row has.
    """
    place = f"{session_id} {seq} {kind} {version} {created}"
    return zlib.crc32(data, zlib.crc32(place.encode(errors="surrogatepass")))


def one_byte_off(value: object) -> Iterator[Any]:
    """Yield what a value may have been of which one byte was changed."""
    if isinstance(value, int):
        for shift in range(0, 64, 8):
            for byte in range(1, 256):
                yield value ^ (byte << shift)
    elif isinstance(value, str):
        for at in range(len(value)):
            for other in range(128):
                yield value[:at] + chr(other) + value[at + 1 :]
