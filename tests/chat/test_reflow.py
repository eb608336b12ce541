"""A window that is made narrower keeps nothing of what was drawn."""

import io

import pytest
from dovetail.plugins.chat.reflow import ReflowRenderer, reflows, rows_more
from prompt_toolkit.application import Application
from prompt_toolkit.application.current import set_app
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import DummyInput
from prompt_toolkit.layout import FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.styles import DummyStyle


def test_rows_are_folded_by_the_width_of_their_signs() -> None:
    assert rows_more([[1] * 95, [1] * 40, [1]], 1, 50) == 1
    assert rows_more([[1] * 95, [1] * 52, [1]], 1, 50) == 2
    # A sign of two cells goes to the next row whole.
    assert rows_more([[2] * 10, []], 0, 5) == 4
    # Of the row with the cursor only what is before it.
    assert rows_more([[1] * 90], 2, 40) == 0
    assert rows_more([[1] * 90], 85, 40) == 2


@pytest.mark.parametrize(
    ("environment", "folds"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "screen-256color", "TMUX": "/tmp/x"}, True),
        ({"TERM": "screen"}, False),
        ({"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(379)"}, False),
        ({"TERM": "linux"}, False),
        ({}, True),
    ],
)
def test_terminals_that_fold_their_rows_are_known(
    environment: dict[str, str], folds: bool
) -> None:
    assert reflows(environment) is folds


@pytest.mark.parametrize(("columns", "up"), [(50, 4), (100, 2), (120, 2)])
def test_the_first_row_is_found_again(
    monkeypatch: pytest.MonkeyPatch, columns: int, up: int
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("XTERM_VERSION", raising=False)
    written = io.StringIO()
    size = Size(rows=30, columns=100)
    output = Vt100_Output(written, lambda: size, enable_cpr=False)
    rows = FormattedTextControl(f"{'a' * 95}\n{'b' * 60}")
    line = Window(
        FormattedTextControl([("[SetCursorPosition]", "> ")], focusable=True), height=1
    )
    app = Application[None](
        layout=Layout(HSplit([Window(rows, height=2), line]), focused_element=line),
        input=DummyInput(),
        output=output,
    )
    renderer = ReflowRenderer(DummyStyle(), output, full_screen=False)
    app.renderer = renderer
    with set_app(app):
        renderer.render(app, app.layout)
    assert "aaa" in written.getvalue()
    written.truncate(written.seek(0))
    size = Size(rows=30, columns=columns)
    renderer.erase(leave_alternate_screen=False)
    moved = written.getvalue().partition("\x1b[J")[0]
    ups = [part for part in moved.split("\x1b[") if part.endswith("A")]
    assert sum(int(part[:-1] or 1) for part in ups) == up
