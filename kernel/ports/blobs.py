"""The large values of a store, by content, and which events need them."""

from typing import Protocol


class BlobReader(Protocol):
    """Reading large values."""

    def blob(self, digest: str) -> bytes | None:
        """Return a large value by the SHA-256 (hex) of its bytes."""
        ...


class BlobWriter(BlobReader, Protocol):
    """Keeping large values, for as long as an event needs them."""

    def put_blob(self, data: bytes) -> str:
        """Keep the bytes once and return their SHA-256 in hexadecimal."""
        ...

    def hold_blob(self, session_id: str, seq: int, digest: str) -> None:
        """Keep a large value for as long as an event has its data.

        A value that was held and is held no more is gone. Holding twice is holding
        once; the value need not be there.
        """
        ...
