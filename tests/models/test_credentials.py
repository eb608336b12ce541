"""Credentials are kept, renewed once for everybody, and told to nobody."""

from collections.abc import Awaitable, Callable

import anyio
import pytest
from dovetail.kernel import Credential, CredentialSource, ProviderError, Redactor
from dovetail.kernel.models import credentials as module
from dovetail.kernel.models.credentials import (
    KeptCredential,
    LocationCredentials,
    SharedCredentials,
)
from dovetail.kernel.testing import ManualClock
from support.bounds import HANG

Fetch = Callable[[Credential | None], Awaitable[Credential]]


class Login:
    """Gives tokens, one after the other, and remembers for which refusals."""

    def __init__(self, *tokens: str, lasts_ms: int | None = None) -> None:
        self.tokens = list(tokens)
        self.asked: list[str | None] = []
        self.clock = ManualClock()
        self.lasts = lasts_ms
        self.gate: anyio.Event | None = None
        self.entered = anyio.Event()

    async def fetch(self, refused: Credential | None) -> Credential:
        self.asked.append(None if refused is None else refused.secret)
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        expires = None if self.lasts is None else self.clock.now() + self.lasts
        return Credential(self.tokens.pop(0), expires)


def location(clock: ManualClock | None = None) -> LocationCredentials:
    return LocationCredentials(clock or ManualClock(), {}, {})


def kept(login: Login) -> KeptCredential:
    return location(login.clock).keep(CredentialSource("acme", login.fetch), "plugin")


@pytest.mark.law("models.1")
async def test_however_many_need_it_at_once_it_is_asked_for_once() -> None:
    login = Login("token-1", "token-2")
    login.gate = anyio.Event()
    one = kept(login)
    found: list[str] = []

    async def need() -> None:
        found.append((await one.current()).secret)

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(need)
            await login.entered.wait()
            login.gate.set()
    assert found == ["token-1"] * 50
    assert login.asked == [None]


@pytest.mark.law("models.1")
async def test_a_refusal_is_renewed_once_for_all_who_were_refused() -> None:
    login = Login("token-1", "token-2", "token-3")
    one = kept(login)
    first = await one.current()
    one.accepted(first)
    assert [one.refused(first) for _ in range(20)] == [True] * 20
    found: list[str] = []

    async def need() -> None:
        found.append((await one.current()).secret)

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(need)
    assert found == ["token-2"] * 20
    assert login.asked == [None, "token-1"]
    # Whoever is refused late, with the old one, need not renew the new one.
    assert one.refused(first)
    assert (await one.current()).secret == "token-2"


@pytest.mark.law("models.1")
async def test_one_that_is_refused_at_once_after_a_renewal_is_told() -> None:
    login = Login("token-1", "token-2", "token-3", "token-4")
    one = kept(login)
    assert one.refused(await one.current())
    second = await one.current()
    assert not one.refused(second)
    assert not one.refused(second)
    # Whoever tries again later does so with another one.
    third = await one.current()
    assert third.secret == "token-3"
    one.accepted(third)
    assert one.refused(third)


async def test_it_is_renewed_before_it_ends() -> None:
    login = Login("token-1", "token-2", lasts_ms=600_000)
    one = kept(login)
    assert (await one.current()).secret == "token-1"
    login.clock.advance(500)
    assert (await one.current()).secret == "token-1"
    login.clock.advance(60)
    assert (await one.current()).secret == "token-2"
    assert login.asked == [None, None]


async def test_one_who_gives_up_leaves_the_asking_to_the_next() -> None:
    login = Login("token-1", "token-2")
    login.gate = anyio.Event()
    one = kept(login)
    found: list[str] = []

    async def need() -> None:
        found.append((await one.current()).secret)

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as impatient:
                async with anyio.create_task_group() as first:
                    first.start_soon(need)
                    await login.entered.wait()
                    tasks.start_soon(need)
                    impatient.cancel()
            login.gate.set()
    assert found == ["token-1"]
    assert login.asked == [None, None]


