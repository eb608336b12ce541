"""Sessions of an editor: begun, listed, gone on with, set and closed; what is asked."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import (
    LocationNotFoundError,
    PromptArgument,
    PromptCommand,
    PromptSource,
    Register,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.testing.scripted import (
    Gate,
    ScriptedProvider,
    call,
    calls,
    finish,
    text,
)
from dovetail.plugins.mcp import McpPlugin
from support.acp_client import REQUESTS, Client, Failed, check, connected, opened


@pytest.fixture
def anyio_backend() -> str:
    """One loop: how a conversation waits is tried on both elsewhere."""
    return "asyncio"


SKILL = "---\nname: tidy\ndescription: Tidies up.\n---\nTidy everything up.\n"


async def test_without_any_model_the_editor_is_told_what_to_do(tmp_path: Path) -> None:
    async with (
        open_runtime("sqlite://", allow_plugins=["sqlite"]) as runtime,
        connected(runtime) as client,
    ):
        begun = await client.initialize()
        [method] = begun["authMethods"]
        assert "dovetail.toml" in method["description"]
        for ask in (
            client.begin("session/new", cwd=str(tmp_path), mcpServers=[]),
            client.begin("authenticate", methodId=method["id"]),
        ):
            with pytest.raises(Failed, match="no model is selected") as caught:
                await client.end(await ask)
            assert caught.value.number == -32000
        with pytest.raises(Failed) as caught:
            await client.call("authenticate", methodId="other")
        assert caught.value.number == -32602


async def test_a_model_is_chosen_in_the_session_where_none_is_configured(
    tmp_path: Path,
) -> None:
    model = ScriptedProvider(text("Hello."))
    async with (
        open_runtime("sqlite://", plugins=[model]) as runtime,
        connected(runtime) as client,
    ):
        await client.initialize()
        made = await client.call("session/new", cwd=str(tmp_path), mcpServers=[])
        session_id = made["sessionId"]
        [chosen] = [one for one in made["configOptions"] if one["id"] == "model"]
        assert chosen["currentValue"] == ""
        assert "scripted/model" in [one["value"] for one in chosen["options"]]
        with pytest.raises(Failed) as caught:
            await client.prompt(session_id, "hi")
        assert caught.value.number == -32000
        for value in ("", "none/such", "scripted"):
            with pytest.raises(Failed):
                await client.set(session_id, "model", value)
        answer = await client.set(session_id, "model", "scripted/model")
        [chosen] = [one for one in answer["configOptions"] if one["id"] == "model"]
        assert chosen["currentValue"] == "scripted/model"
        assert await client.prompt(session_id, "hi") == "end_turn"


async def test_modes_are_agents_and_another_door_may_change_them(
    tmp_path: Path,
) -> None:
    async with (
        open_runtime("sqlite://", plugins=[ScriptedProvider()]) as runtime,
        connected(runtime) as client,
    ):
        await client.initialize()
        made = await client.call("session/new", cwd=str(tmp_path), mcpServers=[])
        session_id = made["sessionId"]
        assert made["modes"]["currentModeId"] == "build"
        assert {"build", "plan"} <= {
            one["id"] for one in made["modes"]["availableModes"]
        }
        await client.call("session/set_mode", sessionId=session_id, modeId="plan")
        session = await runtime.sessions.get(session_id)
        assert (await session.info()).agent == "plan"
        await session.switch_agent("explore")
        await client.until(lambda: len(client.updates("current_mode_update")) == 2)
        told = [one["currentModeId"] for one in client.updates("current_mode_update")]
        # How it is, whenever that is told.
        assert told[-1] == "explore"
        with pytest.raises(Failed) as caught:
            await client.call("session/set_mode", sessionId=session_id, modeId="nobody")
        assert caught.value.number == -32002


async def test_sessions_are_listed_where_they_are_and_when_they_said_something(
    tmp_path: Path,
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    model = ScriptedProvider(text("One."), text("Two."))
    async with (
        open_runtime("sqlite://", plugins=[model]) as runtime,
        connected(runtime) as client,
    ):
        await client.initialize()
        first = await client.new(here)
        second = await client.new(there)
        await client.new(here)
        await client.prompt(first, "the first of all")
        await client.prompt(second, "the second")
        listed = await client.call("session/list", cwd=str(here))
        [one] = listed["sessions"]
        assert (one["sessionId"], one["title"]) == (first, "the first of all")
        assert one["cwd"] == str(here)
        everywhere = await client.call("session/list")
        assert {one["sessionId"] for one in everywhere["sessions"]} == {first, second}
        with pytest.raises(Failed):
            await client.call("session/list", cursor="no cursor")


async def test_resume_tells_nothing_of_the_past_and_fork_shares_it(
    tmp_path: Path,
) -> None:
    model = ScriptedProvider(text("One."), text("Two."), text("Three."))
    async with open_runtime("sqlite://", plugins=[model]) as runtime:
        async with connected(runtime) as client:
            await client.initialize()
            session_id = await client.new(tmp_path)
            await client.prompt(session_id, "first")
        async with connected(runtime) as client:
            await client.initialize()
            where = {"sessionId": session_id, "cwd": str(tmp_path)}
            await client.call("session/resume", **where)
            assert await client.prompt(session_id, "second") == "end_turn"
            assert client.said() == "Two."
            fork = (await client.call("session/fork", **where))["sessionId"]
            assert fork != session_id
            assert await client.prompt(fork, "third") == "end_turn"
        async with connected(runtime) as client:
            await client.initialize()
            await client.call(
                "session/load", sessionId=fork, cwd=str(tmp_path), mcpServers=[]
            )
            assert client.said("user_message_chunk") == "firstsecondthird"
            assert client.said() == "One.Two.Three."


async def test_a_session_works_in_its_own_directory_only(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with opened(tmp_path, ScriptedProvider()) as (_, client, session_id):
        for method in ("session/load", "session/resume", "session/fork"):
            with pytest.raises(Failed, match="works in") as caught:
                await client.call(
                    method,
                    sessionId=session_id,
                    cwd=str(tmp_path / "other"),
                    mcpServers=[],
                )
            assert caught.value.number == -32602
        with pytest.raises(Failed, match="additionalDirectories"):
            await client.call(
                "session/new",
                cwd=str(tmp_path),
                mcpServers=[],
                additionalDirectories=["/"],
            )


async def test_close_settles_what_runs_and_is_told_nothing_more(
    tmp_path: Path,
) -> None:
    gate = Gate()
    model = ScriptedProvider([*text("Half")[:1], gate, finish()], text("Later."))
    async with opened(tmp_path, model) as (runtime, client, session_id):
        number = await client.begin_prompt(session_id, "go")
        await gate.reached()
        await client.call("session/close", sessionId=session_id)
        assert (await client.end(number))["stopReason"] == "cancelled"
        session = await runtime.sessions.get(session_id)
        await session.prompt("later")
        await session.wait()
        assert client.said() == "Half"
        with pytest.raises(Failed):
            await client.prompt(session_id, "again")


async def test_a_skill_is_a_command(tmp_path: Path) -> None:
    folder = tmp_path / ".dovetail" / "skills" / "tidy"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(SKILL)
    model = ScriptedProvider(text("Tidied."), text("Said."))
    async with opened(tmp_path, model) as (_, client, session_id):
        [told] = await client.until(lambda: client.updates("available_commands_update"))
        names = [one["name"] for one in told["availableCommands"]]
        assert names == ["compact", "tidy"]
        assert await client.prompt(session_id, "/tidy the attic") == "end_turn"
        assert await client.prompt(session_id, "/etc/passwd is a file") == "end_turn"
        said = [m.text for m in model.histories[-1] if m.type == "user"]
        assert said == [
            "Use the skill 'tidy'.\n\nthe attic",
            "/etc/passwd is a file",
        ]


async def test_a_prompt_of_a_plugin_is_a_command(tmp_path: Path) -> None:
    class Says:
        @hookimpl
        def dovetail_register_prompts(self, register: Register[PromptSource]) -> None:
            async def write(given: Mapping[str, str]) -> str:
                return f"Look at {given['issue']}."

            takes = [PromptArgument("issue", required=True), PromptArgument("note")]
            triage = PromptCommand("tracker:triage", write, "Looks", takes)

            async def commands() -> Sequence[PromptCommand]:
                return [triage]

            register(PromptSource("tracker/prompts", commands))

    model = ScriptedProvider(text("Looked."))
    async with opened(tmp_path, model, Says()) as (_, client, session_id):
        told = await client.until(
            lambda: client.updates("available_commands_update")[1:]
        )
        one = told[0]["availableCommands"][-1]
        assert (one["name"], one["input"]["hint"]) == (
            "tracker:triage",
            "issue=... [note=...]",
        )
        assert await client.prompt(session_id, "/tracker:triage 42") == "end_turn"
        with pytest.raises(Failed, match="issue="):
            await client.prompt(session_id, "/tracker:triage")
        said = [m.text for m in model.histories[-1] if m.type == "user"]
        assert said == ["Look at 42."]


async def test_compact_is_a_command_that_says_what_came_of_it(tmp_path: Path) -> None:
    async with opened(tmp_path, ScriptedProvider()) as (_, client, session_id):
        assert await client.prompt(session_id, "/compact") == "end_turn"
        assert client.said().startswith("Nothing was compacted")


QUESTION = {
    "questions": [
        {
            "question": "Which colour?",
            "options": [
                {"label": "Red"},
                {"label": "Blue", "description": "As the sea"},
            ],
        }
    ]
}


async def asked(client: Client, model: ScriptedProvider) -> str:
    """Return what the model was told when it had asked."""
    history = model.histories[-1]
    [answered] = [one for m in history if m.type == "assistant" for one in m.calls]
    return answered.text


async def test_a_choice_is_shown_like_a_permission_where_there_are_no_forms(
    tmp_path: Path,
) -> None:
    model = ScriptedProvider(calls(call("question", QUESTION)), text("Blue."))
    async with opened(tmp_path, model) as (_, client, session_id):

        async def choose(params: dict[str, Any]) -> object:
            [blue] = [one for one in params["options"] if one["name"] == "Blue"]
            outcome = {"outcome": "selected", "optionId": blue["optionId"]}
            return {"outcome": outcome}

        client.answering["session/request_permission"] = choose
        assert await client.prompt(session_id, "ask me") == "end_turn"
        assert "Blue" in await asked(client, model)


async def test_what_cannot_be_shown_is_asked_in_the_answer(tmp_path: Path) -> None:
    several = {"questions": [{"question": "Why?"}]}
    model = ScriptedProvider(calls(call("question", several)), text("Why, then?"))
    async with opened(tmp_path, model) as (_, client, session_id):
        assert await client.prompt(session_id, "ask me") == "end_turn"
        assert "in your answer" in await asked(client, model)
        assert client.requests("session/request_permission") == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"action": "accept", "content": {"q1": "Blue"}}, "Blue"),
        ({"action": "accept", "content": {"q1_words": "Green"}}, "Green"),
        ({"action": "accept", "content": {"q1": "None of them"}}, ""),
        ({"action": "decline"}, "did not want to answer"),
        ({"action": "cancel"}, "did not want to answer"),
        ("rubbish", "did not want to answer"),
    ],
    ids=["choice", "words", "unknown", "decline", "cancel", "rubbish"],
)
async def test_questions_are_a_form_where_the_client_shows_forms(
    tmp_path: Path, answer: object, told: str
) -> None:
    model = ScriptedProvider(calls(call("question", QUESTION)), text("So it is."))
    async with opened(tmp_path, model, elicitation={"form": {}}) as (
        _,
        client,
        session_id,
    ):

        async def fill(params: dict[str, Any]) -> object:
            field = params["requestedSchema"]["properties"]["q1"]
            assert [one["const"] for one in field["oneOf"]] == ["Red", "Blue"]
            return answer

        client.answering["elicitation/create"] = fill
        assert await client.prompt(session_id, "ask me") == "end_turn"
        assert told in await asked(client, model)


async def test_a_rejection_may_say_what_to_do_instead(tmp_path: Path) -> None:
    model = ScriptedProvider(
        calls(call("bash", {"command": "make"})), text("So it is.")
    )
    async with opened(tmp_path, model, elicitation={"form": {}}) as (
        _,
        client,
        session_id,
    ):

        async def advise(params: dict[str, Any]) -> object:
            return {"outcome": {"outcome": "selected", "optionId": "advise"}}

        async def say(params: dict[str, Any]) -> object:
            return {"action": "accept", "content": {"advice": "Use ninja."}}

        client.answering["session/request_permission"] = advise
        client.answering["elicitation/create"] = say
        assert await client.prompt(session_id, "build it") == "end_turn"
        assert "Use ninja." in await asked(client, model)


@pytest.mark.parametrize("method", ["session/request_permission", "elicitation/create"])
async def test_what_the_client_cannot_ask_is_refused_and_hangs_nobody(
    tmp_path: Path, method: str
) -> None:
    first = call("bash", {"command": "touch made"})
    if method == "elicitation/create":
        first = call("question", QUESTION)
    model = ScriptedProvider(calls(first), text("Then not."))
    async with opened(tmp_path, model, elicitation={"form": {}}) as (
        _,
        client,
        session_id,
    ):
        number = await client.begin_prompt(session_id, "go")
        [request] = await client.until(lambda: client.requests(method))
        error = {"code": -32601, "message": "Method not found"}
        await client.write({"jsonrpc": "2.0", "id": request["id"], "error": error})
        assert (await client.end(number))["stopReason"] == "end_turn"
        assert "This editor" in await asked(client, model)
        assert not (tmp_path / "made").exists()


async def test_a_prompt_may_be_cancelled_as_a_request(tmp_path: Path) -> None:
    gate = Gate()
    model = ScriptedProvider([*text("Half")[:1], gate, finish()])
    async with opened(tmp_path, model) as (runtime, client, session_id):
        number = await client.begin_prompt(session_id, "go")
        await gate.reached()
        await client.notify("$/cancel_request", requestId=number)
        with pytest.raises(Failed) as caught:
            await client.end(number)
        assert caught.value.number == -32800
        session = await runtime.sessions.get(session_id)
        assert (await session.info()).outcome.status == "interrupted"


async def test_always_saves_what_the_option_says(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    change = {"path": "a.txt", "old_string": "one", "new_string": "two"}
    model = ScriptedProvider(calls(call("edit", change)), text("Done."))
    async with opened(tmp_path, model) as (runtime, client, session_id):

        async def always(params: dict[str, Any]) -> object:
            [option] = [o for o in params["options"] if o["kind"] == "allow_always"]
            assert option["name"] == "Always allow here: edit a.txt"
            return {"outcome": {"outcome": "selected", "optionId": "always"}}

        client.answering["session/request_permission"] = always
        assert await client.prompt(session_id, "change it") == "end_turn"
        [saved] = await runtime.location(tmp_path).permissions.saved()
        assert saved.action == "edit"


SERVER = """\
import json, sys

