"""Writes docs/hooks.md, the reference page of all hooks, from their docstrings.

Run it after changing a hook: ``python docs/make_hooks.py``. A test fails while the page
differs from what this would write.
"""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dovetail.kernel import Hooks
from dovetail.kernel.hookspecs import __doc__ as RULES

PAGE = Path(__file__).resolve().parent / "hooks.md"
SECTIONS = ("Arguments", "Result", "When", "Errors", "Example")

FENCE = "```python"
SKIP = "<!-- test: skip a part of a plugin -->"

HEAD = """# Hooks

Everything that a plugin may implement. This page is made from the docstrings of
`kernel/hookspecs.py` by `docs/make_hooks.py`.
"""


def hooks(declared: type = Hooks) -> dict[str, Callable[..., Any]]:
    """Return the hook specifications of a class by name, in their order."""
    return {
        name: function
        for name, function in vars(declared).items()
        if hasattr(function, "dovetail_spec")
    }


def sections(function: Callable[..., Any]) -> dict[str, str]:
    """Return the parts of a hook's docstring; its first line is ``Purpose``."""
    text = inspect.getdoc(function) or ""
    purpose, *rest = re.split(rf"(?m)^({'|'.join(SECTIONS)})::?(?= |$)", text)
    found = {"Purpose": purpose.strip()}
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        found[title] = body if title == "Example" else body.strip()
    return found


def signature(name: str, function: Callable[..., Any]) -> str:
    """Return a hook as an implementation without types would declare it."""
    arguments = [*inspect.signature(function).parameters][1:]
    return f"{name}({', '.join(arguments)})"


def page(declared: type = Hooks) -> str:
    """Return the reference page."""
    made = [HEAD, _markdown(_general()), "| hook | purpose |\n|---|---|"]
    found = hooks(declared)
    rows = [
        f"| [`{name}`](#{name}) | {sections(function)['Purpose'].rstrip('.')} |"
        for name, function in found.items()
    ]
    made[-1] += "\n" + "\n".join(rows)
    for name, function in found.items():
        made.append(_entry(name, function))
    return "\n".join(f"{part.strip()}\n" for part in made)


def _general() -> str:
    # From where the rules for all hooks begin; before it is a greeting.
    text = inspect.cleandoc(RULES or "")
    return text[text.index("A plugin is any object") :]


def _entry(name: str, function: Callable[..., Any]) -> str:
    found = sections(function)
    lines = [
        f"## {name}",
        f"`{signature(name, function)}`",
        _markdown(found["Purpose"]),
    ]
    options = getattr(function, "dovetail_spec")  # noqa: B009 - pluggy's own name
    for retired in (
        options.get("warn_on_impl"),
        *(options.get("warn_on_impl_args") or {}).values(),
    ):
        if retired is not None:
            lines.append(f"**Deprecated**: {retired}.")
    lines += [
        f"**{title}**: {_markdown(found.get(title, ''))}"
        for title in SECTIONS
        if title != "Example"
    ]
    example = inspect.cleandoc(found.get("Example", ""))
    lines.append(f"{SKIP}\n{FENCE}\n{example}\n```")
    return "\n\n".join(lines)


def _markdown(text: str) -> str:
    """Return docstring text as Markdown: ``code``, and blocks after a double colon."""
    made: list[str] = []
    block = False
    for line in text.split("\n"):
        indented = line.startswith("    ")
        if indented and not block:
            made += [SKIP, FENCE]
            block = True
        elif block and line and not indented:
            while made and not made[-1]:
                made.pop()
            made += ["```", ""]
            block = False
        made.append(line[4:] if block else _plain(line))
    return "\n".join(made)


def _plain(line: str) -> str:
    return re.sub(r"``(.+?)``", r"`\1`", re.sub(r"::$", ":", line))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
