"""The contract of the ``Store`` port, as a class of tests for any store.

Owns one test per promise of ``ports``. Knows nothing of any particular store. For the
author of one::

    pytest.register_assert_rewrite("dovetail.kernel.testing.contracts.store")
    from dovetail.kernel.testing.contracts.store import StoreContract

    class TestMyStore(StoreContract):
        def open_store(self, name="main"):
            return open_my_store(f"my://{self.folder}/{name}")

Each part of the contract is a class of its own, for those that are kept apart
(``conformance.stores``). A part of a released version never gets new tests: new
promises are a new part.

The tests are plain ``async def`` functions: run them with anyio's pytest plugin
(``anyio_mode = "auto"``), on asyncio and on trio.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import anyio
import attrs
from anyio.lowlevel import checkpoint

from ...ports import (
    AdmissionRow,
    ApprovalRow,
    EpochRow,
    EventRecord,
    Head,
    InputRow,
    LeaseRow,
    MessageRow,
    Reader,
    RequestRow,
    SessionRow,
    Store,
    Transaction,
)
from ...values.errors import (
    ConflictError,
    EventAggregateError,
    EventGapError,
    InvalidValueError,
    StoreClosedError,
)
from ...values.events import NO_HASH

PATIENCE = 60.0
"""Seconds after which a test that hangs is given up."""


def record(session_id: str, seq: int, data: bytes = b"{}") -> EventRecord:
    """Return some event."""
    made = bytes([seq % 256]) * 32
    return EventRecord(session_id, seq, "text.ended", 1, 1_700_000_000_000, data, made)


def session_row(session_id: str, **changes: Any) -> SessionRow:
    """Return some session."""
    row = SessionRow(
        id=session_id,
        directory="/work",
        workspace=None,
        title=None,
        agent=None,
        model=None,
        parent=None,
        forked_from=None,
        forked_seq=None,
        created=1,
        updated=2,
    )
    return attrs.evolve(row, **changes)


def input_row(session_id: str, number: int, **changes: Any) -> InputRow:
    """Return some pending input, admitted at ``number``."""
    row = InputRow(
        session_id, f"in_{number}", number, "steer", "pending", None, 5, None
    )
    return attrs.evolve(row, **changes)


def message_row(session_id: str, seq: int, **changes: Any) -> MessageRow:
    """Return some settled message, visible since ``seq``."""
    row = MessageRow(session_id, seq, f"msg_{seq}", "assistant", seq, seq)
    return attrs.evolve(row, **changes)


def approval_row(number: int, **changes: Any) -> ApprovalRow:
    """Return some saved approval."""
    row = ApprovalRow(
        f"apr_{number}", "/work", None, "build", "edit", "exact", "a", "me", 3, None
    )
    return attrs.evolve(row, **changes)


@contextmanager
def raises(kind: type[BaseException]) -> Iterator[None]:
    """Fail unless the body raises this kind of error."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def appending(*records: EventRecord) -> Callable[[Transaction], None]:
    """Return a transaction that appends these records."""
    return lambda transaction: transaction.append(records)


def seqs(records: Sequence[EventRecord]) -> list[int]:
    """Return their sequence numbers."""
    return [one.seq for one in records]


class StoreCase:
    """What every part of the contract needs: a store."""

    def open_store(self, name: str = "main") -> AbstractAsyncContextManager[Store]:
        """Return the store of this name.

        Within one test, a name opened again has its contents again, also while it is
        open already (then as another process would see it). Each test starts afresh.
        """
        raise NotImplementedError


