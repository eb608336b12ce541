"""Agents that work for another one: several at once, bound by its rights, counted.

A session gives two parts of its work away. Each part is done in a session of its own,
which may do no more than the one that it works for, whose question comes up there, and
what it uses counts there.
"""

import tempfile
from pathlib import Path

import anyio
from dovetail.kernel import (
    Budget,
    ChildAsked,
    ModelRequest,
    Runtime,
    Session,
    UserMessage,
    open_runtime,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.kernel.testing.scripted import Beat

READ = "How is the project called?"
WRITE = "Note the name in NAME.txt."


def answer(request: ModelRequest) -> list[Beat]:
    """Play the model's part in every session, by what that was asked first."""
    messages = request.history.messages
    asked = next(one.text for one in messages if isinstance(one, UserMessage))
    begins = len(messages) == 1
    if asked == READ:
        if begins:
            return calls(call("read", {"path": "README"}))
        return text("It is called Lantern.")
    if asked == WRITE:
        if begins:
            note = {"path": "NAME.txt", "content": "Lantern\n"}
            return calls(call("write", note))
        return text("Noted.")
    if begins:
        parts = (("explore", READ), ("build", WRITE))
        made = [
            call("subagent", {"agent": agent, "prompt": prompt}, id=agent)
            for agent, prompt in parts
        ]
        return calls(*made)
    return text("Both are done.")


async def allow_what_is_asked(runtime: Runtime, session: Session) -> None:
    """Answer the first question that comes up in the session, whoever asks it."""
    async for event in session.events(follow=True):
        if isinstance(event, ChildAsked):
            [waiting] = await runtime.requests.pending(session_id=session.id)
            print(f"{waiting.agent} wants to {waiting.body['action']}")
            assert waiting.above == (session.id,)
            await runtime.requests.reply(waiting.id, "once")
            return


async def main(folder: str) -> None:
    model = ScriptedProvider(*[answer] * 10)
    async with open_runtime("sqlite://", plugins=[model]) as runtime:
        session = await runtime.sessions.create(location=folder, model=model.model)
        await session.prompt("Find the name and note it.", budget=Budget(steps=20))
        await allow_what_is_asked(runtime, session)
        outcome = await session.wait()
        print(outcome.status)
        children = await runtime.sessions.list(parent=session.id)
        for child in sorted(children, key=lambda one: one.agent or ""):
            print(f"{child.agent}: {child.steps} Steps, {child.outcome.status}")
        info = await session.info()
        print(f"{info.usage.input} tokens were sent, in all")
    assert outcome.succeeded
    assert info.usage.input == 6


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "README").write_text("Lantern\n")
        anyio.run(main, folder)
        assert Path(folder, "NAME.txt").read_text() == "Lantern\n"
