"""``dovetail compact``: a summary by hand."""

import json

from support.commands import MODEL, Home, text
from support.replay import serve


async def test_a_session_is_compacted_and_shown_whole(home: Home) -> None:
    async with serve(text("One."), text("Two."), text("## Goal\nCount")) as server:
        home.serve_from(server.url)
        await home.do("run", "count", "--model", MODEL)
        await home.do("run", "--continue", "go on")
        [session] = (await home.do("sessions", "--json")).lines()
        done = await home.do("compact", str(session["id"]))
        shown = await home.do("show", str(session["id"]))
    assert done.code == 0
    assert "messages are replaced by a summary for the model" in done.err
    body = json.loads(server.requests[-1].body)
    assert "tools" not in body
    assert "count" in body["messages"][-1]["content"]
    for one in ("One.", "Two.", "(older history is being summarised", "replaced by"):
        assert one in shown.out


async def test_what_cannot_be_compacted_says_why(home: Home) -> None:
    async with serve(text("One."), text("## Goal\nCount")) as server:
        home.serve_from(server.url)
        await home.do("run", "count", "--model", MODEL)
        [session] = (await home.do("sessions", "--json")).lines()
        await home.do("compact", str(session["id"]))
        once = await home.do("compact", str(session["id"]), "--json")
        again = await home.do("compact", "nosuch")
    assert once.code == 1
    [event] = once.lines()
    assert event["failure"]["code"] == "compaction.nothing_older"
    assert again.code == 2
    assert "session.not_found" in again.err
