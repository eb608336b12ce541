"""Citations: what each provider attaches, in one form."""

import json
from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import (
    AssistantMessage,
    Citation,
    Finish,
    TextDelta,
    TextEnd,
    TextPart,
)
from dovetail.kernel.testing import ScriptedProvider
from dovetail.plugins.providers.citations import citations_of
from dovetail.plugins.providers.items import ResponsesDecoder
from dovetail.plugins.providers.openai import plugin as openai
from dovetail.plugins.providers.sse import SseEvent
from hypothesis import given, strategies as st
from support.answers import Answered, decode
from support.hosts import host
from support.replay import Answer, serve, sse
from support.requests import ask, opened, request

URL = "https://example.org/a"


@pytest.mark.parametrize(
    ("metadata", "citations"),
    [
        (
            {
                "attached": {
                    "annotations": [
                        {
                            "type": "url_citation",
                            "url_citation": {
                                "url": URL,
                                "title": "A",
                                "content": "It is so.",
                                "start_index": 3,
                                "end_index": 9,
                            },
                        }
                    ]
                }
            },
            (Citation(URL, "A", "It is so.", 3, 9),),
        ),
        ({"attached": {"citations": [URL, URL]}}, (Citation(URL),)),
        (
            {
                "citations": [
                    {
                        "type": "search_result_location",
                        "source": URL,
                        "title": "A",
                        "cited_text": "It is so.",
                    }
                ]
            },
            (Citation(URL, "A", "It is so."),),
        ),
        (
            {
                "annotations": [
                    {
                        "type": "url_citation",
                        "url": URL,
                        "title": "A",
                        "start_index": 0,
                        "end_index": 4,
                    },
                    {"type": "file_citation", "file_id": "f", "filename": "b.pdf"},
                ]
            },
            (Citation(URL, "A", None, 0, 4), Citation(title="b.pdf")),
        ),
        (
            {
                "attached": {
                    "citations": [
                        {
                            "type": "web_search_result_location",
                            "url": URL,
                            "title": "A",
                            "cited_text": "so",
                        },
                        {
                            "type": "page_location",
                            "document_title": "B",
                            "cited_text": "it",
                            "start_page_number": 1,
                        },
                        {
                            "title": "C",
                            "sourceContent": [{"text": "is"}],
                            "location": {"web": {"url": URL}},
                        },
                    ]
                }
            },
            (
                Citation(URL, "A", "so"),
                Citation(title="B", quote="it"),
                Citation(URL, "C", "is"),
            ),
        ),
        (
            {
                "notes": {
                    "groundingMetadata": {
                        "groundingChunks": [{"web": {"uri": URL, "title": "A"}}]
                    },
                    "citationMetadata": {"citationSources": [{"uri": "b"}]},
                }
            },
            (Citation(URL, "A"), Citation("b")),
        ),
        (
            {
                "citations": [
                    {
                        "start": 2,
                        "end": 5,
                        "text": "so",
                        "sources": [{"id": "d1", "document": {"url": URL}}],
                    }
                ]
            },
            (Citation(URL, "d1", None, 2, 5),),
        ),
    ],
)
def test_each_provider_s_notes_are_citations(metadata: Any, citations: Any) -> None:
    assert citations_of(metadata) == citations


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("attached", "annotations", "citations", "notes", "sources"),
                    *("groundingMetadata", "groundingChunks", "web", "type", "url"),
                    *("title", "start_index", "end_index", "document", "location"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["attached", "citations", "notes"]), ANY))
def test_what_is_no_citation_is_none(metadata: dict[str, Any]) -> None:
    for one in citations_of(metadata):
        assert one.url or one.title or one.quote
        assert (one.start is None) == (one.end is None)


