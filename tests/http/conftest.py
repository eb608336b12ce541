"""Where what the tests of the HTTP door need is not installed, they are left out."""

from importlib.util import find_spec

collect_ignore = []
if find_spec("starlette") is None or find_spec("uvicorn") is None:
    collect_ignore_glob = ["test_*.py"]
elif find_spec("schemathesis") is None or find_spec("openapi_spec_validator") is None:
    collect_ignore.append("test_openapi.py")
