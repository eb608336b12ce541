"""What is refused is told with the path at which it was brought."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dovetail.kernel.testing import ScriptedProvider
from support.doors import MODEL, Served, served

SAID = {"text": "Hi"}
GOOD = {"uri": "data:text/plain;base64,SGk="}

CASES: list[tuple[str, str, Any, str]] = [
    ("POST", "session", {"budget": {"steps": -1}}, "$.budget.steps"),
    ("POST", "session", {"budget": {"steps": "a"}}, "$.budget.steps"),
    ("POST", "session", {"generation": {"temperature": 9}}, "$.generation.temperature"),
    ("POST", "session", {"fallback": ["a/b", "bad"]}, "$.fallback[1]"),
    ("POST", "session", {"model": {"providerID": "", "id": ""}}, "$.model"),
    ("POST", "session", {"id": "a b", "title": "a b"}, "$.id"),
    ("POST", "session", {"id": "good", "title": "x" * 9_999}, "$.title"),
    ("POST", "session", {"odd": 1}, "$.odd"),
    ("POST", "session", {"location": {"odd": 1}}, "$.location.directory"),
    ("PUT", "session/ses_a/fallback", {"models": ["a/b", "bad"]}, "$.models[1]"),
    ("PUT", "session/ses_a/budget", {"budget": {"tokens": -9}}, "$.budget.tokens"),
    ("POST", "session/ses_a/fork", {"at": -5}, "$.at"),
    ("POST", "session/ses_a/claim", {"owner": "a b"}, "$.owner"),
    ("POST", "session/ses_a/prune", {"classes": ["trace", "all"]}, "$.classes[1]"),
    ("POST", "output/clean", {"policy": {"days": -1}}, "$.policy.days"),
    ("GET", "spending?zone=No/Where", None, "zone"),
    ("GET", "session?project=a", None, "project"),
]


@pytest.mark.parametrize(("method", "path", "body", "wrong"), CASES)
async def test_a_refused_value_is_told_with_its_path(
    method: str, path: str, body: Any, wrong: str
) -> None:
    async with there() as it:
        told = await it.ask(method, path, 422, json=body)
    assert told["field"] == wrong
    assert wrong in [one["path"] for one in told["problems"]]
    assert all(one["message"] for one in told["problems"])


SAYINGS: list[tuple[dict[str, Any], str]] = [
    ({"prompt": {"text": " "}}, "$.prompt.text"),
    ({"prompt": SAID, "key": " "}, "$.key"),
    ({"prompt": SAID, "id": "a b"}, "$.id"),
    ({"prompt": SAID, "output": {"schema": {"type": "odd"}}}, "$.output.schema"),
    (
        {"prompt": SAID, "output": {"schema": {"properties": {"a": {"type": "odd"}}}}},
        "$.output.schema.properties.a",
    ),
    (
        {"prompt": {**SAID, "files": [GOOD, {"uri": "data:;base64,S*"}]}},
        "$.prompt.files[1].uri",
    ),
    (
        {"prompt": {**SAID, "files": [GOOD, {"uri": "file:///x"}]}},
        "$.prompt.files[1].uri",
    ),
    (
        {"prompt": {**SAID, "files": [GOOD, {"uri": 5}]}},
        "$.prompt.files[1].uri",
    ),
]


@pytest.mark.parametrize(("body", "wrong"), SAYINGS)
async def test_a_refused_part_of_a_prompt_is_told_with_its_path(
    body: dict[str, Any], wrong: str
) -> None:
    async with there() as it:
        told = await it.ask("POST", "session/ses_a/prompt", 422, json=body)
    assert told["field"] == wrong


async def test_a_refused_key_in_a_header_is_told_with_the_name_of_the_header() -> None:
    async with there() as it:
        headers = {"Idempotency-Key": "x" * 300}
        told = await it.ask(
            "POST", "session/ses_a/prompt", 422, json={"prompt": SAID}, headers=headers
        )
    assert told["field"] == "Idempotency-Key"


@asynccontextmanager
async def there() -> AsyncIterator[Served]:
    """Serve one session."""
    async with served(ScriptedProvider()) as it:
        await it.ask("POST", "session", json={"id": "ses_a", "model": MODEL})
        yield it
