"""Which protocol a provider speaks is told by whoever registers the protocols."""

from typing import Any

import pytest
from dovetail.kernel import ProviderProtocol
from dovetail.kernel.models.protocols import assigned

CHAT = ProviderProtocol("any-chat", "any", common=True)
OWN = ProviderProtocol("own-words", "own")


def test_a_table_speaks_what_it_names_or_what_it_is_called_like() -> None:
    tables: dict[str, Any] = {
        "own": {"base_url": "http://x"},
        "local": {"base_url": "http://x"},
        "other": {"protocol": "own-words"},
        "any": {"protocol": "own-words"},
    }
    found, problems = assigned([CHAT, OWN], tables)
    assert found == {
        "any": "own-words",
        "local": "any-chat",
        "other": "own-words",
        "own": "own-words",
    }
    assert problems == []


def test_a_protocols_own_provider_speaks_it_without_a_table() -> None:
    assert assigned([CHAT, OWN], {}) == ({"any": "any-chat", "own": "own-words"}, [])


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"protocol": "own-wordss"}, "no plugin speaks the protocol 'own-wordss'"),
        ({"protocol": 1}, "protocol must be a text"),
        ("http://x", "it must be a table"),
    ],
)
def test_a_table_that_nobody_reads_is_told_of_with_those_that_are_known(
    table: Any, says: str
) -> None:
    found, (problem,) = assigned([CHAT, OWN], {"bad": table})
    assert "bad" not in found
    assert problem.startswith("[providers.bad]: ")
    assert says in problem
    if table != "http://x":
        assert problem.endswith("known are: any-chat, own-words")


def test_without_a_common_protocol_a_table_must_name_one() -> None:
    found, (problem,) = assigned([OWN], {"local": {}})
    assert found == {"own": "own-words"}
    assert "it names no protocol; known are: own-words" in problem
