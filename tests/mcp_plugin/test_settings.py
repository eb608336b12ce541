"""What is said about a server: read, checked, and shown without its secrets."""

import json
from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import ConfigurationError
from dovetail.plugins.mcp.settings import (
    Server,
    configured,
    of_checkout,
    without_secrets,
)

SECRETS = {"THE_KEY": "sk-0123456789", "HOME": "/home/anna"}


def read(**table: Any) -> Server:
    return Server.of("one", table, SECRETS, "here")


def checkout(folder: Path, text: str) -> tuple[list[Server], list[str]]:
    (folder / ".mcp.json").write_text(text)
    return of_checkout(folder, [str(folder.resolve())], SECRETS)


@pytest.mark.law("mcp.12")
@pytest.mark.parametrize(
    "table",
    [
        {"url": "https://mcp.example/${THE_KEY}?key=${THE_KEY}"},
        {"url": "https://anna:sk-0123456789@mcp.example/"},
        {"url": "https://mcp.example/?v=1&api_key=sk-0123456789"},
        {"command": "run", "args": ["--key=${THE_KEY}"]},
        {"command": "${THE_KEY}"},
        {"command": "run", "cwd": "/x/${THE_KEY}"},
        {"url": "https://mcp.example", "headers": {"X": "Bearer sk-0123456789"}},
        {"command": "run", "env": {"THE_TOKEN": "sk-0123456789"}},
        {"url": "https://x", "client_id": "c", "client_secret": "sk-0123456789"},
    ],
)
def test_what_a_variable_gave_is_told_by_no_list_and_no_message(
    table: dict[str, Any],
) -> None:
    made = read(**table)
    assert "sk-0123" not in str(without_secrets(made))
    assert "sk-0123" not in made.redactor()("it said: no sk-0123456789, go away")


def test_what_is_no_secret_is_shown_as_it_is() -> None:
    made = without_secrets(read(url="https://anna@mcp.example:8/in?v=1&lang=english"))
    assert made.url == "https://anna@mcp.example:8/in?v=1&lang=english"
    made = without_secrets(read(command="${HOME}/bin/run", args=["--level", "debug"]))
    assert made.command == ("/home/anna/bin/run", "--level", "debug")


@pytest.mark.parametrize(
    "table",
    [
        {"command": ""},
        {"command": []},
        {"args": ["rm"]},
        {"command": "run", "url": "https://x"},
        {"url": "https://x", "client_secret": "s"},
    ],
)
def test_what_names_no_server_or_two_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"mcp\.one\."):
        read(**table)


@pytest.mark.law("mcp.8")
def test_of_a_file_that_says_a_thing_twice_nothing_is_used(tmp_path: Path) -> None:
    one, other = json.dumps({"command": "one"}), json.dumps({"command": "other"})
    text = f'{{"mcpServers": {{"a": {one}, "a": {other}}}}}'
    servers, [said] = checkout(tmp_path, text)
    assert servers == []
    assert "'a' twice" in said
    twice = '{"mcpServers": {"a": {"command": "one", "command": "other"}}}'
    assert checkout(tmp_path, twice)[0] == []
    [found], wrong = checkout(tmp_path, f'{{"mcpServers": {{"a": {one}}}}}')
    assert (found.command, wrong) == (("one",), [])


@pytest.mark.law("mcp.12")
@pytest.mark.parametrize("secret", ["two\nlines", "sécret", "\0ull", "re\rturn"])
def test_a_header_that_no_request_can_have_is_refused_without_its_value(
    secret: str,
) -> None:
    table: Any = {"url": "https://a.example/", "headers": {"X-Key": "Bearer ${KEY}"}}
    found, [wrong] = configured({"a": table}, {"KEY": secret})
    assert not found
    assert "mcp.a.headers of 'X-Key' must be a line" in wrong
    assert secret not in wrong