TOOL = {
    "name": "strike",
    "description": "Strike the hour.",
    "inputSchema": {"type": "object", "properties": {"hour": {"type": "integer"}}},
}
for line in sys.stdin:
    asked = json.loads(line)
    given = asked.get("params") or {}
    answers = {
        "initialize": {
            "protocolVersion": given.get("protocolVersion"),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "clock", "version": "1"},
        },
        "tools/list": {"tools": [TOOL]},
    }
    if asked["method"] == "tools/call":
        said = "bong " * given["arguments"]["hour"]
        answers["tools/call"] = {"content": [{"type": "text", "text": said}]}
    if "id" in asked:
        result = answers.get(asked["method"], {})
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}))
        sys.stdout.flush()
"""


async def test_servers_that_an_editor_hands_over_are_offered_with_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dovetail.plugins.acp import servers

    made_plugins: list[McpPlugin] = []

    def recorded(*given: Any, **named: Any) -> McpPlugin:
        made_plugins.append(McpPlugin(*given, **named))
        return made_plugins[-1]

    monkeypatch.setattr(servers, "McpPlugin", recorded)
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    model = ScriptedProvider(
        calls(call("town-clock_strike", {"hour": 2})), text("Two o'clock.")
    )
    async with (
        open_runtime("sqlite://", plugins=[model]) as runtime,
        connected(runtime) as client,
    ):
        begun = await client.initialize()
        assert begun["agentCapabilities"]["mcpCapabilities"]["http"] is True
        handed = {
            "name": "town clock",
            "command": sys.executable,
            "args": [str(script)],
            "env": [],
        }
        broken = {"name": "9", "command": "/no/such/program", "args": [], "env": []}
        for _ in range(2):
            made = await client.call(
                "session/new", cwd=str(tmp_path), mcpServers=[handed, broken]
            )
        plugins = await runtime.location(tmp_path).plugins.list()
        assert [one.name for one in plugins].count("mcp-editor") == 1
        await client.set(made["sessionId"], "model", "scripted/model")
        [plugin] = made_plugins
        opened = plugin.servers_in(str(tmp_path))
        assert opened is not None
        await opened.settled()

        async def allow(params: dict[str, Any]) -> object:
            return {"outcome": {"outcome": "selected", "optionId": "once"}}

        client.answering["session/request_permission"] = allow
        assert await client.prompt(made["sessionId"], "what time?") == "end_turn"
        assert "bong bong" in await asked(client, model)
        assert client.requests("session/request_permission")
        # What comes with another session leaves these alone.
        more = {**broken, "name": "more"}
        new = {"cwd": str(tmp_path), "mcpServers": [handed, more]}
        await client.call("session/new", **new)
        names = {tool.name for tool in await runtime.location(tmp_path).tools()}
        assert "town-clock_strike" in names
        plugins = await runtime.location(tmp_path).plugins.list()
        assert "mcp-editor-2" in {one.name for one in plugins}
        # Another directory has none of them, whoever has it open.
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        await client.new(elsewhere, None)
        there = runtime.location(elsewhere)
        assert "mcp-editor" not in {one.name for one in await there.plugins.list()}
        assert not [o for o in await there.tools() if o.name.startswith("town-clock")]
        # One that is loaded there with them has them there.
        one = await runtime.sessions.create(location=elsewhere)
        given = {"sessionId": one.id, "cwd": str(elsewhere), "mcpServers": [handed]}
        await client.call("session/load", **given)
        opened_there = made_plugins[-1].servers_in(str(elsewhere))
        assert opened_there is not None
        await opened_there.settled()
        names = {tool.name for tool in await there.tools()}
        assert "town-clock_strike" in names


async def test_the_profile_of_a_session_is_told(tmp_path: Path) -> None:
    async with open_runtime("sqlite://") as runtime:
        here = runtime.location(tmp_path)
        assert (await here.agent_for()).name == "build"
        assert (await here.agent_for("plan")).name == "plan"
        with pytest.raises(LocationNotFoundError):
            runtime.location(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("session_update_*", "SessionNotification"),
        ("new_session_request", "NewSessionRequest"),
        ("initialize_request", "InitializeRequest"),
        ("prompt_request", "PromptRequest"),
        ("cancel_notification", "CancelNotification"),
    ],
)
def test_the_golden_messages_are_what_is_checked_against(
    corpus: Any, name: str, model: str
) -> None:
    golden = corpus("acp-golden").path / "golden"
    found = sorted(golden.glob(f"{name}.json"))
    assert found
    for path in found:
        given = corpus("acp-golden").json(f"golden/{path.name}")
        if "sessionUpdate" in given:
            given = {"sessionId": "ses_1", "update": given}
        check(model, given)
    assert REQUESTS["session/update"] == "SessionNotification"
