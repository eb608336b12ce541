"""Embed a session: open a runtime, prompt, wait, read what was recorded.

The model's part is played by a script, so that this runs anywhere and says the same
every time. With a key in the environment, leave the plugin out and name a real model,
such as ``openai/gpt-5.2``.
"""

import tempfile

import anyio
from dovetail.kernel import open_runtime
from dovetail.kernel.testing import ScriptedProvider, text


async def main(folder: str) -> None:
    model = ScriptedProvider(text("Hello ", "from a script."))
    async with open_runtime(
        f"sqlite:///{folder}/agents.db", plugins=[model]
    ) as runtime:
        session = await runtime.sessions.create(location=folder, model=model.model)
        receipt = await session.prompt("Say hello", key="ticket-42")
        outcome = await session.wait()
        again = await session.prompt("Say hello", key="ticket-42")
        print(outcome.status, "and asked once" if again == receipt else "asked twice")
        for message in await session.messages(order="asc"):
            print(f"{message.type}: {message.text}")
        async for event in session.events(after=receipt.cursor):
            print(event.seq, event.kind)

        assert outcome.succeeded
        assert again == receipt
        assert [request.model for request in model.requests] == ["model"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(main, folder)
