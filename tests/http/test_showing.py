"""Values of the kernel in the shapes of opencode's V2 surface, and back."""

import pytest
from dovetail.kernel import ModelInfo
from dovetail.plugins.http import showing
from dovetail.plugins.http.problems import Refusal
from dovetail.plugins.http.shapes import ModelRef


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("openai/gpt", ModelRef("gpt", "openai")),
        ("openai/gpt:high", ModelRef("gpt", "openai", "high")),
        ("host/a/b:free", ModelRef("a/b:free", "host")),
        ("host/:high", ModelRef(":high", "host")),
    ],
)
def test_a_model_is_named_with_its_variant_and_back(name: str, shown: ModelRef) -> None:
    assert showing.model_ref(name) == shown
    assert showing.model_name(shown) == name


def test_the_usual_variant_is_the_model_itself_and_an_unknown_one_is_refused() -> None:
    assert showing.model_name(ModelRef("gpt", "openai", "default")) == "openai/gpt"
    with pytest.raises(Refusal) as refused:
        showing.model_name(ModelRef("gpt", "openai", "odd"))
    assert (refused.value.status, refused.value.fields["field"]) == (
        422,
        "$.model.variant",
    )


def test_a_model_says_what_it_reads_when_it_came_and_how_it_can_think() -> None:
    able = ("image", "makes_image", "reasoning")
    shown = showing.model(
        ModelInfo("a/b", abilities=able, released="2025-08", deprecated=True)
    )
    assert shown.capabilities.input == ("text", "image")
    assert shown.capabilities.output == ("text", "image")
    assert not shown.capabilities.tools
    assert "high" in [one.id for one in shown.variants]
    assert shown.time.released == 1_754_006_400_000
    assert shown.status == "deprecated"


@pytest.mark.parametrize("released", [None, "soon", "2025-13"])
def test_of_a_model_of_which_nothing_is_known_nothing_is_said(
    released: str | None,
) -> None:
    shown = showing.model(ModelInfo("a/b", released=released))
    assert shown.time.released == 0
    assert shown.variants == ()
    assert shown.capabilities.tools
