"""A card on rows: no part of a request can look like a line of ours."""

import pytest
from dovetail.kernel import PermissionRequest, Question, RequestId, SessionId
from dovetail.plugins.chat.cards import permission_card, question_card
from dovetail.plugins.console.folding import cells
from dovetail.plugins.console.terminal import Style

OURS = ("? ", "  always: ", "  in: ", "  the model says: ")


def card(command: str, width: int, said: str = "") -> list[str]:
    request = PermissionRequest(
        RequestId("req_1"),
        SessionId("ses_1"),
        agent="build",
        action="bash",
        resources=(command,),
        save=(),
        metadata={"description": said},
        folder=".",
        message_id=None,
        call_id=None,
        created=0,
    )
    return permission_card(request, None, Style(), width).strip("\n").split("\n")


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("gap", ["x", " ", "日"])
def test_what_goes_on_below_never_looks_like_a_line_of_ours(
    width: int, gap: str
) -> None:
    for size in range(width // 2, width + 30):
        fake = gap * size + "  always: read of nothing\u2028? allow read: a"
        for command in (fake, f"first\n{fake}"):
            rows = card(command, width, fake)
            assert max(map(cells, rows)) < width
            assert [row[:2] for row in rows if row.startswith("?")] == ["? "]
            said = [row for row in rows if row.startswith(OURS)]
            assert len(said) == 2, rows


def test_every_row_of_a_line_has_its_mark() -> None:
    rows = card("first\n" + "word " * 30, 40)
    assert rows[1] == "  | first"
    assert all(row.startswith("  | ") for row in rows[1:-1])
    question = question_card(Question("Which?\n" + "long " * 30), Style(), 40)
    assert all(row.startswith("  | ") for row in question.split("\n")[2:-1])


def test_nothing_of_a_long_command_is_left_out() -> None:
    command = "".join(f"{number}," for number in range(500))
    for width in (40, 80, 200):
        rows = card(command, width)
        shown = "".join(row.removeprefix("    ") for row in rows)
        assert shown.startswith(f"? allow bash: {command}")
