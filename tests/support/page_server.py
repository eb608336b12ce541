"""A server with a model that answers by what it is asked: for a browser to look at.

Run as ``python -m support.page_server PORT FOLDER``. In the middle of a long answer it
waits until there is a file ``go`` in the folder, so that whoever looks can look.
"""

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import uvicorn
from dovetail.kernel import (
    ModelInfo,
    Provider,
    ProviderRoute,
    Usage,
    UserMessage,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.testing.scripted import call, finish, reasoning
from dovetail.kernel.values.request import ModelEvent, ModelRequest, TextDelta
from dovetail.plugins.http import app

HOSTILE = """# Title

Some **bold**, `code`, a [link](https://example.org), a [trap](javascript:alert(1))
and \u202etxet denrut\u202c with \x1b[31mcolour\x1b[0m.

<script>window.broken = 1</script><img src=x onerror="window.broken = 2">

- one
- two

```python
def f(): return "<b>"  # a comment
```

| a | b |
|---|---|
| 1 | 2 |
"""


class Model(ProviderRoute):
    """Plays what a word of the last prompt asks for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @hookimpl
    def dovetail_register_providers(self, register: object, place: object) -> None:
        model = ModelInfo("page/model", 200_000)
        register(  # type: ignore[operator]
            Provider("page", route=lambda _: self, models=(model,), silence=None)
        )

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        yield self._play(request)

    def _until_told(self) -> None:
        # Who tells is another process.
        while not (self.folder / "go").exists():
            time.sleep(0.02)

    async def _play(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        last = request.history.messages[-1]
        said = last.text if isinstance(last, UserMessage) else ""
        number = len(request.history.messages)
        usage = Usage(input=1200, output=80, cache_read=400)
        if "command" in said:
            yield call("bash", {"command": "seq 1 3"}, id=f"c{number}")
            yield finish("tool_calls", usage)
        elif "question" in said:
            options = [{"label": "Red", "description": "warm"}, {"label": "Blue"}]
            asked = {"question": "Which colour?", "options": options}
            yield call("question", {"questions": [asked]}, id=f"q{number}")
            yield finish("tool_calls", usage)
        else:
            yield reasoning("It thinks.")
            yield TextDelta("0", "It begins. ")
            if "wait" in said:
                await anyio.to_thread.run_sync(self._until_told, abandon_on_cancel=True)
            yield TextDelta("0", HOSTILE if "hostile" in said else "It ends.")
            if "huge" in said:
                yield TextDelta("0", "\n" + "x" * 300_000)
            yield finish("stop", usage)


async def _serve(port: int, folder: Path) -> None:
    async with open_runtime(
        f"sqlite:///{folder / 'agents.db'}", plugins=[Model(folder)]
    ) as runtime:
        door = app(runtime, location=folder)
        config = uvicorn.Config(
            door, port=port, lifespan="off", ws="none", log_config=None
        )
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    anyio.run(_serve, int(sys.argv[1]), Path(sys.argv[2]))
