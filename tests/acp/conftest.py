"""Where the package of the protocol is not installed, these are left out."""

from importlib.util import find_spec

if find_spec("acp") is None:
    collect_ignore_glob = ["test_*.py"]
