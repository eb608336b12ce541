"""Random work in the kernel's rooms: the model, the memory store and SQLite agree.

Hypothesis chooses what is done, in which order, by which of two processes, and where
it all stops as a killed process stops. After every act whatever can be observed is
compared three ways: with a model in plain Python, and between the stores to the byte.

``DOVETAIL_PROOF_EXAMPLES`` says how many runs; ``DOVETAIL_PROOF_STEPS`` how long each.
"""

import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import attrs
import pytest
from anyio.from_thread import start_blocking_portal
from attrs import define, field
from dovetail.kernel import CursorInvalidError, MessageId, SessionId
from dovetail.kernel.log.commit import LogTransaction
from dovetail.kernel.log.tail import RuntimeTail, Tail
from dovetail.kernel.ports import Transaction
from dovetail.kernel.upkeep.rebuild import rebuild
from dovetail.kernel.values.events import NoticeAdded
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from support.bounds import HANG
from support.model import Model, ModelSession
from support.rooms import (
    Act,
    MemoryPlace,
    Rooms,
    SqlitePlace,
    carried,
    counted_ids,
    everything,
    expected,
    observed,
    open_rooms,
    plain,
    spoil,
    unsound,
)

EXAMPLES = int(os.environ.get("DOVETAIL_PROOF_EXAMPLES", "16"))
STEPS = int(os.environ.get("DOVETAIL_PROOF_STEPS", "50"))

# One of them more often, so that much happens to it.
SESSIONS = ("a", "a", "a", "b", "c")

sessions = st.sampled_from(SESSIONS)
places = st.integers(0, 12)
texts = st.sampled_from(("go", "stop", "größer \U0001f600", "\u202ex\0y"))
deliveries = st.sampled_from(("steer", "queue"))
keys = st.none() | st.sampled_from(("k1", "k2"))
sides = st.sampled_from((0, 0, 0, 1))


@define
class Follower:
    """One reader in each store, that goes on where it was after every restart."""

    session_id: str | None
    after: int
    seen: list[Any] = field(factory=list)
    tails: list[Any] = field(factory=list)


@define
class Walk:
    """Pages through a listing, one page at a time, while things go on."""

    session_id: str | None
    order: str
    limit: int
    cursor: str | None = None
    place: int | None = None
    """The model's own idea of where the walk is."""
    done: bool = False


