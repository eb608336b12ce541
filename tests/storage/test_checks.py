"""Checksums tell rows apart that would be read as something else."""

import math
from itertools import combinations

import pytest
from dovetail.storage.sql.checks import checksum, is_sound, summed

VALUES = (
    *(None, 0, 1, -1, 2**63 - 1, "", "0", "1", "null", b"", b"0", b"null"),
    *(0.0, 1.0, math.inf, -math.inf, "hex", '{"hex":""}', "\ud800"),
)
"""Each is another value than all others, or one of another type."""


@pytest.mark.parametrize("around", [(), ("ses_a", 1, None, b"a")])
def test_values_of_different_types_have_different_sums(
    around: tuple[object, ...],
) -> None:
    for one, other in combinations(VALUES, 2):
        assert checksum((*around, one)) != checksum((*around, other)), (one, other)


def test_a_row_is_sound_with_its_own_session_alone() -> None:
    row = summed("ses_a", 1, "text", None, b"\x00\xff")
    assert is_sound("ses_a", row)
    assert not is_sound("ses_b", row)
