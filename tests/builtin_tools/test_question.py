"""The tool question: what only a person can decide."""

from pathlib import Path
from typing import Any

import pytest
from dovetail.builtin_tools.question import QuestionsInput
from dovetail.kernel import (
    InvalidValueError,
    Question,
    QuestionAnswer,
    QuestionDismissedError,
    QuestionOption,
    ToolFailure,
    UndecodableError,
    from_json,
)
from support.tool_context import FakeToolContext

RED = {"label": "Red", "description": "Loud"}


class Asking:
    """The tool as a model calls it."""

    def __init__(self, tools: Any, place: Path) -> None:
        self.context = tools.context = FakeToolContext(place)
        self._tools = tools

    async def call(self, *questions: dict[str, Any]) -> Any:
        given = from_json({"questions": [*questions]}, QuestionsInput)
        return await self._tools.tools["question"].execute(given, self.context)

    async def text(self, *questions: dict[str, Any]) -> Any:
        return self._tools.show("question", await self.call(*questions))


@pytest.fixture
def asked(tools: Any, place: Path) -> Asking:
    return Asking(tools, place)


async def test_all_questions_are_asked_at_once_and_answered_in_their_order(
    asked: Asking,
) -> None:
    asked.context.answers = [
        [QuestionAnswer(("Red",)), QuestionAnswer((), "Bo"), QuestionAnswer()]
    ]
    shown = await asked.text(
        {"question": "Which colour?", "header": "Colour", "options": [RED]},
        {"question": "Which name?"},
        {"question": "How many?"},
    )
    assert shown == (
        "Which colour?\n- Red\n\n"
        "Which name?\nIn their own words: Bo\n\n"
        "How many?\n(left open: decide it yourself)"
    )
    assert asked.context.questions == [
        (
            Question("Which colour?", "Colour", (QuestionOption("Red", "Loud"),)),
            Question("Which name?"),
            Question("How many?"),
        )
    ]


async def test_a_dismissal_is_nobodys_failure_but_the_persons_word(
    asked: Asking,
) -> None:
    with pytest.raises(QuestionDismissedError):
        await asked.call({"question": "Which?"})


async def test_it_asks_for_no_permission(asked: Asking) -> None:
    asked.context.answers = [[QuestionAnswer()]]
    await asked.call({"question": "Which?"})
    assert asked.context.asked == []


@pytest.mark.parametrize(
    "questions",
    [
        [],
        [{"question": ""}],
        [{"question": "Which?", "options": [{"label": ""}]}],
        [{"question": str(number)} for number in range(11)],
    ],
)
async def test_what_breaks_a_bound_is_refused_before_anybody_is_asked(
    asked: Asking, questions: Any
) -> None:
    with pytest.raises(UndecodableError):
        await asked.call(*questions)
    assert asked.context.questions == []


async def test_what_the_kernel_would_not_ask_is_told_to_the_model(
    asked: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(questions: object) -> None:
        raise InvalidValueError("question", "x", "each option has a label")

    monkeypatch.setattr(asked.context, "question", refuse)
    with pytest.raises(ToolFailure, match="each option has a label"):
        await asked.call({"question": "Which?"})
