"""Sessions through the door, under the laws that hold in the process."""

from pathlib import Path
from threading import get_ident
from typing import Any

import anyio
import httpx
import pytest
from dovetail.kernel import (
    AdmittedPrompt,
    AssistantMessage,
    Outcome,
    SessionInfo,
    UserMessage,
    from_json,
)
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from dovetail.plugins.http import sessions
from dovetail.plugins.http.operation import (
    AT_ONCE,
    OPERATIONS,
    answered,
    each,
)
from support.askers import AskingTools
from support.bounds import HANG
from support.doors import MODEL, Served, served


async def made(it: Served, id: str = "ses_a", **more: Any) -> Any:
    body = {"id": id, "model": MODEL, **more}
    return (await it.ask("POST", "session", json=body))["data"]


async def say(it: Served, words: str, status: int = 200, **more: Any) -> Any:
    body = {"prompt": {"text": words}, **more}
    answer = await it.ask("POST", "session/ses_a/prompt", status, json=body)
    return answer["data"] if status == 200 else answer


async def test_a_session_is_made_prompted_and_read() -> None:
    async with served(ScriptedProvider(text("Hello"))) as it:
        shown = await made(it, title="First")
        assert shown["model"] == MODEL
        assert shown["title"] == "First"
        info = from_json(shown["dovetail"], SessionInfo)
        assert info == await (await it.runtime.sessions.get("ses_a")).info()
        receipt = await say(it, "Hi", id="msg_mine")
        assert receipt["id"] == "msg_mine"
        assert (
            receipt["admittedSeq"]
            == from_json(receipt["dovetail"], AdmittedPrompt).cursor
        )
        await it.ask("POST", "session/ses_a/wait", 204)
        page = await it.ask("GET", "session/ses_a/message?order=asc")
        user, assistant = page["data"]
        assert (user["id"], user["type"], user["text"]) == ("msg_mine", "user", "Hi")
        assert assistant["content"][0]["text"] == "Hello"
        assert from_json(user["dovetail"], UserMessage).text == "Hi"
        found = from_json(assistant["dovetail"], AssistantMessage)
        assert found.text == "Hello"
        one = await it.ask("GET", f"session/ses_a/message/{assistant['id']}")
        assert one["data"] == assistant
        context = await it.ask("GET", "session/ses_a/context")
        assert [m["id"] for m in context["data"]] == [user["id"], assistant["id"]]
        ended = await it.ask("GET", "session/ses_a/outcome")
        assert from_json(ended["data"], Outcome).succeeded


