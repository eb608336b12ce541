"""Random work leaves the SQLite store and the reference model in the same state.

The model says what is right, as simply as it can be said; whatever can be asked of a
store is asked of both and compared, also after a failing transaction and a restart.
"""

import hashlib
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
from anyio.from_thread import start_blocking_portal
from dovetail.kernel.ports import (
    AdmissionRow,
    ApprovalRow,
    EpochRow,
    EventRecord,
    InputRow,
    JobRow,
    LeaseRow,
    MessageRow,
    Reader,
    RequestRow,
    SessionRow,
    Transaction,
)
from dovetail.kernel.testing.memory_store import MemoryState, open_memory_store
from dovetail.storage.sqlite.store import open_sqlite
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

SESSIONS = ("a", "b", "ç")
WORDS = ("i1", "i2", "i3")
KEYS = ("k1", "k2")
PLACES = ("/w", "/v")
VALUES = (b"", b"one", b"two")
DIGESTS = tuple(hashlib.sha256(value).hexdigest() for value in VALUES)

sessions = st.sampled_from(SESSIONS)
words = st.sampled_from(WORDS)
numbers = st.integers(-1, 6)
times = st.integers(0, 2**63 - 1)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def _as_far_as_it_is(row: InputRow) -> InputRow:
    return attrs.evolve(row, settled_seq=None) if row.state == "pending" else row


ROWS: dict[str, st.SearchStrategy[Any]] = {
    "put_session": st.builds(
        SessionRow,
        id=sessions,
        directory=st.sampled_from(PLACES),
        workspace=st.none(),
        title=st.none() | texts | st.sampled_from(("Straße 50%", "İstanbul", "_x_")),
        agent=st.none(),
        model=st.none() | texts,
        parent=st.none() | sessions,
        forked_from=st.none() | sessions,
        forked_seq=st.none() | numbers,
        created=times,
        updated=times,
        status=st.sampled_from(("idle", "running")),
        steps=numbers,
    ),
    "put_input": st.builds(
        InputRow,
        session_id=sessions,
        id=words,
        seq=numbers,
        delivery=st.sampled_from(("steer", "queue")),
        state=st.sampled_from(("pending", "promoted", "withdrawn")),
        settled_seq=st.none() | numbers,
        created=times,
        key=st.none() | texts,
    ).map(_as_far_as_it_is),
    "put_message": st.builds(
        MessageRow,
        session_id=sessions,
        seq=st.integers(0, 6),
        id=words,
        type=st.sampled_from(("user", "assistant")),
        body_seq=numbers,
        end_seq=st.none() | numbers,
    ),
    "put_request": st.builds(
        RequestRow,
        session_id=sessions,
        id=words,
        what=st.just("permission"),
        seq=numbers,
        directory=st.sampled_from(PLACES),
        answered_seq=st.none() | numbers,
    ),
    "put_job": st.builds(
        JobRow,
        session_id=sessions,
        id=words,
        seq=numbers,
        directory=st.sampled_from(PLACES),
        ended_seq=st.none() | numbers,
    ),
    "put_epoch": st.builds(
        EpochRow, session_id=sessions, seq=numbers, updated_seq=numbers
    ),
    "put_admission": st.builds(
        AdmissionRow,
        session_id=sessions,
        key=st.sampled_from(KEYS),
        digest=texts,
        delivery=st.sampled_from(("steer", "queue")),
        receipt=st.binary(max_size=8),
    ),
    "put_approval": st.builds(
        ApprovalRow,
        id=words,
        directory=st.sampled_from(PLACES),
        workspace=st.none(),
        agent=texts,
        action=texts,
        kind=st.sampled_from(("exact", "glob")),
        pattern=texts,
        author=texts,
        created=times,
        expires=st.none() | times,
    ),
    "put_lease": st.builds(
        LeaseRow,
        session_id=sessions,
        owner=st.none() | texts,
        fence=st.integers(0, 5),
        renewals=times,
        lasts=times,
        renewed=times,
        process=st.none() | texts,
    ),
    "put_blob": st.sampled_from(VALUES),
    "delete_approval": words,
    "clear_projections": sessions,
}

Act = tuple[str, tuple[Any, ...]]

acts: st.SearchStrategy[Act] = st.one_of(
    *[st.tuples(st.just(name), st.tuples(strategy)) for name, strategy in ROWS.items()],
    st.tuples(st.just("set_owner"), st.tuples(sessions, st.none() | texts)),
    st.tuples(st.just("extend"), st.tuples(sessions, st.lists(st.binary(max_size=9)))),
    st.tuples(st.just("append_at"), st.tuples(sessions, st.integers(0, 9))),
    st.tuples(st.just("remove"), st.tuples(sessions, st.integers(0, 3))),
    st.tuples(
        st.just("hold_blob"),
        st.tuples(sessions, st.integers(0, 3), st.sampled_from(DIGESTS)),
    ),
)


class Failed(Exception):
    """Raised on purpose."""


