"""The tutorial: what it says is done word for word, and answered as it shows.

Without a network: dovetail comes from a wheel of this tree, everything else is there.
"""

import os
from pathlib import Path

import pytest
from support.environments import offline, python_without_pip
from support.pages import Shell, blocks_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"


@pytest.fixture
def newcomer(tmp_path: Path, wheel: Path) -> dict[str, str]:
    """The environment of somebody who has Python, and nothing of dovetail."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
    }
    own = tmp_path / "bin"
    python_without_pip(own)
    home = tmp_path / "home"
    home.mkdir()
    return {
        **kept,
        **offline(wheel, tmp_path / "libraries"),
        "PATH": os.pathsep.join((str(own), os.environ.get("PATH", os.defpath))),
        "HOME": str(home),
    }


def test_from_an_empty_folder_to_an_installed_plugin(
    newcomer: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    blocks = blocks_of(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) > 6
    with Shell(folder, newcomer) as shell:
        for block in blocks:
            where = f"{PAGE.name}:{block.line}"
            if block.how == "console":
                shell.play(block, where)
            elif block.how == "line":
                block.replace_line_in(folder)
            else:
                assert block.how == "file", f"{where} is not tested"
                block.write_into(folder)
    assert sorted(os.listdir(folder)) == [".venv", "dovetail-lines"]
