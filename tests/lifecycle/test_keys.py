"""The file of keys: who may have read it, and how it is replaced."""

import os
import stat
from pathlib import Path

import pytest
from dovetail.kernel import ConfigurationError, Keys, Location
from dovetail.kernel.configuration.merging import Configuration
from hypothesis import given, strategies as st

SECRET = "sk-do-not-show-me-1234"


def keys(folder: Path, text: str = "", mode: int = 0o600) -> Keys:
    file = folder / "keys.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return Keys(file)


def test_what_is_written_is_read_and_nobody_else_can(tmp_path: Path) -> None:
    kept = Keys(tmp_path / "new" / "keys.toml")
    assert kept.read() == {}
    kept.write("openai", SECRET)
    kept.write("other.one", 'odd "\\ key')
    assert kept.read() == {"openai": SECRET, "other.one": 'odd "\\ key'}
    assert kept.path is not None
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.path.parent.stat().st_mode) == 0o700
    kept.write("openai", None)
    assert kept.read() == {"other.one": 'odd "\\ key'}
    left = {one.name for one in kept.path.parent.iterdir()}
    assert left <= {"keys.toml", "keys.lock"}


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_any_printable_key_comes_back(
    tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    kept = Keys(tmp_path_factory.mktemp("keys") / "keys.toml")
    kept.write("a", key)
    assert kept.read() == {"a": key}


@pytest.mark.law("models.3")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o601])
def test_a_file_that_others_may_touch_is_refused_by_name(
    tmp_path: Path, mode: int
) -> None:
    kept = keys(tmp_path, f'openai = "{SECRET}"', mode)
    with pytest.raises(ConfigurationError, match=r"keys\.toml.*chmod 600") as caught:
        kept.read()
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigurationError):
        kept.write("openai", "another-one")


@pytest.mark.law("models.3")
def test_a_folder_that_others_write_to_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ConfigurationError, match="others may write to its folder"):
        keys(folder, f'openai = "{SECRET}"').read()


@pytest.mark.law("models.3")
def test_a_link_to_a_file_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "theirs"
    target.write_text(f'openai = "{SECRET}"')
    target.chmod(0o600)
    link = tmp_path / "keys.toml"
    link.symlink_to(target)
    assert Keys(link).read() == {"openai": SECRET}
    # Somebody else than the one whom both belong to.
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        Keys(link).read()


def test_what_is_no_file_of_keys_is_refused_without_a_word_of_it(
    tmp_path: Path,
) -> None:
    for text in (SECRET, f"a = {SECRET}", "a = 1", 'a = ""', 'a = "ü"', "[a]\nb = 1"):
        with pytest.raises(ConfigurationError) as caught:
            keys(tmp_path, text).read()
        assert SECRET not in str(caught.value)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    with pytest.raises(ConfigurationError, match="regular file"):
        Keys(fifo).read()
    with pytest.raises(ConfigurationError, match="over"):
        keys(tmp_path, "#" * 300_000).read()


@pytest.mark.parametrize("name", ["", "a/b", "..\n", "a b", "-a"])
def test_a_name_that_no_provider_has_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        Keys(tmp_path / "keys.toml").write(name, SECRET)


def test_a_writer_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keys(tmp_path, f'openai = "{SECRET}"')

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        kept.write("openai", "another-one")
    assert kept.read() == {"openai": SECRET}
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".keys-")]


def test_it_lies_beside_the_file_of_the_user(tmp_path: Path) -> None:
    named = str(tmp_path / "mine.toml")
    assert Keys.at({"DOVETAIL_CONFIG": named}).path == tmp_path / "keys.toml"
    assert Keys.at({"DOVETAIL_CONFIG": ""}).path is None
    other = {"DOVETAIL_CONFIG": named, "DOVETAIL_KEYS": str(tmp_path / "other")}
    assert Keys.at(other).path == tmp_path / "other"
    assert Keys.at({"DOVETAIL_KEYS": ""}).path is None
    assert Keys(None).read() == {}
    with pytest.raises(ConfigurationError, match="there is no file of keys"):
        Keys(None).write("a", SECRET)


def test_a_file_that_may_not_be_used_keeps_no_work_from_going_on(
    tmp_path: Path,
) -> None:
    kept = keys(tmp_path, f'openai = "{SECRET}"', 0o644)
    environment = {"DOVETAIL_CONFIG": "", "DOVETAIL_KEYS": str(kept.path)}
    found = Configuration.load(Location.at(tmp_path), environment)
    assert found.keys == {}
    assert "chmod 600" in (found.keys_problem or "")
    assert SECRET not in repr(found)
