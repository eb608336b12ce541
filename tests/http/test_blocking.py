"""A runtime without ``await``, in the process and over the wire."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from dovetail.kernel import SessionNotFoundError, StoreUnknownError, open_runtime
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.plugins.client import blocking
from support.doors import embedded, remote

MODEL = "scripted/model"

Opened = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("opened", [embedded, remote])
def test_a_session_is_worked_with_line_by_line(opened: Opened, backend: Any) -> None:
    model = ScriptedProvider(text("Hello"), text("Again"))
    with blocking(opened(model), backend=backend) as runtime:
        session = runtime.sessions.create("ses_a", ".", MODEL)
        receipt = session.prompt("Hi", key="one")
        assert session.prompt("Hi", key="one") == receipt
        assert session.wait().succeeded
        assert [one.text for one in session.messages(order="asc")] == ["Hi", "Hello"]
        seen = [event.seq for event in session.events()]
        assert seen == list(range(len(seen)))
        with session.events(after=seen[-1], follow=True) as tail:
            session.prompt("More")
            kinds = []
            for event in tail:
                kinds.append(event.kind)
                if event.kind == "execution.ended":
                    break
        assert kinds[0] == "prompt.admitted"
        assert "build" in [one.name for one in runtime.location(".").agents()]
        assert not runtime.requests.pending()
        with pytest.raises(SessionNotFoundError):
            runtime.sessions.get("none")
    with pytest.raises(RuntimeError):
        session.info()


def test_what_cannot_be_opened_is_told_at_once() -> None:
    unknown = open_runtime("nothing://", load_entry_points=False)
    with pytest.raises(StoreUnknownError), blocking(unknown):
        pytest.fail("it was opened")
