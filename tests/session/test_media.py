"""Files with a prompt: by path or bytes, and only to models that read them."""

import base64
from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import (
    ModelInfo,
    Prompt,
    PromptFile,
    PromptInvalidError,
    Provider,
    hookimpl,
)
from dovetail.kernel.testing import ScriptedProvider, text
from support.hosts import host

PDF = b"%PDF-1.7 ..."


class Reader(ScriptedProvider):
    """A model that is known to read some kinds of files."""

    def __init__(self, name: str, *answers: Any, reads: Any, media: Any = None) -> None:
        super().__init__(*answers, name=name)
        self._reads = reads
        if media is not None:
            self.media = media

    @hookimpl
    def dovetail_register_providers(self, register: Any, place: Any) -> None:
        info = ModelInfo(self.model, abilities=self._reads)
        register(Provider(self.name, lambda _: self, (info,), silence=None))


@pytest.mark.law("output.7")
@pytest.mark.parametrize(
    ("reads", "media", "code", "told"),
    [
        (("image", "tools"), None, "media.unsupported", "'one/model' does not read"),
        (None, {"image": 10}, "media.unsupported", "has no place for them"),
        (None, {"pdf": 3}, "media.too_large", "has 12 bytes"),
        (("pdf",), {"pdf": 12}, None, ""),
        (None, None, None, ""),
    ],
)
async def test_a_file_that_the_model_cannot_read_is_refused_before_it_is_sent(
    tmp_path: Path, reads: Any, media: Any, code: str | None, told: str
) -> None:
    model = Reader("one", text("Read."), reads=reads, media=media)
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        file = PromptFile.of(PDF, name="bill.pdf")
        await session.prompt(Prompt("Read it", (file,)))
        outcome = await session.wait()
    if code is None:
        assert outcome.succeeded
        return
    assert outcome.reason is not None
    assert outcome.reason.code == code
    assert told in outcome.reason.message
    assert "'pdf'" in outcome.reason.message
    assert model.requests == []


@pytest.mark.law("output.7")
async def test_what_another_model_was_shown_is_no_mistake_of_the_next_one(
    tmp_path: Path,
) -> None:
    one = Reader("one", text("Read."), reads=("image", "pdf"))
    other = Reader("other", text("Yes."), reads=("tools",))
    async with host(tmp_path, one, plugins=[other]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=one.model)
        file = PromptFile.of(PDF, name="bill.pdf")
        await session.prompt(Prompt("Read it", (file,)))
        assert (await session.wait()).succeeded
        await session.switch_model(other.model)
        await session.prompt("And you?")
        assert (await session.wait()).succeeded
    assert one.requests[0].reads == ("image", "pdf")
    assert other.requests[0].reads == ()


async def test_after_a_refused_file_the_session_goes_on_without_it(
    tmp_path: Path,
) -> None:
    model = Reader("one", text("Hello."), reads=())
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        file = PromptFile.of(PDF, name="bill.pdf")
        await session.prompt(Prompt("Read it", (file,)))
        assert (await session.wait()).status == "failed"
        await session.prompt("Then just say hello")
        assert (await session.wait()).succeeded


@pytest.mark.parametrize(
    ("name", "data", "mime"),
    [
        ("a", b"\x89PNG\r\n\x1a\n...", "image/png"),
        ("a.txt", b"%PDF-1.4", "application/pdf"),
        ("a.wav", b"RIFF....WAVE", "audio/wav"),
        ("a.mp3", b"....", "audio/mpeg"),
        ("fake.png", b"hello", "text/plain"),
        ("fake.png", b"\xff\x00", "application/octet-stream"),
        ("a.md", b"# hello", "text/markdown"),
        ("a.html", b"<p>", "text/html"),
    ],
)
def test_the_type_of_a_file_is_that_of_its_content(
    tmp_path: Path, name: str, data: bytes, mime: str
) -> None:
    (tmp_path / name).write_bytes(data)
    for file in (PromptFile.of(tmp_path / name), PromptFile.of(data, name=name)):
        assert (file.name, file.mime) == (name, mime)
        assert base64.b64decode(file.data) == data
    assert PromptFile.of(data, name=name, mime="x/y").mime == "x/y"


def test_what_is_no_file_of_that_size_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * (8 * 1_048_576 + 1))
    for source in (tmp_path, tmp_path / "gone", large, "a\0b", b"no name"):
        with pytest.raises(PromptInvalidError):
            PromptFile.of(source)
    half = PromptFile.of(b"x" * (5 * 1_048_576), name="half")
    assert Prompt.of(Prompt("one", (half,))).files
    with pytest.raises(PromptInvalidError, match="are over 8388608"):
        Prompt.of(Prompt("two", (half, half)))
