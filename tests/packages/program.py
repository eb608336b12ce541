"""A small program that uses the three example plugins, found by their entry points.

Run with the folder of the server for tests and a folder for the notes; prints one JSON
object. Run by test_packages in an environment where they are installed.
"""

import json
import sys
import tempfile
from pathlib import Path

import anyio
from dovetail.kernel import AssistantMessage, Session, open_runtime
from dovetail.kernel.testing import ScriptedProvider, call, calls, text


async def prompted(session: Session) -> list[str]:
    """Prompt once; return what the calls gave and what was said at the end."""
    await session.prompt("Go.")
    outcome = await session.wait()
    assert outcome.succeeded, outcome
    *_, last = history = await session.history()
    made = [m for m in history if isinstance(m, AssistantMessage)]
    assert isinstance(last, AssistantMessage)
    return [part.text for message in made for part in message.calls] + [last.text]


async def main(folder: Path, notes: str) -> None:
    from lantern_server import answer, lantern_server, line

    (folder / "pyproject.toml").write_text('[project]\nname = "spam"\nversion = "3"\n')
    model = ScriptedProvider(
        calls(call("write_note", {"title": "plan", "text": "Ship it."}, id="a")),
        calls(call("read_note", {"title": "plan"}, id="b")),
        text("Noted."),
    )
    asked = answer(
        line("call", {"id": "a", "tool": "read_note", "input": '{"title": "plan"}'}),
        line("end", {"why": "calls"}),
    )
    said = answer(line("say", "It says: ship it."), line("end", {"why": "stop"}))
    async with (
        lantern_server(asked, said) as server,
        open_runtime(
            "sqlite://",
            plugins=[model],
            on_permission="allow",
            environment={
                "DOVETAIL_CONFIG": "",
                "DOVETAIL_NOTEBOOK_FOLDER": notes,
                "LANTERN_URL": server.url,
                "LANTERN_KEY": "k",
            },
        ) as runtime,
    ):
        told = {}
        for name in (model.model, "lantern/small"):
            session = await runtime.sessions.create(location=folder, model=name)
            told[name] = await prompted(session)
        states = {one.name: one.state for one in runtime.plugins.states()}
    told["system"] = ["\n".join(model.requests[0].system)]
    told["body"] = [server.bodies[0].decode()]
    print(json.dumps({"told": told, "states": states}))


if __name__ == "__main__":
    sys.path.append(sys.argv[1])
    with tempfile.TemporaryDirectory() as place:
        anyio.run(main, Path(place), sys.argv[2])
