"""The plugin opens its own URLs, refuses wrong ones, and costs others nothing."""

import subprocess
import sys

import pytest
from dovetail.kernel import InvalidValueError
from dovetail.storage.plugin import SqliteUrl, plugin


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite://", SqliteUrl(None)),
        ("sqlite:///", SqliteUrl(None)),
        ("sqlite:///:memory:", SqliteUrl(None)),
        ("sqlite:///a.db", SqliteUrl("a.db")),
        ("SQLite:///a/b.db", SqliteUrl("a/b.db")),
        ("sqlite:////tmp/a.db", SqliteUrl("/tmp/a.db")),
        ("sqlite:///a%20b%23%3F%25.db", SqliteUrl("a b#?%.db")),
        ("sqlite:///a.db?busy_timeout=0.5", SqliteUrl("a.db", 0.5)),
        ("sqlite:///a.db?busy_timeout=0", SqliteUrl("a.db", 0)),
        ("postgresql://x", None),
        ("memory://x", None),
        ("a.db", None),
        ("", None),
    ],
)
def test_a_url_says_which_file_and_how_long_to_wait(
    url: str, expected: SqliteUrl | None
) -> None:
    assert SqliteUrl.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:a.db",
        "sqlite:/a.db",
        "sqlite://a.db",
        "sqlite://[/a.db",
        "sqlite:///a%00.db",
        "sqlite:///a.db#x",
        "sqlite:///a.db?mode=ro",
        "sqlite:///a.db?busy_timeout=",
        "sqlite:///a.db?busy_timeout=soon",
        "sqlite:///a.db?busy_timeout=-1",
        "sqlite:///a.db?busy_timeout=nan",
        "sqlite:///a.db?busy_timeout=inf",
        "sqlite:///a.db?busy_timeout=1e9",
    ],
)
def test_a_wrong_url_is_refused_before_anything_is_touched(url: str) -> None:
    with pytest.raises(InvalidValueError):
        plugin.dovetail_open_store(url)


def test_a_url_of_another_kind_is_left_to_others() -> None:
    assert plugin.dovetail_open_store("redis://x") is None


def test_the_store_is_loaded_when_one_is_opened_and_peewee_is_not() -> None:
    code = (
        "import sys; from dovetail.storage.plugin import plugin;"
        "plugin.dovetail_open_store('redis://x');"
        "assert 'sqlite3' not in sys.modules;"
        "plugin.dovetail_open_store('sqlite://');"
        "assert 'sqlite3' in sys.modules and 'peewee' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
