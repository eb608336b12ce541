"""What does not belong into a text that models are told again and again."""

import socket
from pathlib import Path

import pytest
from dovetail.kernel.testing import ManualClock
from dovetail.kernel.testing.conformance.words import strangers

# 2026-03-04 05:06:07 UTC
NOW = 1_772_600_767_000

STRANGERS = {
    "an address": "<Team object at 0x7f2c1a9e5b7d>",
    "a random id": "room 7f2c1a9e-5b7d-4c38-9e0a-d1a6f3b58c42",
    "a moment": "as of 2026-03-04 15:16",
    "a moment with a T": "as of 2019-03-04T15:06:07Z",
    "the time of day": "it is 05:06 now",
    "the time of day with seconds": "it is 5:07:30 now",
    "the seconds": "since 1772600000",
    "the milliseconds": "since 1772600760123",
    "the home directory": f"see {Path.home()}/notes",
}
FAMILIAR = {
    "a day": "2026-03-04",
    "another time of day": "at 12:30 there is lunch",
    "a number": "there are 1234567890 of them",
    "a version": "3.11.7",
    "an address of the network": "127.0.0.1:8080",
    "a ratio": "in the ratio 16:9",
    "a hash": "commit 9d9452a0f1",
}


@pytest.mark.parametrize("what", STRANGERS)
def test_a_stranger_is_found(what: str) -> None:
    assert len(strangers(STRANGERS[what], ManualClock(NOW))) == 1


@pytest.mark.parametrize("what", FAMILIAR)
def test_what_is_familiar_is_let_be(what: str) -> None:
    assert strangers(FAMILIAR[what], ManualClock(NOW)) == []


def test_the_name_of_this_machine_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "walrus-17")
    assert strangers("built on walrus-17.", ManualClock(NOW)) != []
    assert strangers("built on walrus-170", ManualClock(NOW)) == []


def test_what_is_known_may_be_there() -> None:
    folder = f"{Path.home()}/project"
    assert strangers(f"you are in {folder}", ManualClock(NOW), (folder,)) == []
