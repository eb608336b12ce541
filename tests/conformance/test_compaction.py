"""The shipped strategy keeps what its suite asks of a stranger's, and each check of the
suite catches its fault, and it alone."""

from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import pytest
from dovetail.kernel import (
    CompactionStrategy,
    CompactionWork,
    Place,
    ProviderError,
    Register,
    hookimpl,
)
from dovetail.kernel.testing.conformance import CompactionConformance
from dovetail.plugins.compaction import plugin as shipped
from support.bounds import HANG
from support.faults import (
    LEFT_OPEN,
    assert_caught,
    assert_conforms,
    cases,
    codes_of,
    swallow,
)

Summarise = Callable[[CompactionWork], Awaitable[Any]]
NUMBERS = count()


@pytest.mark.law("plugins.7")
class TestSummary(CompactionConformance):
    version = 1
    plugin = shipped
    strategy = "summary"


class Offering:
    """A plugin with one strategy, or none."""

    def __init__(self, summarise: Summarise | None, **_: object) -> None:
        self._summarise = summarise
        self.place: Place | None = None

    @hookimpl
    def dovetail_register_compaction(
        self, register: Register[CompactionStrategy], place: Place
    ) -> None:
        self.place = place
        if self._summarise is not None:
            register(CompactionStrategy("terse", self._summarise))


def words_of(work: CompactionWork) -> str:
    said = [one.text for one in work.messages if one.type in ("user", "summary")]
    return "\n".join(said)[-(work.window or 100_000) // 2 :]


async def sound(work: CompactionWork) -> str:
    return await work.ask("Sum up.", words_of(work))


async def nothing(work: CompactionWork) -> str:
    await sound(work)
    return " "


async def too_much(work: CompactionWork) -> str:
    return await sound(work) + "x" * 9_000


async def forgetful(work: CompactionWork) -> str:
    said = [one.text for one in work.messages if one.type == "user"]
    return await work.ask("Sum up.", "\n".join(said)[-4_000:])


async def all_at_once(work: CompactionWork) -> str:
    said = [one.text for one in work.messages]
    return await work.ask("Sum up.", "\n".join(said))


async def trusting(work: CompactionWork) -> str:
    """It takes what the model says, however long, into the next request."""
    said = await sound(work)
    return (await work.ask("Sum up.", f"{words_of(work)[:2_000]}{said}"))[:2_000]


async def making_do(work: CompactionWork) -> str:
    try:
        return await sound(work)
    except ProviderError:
        return "There was something."


async def stubborn(work: CompactionWork) -> str:
    while True:
        try:
            return await sound(work)
        except ProviderError as error:
            if error.code != "provider.context_overflow":
                raise


async def instructing(work: CompactionWork) -> str:
    return await work.ask(f"Sum up. {words_of(work)[:2_000]}", words_of(work))


async def counting(work: CompactionWork) -> str:
    return await work.ask("Sum up.", f"{next(NUMBERS)} {words_of(work)}")


async def with_an_id(work: CompactionWork) -> str:
    an_id = "7f2c1a9e-5b7d-4c38-9e0a-d1a6f3b58c42"
    return await work.ask(f"Sum up for {an_id}.", words_of(work))


async def writing(work: CompactionWork) -> str:
    (work.location.path / "summaries").touch()
    return await sound(work)


async def swallowing(work: CompactionWork) -> str:
    made = await sound(work)
    await swallow()
    return made


async def leaving_a_file(work: CompactionWork) -> str:
    LEFT_OPEN.one_more()
    return await sound(work)


class Terse(CompactionConformance):
    """A suite for a plugin that is sound but for one thing."""

    version = 1
    plugin: object = Offering(sound)
    strategy = "terse"
    patience = HANG


def suite(summarise: Summarise | None) -> type[CompactionConformance]:
    return type("Faulty", (Terse,), {"plugin": Offering(summarise)})


FAULTS: list[tuple[str, str, type[CompactionConformance]]] = [
    ("it offers none", "compaction.definition", suite(None)),
    ("it says nothing", "compaction.summary", suite(nothing)),
    ("it says too much", "compaction.summary", suite(too_much)),
    ("it forgets what was before", "compaction.said", suite(forgetful)),
    ("it asks for all at once", "compaction.window", suite(all_at_once)),
    ("it trusts in short answers", "compaction.window", suite(trusting)),
    ("it makes do without an answer", "compaction.faults", suite(making_do)),
    ("it asks again for ever", "compaction.faults", suite(stubborn)),
    ("it obeys the history", "compaction.material", suite(instructing)),
    ("it counts", "compaction.stable", suite(counting)),
    ("it tells an id", "compaction.words", suite(with_an_id)),
    ("it writes", "compaction.effect", suite(writing)),
    ("it swallows its cancellation", "compaction.cancellation", suite(swallowing)),
    ("it leaves a file open", "compaction.leak", suite(leaving_a_file)),
]


@pytest.mark.parametrize(("code", "faulty"), cases(FAULTS))
def test_a_fault_is_caught_by_its_check_alone(
    code: str, faulty: type[CompactionConformance]
) -> None:
    assert_caught(code, faulty)


def test_every_check_has_a_fault_that_it_catches() -> None:
    assert {code for _, code, _ in FAULTS} == codes_of(CompactionConformance)


def test_without_its_fault_the_plugin_conforms() -> None:
    assert_conforms(Terse)
