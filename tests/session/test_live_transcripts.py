"""What a recorded runtime of this kind did, ours does too, over the real tools.

The model says what it said in the transcripts, the prompts come when they came, and
the transcript, the order of what each request carried, the outcome of each call and
the files that are left must be the same. Where the recorded runtime is known to be
weak, the better behaviour is demanded instead.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.builtin_tools import plugin as builtin_tools
from dovetail.kernel import (
    AssistantMessage,
    Finish,
    Message,
    PromptConflictError,
    ProviderError,
    RequestNotFoundError,
    RetryPolicy,
    TextDelta,
    ToolCall,
    UserMessage,
)
from dovetail.kernel.testing import Gate, ScriptedProvider, finish, text
from support.bounds import HANG
from support.hosts import host

Answer = list[Any]

FILES = {
    "crlf.txt": "a\r\nb\r\nc\r\n",
    "bom.txt": "\ufeffhello\nworld\n",
    "a.txt": "one\ntwo\nthree\n",
    "src/y.py": "import x\nprint(x.f())\n",
    "src/x.py": "def f():\n    return 1\n",
}
RENAMED = {"oldString": "old_string", "newString": "new_string"}
RENAMED |= {"replaceAll": "replace_all"}


@pytest.fixture
def recorded(corpus: Any) -> Any:
    return lambda name: corpus("opencode-live-transcripts").json(f"{name}.json")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    for name, content in FILES.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    return place


def final_messages(transcript: Any) -> list[Any]:
    for step in transcript["steps"]:
        if step["note"] == "final messages":
            return list(step["response"]["body"]["data"])
    raise AssertionError("the transcript has no final messages")


def prompts(transcript: Any) -> Iterator[tuple[str, str]]:
    for step in transcript["steps"]:
        request = step.get("request") or {}
        if request.get("path", "").endswith("/prompt"):
            body = request["body"]
            yield body["prompt"]["text"], body.get("delivery", "steer")


def answers(messages: list[Any]) -> list[Answer]:
    """Return what the model said, message by message."""
    script = []
    for message in messages:
        if message["type"] != "assistant":
            continue
        beats: Answer = []
        for number, part in enumerate(message["content"]):
            if part["type"] == "text":
                beats.append(TextDelta(str(number), part["text"]))
            elif part["type"] == "tool":
                given = {
                    # Commands sleep too, a tenth of what they slept then.
                    RENAMED.get(name, name): re.sub(
                        r"\bsleep (\d);", r"sleep 0.\1;", value
                    )
                    if name == "command"
                    else value
                    for name, value in part["state"]["input"].items()
                }
                beats.append(ToolCall(part["id"], part["name"], json.dumps(given)))
        calls = any(isinstance(beat, ToolCall) for beat in beats)
        script.append([*beats, finish("tool_calls" if calls else "stop")])
    return script


def told(messages: list[Message]) -> list[tuple[str, str]]:
    """Return a history as the roles and texts of a chat request."""
    roles = []
    for message in messages:
        if isinstance(message, UserMessage):
            roles.append(("user", message.text))
        elif isinstance(message, AssistantMessage):
            roles.append(("assistant", message.text))
            roles += [("tool", part.call_id) for part in message.calls]
    return roles


def requests(transcript: Any) -> list[list[tuple[str, str]]]:
    """Return the recorded requests in the same form."""
    bodies = [one.get("body") or {} for one in transcript["provider_requests"]]
    return [
        [
            (
                message["role"],
                message["tool_call_id"]
                if message["role"] == "tool"
                else message.get("content") or "",
            )
            for message in body["messages"]
            if message["role"] != "system"
        ]
        for body in bodies
        if "messages" in body
    ]


@pytest.mark.parametrize(
    "name", ["01-text", "03-tool-read", "05-write-edit-patch", "07-parallel-tools"]
)
async def test_the_same_calls_have_the_same_outcomes_in_the_same_order(
    recorded: Any, project: Path, tmp_path: Path, name: str
) -> None:
    transcript = recorded(name)
    messages = final_messages(transcript)
    provider = ScriptedProvider(*answers(messages))
    async with host(
        tmp_path, provider, plugins=[builtin_tools], on_permission="allow"
    ) as runtime:
        session = await runtime.sessions.create(location=project, model=provider.model)
        for prompt, _ in prompts(transcript):
            await session.prompt(prompt)
            with anyio.fail_after(HANG):
                assert (await session.wait()).succeeded
        history = list(await session.history())
    for ours, theirs in zip(history, messages, strict=True):
        if isinstance(ours, AssistantMessage):
            parts = [part for part in theirs["content"] if part["type"] == "tool"]
            for part, recorded_part in zip(ours.calls, parts, strict=True):
                if part.tool != "apply_patch":  # not among our tools
                    failed = recorded_part["state"]["status"] == "error"
                    assert (part.state == "failed") is failed, part
    assert [told(list(one)) for one in provider.histories] == requests(transcript)
    if name != "05-write-edit-patch":
        left = {
            path: (project / path).read_bytes().decode()
            for path in transcript["final_tree"]
        }
        assert left == transcript["final_tree"]


@pytest.mark.law("inbox.5")
async def test_steers_and_queued_input_enter_where_they_entered(
    recorded: Any, project: Path, tmp_path: Path
) -> None:
    transcript = recorded("08-steer-and-queue")
    first, *later = answers(final_messages(transcript))
    gate = Gate()
    provider = ScriptedProvider([*first[:-1], gate, first[-1]], *later)
    async with host(
        tmp_path, provider, plugins=[builtin_tools], on_permission="allow"
    ) as runtime:
        session = await runtime.sessions.create(location=project, model=provider.model)
        said = list(prompts(transcript))
        await session.prompt(said[0][0])
        with anyio.fail_after(HANG):
            await gate.reached()
            for prompt, delivery in said[1:]:
                await session.prompt(prompt, delivery=delivery)  # type: ignore[arg-type]
            gate.open()
            assert (await session.wait()).succeeded
    assert [told(list(one)) for one in provider.histories] == requests(transcript)


@pytest.mark.law("execution.5")
async def test_an_interrupted_stream_keeps_its_text_and_the_next_prompt_follows_it(
    recorded: Any, project: Path, tmp_path: Path
) -> None:
    transcript = recorded("09-interrupt")
    first, second = answers(final_messages(transcript))
    gate = Gate()
    provider = ScriptedProvider([*first[:-1], gate, first[-1]], second)
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=project, model=provider.model)
        start, again = prompts(transcript)
        await session.prompt(start[0])
        with anyio.fail_after(HANG):
            await gate.reached()
            assert await session.interrupt()
            await session.wait()
        assert not await session.interrupt()
        await session.prompt(again[0])
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
    assert told(list(provider.histories[-1])) == requests(transcript)[-1]


@pytest.mark.law("inbox.3")
async def test_admission_is_repeated_as_recorded_and_a_conflict_stays_a_conflict(
    recorded: Any, project: Path, tmp_path: Path
) -> None:
    transcript = recorded("02-idempotent-admission")
    provider = ScriptedProvider(*[text("ok")] * 3)
    statuses = []
    expected = []
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=project, model=provider.model)
        for step in transcript["steps"]:
            request = step.get("request") or {}
            body = request.get("body") or {}
            if not request.get("path", "").endswith("/prompt") or "id" not in body:
                continue
            if f"/{request['path'].split('/')[3]}" not in _first_session(transcript):
                continue
            status = step["response"]["status"]
            if status not in (200, 409):
                continue
            try:
                await session.prompt(
                    body["prompt"]["text"],
                    key=body["id"],
                    delivery=body.get("delivery", "steer"),
                )
                statuses.append(200)
            except PromptConflictError:
                statuses.append(409)
            expected.append(status)
            with anyio.fail_after(HANG):
                await session.wait()
        users = [m for m in await session.history() if isinstance(m, UserMessage)]
    assert statuses == expected
    assert 409 in expected
    assert len(users) == 1


def _first_session(transcript: Any) -> str:
    for step in transcript["steps"]:
        request = step.get("request") or {}
        if request.get("path", "").endswith("/prompt"):
            return f"/{request['path'].split('/')[3]}"
    raise AssertionError("nobody prompts")


@pytest.mark.law("execution.7")
async def test_a_refused_key_ends_the_run_with_a_typed_record(
    project: Path, tmp_path: Path
) -> None:
    """The recorded runtime calls every error "unknown"; here it has its code."""
    refused = ProviderError(
        "provider.authentication", "scripted", "Incorrect API key", status=401
    )
    provider = ScriptedProvider([refused])
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=project, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
    assert outcome.reason is not None
    assert outcome.reason.code == "provider.authentication"


@pytest.mark.law("execution.8")
async def test_a_rate_limit_is_retried_and_leaves_a_trace(
    recorded: Any, project: Path, tmp_path: Path
) -> None:
    """The recorded runtime retries without a durable trace; here there is one."""
    transcript = recorded("11b-error-429")
    limited = ProviderError(
        "provider.rate_limited", "scripted", "slow down", status=429, retryable=True
    )
    provider = ScriptedProvider([limited], *answers(final_messages(transcript)))
    async with host(
        tmp_path, provider, retry=RetryPolicy(first=0.0, jitter=0.0)
    ) as runtime:
        session = await runtime.sessions.create(location=project, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        kinds = [event.kind async for event in session.events()]
    assert kinds.count("retry.scheduled") == 1


async def test_an_answer_cut_by_its_length_is_an_answer(
    recorded: Any, project: Path, tmp_path: Path
) -> None:
    transcript = recorded("11g-finish-length")
    [answer] = answers(final_messages(transcript))
    provider = ScriptedProvider([*answer[:-1], Finish("length")])
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=project, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        _, said = await session.history()
        assert isinstance(said, AssistantMessage)
        assert said.finish == "length"


@pytest.mark.law("access.5")
async def test_permission_is_answered_once_and_a_refusal_ends_the_run(
    recorded: Any, project: Path, tmp_path: Path
) -> None:
    transcript = recorded("13-permission-ask")
    provider = ScriptedProvider(*answers(final_messages(transcript)))
    asked = [
        step["response"]["body"]["data"][0]
        for step in transcript["steps"]
        if step["note"] == "pending"
    ]
    async with host(tmp_path, provider, plugins=[builtin_tools]) as runtime:
        session = await runtime.sessions.create(location=project, model=provider.model)
        permissions = runtime.location(project).permissions
        await session.prompt("go")
        for recorded_request, reply in zip(asked, ("once", "reject"), strict=True):
            with anyio.fail_after(HANG):
                pending = await _pending(session, permissions)
            assert pending.action == recorded_request["action"]
            assert list(pending.resources) == recorded_request["resources"]
            await permissions.reply(pending.id, reply)
            with pytest.raises(RequestNotFoundError):
                await permissions.reply(pending.id, reply)
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.status == "interrupted"
        assert outcome.reason is not None
        assert outcome.reason.code == "permission.rejected"
    assert provider.unused == 0
    assert set(os.listdir(project)) == {
        Path(path).parts[0] for path in transcript["final_tree"]
    }


async def _pending(session: Any, permissions: Any) -> Any:
    async for _ in session.events(follow=True):
        found = await permissions.pending()
        if found:
            return found[0]
    raise AssertionError("nothing was asked")
