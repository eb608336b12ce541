"""Ids and tokens: opaque, unique, and the same again where that is the point."""

from typing import Any

import pytest
from dovetail.kernel import InvalidValueError, effect_token
from dovetail.kernel.values.ids import check_caller_id, new_id
from hypothesis import given, settings, strategies as st


class StoppedClock:
    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None: ...


@pytest.mark.parametrize("now", [0, 1_700_000_000_000, 2**48 - 1, 2**60, -1])
def test_a_fresh_id_has_its_prefix_and_one_length(now: int) -> None:
    made = new_id("ses", StoppedClock(now))

    assert made.startswith("ses_")
    assert len(made) == 36
    assert check_caller_id("session id", made) == made


def test_ids_are_unique_also_when_the_clock_stands_still() -> None:
    clock = StoppedClock(5)

    assert len({new_id("msg", clock) for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("given_id", ["a", "ses_1", "A.b:c-d_e", "0" * 128])
def test_a_sound_id_of_a_caller_is_taken_unchanged(given_id: str) -> None:
    assert check_caller_id("session id", given_id) == given_id


@pytest.mark.parametrize(
    "given_id",
    [
        "",
        "_a",
        ".a",
        "a b",
        "a/b",
        "a\n",
        "a\x00",
        "é",
        "0" * 129,
        None,
        10**5000,
        b"a",
    ],
    ids=lambda value: repr(value)[:12] if not isinstance(value, int) else "huge",
)
def test_an_unsound_id_of_a_caller_is_refused(given_id: Any) -> None:
    with pytest.raises(InvalidValueError):
        check_caller_id("session id", given_id)


def test_a_call_has_the_same_effect_token_for_ever() -> None:
    """Pinned: a token that changed with a release would repeat an effect."""
    assert effect_token("ses_1", "msg_1", "call_1") == (
        "eff_7e1099c57e403ebac6dcc15e9bc499f4"
    )


any_text = st.text(alphabet=st.characters(codec=None, exclude_categories=[]))
call = st.tuples(*[any_text.filter(lambda text: "\0" not in text)] * 3)


@settings(deadline=None)
@given(call, call)
def test_two_calls_never_share_an_effect_token(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert (effect_token(*one) == effect_token(*other)) is (one == other)
