"""The contract of transactions: see the guarantees in ``ports.store``."""

import threading

import anyio
import attrs
from anyio.lowlevel import checkpoint

from ....ports import LeaseRow, Reader, Store, Transaction
from ....values.errors import EventGapError, InvalidValueError, StoreClosedError
from .cases import (
    PATIENCE,
    StoreCase,
    appending,
    everything,
    furnish,
    message_row,
    raises,
    record,
    seqs,
    session_row,
)


class TransactionContract(StoreCase):
    """A transaction is whole or nothing, alone, and known to its caller, also when it
    is cancelled."""

    async def test_a_transaction_sees_its_own_writes(self) -> None:
        def work(transaction: Transaction) -> list[object]:
            transaction.append([record("a", 0)])
            transaction.put_session(session_row("a", title="x"))
            transaction.append([record("a", 1)])
            found = transaction.session("a")
            return [seqs(transaction.events("a")), found.title if found else None]

        async with self.open_store() as store:
            assert await store.transact(work) == [[0, 1], "x"]

    async def test_a_function_that_raises_leaves_nothing_behind(self) -> None:
        failure = LookupError("mine")

        def work(transaction: Transaction) -> None:
            transaction.append([record("a", 2)])
            transaction.append([record("new", 0)])
            transaction.put_session(session_row("a", title="changed"))
            transaction.put_message(message_row("a", 1, id="other"))
            transaction.clear_projections("a")
            transaction.delete_approval("apr_1")
            transaction.put_lease(LeaseRow("a", "w", 9, 9))
            transaction.put_blob(b"large")
            transaction.set_owner("a", "thief")
            raise failure

        async with self.open_store() as store:
            await store.transact(furnish)
            before = await store.read(everything)
            caught: list[BaseException] = []
            try:
                await store.transact(work)
            except LookupError as error:
                caught.append(error)
            assert caught[0] is failure
            assert await store.read(everything) == before
            # Nor is anything of it in the way of what comes next.
            await store.transact(appending(record("a", 2), record("a", 3)))

    async def test_a_failing_function_never_takes_a_neighbour_with_it(self) -> None:
        outcomes: dict[int, str] = {}

        async def call(store: Store, number: int) -> None:
            def work(transaction: Transaction) -> None:
                transaction.append([record(f"s{number}", 0)])
                if number % 3 == 0:
                    raise LookupError(number)

            try:
                await store.transact(work)
                outcomes[number] = "kept"
            except LookupError as error:
                outcomes[number] = "gone" if error.args == (number,) else "wrong"

        async with self.open_store() as store:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    for number in range(60):
                        group.start_soon(call, store, number)
            kept = await store.read(lambda reader: reader.all_events())
        expected = {n: "gone" if n % 3 == 0 else "kept" for n in range(60)}
        assert outcomes == expected
        assert {one.session_id for one in kept} == {f"s{n}" for n in range(60) if n % 3}

    async def test_a_thread_transacts_while_the_event_loop_is_held_up(self) -> None:
        lease, told = LeaseRow("a", "w", 1), list[object]()

        def work(transaction: Transaction) -> str:
            transaction.put_lease(lease)
            return "written"

        def broken(transaction: Transaction) -> None:
            transaction.put_lease(attrs.evolve(lease, fence=2))
            raise LookupError("mine")

        def act() -> None:
            try:
                told.append(store.transact_in_thread(work))
                store.transact_in_thread(broken)
            except BaseException as error:
                told.append(error)

        async with self.open_store() as store:
            thread = threading.Thread(target=act, daemon=True)
            thread.start()
            # Here, in the thread of the event loop, where nothing else runs meanwhile.
            thread.join(PATIENCE)
            assert not thread.is_alive()
            assert await store.read(lambda reader: reader.lease("a")) == lease
        assert told[0] == "written"
        assert isinstance(told[1], LookupError)

    async def test_a_closed_store_refuses_a_thread_too(self) -> None:
        async with self.open_store() as store:
            await store.aclose()
            with raises(StoreClosedError):
                store.transact_in_thread(lambda transaction: None)

    async def test_transactions_run_alone_and_one_after_another(self) -> None:
        order: list[int] = []

        async def grow(store: Store, number: int) -> None:
            def work(transaction: Transaction) -> int:
                found = transaction.lease("a")
                fence = found.fence + 1 if found else 1
                transaction.put_lease(LeaseRow("a", str(number), fence, 0))
                return fence

            order.append(await store.transact(work))

        async with self.open_store() as store:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    for number in range(100):
                        group.start_soon(grow, store, number)
        assert sorted(order) == list(range(1, 101))

    async def test_transactions_run_in_the_order_of_the_calls(self) -> None:
        """The order in which ``transact`` was called, whichever task runs first then:
        who calls second may rely on what the first will have written."""
        called: list[int] = []
        ran: list[int] = []

        async def call(store: Store, number: int) -> None:
            for _ in range(20):
                called.append(number)
                await store.transact(lambda transaction: ran.append(number))

        async with self.open_store() as store:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    for number in range(5):
                        group.start_soon(call, store, number)
        assert ran == called

    async def test_on_commit_runs_in_the_loop_in_commit_order_before_the_caller_goes_on(
        self,
    ) -> None:
        here = threading.get_ident()
        told: list[tuple[int, int]] = []
        late: list[int] = []

        async def call(store: Store, number: int) -> None:
            def work(transaction: Transaction) -> int:
                head = transaction.head("a")
                seq = head.seq + 1 if head else 0
                transaction.append([record("a", seq)])
                return seq

            def on_commit(seq: int) -> None:
                told.append((seq, threading.get_ident()))

            seq = await store.transact(work, on_commit)
            if (seq, here) not in told:
                late.append(number)

        async with self.open_store() as store:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    for number in range(80):
                        group.start_soon(call, store, number)
        assert told == [(seq, here) for seq in range(80)]
        assert late == []

    async def test_a_failed_transaction_notifies_nobody(self) -> None:
        told: list[None] = []
        async with self.open_store() as store:
            with raises(EventGapError):
                await store.transact(appending(record("a", 5)), told.append)
        assert told == []

    async def test_on_commit_that_raises_is_told_to_its_own_caller_only(self) -> None:
        outcomes: dict[int, str] = {}

        async def call(store: Store, number: int) -> None:
            def on_commit(_: None) -> None:
                if number == 3:
                    raise LookupError(number)

            work = appending(record(f"s{number}", 0))
            try:
                await store.transact(work, on_commit)
                outcomes[number] = "fine"
            except LookupError:
                outcomes[number] = "told"

        async with self.open_store() as store:
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    for number in range(8):
                        group.start_soon(call, store, number)
            kept = await store.read(lambda reader: reader.all_events())
            await store.transact(appending(record("after", 0)))
        assert outcomes == {n: "told" if n == 3 else "fine" for n in range(8)}
        assert len(kept) == 8

    async def test_a_cancelled_caller_learns_what_became_of_its_transaction(
        self,
    ) -> None:
        returned: set[str] = set()
        told: set[str] = set()

        async def call(store: Store, name: str) -> None:
            def work(transaction: Transaction) -> str:
                transaction.append([record(name, 0)])
                return name

            returned.add(await store.transact(work, told.add))
            await anyio.sleep_forever()

        async with self.open_store() as store:
            for waits in range(12):
                async with anyio.create_task_group() as group:
                    for number in range(5):
                        group.start_soon(call, store, f"s{waits}_{number}")
                    for _ in range(waits):
                        await checkpoint()
                    group.cancel_scope.cancel()
            kept = await store.read(lambda reader: reader.all_events(limit=1000))
        assert {one.session_id for one in kept} == returned == told

    async def test_a_caller_that_is_cancelled_already_hands_nothing_over(self) -> None:
        async with self.open_store() as store:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await store.transact(appending(record("a", 0)))
            assert scope.cancelled_caught
            assert await store.read(lambda reader: reader.head("a")) is None

    async def test_a_transaction_that_was_kept_can_do_nothing_later(self) -> None:
        kept: list[Transaction] = []
        async with self.open_store() as store:
            await store.transact(kept.append)
            with raises(StoreClosedError):
                kept[0].append([record("a", 0)])
            readers: list[Reader] = []
            await store.read(readers.append)
            with raises(StoreClosedError):
                readers[0].head("a")
            assert await store.read(lambda reader: reader.head("a")) is None

    async def test_what_no_store_can_hold_is_refused_and_ends_the_transaction(
        self,
    ) -> None:
        def caught(transaction: Transaction) -> None:
            transaction.append([record("a", 0)])
            with raises(InvalidValueError):
                transaction.put_session(session_row("a", title="\ud800"))

        def too_large(transaction: Transaction) -> None:
            transaction.put_session(session_row("a", created=2**63))

        async with self.open_store() as store:
            for work in (
                caught,
                too_large,
                appending(record("\udfff", 0)),
                appending(record("a", 0), attrs.evolve(record("a", 1), kind="\ud800")),
            ):
                with raises(InvalidValueError):
                    await store.transact(work)
            assert await store.read(lambda reader: reader.head("\udfff")) is None
            found = await store.read(lambda reader: reader.sessions(search="\ud800"))
            assert not found
            assert await store.read(everything) == ((), (), (), ())
