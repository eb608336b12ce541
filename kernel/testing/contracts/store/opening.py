"""The contract of opening, closing and watching a store."""

import anyio
from anyio.lowlevel import checkpoint

from ....ports import Store
from ....values.errors import StoreClosedError
from .cases import PATIENCE, StoreCase, appending, everything, furnish, raises, record


class OpeningContract(StoreCase):
    """What was confirmed is there when the store is opened again, names are separate,
    and other processes are noticed."""

    async def test_what_was_confirmed_is_there_when_it_is_opened_again(self) -> None:
        async with self.open_store() as store:
            await store.transact(furnish)
            before = await store.read(everything)
        async with self.open_store() as store:
            assert await store.read(everything) == before
            await store.transact(appending(record("a", 2)))
            positions = [
                one.position
                for one in await store.read(lambda reader: reader.all_events())
            ]
            assert positions == sorted(set(positions))

    async def test_names_are_separate_stores(self) -> None:
        async with self.open_store("one") as one, self.open_store("two") as two:
            await one.transact(appending(record("a", 0)))
            assert await two.read(lambda reader: reader.head("a")) is None
            assert one.name != two.name

    async def test_closing_finishes_what_was_handed_over_and_can_be_repeated(
        self,
    ) -> None:
        kept: list[int] = []

        async def call(store: Store, number: int) -> None:
            try:
                await store.transact(appending(record(f"s{number}", 0)))
            except StoreClosedError:
                return
            kept.append(number)

        with anyio.fail_after(PATIENCE):
            async with self.open_store() as store:
                async with anyio.create_task_group() as group:
                    for number in range(30):
                        group.start_soon(call, store, number)
                    await checkpoint()
                    group.start_soon(store.aclose)
                    group.start_soon(store.aclose)
                await store.aclose()
                with raises(StoreClosedError):
                    await store.transact(appending(record("late", 0)))
                with raises(StoreClosedError):
                    await store.read(lambda reader: reader.head("a"))
            async with self.open_store() as store:
                found = await store.read(lambda reader: reader.all_events())
        assert {one.session_id for one in found} == {f"s{n}" for n in kept}

    async def test_a_watcher_is_told_when_another_process_committed(self) -> None:
        told = anyio.Event()
        async with self.open_store() as one, self.open_store() as two:
            end = one.watch(told.set)
            await two.transact(appending(record("a", 0)))
            with anyio.fail_after(PATIENCE):
                await told.wait()
            head = await one.read(lambda reader: reader.head("a"))
            assert head is not None
            end()
            end()

    async def test_a_watcher_is_not_told_of_its_own_store_nor_after_its_end(
        self,
    ) -> None:
        ended: list[str] = []
        own: list[str] = []
        told = anyio.Event()
        async with self.open_store() as one, self.open_store() as two:
            one.watch(lambda: ended.append("x"))()
            two.watch(lambda: own.append("x"))
            one.watch(told.set)
            await two.transact(appending(record("a", 0)))
            with anyio.fail_after(PATIENCE):
                await told.wait()
        assert ended == []
        assert own == []