class LogContract(StoreCase):
    """Events are kept whole, in order, without a gap, and change only where retention
    and repair may change them."""

    async def test_an_unknown_session_has_no_head_and_no_rows(self) -> None:
        def look(reader: Reader) -> list[object]:
            return [
                reader.head("nobody"),
                reader.session("nobody"),
                reader.input("nobody", "x"),
                reader.admission("nobody", "x"),
                reader.message("nobody", "x"),
                reader.request("nobody", "req"),
                reader.epoch("nobody"),
                reader.lease("nobody"),
                reader.blob("00" * 32),
                *reader.events("nobody"),
                *reader.all_events(),
                *reader.sessions(),
                *reader.sessions_with_work(),
                *reader.pending_inputs("nobody"),
                *reader.messages("nobody"),
                *reader.open_messages("nobody"),
                *reader.pending_requests(),
                *reader.approvals("nowhere"),
            ]

        async with self.open_store() as store:
            assert set(await store.read(look)) == {None}

    async def test_appended_events_are_read_back_whole_and_in_order(self) -> None:
        removed = attrs.evolve(record("a", 2, b""), digest=b"d" * 32)
        written = [record("a", 0, b'{"text":"\\u0000"}'), record("a", 1), removed]
        async with self.open_store() as store:
            await store.transact(appending(*written[:1]))
            await store.transact(appending(*written[1:]))
            found = await store.read(lambda reader: reader.events("a"))
            assert [attrs.evolve(one, position=-1) for one in found] == written
            facts = await store.read(lambda reader: reader.facts("a", 0, 1, 2))
            one = written[1]
            expected = (one.seq, one.kind, one.version, one.created, one.data, None)
            assert [tuple(fact) for fact in facts] == [expected]
            head = await store.read(lambda reader: reader.head("a"))
            assert head == Head(2, removed.hash)

    async def test_events_are_read_by_range_and_limit(self) -> None:
        async with self.open_store() as store:
            await store.transact(appending(*[record("a", n) for n in range(10)]))

            def ranges(reader: Reader) -> list[list[int]]:
                return [
                    seqs(reader.events("a", after=6)),
                    seqs(reader.events("a", after=2, upto=4)),
                    seqs(reader.events("a", limit=2)),
                    seqs(reader.events("a", after=-(10**30), upto=10**30, limit=1)),
                    seqs(reader.events("a", after=10**30)),
                    seqs(reader.events("a", limit=-1)),
                    seqs(reader.events("a", upto=-1)),
                ]

            def facts(reader: Reader) -> list[list[int]]:
                asked = [(6,), (2, 512, 4), (-1, 2), (10**30,), (-1, -1), (-1, 512, -1)]
                return [
                    [fact[0] for fact in reader.facts("a", *each)] for each in asked
                ]

            assert await store.read(facts) == [[7, 8, 9], [3, 4], [0, 1], [], [], []]

            assert await store.read(ranges) == [
                [7, 8, 9],
                [3, 4],
                [0, 1],
                [0],
                [],
                [],
                [],
            ]

    async def test_all_events_are_in_commit_order_with_growing_positions(self) -> None:
        async with self.open_store() as store:
            for one in ("a", "b", "c"):
                await store.transact(appending(record(one, 0)))
            await store.transact(appending(record("a", 1)))
            found = await store.read(lambda reader: reader.all_events())
            order = [(one.session_id, one.seq) for one in found]
            assert order == [("a", 0), ("b", 0), ("c", 0), ("a", 1)]
            places = [one.position for one in found]
            assert places == sorted(set(places))

            def page(reader: Reader) -> list[EventRecord]:
                return list(reader.all_events(after=places[0], limit=2))

            assert await store.read(page) == list(found[1:3])

    async def test_an_append_that_does_not_follow_the_head_is_refused(self) -> None:
        async with self.open_store() as store:
            await store.transact(appending(record("a", 0), record("a", 1)))
            before = await store.read(lambda reader: reader.all_events())
            for wrong in (
                [record("a", 3)],
                [record("a", 1)],
                [record("a", 0)],
                [record("a", 2), record("a", 4)],
                [record("a", 2), record("a", 2)],
                [record("b", 1)],
            ):
                with raises(EventGapError):
                    await store.transact(appending(*wrong))
            with raises(EventAggregateError):
                await store.transact(appending(record("a", 2), record("b", 3)))
            await store.transact(appending())
            assert await store.read(lambda reader: reader.all_events()) == before
            assert await store.read(lambda reader: reader.head("b")) is None

    async def test_the_owner_of_a_log_is_kept_until_released(self) -> None:
        async with self.open_store() as store:
            await store.transact(lambda tx: tx.set_owner("a", None))
            assert await store.read(lambda reader: reader.head("a")) is None
            await store.transact(lambda tx: tx.set_owner("a", "importer"))
            claimed = await store.read(lambda reader: reader.head("a"))
            assert claimed == Head(-1, NO_HASH, "importer")
            await store.transact(appending(record("a", 0)))
            held = await store.read(lambda reader: reader.head("a"))
            assert held == Head(0, record("a", 0).hash, "importer")
            await store.transact(lambda tx: tx.set_owner("a", None))
            freed = await store.read(lambda reader: reader.head("a"))
            assert freed == Head(0, record("a", 0).hash)

    async def test_logs_are_listed_in_creation_order_without_their_projections(
        self,
    ) -> None:
        async with self.open_store() as store:
            for name in ("b", "a", "c"):
                await store.transact(appending(record(name, 0)))
            await store.transact(lambda tx: tx.put_session(session_row("a")))
            found = await store.read(lambda reader: reader.logs())
            assert [name for _, name in found] == ["b", "a", "c"]
            places = [place for place, _ in found]
            assert places == sorted(set(places))
            row = await store.read(lambda reader: reader.session("a"))
            assert row is not None
            assert row.position == places[1]

            def page(reader: Reader) -> list[str]:
                return [name for _, name in reader.logs(after=places[0], limit=1)]

            assert await store.read(page) == ["a"]

    async def test_removing_data_changes_data_and_digest_and_nothing_else(self) -> None:
        async with self.open_store() as store:
            await store.transact(
                appending(*[record("a", n, b"large") for n in range(4)])
            )
            await store.transact(appending(record("b", 0, b"large")))
            before = await store.read(lambda reader: reader.all_events())
            rests = [
                attrs.evolve(record("a", n, b"{}"), kind="other", digest=b"d" * 64)
                for n in (1, 3)
            ]
            await store.transact(lambda tx: tx.remove_data(rests))
            found = await store.read(lambda reader: reader.all_events())
            assert found == [
                attrs.evolve(one, data=b"{}", digest=b"d" * 64)
                if (one.session_id, one.seq) in (("a", 1), ("a", 3))
                else one
                for one in before
            ]

    async def test_what_is_set_aside_is_kept_and_its_numbers_are_filled(self) -> None:
        async with self.open_store() as store:
            await store.transact(appending(*[record("a", n) for n in range(5)]))
            await store.transact(appending(record("b", 0)))
            await store.transact(lambda tx: tx.set_owner("a", "importer"))
            before = await store.read(lambda reader: reader.all_events())
            instead = [record("a", n, b"instead") for n in range(2, 7)]
            await store.transact(lambda tx: tx.set_aside(instead))

            found = await store.read(lambda reader: reader.events("a"))
            assert seqs(found) == list(range(7))
            assert found[:2] == before[:2]
            assert {one.data for one in found[2:]} == {b"instead"}
            # They are new in the commit order, so that who follows it learns of them.
            everything = await store.read(lambda reader: reader.all_events())
            assert everything == [*before[:2], before[5], *found[2:]]
            assert found[2].position > before[5].position
            head = await store.read(lambda reader: reader.head("a"))
            assert head == Head(6, instead[-1].hash, "importer")
            aside = await store.read(lambda reader: reader.events_set_aside("a"))
            assert list(aside) == before[2:5]
            await store.transact(appending(record("a", 7)))

            await store.transact(lambda tx: tx.set_aside([record("a", 7)]))
            aside = await store.read(lambda reader: reader.events_set_aside("a"))
            assert seqs(aside) == [2, 3, 4, 7]
            assert await store.read(lambda reader: reader.events_set_aside("b")) == []

    async def test_setting_aside_leaves_no_gap_and_nothing_half_done(self) -> None:
        failure = LookupError("mine")

        def failing(transaction: Transaction) -> None:
            transaction.set_aside([record("a", 1, b"instead"), record("a", 2)])
            transaction.remove_data([attrs.evolve(record("a", 0, b""), digest=b"d")])
            raise failure

        async with self.open_store() as store:
            await store.transact(appending(record("a", 0), record("a", 1)))
            before = await store.read(lambda reader: reader.all_events())
            for wrong in (
                [record("a", 3)],
                [record("a", 1), record("a", 3)],
                [record("nobody", 1)],
            ):
                with raises(EventGapError):
                    await store.transact(lambda tx, wrong=wrong: tx.set_aside(wrong))  # type: ignore[misc]
            with raises(EventAggregateError):
                await store.transact(
                    lambda tx: tx.set_aside([record("a", 1), record("b", 2)])
                )
            with raises(LookupError):
                await store.transact(failing)
            assert await store.read(lambda reader: reader.all_events()) == before
            assert await store.read(lambda reader: reader.events_set_aside("a")) == []
            head = await store.read(lambda reader: reader.head("a"))
            assert head == Head(1, record("a", 1).hash)


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
            await store.transact(_furnish)
            before = await store.read(_everything)
            caught: list[BaseException] = []
            try:
                await store.transact(work)
            except LookupError as error:
                caught.append(error)
            assert caught[0] is failure
            assert await store.read(_everything) == before
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
            assert await store.read(_everything) == ((), (), (), ())


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


