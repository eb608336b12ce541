"""First use: a provider, a key that is never shown, and a model that answers."""

import stat
from collections.abc import Callable

from dovetail.kernel import Failure
from dovetail.plugins.console.first_use import in_words
from support.commands import Done, Home, text
from support.replay import JSON, Answer, Request, serve

KEY = "sk-live-0123456789abcdef"


async def test_first_use_asks_tries_and_keeps_what_works(home: Home) -> None:
    refused = Answer(b'{"error":{"message":"bad key"}}', 401, JSON)
    listed = Answer(b'{"data":[{"id":"m"},{"id":"other\\u001b[2J"}]}', 200, JSON)
    lists = iter([refused, listed])
    answers = iter([refused, text("ok"), text("Hello.")])

    def answer(request: Request) -> Answer:
        return next(lists if request.target.endswith("/models") else answers)

    async with serve(answer) as server:
        mine = home.path / "mine.toml"
        mine.write_text(
            "# mine\n[providers.acme]\n"
            f'base_url = "{server.url}/v1"\napi_key_env = "ACME_KEY"\n'
        )
        kept = home.path / "keys.toml"
        home.environment |= {"DOVETAIL_CONFIG": str(mine), "DOVETAIL_KEYS": str(kept)}
        alone = {"OPENAI_API_KEY": None, "COLUMNS": "200"}
        async with home.at_terminal("run", "hi", environment=alone) as person:
            await person.until("no model is configured yet")
            await person.until("Number or name [1]: ")
            await person.type("acme\n")
            await person.until("Key of acme: ")
            await person.type("sk-live-wrong\n")
            await person.until("acme does not say: the provider refuses the key")
            await person.until("No model of acme is known here by name.")
            await person.until("Name of the model: ")
            await person.type("2\n")
            await person.until("2 is no name of a model")
            await person.type("m\n")
            await person.until("the provider refuses the key")
            await person.until("quit (q) [a]: ")
            await person.type("a\n")
            await person.until("Key of acme: ")
            await person.type(f"{KEY}\n")
            await person.until("Which model?")
            await person.until("1. acme/m")
            await person.until("Number or name [1]: ")
            await person.type("\n")
            await person.until("acme/m answers")
            await person.until("for you alone")
            await person.until("Hello.")
            assert await person.end() == 0
        assert KEY not in person.shown
        assert "\x1b[2J" not in person.shown
        assert "sk-live-wrong" not in person.shown
        assert KEY in str(server.requests[-1].headers)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert mine.read_text().startswith('# mine\nmodel = "acme/m"\n')


async def test_a_key_that_is_there_already_makes_its_provider_the_usual_one(
    home: Home,
) -> None:
    alone = {"COLUMNS": "200"}
    async with home.at_terminal("setup", environment=alone) as person:
        await person.until("openai (its key is there)")
        await person.until("Number or name [2]: ")


def test_without_a_terminal_it_names_the_next_step(do: Callable[..., Done]) -> None:
    done = do("setup")
    assert (done.code, done.out) == (2, "")
    assert "dovetail keys set PROVIDER" in done.err
    assert "[config.invalid]" in done.err


def test_what_went_wrong_is_told_in_words() -> None:
    said = {
        code: in_words(Failure(code, "said so"))
        for code in ("provider.quota", "provider.unreachable", "provider.unknown_model")
    }
    assert "no credit" in said["provider.quota"]
    assert "no network" in said["provider.unreachable"]
    assert "no model of this name" in said["provider.unknown_model"]
    assert in_words(Failure("odd", "said so")) == "said so [odd]"
