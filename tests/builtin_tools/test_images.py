"""Images: within what providers take, or refused with a reason."""

import io
import random
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from dovetail.builtin_tools._text import binary_type
from dovetail.kernel import (
    FittedImage,
    ImageRefusedError,
    ToolFailure,
    fit_image,
)
from dovetail.kernel.tools import images
from hypothesis import given, strategies as st

WITHOUT, WITH = "without Pillow", "with Pillow"


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow is not installed."""
    monkeypatch.setattr(images, "can_scale", lambda: False)


@pytest.fixture(params=[WITHOUT, WITH])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with Pillow and once without it."""
    if request.param == WITHOUT:
        monkeypatch.setattr(images, "can_scale", lambda: False)
    else:
        pillow()


def pillow() -> Any:
    return pytest.importorskip(
        "PIL.Image", reason="the extra `images` is not installed"
    )


def png(width: int, height: int, *, said: tuple[int, int] | None = None) -> bytes:
    """Return a grey PNG; its head may say another size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", *(said or (width, height)), 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )


def gif(pictures: int) -> bytes:
    """Return a GIF of one pixel."""
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\x00"
    control = b"\x21\xf9\x04\x00\x0a\x00\x00\x00"
    screen = struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + b"\x00\x00\x00\xff\xff\xff"
    return b"GIF89a" + screen + (control + picture) * pictures + b"\x3b"


def made(kind: str, size: tuple[int, int], mode: str = "RGB", **how: Any) -> bytes:
    """Return an image that Pillow wrote: red on its left half, blue on its right."""
    image = pillow().new("RGB", size, "red")
    image.paste((0, 0, 255), (size[0] // 2, 0, *size))
    file = io.BytesIO()
    image.convert(mode).save(file, kind, **how)
    return file.getvalue()


def noise(kind: str, size: tuple[int, int], **how: Any) -> bytes:
    """Return an image that hardly packs."""
    data = random.Random(1).randbytes(size[0] * size[1] * 3)
    file = io.BytesIO()
    pillow().frombytes("RGB", size, data).save(file, kind, **how)
    return file.getvalue()


def opened(fitted: FittedImage) -> Any:
    image = pillow().open(io.BytesIO(fitted.data))
    assert f"image/{image.format.lower()}" == fitted.mime
    image.load()
    return image


@pytest.mark.law("tools.14")
@pytest.mark.usefixtures("either")
def test_an_image_that_fits_goes_as_it_is() -> None:
    for data, mime in (
        (png(1, 1), "image/png"),
        (png(2_000, 1_999), "image/png"),
        (gif(1), "image/gif"),
    ):
        assert fit_image(data) == FittedImage(mime, data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("size", [(1, 1), (40, 30)])
def test_the_size_of_each_kind_is_in_its_head(
    kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: Sequence[dict[str, Any]] = [{}]
    if kind == "JPEG":
        ways = [{}, {"progressive": True}, {"exif": bytes(3_000)}]
    if kind == "WEBP":
        ways = [{}, {"lossless": True}, {"lossless": True, "exif": b"Exif\0\0II*\0"}]
    for how in ways:
        data = made(kind, size, **how)
        head = images._head(data, f"image/{kind.lower()}")
        assert head == images._Head(*size)
        monkeypatch.setattr(images, "can_scale", lambda: False)
        assert fit_image(data).data == data


@pytest.mark.law("tools.14")
@pytest.mark.usefixtures("missing")
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (png(2_001, 1), "has 2,001 x 1 pixels"),
        (png(1, 1) + bytes(3_750_000), "bytes, over 3,750,000"),
        (gif(2), "is animated"),
    ],
    ids=["edge", "bytes", "animated"],
)
def test_without_pillow_what_does_not_fit_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ImageRefusedError, match=rf"{why}.*dovetail\[images\]"):
        fit_image(data)


@pytest.mark.law("tools.14")
@pytest.mark.usefixtures("either")
@pytest.mark.parametrize(
    "data",
    [
        png(1, 1)[:20],
        png(1, 1, said=(0, 7)),
        gif(0),
        gif(1)[:20],
        b"\xff\xd8\xff\xe0",
        b"\xff\xd8\xff\xda\0\2",
        b"\xff\xd8" + b"\xff" * 50,
        b"RIFF\x10\0\0\0WEBPVP8 ",
        b"RIFF\x10\0\0\0WEBPNONE" + bytes(20),
        b"BM" + bytes(50),
    ],
    ids=range(10),
)
def test_a_damaged_head_is_refused(data: bytes) -> None:
    with pytest.raises(ImageRefusedError, match="damaged"):
        fit_image(data)


@pytest.mark.law("tools.14")
@pytest.mark.usefixtures("either")
def test_an_image_that_unpacks_to_too_much_is_refused_by_its_head() -> None:
    with pytest.raises(ImageRefusedError, match="8,001 x 8,000 pixels, and at most"):
        fit_image(png(1, 1, said=(8_001, 8_000)))
    with pytest.raises(ImageRefusedError, match="bytes, over"):
        fit_image(png(1, 1) + bytes(images.MAX_IMAGE_SOURCE))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_an_image_that_breaks_off_is_refused(kind: str) -> None:
    whole = noise(kind, (60, 60))
    with pytest.raises(ImageRefusedError, match="damaged"):
        fit_image(whole[: len(whole) // 2])


@pytest.mark.law("tools.14")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_large_image_is_scaled_in_proportion(kind: str) -> None:
    fitted = fit_image(made(kind, (4_000, 1_000)))
    image = opened(fitted).convert("RGB")
    assert image.size == (2_000, 500)
    assert fitted.notes == ("scaled from 4000 x 1000 to 2000 x 500 pixels",)
    assert image.getpixel((100, 100))[0] > 240
    assert image.getpixel((1_900, 100))[2] > 240
    assert fitted.mime == ("image/jpeg" if kind == "JPEG" else "image/png")


def test_a_long_and_narrow_image_keeps_a_pixel() -> None:
    assert opened(fit_image(made("PNG", (9_000, 1)))).size == (2_000, 1)


@pytest.mark.law("tools.14")
def test_many_bytes_are_packed_anew_until_they_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A smaller bound, so that the test is quick; noise is the worst that can come.
    monkeypatch.setattr(images, "MAX_IMAGE", 100_000)
    monkeypatch.setattr(images, "_ATTEMPTS", ((400, 85), (400, 60), (200, 60)))
    for data in (noise("PNG", (300, 300)), noise("JPEG", (500, 400), quality=100)):
        fitted = fit_image(data)
        assert fitted.mime == "image/jpeg"
        assert len(fitted.data) <= 100_000
        assert fitted.notes
        opened(fitted)


def test_what_shines_through_stays_or_becomes_white(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clear = pillow().new("RGBA", (2_400, 20), (9, 9, 9, 0))
    file = io.BytesIO()
    clear.save(file, "PNG")
    assert opened(fit_image(file.getvalue())).getpixel((5, 5))[3] == 0
    monkeypatch.setattr(images, "MAX_IMAGE", 100)
    assert opened(fit_image(file.getvalue())).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.law("tools.14")
@pytest.mark.parametrize("turn", range(2, 9))
def test_a_photograph_is_turned_upright_and_tells_no_place(turn: int) -> None:
    # As a camera writes it: the picture lies, and the orientation says how.
    image = pillow()
    ops = pytest.importorskip("PIL.ImageOps")
    exif = image.Exif()
    exif[0x0112] = turn
    exif[0x010F] = "a camera"
    data = made("JPEG", (64, 32), exif=exif, comment=b"at home")
    fitted = fit_image(data)
    shown, right = opened(fitted), ops.exif_transpose(image.open(io.BytesIO(data)))
    assert fitted.notes == ("turned upright",)
    assert shown.size == right.size
    for point in ((2, 2), (shown.width - 3, shown.height - 3)):
        pair = zip(shown.getpixel(point), right.getpixel(point), strict=True)
        assert all(abs(one - other) < 20 for one, other in pair)
    assert not shown.getexif()
    assert b"at home" not in fitted.data


@pytest.mark.law("tools.14")
@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_picture_is_shown(kind: str) -> None:
    image = pillow()
    frames = [image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(
        file, kind, save_all=True, append_images=frames[1:], duration=9, loop=0
    )
    fitted = fit_image(file.getvalue())
    assert fitted.mime == "image/png"
    assert fitted.notes == ("animated: this is its first picture",)
    shown = opened(fitted)
    assert not getattr(shown, "is_animated", False)
    assert shown.convert("RGB").getpixel((4, 4))[0] > 240


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", one) for one in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("JPEG", one) for one in ("L", "CMYK")),
        ("WEBP", "RGBA"),
    ],
)
def test_every_kind_of_colour_can_be_scaled(kind: str, mode: str) -> None:
    if mode == "I;16":
        grey = pillow().new("I;16", (2_100, 4), 65_535 // 2)
        file = io.BytesIO()
        grey.save(file, kind)
        data = file.getvalue()
    else:
        data = made(kind, (2_100, 4), mode)
    image = opened(fit_image(data))
    assert image.size == (2_000, 4)
    if mode == "I;16":
        assert 120 < image.getpixel((9, 1)) < 135


@given(st.data())
def test_whatever_bytes_come_there_is_an_answer_or_a_refusal(
    data: st.DataObject,
) -> None:
    whole = data.draw(st.sampled_from([png(3, 2), gif(1), gif(2)]))
    at = data.draw(st.integers(6, len(whole) - 1))
    broken = whole[:at] + data.draw(st.binary(max_size=40)) + whole[at + 1 :]
    with pytest.MonkeyPatch.context() as patch, suppress(ImageRefusedError):
        patch.setattr(images, "can_scale", lambda: False)
        assert fit_image(broken).data == broken


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"BM\x9a\0\0\0\0\0\0\0\x36\0\0\0", "a BMP image"),
        (b"II*\0\x08\0\0\0", "a TIFF image"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "a HEIC image"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF image"),
        (b"\0\0\0\x1cftypisom\0\0\0\0", "audio or video"),
    ],
)
def test_other_images_are_named(head: bytes, what: str) -> None:
    assert str(binary_type(head)).startswith(what)
    assert binary_type(b"BMW and others") is None


@pytest.mark.law("tools.14")
async def test_read_says_what_it_changed(tools: Any, place: Path) -> None:
    pillow()
    (place / "wide.png").write_bytes(png(3_000, 30))
    page = await tools.call("read", path="wide.png")
    assert page.file.mime == "image/png"
    assert "scaled from 3000 x 30 to 2000 x 20 pixels)" in page.text


@pytest.mark.law("tools.14")
@pytest.mark.usefixtures("missing")
async def test_read_names_the_extra_that_is_missing(tools: Any, place: Path) -> None:
    (place / "wide.png").write_bytes(png(3_000, 30))
    with pytest.raises(ToolFailure, match=r"wide\.png.*needs the extra dovetail\[ima"):
        await tools.call("read", path="wide.png")
