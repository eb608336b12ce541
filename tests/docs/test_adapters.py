"""The tutorial for adapters: done word for word, in a package that pip installs.

Without a network, and beside the dovetail that is tested: pip puts the package into a
folder of its own.
"""

import os
import sys
from pathlib import Path

from support.environments import LIGHT
from support.pages import Shell, blocks_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "adapters.md"


def test_a_protocol_of_its_own_from_nothing_to_a_session(tmp_path: Path) -> None:
    own = str(Path(sys.executable).parent)
    kept = ("LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {
        "PATH": os.pathsep.join((own, os.environ.get("PATH", os.defpath))),
        "HOME": str(tmp_path / "home"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INDEX": "1",
        "PYTEST_ADDOPTS": LIGHT,
    }
    folder = tmp_path / "empty"
    folder.mkdir()
    blocks = blocks_of(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) > 6
    with Shell(folder, environment) as shell:
        for block in blocks:
            where = f"{PAGE.name}:{block.line}"
            if block.how == "console":
                shell.play(block, where)
            else:
                assert block.how == "file", f"{where} is not tested"
                block.write_into(folder)