class ProjectionContract(StoreCase):
    """Projected rows are read back as they were put, in their orders, and cleared for
    one session alone."""

    async def test_every_row_is_read_back_as_it_was_put(self) -> None:
        session = SessionRow(
            "a", "/w", "ws", "Tïtle\0🦊", "build", "p/m", "b", "c", 9, 1, 2, "running",
            "failed", "code", "why", 3, 4, 5, 6, 7, 8,
        )  # fmt: skip
        rows = (
            InputRow("a", "in_0", 0, "queue", "promoted", 4, 5, "k"),
            message_row("a", 4, end_seq=None, type="user"),
            RequestRow("a", "req", "permission", 5, "/w", 6),
            EpochRow("a", 7, 8),
            AdmissionRow("a", "k", "digest", "queue", b"\x00\xff"),
            LeaseRow("a", "w", 2, 10, 15_000, 2**41, "p.1.2"),
        )

        def work(transaction: Transaction) -> None:
            transaction.put_session(session)
            transaction.put_input(rows[0])
            transaction.put_message(rows[1])
            transaction.put_request(rows[2])
            transaction.put_epoch(rows[3])
            transaction.put_admission(rows[4])
            transaction.put_lease(rows[5])

        def look(reader: Reader) -> tuple[object, ...]:
            return (
                reader.input("a", "in_0"),
                reader.message("a", "msg_4"),
                reader.request("a", "req"),
                reader.epoch("a"),
                reader.admission("a", "k"),
                reader.lease("a"),
            )

        async with self.open_store() as store:
            await store.transact(work)
            found = await store.read(lambda reader: reader.session("a"))
            assert found is not None
            assert attrs.evolve(found, position=-1) == session
            assert await store.read(look) == rows

    async def test_a_row_that_is_put_again_replaces_the_one_before(self) -> None:
        def work(transaction: Transaction) -> None:
            for title in ("one", "two"):
                transaction.put_session(session_row("a", title=title))
            transaction.put_input(input_row("a", 0))
            transaction.put_input(input_row("a", 0, state="withdrawn", settled_seq=1))
            transaction.put_message(message_row("a", 2, end_seq=None))
            transaction.put_message(message_row("a", 2, end_seq=3))
            transaction.put_request(RequestRow("a", "req", "permission", 4, "/w", None))
            transaction.put_request(RequestRow("a", "req", "permission", 4, "/w", 5))
            transaction.put_epoch(EpochRow("a", 6, 6))
            transaction.put_epoch(EpochRow("a", 6, 7))

        def look(reader: Reader) -> tuple[object, ...]:
            session = reader.session("a")
            return (
                session and session.title,
                reader.input("a", "in_0"),
                list(reader.messages("a")),
                reader.request("a", "req"),
                reader.epoch("a"),
                list(reader.pending_inputs("a")),
                list(reader.open_messages("a")),
                list(reader.pending_requests()),
            )

        async with self.open_store() as store:
            await store.transact(work)
            assert await store.read(look) == (
                "two",
                input_row("a", 0, state="withdrawn", settled_seq=1),
                [message_row("a", 2, end_seq=3)],
                RequestRow("a", "req", "permission", 4, "/w", 5),
                EpochRow("a", 6, 7),
                [],
                [],
                [],
            )

    async def test_sessions_are_listed_newest_first_and_keep_their_place(self) -> None:
        async with self.open_store() as store:
            for name in ("a", "b", "c", "d"):
                place = "/other" if name == "c" else "/work"
                await store.transact(appending(record(name, 0)))
                await store.transact(_putting(session_row(name, directory=place)))
            before = await store.read(lambda reader: reader.sessions())

            def rebuild(transaction: Transaction) -> None:
                transaction.clear_projections("b")
                transaction.put_session(session_row("b"))

            await store.transact(rebuild)
            after = await store.read(lambda reader: reader.sessions())
            assert list(after) == list(before)
            assert [row.id for row in after] == ["d", "c", "b", "a"]
            middle = after[1].position

            def pages(reader: Reader) -> list[list[str]]:
                found = [
                    reader.sessions(before=middle, limit=1),
                    reader.sessions(directory="/work"),
                    reader.sessions(directory="/work", before=middle, limit=9),
                    reader.sessions(limit=0),
                    reader.sessions(before=-(10**30)),
                    reader.sessions(before=10**30, limit=10**30),
                ]
                return [[row.id for row in page] for page in found]

            assert await store.read(pages) == [
                ["b"],
                ["d", "b", "a"],
                ["b", "a"],
                [],
                [],
                ["d", "c", "b", "a"],
            ]

    async def test_sessions_are_listed_by_whose_children_they_are(self) -> None:
        family = {"a": None, "b": "a", "c": None, "d": "a", "e": "d", "f": "gone"}

        def work(transaction: Transaction) -> None:
            for name, parent in family.items():
                place = "/other" if name in "cd" else "/work"
                row = session_row(name, parent=parent, directory=place, title=name)
                transaction.put_session(row)
            # Whose child it is stays what it was, and what it is not is no row.
            transaction.put_session(session_row("b", parent="a", title="later"))

        def look(reader: Reader) -> list[list[str]]:
            last = reader.sessions(parent="a", limit=1)[0].position
            found = [
                reader.sessions(),
                reader.sessions(roots=True),
                reader.sessions(roots=True, directory="/other"),
                reader.sessions(roots=True, search="C"),
                reader.sessions(roots=True, limit=1),
                reader.sessions(parent="a"),
                reader.sessions(parent="a", before=last),
                reader.sessions(parent="a", directory="/work"),
                reader.sessions(parent="a", search="LATER", directory="/work"),
                reader.sessions(parent="a", search="zzz"),
                reader.sessions(parent="gone"),
                reader.sessions(parent="nobody"),
                reader.sessions(parent=""),
                reader.sessions(parent="a", roots=True),
                reader.sessions(parent="a", roots=True, directory="/work"),
            ]
            return [[row.id for row in page] for page in found]

        async with self.open_store() as store:
            await store.transact(work)
            assert await store.read(look) == [
                ["f", "e", "d", "c", "b", "a"],
                ["c", "a"],
                ["c"],
                ["c"],
                ["c"],
                ["d", "b"],
                ["b"],
                ["b"],
                ["b"],
                [],
                ["f"],
                [],
                [],
                [],
                [],
            ]

    async def test_titles_are_searched_as_plain_text_without_regard_to_case(
        self,
    ) -> None:
        titles = ("Fix the BUG", "100% _sure_", "ÄPFEL straße", None, "it's [a] *?")

        def work(transaction: Transaction) -> None:
            for number, title in enumerate(titles):
                row = session_row(str(number), title=title, directory=f"/{number % 2}")
                transaction.put_session(row)

        async with self.open_store() as store:
            await store.transact(work)
            for search, expected in {
                "bug": {0},
                "THE b": {0},
                "%": {1},
                "_": {1},
                "0%": {1},
                "äpfel": {2},
                "STRASSE": {2},
                "'s": {4},
                "[a]": {4},
                "*?": {4},
                "zzz": set(),
                "": {0, 1, 2, 3, 4},
            }.items():
                found = await store.read(_search(search))
                assert {int(row.id) for row in found} == expected, search
            both = await store.read(
                lambda reader: reader.sessions(search="t", directory="/0")
            )
            assert [row.id for row in both] == ["4", "2", "0"]

    async def test_sessions_with_work_are_those_pending_or_running(self) -> None:
        def work(transaction: Transaction) -> None:
            for name in ("idle", "pending", "running", "both", "settled"):
                running = name in ("running", "both")
                status = "running" if running else "idle"
                transaction.put_session(session_row(name, status=status))
            transaction.put_input(input_row("both", 0))
            transaction.put_input(input_row("pending", 0))
            transaction.put_input(input_row("pending", 1))
            transaction.put_input(input_row("settled", 0, state="promoted"))

        async with self.open_store() as store:
            await store.transact(work)
            found = await store.read(lambda reader: reader.sessions_with_work())
            assert list(found) == ["pending", "running", "both"]

    async def test_pending_inputs_are_in_admission_order_by_delivery(self) -> None:
        def work(transaction: Transaction) -> None:
            transaction.put_input(input_row("a", 9, id="in_0"))
            transaction.put_input(input_row("a", 3, delivery="queue"))
            transaction.put_input(input_row("a", 5, state="promoted"))
            transaction.put_input(input_row("a", 4))
            transaction.put_input(input_row("b", 1))

        def look(reader: Reader) -> list[list[int]]:
            found = (
                reader.pending_inputs("a"),
                reader.pending_inputs("a", "steer"),
                reader.pending_inputs("a", "queue"),
                reader.pending_inputs("a", limit=2),
                reader.pending_inputs("a", "steer", 1),
                reader.pending_inputs("a", "queue", 0),
            )
            return [[row.seq for row in rows] for rows in found]

        def any_left(reader: Reader) -> list[bool]:
            return [
                reader.has_pending_input("a"),
                reader.has_pending_input("a", after=8),
                reader.has_pending_input("a", after=9),
                reader.has_pending_input("c"),
            ]

        async with self.open_store() as store:
            await store.transact(work)
            assert await store.read(look) == [[3, 4, 9], [4, 9], [3], [3, 4], [4], []]
            assert await store.read(any_left) == [True, True, False, False]

    async def test_an_input_that_is_delivered_otherwise_waits_once(self) -> None:
        def work(transaction: Transaction) -> None:
            transaction.put_input(input_row("a", 3, delivery="queue"))
            transaction.put_input(input_row("a", 4, delivery="queue"))
            transaction.put_input(input_row("a", 3, delivery="steer"))

        def look(reader: Reader) -> list[list[int]]:
            found = (
                reader.pending_inputs("a"),
                reader.pending_inputs("a", "steer"),
                reader.pending_inputs("a", "queue"),
            )
            return [[row.seq for row in rows] for rows in found]

        def end(transaction: Transaction) -> None:
            transaction.put_input(input_row("a", 3, state="promoted"))

        async with self.open_store() as store:
            await store.transact(work)
            assert await store.read(look) == [[3, 4], [3], [4]]
            await store.transact(end)
            assert await store.read(look) == [[4], [], [4]]

    async def test_messages_are_paged_in_both_directions(self) -> None:
        def work(transaction: Transaction) -> None:
            for seq in (8, 2, 4, 6):
                end = None if seq in (4, 8) else seq
                transaction.put_message(message_row("a", seq, end_seq=end))
            transaction.put_message(message_row("b", 3))

        def look(reader: Reader) -> list[list[int]]:
            found = (
                reader.messages("a"),
                reader.messages("a", newest_first=True, limit=2),
                reader.messages("a", newest_first=True, before=6),
                reader.messages("a", after=2, limit=1),
                reader.messages("a", after=2, before=8),
                reader.messages("a", after=10**30),
                reader.messages("a", limit=-5),
                reader.open_messages("a"),
            )
            return [[row.seq for row in rows] for rows in found]

        async with self.open_store() as store:
            await store.transact(work)
            expected = [[2, 4, 6, 8], [8, 6], [4, 2], [4], [4, 6], [], [], [4, 8]]
            assert await store.read(look) == expected

    async def test_an_id_is_one_message_and_so_is_a_place(self) -> None:
        def work(transaction: Transaction) -> None:
            transaction.put_message(message_row("a", 1, id="first"))
            transaction.put_message(message_row("a", 2, id="second"))
            transaction.put_message(message_row("a", 3, id="first"))
            transaction.put_message(message_row("a", 2, id="third"))

        async with self.open_store() as store:
            await store.transact(work)
            found = await store.read(lambda reader: reader.messages("a"))
            assert [(row.seq, row.id) for row in found] == [(2, "third"), (3, "first")]

    async def test_pending_requests_are_oldest_first_also_after_a_rebuild(
        self,
    ) -> None:
        def ask(name: str, seq: int, directory: str) -> Callable[[Transaction], None]:
            def work(transaction: Transaction) -> None:
                transaction.append([record(name, seq)])
                row = RequestRow(
                    name, f"{name}{seq}", "permission", seq, directory, None
                )
                transaction.put_request(row)

            return work

        def look(reader: Reader) -> list[list[str]]:
            found = (
                reader.pending_requests(),
                reader.pending_requests(directory="/w"),
                reader.pending_requests(session_id="a"),
                reader.pending_requests(directory="/w", session_id="a"),
                reader.pending_requests(directory="/none"),
                reader.pending_requests(id="a0"),
                reader.pending_requests(id="a0", session_id="b"),
            )
            return [[row.id for row in rows] for rows in found]

        def rebuild(transaction: Transaction) -> None:
            transaction.clear_projections("b")
            transaction.put_request(RequestRow("b", "b0", "permission", 0, "/w", None))

        def answer(transaction: Transaction) -> None:
            transaction.put_request(RequestRow("a", "a0", "permission", 0, "/w", 9))

        expected = [
            ["b0", "a0", "a1"],
            ["b0", "a0"],
            ["a0", "a1"],
            ["a0"],
            [],
            ["a0"],
            [],
        ]
        async with self.open_store() as store:
            # "a" is the older session, but "b" asked first.
            await store.transact(lambda tx: tx.put_session(session_row("a")))
            await store.transact(ask("b", 0, "/w"))
            await store.transact(ask("a", 0, "/w"))
            await store.transact(ask("a", 1, "/v"))
            assert await store.read(look) == expected
            await store.transact(rebuild)
            assert await store.read(look) == expected
            await store.transact(answer)
            assert (await store.read(look))[0] == ["b0", "a1"]

    async def test_clearing_projections_deletes_those_of_one_session_and_nothing_else(
        self,
    ) -> None:
        async with self.open_store() as store:
            await store.transact(_furnish)
            kept = await store.read(_operational)
            other = await store.read(lambda reader: reader.session("b"))
            await store.transact(lambda tx: tx.clear_projections("a"))
            await store.transact(lambda tx: tx.clear_projections("nobody"))

            def gone(reader: Reader) -> list[object]:
                return [
                    reader.session("a"),
                    reader.input("a", "in_0"),
                    reader.message("a", "msg_1"),
                    reader.request("a", "req"),
                    reader.epoch("a"),
                    *reader.pending_inputs("a"),
                    *reader.messages("a"),
                    *reader.pending_requests(),
                ]

            assert set(await store.read(gone)) == {None}
            assert await store.read(_operational) == kept
            assert await store.read(lambda reader: reader.session("b")) == other
            assert await store.read(lambda reader: reader.head("nobody")) is None


