"""First use: which provider, which key, which model.

Owns the conversation with somebody who has no model yet, at a terminal. The key is
never shown, tried with one tiny request before anything is kept, and kept in the file
of keys, which nobody else can read; or what is named is where it is.
"""

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import click
from dovetail.kernel import (
    Budget,
    ConfigurationError,
    DovetailError,
    Failure,
    Keys,
    Location,
    ModelInfo,
    ProviderState,
    RetryPolicy,
    open_runtime,
)

from .config_file import has_setting, set_setting, user_path
from .terminal import Terminal, visible

STORE = "sqlite://"
USUAL = ("anthropic", "openai", "google", "openrouter", "ollama")
"""Providers that are offered first."""
MAX_MODELS = 8
PATIENCE = 60.0
"""Seconds for the one request."""
LISTING_PATIENCE = 10.0
"""Seconds for the list of what a server has."""
ASKING = "Reply with the word ok and nothing else."
_NAMING = ("api_key_env", "api_key_command", "api_key_keyring")
"""Where a table may say that the key is."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")

IN_WORDS = {
    "provider.authentication": "the provider refuses the key: it is mistyped, was "
    "revoked, or may not use this model",
    "provider.key_missing": "there is no key where it was looked for",
    "provider.quota": "the key is right, but its account has no credit left, or has "
    "reached its limit",
    "provider.rate_limited": "the provider asks to wait: too many requests just now",
    "provider.unknown_model": "the provider has no model of this name for this key",
    "model.unknown": "there is no model of this name",
    "provider.unreachable": "the provider cannot be reached: no network, a proxy in "
    "between, or a wrong address",
    "provider.unavailable": "the provider is down or overloaded just now",
}
"""What went wrong, by the code of the failure."""


def is_attended() -> bool:
    """Return whether a person is there to be asked, at a terminal."""
    streams = (sys.stdin, sys.stderr)
    return all(one is not None and one.isatty() for one in streams)


def first_model() -> str | None:
    """Tell the person that there is no model yet, and have them choose one; None when
    they gave up.

    Raises:
        As ``set_up``.
    """
    terminal = Terminal()
    terminal.tell("no model is configured yet")
    return set_up(terminal)


def set_up(
    terminal: Terminal,
    provider: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str | None:
    """Ask the person for what is missing, try it, keep it, and return the model as
    ``provider/model``; None when they gave up. Blocks: call it outside of a loop.

    Raises:
        ConfigurationError: what was found cannot be kept, or there is no such provider.
        Abort: Ctrl-C, or the end of input.
    """
    here = dict(os.environ if environment is None else environment)
    states, models = anyio.run(_offered, here)
    state = _choose_provider(terminal, states, provider)
    again = False
    while True:
        with tempfile.TemporaryDirectory() as folder:
            trial = {**here}
            secret = _Secret()
            if state.missing is not None or again:
                secret = _ask_secret(terminal, state.name, here)
                trial |= secret.trial(state.name, Path(folder), here)
            model = _choose_model(terminal, state, models, trial)
            terminal.tell(f"asking {visible(model)} ...")
            wrong = anyio.run(_tried, model, trial, folder)
        if wrong is None:
            terminal.tell(terminal.error_style.good(f"{visible(model)} answers"))
        else:
            terminal.tell(f"that did not work: {visible(in_words(wrong))}")
            choice = _ask("Again (a), keep it all the same (k), or quit (q)", "a")
            if choice.lower().startswith("q"):
                return None
            if not choice.lower().startswith("k"):
                # Also a key that was there already may be the wrong one.
                again = not state.assumed
                continue
        for line in secret.keep(state.name, here):
            terminal.tell(line)
        file = set_setting(here, ("model",), model)
        terminal.tell(f"model = {visible(model)!r} is in {visible(str(file))}")
        return model


def in_words(failure: Failure) -> str:
    """Return what went wrong in words, with what was said of it."""
    words = IN_WORDS.get(failure.code)
    if words is None:
        return f"{failure.message} [{failure.code}]"
    return f"{words} ({failure.message}) [{failure.code}]"


# --- asking -----------------------------------------------------------------------


def _ask(question: str, default: str | None = None) -> str:
    answer: str = click.prompt(question, default=default, err=True)
    return answer.strip()


def _choose_provider(
    terminal: Terminal, states: Sequence[ProviderState], wanted: str | None
) -> ProviderState:
    named = {one.name: one for one in states}
    if wanted is not None:
        if wanted not in named:
            raise ConfigurationError(
                "provider", f"{wanted!r} is not offered; {', '.join(named)} are"
            )
        return named[wanted]
    first = [name for name in USUAL if name in named]
    terminal.tell("Which provider serves your models?")
    for number, name in enumerate(first, 1):
        note = _note(named[name])
        terminal.tell(f"  {number}. {visible(name)}{note}")
    rest = ", ".join(name for name in named if name not in first)
    if rest:
        terminal.tell(f"  or one of {visible(rest)}")
    # Who has a key there already means that provider.
    ready = [name for name in first if _has_key(named[name])]
    usual = first.index(ready[0]) + 1 if ready else 1
    while True:
        answer = _ask("Number or name", str(usual))
        if answer.isdecimal() and 1 <= int(answer) <= len(first):
            return named[first[int(answer) - 1]]
        if answer in named:
            return named[answer]
        terminal.tell(f"{visible(answer)!r} is none of them")


def _note(state: ProviderState) -> str:
    if state.assumed:
        return " (a server of this machine, no key)"
    return " (its key is there)" if _has_key(state) else ""


def _has_key(state: ProviderState) -> bool:
    return state.missing is None and not state.assumed


class _Secret:
    """Where a key is: typed just now, or named. Never shown."""

    def __init__(self, key: str | None = None, setting: str = "", value: object = None):
        self._key = key
        self._setting = setting
        self._value = value

    def __repr__(self) -> str:
        return "<a key, or where it is>"

    def trial(
        self, provider: str, folder: Path, environment: Mapping[str, str]
    ) -> dict[str, str]:
        """Return what the environment is to say while it is tried."""
        keys = Keys.at(environment).path
        file = folder / "dovetail.toml"
        trial = {
            "DOVETAIL_CONFIG": str(file),
            "DOVETAIL_KEYS": "" if keys is None else str(keys),
        }
        own = user_path(environment)
        file.write_bytes(own.read_bytes() if own is not None and own.exists() else b"")
        if self._key is not None:
            trial["DOVETAIL_KEYS"] = str(folder / "keys.toml")
        self._write(provider, {**environment, **trial})
        return trial

    def keep(self, provider: str, environment: Mapping[str, str]) -> Sequence[str]:
        """Keep it for good, and return what to say of it."""
        return self._write(provider, environment)

    def _write(self, provider: str, environment: Mapping[str, str]) -> Sequence[str]:
        name = visible(provider)
        if self._key is not None:
            kept = Keys.at(environment)
            kept.write(provider, self._key)
            # Read again as it will be: only a file that is the user's alone is used.
            kept.read()
            said = [f"the key of {name} is in {visible(str(kept.path))}, for you alone"]
            # What the table names counts before that file, and was not there.
            for other in _NAMING:
                path = ("providers", provider, other)
                if has_setting(environment, path):
                    set_setting(environment, path, None)
                    said.append(f"{other} of {name} is taken out, which counted before")
            return said
        if self._setting:
            path = ("providers", provider, self._setting)
            file = set_setting(environment, path, self._value)
            where = visible(str(file))
            return [f"{self._setting} of {name} is in {where}"]
        return []


def _ask_secret(
    terminal: Terminal, provider: str, environment: Mapping[str, str]
) -> _Secret:
    terminal.tell(
        f"The key of {visible(provider)} is not shown while you type or paste it. "
        "Enter alone: name a variable, a command or the keyring that has it."
    )
    while True:
        typed: str = click.prompt(
            f"Key of {visible(provider)}",
            default="",
            hide_input=True,
            show_default=False,
            err=True,
        )
        if typed.strip():
            return _Secret(typed.strip())
        how = _ask("Variable (v), command (c), keyring (k), or type it (t)", "v")
        match how.lower()[:1]:
            case "v":
                name = _ask("Name of the variable")
                if not _VARIABLE.match(name):
                    terminal.tell(f"{visible(name)!r} is no name of a variable")
                elif not environment.get(name):
                    terminal.tell(f"{visible(name)} is not set here; export it first")
                else:
                    return _Secret(setting="api_key_env", value=name)
            case "c":
                return _Secret(
                    setting="api_key_command",
                    value=shlex.split(_ask("Command that prints the key")),
                )
            case "k":
                return _Secret(
                    setting="api_key_keyring",
                    value=_ask("Service and user in the keyring").split(),
                )


def _choose_model(
    terminal: Terminal,
    state: ProviderState,
    models: Sequence[ModelInfo],
    environment: Mapping[str, str],
) -> str:
    known = [one for one in models if one.name.startswith(f"{state.name}/")]
    # Who has a server of their own has models that nobody else knows of.
    asked = state.assumed or not known
    usual, served, problem = anyio.run(_models_of, state, environment, asked)
    own = served or known
    able = [one for one in own if not one.deprecated and _calls_tools(one)]
    newest = sorted(able or own, key=lambda one: one.released or "", reverse=True)
    names = [one.name for one in newest][:MAX_MODELS]
    if usual is not None:
        names = [usual, *(one for one in names if one != usual)][:MAX_MODELS]
    if names:
        terminal.tell("Which model?")
        for number, name in enumerate(names, 1):
            terminal.tell(f"  {number}. {visible(name)}")
        if len(newest) > len(names):
            terminal.tell(f"  or one of {len(newest) - len(names):,} more by its name")
        question, usual_answer = "Number or name", "1"
    else:
        if problem is not None:
            terminal.tell(f"{visible(state.name)} does not say: {visible(problem)}")
        terminal.tell(f"No model of {visible(state.name)} is known here by name.")
        question, usual_answer = "Name of the model", None
    while True:
        answer = _ask(question, usual_answer)
        if answer.isdecimal() and 1 <= int(answer) <= len(names):
            return names[int(answer) - 1]
        if answer.isdecimal():
            terminal.tell(f"{visible(answer)} is no name of a model")
        elif answer:
            full = answer.startswith(f"{state.name}/")
            return answer if full else f"{state.name}/{answer}"


def _calls_tools(model: ModelInfo) -> bool:
    return model.abilities is None or "tools" in model.abilities


# --- looking and trying -----------------------------------------------------------


async def _offered(
    environment: Mapping[str, str],
) -> tuple[Sequence[ProviderState], Sequence[ModelInfo]]:
    async with (
        open_runtime(STORE, environment=environment) as runtime,
        runtime.location(".") as here,
    ):
        return await here.providers(), await here.models()


async def _models_of(
    state: ProviderState, environment: Mapping[str, str], asked: bool
) -> tuple[str | None, Sequence[ModelInfo], str | None]:
    """Return the usual model of a provider, what it says that it serves where it is
    ``asked``, and what kept it from saying so."""
    async with (
        open_runtime(STORE, environment=environment) as runtime,
        runtime.location(".") as here,
    ):
        usual: str | None = None
        try:
            found = await here.model_for(None, None)
            usual = found if found.startswith(f"{state.name}/") else None
        except DovetailError:
            usual = None
        if not asked:
            return usual, (), None
        with anyio.move_on_after(LISTING_PATIENCE):
            try:
                return usual, await here.served_models(state.name), None
            except DovetailError as error:
                return usual, (), in_words(Failure(error.code, str(error)))
        return usual, (), f"no list came within {LISTING_PATIENCE:g} s"


async def _tried(
    model: str, environment: Mapping[str, str], folder: str
) -> Failure | None:
    """Ask a model one tiny thing; return what went wrong."""
    try:
        async with open_runtime(
            STORE,
            environment=environment,
            on_permission="deny",
            on_question="dismiss",
            retry=RetryPolicy(retries=0),
        ) as runtime:
            session = await runtime.sessions.create(
                location=Location.at(folder), model=model, title="setup"
            )
            with anyio.move_on_after(PATIENCE):
                await session.prompt(ASKING, budget=Budget(steps=1))
                outcome = await session.wait()
                if outcome.status in ("succeeded", "paused"):
                    return None
                return outcome.reason or Failure(outcome.status, outcome.status)
            return Failure(
                "provider.unreachable", f"no answer came within {PATIENCE:g} s"
            )
    except DovetailError as error:
        return Failure(error.code, str(error))
