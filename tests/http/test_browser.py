"""The page in a real browser: what a person sees and does.

Skipped where there is no Chromium, or no Playwright to drive it (the extra
``browser``). Pictures of what was seen are kept in the test's own folder, or in that
which ``DOVETAIL_SCREENSHOTS`` names.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from attrs import define
from support.bounds import HANG

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: the extra browser"
)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
    pytest.mark.xdist_group("browser"),
]
MILLISECONDS = HANG * 1000
# Without them a browser looks for its maker, whom nobody here may reach.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@define
class Server:
    """A server that can be killed and begun again on the same address."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def begin(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.page_server", str(self.port), self.folder],
            env={
                **os.environ,
                "HOME": str(self.folder),
                "PYTHONPATH": str(Path(__file__).parents[1]),
                "DOVETAIL_CONFIG": "",
            },
        )
        transport = httpx.HTTPTransport(retries=12)  # each waits twice as long
        with httpx.Client(transport=transport, timeout=HANG) as client:
            client.get(f"{self.address}api/health").raise_for_status()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(HANG)

    def go(self) -> None:
        (self.folder / "go").touch()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    made = Server(tmp_path, port)
    made.begin()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield made
        made.close()


class Person:
    """Somebody in front of the page."""

    def __init__(self, page: Any, server: Server) -> None:
        self.page = page
        self.server = server
        self.errors: list[str] = []
        page.set_default_timeout(MILLISECONDS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._heard)
        page.goto(server.address)

    def _heard(self, said: Any) -> None:
        # That nobody answers is said where a server is killed, and is no fault.
        if said.type in ("error", "warning") and "net::" not in said.text:
            self.errors.append(said.text)

    def begin(self) -> None:
        offered = self.page.locator("#models option[value='page/model']")
        offered.wait_for(state="attached")
        self.page.fill("#new [name=model]", "page/model")
        self.page.click("#new button")
        self.page.wait_for_selector("#say")

    def say(self, text: str) -> None:
        self.page.fill("#prompt", text)
        self.page.press("#prompt", "Enter")

    def sees(self, selector: str) -> None:
        self.page.wait_for_selector(selector)

    def picture(self, name: str) -> None:
        folder = os.environ.get("DOVETAIL_SCREENSHOTS") or self.server.folder
        self.page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.fixture
def person(browser: Any, server: Server) -> Iterator[Person]:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    made = Person(page, server)
    yield made
    page.close()
    assert made.errors == []


def test_a_person_prompts_and_sees_it_stream_and_reads_it_again_after_a_reload(
    person: Person,
) -> None:
    person.begin()
    person.say("wait for me")
    person.sees(".live .text >> text=It begins.")
    person.picture("streaming")
    # What comes meanwhile waits, and can be taken back.
    person.page.fill("#prompt", "and this")
    person.page.press("#prompt", "Alt+Enter")
    person.sees(".card.pending >> text=and this")
    person.page.click(".card.pending >> text=Take back")
    person.page.wait_for_selector(".card.pending", state="detached")
    person.server.go()
    person.sees(".assistant footer")
    person.page.wait_for_selector(".live", state="detached")
    shown = person.page.inner_text(".assistant .text")
    assert shown == "It begins. It ends."
    person.page.reload()
    person.sees(".assistant footer")
    assert person.page.inner_text(".assistant .text") == shown
    assert person.page.locator(".message").count() == 2


def test_a_person_allows_a_command_and_answers_a_question(person: Person) -> None:
    person.begin()
    person.say("a command")
    person.sees(".card >> text=seq 1 3")
    person.picture("permission")
    person.page.click("text=Allow once")
    person.sees(".call.succeeded")
    person.sees(".assistant footer >> nth=1")
    person.say("a question")
    person.page.click(".card label >> text=Blue")
    person.page.click(".card >> text=Answer")
    person.page.wait_for_selector(".card", state="detached")
    person.sees(".assistant footer >> nth=3")
    person.page.locator(".call summary").last.click()
    person.page.locator(".call").last.get_by_text("Blue").first.wait_for()


def test_a_person_interrupts_and_the_work_ends(person: Person) -> None:
    person.begin()
    person.say("wait for ever")
    person.sees(".live .text >> text=It begins.")
    person.page.click("[name=interrupt]")
    person.sees("#head >> text=interrupted")