@pytest.mark.parametrize(
    ("sources", "citations"),
    [
        ({"citations": [URL]}, (Citation(URL),)),
        (
            {
                "citations": [URL],
                "search_results": [{"url": URL, "title": "A", "snippet": "It is so."}],
            },
            (Citation(URL, "A", "It is so."),),
        ),
        ({"citations": None, "search_results": "odd"}, ()),
    ],
)
def test_what_is_told_beside_the_pieces_of_an_answer_is_cited_once(
    sources: Any, citations: Any
) -> None:
    def piece(said: str, finish: str | None = None) -> Any:
        return {
            "choices": [{"delta": {"content": said}, "finish_reason": finish}],
            **sources,
        }

    [end] = [
        one
        for one in decode(
            "chat", sse(piece("It "), piece("is."), piece("", "stop"))
        ).events
        if isinstance(one, TextEnd)
    ]
    assert citations_of(end.metadata) == citations
    assert "attached" not in end.metadata


def test_sources_that_come_after_all_else_are_cited_too() -> None:
    said = {"choices": [{"delta": {"content": "So."}, "finish_reason": "stop"}]}
    answered = decode("chat", sse(said, {"choices": [], "citations": [URL]}))
    [end] = [one for one in answered.events if isinstance(one, TextEnd)]
    assert citations_of(end.metadata) == (Citation(URL),)
    assert answered.text == "So."


async def test_a_route_hands_over_what_a_text_rests_on() -> None:
    note = {"type": "url_citation", "url_citation": {"url": URL, "title": "A"}}
    delta = {"content": "So.", "annotations": [note]}
    stream = sse({"choices": [{"delta": delta, "finish_reason": "stop"}]}, "[DONE]")
    async with serve(Answer(stream)) as server:
        table = {"base_url": f"{server.url}/v1", "api_key": "k"}
        async with opened(openai, providers={"test": table}) as providers:
            got = Answered(await ask(providers["test"].route("m"), request()))
    [end] = [one for one in got.events if isinstance(one, TextEnd)]
    assert end.citations == (Citation(URL, "A"),)


@pytest.mark.law("output.10")
async def test_a_part_of_the_transcript_says_what_it_rests_on(tmp_path: Path) -> None:
    cited = (Citation(URL, "A\ud800", "so", 0, 3),)
    model = ScriptedProvider(
        [TextDelta("0", "So."), TextEnd("0", {}, cited), Finish("stop")]
    )
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create("s", tmp_path, model=model.model)
        await session.prompt("Is it so?")
        assert (await session.wait()).succeeded
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.get("s")
        [answer] = await session.messages(limit=1)
    assert isinstance(answer, AssistantMessage)
    clean = (Citation(URL, "A\ufffd", "so", 0, 3),)
    assert answer.parts == (TextPart("So.", {}, clean),)


@pytest.mark.parametrize("wrong", [("x",), 3, (Citation(start=-1),)])
async def test_what_is_no_citation_breaks_only_the_answer(
    tmp_path: Path, wrong: Any
) -> None:
    model = ScriptedProvider(
        [TextDelta("0", "So."), TextEnd("0", {}, wrong), Finish("stop")]
    )
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create("s", tmp_path, model=model.model)
        await session.prompt("Is it so?")
        outcome = await session.wait()
    assert outcome.reason is not None
    assert outcome.reason.code == "provider.invalid_output"


@pytest.mark.parametrize("streamed", [True, False])
def test_who_will_not_answer_in_responses_has_refused(streamed: bool) -> None:
    part = {"type": "refusal", "refusal": "I will not."}
    item = {"type": "message", "id": "m", "content": [part]}
    events: list[Any] = [
        {
            "type": "response.refusal.delta",
            "output_index": 0,
            "content_index": 0,
            "delta": "I will not.",
        }
    ]
    done = {"status": "completed", "output": [item]}
    events = events if streamed else []
    events.append({"type": "response.completed", "response": done})
    decoder = ResponsesDecoder("p")
    made: list[Any] = []
    for event in events:
        made += decoder.feed(SseEvent(json.dumps(event).encode()))
    assert made[-1].reason == "content_filter"
    assert "".join(one.text for one in made if isinstance(one, TextDelta)) == (
        "I will not."
    )
