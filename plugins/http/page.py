"""The page: files that a browser is given as they are.

Owns which files there are and what they may do in a browser: run and show what came
from here, and ask here; nothing of it comes from anywhere else, and nothing that a
session holds can run. It is only a client of the public API.
"""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        # Pictures that a result holds; a picture from elsewhere would tell who looks.
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
Serving = Callable[[Request], Awaitable[Response]]
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}


def page_routes() -> list[tuple[str, Serving]]:
    """Return what serves the page at the root, and the files beside it, by its path."""
    made = []
    for file in files(__package__).joinpath("page_files").iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            path = "/" if file.name == "index.html" else f"/page/{file.name}"
            made.append((path, _serving(file.read_bytes(), kind)))
    return made


def _serving(content: bytes, kind: str) -> Serving:
    async def serve(request: Request) -> Response:
        headers = {"Content-Security-Policy": POLICY}
        return Response(content, media_type=kind, headers=headers)

    return serve
