"""The contract of ``Store.read``."""

from collections.abc import Callable, Sequence

import anyio
import attrs

from ....ports import EventRecord, Reader
from .cases import PATIENCE, StoreCase, appending, record


class ReadingContract(StoreCase):
    """A read sees everything that was confirmed before it, on one consistent view."""

    async def test_a_read_sees_everything_confirmed_before_it(self) -> None:
        async with self.open_store() as store:
            for seq in range(50):
                await store.transact(appending(record("a", seq)))
                head = await store.read(lambda reader: reader.head("a"))
                assert head is not None
                assert head.seq == seq

    async def test_a_large_read_returns_the_same_as_many_small_ones(self) -> None:
        data = b'{"text":"' + b"x" * 400 + b'"}'
        written = [record("a", seq, data) for seq in range(5000)]
        async with self.open_store() as store:
            await store.transact(appending(*written))
            with anyio.fail_after(PATIENCE):
                whole = await store.read(lambda reader: reader.events("a", limit=5000))
                pages: list[EventRecord] = []
                while len(pages) < 5000:
                    after = len(pages) - 1
                    pages += await store.read(_page(after))
        assert list(whole) == pages
        assert [attrs.evolve(one, position=-1) for one in pages] == written

    async def test_an_error_in_a_read_reaches_its_caller_unchanged(self) -> None:
        failure = LookupError("mine")

        def work(reader: Reader) -> None:
            reader.head("a")
            raise failure

        async with self.open_store() as store:
            caught: list[BaseException] = []
            try:
                await store.read(work)
            except LookupError as error:
                caught.append(error)
            assert caught[0] is failure
            assert await store.read(lambda reader: reader.head("a")) is None


def _page(after: int) -> Callable[[Reader], Sequence[EventRecord]]:
    return lambda reader: reader.events("a", after, 100)
