"""Where the extra of the HTTP door is not installed, nothing here is collected."""

from importlib.util import find_spec

if find_spec("starlette") is None:
    collect_ignore_glob = ["test_*.py"]
