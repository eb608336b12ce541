"""The large values of a store, by content, and which events need them.

Some of them are the complete outputs of calls, which a session may read: of these is
also known since when they are kept, and when they were cleaned up.
"""

from collections.abc import Sequence
from typing import Protocol

from .rows import OutputRow


class BlobReader(Protocol):
    """Reading large values."""

    def blob(self, digest: str) -> bytes | None:
        """Return a large value by the SHA-256 (hex) of its bytes."""
        ...

    def output(self, session_id: str, digest: str) -> OutputRow | None:
        """Return a complete output that an event of the session holds; of several, one
        that was not cleaned up."""
        ...

    def outputs(self, limit: int) -> Sequence[OutputRow]:
        """Return the outputs that were not cleaned up, the oldest first. Those whose
        text is not here, because their log came without it, are left out."""
        ...

    def outputs_size(self) -> int:
        """Return how many bytes these take, each text counted once."""
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

    def keep_output(
        self,
        session_id: str,
        seq: int,
        digest: str,
        kept: int,
        *,
        imported: bool = False,
    ) -> None:
        """Hold a large value as a complete output, since a time in milliseconds.

        Again changes nothing, also where it was cleaned up, unless it is ``imported``:
        its text came with the log from another store, and is there from now on.
        """
        ...

    def clean_output(self, session_id: str, seq: int, digest: str, now: int) -> int:
        """Let go of an output for good, remember when, and return how many bytes went:
        none while somebody else holds the same text."""
        ...
