"""Costs are added without losing any of them."""

from fractions import Fraction

import pytest
from dovetail.kernel import Price, PriceAbove, Usage, added_cost
from dovetail.kernel.values.money import dollars, picodollars
from hypothesis import given, strategies as st

tokens = st.integers(0, 10_000_000)
price = st.integers(0, 200_000_000).map(lambda millionths: millionths / 10**6)


@pytest.mark.law("models.9")
def test_ten_times_ten_cents_are_one_dollar() -> None:
    total = None
    for _ in range(10):
        total = added_cost(total, 0.1)
    assert total == 1.0
    assert sum([0.1] * 10) != 1.0
    assert added_cost(None, None) is None
    assert added_cost(None, 0.0) == 0.0
    assert added_cost(2.5, None) == 2.5


@given(st.lists(st.tuples(tokens, price), max_size=20))
def test_a_sum_is_what_the_tokens_cost_to_the_last_digit(
    requests: list[tuple[int, float]],
) -> None:
    total: float | None = None
    exact = Fraction(0)
    for count, per_million in requests:
        cost = Price(per_million, 0.0).of(Usage(input=count, output=0))
        total = added_cost(total, cost)
        exact += Fraction(str(per_million)) * count / 10**6
    assert total == (float(exact) if requests else None)


@pytest.mark.law("models.9")
def test_a_price_counts_what_was_cached_and_the_highest_bound_that_is_passed() -> None:
    tiers = (PriceAbove(200, 2.0, 20.0), PriceAbove(100, 1.5, 15.0, 0.15, 1.9))
    price = Price(1.0, 10.0, 0.1, 1.25, tiers)
    usage = Usage(input=100, output=10, cache_read=40, cache_write=20)
    assert price.of(usage) == (40 * 1.0 + 40 * 0.1 + 20 * 1.25 + 10 * 10.0) / 10**6
    usage = Usage(input=101, output=10, cache_read=40, cache_write=20)
    assert picodollars(
        price.of(usage) or 0.0
    ) == 61_500_000 + 6_000_000 + 38_000_000 + (150_000_000)
    usage = Usage(input=201, output=0, cache_read=200)
    assert price.of(usage) == 201 * 2.0 / 10**6


@pytest.mark.law("models.9")
@pytest.mark.parametrize("usage", [Usage(output=7), Usage(input=7), Usage()])
def test_what_nobody_told_costs_nobody_knows_what(usage: Usage) -> None:
    assert Price(1.0, 10.0).of(usage) is None


@pytest.mark.parametrize("cost", [-1.0, 1e30])
def test_a_cost_that_cannot_be_is_bounded(cost: float) -> None:
    assert 0 <= dollars(picodollars(cost)) < 5_000_000
