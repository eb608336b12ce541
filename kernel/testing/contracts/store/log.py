"""The contract of ``ports.log``."""

import attrs

from ....ports import AdmissionRow, EventRecord, Head, Reader, Transaction
from ....values.errors import EventAggregateError, EventGapError
from ....values.events import NO_HASH
from .cases import (
    StoreCase,
    appending,
    approval_row,
    input_row,
    message_row,
    raises,
    record,
    seqs,
    session_row,
)


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
                *reader.jobs("nobody"),
                *reader.running_jobs(),
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

    async def test_what_must_follow_from_a_log_is_counted(self) -> None:
        async with self.open_store() as store:
            await store.transact(appending(*[record("a", seq) for seq in range(3)]))
            await store.transact(appending(record("b", 0)))
            await store.transact(lambda tx: tx.put_session(session_row("b")))

            def admit(tx: Transaction) -> None:
                tx.put_input(input_row("a", 0, key="k"))
                tx.put_input(input_row("a", 1, key=None))
                tx.put_input(input_row("b", 0, key="k"))

            await store.transact(admit)

            def look(reader: Reader) -> tuple[object, ...]:
                counts = reader.counts("a")
                return (
                    dict(reader.kinds("a")),
                    dict(reader.kinds("c")),
                    (counts.pending, counts.settled, counts.keyed),
                    list(reader.sessions_missing()),
                )

            assert await store.read(look) == (
                {"text.ended": 3},
                {},
                (2, 0, 1),
                ["a"],
            )

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

    async def test_a_removed_session_is_found_no_more_and_keeps_its_last_event(
        self,
    ) -> None:
        def writing(tx: Transaction) -> None:
            tx.append([record("a", n) for n in range(5)])
            tx.append([record("b", 0)])
            for name in ("a", "b"):
                tx.put_session(session_row(name, status="running"))
                tx.put_input(input_row(name, 1))
                tx.put_message(message_row(name, 2))
                tx.put_admission(AdmissionRow(name, "key", "digest", "steer", b"{}"))
                tx.put_approval(
                    approval_row(ord(name), scope="session", session_id=name)
                )

        def removing(tx: Transaction) -> None:
            tx.append([record("a", 5, b"removed")])
            tx.delete_approvals_of("a")
            tx.set_removed("a")

        def look(reader: Reader) -> list[object]:
            return [
                [row.id for row in reader.sessions()],
                reader.session("a"),
                list(reader.session_ids("a", 9)),
                list(reader.sessions_with_work()),
                list(reader.sessions_missing()),
                [(one.session_id, one.seq) for one in reader.all_events()],
                [row.session_id for row in reader.approvals("/work")],
            ]

        async with self.open_store() as store:
            await store.transact(writing)
            assert not await store.transact(lambda tx: tx.erase("a", 9))
            assert await store.read(lambda reader: reader.sessions_to_erase()) == []
            await store.transact(removing)
            found = await store.read(look)
            assert found == [["b"], None, [], ["b"], [], [("b", 0), ("a", 5)], ["b"]]
            assert await store.read(lambda reader: reader.sessions_to_erase()) == ["a"]
            count = 0
            while await store.transact(lambda tx: tx.erase("a", 2)):
                count += 1
                assert await store.read(look) == found
            assert 1 < count < 9
            assert await store.read(lambda reader: reader.sessions_to_erase()) == []
            assert not await store.transact(lambda tx: tx.erase("a", 2))
            assert await store.read(look) == found
            head = await store.read(lambda reader: reader.head("a"))
            assert head == Head(5, record("a", 5).hash, removed=True)
            assert seqs(await store.read(lambda reader: reader.events("a"))) == [5]
            assert await store.read(lambda reader: reader.events("a", 5)) == []
            assert await store.read(lambda reader: reader.admission("a", "key")) is None
            assert await store.read(lambda reader: reader.admission("b", "key"))
            # Its place in the creation order is nobody else's.
            await store.transact(lambda tx: tx.put_session(session_row("c")))
            places = await store.read(lambda reader: reader.logs())
            assert [name for _, name in places] == ["a", "b", "c"]
