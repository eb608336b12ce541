"""Writes docs/openapi.json, and the table of operations in docs/http.md.

Run it after a change of the HTTP door: ``python docs/make_openapi.py``. A test fails
while they differ from what this would write.
"""

import json
from pathlib import Path

from dovetail.plugins.http.openapi import (
    NOT_OFFERED,
    document,
    operations,
    words_of,
)

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE / "openapi.json"
PAGE = HERE / "http.md"
BEGIN, END = "<!-- made: operations -->", "<!-- end -->"


def made_document() -> str:
    """Return the OpenAPI document as text."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def made_table() -> str:
    """Return every operation, and what it is against opencode's V2 surface."""
    rows = ["| operation | does | opencode's V2 surface |", "|---|---|---|"]
    for one in operations():
        against = {"same": "same", "ours": "not there"}.get(
            one.meaning, f"differs: {one.differs}"
        )
        path = one.path.replace(":path", "")
        rows.append(f"| `{one.method} {path}` | {words_of(one)[0]} | {against} |")
    for method, path, _, instead in NOT_OFFERED:
        path = path.replace("{rest:path}", "...")
        rows.append(f"| `{method} {path}` | not offered: {instead} | 422 |")
    return "\n".join(rows) + "\n"


def made_page(text: str) -> str:
    """Return the page with the table as it would be written."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{made_table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    DOCUMENT.write_text(made_document(), encoding="utf-8")
    PAGE.write_text(made_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
