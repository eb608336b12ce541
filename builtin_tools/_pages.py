"""Pages: HTML as Markdown or as text, for a model to read.

Owns what of a page is shown: what a browser would show, with the addresses of links
whole, and without scripts, styles and what is hidden. With turbohtml, which is loaded
with the first page; without it, text only. A page is hostile input: turbohtml bounds
how deep it nests, and what could grow with the product of two things is bounded here.
Synchronous: it runs in worker threads, one page at a time, because a page of some
megabytes can need a hundred of them for a moment.
"""

import re
import threading
from html import unescape
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from attrs import frozen

if TYPE_CHECKING:
    import turbohtml

MAX_TITLE = 200
_MAX_BASE = 2_048
_MAX_RESOLVED = 16_777_216
"""Characters that the addresses of a page may grow by."""
_QUOTED = 8_388_608
"""Characters of a page with quotations in each other that may come out."""
_MAX_QUOTES = 33
"""How deep turbohtml nests them at most."""

_BLANKS = re.compile(r"&nbsp;?|&#0*160;?|&#x0*a0;?|\xa0", re.IGNORECASE)
_HIDDEN = (
    "script, style, template, svg title, [hidden], "
    "[style*='display:none'], [style*='display: none']"
)
_INLINE = "[src^='data:'], [href^='data:'], [href^='javascript:'], [href^='blob:']"
_MANY_LINES = re.compile(r"\n{3,}")

_one_at_a_time = threading.Lock()


@frozen
class Page:
    """What is shown of a page."""

    text: str
    title: str = ""
    markdown: bool = False


def can_convert() -> bool:
    """Return whether pages can be turned into Markdown here."""
    return find_spec("turbohtml") is not None


def page_of(html: str, url: str, *, markdown: bool) -> Page:
    """Return a page that is at ``url`` as Markdown, or as text.

    Without turbohtml it is text in any case, and ``Page.markdown`` says so.
    """
    if not can_convert():
        return _plain(html)
    with _one_at_a_time:
        return _converted(html, url, markdown=markdown)


def _converted(html: str, url: str, *, markdown: bool) -> Page:
    import turbohtml

    # Between words that belong together, which nothing here breaks; beside emphasis it
    # would be written as HTML.
    document = turbohtml.parse(_BLANKS.sub(" ", html), positions=False)
    titles = document.select("title")
    title = " ".join(titles[0].text.split())[:MAX_TITLE] if titles else ""
    for element in document.select(_HIDDEN):
        element.decompose()
    if not markdown:
        text = document.to_markdown(_text_style())
        return Page(_tidy(text), title)
    for element in document.select(_INLINE):
        # A picture that is in its own address, or a program.
        if element.tag == "img":
            alternative = str(element.attrs.get("alt") or "")
            element.replace_with(turbohtml.Text(alternative))
        else:
            element.attrs.pop("href", None)
    base = _base(document, url)
    if (html.count("<") + 1) * len(base) <= _MAX_RESOLVED:
        document.resolve_links(base)
    depth = min(html.lower().count("<blockquote"), _MAX_QUOTES)
    flat = 2 * depth * len(html) > _QUOTED
    return Page(document.to_markdown(_markdown_style(flat=flat)), title, markdown=True)


def _base(document: "turbohtml.Document", url: str) -> str:
    for element in document.select("base[href]")[:1]:
        try:
            base = urljoin(url, str(element.attrs["href"]))
        except ValueError:
            break
        if base.startswith(("http://", "https://")) and len(base) <= _MAX_BASE:
            return base
    return url


def _markdown_style(*, flat: bool) -> "turbohtml.Markdown":
    from turbohtml import Markdown

    return Markdown(
        inline=Markdown.Inline(emphasis="_"),
        tables=Markdown.Tables(cell_blocks="text"),
        strip=["blockquote"] if flat else None,
    )


def _text_style() -> "turbohtml.Markdown":
    """Return how a page becomes text. Not as turbohtml makes text of it: that aligns
    the columns of tables, which makes gigabytes of some."""
    from turbohtml import Markdown

    return Markdown(
        convert=["p", "br", "pre", "ul", "ol", "li"],
        escaping=Markdown.Escaping(mode="none", asterisks=False, underscores=False),
        links=Markdown.Links(ignore=True),
        tables=Markdown.Tables(mode="strip"),
        converters={
            "td": lambda _, text: f"{text.strip()}\t",
            "th": lambda _, text: f"{text.strip()}\t",
            "tr": lambda _, text: text.rstrip("\t") + "\n",
        },
    )


def _tidy(text: str) -> str:
    lines = (line.rstrip() for line in text.split("\n"))
    return _MANY_LINES.sub("\n\n", "\n".join(lines)).strip("\n")


# --- without turbohtml ------------------------------------------------------------

_BREAKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "br", "caption", "dd"),
        *("details", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer"),
        *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main"),
        *("nav", "ol", "p", "pre", "section", "summary", "table", "tr", "ul"),
    )
)
_UNSEEN = frozenset(("script", "style", "template", "title"))
_MARK = re.compile(r"<[a-zA-Z/!?]")
_NAME = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_WORDS = re.compile(r"\s+")


def plain_text(html: str) -> str:
    """Return a piece of HTML, or of text that may hold some, without its markup."""
    return _plain(html).text


def _plain(html: str) -> Page:
    """Return the text of a page, in time proportional to it.

    Not with the parser of the standard library, which can need minutes for a quarter of
    a megabyte.
    """
    parts: list[str] = []
    titles: list[str] = []
    lower = html.lower() if html.isascii() else _lower(html)
    exact = at = 0
    while at < len(html):
        mark = _MARK.search(html, at)
        begin = mark.start() if mark else len(html)
        text = html[at:begin]
        parts.append(text if exact else _WORDS.sub(" ", text))
        if mark is None:
            break
        found = _NAME.match(html, begin)
        if found is None:
            comment = html.startswith("<!--", begin)
            at = _after(html, "-->" if comment else ">", begin + 2)
            continue
        at = _after(html, ">", found.end())
        closes, name = bool(found[1]), found[2].lower()
        if name in _UNSEEN and not closes:
            end = lower.find(f"</{name}", at)
            if name == "title" and not titles:
                titles.append(html[at : end if end >= 0 else None])
            at = end if end >= 0 else len(html)
        elif name in _BREAKS:
            parts.append("\n")
        elif name in ("td", "th") and not closes:
            parts.append("\t")
        if name == "pre":
            exact = max(0, exact - 1) if closes else exact + 1
    title = " ".join(unescape("".join(titles)).split())[:MAX_TITLE]
    return Page(_tidy(unescape("".join(parts))), title)


def _after(html: str, end: str, at: int) -> int:
    """Return where what ends so is over; nothing comes after what does not."""
    found = html.find(end, at)
    return found + len(end) if found >= 0 else len(html)


def _lower(text: str) -> str:
    # Letter by letter: some have two in lower case, and places would not be the same.
    return text.translate(_SMALL)


_SMALL = {ord(one): one.lower() for one in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
