"""The contract of ``ports.projections``."""

from collections.abc import Callable, Sequence
from functools import partial

import attrs

from ....ports import (
    AdmissionRow,
    EpochRow,
    InputRow,
    JobRow,
    LeaseRow,
    Reader,
    RequestRow,
    SessionRow,
    SettledRow,
    Transaction,
)
from .cases import (
    StoreCase,
    appending,
    furnish,
    input_row,
    message_row,
    record,
    session_row,
    underived,
)


def _settled(since: int, limit: int, reader: Reader) -> list[SettledRow]:
    found: list[SettledRow] = []
    after = (-1, -1)
    while page := reader.settled(since, after, limit):
        assert len(page) <= limit
        found += page
        after = (page[-1].position, page[-1].seq)
    return found


def _ids(beginning: str, limit: int, reader: Reader) -> Sequence[str]:
    return reader.session_ids(beginning, limit)


def _forks(origin: str, reader: Reader) -> Sequence[tuple[str, int]]:
    return reader.forks(origin)


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
            JobRow("a", "job", 6, "/w", 7),
            EpochRow("a", 7, 8),
            AdmissionRow("a", "k", "digest", "queue", b"\x00\xff"),
            LeaseRow("a", "w", 2, 10, 15_000, 2**41, "p.1.2"),
        )

        def work(transaction: Transaction) -> None:
            transaction.put_session(session)
            transaction.put_input(rows[0])
            transaction.put_message(rows[1])
            transaction.put_request(rows[2])
            transaction.put_job(rows[3])
            transaction.put_epoch(rows[4])
            transaction.put_admission(rows[5])
            transaction.put_lease(rows[6])

        def look(reader: Reader) -> tuple[object, ...]:
            return (
                reader.input("a", "in_0"),
                reader.message("a", "msg_4"),
                reader.request("a", "req"),
                reader.job("a", "job"),
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

    async def test_the_forks_of_a_session_are_its_own_in_creation_order(self) -> None:
        def work(transaction: Transaction) -> None:
            transaction.put_session(session_row("a"))
            for name, origin, seq in (
                ("c", "a", 7),
                ("b", "a", 0),
                ("d", "b", 3),
                ("e", "gone", 3),
            ):
                row = session_row(name, forked_from=origin, forked_seq=seq)
                transaction.put_session(row)
            transaction.put_session(
                session_row("c", forked_from="a", forked_seq=7, title="later")
            )

        async with self.open_store() as store:
            await store.transact(work)
            for origin, forks in (
                ("a", [("c", 7), ("b", 0)]),
                ("b", [("d", 3)]),
                ("gone", [("e", 3)]),
                ("e", []),
            ):
                found = await store.read(partial(_forks, origin))
                assert list(found) == forks

    async def test_what_settled_is_read_page_by_page_since_a_time(self) -> None:
        ended = record("b", 3).created

        def work(transaction: Transaction) -> None:
            for name in ("b", "a"):
                said = [record(name, seq, b'{"n":%d}' % seq) for seq in range(4)]
                transaction.append(said)
                transaction.put_session(session_row(name, updated=ended + 1))
                row = message_row(name, 2, body_seq=1, end_seq=3)
                transaction.put_message(row)
            transaction.put_message(message_row("b", 3, end_seq=None))
            user = message_row("a", 0, type="user")
            transaction.put_message(user)

        async with self.open_store() as store:
            await store.transact(work)
            for limit in (1, 2, 10):
                found = await store.read(partial(_settled, 0, limit))
                assert [(one.session_id, one.seq) for one in found] == [
                    ("b", 2),
                    ("a", 2),
                ]
                for one in found:
                    assert (one.directory, one.ended) == ("/work", ended)
                    assert (one.first, one.last) == (b'{"n":1}', b'{"n":3}')
            assert await store.read(partial(_settled, ended, 10)) == found
            assert await store.read(partial(_settled, ended + 1, 10)) == []

    async def test_ids_are_found_by_their_beginning(self) -> None:
        def work(transaction: Transaction) -> None:
            for name in ("ses_ab", "ses_a", "ses_b", "ses_a.~", "SES_a", "zzz"):
                transaction.put_session(session_row(name))

        async with self.open_store() as store:
            await store.transact(work)
            for beginning, limit, ids in (
                ("ses_a", 10, ["ses_a", "ses_a.~", "ses_ab"]),
                ("ses_a", 2, ["ses_a", "ses_a.~"]),
                ("ses_ab", 10, ["ses_ab"]),
                ("ses_%", 10, []),
                ("zzzz", 10, []),
                ("z", 0, []),
            ):
                found = await store.read(partial(_ids, beginning, limit))
                assert list(found) == ids

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
            transaction.put_job(JobRow("a", "job", 4, "/w", None))
            transaction.put_job(JobRow("a", "job", 4, "/w", 5))
            transaction.put_epoch(EpochRow("a", 6, 6))
            transaction.put_epoch(EpochRow("a", 6, 7))

        def look(reader: Reader) -> tuple[object, ...]:
            session = reader.session("a")
            return (
                session and session.title,
                reader.input("a", "in_0"),
                list(reader.messages("a")),
                reader.request("a", "req"),
                list(reader.jobs("a")),
                reader.epoch("a"),
                list(reader.running_jobs()),
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
                [JobRow("a", "job", 4, "/w", 5)],
                EpochRow("a", 6, 7),
                [],
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
                    reader.sessions(oldest_first=True, limit=2),
                    reader.sessions(oldest_first=True, after=middle, limit=9),
                    reader.sessions(oldest_first=True, after=middle, directory="/work"),
                    reader.sessions(after=middle),
                    reader.sessions(oldest_first=True, before=middle),
                    reader.sessions(oldest_first=True, after=10**30),
                    reader.sessions(oldest_first=True, after=-(10**30), limit=1),
                ]
                return [[row.id for row in page] for page in found]

            assert await store.read(pages) == [
                ["b"],
                ["d", "b", "a"],
                ["b", "a"],
                [],
                [],
                ["d", "c", "b", "a"],
                ["a", "b"],
                ["d"],
                ["d"],
                ["d"],
                ["a", "b"],
                [],
                ["a"],
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
                reader.sessions(parent="a", oldest_first=True),
                reader.sessions(roots=True, directory="/other", oldest_first=True),
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
                ["b", "d"],
                ["c"],
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
            transaction.put_session(session_row("asked", compaction_due=4))
            transaction.put_session(session_row("done", compaction_due=4))
            transaction.put_session(session_row("done", compaction_due=-1))

        async with self.open_store() as store:
            await store.transact(work)
            found = await store.read(lambda reader: reader.sessions_with_work())
            assert list(found) == ["pending", "running", "both", "asked"]

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

    async def test_running_jobs_are_found_by_session_and_by_directory(self) -> None:
        rows = [
            JobRow("a", "late", 7, "/w", None),
            JobRow("a", "early", 2, "/w", None),
            JobRow("a", "ended", 1, "/w", 9),
            JobRow("b", "early", 0, "/v", None),
        ]

        def work(transaction: Transaction) -> None:
            transaction.put_session(session_row("a"))
            transaction.put_session(session_row("b"))
            for row in reversed(rows):
                transaction.put_job(row)

        def look(reader: Reader) -> list[list[str]]:
            found = (
                reader.jobs("a"),
                reader.running_jobs(),
                reader.running_jobs(session_id="a"),
                reader.running_jobs(directory="/v"),
                reader.running_jobs(directory="/v", session_id="a"),
                reader.running_jobs(session_id="nobody"),
            )
            return [[f"{row.session_id} {row.id}" for row in one] for one in found]

        async with self.open_store() as store:
            await store.transact(work)
            assert await store.read(look) == [
                ["a ended", "a early", "a late"],
                ["a early", "a late", "b early"],
                ["a early", "a late"],
                ["b early"],
                [],
                [],
            ]

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
            await store.transact(furnish)
            kept = await store.read(underived)
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
                    *reader.jobs("a"),
                ]

            assert set(await store.read(gone)) == {None}
            assert await store.read(underived) == kept
            assert await store.read(lambda reader: reader.session("b")) == other
            assert await store.read(lambda reader: reader.head("nobody")) is None


def _putting(row: SessionRow) -> Callable[[Transaction], None]:
    return lambda transaction: transaction.put_session(row)


def _search(text: str) -> Callable[[Reader], Sequence[SessionRow]]:
    return lambda reader: reader.sessions(search=text)