class RowContract(StoreCase):
    """Admissions are made once, fences only grow, approvals keep their order, and large
    values are kept under their digest."""

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


class OpeningContract(StoreCase):
    """What was confirmed is there when the store is opened again, names are separate,
    and other processes are noticed."""

    async def test_what_was_confirmed_is_there_when_it_is_opened_again(self) -> None:
        async with self.open_store() as store:
            await store.transact(_furnish)
            before = await store.read(_everything)
        async with self.open_store() as store:
            assert await store.read(_everything) == before
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


class StoreContract(
    LogContract,
    TransactionContract,
    ReadingContract,
    ProjectionContract,
    RowContract,
    OpeningContract,
):
    """All of it. Inherit it, name the class ``Test...``, and say how your store is
    opened."""


def _page(after: int) -> Callable[[Reader], Sequence[EventRecord]]:
    return lambda reader: reader.events("a", after, 100)


def _putting(row: SessionRow) -> Callable[[Transaction], None]:
    return lambda transaction: transaction.put_session(row)


def _search(text: str) -> Callable[[Reader], Sequence[SessionRow]]:
    return lambda reader: reader.sessions(search=text)


def _blob(digest: str) -> Callable[[Reader], bytes | None]:
    return lambda reader: reader.blob(digest)


def _furnish(transaction: Transaction) -> None:
    """Put one row of everything into the store, for session ``a``, and a session b."""
    transaction.append([record("a", 0), record("a", 1)])
    transaction.put_session(session_row("a", title="first"))
    transaction.put_session(session_row("b"))
    transaction.put_input(input_row("a", 0))
    transaction.put_message(message_row("a", 1))
    transaction.put_request(RequestRow("a", "req", "permission", 1, "/work", None))
    transaction.put_epoch(EpochRow("a", 0, 1))
    transaction.put_admission(AdmissionRow("a", "key", "d", "steer", b"receipt"))
    transaction.put_approval(approval_row(1))
    transaction.put_approval(approval_row(2))
    transaction.put_lease(LeaseRow("a", "w", 5, 6))
    transaction.put_blob(b"kept")


def _everything(reader: Reader) -> tuple[tuple[object, ...], ...]:
    """Return all there is about what ``_furnish`` put, without the absent."""
    events, *operational = _operational(reader)
    found = (
        *reader.sessions(),
        reader.input("a", "in_0"),
        reader.message("a", "msg_1"),
        reader.message("a", "other"),
        reader.request("a", "req"),
        reader.epoch("a"),
    )
    rows = tuple(row for row in found if row is not None)
    return (events, *operational, rows)


def _operational(reader: Reader) -> tuple[tuple[object, ...], ...]:
    found = (
        reader.head("a"),
        reader.admission("a", "key"),
        reader.lease("a"),
        reader.blob(hashlib.sha256(b"kept").hexdigest()),
    )
    return (
        tuple(reader.all_events()),
        tuple(reader.approvals("/work")),
        tuple(row for row in found if row is not None),
    )