async def test_a_failure_is_everybodys_and_the_next_one_asks_again() -> None:
    gate, entered = anyio.Event(), anyio.Event()
    asked = 0

    async def fetch(refused: Credential | None) -> Credential:
        nonlocal asked
        asked += 1
        if asked > 1:
            return Credential("token-1")
        entered.set()
        await gate.wait()
        raise ValueError("it was sk-secret-0123456789")

    one = location().keep(CredentialSource("acme", fetch), "plugin")
    failures: list[ProviderError] = []

    async def need() -> None:
        with pytest.raises(ProviderError) as caught:
            await one.current()
        failures.append(caught.value)

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(need)
            await entered.wait()
            gate.set()
    assert {(error.code, str(error)) for error in failures} == {
        (
            "provider.authentication",
            "provider 'acme': credentials of 'acme' of plugin 'plugin' broke: "
            "ValueError",
        )
    }
    assert asked == 1
    assert (await one.current()).secret == "token-1"


@pytest.mark.parametrize(
    "given", [None, "token", Credential(""), Credential("a\nb"), Credential("ü" * 9)]
)
async def test_what_is_no_credential_is_refused_by_name(given: object) -> None:
    async def fetch(refused: Credential | None) -> Credential:
        return given  # type: ignore[return-value]

    one = location().keep(CredentialSource("acme", fetch), "plugin")
    with pytest.raises(ProviderError, match="'plugin'") as caught:
        await one.current()
    assert caught.value.code == "provider.authentication"
    assert "ü" not in str(caught.value)


async def test_the_one_that_was_refused_is_not_tried_again() -> None:
    login = Login("token-1", "token-1")
    one = kept(login)
    assert one.refused(await one.current())
    with pytest.raises(ProviderError, match="again that the provider refused"):
        await one.current()


async def test_a_source_that_hangs_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.01)

    async def fetch(refused: Credential | None) -> Credential:
        await anyio.sleep_forever()
        raise AssertionError

    one = location().keep(CredentialSource("acme", fetch), "plugin")
    with pytest.raises(ProviderError, match="within"):
        await one.current()


@pytest.mark.law("models.2")
async def test_what_was_given_is_hidden_and_shown_nowhere() -> None:
    login = Login("secret-token-0001", "secret-token-0002")
    here = location(login.clock)
    here.register(CredentialSource("acme", login.fetch), "plugin", 0)
    one = here.of("acme")
    assert one is not None
    first = await one.current()
    one.refused(first)
    second = await one.current()
    text = here.hiding(Redactor())("secret-token-0001 secret-token-0002")
    assert text == "[redacted] [redacted]"
    for shown in (repr(first), repr(second), repr(one), repr(here), one.about):
        assert "secret-token" not in shown


async def test_sources_of_one_account_share_what_they_are_given() -> None:
    login = Login("token-1", "token-2", "token-3")
    clock = login.clock
    shared: SharedCredentials = {}
    places = [LocationCredentials(clock, shared, {}) for _ in range(2)]
    source = CredentialSource("acme", login.fetch, account="me")
    found = [(await one.keep(source, "p").current()).secret for one in places]
    assert found == ["token-1", "token-1"]
    other = places[0].keep(CredentialSource("acme", login.fetch, account="you"), "p")
    assert (await other.current()).secret == "token-2"
    # Another plugin's account of that name is another one.
    assert (await places[1].keep(source, "q").current()).secret == "token-3"


async def test_a_later_plugins_source_hides_an_earlier_one() -> None:
    early, late = Login("early-1"), Login("late-1")
    here = location()
    here.register(CredentialSource("acme", early.fetch), "a", 0)
    registration = here.register(CredentialSource("acme", late.fetch), "b", 0)
    found = here.of("acme")
    assert found is not None
    assert (await found.current()).secret == "late-1"
    registration.close()
    found = here.of("acme")
    assert found is not None
    assert (await found.current()).secret == "early-1"
    assert here.of("other") is None
