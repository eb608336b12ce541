"""A custom tool: a typed async function, its effect class, and a permission.

The tool moves money in a made-up bank. It declares that the bank can be asked whether a
transfer happened, hands on the effect token, and asks before it acts.
"""

import tempfile
from typing import Any

import anyio
from attrs import field, frozen
from dovetail.kernel import (
    AssistantMessage,
    Register,
    Tool,
    ToolContext,
    ToolFailure,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, text


@frozen
class Transfer:
    account: str = field(metadata={"description": "Who gets it"})
    cents: int = field(metadata={"description": "How much", "minimum": 1})


@frozen
class Receipt:
    reference: str
    balance: int


class Bank:
    """The outside world: it tells a repeated transfer by its token."""

    def __init__(self) -> None:
        self.balance = 1000
        self.done: dict[str, Receipt] = {}

    async def transfer(self, input: Transfer, context: ToolContext) -> Receipt:
        await context.ask("transfer", [input.account], save=[input.account])
        if input.cents > self.balance:
            raise ToolFailure(f"the balance is {self.balance} cents")
        token = context.effect_token
        if token not in self.done:
            self.balance -= input.cents
            self.done[token] = Receipt(f"T{len(self.done) + 1}", self.balance)
        return self.done[token]


class BankPlugin:
    name = "bank"

    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    @hookimpl
    def dovetail_register_tools(self, register: Register[Any]) -> None:
        register(
            Tool(
                name="transfer",
                description="Transfer money to an account.",
                input=Transfer,
                output=Receipt,
                execute=self.bank.transfer,
                effect="idempotent",
            )
        )


async def main(folder: str) -> None:
    bank = Bank()
    model = ScriptedProvider(
        calls(
            call("transfer", {"account": "alice", "cents": 250}, id="one"),
            call("transfer", {"account": "bob", "cents": 9999}, id="two"),
            call("transfer", {"account": "carol", "cents": 0}, id="three"),
        ),
        text("Alice has her money."),
    )
    async with open_runtime(
        f"sqlite:///{folder}/agents.db",
        plugins=[model, BankPlugin(bank)],
        on_permission="allow",
    ) as runtime:
        session = await runtime.sessions.create(location=folder, model=model.model)
        await session.prompt("Pay everybody")
        outcome = await session.wait()
        _, asked, answer = await session.history()
        assert isinstance(asked, AssistantMessage)
        for part in asked.calls:
            print(f"{part.call_id}: {part.state}: {part.text}")

        assert outcome.succeeded
        assert [part.state for part in asked.calls] == ["succeeded", "failed", "failed"]
        assert bank.balance == 750
        assert isinstance(answer, AssistantMessage)
        print(answer.text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(main, folder)
