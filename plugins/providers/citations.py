"""Citations: what an answer rests on, out of the words of each provider.

Owns how what a provider attached to a text is read as ``Citation``s. What is attached
stays as it came, for the way back. Pure, and never a reason for an answer to fail: what
is no citation is none.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dovetail.kernel import Citation, clean_text

from .reading import table, word

MOST = 1_000
"""Citations of one text that are read."""
LONGEST = 2_000
"""Characters of what is quoted."""


def citations_of(metadata: Mapping[str, Any]) -> tuple[Citation, ...]:
    """Return what a text rests on, by what its provider attached to it."""
    attached = table(metadata.get("attached"))
    found: list[Citation] = []
    for one in (
        *_listed(attached.get("annotations")),
        *_listed(attached.get("citations")),
        *_listed(metadata.get("annotations")),
        *_listed(metadata.get("citations")),
    ):
        found += _read(one)
    found += _grounding(table(metadata.get("notes")))
    return tuple(dict.fromkeys(found[:MOST]))


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _read(one: Any) -> Iterator[Citation]:
    """Yield what one annotation cites."""
    if isinstance(one, str):
        # Perplexity's are addresses alone.
        yield from _made(url=one)
        return
    note = table(one)
    # Chat Completions puts all of it into an object called like its type.
    note = {**note, **table(note.get(word(note.get("type"))))}
    where = table(note.get("location"))
    web = table(where.get("web"))
    quoted = [
        word(table(part).get("text")) for part in _listed(note.get("sourceContent"))
    ]
    sources = _listed(note.get("sources"))
    if sources:
        # Cohere's say which words of the answer rest on several.
        for source in sources:
            document = table(table(source).get("document"))
            yield from _made(
                url=word(document.get("url")),
                title=word(document.get("title")) or word(table(source).get("id")),
                start=note.get("start"),
                end=note.get("end"),
            )
        return
    yield from _made(
        url=word(note.get("url"))
        or word(note.get("uri"))
        or word(web.get("url"))
        or word(note.get("source")),
        title=word(note.get("title"))
        or word(note.get("document_title"))
        or word(note.get("filename")),
        quote=word(note.get("cited_text"))
        or word(note.get("content"))
        or word(note.get("snippet"))
        or "".join(quoted),
        start=note.get("start_index"),
        end=note.get("end_index"),
    )


def _grounding(notes: Mapping[str, Any]) -> Iterator[Citation]:
    """Yield what Gemini's answer is grounded in. Where in its text is said in bytes of
    the whole answer, so that it is not repeated here."""
    for chunk in _listed(table(notes.get("groundingMetadata")).get("groundingChunks")):
        for named in ("web", "retrievedContext", "maps"):
            source = table(table(chunk).get(named))
            url, title = word(source.get("uri")), word(source.get("title"))
            yield from _made(url=url, title=title, quote=word(source.get("text")))
    sources = _listed(table(notes.get("citationMetadata")).get("citationSources"))
    for one in sources or _listed(
        table(notes.get("citationMetadata")).get("citations")
    ):
        yield from _made(
            url=word(table(one).get("uri")), title=word(table(one).get("title"))
        )


def _made(
    url: str = "", title: str = "", quote: str = "", start: Any = None, end: Any = None
) -> Iterator[Citation]:
    if not (url or title or quote):
        return
    placed = all(type(at) is int and at >= 0 for at in (start, end)) and start <= end
    yield Citation(
        url=clean_text(url) or None,
        title=clean_text(title) or None,
        quote=clean_text(quote)[:LONGEST] or None,
        start=start if placed else None,
        end=end if placed else None,
    )
