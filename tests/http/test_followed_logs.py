"""A log that is followed over the wire: nothing of it is left out in silence."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import httpx
import pytest
from dovetail.kernel import (
    Event,
    ServerAnswerError,
    ServerLogError,
    ServerUnreachableError,
    SessionRemoved,
    SessionTitled,
    UnreadableEvent,
    event_to_json,
)
from dovetail.plugins.client import RemoteRuntime, connect
from hypothesis import given, strategies as st
from support.bounds import HANG

Frame = tuple[int, dict[str, Any]]
Fault = Callable[[list[Frame]], Sequence[Frame]]


def renamed(seq: int, session: str = "ses_a", created: int = 1) -> Event:
    return SessionTitled(
        session_id=session, seq=seq, created=created + seq, title=f"Title {seq}"
    )


class Server(httpx.AsyncBaseTransport):
    """Tells a log as a server does. What a connection tells is changed by the fault
    whose turn it is; after the last one nothing is."""

    def __init__(self, log: Sequence[Event], *faults: Fault) -> None:
        self.log: list[Frame] = [
            (place, event_to_json(event)) for place, event in enumerate(log)
        ]
        self.faults = list(faults)
        self.asked: list[int] = []
        self.ends = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        after = int(request.url.params["after"])
        self.asked.append(after)
        told: Sequence[Frame] = [one for one in self.log if one[0] > after]
        if self.faults:
            told = self.faults.pop(0)(list(told))
        text = "".join(map(frame, told))
        cursor = max([after, *(place for place, _ in self.log)])
        mark = {"type": "synced", "cursor": None if cursor < 0 else cursor}
        if self.ends:
            text += f"event: synced\ndata: {json.dumps(mark)}\n\n"
        headers = {"content-type": "text/event-stream"}
        return httpx.Response(200, headers=headers, content=text)

    def connect(self, **options: Any) -> RemoteRuntime:
        return connect("http://127.0.0.1:4096", transport=self, **options)


def frame(told: Frame) -> str:
    place, event = told
    data = {"id": "x", "type": event["kind"], "data": event}
    return f"id: {place}\ndata: {json.dumps(data)}\n\n"


def without(*places: int) -> Fault:
    return lambda told: [one for one in told if one[0] not in places]


async def read(tail: Any) -> tuple[list[int], ServerLogError | None]:
    """Return the numbers that were given, and why there are no more."""
    given: list[int] = []
    with anyio.fail_after(HANG):
        try:
            async with tail:
                async for event in tail:
                    given.append(getattr(event, "event", event).seq)
        except ServerLogError as error:
            return given, error
    return given, None


LOG = [renamed(seq) for seq in range(8)]


@pytest.mark.law("events.5")
async def test_what_was_left_out_is_read_again_from_where_the_reader_is() -> None:
    server = Server(LOG, without(3, 4))
    async with server.connect() as runtime:
        assert await read(runtime.sessions.at("ses_a").events()) == (
            [*range(8)],
            None,
        )
    # The last one that was given is told once more: it says that it is the same log.
    assert server.asked == [-1, 1]


@pytest.mark.law("events.5")
async def test_what_is_missing_for_good_is_named_after_all_before_it() -> None:
    server = Server(LOG, *[without(3, 4)] * 3)
    async with server.connect() as runtime:
        session = runtime.sessions.at("ses_a")
        given, error = await read(session.events())
        assert given == [0, 1, 2]
        assert error is not None
        assert (error.session_id, error.due, error.came) == ("ses_a", 3, 5)
        assert error.origin == "http://127.0.0.1:4096"
        assert "'ses_a'" in str(error)
        assert "127.0.0.1:4096" in str(error)
        assert len(server.asked) == 2
        # Who wants the rest all the same reads on.
        assert await read(session.events(error.came - 1)) == ([5, 6, 7], None)


@pytest.mark.law("events.5")
async def test_a_log_that_ends_without_a_mark_was_cut_off() -> None:
    server = Server(LOG)
    server.ends = False
    async with server.connect() as runtime:
        for tail in (runtime.sessions.at("ses_a").events(), runtime.events()):
            with pytest.raises(ServerUnreachableError):
                async for _ in tail:
                    pass
            assert tail.cursor == 7


@pytest.mark.parametrize(
    "fault",
    [
        lambda told: [*told[:4], told[1], *told[4:]],
        lambda told: [told[0], told[0], *told[1:]],
        lambda told: [told[1], told[0], *told[2:]],
        lambda told: told[::-1],
    ],
    ids=["back", "twice", "swapped", "backwards"],
)
@pytest.mark.law("events.5")
async def test_a_number_that_goes_back_is_named(fault: Fault) -> None:
    server = Server(LOG, fault)
    async with server.connect() as runtime:
        assert await read(runtime.sessions.at("ses_a").events()) == (
            [*range(8)],
            None,
        )
        server.faults = [fault]
        assert await read(runtime.events()) == ([*range(8)], None)
        # A server that goes on like this is not believed.
        for tail in (runtime.sessions.at("ses_a").events(3), runtime.events(3)):
            server.faults = [lambda told: server.log[1:2]] * 2
            given, error = await read(tail)
            assert given == []
            assert error is not None
            assert (error.due, error.came) == (4, 1)


@pytest.mark.parametrize(
    "other",
    [LOG[:4], [renamed(seq, created=9) for seq in range(12)], []],
    ids=["older", "other", "empty"],
)
async def test_another_log_behind_the_same_address_is_named(
    other: Sequence[Event],
) -> None:
    server = Server(LOG)
    async with server.connect() as runtime:
        tail = runtime.sessions.at("ses_a").events(follow=True)
        with anyio.fail_after(HANG):
            assert [(await anext(tail)).seq for _ in range(8)] == [*range(8)]
            # As after a restart with a backup: the server comes back without the end.
            server.log = Server(other).log
            with pytest.raises(ServerLogError) as caught:
                await anext(tail)
        assert caught.value.due == 7
        await tail.aclose()


async def test_a_log_of_all_sessions_lacks_nothing_of_any() -> None:
    log = [
        renamed(seq, session)
        for seq in range(4)
        for session in ("ses_a", "ses_b", "ses_c")
    ]
    async with Server(log).connect() as runtime:
        assert (await read(runtime.events()))[0] == [one.seq for one in log]
    # What is missed is noticed with the next one of its session.
    server = Server(log, without(5))
    async with server.connect() as runtime:
        given, error = await read(runtime.events())
        assert given == [0, 0, 0, 1, 1, 2, 2]
        assert error is not None
        assert (error.session_id, error.due, error.came) == ("ses_c", 1, 2)
    # Where it was begun in the middle, the first one of a session may be any.
    async with Server(log, *[without(8)] * 2).connect() as runtime:
        given, error = await read(runtime.events(4))
        assert given == [1, 2, 2, 3, 3]
        assert error is not None
        assert (error.session_id, error.due) == ("ses_c", 2)


async def test_a_removed_session_ends_wherever_it_was_read_to() -> None:
    removed = SessionRemoved(session_id="ses_a", seq=6, created=9)
    for log in ([*LOG[:3], removed], [removed]):
        server = Server([])
        server.log = [(one.seq, event_to_json(one)) for one in log]
        async with server.connect() as runtime:
            tail = runtime.sessions.at("ses_a").events(follow=True)
            assert (await read(tail))[0] == [one.seq for one in log]
            # Also to who waits for what is further on than it ended.
            tail = runtime.sessions.at("ses_a").events(20, follow=True)
            server.faults = [lambda told: [(6, event_to_json(removed))]]
            assert await read(tail) == ([6], None)
        server = Server([*log, renamed(0, "ses_b")])
        async with server.connect() as runtime:
            given = (await read(runtime.events()))[0]
            assert given == [*(one.seq for one in log), 0]


@pytest.mark.law("events.6")
async def test_what_a_newer_server_tells_is_told_as_what_cannot_be_read() -> None:
    newer = {**event_to_json(LOG[1]), "kind": "session.dreamt", "dream": {}}
    later = {**event_to_json(LOG[2]), "version": 99}
    server = Server(LOG)
    server.log[1:3] = [(1, newer), (2, later)]
    async with server.connect() as runtime:
        tail = runtime.sessions.at("ses_a").events()
        found = [one async for one in tail]
        assert [one.seq for one in found] == [*range(8)]
        for one, kind in zip(found[1:3], ("session.dreamt", newer_kind()), strict=True):
            assert isinstance(one, UnreadableEvent)
            assert one.stored_kind == kind
            assert not one.is_damaged
        # As such it is sent on, too, by a server that cannot read it itself.
        server.log[1] = (1, event_to_json(found[1]))
        again = [one async for one in runtime.sessions.at("ses_a").events()]
        assert again == found


def newer_kind() -> str:
    return str(LOG[2].kind)


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"seq": 5}, ("data", "seq")),
        ({"session_id": "ses_b"}, ("data", "session_id")),
        ({"title": 5}, ("data", "title")),
        ({"kind": "live.delta"}, ("data",)),
    ],
)
async def test_an_event_that_contradicts_itself_is_an_answer_of_no_server_of_ours(
    changed: dict[str, Any], path: tuple[str, ...]
) -> None:
    server = Server(LOG)
    server.log[2] = (2, {**server.log[2][1], **changed})
    async with server.connect() as runtime:
        tail = runtime.sessions.at("ses_a").events()
        with pytest.raises(ServerAnswerError) as caught:
            async for _ in tail:
                pass
        assert tail.cursor == 1
        assert caught.value.path[: len(path)] == path


async def test_a_server_that_breaks_off_at_once_is_not_asked_without_a_pause() -> None:
    server = Server([])
    server.ends = False
    async with server.connect(patience=1) as runtime:
        with anyio.fail_after(HANG), pytest.raises(ServerUnreachableError):
            await anext(runtime.sessions.at("ses_a").events(follow=True))
    # One at once, and then after a tenth of a second, two, four and so on.
    assert 1 <= len(server.asked) <= 6


class Between(Server):
    """A server behind a proxy, which answers for it while it is away."""

    away = 3

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if len(self.asked) > 1 and self.away:
            self.away -= 1
            return httpx.Response(
                (502, 503, 504)[self.away], content=b"<html>Bad Gateway</html>"
            )
        return answer


async def test_a_proxy_that_finds_no_server_is_as_good_as_nobody() -> None:
    server = Between(LOG)
    heard: list[bool] = []
    async with server.connect() as runtime:
        runtime.hear_reach(heard.append)
        tail = runtime.sessions.at("ses_a").events(follow=True)
        with anyio.fail_after(HANG):
            given = [(await anext(tail)).seq for _ in range(8)]
            server.log.append((8, event_to_json(renamed(8))))
            given.append((await anext(tail)).seq)
        await tail.aclose()
        assert given == [*range(9)]
        assert heard == [False, True]

    def nobody(_: httpx.Request) -> httpx.Response:
        return httpx.Response(502, content=b"<html>Bad Gateway</html>")

    transport = httpx.MockTransport(nobody)
    async with connect("http://localhost", transport=transport) as runtime:
        with pytest.raises(ServerUnreachableError, match="502"):
            await runtime.sessions.at("ses_a").info()


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    """Anything that a connection may do to what is told."""
    what = draw(st.sampled_from(["drop", "repeat", "swap", "cut", "none"]))
    at, to = draw(st.integers(0, 11)), draw(st.integers(0, 11))

    def change(told: list[Frame]) -> Sequence[Frame]:
        made = list(told)
        if made and what != "none":
            one, other = at % len(made), to % len(made)
            match what:
                case "drop":
                    del made[one]
                case "repeat":
                    made.insert(other, made[one])
                case "swap":
                    made[one], made[other] = made[other], made[one]
                case "cut":
                    del made[one:]
        return made

    return change


@pytest.mark.law("events.5")
@given(st.lists(faults(), max_size=6), st.integers(-1, 11), st.booleans())
def test_whatever_happens_on_the_way_a_reader_has_all_or_is_told(
    changes: list[Fault], after: int, whole: bool
) -> None:
    log = [renamed(seq) for seq in range(12)]

    async def run(after: int) -> None:
        server = Server(log, *changes)
        async with server.connect() as runtime:
            if whole:
                after = -1
                tail: Any = runtime.events()
            else:
                tail = runtime.sessions.at("ses_a").events(after)
            given, error = await read(tail)
            due = [*range(after + 1, 12)]
            assert given == due[: len(given)]
            assert error is not None or given == due

    anyio.run(run, after)