async def test_how_it_ended_is_told_however_busy_the_server_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing runs, so nothing has to be waited for, and no time is too short."""
    monkeypatch.setattr(sessions, "AT_ONCE", 0)
    monkeypatch.setattr(sessions, "SETTLED", HANG)
    async with served(ScriptedProvider(text("Hello"))) as it:
        await made(it)
        await say(it, "Hi")
        await it.ask("POST", "session/ses_a/wait", 204)
        ended = await it.ask("GET", "session/ses_a/outcome")
        assert ended["data"]["status"] == "succeeded"


async def test_creating_again_returns_what_is_there() -> None:
    async with served() as it:
        first = await made(it, title="First")
        again = await made(it, title="Second")
        assert again["title"] == "First"
        assert again["time"]["created"] == first["time"]["created"]


async def test_a_key_in_the_header_or_in_the_body_admits_once() -> None:
    async with served() as it:
        await made(it)
        first = await say(it, "Hi", key="k", resume=False)
        answer = await it.http.post(
            "/api/session/ses_a/prompt",
            json={"prompt": {"text": "Hi"}, "resume": False},
            headers={"Idempotency-Key": "k"},
        )
        assert answer.json()["data"]["id"] == first["id"]
        told = await say(it, "Other", 409, key="k", resume=False)
        assert told["code"] == "prompt.conflict"
        assert told["details"]["differs"] == ["prompt"]
        pending = await it.ask("GET", "session/ses_a/pending")
        assert len(pending["data"]) == 1
        twice = await it.http.post(
            "/api/session/ses_a/prompt",
            json={"prompt": {"text": "Hi"}, "key": "other"},
            headers={"Idempotency-Key": "k"},
        )
        assert twice.status_code == 400


async def test_an_id_that_another_message_has_is_a_conflict() -> None:
    async with served() as it:
        await made(it)
        await say(it, "Hi", id="msg_a", key="one", resume=False)
        told = await say(it, "Hi", 409, id="msg_a", key="two", resume=False)
        assert told["details"]["differs"] == ["id"]
        same = await say(it, "Hi", id="msg_a", key="one", resume=False)
        assert same["id"] == "msg_a"


async def test_what_waits_is_redelivered_and_withdrawn_once() -> None:
    async with served() as it:
        await made(it)
        one = await say(it, "Hi", delivery="queue", resume=False)
        where = f"session/ses_a/pending/{one['id']}"
        await it.ask("DELETE", where, 204)
        await it.ask("DELETE", where, 204)
        told = await it.ask(
            "POST", f"{where}/delivery", 409, json={"delivery": "steer"}
        )
        assert told["code"] == "input.not_pending"
        told = await it.ask("DELETE", "session/ses_a/pending/msg_none", 404)
        assert told["code"] == "input.not_found"


async def test_waiting_ends_with_the_work_and_leaves_nothing_when_it_is_left() -> None:
    gate = Gate()
    async with served(ScriptedProvider([gate, *text("Done")])) as it:
        await made(it)
        await say(it, "Hi")
        await gate.reached()
        assert (await it.ask("GET", "session/active"))["data"] == {
            "ses_a": {"type": "running"}
        }
        still = await it.ask("GET", "session/ses_a/outcome?seconds=0.01")
        assert still["data"] is None
        with anyio.move_on_after(0.05):
            await it.http.post("/api/session/ses_a/wait")
        gate.open()
        await it.ask("POST", "session/ses_a/wait", 204)
        assert (await it.ask("GET", "session/active"))["data"] == {}
        with anyio.fail_after(HANG):
            while it.transport.running:
                await anyio.lowlevel.checkpoint()


async def test_an_interrupt_stops_the_work() -> None:
    gate = Gate()
    async with served(ScriptedProvider([gate])) as it:
        await made(it)
        await say(it, "Hi")
        await gate.reached()
        await it.ask("POST", "session/ses_a/interrupt", 204, json={"reason": "enough"})
        ended = await it.ask("GET", "session/ses_a/outcome?seconds=30")
        assert ended["data"]["status"] == "interrupted"


async def test_a_door_that_closes_ends_the_waiting() -> None:
    gate = Gate()
    async with served(ScriptedProvider([gate])) as it:
        await made(it)
        await say(it, "Hi")
        await gate.reached()
        found: list[httpx.Response] = []

        async def wait() -> None:
            found.append(await it.http.post("/api/session/ses_a/wait"))

        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                it.door.close()
        assert found[0].status_code == 503


async def test_permission_is_asked_for_and_given_once() -> None:
    model = ScriptedProvider(calls(call("paint")), text("Done"))
    async with served(model, AskingTools()) as it:
        await made(it)
        await say(it, "Paint")
        one = await waiting(it, "permission")
        assert (one["action"], one["resources"]) == ("paint", ["fence"])
        assert one["source"]["callID"] == "call_paint"
        listed = await it.ask("GET", "permission/request")
        assert listed["data"] == [one]
        where = f"session/ses_a/permission/{one['id']}"
        assert (await it.ask("GET", where))["data"] == one
        shown = one["dovetail"]["shown"]
        changed = {"reply": "once", "shown": "other"}
        told = await it.ask("POST", f"{where}/reply", 409, json=changed)
        assert told["code"] == "request.changed"
        always = {"reply": "always", "shown": shown}
        await it.ask("POST", f"{where}/reply", 204, json=always)
        told = await it.ask("POST", f"{where}/reply", 404, json={"reply": "reject"})
        assert told["code"] == "request.ended"
        await it.ask("GET", where, 404)
        await it.ask("POST", "session/ses_a/wait", 204)
        saved = (await it.ask("GET", "permission/saved"))["data"]
        assert [(s["action"], s["resource"]) for s in saved] == [("paint", "fence")]
        await it.ask("DELETE", f"permission/saved/{saved[0]['id']}", 204)
        told = await it.ask("DELETE", f"permission/saved/{saved[0]['id']}", 404)
        assert told["code"] == "approval.not_found"


async def waiting(it: Served, what: str) -> Any:
    with anyio.fail_after(HANG):
        while True:
            found = (await it.ask("GET", f"session/ses_a/{what}"))["data"]
            if found:
                return found[0]
            await anyio.lowlevel.checkpoint()


async def test_questions_are_answered_by_label_or_in_ones_own_words() -> None:
    model = ScriptedProvider(
        calls(call("colour", id="one")), calls(call("colour", id="two")), text("Done")
    )
    async with served(model, AskingTools()) as it:
        await made(it)
        await say(it, "Which?")
        one = await waiting(it, "question")
        assert one["questions"][0]["options"][1]["description"] == "as the sky"
        assert (await it.ask("GET", "question/request"))["data"] == [one]
        where = f"session/ses_a/question/{one['id']}/reply"
        await it.ask("POST", where, 422, json={"answers": []})
        await it.ask("POST", where, 204, json={"answers": [["blue"]]})
        with anyio.fail_after(HANG):
            while (two := await waiting(it, "question"))["id"] == one["id"]:
                await anyio.lowlevel.checkpoint()
        where = f"session/ses_a/question/{two['id']}/reply"
        await it.ask("POST", where, 204, json={"answers": [["green, please"]]})
        await it.ask("POST", "session/ses_a/wait", 204)
        page = await it.ask("GET", "session/ses_a/message?order=asc")
        told = [
            part["state"]["content"][0]["text"]
            for message in page["data"]
            for part in message.get("content", ())
            if part["type"] == "tool"
        ]
        assert told == [
            "chosen ['blue'] said None",
            "chosen [] said green, please",
        ]


async def test_questions_are_rejected_with_advice() -> None:
    model = ScriptedProvider(calls(call("colour")), text("Done"))
    async with served(model, AskingTools()) as it:
        await made(it)
        await say(it, "Which?")
        one = await waiting(it, "question")
        body = {"message": "choose yourself"}
        where = f"session/ses_a/question/{one['id']}/reject"
        await it.ask("POST", where, 204, json=body)
        ended = await it.ask("GET", "session/ses_a/outcome?seconds=30")
        assert ended["data"]["status"] == "succeeded"


async def test_a_session_is_changed_forked_and_carried() -> None:
    model = ScriptedProvider(text("One"), text("Two"))
    async with served(model) as it, served() as other:
        await made(it)
        await say(it, "Hi")
        await it.ask("POST", "session/ses_a/wait", 204)
        await it.ask("PUT", "session/ses_a/title", 204, json={"title": "Renamed"})
        await it.ask("POST", "session/ses_a/agent", 204, json={"agent": "plan"})
        switched = {"model": {"providerID": "scripted", "id": "other"}}
        await it.ask("POST", "session/ses_a/model", 204, json=switched)
        await it.ask("PUT", "session/ses_a/budget", 204, json={"budget": {"steps": 5}})
        told = {"instructions": "Be brief."}
        await it.ask("PUT", "session/ses_a/instructions", 204, json=told)
        shown = (await it.ask("GET", "session/ses_a"))["data"]
        assert shown["title"] == "Renamed"
        assert shown["agent"] == "plan"
        assert shown["model"]["id"] == "other"
        fork = await it.ask("POST", "session/ses_a/fork", json={"id": "ses_b"})
        assert fork["data"]["dovetail"]["forked_from"] == "ses_a"
        lineage = await it.ask("GET", "session/ses_b/lineage")
        assert lineage["data"][0]["session_id"] == "ses_a"
        lines = await it.http.get("/api/session/ses_a/export")
        assert lines.headers["content-type"].startswith("application/x-ndjson")
        moved = await other.ask("POST", "session/import", content=lines.content)
        assert moved["data"]["accepted"] == len(lines.text.splitlines())
        again = await other.ask("POST", "session/import", content=lines.content)
        assert again["data"]["accepted"] == 0
        assert await sound(it) == await sound(other)
        wrong = lines.content.replace(b"Renamed", b"Renewed")
        told = await other.ask("POST", "session/import", 422, content=wrong)
        assert told["code"] == "event.damaged"


async def sound(it: Served) -> str:
    found = (await it.ask("GET", "session/ses_a/verify"))["data"]
    assert found["problem"] is None
    return str(found["hash"])


async def test_a_message_is_hidden_and_seen_again() -> None:
    model = ScriptedProvider(text("One"), text("Two"))
    async with served(model) as it:
        await made(it)
        for number in ("first", "second"):
            await say(it, number, id=number)
            await it.ask("POST", "session/ses_a/wait", 204)
        staged = await it.ask(
            "POST", "session/ses_a/revert/stage", json={"messageID": "second"}
        )
        assert staged["data"]["messageID"] == "second"
        context = await it.ask("GET", "session/ses_a/context")
        assert "second" not in [one["id"] for one in context["data"]]
        await it.ask("POST", "session/ses_a/revert/clear", 204)
        context = await it.ask("GET", "session/ses_a/context")
        assert "second" in [one["id"] for one in context["data"]]
        first = {"messageID": "first"}
        await it.ask("POST", "session/ses_a/revert/stage", json=first)
        context = await it.ask("GET", "session/ses_a/context")
        assert not {"first", "second"} & {one["id"] for one in context["data"]}
        await it.ask("POST", "session/ses_a/revert/clear", 204)
        told = await it.ask("POST", "session/ses_a/revert/commit", 422)
        assert told["code"] == "server.unsupported"
        told = await it.ask("POST", "session/ses_a/revert/clear", 409)
        assert told["code"] == "session.nothing_reverted"


async def test_sessions_are_listed_by_page(tmp_path: Path) -> None:
    async with served() as it:
        for number in range(5):
            await made(it, f"ses_{number}", title=f"Number {number}")
        here = {"location": {"directory": str(tmp_path)}}
        await made(it, "ses_there", **here)
        page = await it.ask("GET", "session?limit=3&search=number")
        assert [one["id"] for one in page["data"]] == ["ses_4", "ses_3", "ses_2"]
        # As in the published surface, a cursor knows all that was asked for.
        rest = await it.ask("GET", "session", params={"cursor": page["cursor"]["next"]})
        assert [one["id"] for one in rest["data"]] == ["ses_1", "ses_0"]
        assert "next" not in rest["cursor"]
        back = {"cursor": rest["cursor"]["previous"], "limit": 2}
        before = await it.ask("GET", "session", params=back)
        assert [one["id"] for one in before["data"]] == ["ses_3", "ses_2"]
        there = await it.ask("GET", "session", params={"directory": str(tmp_path)})
        assert [one["id"] for one in there["data"]] == ["ses_there"]
        oldest = await it.ask("GET", "session?order=asc&limit=1")
        assert [one["id"] for one in oldest["data"]] == ["ses_0"]
        told = await it.ask("GET", "session?project=p", 422)
        assert told["code"] == "server.unsupported"
        told = await it.ask("GET", "session?cursor=e30x", 400)
        assert told["_tag"] == "InvalidCursorError"
        told = await it.ask("GET", "session?limit=0", 400)
        assert told["field"] == "limit"


async def test_what_is_attached_comes_by_content() -> None:
    async with served() as it:
        await made(it)
        files = [{"uri": "data:text/plain;base64,SGk=", "name": "hi.txt"}]
        body = {"prompt": {"text": "See", "files": files}, "resume": False}
        await it.ask("POST", "session/ses_a/prompt", json=body)
        [waits] = (await it.ask("GET", "session/ses_a/pending"))["data"]
        assert waits["prompt"]["files"][0]["data"] == "SGk="
        for uri in ("file:///etc/passwd", "https://example.org/x", "data:;base64,%"):
            body = {"prompt": {"text": "See", "files": [{"uri": uri}]}}
            await it.ask("POST", "session/ses_a/prompt", 422, json=body)


async def test_a_report_is_read_and_accepted_by_its_digest() -> None:
    async with served(ScriptedProvider(text("One"))) as it:
        await made(it)
        await say(it, "Hi", resume=False)
        report = (await it.ask("GET", "session/ses_a/continuation"))["data"]
        told = await it.ask(
            "POST", "session/ses_a/resume", 409, json={"accept": "another"}
        )
        assert told["code"] == "continuation.changed"
        ended = await it.ask(
            "POST",
            "session/ses_a/resume?seconds=30",
            json={"accept": report["digest"]},
        )
        assert ended["data"]["status"] == "succeeded"


async def test_an_error_while_waiting_is_told_as_what_it_is() -> None:
    async with served() as it:
        await made(it)
        told = await it.ask("GET", "session/ses_a/job/none/wait", 404)
        assert told["code"] == "job.not_found"


@pytest.mark.parametrize("many", [False, True])
async def test_many_values_are_shown_beside_the_event_loop(many: bool) -> None:
    values = range(AT_ONCE + 1 if many else AT_ONCE)
    shown = await each(lambda one: (one, get_ident()), values)
    assert [one for one, _ in shown] == list(values)
    beside = {where for _, where in shown} != {get_ident()}
    assert beside == many


async def test_what_may_be_long_is_written_beside_the_event_loop() -> None:
    [told] = [one for one in OPERATIONS if one.name == "session.told"]
    [health] = [one for one in OPERATIONS if one.name == "v2.health.get"]
    wrote: list[int] = []

    class Seen:
        def __str__(self) -> str:
            wrote.append(get_ident())
            return "said"

    for one in (told, health):
        await answered(one, {"data": Seen()})
    beside, here = wrote
    assert beside != get_ident()
    assert here == get_ident()


async def test_a_long_listing_is_whole() -> None:
    async with served(ScriptedProvider()) as it:
        await it.ask("POST", "session", json={"id": "ses_a", "model": MODEL})
        session = await it.runtime.sessions.get("ses_a")
        for number in range(AT_ONCE + 10):
            await session.prompt(f"say {number}", resume=False)
        found = (await it.ask("GET", "session/ses_a/pending"))["data"]
    assert [one["prompt"]["text"] for one in found] == [
        f"say {number}" for number in range(AT_ONCE + 10)
    ]