class RoomsAgree(RuleBasedStateMachine):
    """Does the same to all three, and compares."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.numbers = self.stack.enter_context(counted_ids())
        folder = self.stack.enter_context(TemporaryDirectory())
        self.portal = self.stack.enter_context(start_blocking_portal("asyncio"))
        self.memory, self.sqlite = MemoryPlace(), SqlitePlace(Path(folder))
        self.model = Model()
        self.acts = 0
        self.followers: list[Follower] = []
        self.walks: list[Walk] = []
        self.opened = ExitStack()
        self.open()

    def teardown(self) -> None:
        self.opened.close()
        self.stack.close()

    # --- opening, closing, crashing -----------------------------------------------

    def open(self) -> None:
        """Open each store twice, as two processes would."""
        self.rooms: list[list[Rooms]] = [
            [
                self.opened.enter_context(
                    self.portal.wrap_async_context_manager(open_rooms(place))
                )
                for _ in range(2)
            ]
            for place in (self.memory, self.sqlite)
        ]
        for follower in self.followers:
            follower.tails = []

    @rule()
    def reopen(self) -> None:
        self.opened.close()
        self.open()

    @rule(shared_memory=st.booleans())
    def crash(self, shared_memory: bool) -> None:
        """Go on with the files as they are at this moment, nothing closed."""
        self.go_on_with(self.sqlite.copy(shared_memory=shared_memory))

    @rule(session_id=sessions, text=texts)
    @precondition(lambda self: self.model.sessions)
    def crash_before_a_commit(self, session_id: str, text: str) -> None:
        """What was written and not committed is gone."""
        copies: list[Path] = []

        def dying(tx: LogTransaction) -> None:
            for _ in range(3):
                self.notice_in(tx, session_id, text * 2000)
            copies.append(self.sqlite.copy())

        if session_id in self.model.sessions:
            self.portal.call(self.rooms[1][0].log.commit, dying)
            self.go_on_with(copies[0])

    def notice_in(self, tx: LogTransaction, session_id: str, text: str) -> None:
        head = tx.head(session_id).seq
        tx.append(
            NoticeAdded(
                session_id=SessionId(session_id),
                message_id=MessageId(f"msg_dying{head}"),
                text=text,
            )
        )

    @rule(session_id=sessions, text=texts, delivery=deliveries, key=keys)
    @precondition(lambda self: self.model.sessions)
    def crash_after_a_commit(
        self, session_id: str, text: str, delivery: str, key: str | None
    ) -> None:
        """What was committed is there, also when nobody was told of it any more."""
        copies: list[Path] = []
        log = self.rooms[1][0].log
        end = log.observe(lambda _: copies.append(self.sqlite.copy()))
        self.do(("admit", session_id, text, delivery, key))
        end()
        if copies:
            self.go_on_with(copies[0])

    def go_on_with(self, copy: Path) -> None:
        # Closed only now, so that the copy is what a process leaves that just ends.
        self.opened.close()
        self.sqlite.file = copy
        self.open()

    # --- doing --------------------------------------------------------------------

    def do(self, *acts: Act, side: int = 0) -> None:
        """Do it in both stores and in the model, and compare what they say."""
        self.acts += 1
        said = []
        for rooms in self.rooms:
            self.numbers.last = number = self.acts * 1000
            said.append(self.portal.call(rooms[side].perform, acts))
        right = self.model.perform(number, list(acts))
        assert said == [right, right], (acts, said, right)

    @initialize(
        admitted=st.lists(st.tuples(texts, deliveries, keys), max_size=5),
        promotions=st.lists(st.booleans(), max_size=3),
        told=st.lists(st.sampled_from(("notice", "step", "ask")), max_size=3),
    )
    def begin(
        self,
        admitted: list[tuple[Any, ...]],
        promotions: list[bool],
        told: list[str],
    ) -> None:
        """Begin with a session in which something happened already."""
        self.do(("create", "a", None))
        if admitted:
            self.do(*[("admit", "a", *one) for one in admitted])
        for idle in promotions:
            self.do(("promote", "a", idle))
        for what in told:
            if what != "step":
                self.do((what, "a", *(("news",) if what == "notice" else ())))
            elif self.model.sessions["a"].open is None:
                self.do(("step", "a"))

    def pick(self, session_id: str, place: int) -> str:
        """Return some input of a session, or the id of none."""
        session = self.model.sessions.get(session_id)
        known = [*session.inputs] if session else []
        return [*known, "msg_nosuch"][place % (len(known) + 1)]

    @rule(session_id=sessions, title=st.none() | texts, side=sides)
    def create(self, session_id: str, title: str | None, side: int) -> None:
        """Also one that exists: it is adopted as it is."""
        self.do(("create", session_id, title), side=side)

    @rule(session_id=sessions, text=texts, delivery=deliveries, key=keys, side=sides)
    def admit(
        self, session_id: str, text: str, delivery: str, key: str | None, side: int
    ) -> None:
        """New, an exact retry or a conflict: few keys and few texts make all three."""
        self.do(("admit", session_id, text, delivery, key), side=side)

    @rule(session_id=sessions, place=places, side=sides)
    def retry(self, session_id: str, place: int, side: int) -> None:
        """Exactly what was admitted under a key once, whatever became of it."""
        session = self.model.sessions.get(session_id)
        if session and session.keys:
            key = sorted(session.keys)[place % len(session.keys)]
            text, delivery, _ = session.keys[key]
            self.do(("admit", session_id, text, delivery, key), side=side)

    @rule(session_id=sessions, place=places, other=st.integers(1, 3), side=sides)
    def conflict(self, session_id: str, place: int, other: int, side: int) -> None:
        """The same key with another prompt, another delivery, or both."""
        session = self.model.sessions.get(session_id)
        if session and session.keys:
            key = sorted(session.keys)[place % len(session.keys)]
            text, delivery, _ = session.keys[key]
            if other & 1:
                text += "!"
            if other & 2:
                delivery = "queue" if delivery == "steer" else "steer"
            self.do(("admit", session_id, text, delivery, key), side=side)

    @rule(session_id=sessions, place=places, side=sides)
    def withdraw(self, session_id: str, place: int, side: int) -> None:
        if session_id in self.model.sessions:
            self.do(("withdraw", session_id, self.pick(session_id, place)), side=side)

    @rule(session_id=sessions, place=places, delivery=deliveries, side=sides)
    def deliver(self, session_id: str, place: int, delivery: str, side: int) -> None:
        if session_id in self.model.sessions:
            input_id = self.pick(session_id, place)
            self.do(("deliver", session_id, input_id, delivery), side=side)

    @rule(session_id=sessions, idle=st.booleans(), side=sides)
    def promote(self, session_id: str, idle: bool, side: int) -> None:
        self.do(("promote", session_id, idle), side=side)

    @rule(session_id=sessions, place=places)
    def promote_whatever_it_is(self, session_id: str, place: int) -> None:
        """What is settled or unknown is refused by the projector itself."""
        input_id = self.pick(session_id, place)
        self.do(("promote_one", session_id, input_id))

    @rule(
        session_id=sessions,
        acts=st.lists(
            st.one_of(
                st.tuples(st.just("admit"), texts, deliveries, keys),
                st.tuples(st.just("withdraw"), places),
                st.tuples(st.just("deliver"), places, deliveries),
                st.tuples(st.just("promote"), st.booleans()),
                st.tuples(st.just("title"), texts),
                st.tuples(st.just("fail"), st.sampled_from(("decision", "projector"))),
            ),
            min_size=2,
            max_size=8,
        ),
    )
    def at_once(self, session_id: str, acts: list[tuple[Any, ...]]) -> None:
        """Many callers at the same time: neighbours in one commit."""
        if session_id not in self.model.sessions:
            return
        made = []
        for name, *rest in acts:
            if name in ("withdraw", "deliver"):
                rest[0] = self.pick(session_id, rest[0])
            made.append((name, session_id, *rest))
        self.do(*made)

    @rule(session_id=sessions, text=texts, what=st.sampled_from(("title", "switch")))
    def change(self, session_id: str, text: str, what: str) -> None:
        if session_id in self.model.sessions:
            self.do((what, session_id, text if what == "title" else f"p/{text}"))

    @rule(session_id=sessions, how=st.sampled_from(("decision", "projector", "hidden")))
    def fail(self, session_id: str, how: str) -> None:
        self.do(("fail", session_id, how))

    @rule(session_id=sessions, end=st.sampled_from(("succeeded", "failed")))
    def execute(self, session_id: str, end: str) -> None:
        session = self.model.sessions.get(session_id)
        if session and session.status == "idle":
            self.do(("begin", session_id))
        elif session:
            self.do(("end", session_id, end))

    @rule(session_id=sessions, place=places, end=st.sampled_from(("stop", "failed")))
    def step(self, session_id: str, place: int, end: str) -> None:
        """Begin a Step, or go on with the one that is open, or end it."""
        session = self.model.sessions.get(session_id)
        if session is None:
            return
        message = session.open
        if message is None:
            self.do(("step", session_id))
        elif place < 4:
            self.do(("part", session_id, ("text", "reasoning")[place % 2], "said"))
        elif place < 8:
            tool = ("succeeded", "failed")[place % 2]
            self.do(("call", session_id, f"call_{len(message.parts)}", tool))
        else:
            self.do(("settle", session_id, message.id, end))

    @rule(session_id=sessions, place=places)
    def settle_whatever_it_is(self, session_id: str, place: int) -> None:
        """A message that has no running Step is refused."""
        session = self.model.sessions.get(session_id)
        ended = [one.id for one in session.messages if one.end] if session else []
        message_id = [*ended, "msg_nosuch"][place % (len(ended) + 1)]
        self.do(("settle", session_id, message_id, "stop"))

    @rule(session_id=sessions, what=st.sampled_from(("notice", "epoch", "update")))
    def tell(self, session_id: str, what: str) -> None:
        if session_id in self.model.sessions:
            self.do((what, session_id, *(() if what == "epoch" else ("news",))))

    @rule(session_id=sessions, place=places, side=sides)
    def permission(self, session_id: str, place: int, side: int) -> None:
        session = self.model.sessions.get(session_id)
        if session is None:
            return
        known = [*session.asked, "per_nosuch"]
        if place < 4:
            self.do(("ask", session_id), side=side)
        else:
            request_id = known[place % len(known)]
            self.do(("reply", session_id, request_id), side=side)

    @rule(session_id=sessions)
    def bulk(self, session_id: str) -> None:
        """More events than a reader takes at once."""
        session = self.model.sessions.get(session_id)
        if session and len(session.kinds) < 250:
            self.do(("bulk", session_id, 300))

    @rule(session_id=sessions, rows=st.booleans())
    def rebuild(self, session_id: str, rows: bool) -> None:
        """Every projection from the log alone: the rows are those that were there,
        whatever is there meanwhile."""
        for rooms in self.rooms:
            before = self.portal.call(rooms[0].store.read, everything)
            if rows and session_id in self.model.sessions:
                self.portal.call(rooms[0].store.transact, spoil(session_id))
            work = partial(self.rebuild_if_there, session_id)
            self.portal.call(rooms[0].store.transact, work)
            assert self.portal.call(rooms[0].store.read, everything) == before

    def rebuild_if_there(self, session_id: str, tx: Transaction) -> None:
        if session_id in self.model.sessions:
            count = rebuild(tx, session_id)
            assert count == len(self.model.sessions[session_id].kinds)

    @rule(session_id=sessions, cuts=st.lists(st.integers(1, 60), max_size=3))
    def carry(self, session_id: str, cuts: list[int]) -> None:
        """What another store makes of the exported log is what is here, and the keys
        are known there too."""
        if session_id not in self.model.sessions:
            return
        rooms = self.rooms[1][0]
        here = self.portal.call(rooms.store.read, everything)
        there = self.portal.call(carried, rooms, session_id, cuts)
        for held in (here, there):
            # Places are the store's own.
            mine = [one for one in held["log"] if one.session_id == session_id]
            held["log"] = [attrs.evolve(one, position=0) for one in mine]
            head, row, *rest = held[session_id]
            head = attrs.evolve(head, imported=())
            held[session_id] = (head, attrs.evolve(row, position=0), *rest)
        assert there["log"] == here["log"]
        assert there[session_id] == here[session_id]

    # --- readers ------------------------------------------------------------------

    @rule(session_id=st.none() | sessions, after=st.integers(-1, 20))
    @precondition(lambda self: len(self.followers) < 6)
    def follow(self, session_id: str | None, after: int) -> None:
        """From a random cursor; of the whole store in commit order without a session.
        Nobody follows from beyond the end: what is there then is not after it."""
        if session_id is None:
            last = len(self.model.log)
            self.followers.append(Follower(None, min(after, last)))
        elif session_id in self.model.sessions:
            last = self.model.sessions[session_id].head
            self.followers.append(Follower(session_id, min(after, last)))

    @rule(place=places, some=st.integers(1, 400))
    @precondition(lambda self: self.followers)
    def read(self, place: int, some: int) -> None:
        """Read on, at most so much; what comes is what comes next, once."""
        self.read_on(self.followers[place % len(self.followers)], some)

    @rule(session_id=sessions)
    @precondition(lambda self: self.followers)
    def hear_of_another_process(self, session_id: str) -> None:
        """Who has read everything is woken by what another process commits."""
        if session_id in self.model.sessions:
            for follower in self.followers:
                self.read_on(follower, 100_000)
            self.do(("notice", session_id, "from elsewhere"), side=1)
            for follower in self.followers:
                self.read_on(follower, 100_000)

    def read_on(self, follower: Follower, some: int) -> None:
        right = self.model_after(follower)[: len(follower.seen) + some]
        count = len(right) - len(follower.seen)
        got = [
            self.portal.call(self.next_of, follower, index, count) for index in (0, 1)
        ]
        assert got[0] == got[1]
        follower.seen += got[0]
        assert follower.seen == right

    def model_after(self, follower: Follower) -> list[tuple[str, int]]:
        if follower.session_id is None:
            # Positions begin at 1 and, in this proof, have no gaps.
            return self.model.log[max(follower.after, 0) :]
        head = self.model.sessions[follower.session_id].head
        return [(follower.session_id, n) for n in range(follower.after + 1, head + 1)]

    async def next_of(
        self, follower: Follower, index: int, count: int
    ) -> list[tuple[str, int]]:
        """Read so many from the follower's tail in one store."""
        log = self.rooms[index][0].log
        if len(follower.tails) <= index:
            if follower.session_id is None:
                after = max(follower.after, 0) + len(follower.seen)
                follower.tails.append(RuntimeTail(log, after, follow=True))
            else:
                after = follower.after + len(follower.seen)
                follower.tails.append(
                    Tail(log, follower.session_id, after, follow=True)
                )
        tail = follower.tails[index]
        found = []
        with anyio.fail_after(HANG):
            for _ in range(count):
                one = await anext(tail)
                event = getattr(one, "event", one)
                found.append((event.session_id, event.seq))
        if not self.ahead(follower, count):
            # There is nothing more, and a cancelled wait takes nothing with it.
            with anyio.move_on_after(0):
                found.append(await anext(tail))
        return found

    def ahead(self, follower: Follower, count: int) -> bool:
        return len(self.model_after(follower)) > len(follower.seen) + count

    @rule(place=places)
    @precondition(lambda self: self.followers)
    def stop_following(self, place: int) -> None:
        follower = self.followers.pop(place % len(self.followers))
        for tail in follower.tails:
            self.portal.call(tail.aclose)

    # --- listings -----------------------------------------------------------------

    @rule(
        session_id=st.none() | sessions,
        order=st.sampled_from(("asc", "desc")),
        limit=st.integers(1, 4),
    )
    @precondition(lambda self: len(self.walks) < 4)
    def walk(self, session_id: str | None, order: str, limit: int) -> None:
        if session_id is None or session_id in self.model.sessions:
            self.walks.append(Walk(session_id, order, limit))

    @rule(place=places, side=sides)
    @precondition(lambda self: self.walks)
    def turn_a_page(self, place: int, side: int) -> None:
        """Cursors are the same in both stores and good for either process."""
        walk = self.walks[place % len(self.walks)]
        if walk.done:
            self.walks.remove(walk)
            return
        pages = [
            self.portal.call(self.page_of, rooms[side], walk) for rooms in self.rooms
        ]
        assert pages[0] == pages[1]
        items, cursor = pages[0]
        assert (items, cursor is not None) == self.page_of_the_model(walk)
        walk.cursor = cursor
        walk.done = cursor is None
        self.portal.call(self.try_elsewhere, walk)

    async def page_of(self, rooms: Rooms, walk: Walk) -> tuple[list[Any], str | None]:
        if walk.session_id is None:
            listed = await rooms.sessions.list(limit=walk.limit, cursor=walk.cursor)
            return [info.id for info in listed], listed.cursor
        session = await rooms.session(walk.session_id)
        page = await session.messages(walk.limit, walk.cursor, walk.order)  # type: ignore[arg-type]
        return [plain(message) for message in page], page.cursor

    def page_of_the_model(self, walk: Walk) -> tuple[list[Any], bool]:
        if walk.session_id is None:
            listed = list(enumerate(self.model.sessions, 1))[::-1]
            left = [
                (number, one)
                for number, one in listed
                if walk.place is None or number < walk.place
            ]
        else:
            messages = self.model.sessions[walk.session_id].messages
            if walk.order == "desc":
                messages = messages[::-1]
            left = [
                (message.seq, message.plain())
                for message in messages
                if walk.place is None
                or (
                    message.seq < walk.place
                    if walk.order == "desc"
                    else message.seq > walk.place
                )
            ]
        page = left[: walk.limit]
        if page:
            walk.place = page[-1][0]
        return [item for _, item in page], len(left) > walk.limit

    async def try_elsewhere(self, walk: Walk) -> None:
        """A cursor of one listing is no cursor of another."""
        if walk.cursor is None:
            return
        rooms = self.rooms[1][0]
        if walk.session_id is not None:
            with pytest.raises(CursorInvalidError):
                await rooms.sessions.list(cursor=walk.cursor)
            session = await rooms.session(walk.session_id)
            other = "asc" if walk.order == "desc" else "desc"
            with pytest.raises(CursorInvalidError):
                await session.messages(cursor=walk.cursor, order=other)  # type: ignore[arg-type]

    # --- always -------------------------------------------------------------------

    @invariant()
    def both_stores_hold_the_same_and_are_sound(self) -> None:
        held = [
            self.portal.call(rooms[0].store.read, everything) for rooms in self.rooms
        ]
        assert held[0] == held[1]
        assert [(one.session_id, one.seq) for one in held[1]["log"]] == self.model.log
        assert self.portal.call(self.rooms[1][1].store.read, unsound) == []

    @invariant()
    def the_model_sees_what_an_application_sees(self) -> None:
        for session in self.model.sessions.values():
            self.compare_session(session)

    def compare_session(self, session: ModelSession) -> None:
        right = expected(session)
        for rooms in self.rooms:
            assert self.portal.call(observed, rooms[0], session.id) == right


TestRoomsAgree = RoomsAgree.TestCase
TestRoomsAgree.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestRoomsAgree.pytestmark = [
    pytest.mark.law("events.1", "events.2", "events.5"),
    pytest.mark.law("inbox.2", "inbox.3", "inbox.4"),
]
