"""The plugin opens its own URLs, refuses wrong ones, and costs others nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dovetail.kernel import InvalidValueError, open_runtime
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
async def test_a_wrong_url_is_the_callers_mistake_and_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidValueError, match=r"^store URL"):
        async with open_runtime(url, plugins=[plugin], load_entry_points=False):
            pass
    assert os.listdir(tmp_path) == []


def test_a_url_of_another_kind_is_left_to_others() -> None:
    assert plugin.dovetail_open_store("redis://x") is None


def test_the_store_is_loaded_when_one_is_opened_and_peewee_is_not() -> None:
    code = (
        "import sys; from dovetail.storage.plugin import plugin;"
        "plugin.dovetail_open_store('redis://x');"
        "assert 'sqlite3' not in sys.modules;"
        "import asyncio;"
        "asyncio.run(plugin.dovetail_open_store('sqlite://').__aenter__());"
        "assert 'sqlite3' in sys.modules and 'peewee' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
