"""The contract of ``ports.blobs``, and of what retention lets go of."""

from collections.abc import Callable

import attrs

from ....ports import Reader, Transaction
from .cases import StoreCase, raises, record


class BlobContract(StoreCase):
    """Large values are kept once under their digest, for as long as an event needs
    them."""

    async def test_large_values_are_kept_once_under_their_digest(self) -> None:
        value = bytes(range(256)) * 4096

        def work(transaction: Transaction) -> list[str]:
            return [transaction.put_blob(one) for one in (value, b"", value)]

        async with self.open_store() as store:
            first, empty, again = await store.transact(work)
            assert first == again != empty
            for digest, expected in (
                (first, value),
                (empty, b""),
                (first.upper(), None),
                ("no digest", None),
                ("\ud800", None),
            ):
                assert await store.read(_blob(digest)) == expected

    async def test_a_large_value_goes_with_the_last_event_that_held_it(self) -> None:
        def work(transaction: Transaction) -> list[str]:
            transaction.append([record("a", 0), record("a", 1)])
            transaction.append([record("b", 0)])
            names = [transaction.put_blob(one) for one in (b"both", b"mine", b"free")]
            for _ in range(2):
                transaction.hold_blob("a", 0, names[0])
            transaction.hold_blob("b", 0, names[0])
            transaction.hold_blob("a", 1, names[1])
            transaction.hold_blob("a", 1, "00" * 32)
            transaction.hold_blob("a", 1, "no digest")
            return names

        def removing(*places: tuple[str, int]) -> Callable[[Transaction], int]:
            rests = [
                attrs.evolve(record(one, seq, b""), digest=b"d" * 64)
                for one, seq in places
            ]
            return lambda tx: tx.remove_data(rests)

        size = len(record("a", 0).data)
        async with self.open_store() as store:
            names = await store.transact(work)

            async def left() -> list[bytes | None]:
                return [await store.read(_blob(name)) for name in names]

            assert await store.transact(removing(("a", 0))) == size
            assert await left() == [b"both", b"mine", b"free"]
            assert await store.transact(removing(("a", 1))) == size + len(b"mine")
            assert await left() == [b"both", None, b"free"]
            assert await store.transact(removing(("b", 0))) == size + len(b"both")
            assert await left() == [None, None, b"free"]
            assert await store.transact(removing(("b", 0), ("b", 9), ("c", 0))) == 0

    async def test_a_large_value_goes_with_the_removed_session_that_held_it(
        self,
    ) -> None:
        def work(transaction: Transaction) -> list[str]:
            transaction.append([record("a", n) for n in range(3)])
            transaction.append([record("b", 0)])
            names = [transaction.put_blob(one) for one in (b"both", b"mine")]
            transaction.hold_blob("a", 0, names[0])
            transaction.hold_blob("b", 0, names[0])
            transaction.hold_blob("a", 1, names[1])
            return names

        def removing(transaction: Transaction) -> None:
            transaction.append([record("a", 3, b"removed")])
            transaction.set_removed("a")

        async with self.open_store() as store:
            names = await store.transact(work)
            await store.transact(removing)
            while await store.transact(lambda tx: tx.erase("a", 2)):
                pass
            left = [await store.read(_blob(name)) for name in names]
            assert left == [b"both", None]

    async def test_an_output_is_kept_until_it_is_cleaned_up_and_remembered(
        self,
    ) -> None:
        async with self.open_store() as store:

            def work(transaction: Transaction) -> list[str]:
                transaction.append([record("a", 0), record("a", 1)])
                transaction.append([record("b", 0)])
                names = [transaction.put_blob(one) for one in (b"both", b"mine")]
                transaction.keep_output("b", 0, names[0], 7)
                transaction.keep_output("a", 0, names[0], 5)
                transaction.keep_output("a", 1, names[1], 3)
                transaction.keep_output("a", 0, names[0], 99)
                # Its text did not come with its log.
                transaction.keep_output("a", 1, "00" * 32, 1)
                transaction.keep_output("a", 1, "no digest", 1)
                return names

            both, mine = await store.transact(work)
            rows = await store.read(lambda reader: reader.outputs(9))
            found = [(one.session_id, one.seq, one.digest, one.kept) for one in rows]
            assert found == [("a", 1, mine, 3), ("a", 0, both, 5), ("b", 0, both, 7)]
            assert [one.size for one in rows] == [4, 4, 4]
            assert await store.read(lambda reader: reader.outputs(1)) == rows[:1]
            assert await store.read(lambda reader: reader.outputs_size()) == 8
            assert await store.read(lambda reader: reader.output("b", mine)) is None
            assert await store.read(lambda reader: reader.output("b", "x")) is None

            def clean(session_id: str, seq: int, digest: str) -> Callable[..., int]:
                return lambda tx: tx.clean_output(session_id, seq, digest, 11)

            assert await store.transact(clean("a", 0, both)) == 0
            assert await store.read(_blob(both)) == b"both"
            assert await store.transact(clean("a", 0, both)) == 0
            assert await store.transact(clean("a", 1, mine)) == 4
            assert await store.transact(clean("c", 1, mine)) == 0
            assert await store.read(_blob(mine)) is None
            gone = await store.read(lambda reader: reader.output("a", both))
            assert gone is not None
            assert (gone.cleaned, gone.kept, gone.imported) == (11, 5, False)
            assert await store.read(lambda reader: reader.outputs(9)) == rows[2:]
            assert await store.read(lambda reader: reader.outputs_size()) == 4

            def again(transaction: Transaction) -> None:
                transaction.put_blob(b"mine")
                transaction.keep_output("a", 0, both, 12)
                transaction.keep_output("a", 1, mine, 13, imported=True)

            await store.transact(again)
            back = await store.read(lambda reader: reader.output("a", mine))
            assert back is not None
            assert (back.cleaned, back.kept, back.imported, back.size) == (
                *(None, 13, True),
                4,
            )
            still = await store.read(lambda reader: reader.output("a", both))
            assert still == gone

    async def test_a_rolled_back_removal_lets_go_of_nothing(self) -> None:
        def removing(transaction: Transaction) -> None:
            rest = attrs.evolve(record("a", 0, b""), digest=b"d" * 64)
            assert transaction.remove_data([rest]) > 0
            raise LookupError("mine")

        def hold(transaction: Transaction) -> str:
            transaction.append([record("a", 0)])
            name = transaction.put_blob(b"kept")
            transaction.hold_blob("a", 0, name)
            return name

        async with self.open_store() as store:
            name = await store.transact(hold)
            with raises(LookupError):
                await store.transact(removing)
            assert await store.read(_blob(name)) == b"kept"


def _blob(digest: str) -> Callable[[Reader], bytes | None]:
    return lambda reader: reader.blob(digest)
