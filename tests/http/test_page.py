"""The page: which files there are, and what they may do in a browser."""

import re
from importlib.resources import files

import pytest
from support.doors import served

PAGE = files("dovetail.plugins.http").joinpath("page_files")
NAMES = sorted(one.name for one in PAGE.iterdir())


async def test_the_page_and_all_that_it_names_is_served_and_may_do_little() -> None:
    async with served() as it:
        page = await it.http.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        named = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text)
        assert named
        for name in {*named, *(f"page/{one}" for one in NAMES if one[-4:] != "html")}:
            answer = await it.http.get(f"/{name}")
            assert answer.status_code == 200, name
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
        gone = await it.http.get("/page/nothing.js")
        assert gone.status_code == 404


@pytest.mark.parametrize("name", NAMES)
def test_no_file_of_the_page_reads_a_text_as_a_program_or_asks_elsewhere(
    name: str,
) -> None:
    text = PAGE.joinpath(name).read_text()
    for danger in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "srcdoc",
        "style=",
    ):
        assert danger not in text, danger
    addresses = set(re.findall(r"https?://[\w.]+", text))
    # The name of a kind of picture, which nobody asks for.
    assert addresses <= {"http://www.w3.org"}
    for imported in re.findall(r'from "([^"]+)"', text):
        assert imported.removeprefix("./") in NAMES
