"""The contract of ``ports.operational``."""

import anyio
import attrs

from ....ports import AdmissionRow, LeaseRow, Store, Transaction
from ....values.errors import ConflictError
from .cases import PATIENCE, StoreCase, approval_row, raises


class RowContract(StoreCase):
    """Admissions are made once, fences only grow, and approvals keep their order."""

    async def test_an_admission_is_made_once_and_never_changed(self) -> None:
        first = AdmissionRow("a", "key", "d1", "steer", b"receipt")

        def again(transaction: Transaction) -> None:
            transaction.put_admission(attrs.evolve(first, digest="d2"))

        async with self.open_store() as store:
            await store.transact(lambda tx: tx.put_admission(first))
            with raises(ConflictError):
                await store.transact(again)
            found = await store.read(lambda reader: reader.admission("a", "key"))
            assert found == first

    async def test_of_a_hundred_admissions_under_one_key_one_is_made(self) -> None:
        receipts: list[bytes] = []

        async def admit(store: Store, number: int) -> None:
            def work(transaction: Transaction) -> bytes:
                held = transaction.admission("a", "key")
                if held is None:
                    receipt = str(number).encode()
                    held = AdmissionRow("a", "key", "d", "steer", receipt)
                    transaction.put_admission(held)
                return held.receipt

            receipts.append(await store.transact(work))

        async with self.open_store() as store:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    for number in range(100):
                        group.start_soon(admit, store, number)
        assert len(receipts) == 100
        assert len(set(receipts)) == 1

    async def test_approvals_are_listed_in_the_order_they_were_saved(self) -> None:
        def work(transaction: Transaction) -> None:
            for number in (2, 1, 3):
                transaction.put_approval(approval_row(number))
            transaction.put_approval(approval_row(4, directory="/other"))
            transaction.put_approval(approval_row(2, pattern="b", expires=7))

        def delete(transaction: Transaction) -> tuple[bool, bool]:
            return (
                transaction.delete_approval("apr_1"),
                transaction.delete_approval("apr_1"),
            )

        async with self.open_store() as store:
            await store.transact(work)
            changed = approval_row(2, pattern="b", expires=7)
            found = await store.read(lambda reader: reader.approvals("/work"))
            assert list(found) == [changed, approval_row(1), approval_row(3)]
            assert await store.transact(delete) == (True, False)
            found = await store.read(lambda reader: reader.approvals("/work"))
            assert list(found) == [changed, approval_row(3)]

    async def test_a_change_of_approvals_is_seen_without_reading_them(self) -> None:
        def save(transaction: Transaction) -> None:
            transaction.put_approval(approval_row(1))

        def again(transaction: Transaction) -> None:
            transaction.put_approval(approval_row(1, pattern="b"))

        def elsewhere(transaction: Transaction) -> None:
            transaction.put_approval(approval_row(2, directory="/other"))
            transaction.delete_approval("apr_9")

        def delete(transaction: Transaction) -> None:
            transaction.delete_approval("apr_1")

        async with self.open_store() as store:

            async def changes() -> int | None:
                return await store.read(lambda reader: reader.approval_changes("/work"))

            seen = [await changes()]
            for work in (save, again, delete):
                await store.transact(work)
                seen.append(await changes())
            await store.transact(elsewhere)
            assert len(set(seen)) == 4
            assert await changes() == seen[-1]

    async def test_a_fence_only_grows(self) -> None:
        async with self.open_store() as store:
            await store.transact(lambda tx: tx.put_lease(LeaseRow("a", "w1", 3, 9)))
            await store.transact(lambda tx: tx.put_lease(LeaseRow("a", None, 3, 1)))
            with raises(ValueError):
                await store.transact(lambda tx: tx.put_lease(LeaseRow("a", "w0", 2)))
            found = await store.read(lambda reader: reader.lease("a"))
            assert found == LeaseRow("a", None, 3, 1)
