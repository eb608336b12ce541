"""Locations: one directory has one Location, however it is written."""

from pathlib import Path

import pytest
from dovetail.kernel import Location, LocationNotFoundError


def test_every_way_to_write_a_directory_gives_one_location(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = (tmp_path / "real").resolve()
    real.mkdir()
    link = tmp_path / "link"
    link.symlink_to(real)
    monkeypatch.chdir(real)

    here = Location.at(real)

    assert here == Location(str(real))
    assert here.path == real
    for way in (str(real), link, ".", "../real", f"{real}/", here):
        assert Location.at(way) == here
    assert Location(str(real), "other") != here


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    for path in ("missing", "file", "loop", "a\0b", "file/below"):
        with pytest.raises(LocationNotFoundError) as caught:
            Location.at(tmp_path / path)
        assert caught.value.code == "location.not_found"