def perform(transaction: Transaction, act: Act) -> Any:
    """Do one thing, and return what it said."""
    name, arguments = act
    if name == "extend":
        session_id, values = arguments
        head = transaction.head(session_id)
        first = head.seq + 1 if head else 0
        return transaction.append(
            [event(session_id, first + n, data) for n, data in enumerate(values)]
        )
    if name == "append_at":
        return transaction.append([event(*arguments, b"x")])
    if name == "remove":
        rest = attrs.evolve(event(*arguments, b""), digest=b"d" * 64)
        return transaction.remove_data([rest])
    return getattr(transaction, name)(*arguments)


def event(session_id: str, seq: int, data: bytes) -> EventRecord:
    return EventRecord(session_id, seq, "k", 1, 5, data, data.ljust(32, b"."))


def ask(reader: Reader) -> dict[str, Any]:
    """Return the answers to every question that a reader can be asked."""
    found: dict[str, Any] = {
        "all": list(reader.all_events()),
        "some": list(reader.all_events(after=2, limit=2)),
        "work": list(reader.sessions_with_work()),
        "listing": list(reader.sessions()),
        "page": list(reader.sessions(before=3, limit=1)),
        "roots": list(reader.sessions(roots=True)),
        "pending": list(reader.pending_requests()),
        "running": list(reader.running_jobs()),
        "blobs": [reader.blob(digest) for digest in DIGESTS],
    }
    for search in ("ss", "50%", "_", "i", "X"):
        found["search", search] = list(reader.sessions(search=search, directory="/w"))
    for place in PLACES:
        found["approvals", place] = list(reader.approvals(place))
        found["place", place] = list(reader.sessions(directory=place))
        found["roots", place] = list(reader.sessions(directory=place, roots=True))
        found["running", place] = list(reader.running_jobs(directory=place))
        found["asked", place] = list(reader.pending_requests(directory=place))
    for word in WORDS:
        found["waiting", word] = list(reader.pending_requests(id=word))
    for one in SESSIONS:
        found["children", one] = list(reader.sessions(parent=one))
        found["session", one] = (
            reader.head(one),
            reader.session(one),
            reader.epoch(one),
            reader.lease(one),
            list(reader.events(one)),
            list(reader.events(one, after=0, upto=2, limit=1)),
            list(reader.pending_inputs(one)),
            list(reader.pending_inputs(one, "queue")),
            list(reader.messages(one)),
            list(reader.messages(one, after=1, before=5, newest_first=True, limit=2)),
            list(reader.open_messages(one)),
            list(reader.pending_requests(session_id=one, directory="/w")),
            list(reader.jobs(one)),
            list(reader.running_jobs(session_id=one, directory="/w")),
            [reader.job(one, word) for word in WORDS],
            [reader.input(one, word) for word in WORDS],
            [reader.request(one, word) for word in WORDS],
            [reader.message(one, word) for word in WORDS],
            [reader.admission(one, key) for key in KEYS],
        )
    return found


class Agreement(RuleBasedStateMachine):
    """Does the same to both, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = self.stack.enter_context(TemporaryDirectory())
        self.path = Path(folder) / "a.db"
        self.portal = self.stack.enter_context(start_blocking_portal("asyncio"))
        self.state = MemoryState()
        self.opened = ExitStack()
        self.reopen()

    def teardown(self) -> None:
        self.opened.close()
        self.stack.close()

    @rule()
    def reopen(self) -> None:
        self.opened.close()
        wrap = self.portal.wrap_async_context_manager
        self.stores = (
            self.opened.enter_context(wrap(open_memory_store(self.state))),
            self.opened.enter_context(wrap(open_sqlite(self.path))),
        )

    @rule(todo=st.lists(acts, min_size=1, max_size=6), fail=st.booleans())
    def transact(self, todo: list[Act], fail: bool) -> None:
        def work(transaction: Transaction) -> list[Any]:
            said = [perform(transaction, act) for act in todo]
            if fail:
                raise Failed
            return [said, ask(transaction)]

        self.compare(work)

    @rule(todo=st.lists(acts, min_size=1, max_size=6))
    def transact_and_go_on_after_errors(self, todo: list[Act]) -> None:
        """A function may catch what it was refused; the rest of it counts."""

        def work(transaction: Transaction) -> list[Any]:
            said = []
            for act in todo:
                try:
                    said.append(perform(transaction, act))
                except Exception as error:
                    said.append((type(error), str(error)))
            return said

        self.compare(work)

    def compare(self, work: Any) -> None:
        outcomes = []
        for store in self.stores:
            try:
                outcomes.append(self.portal.call(store.transact, work))
            except Exception as error:
                outcomes.append((type(error), str(error)))
        assert outcomes[0] == outcomes[1]

    @rule()
    @precondition(lambda self: self.state.sessions)
    def rebuild(self) -> None:
        """Rows that are cleared and put again are the same rows in the same order."""

        def work(transaction: Transaction) -> None:
            for one in SESSIONS:
                row = transaction.session(one)
                waiting = transaction.pending_requests(session_id=one)
                transaction.clear_projections(one)
                if row is not None:
                    transaction.put_session(attrs.evolve(row, position=77))
                for asked in reversed(waiting):
                    transaction.put_request(asked)

        self.compare(work)

    @invariant()
    def both_answer_the_same(self) -> None:
        model, tested = (self.portal.call(store.read, ask) for store in self.stores)
        assert tested == model


TestAgreement = Agreement.TestCase
TestAgreement.settings = settings(
    max_examples=40,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
