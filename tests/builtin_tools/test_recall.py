"""The tool recall: what was said and done earlier, found again."""

from typing import Any

import pytest
from dovetail.kernel import (
    AssistantMessage,
    Message,
    MessageId,
    SessionId,
    SummaryMessage,
    TextContent,
    TextPart,
    ToolFailure,
    ToolPart,
    UserMessage,
)

HERE = SessionId("ses_test")


def said(seq: int, text: str) -> Message:
    return UserMessage(MessageId(f"msg_{seq}"), HERE, seq, 0, text)


def did(seq: int, result: str, *, tool: str = "read", text: str = "Done.") -> Message:
    part = ToolPart("c1", tool, '{"path": "a.py"}', "succeeded", (TextContent(result),))
    parts = (TextPart(text), part)
    return AssistantMessage(
        MessageId(f"msg_{seq}"), HERE, seq, 0, "build", "a/b", parts
    )


@pytest.mark.law("compaction.9")
async def test_words_are_found_with_their_position_the_latest_first(
    tools: Any,
) -> None:
    tools.context.past = [
        said(3, "Fix the Parser, please"),
        did(5, "def parse(): pass"),
        said(9, "and the lexer"),
    ]
    shown = await tools.text("recall", query="pars")
    assert shown.splitlines() == [
        "[5] result of read: def parse(): pass",
        "[3] user: Fix the Parser, please",
    ]
    assert (await tools.text("recall", query="lexer parser")) == "Nothing was found."
    assert "[3]" in await tools.text("recall", query="FIX please")


@pytest.mark.law("compaction.9")
async def test_a_position_is_read_in_full(tools: Any) -> None:
    tools.context.past = [said(3, "Fix it"), did(5, "line\n" * 300), said(9, "more")]
    shown = await tools.text("recall", position=5)
    assert shown.startswith("[5]\nyou: Done.\nyou called read: ")
    assert shown.count("line") == 300
    both = await tools.text("recall", position=4, messages=2)
    assert "[5]" in both
    assert "[9]\nuser: more" in both


async def test_neither_summaries_nor_earlier_searches_are_found(tools: Any) -> None:
    tools.context.past = [
        said(3, "needle"),
        did(5, "[3] user: needle", tool="recall", text="Found."),
        SummaryMessage(MessageId("msg_7"), HERE, 7, 0, "about the needle"),
    ]
    assert await tools.text("recall", query="needle") == "[3] user: needle"


@pytest.mark.law("compaction.9")
async def test_a_search_is_bounded_and_says_where_to_go_on(tools: Any) -> None:
    tools.context.past = [said(seq, f"word {seq}") for seq in range(1, 31)]
    shown = (await tools.text("recall", query="word")).splitlines()
    assert len(shown) == 21
    assert shown[-1].startswith("Searched back to position 11;")
    rest = (await tools.text("recall", query="word", position=11)).splitlines()
    assert len(rest) == 10


async def test_asking_for_nothing_is_told(tools: Any) -> None:
    with pytest.raises(ToolFailure, match="words to search for, or a position"):
        await tools.text("recall")
    with pytest.raises(ToolFailure, match="nothing is at position 7"):
        await tools.text("recall", position=7)