def test_a_person_goes_on_with_what_waits_renames_and_removes(person: Person) -> None:
    person.begin()
    page = person.page
    page.wait_for_function("document.activeElement.id === 'prompt'")
    person.say("wait for ever")
    person.sees(".live .text >> text=It begins.")
    page.fill("#prompt", "and later")
    page.press("#prompt", "Alt+Enter")
    person.sees(".card.pending >> text=and later")
    page.click("[name=interrupt]")
    # It waits for somebody to say so, and then for nobody.
    page.click("text=Go on with what waits")
    page.wait_for_selector(".card.pending", state="detached")
    person.sees(".message.user >> text=and later")
    person.sees(".assistant footer >> nth=1")
    page.fill("#head [name=model]", "page/other:high")
    page.press("#head [name=model]", "Enter")
    page.wait_for_function(
        "document.querySelector('#head [name=model]').defaultValue === "
        "'page/other:high'"
    )
    page.on("dialog", lambda asked: asked.accept("A new name"))
    page.click("text=Rename")
    person.sees("#head h2 >> text=A new name")
    page.wait_for_function("document.title === 'A new name - dovetail'")
    page.click("text=Remove")
    person.sees("#head >> text=Choose a session")
    person.sees("#sessions >> text=No sessions yet")


def test_a_server_that_is_killed_under_the_page_is_taken_up_again(
    person: Person,
) -> None:
    person.begin()
    person.say("wait for me")
    person.sees(".live .text >> text=It begins.")
    person.server.kill()
    person.sees(".lost-link")
    person.server.begin()
    person.page.wait_for_selector(".lost-link", state="detached")
    person.server.go()
    person.sees("#continuation:not([hidden])")
    person.picture("continuation")
    person.page.click("text=I looked: continue")
    person.sees(".assistant footer")
    assert person.page.locator(".message.user").count() == 1


def test_what_is_hostile_in_an_answer_is_shown_and_does_nothing(
    person: Person,
) -> None:
    person.begin()
    person.say("something hostile and huge")
    person.sees(".assistant footer")
    page = person.page
    assert page.evaluate("window.broken") is None
    assert page.locator("#transcript script, #transcript img").count() == 0
    assert page.locator("#transcript a[href^='javascript']").count() == 0
    said = page.inner_text(".assistant")
    assert "⟨202E⟩" in said
    assert "⟨001B⟩" in said
    assert "<script>window.broken = 1</script>" in said
    person.picture("hostile")


async def _long(folder: Path, messages: int) -> None:
    """Make a session with so many prompts, beside the server on the same database."""
    from dovetail.kernel import open_runtime

    url = f"sqlite:///{folder / 'agents.db'}"
    async with open_runtime(url) as runtime:
        session = await runtime.sessions.create("ses_long", folder, "page/model")
        async with anyio.create_task_group() as tasks:
            for number in range(messages):
                said = f"{number} <script>window.broken = 1</script>"
                prompt = partial(session.prompt, said, resume=False)
                tasks.start_soon(prompt)


async def _renamed(folder: Path, session_id: str) -> None:
    from dovetail.kernel import open_runtime

    async with open_runtime(f"sqlite:///{folder / 'agents.db'}") as runtime:
        session = await runtime.sessions.get(session_id)
        await session.rename("Named beside")
        await session.prompt("Said beside", resume=False)


def test_what_another_process_does_is_seen(person: Person) -> None:
    person.begin()
    person.say("hello")
    person.sees(".assistant footer")
    session_id = person.page.url.rpartition("/")[2]
    with ThreadPoolExecutor(1) as other:
        other.submit(anyio.run, _renamed, person.server.folder, session_id).result(HANG)
    person.sees("#head >> text=Named beside")
    person.sees("#sessions >> text=Named beside")
    person.sees(".card.pending >> text=Said beside")
    person.sees("#panel >> text=session.titled >> nth=0")


def test_of_thousands_of_messages_a_page_is_shown_at_a_time(person: Person) -> None:
    # In a thread: Playwright has an event loop in this one.
    with ThreadPoolExecutor(1) as other:
        other.submit(anyio.run, _long, person.server.folder, 2_000).result(HANG)
    page = person.page
    page.goto(f"{person.server.address}#/ses_long")
    page.wait_for_selector("#say:not([hidden])")
    person.say("hello")
    person.sees(".assistant footer")
    page.reload()
    person.sees(".assistant footer")
    assert page.locator(".message").count() == 40
    page.click("#earlier")
    page.locator(".message >> nth=79").wait_for(state="attached")
    assert page.locator(".message").count() == 80
    said = page.locator(".message.user .text").all_text_contents()
    assert [one.split()[0] for one in said[:-1]] == [
        str(number) for number in range(2_000 - len(said) + 1, 2_000)
    ]
    assert page.evaluate("window.broken") is None
    person.picture("long")


def test_it_is_used_by_keyboard_on_a_phone_in_the_dark(
    browser: Any, server: Server
) -> None:
    page = browser.new_page(
        viewport={"width": 390, "height": 800}, color_scheme="dark", has_touch=True
    )
    person = Person(page, server)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    person.sees("#list")
    person.begin()
    page.locator("#prompt").focus()
    page.keyboard.type("hello")
    page.keyboard.press("Enter")
    person.sees(".assistant footer")
    person.picture("phone")
    wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not wide
    page.close()
    assert person.errors == []
